"""What was measured: the figures that the runs in ``bench/`` and ``tests/faults/`` write to ``bench/results.json``.

The file holds one object a subject. Figures may be nested as deep as a run likes; a page shows them as rows. Besides
figures an object may have ``goals`` (figure -> the value to reach), and ``command`` (how to measure it again).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kvworkshop.pages.text import code, fence, plain, table

Keys = tuple[str, ...]  # the keys that lead to a figure, outermost first

# Subject -> (heading, what is measured). The page names the subjects that no run has written yet. A subject that is missing
# here is shown too, under its own name.
SUBJECTS = {
    "apply": (
        "Applying",
        "`apply.py` beside the tools it competes with: `tar xzf` for a new tree, `git am` for one that is there.",
    ),
    "verify": (
        "Proving every release",
        "`verify.py --all` beside the floor: decompressing every archive once, with `gzip -dc` and with zlib in process.",
    ),
    "vendor": ("A vendored wheel", "`vendor.py wheel` beside unpacking the wheel, patching it and packing it again."),
    "installed": (
        "An installed vLLM, read",
        (
            "Every file against RECORD, beside `sha256sum` over the same files; and bytecode compared with what its source "
            "compiles to."
        ),
    ),
    "image": (
        "An image without a container engine",
        "`vendor.py oci` from a layout to a patched one, beside `buildah from`, `copy` and `commit` with the same files.",
    ),
    "migrate": ("Rewriting configurations", "`migrate.py` over trees of files, beside a plain text search."),
    "growth": (
        "How cost grows",
        "With the number of releases, of patches and of repositories, and the size of the tree.",
    ),
    "kills": (
        "Kills",
        (
            "SIGKILL at each change that a run makes to the file system. *Old* and *new*: the target was as before, or as "
            "it was to be; *partial*: the next run said so, and finished it."
        ),
    ),
    "io_faults": (
        "Faults of the disk",
        "Full disks, I/O errors and refused or short writes, at the same moments and told in the same words.",
    ),
    "concurrency": ("Many at once", "Processes that apply, reverse and verify one target and one cache together."),
    "hostile": ("Hostile input", "Archives, wheels, trees, patches and locks made to do harm."),
    "fuzz": ("Fuzzing", "Parsers fed with inputs that a machine thinks up."),
    "networks": ("Bad networks", "Indexes that are slow, cut off, lie or loop."),
    "reproducibility": ("The same bytes", "Runs under other users, masks, time zones, file systems and Pythons."),
}
_UNITS = {"s": "s", "ms": "ms", "mb": "MB", "kb": "kB", "gb": "GB", "percent": "%", "minutes": "min"}
_PURE = ("growth", "ratio")  # keys whose figure has no unit, whatever it stands under
_OWN = ("goals", "command", "note")  # keys of a subject that are no figures


def fragments(results: Mapping[str, Any], root: Path) -> dict[str, str]:
    """Name below ``build/pages`` -> Markdown: a section a subject, what is not measured yet, and the benchmarks."""
    named = [k for k in SUBJECTS if k in results]
    others = sorted(set(results) - set(SUBJECTS))
    missing = [SUBJECTS[k][0].lower() for k in SUBJECTS if k not in results]
    text = "\n".join(_section(k, results[k]) for k in [*named, *others])
    if missing:
        text += f"\n## Not measured yet\n\nNo run has written figures for: {', '.join(missing)}.\n"
    return {"results.md": text, "benches.md": table(["Command", "What it does"], benches(root / "bench"))}


def benches(folder: Path) -> list[list[str]]:
    """(command, the first sentence of what it says of itself) of every script in ``folder`` that can be run."""
    out = []
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        says = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
        if text.startswith("#!"):
            out.append([code(f"python {folder.name}/{path.name}"), says.replace("``", "`")])
    return out


def _section(key: str, found: Mapping[str, Any]) -> str:
    title, what = SUBJECTS.get(key, (plain(words(key).capitalize()), ""))
    parts = [
        f"## {title} {{ #{re.sub(r'[^a-z0-9]+', '-', key.lower())} }}",
        what,
        # Nobody searches for a figure. The search tells words of digits apart badly: with all of these in its index, it
        # found no release called 0.27.0.
        "<details markdown data-search-exclude><summary>Figures</summary>",
    ]
    parts += _tables({k: v for k, v in found.items() if k not in _OWN})
    if goals := dict(_leaves(found.get("goals", {}))):
        parts.append("Goals: " + "; ".join(f"{_name(p)} {_figure(v, p)}" for p, v in goals.items()) + ".")
    if "note" in found:
        parts.append(plain(str(found["note"])))
    if "command" in found:
        parts.append("Measure it again:\n\n" + fence("bash", str(found["command"])))
    parts.append("</details>")
    return "\n\n".join(p for p in parts if p) + "\n"


def _tables(found: Mapping[str, Any], above: Keys = ()) -> Iterator[str]:
    """A table for each set of objects with like figures, then one for what stands alone; ``above``: the keys that lead here."""
    alone: dict[Keys, Any] = {}
    alike: list[dict[str, dict[Keys, Any]]] = []
    for key, value in found.items():
        leaves = dict(_leaves(value))
        if not isinstance(value, Mapping) or not leaves:
            alone |= {(key, *path): v for path, v in leaves.items()}
            continue
        # Objects are of one kind even if one lacks a figure: a figure of 0 may be left out.
        like = next((g for g in alike if any(set(o) <= set(leaves) or set(o) >= set(leaves) for o in g.values())), None)
        if like is None:
            alike.append(like := {})
        like[key] = leaves
    for objects in alike:
        (key, leaves), *more = objects.items()
        if more:
            yield (f"**{_name(above)}**\n\n" if above else "") + _side_by_side(objects, above)
        elif all(len(path) == 1 for path in leaves):
            alone |= {(key, *path): v for path, v in leaves.items()}
        else:  # perhaps its own parts are alike
            yield from _tables(found[key], (*above, key))
    if alone:
        yield table(["Figure", "Measured"], ([_name((*above, *p)), _figure(v, (*above, *p))] for p, v in alone.items()))


def _side_by_side(objects: Mapping[str, dict[Keys, Any]], above: Keys) -> str:
    """A few objects as columns, many as rows."""
    paths = list(dict.fromkeys(p for o in objects.values() for p in o))
    cells = {(k, p): _figure(o[p], (*above, k, *p)) if p in o else "–" for k, o in objects.items() for p in paths}
    if len(objects) <= 4:
        rows = ([_name(p), *(cells[k, p] for k in objects)] for p in paths)
        return table(["Figure", *(_name((k,)) for k in objects)], rows)
    return table(["What", *map(_name, paths)], ([_name((k,)), *(cells[k, p] for p in paths)] for k in objects))


def _leaves(value: Any) -> Iterator[tuple[Keys, Any]]:
    """(path, figure) of every figure below ``value``; the objects of a list go by their ``name``, or are counted."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from (((str(key), *path), v) for path, v in _leaves(below))
    elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        yield from _leaves(
            {v.get("name", n): {k: f for k, f in v.items() if k != "name"} for n, v in enumerate(value, 1)}
        )
    else:
        yield (), value


def _name(path: Keys) -> str:
    """A path of keys as a reader would say it: units stand beside the figure, versions and file names as they are."""
    return ", ".join(plain(k if "." in k else words(_without_unit(k))) for k in path)


def _without_unit(key: str) -> str:
    head, _, last = key.rpartition("_")
    return head if head and last in _UNITS else key


def words(key: str) -> str:
    """``new_tree_to_tar`` -> ``new tree to tar``."""
    return key.replace("_", " ")


def _figure(value: Any, path: Keys) -> str:
    unit = (
        ""
        if path[-1:] and path[-1] in _PURE
        else next((_UNITS[u] for k in reversed(path) if (u := k.rpartition("_")[2]) in _UNITS and k != u), "")
    )
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:,}".replace(",", " ") + (f" {unit}" if unit else "")
        case list():
            return ", ".join(_figure(v, path) for v in value) or "none"
        case None:
            return "not measured"
        case _:
            return code(str(value))
