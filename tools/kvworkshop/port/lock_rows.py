"""Make lock rows: what a release's files are before and after the series, from the archive itself."""

from __future__ import annotations

from collections.abc import Mapping

from kvroles.apply.refusals import Remedies, hunk_refusal
from kvroles.apply.state import is_native, touched_paths
from kvroles.contract import check, terms
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply
from kvroles.places import program
from kvroles.series import patchfile
from kvroles.series.lock import ArchiveRow, FileRow, ReleaseRow, TopicRow, TreeRow
from kvroles.series.release import version
from kvroles.series.topics import Series, Topic
from kvroles.series.upstream_files import UPSTREAM_FILES
from kvroles.sources import release_files
from kvroles.sources.extracts import Extract


def row(
    extract: Extract, archive_row: ArchiveRow, wheels: tuple[ArchiveRow, ...], release: str, series: Series
) -> ReleaseRow:
    """The lock row of ``release`` from what was read of its archive. Raises DoesNotApply when a variant does not fit."""
    topics, now = topic_rows(extract.files, release, series)
    optional = {t.name for t in series.topics if t.optional}
    changed: dict[str, str | None] = {path: sha256(data) for path, data in series.overlay.items()}
    for name, topic in topics.items():
        if topic.state == "variant" and name not in optional:
            changed |= {path: f.after for path, f in topic.files.items()}
    tree = TreeRow(extract.count(), extract.digest(), extract.digest(changed))
    made = ReleaseRow(release, archive_row, tree, topics, wheels)
    return made._replace(contract=_proven(extract.files, {**now, **series.overlay}, made, series))


def _proven(
    before: Mapping[str, bytes], after: Mapping[str, bytes | None], made: ReleaseRow, series: Series
) -> str | None:
    """The contract's key for the patched files of a release, or None when it does not hold for them."""
    touched = set(touched_paths(made, series))
    mine = {p: d for p, d in after.items() if d is not None and p in touched}
    rest = {p: d for p, d in before.items() if p not in touched}
    verdict = check.check(mine, before, rest)
    whole = not verdict.breaches and not verdict.unchecked
    return terms.key({p: sha256(d) for p, d in mine.items()}) if whole else None


def row_without_archive(
    release: str, files: Mapping[str, bytes], wheels: tuple[ArchiveRow, ...], series: Series
) -> ReleaseRow:
    """The row of a release that has wheels only, from those of its ``files`` that can be had."""
    topics, _ = topic_rows(files, release, series, release_files.WITHOUT_ARCHIVE[release])
    return ReleaseRow(release, None, None, topics, wheels)


def topic_rows(
    files: Mapping[str, bytes], release: str, series: Series, unknown: Mapping[str, str] | None = None
) -> tuple[dict[str, TopicRow], dict[str, bytes | None]]:
    """The topics' rows for a release whose files of interest are ``files``, and those files after the default series.

    ``unknown`` maps paths whose bytes cannot be had to their SHA-256 (0.15.x). Raises DoesNotApply when a hunk fits
    nowhere, or in more than one place.
    """
    unknown = unknown or {}
    now: dict[str, bytes | None] = dict(files)
    rows: dict[str, TopicRow] = {}
    for topic in series.topics:
        variant = topic.variant_for(release)
        if variant is None:
            rows[topic.name] = _native_or_absent(topic, release, files)
            continue
        done: dict[str, FileRow] = {}
        result = dict(now)
        for f in topic.patch(variant).files:
            if f.path in unknown:
                done[f.path] = FileRow(unknown[f.path], None)
                continue
            data = now.get(f.path)
            try:
                result[f.path], _ = patchfile.apply(data, f, unique=True)
            except patchfile.HunkMismatch as e:
                raise hunk_refusal(topic.name, e, f"vLLM {release}", _mend(topic, variant, release)) from None
            made = result[f.path]
            done[f.path] = FileRow(None if data is None else sha256(data), None if made is None else sha256(made))
        rows[topic.name] = TopicRow("variant", variant, done)
        if not topic.optional:
            now = result
    return rows, now


def _mend(topic: Topic, variant: str, release: str) -> Remedies:
    """What to do about a variant that does not fit a release of its ``Applies-To`` range."""
    file = f"{topic.folder / variant}.patch"
    other = f"Mend {file}, or its Applies-To; `{program('port', '--to', release)}` makes one for {release}"
    return Remedies(other, f"Write {file} with LF")


def _native_or_absent(topic: Topic, release: str, files: Mapping[str, bytes]) -> TopicRow:
    held = [p for p in UPSTREAM_FILES.get(topic.name, ()) if p in files]
    newest = topic.variants[-1] if topic.variants else None
    if newest is None or version(release) < version(topic.variants[0]) or not held:
        return TopicRow("absent", None, {})
    for path in held:
        # In these files upstream holds the change. Other files that it left on kv_both belong to the topic stragglers.
        if not is_native(topic.name, path, files[path]):
            raise DoesNotApply(
                f"Topic {topic.name} has no variant for vLLM {release}, and {path} does not hold the change either",
                fix=f"Port it with `python tools/port.py --to {release}`",
            )
    return TopicRow("native", None, {p: FileRow(sha256(files[p]), None) for p in held})
