"""Every parser on the inputs that fuzzing found and on its seeds; in the slow run on thousands of mutations of them.

``support/fuzz_inputs.py`` keeps them; ``fuzz.py`` is the search itself; what a target promises is in ``targets``.
"""

from __future__ import annotations

import os
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import fuzz_inputs as inputs
from targets import TARGETS

NAMES = list(TARGETS)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    warnings.simplefilter("ignore", UserWarning)  # zipfile's, of the doubled members that are the point


@pytest.mark.parametrize("name", NAMES)
def test_what_broke_it_once_does_so_no_more(name: str) -> None:
    known = [*TARGETS[name].seeds(), *inputs.kept(name).mended]
    assert known
    for data in known:
        TARGETS[name].check(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if inputs.kept(name).reach])
def test_what_was_found_and_kept(name: str) -> None:
    for data in inputs.kept(name).reach:
        TARGETS[name].check(data)


@pytest.mark.sweep
@pytest.mark.parametrize("name", NAMES)
def test_mutated_inputs_break_no_parser(name: str) -> None:
    target = TARGETS[name]
    seeds = [*target.seeds(), *inputs.kept(name)]
    pieces = [b"", b"\0", b"\xff", b"\n", b'"', b"{", b"}", *target.words]

    @st.composite
    def mutants(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(seeds))
        for _ in range(draw(st.integers(0, 6))):
            at = draw(st.integers(0, len(data)))
            to = draw(st.integers(at, min(len(data), at + 80)))
            middle = draw(st.sampled_from([data[at:to] * 2, *pieces]))
            data = data[:at] + middle + data[draw(st.sampled_from([at, to])) :]
        return data

    @settings(
        deadline=None,
        max_examples=int(os.environ.get("KV_ROLES_EXAMPLES", "1000")),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(mutants())
    def check(data: bytes) -> None:
        target.check(data)

    check()
