"""What the tests of apply share."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny as project
from support.clones import alike, in_
from support.driver import Ran
from support.files import put, snapshot
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


@pytest.fixture(scope="module")
def _a_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits of the small 0.22.1, a tag of a file, a tag of a tag of a tag, and two objects whose ids begin alike."""
    folder = put(tmp_path_factory.mktemp("made") / "a clone", project.pristine("0.22.1"))
    in_(folder, "init", "-q", "-b", "main")
    in_(folder, "add", "-A")
    in_(folder, "commit", "-q", "-m", "1")
    in_(folder, "commit", "-q", "--allow-empty", "-m", "2")
    in_(folder, "tag", "a-file", "main:README.md")
    for name, of in (("t1", "main"), ("t2", "t1"), ("t3", "t2")):
        in_(folder, "tag", "-a", "-m", name, name, of)
    for text in alike():
        put(folder, {"alike": text})
        in_(folder, "hash-object", "-w", "alike")
    (folder / "alike").unlink()
    return folder


@pytest.fixture
def a_clone(_a_clone: Path, home: Path) -> Path:
    return shutil.copytree(_a_clone, home / "a clone", symlinks=True)
