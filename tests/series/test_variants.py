"""The variants as a maintainer reads them: none that the text does not force, and clean under each release's own linter."""

from __future__ import annotations

import difflib
import functools
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
from kvroles.apply import plan as plans
from kvroles.places import default_cache_dir
from kvroles.series import patchfile, project
from kvroles.sources import release_files
from kvroles.sources.release_files import Options
from support.cost import slow_but

pytestmark = pytest.mark.upstream

SERIES, LOCK = project.load()
OPTIONS = Options(default_cache_dir())
RELEASES = [r for r, row in LOCK.releases.items() if row.archive]
STARTS = [r for r in RELEASES if any(r in t.variants for t in SERIES.topics)]
SOME = ["0.22.0"]
OPTIONAL = [t.name for t in SERIES.topics if t.optional]

Change = tuple[bytes, bytes]  # a file before and after


def changes(release: str, *extra: str) -> dict[str, Change]:
    """What the series makes of the files of a release that ship before it and after it."""
    row = LOCK.releases[release]
    files = dict(release_files.extract(row, SERIES, OPTIONS).files)
    plan = plans.plan(files.get, row, SERIES, SERIES.chosen(extra))
    return {c.path: (c.before or b"", c.after or b"") for c in plan.changes}


def of_topic(release: str, topic: str, all_changes: dict[str, Change]) -> dict[str, Change]:
    return {p: c for p, c in all_changes.items() if p in LOCK.releases[release].topics[topic].files}


def edits(change: Change) -> list[tuple[list[bytes], int, int, list[bytes]]]:
    """The edits of a file: the old lines, where the edit starts and ends in them, and what it puts there."""
    old, new = (patchfile.split_lines(side) for side in change)
    ops = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(old, i1, i2, new[j1:j2]) for op, i1, i2, j1, j2 in ops if op != "equal"]


def one_hunk_serves(one: Change, other: Change) -> bool:
    """Whether one hunk for each edit, with all the context the two files share, fits both in a single place."""
    ours, theirs = edits(one), edits(other)
    return len(ours) == len(theirs) and all(map(shared, ours, theirs))


def shared(ours: tuple[list[bytes], int, int, list[bytes]], theirs: tuple[list[bytes], int, int, list[bytes]]) -> bool:
    (a, a1, a2, a_new), (b, b1, b2, b_new) = ours, theirs
    if a[a1:a2] != b[b1:b2] or a_new != b_new:
        return False
    before = _common(reversed(a[:a1]), reversed(b[:b1]))
    after = _common(iter(a[a2:]), iter(b[b2:]))
    if not before or not after:
        return False  # git takes a hunk without context on one side to stand at that end of the file
    needle = a[a1 - before : a2 + after]
    return all(
        sum(lines[i : i + len(needle)] == needle for i in range(len(lines) - len(needle) + 1)) == 1 for lines in (a, b)
    )


def _common(one: Iterator[bytes], other: Iterator[bytes]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@pytest.mark.parametrize("topic", [t.name for t in SERIES.chosen()])
def test_a_variant_starts_only_where_the_text_forces_one(topic: str) -> None:
    served = [r for r in RELEASES if LOCK.releases[r].topics[topic].variant]
    for one, other in pairwise(served):
        if LOCK.releases[one].topics[topic].variant == LOCK.releases[other].topics[topic].variant:
            continue
        ours, theirs = (of_topic(r, topic, changes(r)) for r in (one, other))
        same_files = ours.keys() == theirs.keys()  # git am refuses a mail about a file that is not there
        assert not (same_files and all(one_hunk_serves(ours[p], theirs[p]) for p in ours)), (
            f"one variant could serve {one} and {other}"
        )


@pytest.fixture
def linted(archive: Callable[[str], Path], tmp_path: Path) -> Callable[[str, dict[str, bytes]], set[tuple[str, str]]]:
    """``linted(release, files)``: (file, rule) of what ruff, as the release sets it up, finds in ``files``."""

    @functools.cache
    def rules(release: str) -> bytes:
        row = LOCK.releases[release].archive
        assert row is not None
        with tarfile.open(archive(release)) as tar:
            member = tar.extractfile(f"{row.top}/pyproject.toml")
            assert member is not None
            return member.read()

    def run(release: str, files: dict[str, bytes]) -> set[tuple[str, str]]:
        (tmp_path / "pyproject.toml").write_bytes(rules(release))
        for path, data in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
        # Of the tree only these files are here: who belongs to vLLM is said, and what a package is, not asked.
        alone = ["--config", "lint.isort.known-first-party=['vllm', 'tests']", "--ignore", "INP"]
        command = [sys.executable, "-m", "ruff", "check", "-q", "--no-cache", "--output-format=json", *alone, *files]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        return {(str(Path(f["filename"]).relative_to(tmp_path)), f["code"]) for f in json.loads(done.stdout)}

    return run


@pytest.mark.parametrize("release", slow_but(SOME, STARTS))
def test_the_release_s_own_linter_finds_nothing_new(
    linted: Callable[[str, dict[str, bytes]], set[tuple[str, str]]], release: str
) -> None:
    extra = [t for t in OPTIONAL if LOCK.releases[release].topics[t].variant]
    python = {p: c for p, c in changes(release, *extra).items() if p.endswith(".py")}
    was = linted(release, {p: before for p, (before, _) in python.items() if before})
    assert linted(release, {p: after for p, (_, after) in python.items()}) - was == set()
