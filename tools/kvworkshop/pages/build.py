"""Write everything that is generated, and nothing else: what is no longer generated is removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kvroles.errors import NoSource
from kvroles.series import project

from kvworkshop.effects import claims as evidence
from kvworkshop.effects import run
from kvworkshop.pages import claims, codes, effects, elsewhere, home, matrix, path, reference, results, summary, topics
from kvworkshop.playground import page, provide

FRAGMENTS = Path("build") / "pages"
DATA = Path("docs") / "data"
RESULTS = Path("bench") / "results.json"
OWNED = (Path("docs") / "patches", Path("docs") / "reference", FRAGMENTS)


def contents(root: Path) -> dict[str, bytes]:
    """Path below ``root`` -> bytes of every generated file. Raises NoSource when a data file is missing."""
    series, lock = project.load()
    pages = topics.pages(series, lock)
    pages |= codes.pages()
    pages["reference/tools.md"] = reference.tools_page(root)
    pages["reference/exit-codes.md"] = reference.exit_codes_page()
    pages["reference/forks.md"] = elsewhere.page(_data(root, "forks.json"))
    pages["reference/data.md"] = reference.data_page(root)
    fragments = home.fragments(series, lock)
    fragments |= matrix.fragments(_data(root, "compat.json"), series)
    fragments |= matrix.unit_runs(_data(root, "unit_runs.json") if (root / DATA / "unit_runs.json").exists() else None)
    role_effects = _data(root, "role_effects.json")
    said = evidence.load(root / DATA / run.CLAIMS.name)
    fragments |= effects.fragments(role_effects)
    fragments |= path.fragments(role_effects, said)
    pages |= claims.pages(said, _data(root, run.LINES.name), role_effects["releases"])
    fragments |= results.fragments(_json(root, RESULTS), root)
    fragments |= summary.fragments(_json(root, RESULTS))
    fragments["ports.md"] = elsewhere.ports(_data(root, "ports.json"))
    fragments["playground.md"] = page.fragment(there=provide.is_there(root / "docs"))
    out = {f"docs/{path}": text.encode() for path, text in pages.items()}
    out |= {f"docs/{path}": raw for path, raw in topics.downloads(series).items()}
    out["docs/reference/lock.json"] = (root / "patches" / "lock.json").read_bytes()
    out |= {f"{FRAGMENTS.as_posix()}/{name}": text.encode() for name, text in fragments.items()}
    return out


def write(root: Path) -> tuple[int, int]:
    """Write the generated files below ``root``; returns how many there are and how many of them changed."""
    wanted = contents(root)
    changed = 0
    for name, data in wanted.items():
        path = root / name
        if path.is_file() and path.read_bytes() == data:
            continue  # an unchanged file keeps its time, so that a running preview does not rebuild for it
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        changed += 1
    for folder in OWNED:
        for path in (root / folder).rglob("*"):
            if path.is_file() and path.relative_to(root).as_posix() not in wanted:
                path.unlink()
                changed += 1
    return len(wanted), changed


def _data(root: Path, name: str) -> Any:
    return _json(root, DATA / name)


def _json(root: Path, name: Path) -> Any:
    try:
        return json.loads((root / name).read_bytes())
    except FileNotFoundError:
        raise NoSource(f"{name} is missing", fix=f"Restore it with `git checkout -- {name.parent}`") from None
