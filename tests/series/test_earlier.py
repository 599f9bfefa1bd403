"""Every series that this repository has given out is known: its trees are told apart, brought up to date and taken back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvroles.apply import fit
from kvroles.apply import plan as plans
from kvroles.apply.prove import prove_plan
from kvroles.apply.state import State, touched_paths
from kvroles.digest import sha256
from kvroles.errors import Unproven
from kvroles.places import default_cache_dir
from kvroles.series import patchfile, project
from kvroles.series.earlier import Earlier
from kvroles.series.release import version
from kvroles.sources import release_files
from kvroles.sources.release_files import Options

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SERIES, LOCK = project.load()
OPTIONS = Options(default_cache_dir())
NUMBERS = sorted({c.number for changes in SERIES.earlier.changes.values() for c in changes})
RELEASES = [r for r, row in LOCK.releases.items() if row.archive]

of_series = pytest.mark.parametrize(
    "number", [*(pytest.param(n, marks=pytest.mark.slow) for n in NUMBERS[:-1]), NUMBERS[-1]]
)
Files = dict[str, bytes]


def pristine(release: str) -> Files:
    return dict(release_files.extract(LOCK.releases[release], SERIES, OPTIONS).files)


def carried_out(files: Files, plan: plans.Plan) -> Files:
    after = {**files, **{c.path: c.after for c in plan.changes}}
    return {p: d for p, d in after.items() if d is not None}


def after(data: bytes | None, patch: patchfile.FilePatch) -> bytes | None:
    try:
        return patchfile.apply(data, patch, unique=True)[0]
    except patchfile.HunkMismatch:
        return None


def left_by(number: int, release: str, extra: tuple[str, ...]) -> Files:
    """A release's files as series ``number`` left them."""
    now: dict[str, bytes | None] = dict(pristine(release))
    for topic in SERIES.chosen(extra):
        variant = LOCK.releases[release].topics[topic.name].variant
        for f in topic.patch(variant).files if variant else ():
            changes = [
                c for c in SERIES.earlier.changes.get(f.path, ()) if c.topic == topic.name and c.number >= number
            ]
            served = [c for c in changes if version(c.variant) <= version(release)]
            served.sort(key=lambda c: (version(c.variant), -c.number), reverse=True)
            then = [m for c in served if (m := after(now.get(f.path), c.patch))]
            now[f.path] = then[0] if then else after(now.get(f.path), f)
    return {p: d for p, d in now.items() if d is not None}


def applied(release: str, extra: tuple[str, ...]) -> Files:
    """A release's files as the present series leaves them."""
    files = pristine(release)
    return carried_out(files, plans.plan(files.get, LOCK.releases[release], SERIES, SERIES.chosen(extra)))


def differing(one: Files, other: Files) -> set[str]:
    return {p for p in one.keys() | other.keys() if one.get(p) != other.get(p)} - SERIES.overlay.keys()


@pytest.mark.upstream
@pytest.mark.parametrize("extra", [(), ("reject-kv-both",)], ids=["the default series", "with reject-kv-both"])
@of_series
def test_a_tree_of_an_earlier_series_is_known_replaced_and_taken_back(number: int, extra: tuple[str, ...]) -> None:
    seen = 0
    for release in RELEASES:
        files, row = left_by(number, release, extra), LOCK.releases[release]
        goal = applied(release, extra)
        otherwise = differing(files, goal)
        if not otherwise:
            continue
        seen += 1
        plan = plans.plan(files.get, row, SERIES, SERIES.chosen(extra), where=release)
        assert {f.path for t in plan.topics for f in t.files if f.state is State.EARLIER} == otherwise, release
        prove_plan(files, plan, set(touched_paths(row, SERIES)))
        assert carried_out(files, plan) == goal, release
        back = plans.plan(files.get, row, SERIES, SERIES.chosen(extra), reverse=True)
        assert carried_out(files, back) == pristine(release), release
    assert seen or (not extra and number < max(NUMBERS)), "no release shows a difference: why is it kept?"


@pytest.mark.upstream
@pytest.mark.long
@of_series
def test_so_is_a_fork_that_an_earlier_series_has_patched(number: int) -> None:
    for release in ("0.9.1", "0.14.1", RELEASES[-1]):
        files = left_by(number, release, ())
        otherwise = differing(files, applied(release, ()))
        untouched = pristine(release)
        for path in {p for p in otherwise if p.endswith((".py", ".sh"))}:
            files[path] += b"# A fork's own line.\n"
            untouched[path] += b"# A fork's own line.\n"
        topics = SERIES.chosen()
        plan = fit.plan(files.get, SERIES, LOCK, topics, nearest=release)
        prove_plan(files, plan, {f.path for t in plan.topics for f in t.files}, locked=False)
        fresh = fit.plan(untouched.get, SERIES, LOCK, topics, nearest=release)
        assert carried_out(files, plan) == carried_out(untouched, fresh), release
        back = fit.plan(files.get, SERIES, LOCK, topics, nearest=release, reverse=True)
        assert carried_out(files, back) == untouched, release


def given_out() -> Iterator[str]:
    """The commits, as far as the history here goes, that changed the series."""
    command = ["git", "-C", str(ROOT), "log", "--first-parent", "--format=%H", "--", "patches", "vllm_overlay"]
    yield from subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


def test_each_series_that_a_commit_gave_out_is_the_present_one_or_kept() -> None:
    known = {(t.name, f.path, f.hunks) for t in SERIES.topics for v in t.variants for f in t.patch(v).files} | {
        (c.topic, path, c.patch.hunks) for path, changes in SERIES.earlier.changes.items() for c in changes
    }
    overlay = {(path, sha256(data)) for path, data in SERIES.overlay.items()}
    overlay |= {(path, sha) for path, hashes in SERIES.earlier.overlay.items() for sha in hashes}
    commits = list(given_out())
    if not commits:
        pytest.skip("there is no history here: the project was unpacked, not cloned")
    blobs: dict[str, str] = {}
    for commit in commits:
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-tree", "-r", commit, "patches", "vllm_overlay"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        blobs |= {line.split()[2]: line.partition("\t")[2] for line in listed.splitlines()}
    for blob, path in blobs.items():
        data = subprocess.run(
            ["git", "-C", str(ROOT), "cat-file", "blob", blob], capture_output=True, check=True
        ).stdout
        how = f"{path} of an earlier commit is not kept: `python tools/port.py --keep COMMIT`"
        if path.startswith("vllm_overlay/"):
            assert (path.removeprefix("vllm_overlay/"), sha256(data)) in overlay, how
        elif path.endswith(".patch") and not path.startswith("patches/earlier/"):
            topic = path.split("/")[1]
            assert all((topic, f.path, f.hunks) in known for f in patchfile.parse(data, path).files), how


@pytest.mark.parametrize("name", ["overlay", "1-connector-warning-0.9.0.patch", "first-of-all.patch"])
def test_a_damaged_file_is_named_and_nothing_is_taken_from_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nonsense\n")
    earlier = Earlier(tmp_path)
    with pytest.raises(Unproven, match=name):
        _ = earlier.overlay if name == "overlay" else earlier.changes
