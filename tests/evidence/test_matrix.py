"""One vocabulary for all carriers: the same evidence gets the same verdict, whatever it is written in."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

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


class Place(NamedTuple):
    """A config in a file: its name or the words that start its server, the comments above and behind it, and the side that a
    condition round it asks for; a text that is empty is left out."""

    named: str
    words: tuple[str, ...] = ()
    above: str = ""
    behind: str = ""
    asked: str = ""


_SIDE = st.sampled_from(["prefill", "decode"])
_WORDS = """
prefill decode prefiller decoder prefills producer consumer kv config transfer json args role node worker server 0 1 no non
not without default shared old new proxy remote to from for is has my acme test mock base common cmd url port instance gpu
vllm nixl opts extra pd disagg p d both skip disable enabled only after pre host target peer all other first backup side mode
"""
_SAID = """
{S} worker | {s} instance | start {s} | Start the {s} server | for {s} | used by {s} | the {s} side | === {S} === | {s} (GPU 0)
not for {s} | without {s} | instead of {s} | same as {s} | before {s} | wait for {s} | connects to {s} | {s} and {o} | {s}/{o}
{s} -> {o} | {s} sends to {o} | TODO {s} | was {s} | {s}? | {s} disabled | never {s} | {s} only | 1. {s} | GPU 1: {s} | {s}:
{s}, TP=2 | kv_producer | {s} config, see the {o} one below | everything but {s} | unlike {s} | port of the {s} server | role: {s}
mode={s} | shared by {s} and {o} | the {s}'s | {S}! | deprecated {s}
"""
_FLAGS = """
--disaggregation-mode {s} | --role {s} | --worker-type {s} | --name {s}-0 | --served-model-name {s} | --log-file /tmp/{s}.log
--is-{s}-worker | --port 8100 | --host {s}-host | --{s}-url http://x:1 | --hostname {s} | --config {s}.yaml | --{s}er-port 8100
--config /etc/vllm/{s}/kv.yaml | --mode {s} | --no-{s} | --{s}-only | --label role={s} | --env ROLE={s} | --wait-for {s}
--peer {s} | --group {s}s | --type {s} | --remote-{s}-host a | --enable-chunked-prefill | --tensor-parallel-size 2
"""
_OTHER = {"prefill": "decode", "decode": "prefill"}


def _told(of: str) -> st.SearchStrategy[str]:
    forms = [form.strip() for line in of.strip().split("\n") for form in line.split(" | ")]
    return st.builds(lambda form, s: form.format(s=s, S=s.capitalize(), o=_OTHER[s]), st.sampled_from(forms), _SIDE)


@st.composite
def _trees(draw: st.DrawFn) -> list[Place]:
    """A file: values with names, or servers. Comments stand above some, or behind all; all are below a condition or none."""
    nothing = st.just("")
    if draw(st.booleans()):
        words = st.lists(_told(_FLAGS), max_size=2).map(lambda flags: tuple(w for f in flags for w in f.split(" ", 1)))
        servers = st.builds(Place, nothing, words, nothing | _told(_SAID), nothing, nothing)
        return draw(st.lists(servers, min_size=1, max_size=2))
    names = st.lists(st.sampled_from(_WORDS.split()), min_size=1, max_size=3).map(lambda words: "_".join(["x", *words]))
    names = (names | st.sampled_from(["prefill", "decode", "kv_one", "kv_two"])).filter(lambda n: "kv_both" not in n)
    above, behind, asked = draw(
        st.sampled_from(
            [(nothing | _told(_SAID), nothing, nothing), (nothing, _told(_SAID), nothing), (nothing, nothing, _SIDE)]
        )
    )
    values = st.builds(Place, names, st.just(()), above, behind, asked)
    return draw(st.lists(values, min_size=1, max_size=3, unique_by=lambda place: place.named))


def _printed(carrier: Carrier, tree: list[Place]) -> str | None:
    parts: list[str] = []
    for place in tree:
        if place.named:
            part = carrier.setting(carrier.name(place.named))
        elif carrier.server is not None:
            part = carrier.server(list(place.words))
        else:
            return None
        if (place.above or place.behind) and carrier.comment is None:
            return None
        if place.behind and not carrier.behind:
            return None
        comment = carrier.comment or ""
        part = f"{part} {comment.format(place.behind)}" if place.behind else part
        part = f"{comment.format(place.above)}\n{part}" if place.above else part
        if place.asked and carrier.branch is None:
            return None
        parts.append(carrier.branch(place.asked, part) if place.asked and carrier.branch is not None else part)
    return carrier.whole.replace("{}", "\n".join(parts), 1) + "\n"


def _agree(tree: list[Place]) -> None:
    said = {name: verdict(carrier, text) for name, carrier in CARRIERS.items() if (text := _printed(carrier, tree))}
    assert len(set(said.values())) == 1, said


@given(tree=_trees())
@settings(max_examples=20)
def test_a_tree_of_evidence_says_the_same_in_every_carrier_that_can_hold_it(tree: list[Place]) -> None:
    _agree(tree)


@pytest.mark.slow
@given(tree=_trees())
@settings(max_examples=150)
def test_many_trees_of_evidence_say_the_same_in_every_carrier_that_can_hold_them(tree: list[Place]) -> None:
    _agree(tree)
