"""What the tests of apply share."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from support.driver import Ran
from support.files import snapshot
from support.refusals import place_of


@pytest.fixture
def untouched(tmp_path: Path) -> Callable[..., Ran]:
    """``untouched(ran, code, *phrases)`` after ``ran = ...``: the run refused, and nothing below tmp_path changed."""

    def check(run: Callable[[], Ran], code: int, *phrases: str) -> Ran:
        before = snapshot(tmp_path, times=True)
        ran = run().refused(code, *phrases)
        assert snapshot(tmp_path, times=True) == before
        return ran

    return check


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a blank in its name, in which all happens."""
    (tmp_path / "my work").mkdir()
    return tmp_path / "my work"


@pytest.fixture
def here(tree: Path, home: Path) -> Path:
    """The pristine tree ``a tree`` in that folder."""
    return tree.rename(home / "a tree")


@pytest.fixture
def done(apply: Callable[..., Ran], home: Path) -> Callable[..., Ran]:
    """``done("--into 'a tree'")``: the run ends well."""
    return lambda line, **kw: apply(*shlex.split(line), cwd=home, **kw).ok()


@pytest.fixture
def refused(apply: Callable[..., Ran], home: Path) -> Callable[..., Ran]:
    """``refused(place, line, says)``: the run is refused at ``place``, and its fix line holds ``says``."""

    def run(place: str, line: str, says: str, **kw: object) -> Ran:
        ran = apply(*shlex.split(line), cwd=home, note=True, **kw)
        assert ran.code, ran
        assert place in [place_of(line) for line in ran.made], (ran.err, ran.made)
        assert says in ran.said
        return ran

    return run
