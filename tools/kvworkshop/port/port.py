"""A new release -> what the series makes of it: fit, offset, conflict or native, new variants where needed, a lock row."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from kvroles import places
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, NoSource, Unproven, UsageError, os_error
from kvroles.said import counted
from kvroles.series import mail, patchfile
from kvroles.series.lock import ArchiveRow, Lock, ReleaseRow
from kvroles.series.release import Version, version
from kvroles.series.topics import Series, Topic
from kvroles.series.upstream_files import paths_of_interest
from kvroles.sources import cache, extracts, http, index, release_files
from kvroles.sources.extracts import Extract
from kvroles.sources.release_files import Options
from kvroles.tree import handles
from kvroles.tree.tree import Tree

from kvworkshop import checker
from kvworkshop.port import lock_rows
from kvworkshop.port import survey as surveying
from kvworkshop.port.survey import Report, Results, Source, TopicReport, nearest, survey
from kvworkshop.verify import prove

_LARGEST_ARCHIVE = 1 << 30  # bytes; 0.33.0's has 47 MB


def source(to: str, as_release: str | None, series: Series, lock: Lock, options: Options) -> Source:
    """The release ``to`` names: one on the index, an archive file, or an unpacked tree. Raises UsageError or NoSource."""
    wanted = paths_of_interest(series)
    path = Path(to)
    if os.path.isdir(path):
        tree = Tree(path)
        try:
            release = _release(path, _stated(tree), as_release)
            return Source(release, _of_folder(tree, wanted), None)
        finally:
            tree.close()
    if os.path.isfile(path):
        m = re.fullmatch(r"vllm-(.+)\.tar\.gz", path.name)
        release = _release(path, m[1] if m else "", as_release)
        blob = _archive(path)
        row = ArchiveRow(path.name, sha256(blob), len(blob))
        return Source(release, extracts.of_archive(blob, row, row.top, wanted), row, blob=blob)
    parsed = Version.parse(to)
    if parsed is None:
        raise UsageError(f"{to!r} is neither a release, nor an archive, nor a folder")
    known = next((r for r in lock.releases.values() if version(r.release) == parsed), None)
    if known is not None and known.archive is not None:
        return Source(known.release, release_files.extract(known, series, options), known.archive)
    if options.offline:
        raise NoSource(f"vLLM {parsed.text} is not in the lock and --offline forbids asking the index")
    return _of_index(parsed.text, wanted, options)


def _release(path: Path, stated: str, as_release: str | None) -> str:
    """The release at ``path``, as the index spells it; names of files are made of it. Raises UsageError where it is none."""
    parsed = Version.parse(stated if as_release is None else as_release)
    if parsed is not None:
        return parsed.text
    if as_release is None:
        raise UsageError(f"{path} does not say which release it is", fix="Name it with --as R")
    raise UsageError(f"--as {as_release!r} is no release", fix="Name one, such as --as 0.34.0")


def _archive(path: Path) -> bytes:
    try:
        with handles.given(path) as f:
            size = os.fstat(f.fileno()).st_size
            if size > _LARGEST_ARCHIVE:
                raise NoSource(
                    f"{path} is no archive of a release",
                    expected=f"{_LARGEST_ARCHIVE} bytes at most",
                    found=f"{size} bytes",
                    fix="Name the tar.gz file that the index serves",
                )
            return f.read(_LARGEST_ARCHIVE)
    except OSError as e:
        raise os_error(f"{path} cannot be read", e, "Name another file", NoSource) from None


def _of_index(release: str, wanted: set[str], options: Options) -> Source:
    """A release the lock does not know yet: its archive is taken as the index serves it, and its hash goes into review."""
    listed = index.files("vllm", options.index_url)
    name = f"vllm-{release}.tar.gz"
    file = next((f for f in listed if f.name == name), None)
    if file is None:
        raise NoSource(f"The package index holds no {name}", fix="Name an archive or an unpacked tree with --to PATH")
    blob, _, _ = http.get_page(file.url, "*/*", "Check the network", limit=_LARGEST_ARCHIVE)
    row = ArchiveRow(name, sha256(blob), len(blob))
    if file.sha256 not in (None, row.sha256):
        raise Unproven(f"{name} is not what the index says it is", expected=str(file.sha256), found=row.sha256)
    wheels = tuple(
        ArchiveRow(f.name, f.sha256, f.size)
        for f in sorted(listed, key=lambda f: f.name)
        if f.name.startswith(f"vllm-{release}-") and f.name.endswith(".whl") and f.sha256 and f.size
    )
    return Source(release, extracts.of_archive(blob, row, row.top, wanted), row, wheels, blob)


def _stated(tree: Tree) -> str:
    m = re.search(rb"^Version: (\S+)", tree.read("PKG-INFO") or b"", re.MULTILINE)
    return m[1].decode("utf-8", "replace") if m else ""


def _of_folder(tree: Tree, wanted: set[str]) -> Extract:
    """Raises NoSource for a folder that cannot be read, DoesNotApply for a file that no source tree holds."""
    files: dict[str, bytes] = {}
    lines = []
    for folder, names, found in os.walk(tree.path, onerror=_refuse):
        below = os.path.relpath(folder, tree.path)
        prefix = "" if below == "." else f"{below}/"
        names[:] = [n for n in names if f"{prefix}{n}" not in (".git", places.OWN)]
        for path in (prefix + n for n in found if not os.path.islink(os.path.join(folder, n))):
            data = tree.read(path) or b""
            if path in wanted or b"kv_both" in data:
                files[path] = data
            lines.append((b"./" + path.encode("utf-8", "surrogateescape"), sha256(data)))
    lines.sort()
    return Extract(files, b"".join(sha.encode() + b"  " + path + b"\n" for path, sha in lines))


def _refuse(error: OSError) -> None:
    raise NoSource(
        f"{str(error.filename)[:200]} cannot be read: {error.strerror}", fix="Unpack the release afresh"
    ) from None


def from_tree(src: Source, folder: Path, series: Series, lock: Lock, topic: Topic | None) -> Results:
    """A hand-resolved tree against the pristine release: the files that differ, by the topic each belongs to.

    With ``topic``, an optional one, it is held against the release as the default series leaves it, and the whole
    difference is that topic's. Raises UsageError when there is no difference, DoesNotApply for one in a file that is no
    topic's business.
    """
    if not os.path.isdir(folder):
        raise UsageError(f"--from-tree {folder} is no folder", fix="Name the tree in which the conflicts were resolved")
    row = nearest(src.release, lock)
    default = [t.name for t in series.chosen()]
    owner = {p: n for n in default if n in row.topics and row.topics[n].state == "variant" for p in row.topics[n].files}
    known = dict(_manifest(src.extract))
    if topic is not None:
        laid = _laid(src, series)
        known |= {p: sha256(d) for p, d in laid.items() if d is not None}
    tree = Tree(folder)
    results: Results = {}
    try:
        resolved = _of_folder(tree, set(known))
        for path, sha in _manifest(resolved):
            if known.get(path) != sha and path not in series.overlay:
                data = tree.read(path)
                assert data is not None
                if path in known and path not in src.extract.files:
                    raise DoesNotApply(
                        f"{path} is changed in {folder}, but no topic is about it and it never said kv_both",
                        fix="Put it back, or give it a topic of its own: docs/howto/write-a-topic.md says how",
                    )
                name = topic.name if topic else owner.get(path, surveying.home(path, row))
                results.setdefault(name, {})[path] = data
    finally:
        tree.close()
    if not results:
        held = "as the series leaves it" if topic else "as it was published"
        raise UsageError(f"{folder} is vLLM {src.release} {held}: there is no change in it to take over")
    return results


def _manifest(extract: Extract) -> list[tuple[str, str]]:
    """(path, SHA-256) of every file of the tree."""
    lines = extract.manifest.splitlines()
    return [(line[68:].decode("utf-8", "surrogateescape"), line[:64].decode()) for line in lines]


def write(
    root: Path,
    src: Source,
    results: Results,
    laid: Mapping[str, bytes | None],
    series: Series,
    lock: Lock,
    options: Options,
) -> list[str]:
    """Write the variants that ``results`` force; returns the files that changed.

    ``laid`` is the release as the default series leaves it, which optional topics start from. A topic whose serving
    variant gives the same bytes is left alone, to the byte.
    """
    written = []
    for topic in series.topics:
        start = laid if topic.optional else src.extract.files
        after = results.get(topic.name, {})
        serving = topic.variant_for(src.release)
        patch = topic.patch(serving) if serving else None
        ours = {*after, *(f.path for f in patch.files if not f.creates)} if patch else set(after)
        goal = mail.Goal(src.release, {p: start.get(p) for p in ours}, {p: after.get(p, start.get(p)) for p in ours})
        if topic.name not in results or (patch and mail.serves(patch, goal.before, goal.after)):
            continue
        if not topic.variants:
            if not after:
                continue
            raise DoesNotApply(
                f"Topic {topic.name} has something to do in vLLM {src.release}, and no variant whose message it could take over",
                found=", ".join(sorted(after)),
                fix="Write its first variant by hand: docs/howto/write-a-topic.md says how",
            )
        newest = mail.Message.of(topic.patch(topic.variants[-1]))
        goals = _goals(topic, series, lock, options, src.release)
        if goal.before != goal.after:
            goals = sorted([*goals, goal], key=lambda g: version(g.release))
        elif patch is None:
            continue  # with a patch: upstream has come to hold all of it, and the last variant ends here
        known = sorted({*lock.releases, src.release}, key=version)
        until = newest.trailers.get("Native-Since", "none")
        if until == "none":
            until = next((r for r in known if version(r) > version(goals[-1].release)), "none")
        mails = mail.fewest(newest, goals, None if until == "none" else until, known)
        written += _put(root / "patches" / topic.name, mails)
    return written


def lock_in(root: Path, src: Source, series: Series, lock: Lock, options: Options, *, all_rows: bool) -> list[str]:
    """Put the row of ``src`` into the lock, for the series as it is now; ``all_rows``: make every other row anew too."""
    releases = {**lock.releases, src.release: relock_row(src, series, lock)}
    for release, row in lock.releases.items() if all_rows else ():
        if release != src.release:
            releases[release] = relocked(row, series, lock, options)
    overlay = {p: sha256(d) for p, d in series.overlay.items()}
    made_by = checker.current(lock.checker) if all_rows else lock.checker
    return put_lock(root, Lock(overlay, dict(sorted(releases.items(), key=lambda kv: version(kv[0]))), made_by))


def _goals(topic: Topic, series: Series, lock: Lock, options: Options, but: str) -> list[mail.Goal]:
    """What the topic makes of every release it serves now, from the lock and the archives."""
    out = []
    default = Series(series.chosen(), series.overlay)
    for row in lock.releases.values():
        entry = row.topics.get(topic.name)
        if entry is None or entry.variant is None or row.release == but:
            continue
        whole = row.archive is not None
        shipped = release_files.files_of(row, series, lock, options)
        unknown = release_files.WITHOUT_ARCHIVE.get(row.release)
        files = lock_rows.topic_rows(shipped, row.release, default, unknown)[1] if topic.optional else shipped
        before: dict[str, bytes | None] = {}
        after: dict[str, bytes | None] = {}
        for f in topic.patch(entry.variant).files:
            if f.path in shipped or f.creates:
                before[f.path] = files.get(f.path)
                after[f.path], _ = patchfile.apply(files.get(f.path), f)
        out.append(mail.Goal(row.release, before, after, whole or topic.name == "connector-warning"))
    return out


def _put(folder: Path, mails: dict[str, bytes]) -> list[str]:
    written = []
    for first, raw in mails.items():
        file = folder / f"{first}.patch"
        if not file.exists() or file.read_bytes() != raw:
            handles.write(file, raw)
            written.append(f"patches/{folder.name}/{file.name}")
    for file in sorted(folder.glob("*.patch")):  # only now: a run that is ended leaves too many, not too few
        if file.name.removesuffix(".patch") not in mails:
            file.unlink()
            written.append(f"patches/{folder.name}/{file.name} (removed)")
    return written


def put_lock(root: Path, lock: Lock) -> list[str]:
    """Write the lock if it changed; returns its name then."""
    file = root / "patches" / "lock.json"
    if file.exists() and file.read_bytes() == lock.dumps():
        return []
    handles.write(file, lock.dumps())
    return ["patches/lock.json"]


def relock_row(src: Source, series: Series, lock: Lock) -> ReleaseRow:
    """The lock row of a release from its archive; wheels the index did not tell of are kept as the lock has them."""
    known = lock.releases.get(src.release)
    wheels = src.wheels or (known.wheels if known else ())
    assert src.archive is not None
    return lock_rows.row(src.extract, src.archive, wheels, src.release, series)


def relocked(row: ReleaseRow, series: Series, lock: Lock, options: Options) -> ReleaseRow:
    """A known release's row made anew for the series as it is now."""
    if row.archive is None:
        files = release_files.files_of(row, series, lock, options)
        return lock_rows.row_without_archive(row.release, files, row.wheels, series)
    return relock_row(Source(row.release, release_files.extract(row, series, options), row.archive), series, lock)


