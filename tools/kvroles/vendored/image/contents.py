"""The files that an image's layers leave, as far as a vLLM in it is concerned. Each layer is read once, from end to end.

The format is "layer.md" of https://github.com/opencontainers/image-spec: tar archives one over the other, in which
``.wh.NAME`` takes NAME away and ``.wh..wh..opq`` all that was in a folder. No code of the image is run, and nothing is unpacked.
"""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from kvroles.errors import NoSource, Unproven
from kvroles.places import find_program
from kvroles.sources.archive import ahead
from kvroles.vendored.image.layout import ANEW, Descriptor, Image, wrong

_CHUNK = 1 << 20
RUN_IT = "Build it with 'vendor.py image', which runs the image's own Python"
_MAX_LAYER = 256 << 30  # unpacked; the largest published one has some 20 GB
_MAX_KEPT = 32 << 20  # a file that is held in memory whole
_MAX_HEADER = 1 << 20  # of a member: long names and attributes
_STARTUP = ("sitecustomize.py", "usercustomize.py", "sitecustomize", "usercustomize")
_XATTR = "SCHILY.xattr."


@dataclass(frozen=True)
class Entry:
    """A file (``sha256``, and ``data`` where it was asked for), a folder, or a link (``target``) as the layers leave it."""

    kind: str  # file, folder, link, other
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    sha256: str | None = None
    data: bytes | None = None
    target: str = ""
    xattrs: dict[str, str] = field(default_factory=dict)


class _Bounded(tarfile.TarInfo):
    """A header whose extension is bounded before memory is taken for it."""

    def _proc_member(self, tar: tarfile.TarFile) -> Any:
        if self.type not in tarfile.REGULAR_TYPES and self.size > _MAX_HEADER and self.type in b"xgLKX":
            raise tarfile.ReadError("a member's extended header is larger than 1 MiB")
        return super()._proc_member(tar)  # type: ignore[misc]


def read(image: Image, blobs: Path, keep: frozenset[str]) -> dict[str, Entry]:
    """path -> what the layers of ``image`` leave there: all folders and links, the metadata of Python packages, and the files of
    any folder ``vllm``. ``keep`` are paths, from such a folder on, whose bytes are wanted.

    The layers lie in the folder ``blobs`` by their digest. Raises Unproven when one is not what the manifest or the
    configuration says of it, or is damaged; NoSource for a compression that cannot be read here.
    """
    merged: dict[str, Entry] = {}
    for descriptor, diff_id in zip(image.manifest["layers"], image.config["rootfs"]["diff_ids"], strict=True):
        chunks = _Chunks(descriptor, blobs / str(descriptor["digest"]).removeprefix("sha256:"), str(diff_id))
        try:
            fresh, gone, emptied = _layer(chunks, keep, merged)
        except (tarfile.TarError, ValueError, OverflowError, RecursionError) as e:
            raise Unproven(f"The layer {descriptor['digest']} is damaged: {e}", fix=ANEW) from None
        gone |= {p for p, e in fresh.items() if e.kind != "folder" and merged.get(p, e).kind == "folder"}
        if gone or emptied:
            merged = {p: e for p, e in merged.items() if not _is_gone(p, gone, emptied)}
        merged.update(fresh)
    return merged


def _layer(
    chunks: _Chunks, keep: frozenset[str], lower: dict[str, Entry]
) -> tuple[dict[str, Entry], set[str], set[str]]:
    fresh: dict[str, Entry] = {}
    gone: set[str] = set()
    emptied: set[str] = set()
    with tarfile.open(
        fileobj=cast(Any, chunks), mode="r|", bufsize=_CHUNK, tarinfo=_Bounded, errors="surrogateescape"
    ) as tar:
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]  # it keeps them all
            path = _path(member.name)
            folder, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                emptied.add(folder)
            elif name.startswith(".wh."):
                gone.add(f"{folder}/{name[4:]}" if folder else name[4:])
            elif member.islnk():
                target = _path(member.linkname)
                found = fresh.get(target) or lower.get(target)
                if _matters(path):
                    fresh[path] = found if found and found.kind == "file" else _entry(member, "other")
            elif member.isdir():
                fresh[path] = _entry(member, "folder")
            elif member.issym():
                fresh[path] = _entry(member, "link", target=member.linkname)
            elif _matters(path):
                fresh[path] = _file(tar, member, path, keep)
            elif path in lower:
                fresh[path] = _entry(member, "other")
    chunks.finish()
    return fresh, gone, emptied


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, keep: frozenset[str]) -> Entry:
    if not member.isreg() or member.issparse():
        return _entry(member, "other")
    source = tar.extractfile(member)
    assert source is not None
    if not _wanted(path, keep):
        return _entry(member, "file", sha256=hashlib.file_digest(source, "sha256").hexdigest())  # type: ignore[arg-type]
    if member.size > _MAX_KEPT:
        raise Unproven(
            f"/{path} in the base image has {member.size} bytes", expected=f"at most {_MAX_KEPT >> 20} MiB", fix=RUN_IT
        )
    data = source.read()
    return _entry(member, "file", sha256=hashlib.sha256(data).hexdigest(), data=data)


def _entry(member: tarfile.TarInfo, kind: str, **more: Any) -> Entry:
    xattrs = {k: v for k, v in member.pax_headers.items() if k.startswith(_XATTR)}
    return Entry(
        kind, member.mode & 0o7777, member.uid, member.gid, int(member.mtime), member.size, xattrs=xattrs, **more
    )


