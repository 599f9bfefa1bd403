"""``wheel``: from a release or a file to a vendored wheel with its provenance beside it."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import parse_wheel_filename

from kvroles.apply.receipt import after
from kvroles.apply.state import TopicStatus
from kvroles.errors import DoesNotApply, NoSource, Unproven, UsageError, os_error
from kvroles.progress import Progress
from kvroles.series.lock import ArchiveRow, Lock, ReleaseRow
from kvroles.series.release import Version, resolve
from kvroles.series.topics import Series
from kvroles.sources.cache import archive_file
from kvroles.tree.stage import discard
from kvroles.tree.writer import one_writer
from kvroles.vendored.provenance import files
from kvroles.vendored.wheel import index, published, wheel


@dataclass(frozen=True)
class Request:
    """What the command line asked for. ``number`` is the N of ``R+kvroles.N``."""

    revision: str
    wheel: Path | None
    output: Path
    arch: str | None
    number: int
    force: bool
    sign_with: str | None
    offline: bool
    quiet: bool
    index_url: str | None
    cache_dir: Path
    index: bool = False


@dataclass(frozen=True)
class Outcome:
    """``did`` is ``built`` or ``nothing`` (then ``notes`` say why). ``beside`` are the provenance files."""

    did: str
    release: str
    source: wheel.Source
    topics: tuple[TopicStatus, ...]
    built: wheel.Built | None
    beside: tuple[Path, ...]
    notes: tuple[str, ...]


def run(request: Request, series: Series, lock: Lock) -> Outcome:
    """Build, unless the wheel is vendored already or warns by itself; raises KvRolesError."""
    if request.number < 1:
        raise UsageError(
            f"--build {request.number} is not a build number", expected="1 or more", fix="Give one: `--build 1`"
        )
    source = _source(request, series, lock)
    release = source.part.row.release
    topics = source.planned.topics
    if source.planned.shipped:
        raise DoesNotApply(
            f"{source.path} was patched by an earlier series of this project",
            found=f"{source.planned.changes[0].path} as that series left it",
            fix=published.again(source.path.name),
        )
    if source.already and source.planned.changes:
        raise Unproven(
            f"{source.path} holds the receipt of a vendored build, but files that are not patched",
            expected="the patched files, or a wheel without a receipt",
            found=f"{source.planned.changes[0].path} as vLLM {release} ships it",
            fix=published.again(source.path.name),
        )
    if source.already or source.planned.applied:
        note = "it is vendored already" if source.already else "it is patched already, but not by this tool"
        return Outcome("nothing", release, source, topics, None, (), (note,))
    if source.planned.native and not request.force:
        note = "it warns by itself (native); --force builds a re-labelled wheel all the same"
        return Outcome("nothing", release, source, topics, None, (), (note,))
    output = request.output / wheel.file_name(source, request.number)
    staging = output.with_name(f".{output.name}.kv-roles.set")
    try:
        with one_writer(output):
            try:
                files.finish(output)
                discard(staging)
                staging.mkdir(parents=True)
                built = wheel.build(source, staging / output.name, request.number)
                files.write(staging, files.for_wheel(source, built))
                if request.sign_with:
                    files.sign(staging / f"{output.name}{files.STATEMENT}", request.sign_with)
                beside = files.publish(staging, output)
                if request.index:
                    beside += (index.write(output.parent),)
            finally:
                discard(staging)
    except OSError as e:
        raise os_error(f"{output} could not be written", e, "Choose another place with --output") from None
    built = replace(built, path=output)
    notes = () if source.part.note is None else (source.part.note,)
    return Outcome("built", release, source, tuple(after(list(topics))), built, beside, notes)


def _source(request: Request, series: Series, lock: Lock) -> wheel.Source:
    """The wheel to patch: the one that was named, else the release's official one, fetched and checked against the lock."""
    if request.wheel is not None:
        if request.arch is not None:
            raise UsageError("--arch has no effect with --wheel", fix="Leave --arch out: the wheel says what it is for")
        return wheel.read(request.wheel, series, lock, request.revision)
    release = _published(request.revision, lock)
    official = pick(lock.releases[release], request.arch or platform.machine())
    with Progress(f"Fetching {official.name}", official.size, quiet=request.quiet) as p:
        held = archive_file(
            official,
            request.cache_dir,
            index_url=request.index_url,
            offline=request.offline,
            progress=p.at,
        )
    return wheel.read(held.path, series, lock, release, official, held.file)


def _published(revision: str, lock: Lock) -> str:
    """The release of the lock that ``revision`` names; of any other version the wheel has to be given."""
    try:
        return resolve(revision, lock.releases)
    except UsageError as e:
        if Version.parse(revision) is None or "not in the lock" not in e.what:
            raise
        raise UsageError(
            f"vLLM {revision} is not in the lock (patches/lock.json), so no hash is known of its wheel",
            expected=e.expected,
            fix="Give the wheel itself with --wheel FILE: its files are then fitted by exact context",
        ) from None


def pick(row: ReleaseRow, arch: str) -> ArchiveRow:
    """The official wheel for ``arch`` (``x86_64``, ``aarch64``); of several builds the latest, as pip would.

    Raises NoSource when the release was not published for it.
    """
    arch = {"amd64": "x86_64", "arm64": "aarch64"}.get(arch.lower(), arch)
    fitting = [w for w in row.wheels if w.name.endswith(f"_{arch}.whl")]
    if not fitting:
        offered = {re.sub(r".*manylinux(\d+|_\d+_\d+)_", "", w.name.removesuffix(".whl")) for w in row.wheels}
        raise NoSource(
            f"There is no official wheel of vLLM {row.release} for {arch}",
            expected=" or ".join(sorted(offered, reverse=True)) or "none: the release has no wheels on the index",
            fix="Name another architecture with --arch, or a wheel of your own with --wheel",
        )
    return max(fitting, key=lambda w: parse_wheel_filename(w.name)[2])
