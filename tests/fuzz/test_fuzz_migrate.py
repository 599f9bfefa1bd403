"""Mutations of the corpus under every kind of name: cut, doubled, spliced, with bytes flipped."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent
CORPUS = HERE.parent / "corpus"
_spec = importlib.util.spec_from_file_location("fuzz_migrate", HERE / "fuzz_migrate.py")
assert _spec is not None
assert _spec.loader is not None
fuzz = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fuzz)
SEEDS = [p.read_bytes() for p in sorted(CORPUS.rglob("*")) if p.is_file()]
PIECES = [
    b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b"\n", b"\t", b"{{", b"}}", b"{%", b"$(", b"<<EOF\n", b"```\n", b": ", b"- ", b"#",
          b"&a ", b"*a", b"|\n", b">-\n", b"\r\n", b"\xc3\xa9", b"kv_both", b"---\n", b"${X:-", b"`", b"r#\"",
]  # fmt: skip


@st.composite
def _mutants(draw: st.DrawFn) -> bytes:
    data = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        to = draw(st.integers(at, min(len(data), at + 80)))
        data = (
            data[:at] + draw(st.sampled_from([b"", data[at:to] * 2, *PIECES])) + data[draw(st.sampled_from([at, to])) :]
        )
    return data


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=int(os.environ.get("KV_ROLES_EXAMPLES", "2000")),
    suppress_health_check=list(HealthCheck),
)
@given(_mutants(), st.sampled_from(fuzz.NAMES))
def test_mutants_of_the_corpus(data: bytes, name: str) -> None:
    fuzz.check(name, data)


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=int(os.environ.get("KV_ROLES_EXAMPLES", "2000")),
    suppress_health_check=list(HealthCheck),
)
@given(
    st.lists(st.sampled_from([*PIECES, b" ", b"NixlConnector", b"kv_role", b"prefill", b"a", b"="]), max_size=60),
    st.sampled_from(fuzz.NAMES),
)
def test_soup(pieces: list[bytes], name: str) -> None:
    fuzz.check(name, b"".join(pieces) + b" NixlConnector kv_both")