def port(
    root: Path,
    to: str,
    as_release: str | None,
    hand: Path | None,
    extra: str | None,
    output: Path | None,
    check: bool,
    series: Series,
    lock: Lock,
    options: Options,
) -> Report:
    """The whole of a port: survey, variants, lock row, proof. Writes nothing with ``check`` or when conflicts are left.

    ``hand`` is a hand-resolved tree to take the variants from instead: those of the default series, or with ``extra``
    those of that optional topic.
    """
    src = source(to, as_release, series, lock, options)
    conflicts = output or Path("build") / f"port-{src.release}"
    files = src.extract.files
    if hand is None:
        report, results = survey(src, series, lock, options, conflicts)
        if report.left or check:
            return report
        laid: Mapping[str, bytes | None] = {
            **files,
            **{p: d for t in series.chosen() for p, d in results.get(t.name, {}).items()},
        }
    else:
        topic = series.topic(extra) if extra else None
        if topic is not None and not topic.optional:
            raise UsageError(f"Topic {extra} is part of the default series, which --from-tree takes without --with")
        report, results = Report(src.release), from_tree(src, hand, series, lock, topic)
        report.topics = [TopicReport(name, "by hand", counted(len(files), "file")) for name, files in results.items()]
        laid = _laid(src, series) if topic else {}
    report.written = write(root, src, results, laid, series, lock, options)
    if src.archive is None:  # an unpacked tree: what it holds was tried, but no hash can vouch for it
        report.left.append(f"no lock row: run again with the archive of vLLM {src.release}, whose hash the row names")
        return report
    fresh = Series.load(root)
    src = source(to, as_release, fresh, lock, options)  # read again: a new variant may change files that no variant did
    if hand is not None:  # the optional topics were not tried yet on the default series as it is now
        seen, results = Report(src.release), Results()
        surveying.survey_optional(src, _laid(src, fresh), seen, results, fresh, lock, options, conflicts)
        report.topics += seen.topics
        report.left += seen.left
        if report.left:
            return report
        report.written += write(root, src, results, _laid(src, fresh), fresh, lock, options)
        fresh = Series.load(root)
    report.written += lock_in(root, src, fresh, lock, options, all_rows=bool(report.written))
    if src.archive and src.blob:  # later runs find it by the row's hash, also while no index holds it
        report.kept = cache.keep(src.archive, src.blob, options.cache_dir)
    report.proof = prove.prove_release(src.release, fresh, Lock.load(root), options, src.extract)
    if report.proof.problem:
        report.left.append(report.proof.problem)
    return report


def _laid(src: Source, series: Series) -> Mapping[str, bytes | None]:
    """The release as the default series leaves it. Raises DoesNotApply where that does not serve it yet."""
    return lock_rows.topic_rows(src.extract.files, src.release, Series(series.chosen(), series.overlay))[1]


def relock_all(root: Path, series: Series, lock: Lock, options: Options, *, check: bool) -> list[str]:
    """Every row of the lock made anew; returns what changed (with ``check``: what would)."""
    rows = {r: relocked(row, series, lock, options) for r, row in lock.releases.items()}
    fresh = Lock({p: sha256(d) for p, d in series.overlay.items()}, rows, checker.current(lock.checker))
    if check:
        return [] if fresh.dumps() == lock.dumps() else ["patches/lock.json (would change)"]
    return put_lock(root, fresh)
