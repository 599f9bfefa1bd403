"""One vocabulary for all carriers: the same evidence gets the same verdict, whatever it is written in."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from evidence.data_printers import DATA, TABLE, TEXT, ordered
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


def verdict(file: str, text: str) -> str:
    """The letters of what is said of each place of ``text``: prefill, decode, or undecided."""
    result = run.of_bytes(file, file, text.encode(), Options(Settings()))
    seen: dict[int, str] = {}
    for f in result.findings if result is not None else []:
        seen.setdefault(f.pos, LETTERS.get(f.code, "-"))
    return "".join(seen[p] for p in sorted(seen))


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_each_kind_of_evidence_says_in_each_carrier_what_the_matrix_says(evidence: str) -> None:
    texts = {name: carrier.print(evidence) for name, carrier in CARRIERS.items()}
    cells = MATRIX[evidence]
    said = {name: verdict(CARRIERS[name].file, text) for name, text in texts.items() if text is not None}
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
    said = {
        name: verdict(carrier.file, text) for name, carrier in CARRIERS.items() if (text := _printed(carrier, tree))
    }
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


_KEYS = """
prefill decode prefiller decoder worker server engine config kv vllm extra env instance node pool pods acme p d prefill_config
decode-pool both shared default common proxy router prefill_worker decodeWorker engines no_prefill remote_prefill
"""
_VALUES = """
role prefill | role decode | name prefill | name decode-0 | mode prefill | disaggregation_mode decode | image vllm | type decode
host prefill-host | worker_type prefill | component decode | stage prefill | peer decode | model prefill | comment prefill
log_file /tmp/prefill.log | description the decode worker | side decode | kind Pod | label prefill | group decode
served_model_name prefill | prefill_url http://x:8100
"""
_NUMBERS: list[tuple[str, object]] = [
    ("replicas", 0), ("replicas", 2), ("enabled", False), ("enabled", True), ("port", 8100), ("is_prefill", True),
    ("prefill", True), ("decode", False), ("proxy_port", 8100), ("decode_port", 8200), ("count", 1),
]  # fmt: skip
_ARGUMENTS = "--port 8100 --disaggregation-mode prefill decode --role --name --log-file /tmp/decode.log serve vllm"
_CONFIGS = st.sampled_from([TEXT, TABLE])


def _pairs() -> st.SearchStrategy[tuple[str, object]]:
    """A key and a plain value, a config, or the arguments of a server."""
    told = [tuple(row.strip().split(" ", 1)) for line in _VALUES.strip().split("\n") for row in line.split(" | ")]
    words = st.lists(st.sampled_from(_ARGUMENTS.split()), max_size=3)
    return st.one_of(
        st.sampled_from([*told, *_NUMBERS]),
        st.tuples(st.just("kv_transfer_config") | st.sampled_from(_KEYS.split()), _CONFIGS),
        words.map(lambda given: ("args", [*given, "--kv-transfer-config", TEXT])),
    )


def _mapping(values: st.SearchStrategy[tuple[str, object]]) -> st.SearchStrategy[dict[str, object]]:
    return st.lists(values, min_size=1, max_size=3, unique_by=lambda pair: pair[0]).map(dict)


def _nested(inner: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[dict[str, object]]:
    lists = st.tuples(st.sampled_from(["servers", "roles", "items"]), st.lists(inner, min_size=1, max_size=2))
    return _mapping(_pairs() | st.tuples(st.sampled_from(_KEYS.split()), inner) | lists)


def _told_alike(tree: dict[str, object]) -> None:
    said = {name: verdict(file, printed(ordered(tree)) + "\n") for name, (file, printed) in DATA.items()}
    assert len(set(said.values())) == 1, said


_DATA = st.recursive(_mapping(_pairs()), _nested, max_leaves=6).filter(
    lambda tree: TEXT in str(tree) or TABLE in str(tree)
)


@given(tree=_DATA)
@settings(max_examples=30)
def test_nested_data_says_the_same_in_every_carrier(tree: dict[str, object]) -> None:
    _told_alike(tree)


@pytest.mark.slow
@given(tree=_DATA)
@settings(max_examples=150)
def test_much_nested_data_says_the_same_in_every_carrier(tree: dict[str, object]) -> None:
    _told_alike(tree)
