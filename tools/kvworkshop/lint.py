"""Patch lint: what every variant must be, beside applying. Each finding has a stable code with a page of its own."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kvroles.contract import terms
from kvroles.errors import Exit, KvRolesError
from kvroles.said import counted, said
from kvroles.series import earlier, mail, patchfile, project
from kvroles.series.lock import Lock
from kvroles.series.release import in_range, version
from kvroles.series.topics import Series, Topic
from kvroles.sources import git, release_files
from kvroles.sources.release_files import Options
from unidiff import PatchSet, UnidiffParseError

from kvworkshop import checker, own
from kvworkshop.port import lock_rows

CODES = {
    "KVR001": "A trailer is missing",
    "KVR002": "A trailer is not true",
    "KVR003": "Applies-To does not match the releases the variant serves",
    "KVR004": "A hunk fits in more than one place, or only with an unequal context",
    "KVR005": "An added line ends in blanks",
    "KVR006": "No release uses the variant",
    "KVR007": "The series and the folders do not name the same topics, each once",
    "KVR008": "git am does not take the variant, or makes other bytes of it",
    "KVR009": "Two topics change one file where they must not",
    "KVR010": "The diff is malformed",
    "KVR011": "The contract's checker changed and its number did not",
}
_STATUS = re.compile(r"(Backport|Submitted|Inappropriate) \[.+\]")


@dataclass(frozen=True)
class Finding:
    """``code`` is a key of CODES; ``where`` names the patch or file; ``why`` says what is wrong there."""

    code: str
    where: str
    why: str

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "where": self.where, "why": self.why}


def text(findings: list[Finding]) -> str:
    """A line a finding, or that there is none."""
    lines = [f"{said(f.where)}: {f.code} {CODES[f.code]}: {said(f.why)}" for f in findings]
    return "\n".join([*lines, counted(len(findings), "finding") if findings else "The patches are clean."]) + "\n"


def check(options: Options) -> list[Finding]:
    """Every finding in the series, in order of application."""
    own.refuse_links(own.ROOT)
    series, lock = project.load()
    out = list(_folders(series))
    for topic in series.topics:
        for variant in topic.variants:
            out += _variant(topic, variant, lock)
    out += _overlaps(lock, series)
    out += _checker(lock)
    if not any(f.code == "KVR010" for f in out):  # what cannot be read cannot be tried on a release
        out += _releases(series, lock, options)
    return out


def _folders(series: Series) -> Iterator[Finding]:
    names = [t.name for t in series.topics]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield Finding("KVR007", "patches/series", f"{name} is listed {names.count(name)} times")
    for topic in series.topics:
        if not topic.variants:
            yield Finding("KVR007", "patches/series", f"{topic.name} has no variant")
    for folder in sorted(p for p in (own.ROOT / "patches").iterdir() if p.is_dir()):
        if folder.name not in {*names, earlier.FOLDER}:
            yield Finding("KVR007", f"patches/{folder.name}", "it is not listed in patches/series")


def _variant(topic: Topic, variant: str, lock: Lock) -> Iterator[Finding]:
    where = f"patches/{topic.name}/{variant}.patch"
    try:
        patch = topic.patch(variant)
    except KvRolesError as e:
        yield Finding("KVR010", where, str(e))
        return
    yield from _trailers(where, topic, variant, patch, lock)
    for line_number, line in enumerate(patch.raw.split(b"\n"), 1):
        if line.startswith(b"+") and not line.startswith(b"+++ ") and line.rstrip() != line and line != b"+":
            yield Finding("KVR005", where, f"line {line_number}")
    for f in patch.files:
        for number, hunk in enumerate(f.hunks, 1):
            if not f.creates and not f.deletes and not hunk.old:
                yield Finding("KVR004", where, f"hunk {number} of {f.path} has no context")
    try:
        diff = patch.raw[patch.raw.index(b"\ndiff --git ") + 1 :].rpartition(b"-- \n")[0].decode("latin-1")
        paths = [p.path for p in PatchSet(diff)]
        if paths != [f.path for f in patch.files]:
            yield Finding("KVR010", where, "unidiff reads other files in it")
    except UnidiffParseError as e:
        yield Finding("KVR010", where, str(e))
    if not any(r.topics[topic.name].variant == variant for r in lock.releases.values() if topic.name in r.topics):
        yield Finding("KVR006", where, "the lock names it for no release")


def _trailers(where: str, topic: Topic, variant: str, patch: patchfile.Patch, lock: Lock) -> Iterator[Finding]:
    trailers = patch.trailers
    for name in mail.TRAILERS:
        if name not in trailers:
            yield Finding("KVR001", where, name)
    if trailers.get("Topic") != topic.name:
        yield Finding("KVR002", where, f"Topic is {trailers.get('Topic')!r} in folder {topic.name}")
    if not _STATUS.fullmatch(trailers.get("Upstream-Status", "")):
        yield Finding("KVR002", where, "Upstream-Status is not Backport, Submitted or Inappropriate with a [reference]")
    if trailers.get("Origin") != "downstream" and not trailers.get("Origin", "").startswith("https://github.com/"):
        yield Finding("KVR002", where, "Origin is neither 'downstream' nor an upstream address")
    native = [
        r for r, row in lock.releases.items() if topic.name in row.topics and row.topics[topic.name].state == "native"
    ]
    since = native[0] if native else "none"
    if trailers.get("Native-Since") != since:
        yield Finding("KVR002", where, f"Native-Since is {trailers.get('Native-Since')}, the lock says {since}")
    served = [
        r for r, row in lock.releases.items() if topic.name in row.topics and row.topics[topic.name].variant == variant
    ]
    try:
        ranged = [r for r in lock.releases if in_range(r, trailers.get("Applies-To", ""))]
    except ValueError as e:
        yield Finding("KVR003", where, str(e))
        return
    if ranged != served or (served and version(served[0]) != version(variant)):
        yield Finding("KVR003", where, f"it names {_span(ranged)}, the variant serves {_span(served)}")


def _span(releases: list[str]) -> str:
    return f"{releases[0]} to {releases[-1]} ({len(releases)})" if releases else "none"


def _overlaps(lock: Lock, series: Series) -> Iterator[Finding]:
    """Default topics may not share a file in one release; nor may optional ones among themselves."""
    for optional in (False, True):
        names = [t.name for t in series.topics if t.optional is optional]
        for release, row in lock.releases.items():
            owner: dict[str, str] = {}
            for name in names:
                entry = row.topics.get(name)
                for path in entry.files if entry is not None and entry.state == "variant" else ():
                    if path in owner:
                        yield Finding("KVR009", path, f"{owner[path]} and {name} in {release}")
                    owner[path] = name


def _checker(lock: Lock) -> Iterator[Finding]:
    """Whether the lock was written with the checker as it is now."""
    where = "tools/kvroles/contract/terms.py"
    if lock.checker is None or lock.checker.number != terms.CHECKER:
        known = lock.checker.number if lock.checker else "none"
        yield Finding(
            "KVR011", where, f"CHECKER is {terms.CHECKER}, the lock's {known}: run `python tools/port.py --relock`"
        )
    elif lock.checker.tokens != checker.digest():
        yield Finding("KVR011", where, "raise CHECKER by one, then run `python tools/port.py --relock`")


def _releases(series: Series, lock: Lock, options: Options) -> Iterator[Finding]:
    """On the first release each variant serves: each hunk fits in one place, and ``git am`` makes the same bytes as we do."""
    seen: set[tuple[str, str]] = set()
    for release, row in lock.releases.items():
        new = [
            (name, entry.variant)
            for name, entry in row.topics.items()
            if entry.variant is not None and (name, entry.variant) not in seen
        ]
        if row.archive is None or not new:
            continue
        seen.update((n, v) for n, v in new if v is not None)
        files = release_files.extract(row, series, options).files
        for topic in series.topics:
            for variant in [v for n, v in new if n == topic.name]:
                yield from _git_am(topic, variant or "", files, release, series)


def _git_am(topic: Topic, variant: str, files: dict[str, bytes], release: str, series: Series) -> Iterator[Finding]:
    where = f"patches/{topic.name}/{variant}.patch"
    before: dict[str, bytes] = dict(files)
    if topic.optional:  # it starts from what the default series leaves
        try:
            laid = lock_rows.topic_rows(files, release, Series(series.chosen(), series.overlay))[1]
        except KvRolesError:
            return  # the default topic does not fit, which is a finding of its own
        before = {p: d for p, d in {**laid, **series.overlay}.items() if d is not None}
    want: dict[str, bytes | None] = {}
    for f in topic.patch(variant).files:
        try:
            want[f.path], _ = patchfile.apply(before.get(f.path), f, unique=True)
        except patchfile.HunkMismatch as e:
            yield Finding("KVR004", where, f"hunk {e.number} of {e.path} in {release}: {e.describe()[1]}")
            return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in want:
            if path in before:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(before[path])
        for made in (("init", "-q"), ("add", "-Af", "."), ("commit", "-q", "--allow-empty", "-m", "base")):
            done = git.in_scratch(folder, *made)
            if done.returncode:
                raise KvRolesError(
                    Exit.DOES_NOT_APPLY,
                    f"git {made[0]} failed in {folder}, a repository to try patches in",
                    found=git.last_words(done.stderr, done.returncode),
                    fix="Name a folder with space for temporary files in TMPDIR, and run again",
                )
        done = git.in_scratch(folder, "am", "-q", stdin=topic.raw(variant))
        if done.returncode:
            yield Finding(
                "KVR008", where, f"on {release}: {done.stderr.decode('utf-8', 'replace').strip().splitlines()[:1]}"
            )
            return
        for path, data in want.items():
            have = (folder / path).read_bytes() if (folder / path).exists() else None
            if have != data:
                yield Finding("KVR008", where, f"{path} of {release}")
