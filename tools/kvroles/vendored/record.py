"""RECORD, the list of an installed distribution's files: read it, check files against it, change single lines of it.

Format: "Recording installed projects" of the PyPA specifications: CSV rows of path, ``sha256=`` and the urlsafe base64 digest
without padding, and size; RECORD's own row and those of bytecode carry neither. Lines nobody asked to change keep
their bytes, so that taking a change back gives the file that was.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BufferedIOBase

from kvroles.errors import Unproven


@dataclass(frozen=True)
class Entry:
    """One row. ``sha256`` is hex; it and ``size`` are None where RECORD leaves them out."""

    path: str
    sha256: str | None
    size: int | None


@dataclass(frozen=True)
class Record:
    """A RECORD file: its lines as they are, and what each says."""

    lines: tuple[bytes, ...]  # with their line ends
    entries: tuple[Entry, ...]

    @classmethod
    def parse(cls, data: bytes, where: str, fix: str) -> Record:
        """Read RECORD; raises Unproven, naming ``where`` and ``fix``, when a line is no row of it or a path comes twice."""
        lines, entries = [], []
        seen: set[str] = set()
        for number, line in enumerate(data.splitlines(keepends=True), 1):
            try:
                rows = list(csv.reader([line.decode("utf-8")]))
                if not rows or not rows[0]:
                    continue
                path, digest, size = rows[0]
                entry = Entry(path, _hex(digest) if digest else None, _size(size) if size else None)
            except (ValueError, csv.Error, binascii.Error):
                raise _damaged(
                    where, f"line {number} is {line[:80].decode('utf-8', 'replace').strip()!r}", fix
                ) from None
            if path in seen:
                raise _damaged(where, f"{path} twice", fix)
            seen.add(path)
            lines.append(line)
            entries.append(entry)
        return cls(tuple(lines), tuple(entries))

    def __contains__(self, path: str) -> bool:
        return any(e.path == path for e in self.entries)

    def entry(self, path: str) -> Entry | None:
        """The row of ``path``, or None."""
        return next((e for e in self.entries if e.path == path), None)

    def dumps(self) -> bytes:
        """The file."""
        return b"".join(self.lines)

    def replaced(self, changed: dict[str, bytes], *, rename: Callable[[str], str] = lambda path: path) -> Record:
        """RECORD after ``changed`` (path -> new bytes); ``rename`` is told every path first, the keys are new names.

        Rows of new paths go before the last row, which in a wheel is RECORD's own, so that no line end has to change.
        """
        ending = b"\r\n" if self.lines and self.lines[0].endswith(b"\r\n") else b"\n"
        rows: list[tuple[bytes, Entry]] = []
        left = dict(changed)
        for line, entry in zip(self.lines, self.entries, strict=True):
            path = rename(entry.path)
            if path in left:
                rows.append(_row(path, left.pop(path), ending))
            elif path != entry.path:
                moved = Entry(path, entry.sha256, entry.size)
                rows.append((_line(moved, ending), moved))
            else:
                rows.append((line, entry))
        rows[-1:-1] = [_row(path, left[path], ending) for path in sorted(left)]
        return Record(tuple(line for line, _ in rows), tuple(e for _, e in rows))

    def restored(self, original: Record, paths: Iterable[str], drop: Iterable[str]) -> Record:
        """RECORD with the rows of ``paths`` as ``original`` has them, and without ``drop``."""
        wanted, gone = set(paths), set(drop)
        old = {e.path: (line, e) for line, e in zip(original.lines, original.entries, strict=True)}
        kept = []
        for line, entry in zip(self.lines, self.entries, strict=True):
            if entry.path in gone:
                continue
            kept.append(old[entry.path] if entry.path in wanted and entry.path in old else (line, entry))
        return Record(tuple(line for line, _ in kept), tuple(e for _, e in kept))


def digest(stream: BufferedIOBase) -> str:
    """The SHA-256, in hex, of what is left of ``stream``, read in pieces."""
    return hashlib.file_digest(stream, "sha256").hexdigest()


def is_bytecode(path: str) -> bool:
    """Whether ``path`` is compiled Python, which an interpreter may write or drop at any time."""
    return path.endswith(".pyc")


def _hex(field: str) -> str:
    algorithm, _, value = field.partition("=")
    if algorithm != "sha256":
        raise ValueError(f"hash {algorithm!r}")  # weaker ones are forbidden by the specification, others unseen
    raw = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    if len(raw) != hashlib.sha256().digest_size:
        raise ValueError(f"{len(raw)} bytes of SHA-256")
    return raw.hex()


def _size(field: str) -> int:
    if not (field.isascii() and field.isdecimal()):  # int() takes signs, spaces and underscores too
        raise ValueError(f"size {field!r}")
    return int(field)


def _row(path: str, data: bytes, ending: bytes) -> tuple[bytes, Entry]:
    entry = Entry(path, hashlib.sha256(data).hexdigest(), len(data))
    return _line(entry, ending), entry


def _line(entry: Entry, ending: bytes) -> bytes:
    out = io.StringIO()
    hashed = ""
    if entry.sha256 is not None:
        hashed = "sha256=" + base64.urlsafe_b64encode(bytes.fromhex(entry.sha256)).decode().rstrip("=")
    size = "" if entry.size is None else str(entry.size)
    csv.writer(out, lineterminator=ending.decode()).writerow([entry.path, hashed, size])
    return out.getvalue().encode()


def _damaged(where: str, found: str, fix: str) -> Unproven:
    return Unproven(
        f"RECORD of {where} is damaged",
        expected="a path, its sha256 and its size on every line",
        found=found,
        fix=fix,
    )