def _path(name: str) -> str:
    """``name`` as a path from the image's root. Raises Unproven when it leads out of it."""
    parts = [p for p in name.split("/") if p not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise Unproven(f"A layer of the base image holds {name[:200]!r}, which leads out of it", fix=ANEW)
    return "/".join(parts)


def _matters(path: str) -> bool:
    """Whether what lies at ``path`` may be a vLLM, vouch for one, or run before one."""
    parts = path.split("/")
    return (
        "vllm" in parts
        or parts[-1] in _STARTUP
        or (parts[-1].startswith("vllm.") and parts[-1].endswith((".py", ".pyc", ".so")))
        or parts[-1].endswith((".zip", ".egg", ".whl"))
        or path.endswith(".pth")
        or any(p.endswith(".dist-info") for p in parts[:-1])
        or any(p in _STARTUP for p in parts)
    )


def _wanted(path: str, keep: frozenset[str]) -> bool:
    info, _, name = path.rpartition("/")
    beside = info.endswith(".dist-info") and name in ("RECORD", "METADATA", "direct_url.json")
    return beside or path.endswith((".dist-info/kv-roles/receipt.json", ".pth")) or f"/{path}".endswith(tuple(keep))


def _is_gone(path: str, gone: set[str], emptied: set[str]) -> bool:
    if path in gone:
        return True
    while path:
        path = path.rpartition("/")[0]
        if path in gone or path in emptied:
            return True
    return False


class _Chunks:
    """A layer, unpacked, with a file's ``read``; its packed and unpacked digests are taken meanwhile. A second thread unpacks."""

    def __init__(self, descriptor: Descriptor, path: Path, diff_id: str) -> None:
        self._descriptor, self._path, self._diff_id = descriptor, path, diff_id
        self._packed, self._plain = hashlib.sha256(), hashlib.sha256()
        self._size = 0  # packed
        self._chunks = ahead(self._unpacked())
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes; none at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
        out, self._rest = self._rest[:size], self._rest[size:]
        return out

    def finish(self) -> None:
        """Read what is left. Raises Unproven unless the bytes are those of the descriptor and of the configuration."""
        for _ in self._chunks:
            pass
        found = f"sha256:{self._packed.hexdigest()}"
        if found != self._descriptor["digest"]:
            raise wrong(self._descriptor, found)
        if self._descriptor.get("size", self._size) != self._size:
            raise wrong(self._descriptor, f"{self._size} bytes, where the manifest says {self._descriptor['size']}")
        if f"sha256:{self._plain.hexdigest()}" != self._diff_id:
            raise Unproven(
                f"The layer {self._descriptor['digest']} is not the one that the configuration names",
                expected=self._diff_id,
                found=f"sha256:{self._plain.hexdigest()}, unpacked",
                fix=ANEW,
            )

    def _unpacked(self) -> Iterator[bytes]:
        total = 0
        for chunk in self._opened():
            total += len(chunk)
            if total > _MAX_LAYER:
                raise Unproven(
                    f"The layer {self._descriptor['digest']} unpacks to more than {_MAX_LAYER >> 30} GiB", fix=RUN_IT
                )
            self._plain.update(chunk)
            yield chunk

    def _opened(self) -> Iterator[bytes]:
        with self._path.open("rb") as f:
            start = f.read(4)
            f.seek(0)
            if start.startswith(b"\x1f\x8b"):
                yield from self._gunzipped(f)
            elif start == b"\x28\xb5\x2f\xfd":
                yield from self._by_zstd(f)
            else:
                yield from self._raw(f)

    def _raw(self, f: IO[bytes]) -> Iterator[bytes]:
        while chunk := f.read(_CHUNK):
            self._packed.update(chunk)
            self._size += len(chunk)
            yield chunk

    def _gunzipped(self, f: IO[bytes]) -> Iterator[bytes]:
        unzip = zlib.decompressobj(31)
        try:
            for packed in self._raw(f):
                piece = packed
                while piece:
                    if unzip.eof:
                        unzip = zlib.decompressobj(31)  # gzip streams one behind the other are one (RFC 1952, 2.2)
                    out = unzip.decompress(piece, _CHUNK)
                    piece = unzip.unconsumed_tail or unzip.unused_data
                    if out:
                        yield out
            if not unzip.eof:
                raise Unproven(f"The layer {self._descriptor['digest']} ends in the middle", fix=ANEW)
        except zlib.error as e:
            raise Unproven(f"The layer {self._descriptor['digest']} is damaged: {e}", fix=ANEW) from None

    def _by_zstd(self, f: IO[bytes]) -> Iterator[bytes]:
        program = find_program("zstd")
        if program is None:
            raise NoSource(
                f"The layer {self._descriptor['digest']} is compressed with zstd, and the program zstd is not here",
                fix="Install zstd, which every distribution has by that name",
            )
        for chunk in self._raw(f):  # its digest, before a program reads it
            del chunk
        f.seek(0)
        with subprocess.Popen([program, "-dcq"], stdin=f, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpack:
            assert unpack.stdout is not None
            try:
                while chunk := unpack.stdout.read(_CHUNK):
                    yield chunk
            finally:
                unpack.stdout.close()
                unpack.wait()
        if unpack.returncode:
            raise Unproven(f"The layer {self._descriptor['digest']} is damaged", fix=ANEW)
