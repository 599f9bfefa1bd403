"""Every parser on the inputs that fuzzing found and on its seeds; in the slow run on thousands of mutations of them.

``support/fuzz_inputs.py`` keeps them; ``fuzz.py`` is the search itself; what a target promises is in ``targets.py``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import fuzz_inputs as inputs


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


targets = _load("targets")
NAMES = list(targets.TARGETS)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    warnings.simplefilter("ignore", UserWarning)  # zipfile's, of the doubled members that are the point


@pytest.mark.parametrize("name", NAMES)
def test_what_was_found_and_kept(name: str) -> None:
    known = [*targets.TARGETS[name].seeds(), *inputs.kept(name)]
    assert known
    for data in known:
        targets.TARGETS[name].check(data)


@pytest.mark.sweep
@pytest.mark.parametrize("name", NAMES)
def test_mutations_of_it(name: str) -> None:
    target = targets.TARGETS[name]
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
