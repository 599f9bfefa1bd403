"""The first screen of the page on what was measured: a picture, and a sentence for each of its bars and for the faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NamedTuple


class Bar(NamedTuple):
    """A figure as a multiple of the usual way's: ``ratio`` 1.0 means as fast; ``says`` is the sentence."""

    label: str
    ratio: float
    says: str


WIDTH, LEFT, STEP = 640, 230, 34  # of the picture, of its labels, between its bars


def fragments(results: Mapping[str, Any]) -> dict[str, str]:
    """Name below ``build/pages`` -> Markdown. What no run has measured is left out."""
    shown = list(bars(results))
    said = [b.says for b in shown] + list(_faults(results))
    return {"summary.md": (_picture(shown) if shown else "") + "\n" + "".join(f"- {s}\n" for s in said)}


def bars(results: Mapping[str, Any]) -> Iterator[Bar]:
    """The bars of the picture, from the newest release measured where there are several."""
    for release, found in list(results.get("apply", {}).get("releases", {}).items())[-1:]:
        new, into = found["new_tree_to_tar"]["wall"], found["into_to_git_am"]["wall"]
        again = found["again_above_start_s"]["wall"]
        yield Bar(
            "new tree / tar xzf",
            new,
            f"A new patched tree of {release} takes {_times(new)} as long as `tar xzf` of the same archive.",
        )
        yield Bar(
            "existing tree / git am",
            into,
            f"Patching a tree that is there takes {_times(into)} as long as `git am` of the same patches; finding it patched "
            f"already takes {again * 1000:.0f} ms.",
        )
    if verify := results.get("verify"):
        floor, warm = verify["cold_to_floor"]["wall"], verify["median"]["warm"]["wall_s"]
        yield Bar(
            "prove all / gzip -dc",
            floor,
            f"Proving all {verify['releases']} releases takes {_times(floor)} as long as decompressing their archives, and "
            f"{warm:.1f} s where nothing has changed.",
        )
    if vendor := results.get("vendor"):
        ours, theirs = vendor["vendor_py"]["wall_s"], vendor["wheel_unpack_patch_pack"]["wall_s"]
        yield Bar(
            "wheel / unpack, patch, pack",
            ours / theirs,
            f"A wheel with the warning takes {ours:.1f} s; unpacking, patching and packing it takes {theirs:.0f} s.",
        )
    if migrate := results.get("migrate"):
        ratio = migrate["above_start_to_rg"]["wall"]
        yield Bar(
            "migrate / rg",
            ratio,
            f"Reading {migrate['files']} files of vLLM {migrate['release']} takes {_times(ratio)} as long as a plain text "
            "search for `kv_both`, Python's own start left out.",
        )


def _faults(results: Mapping[str, Any]) -> Iterator[str]:
    kills, faults = (_rows(results.get(k, {})) for k in ("kills", "io_faults"))
    if kills and faults:
        runs = sum(r["runs"] for r in (*kills, *faults))
        bad = sum(r["lost_or_mixed"] for r in kills) + sum(r["damaged"] for r in faults)
        yield f"Of {runs} runs that were killed, or met a full or failing disk, {bad or 'none'} left a damaged target."


def _rows(found: Mapping[str, Any]) -> list[Mapping[str, int]]:
    return [v for v in found.values() if isinstance(v, Mapping) and "runs" in v]


def _times(ratio: float) -> str:
    return f"{ratio:.2f} times" if ratio < 10 else f"{ratio:.0f} times"


def _picture(shown: list[Bar]) -> str:
    """Horizontal bars as an SVG, with a line where both are as fast; what it shows is also said in words."""
    height = STEP * len(shown) + 46
    most = max(1.0, *(b.ratio for b in shown))
    unit = (WIDTH - LEFT - 60) / most
    one = LEFT + unit
    rows = "".join(
        f'<text x="{LEFT - 8}" y="{STEP * n + 43}" class="label">{escape(b.label)}</text>'
        f'<rect x="{LEFT}" y="{STEP * n + 28}" width="{max(2.0, unit * b.ratio):.1f}" height="20"/>'
        f'<text x="{LEFT + max(2.0, unit * b.ratio) + 6:.1f}" y="{STEP * n + 43}">{b.ratio:.2f}</text>'
        for n, b in enumerate(shown)
    )
    words = "; ".join(f"{b.label}: {b.ratio:.2f}" for b in shown)
    return (
        '<figure class="chart">\n'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Time as a multiple of the usual way. {escape(words)}">'
        f'<path d="M{one:.1f} 18V{height - 8}"/><text x="{one:.1f}" y="13" class="one">as fast</text>{rows}</svg>\n'
        "<figcaption>Time as a multiple of the usual way: shorter is faster.</figcaption>\n</figure>\n"
    )
