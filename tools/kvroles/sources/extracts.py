"""A cache of the files the series is about, so that a release is verified without inflating its archive again.

One file a release under ``<cache>/touched``: a tar of those files and of every other that mentions ``kv_both``, plus
the manifest of the whole tree. Its name holds the digests of all it was made from, and its first line its own, so a
stale or damaged one is never used.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kvroles.digest import sha256
from kvroles.series.lock import ArchiveRow
from kvroles.sources import archive
from kvroles.tree import handles

_LARGEST = 256 << 20  # bytes of one such file; those of a release have 8 million


@dataclass(frozen=True)
class Extract:
    """What verification reads of a release: ``files`` (path -> bytes) and the manifest of the whole tree.

    ``manifest`` holds a line ``<sha256>  ./<path>`` for every regular file, sorted by path: its SHA-256 is the digest.
    """

    files: dict[str, bytes]
    manifest: bytes

    def digest(self, changed: Mapping[str, str | None] | None = None) -> str:
        """The tree's digest once the files in ``changed`` have those SHA-256 (None: deleted)."""
        if not changed:
            return sha256(self.manifest)
        lines = self.manifest.splitlines(keepends=True)
        for path, sha in changed.items():
            key = b"./" + path.encode("utf-8", "surrogateescape") + b"\n"
            at = bisect.bisect_left(lines, key, key=lambda line: line[66:])
            there = at < len(lines) and lines[at][66:] == key
            new = [] if sha is None else [sha.encode() + b"  " + key]
            lines[at : at + there] = new
        whole = hashlib.sha256()
        whole.update(b"".join(lines))
        return whole.hexdigest()

    def count(self) -> int:
        """How many regular files the pristine tree holds."""
        return self.manifest.count(b"\n")


Inflate = Callable[[bytes, str], Iterator[bytes]]  # as archive.inflate


def of_archive(blob: bytes, row: ArchiveRow, top: str, wanted: set[str], inflate: Inflate = archive.inflate) -> Extract:
    """Read an archive once: keep the ``wanted`` files and those that mention ``kv_both``, hash every file."""
    files: dict[str, bytes] = {}
    lines: list[tuple[bytes, str]] = []
    for member in archive.members(inflate(blob, row.name), row.name, top):
        if member.path in wanted or b"kv_both" in member.data:
            files[member.path] = member.data
        lines.append((b"./" + member.path.encode("utf-8", "surrogateescape"), sha256(member.data)))
    lines.sort()
    return Extract(files, b"".join(sha.encode() + b"  " + path + b"\n" for path, sha in lines))


def _name(key: str, wanted: set[str]) -> str:
    return sha256("\n".join([key, *sorted(wanted)]).encode())[:32]


def load(cache_dir: Path, key: str, wanted: set[str]) -> Extract | None:
    """The cached extract made from ``key`` (an archive's SHA-256) for ``wanted``, or None when there is none in order."""
    try:
        with handles.folder(cache_dir / "touched") as folder, handles.regular(_name(key, wanted), at=folder) as f:
            # The file states its own digest, which proves nothing: only a file of ours, or of the administrator's, is believed.
            if os.fstat(f.fileno()).st_uid not in (os.geteuid(), 0):
                return None
            raw = f.read(_LARGEST)
    except OSError:
        return None
    stated, _, rest = raw.partition(b"\n")
    if stated.decode("ascii", "replace") != sha256(rest):
        return None
    head, _, body = rest.partition(b"\n")
    index: dict[str, int] = json.loads(head)
    files: dict[str, bytes] = {}
    at = 0
    for path, size in index.items():
        files[path] = body[at : at + size]
        at += size
    return Extract(files, body[at:])


def store(cache_dir: Path, key: str, wanted: set[str], extract: Extract) -> None:
    """Keep ``extract`` for later; a cache that cannot be written is no failure, only slower next time."""
    head = json.dumps({path: len(data) for path, data in extract.files.items()}).encode()
    rest = head + b"\n" + b"".join(extract.files.values()) + extract.manifest
    with (
        contextlib.suppress(OSError),
        handles.folder(cache_dir, create=True),
        handles.folder(cache_dir / "touched", create=True) as folder,
        handles.new(folder, _name(key, wanted)) as f,
    ):
        f.write(sha256(rest).encode() + b"\n" + rest)
