"""One vocabulary for all carriers: the same evidence gets the same verdict, whatever it is written in."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from evidence.printers import CARRIERS, EVIDENCE, Carrier
from hypothesis import given, settings
from hypothesis import strategies as st
from kvroles.migrate import run
from kvroles.migrate.readers.registry import READERS
from kvroles.migrate.settings import Options, Settings

MATRIX = tomllib.loads((Path(__file__).parent / "matrix.toml").read_text(encoding="utf-8"))
LETTERS = {"KVR101": "P", "KVR102": "D"}
# Readers that no carrier of the matrix stands for: documents and notebooks hold the others, the last read no language.
HOLDERS = {"markdown", "notebook", "tsx", "log", "value", "prose", "unknown"}
READ_AS = {"json5": "json", "env": "shell", "jinja": "yaml", "helm": "yaml", "ini": "unit", "systemd": "unit"}


def verdict(carrier: Carrier, text: str) -> str:
    result = run.of_bytes(carrier.file, carrier.file, text.encode(), Options(Settings()))
    seen: dict[int, str] = {}
    for f in result.findings if result is not None else []:
        seen.setdefault(f.pos, LETTERS.get(f.code, "-"))
    return "".join(seen[p] for p in sorted(seen))


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_each_kind_of_evidence_says_in_each_carrier_what_the_matrix_says(evidence: str) -> None:
    texts = {name: carrier.print(evidence) for name, carrier in CARRIERS.items()}
    cells = MATRIX[evidence]
    said = {name: verdict(CARRIERS[name], text) for name, text in texts.items() if text is not None}
    assert said == {name: cells[name] for name in said}
    assert all(cells[name]["none"] for name in texts.keys() - said.keys()), "an empty cell carries its reason"


def test_the_matrix_has_a_cell_for_each_pair() -> None:
    assert {e: set(row) for e, row in MATRIX.items()} == {e: set(CARRIERS) for e in EVIDENCE}


def test_each_reader_has_a_carrier_in_the_matrix() -> None:
    assert set(READERS) - HOLDERS <= {READ_AS.get(name, name) for name in CARRIERS}


@given(
    words=st.lists(
        st.sampled_from(["vllm", "nixl", "worker", "server", "kv", "node", "0", "acme", "no", "sans"]), max_size=3
    ),
    at=st.integers(0, 3),
)
@settings(max_examples=12)
def test_a_name_of_the_same_words_is_of_the_same_side_in_every_carrier(words: list[str], at: int) -> None:
    said: dict[str, str] = {}
    for name, carrier in CARRIERS.items():
        lines = [
            carrier.setting(carrier.name("_".join(["x", *words[:at], side, *words[at:]])))
            for side in ("prefill", "decode")
        ]
        said[name] = verdict(carrier, carrier.whole.replace("{}", "\n".join(lines), 1) + "\n")
    assert len(set(said.values())) == 1, said


_TITLES = ["Prefill worker", "Start the decode server", "1. prefill", "not prefill", "wait for decode", "GPU 0: decode"]


@given(said=st.tuples(st.sampled_from(_TITLES), st.sampled_from(_TITLES)), behind=st.booleans())
@settings(max_examples=12)
def test_a_comment_of_the_same_words_says_the_same_in_every_carrier(said: tuple[str, str], behind: bool) -> None:
    found: dict[str, str] = {}
    for name, carrier in CARRIERS.items():
        if carrier.comment is None or (behind and not carrier.behind):
            continue
        lines: list[str] = []
        for n, words in enumerate(said):
            plain, comment = carrier.setting(carrier.name(f"kv_{'ab'[n]}")), carrier.comment.format(words)
            lines.append(f"{plain} {comment}" if behind else f"{comment}\n{plain}")
        found[name] = verdict(carrier, carrier.whole.replace("{}", "\n".join(lines), 1) + "\n")
    assert len(set(found.values())) == 1, found


_NAMES = ["kv_one", "kv_prefill", "kv_decode", "vllm_prefill_0", "non_prefill", "sans_decode"]
_SAID = ["", "Prefill worker", "Start the decode server", "not the prefill worker", "wait for decode"]
_ASKED = ["", "prefill", "decode"]


@st.composite
def _trees(draw: st.DrawFn) -> list[tuple[str, str, str]]:
    """Places in a file: the side that a condition round each asks for, the comment above it, its name. All are asked for or none."""
    asked = draw(st.booleans())
    places = st.tuples(
        st.sampled_from(_ASKED[1:] if asked else _ASKED[:1]), st.sampled_from(_SAID), st.sampled_from(_NAMES)
    )
    return draw(st.lists(places, min_size=1, max_size=3, unique_by=lambda place: place[2]))


def _printed(carrier: Carrier, tree: list[tuple[str, str, str]]) -> str | None:
    parts: list[str] = []
    for asked, said, name in tree:
        if (asked and carrier.branch is None) or (said and carrier.comment is None):
            return None
        part = carrier.setting(carrier.name(name))
        part = f"{carrier.comment.format(said)}\n{part}" if said and carrier.comment is not None else part
        parts.append(carrier.branch(asked, part) if asked and carrier.branch is not None else part)
    return carrier.whole.replace("{}", "\n".join(parts), 1) + "\n"


@given(tree=_trees())
@settings(max_examples=12)
def test_a_tree_of_evidence_says_the_same_in_every_carrier_that_can_hold_it(tree: list[tuple[str, str, str]]) -> None:
    said = {name: verdict(carrier, text) for name, carrier in CARRIERS.items() if (text := _printed(carrier, tree))}
    assert len(set(said.values())) == 1, said
