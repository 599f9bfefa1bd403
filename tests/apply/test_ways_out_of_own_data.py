"""Damage to the project's own files is mended by the command that the refusal names, in folders with blanks in their names."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kvroles.sources.git import in_scratch
from support.advice import commands
from support.driver import Driver, Ran
from support.files import put
from support.refusals import place_of
from support.tiny import CONNECTOR, GUIDE, OVERLAY, Tiny, next_series, pristine

pytestmark = pytest.mark.slow

GUIDES = "patches/guides/0.22.1.patch"
EDITS = [
    ("series.lock._damaged.1", "patches/lock.json", "^", "x"),
    ("series.patchfile.bad.1", GUIDES, "Subject:", "Sbject:"),
    ("series.project.checked.1", f"vllm_overlay/{OVERLAY}", "$", "x"),
    ("series.project.checked.2", "patches/series", "guides\n", ""),
    ("series.topics.variant_for.1", GUIDES, "Applies-To: ", "Applies-To: x"),
    ("series.topics._patch.1", GUIDES, "", None),
    ("series.topics.load.1", "patches/series", "", None),
    ("series.topics.load.2", "patches/series", "guides", "no topic"),
    ("series.earlier._damaged.1", "patches/earlier/overlay", "^", "x"),
    ("apply.new_tree._of_release.1", "patches/lock.json", r'(": \{\s*"before": ")\w{8}', r"\g<1>00000000"),
    (
        "apply.new_tree._same.1",
        "patches/lock.json",
        r'("tree": \{\s*"files": \d+,\s*"before": ")\w{8}',
        r"\g<1>00000000",
    ),
    ("apply.plan._parted.1", GUIDES, r"\+(.*)kv_producer", r"+\g<1>kv_producing"),
]
OF_A_FORK = {"series.topics.variant_for.1", "series.earlier._damaged.1"}  # a release is known by its hashes


@pytest.fixture(scope="module")
def checkout(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tiny, Driver]]:
    """A checkout of the project one series later, and its tool."""
    folder = tmp_path_factory.mktemp("made") / "my checkout"
    made = next_series(tiny, folder)
    for args in (("add", "-A", "patches", "vllm_overlay"), ("commit", "-q", "-m", "Series 2")):
        assert in_scratch(folder, *args).returncode == 0
    driver = Driver(folder / "tools", tmp_path_factory.mktemp("driver"))
    yield made, driver
    driver.close()


@pytest.fixture
def new_tree(checkout: tuple[Tiny, Driver], home: Path) -> Callable[..., Ran]:
    """Build a tree of the small 0.22.1, or of a fork of it, with that project; an earlier one is taken away first."""
    made, driver = checkout
    guide = pristine("0.22.1")[GUIDE].replace(b"Start the", b"Start our")
    put(home / "a fork", pristine("0.22.1") | {CONNECTOR: pristine("0.22.1")[CONNECTOR] + b"# ours\n", GUIDE: guide})
    (home / "a fork" / "PKG-INFO").unlink()

    def run(*, fork: bool = False) -> Ran:
        shutil.rmtree(home / "a new one", ignore_errors=True)
        of = ("--upstream", "a fork", "--3way", "--exact") if fork else ("--vllm-rev", "0.22.1")
        where = ("--output", "a new one", "--offline", "--cache-dir", made.cache)
        return driver.run(*of, *where, cwd=home, note=True)

    return run


@pytest.mark.parametrize(("place", "path", "old", "new"), EDITS, ids=[e[0] for e in EDITS])
def test_a_damaged_file_of_the_project_is_restored_by_the_command_that_is_named(
    checkout: tuple[Tiny, Driver],
    new_tree: Callable[..., Ran],
    home: Path,
    place: str,
    path: str,
    old: str,
    new: str | None,
) -> None:
    file = checkout[0].root / path
    before = file.read_bytes()
    if new is None:
        file.unlink()
    else:
        damaged = re.sub(old, new, before.decode())
        file.write_text(damaged)
        assert damaged.encode() != before
    try:
        ran = new_tree(fork=place in OF_A_FORK)
        assert ran.code == 3, ran
        assert place in [place_of(line) for line in ran.made], (ran.err, ran.made)
        (command, *_) = commands(ran.err)
        assert shlex.split(command)[:4] == ["git", "-C", str(checkout[0].root), "checkout"]
        subprocess.run(command, shell=True, cwd=home, check=True, capture_output=True)
        assert file.read_bytes() == before
        new_tree(fork=place in OF_A_FORK).ok()
    finally:
        file.write_bytes(before)


def test_a_variant_of_a_name_that_is_no_release_is_given_one(
    checkout: tuple[Tiny, Driver], new_tree: Callable[..., Ran]
) -> None:
    file = checkout[0].root / GUIDES
    moved = file.rename(file.with_name("first.patch"))
    try:
        ran = new_tree().refused(3, "Name it <first-release>.patch")
        assert [place_of(line) for line in ran.made] == ["series.topics.load.3"]
    finally:
        moved.rename(file)
    new_tree().ok()
