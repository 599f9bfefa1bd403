"""Any change near the hunks of a real release ends in a proven tree or a refusal, never in a wrong tree."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kvroles.apply import fit
from kvroles.apply.prove import prove_plan
from kvroles.errors import DoesNotApply, Unproven
from kvroles.places import default_cache_dir
from kvroles.series import patchfile, project
from kvroles.sources import release_files
from kvroles.sources.release_files import Options

pytestmark = pytest.mark.upstream

SERIES, LOCK = project.load()
OPTIONS = Options(default_cache_dir())
RELEASES = ["0.9.2", "0.13.0", "0.20.2", "0.22.1", "0.29.0", "0.33.0"]
KINDS = ["insert", "delete", "duplicate", "indent", "rename", "swap"]


@cache
def files_of(release: str) -> dict[str, bytes]:
    """What the series reads of the release's archive, by path; unpacked once for all examples."""
    return dict(release_files.extract(LOCK.releases[release], SERIES, OPTIONS).files)


def near_a_hunk(release: str, path: str, pick: int) -> int:
    """The index of a line within three lines of some hunk of the variant that serves ``path``."""
    row = LOCK.releases[release]
    for name, topic in row.topics.items():
        if path in topic.files and topic.variant and not SERIES.topic(name).optional:
            patch = next(f for f in SERIES.topic(name).patch(topic.variant).files if f.path == path)
            _, fits = patchfile.apply(files_of(release)[path], patch)
            hunk = pick % len(fits)
            return max(0, fits[hunk].line - 4 + pick % (len(patch.hunks[hunk].old) + 6))
    raise AssertionError(path)


def mutate(lines: list[bytes], at: int, kind: str) -> None:
    at = min(at, len(lines) - 1)
    match kind:
        case "insert":
            lines.insert(at, b"# something new\n")
        case "delete":
            del lines[at]
        case "duplicate":
            lines[at:at] = lines[max(0, at - 3) : at + 1]
        case "indent":
            lines[at] = b"  " + lines[at]
        case "rename":
            lines[at] = lines[at].replace(b"config", b"cfg").replace(b"CONFIG", b"CFG")
        case "swap":
            lines[at : at + 2] = lines[at : at + 2][::-1]


def touched(release: str) -> list[str]:
    row = LOCK.releases[release]
    default = {t.name for t in SERIES.chosen()}
    return sorted(
        p for n, t in row.topics.items() if n in default and t.variant for p, f in t.files.items() if f.before
    )


@settings(max_examples=6)
@given(
    edits=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 999), st.sampled_from(KINDS)), min_size=1, max_size=4),
)
@example(edits=[(0, 0, "duplicate")])
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("release", RELEASES)
def test_a_change_near_a_hunk_is_survived_or_refused(release: str, edits: list[tuple[int, int, str]]) -> None:
    files = dict(files_of(release))
    paths = touched(release)
    for which, where, kind in edits:
        path = paths[which % len(paths)]
        lines = patchfile.split_lines(files[path])
        mutate(lines, near_a_hunk(release, path, where), kind)
        files[path] = b"".join(lines)
    refused = ""
    try:
        plan = fit.plan(files.get, SERIES, LOCK, SERIES.chosen(), nearest=release, exact=True)
        prove_plan(files, plan, {f.path for t in plan.topics for f in t.files})
    except (DoesNotApply, Unproven) as e:
        refused = str(e)
    if refused:
        assert "hunk" in refused or "clause" in refused
        return
    for change in plan.changes:
        if change.path not in SERIES.overlay:
            assert_is_a_variants_result(change.path, change.before, change.after)


def assert_is_a_variants_result(path: str, before: bytes | None, after: bytes | None) -> None:
    for topic in SERIES.topics:
        for variant in topic.variants:
            for f in topic.patch(variant).files:
                if f.path == path:
                    try:
                        made, _ = patchfile.apply(before, f, unique=True)
                    except patchfile.HunkMismatch:
                        continue
                    if made == after:
                        return
    raise AssertionError(f"{path} is not what any variant, each hunk in its one place, makes of it")
