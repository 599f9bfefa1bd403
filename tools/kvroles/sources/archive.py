"""Source archives (``.tar.gz``): read members from verified bytes, refusing whatever would leave the tree.

The standard library's ``tarfile`` with ``filter="data"`` takes about five times as long as ``tar xzf`` on these
archives, so the few member types a source archive holds are read here: regular files and folders, with pax and GNU
long names (POSIX.1-2017 ``pax``, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format").
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kvroles.errors import Unproven
from kvroles.places import leaves
from kvroles.tree.member import Member

_CHUNK = 1 << 20
MAX_BYTES = 4 << 30  # the largest vLLM tree is 154 MB; a bomb by ratio ends here
_PADDING = 16 << 20  # zeros behind the last member: tar fills up its last block, of a few MiB at most
MAX_MEMBER = 256 << 20  # held in memory whole; the largest file of a release is 7 MB
MAX_MEMBERS = 200_000  # ... and one by count here
MAX_DEPTH = 256  # ... and one by folders in folders, which Python 3.11 could not even delete; a release has 10


def unpacked(blob: bytes, name: str, top: str) -> Iterator[Member]:
    """The members of archive ``blob`` (already checked against its hash), inflated by a second thread; see ``members``."""
    return members(ahead(inflate(blob, name)), name, top)


def ahead(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Run ``chunks`` in a thread, at most 16 chunks ahead: zlib releases the GIL, so this uses a second core."""
    box: queue.Queue[bytes | BaseException | None] = queue.Queue(16)
    stop = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                box.put(item, timeout=0.2)
                return True
        return False

    def work() -> None:
        try:
            for chunk in chunks:
                if not put(chunk):
                    return
            put(None)
        except BaseException as e:
            put(e)

    threading.Thread(target=work, daemon=True).start()
    try:
        while (item := box.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()


def inflate(blob: bytes, name: str, library: Any = zlib) -> Iterator[bytes]:
    """The decompressed bytes of gzip ``blob``, in chunks of about 1 MiB. Raises Unproven when it is cut or damaged.

    ``library`` is zlib, or a module that offers the same.
    """
    unzip = library.decompressobj(31)
    view = memoryview(blob)
    total = 0
    at = 0
    try:
        while not unzip.eof:
            piece: bytes | memoryview = unzip.unconsumed_tail
            if not piece:
                piece = view[at : at + (_CHUNK >> 2)]
                at += len(piece)
                if not piece:
                    raise _broken(name, "it ends in the middle")
            out = unzip.decompress(piece, _CHUNK)
            total += len(out)
            if total > MAX_BYTES:
                raise _broken(name, f"it unpacks to more than {MAX_BYTES >> 30} GiB")
            if out:
                yield out
    except library.error as e:
        raise _broken(name, str(e)) from None


@dataclass
class Head:
    """What an archive that git made says of itself: its one folder, and the commit, as ``git archive`` writes it."""

    top: str | None = None
    commit: str | None = None


def members(
    chunks: Iterator[bytes],
    name: str,
    top: str | None,
    wanted: Callable[[str], bool] | None = None,
    head: Head | None = None,
) -> Iterator[Member]:
    """The regular files of a tar stream, in its order; those ``wanted`` refuses are passed over unread.

    ``top`` is the one folder everything must lie in. Raises Unproven for members that are absolute, hold ``..`` or NUL,
    lie outside ``top``, come twice, or are links or devices; and for a damaged stream. With ``head``, which is filled in, the
    stream is one that git made: it may hold symbolic links, which are handed out as such, and ``top`` is its first folder.
    """
    stream = _Stream(chunks, name)
    places = _Places(name)
    extended = _Extended()
    kinds = _OF_RELEASES if head is None else _OF_GIT
    count = 0
    while (header := stream.read(512)) != _END:
        count += 1
        if count > MAX_MEMBERS:
            raise _broken(name, f"it holds more than {MAX_MEMBERS} members")
        size = _number(header[124:136], name)
        _check_sum(header, name)
        kind = header[156:157]
        if kind in b"xgLK" and kind:
            if size > 1 << 20:
                raise _broken(name, "a member's extended header is larger than 1 MiB")
            body = stream.read(size)
            stream.skip(-size % 512)
            extended.take(kind, body, name, head)
            continue
        path, link = extended.of_member(header)
        if head is not None and top is None:
            top = head.top = path.partition("/")[0]
        inside = _inside(path, top or "", name)
        if kind not in kinds:
            raise _broken(
                name, f"{path!r} is a {_KINDS.get(kind, 'member of unknown type')}, which a source tree never holds"
            )
        if kind == b"5":
            stream.skip(size + -size % 512)
            continue
        places.add(inside, path)
        if size > MAX_MEMBER:
            raise _broken(name, f"{path!r} is larger than {MAX_MEMBER >> 20} MiB")
        if kind == b"2":
            target = header[157:257].split(b"\0", 1)[0] if link is None else link.encode("utf-8", "surrogateescape")
            stream.skip(size + -size % 512)
            yield Member(inside, False, _number(header[136:148], name), target, "link")
        elif wanted is None or wanted(inside):
            data = stream.read(size)
            stream.skip(-size % 512)
            yield Member(inside, bool(_number(header[100:108], name) & 0o100), _number(header[136:148], name), data)
        else:
            stream.skip(size + -size % 512)
    stream.end()


class _Places:
    """The files of an archive so far and the folders they lie in: no path comes twice, and none is both."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._files: set[str] = set()
        self._folders = {""}

    def add(self, inside: str, path: str) -> None:
        """Take in the file ``inside`` the top folder, which the archive calls ``path``; raises Unproven."""
        if inside in self._files or not inside:
            raise _broken(self._name, f"{path!r} comes twice" if inside else f"{path!r} is a file, not a folder")
        self._files.add(inside)
        folder = inside.rpartition("/")[0]
        clash = inside in self._folders
        while folder not in self._folders:
            self._folders.add(folder)
            clash = clash or folder in self._files
            folder = folder.rpartition("/")[0]
        if clash:
            raise _broken(self._name, f"{path!r} is both a file and a folder, or lies below what is")


class _Extended:
    """What the extended headers in front of a member say of it: a path and a link's target too long for its own header."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._link: str | None = None

    def take(self, kind: bytes, body: bytes, name: str, head: Head | None) -> None:
        """Read one extended header: pax (``x``, or ``g`` for the whole archive) or GNU's ``L``. Raises Unproven.

        GNU's ``K``, a link's target, is passed over: git writes pax, and in other archives a link is refused.
        """
        if kind == b"x":
            pax = _pax(body, name)
            self._path = pax.get("path", self._path)
            self._link = pax.get("linkpath")
            if "size" in pax:
                raise _broken(name, "a member is larger than 8 GiB")
        elif kind == b"L":
            self._path = body.rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif kind == b"g" and head is not None:
            said = _pax(body, name).get("comment", "")
            head.commit = said if re.fullmatch("[0-9a-f]{40}", said) else None

    def of_member(self, header: bytes) -> tuple[str, str | None]:
        """The path and the long link target of the member that ``header`` opens; the next member has its own."""
        path = self._path if self._path is not None else _ustar_path(header)
        link, self._path, self._link = self._link, None, None
        return path, link


def _check_sum(header: bytes, name: str) -> None:
    # The sum of a header's bytes, its checksum field read as blanks; Adler-32's low half is a sum (RFC 1950, 8.2)
    # and a hundred times as fast as sum().
    summed = (zlib.adler32(header) & 0xFFFF) - 1 - sum(header[148:156]) + 256
    if (summed - _number(header[148:156], name)) % 65521:
        raise _broken(name, "a member header's checksum is wrong")


_END = bytes(512)
_OF_RELEASES = (b"0", b"\0", b"5")  # the types of members that are read: regular files (either mark) and folders
_OF_GIT = (*_OF_RELEASES, b"2")
_KINDS = {b"1": "hard link", b"2": "symbolic link", b"3": "device", b"4": "device", b"6": "named pipe"}


def _inside(path: str, top: str, name: str) -> str:
    """``path`` relative to the ``top`` folder, once proven harmless."""
    parts = path.removesuffix("/").split("/")
    if "\\" in path or leaves(path.removesuffix("/")):
        raise _broken(name, f"member {path!r} leaves the tree")
    if parts[0] != top:
        raise _broken(name, f"member {path!r} lies outside its folder {top!r}")
    if len(parts) > MAX_DEPTH:
        raise _broken(name, f"{path[:60]!r}... lies more than {MAX_DEPTH} folders deep")
    return "/".join(parts[1:])


def _ustar_path(header: bytes) -> str:
    path = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0":
        prefix = header[345:500].split(b"\0", 1)[0]
        if prefix:
            path = prefix + b"/" + path
    return path.decode("utf-8", "surrogateescape")


def _number(text: bytes, name: str) -> int:
    digits = text.strip(b" \0") or b"0"
    try:
        if not digits.isdigit():
            raise ValueError
        return int(digits, 8)
    except ValueError:
        raise _broken(name, "a member header holds no octal number where one belongs") from None


def _pax(body: bytes, name: str) -> dict[str, str]:
    out = {}
    try:
        while body:
            length, _, _ = body.partition(b" ")
            record = body[len(length) + 1 : int(length)]
            if int(length) <= len(length) + 1 or not record.endswith(b"\n"):
                raise ValueError
            key, _, value = record[:-1].partition(b"=")
            out[key.decode()] = value.decode("utf-8", "surrogateescape")
            body = body[int(length) :]
    except ValueError:
        raise _broken(name, "a member's pax header is malformed") from None
    return out


class _Stream:
    """Reads and skips over an iterator of chunks, copying as little as it can."""

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self._chunks = chunks
        self._name = name
        self._buffer = b""
        self._at = 0

    def read(self, n: int) -> bytes:
        end = self._at + n
        if end <= len(self._buffer):
            out = self._buffer[self._at : end]
            self._at = end
            return out
        parts = [self._buffer[self._at :]]
        have = len(parts[0])
        while have < n:
            chunk = next(self._chunks, b"")
            if not chunk:
                raise _broken(self._name, "it ends in the middle")
            parts.append(chunk)
            have += len(chunk)
        self._buffer = parts[-1]
        self._at = len(self._buffer) - (have - n)
        parts[-1] = self._buffer[: self._at]
        return b"".join(parts)

    def skip(self, n: int) -> None:
        while n > len(self._buffer) - self._at:
            n -= len(self._buffer) - self._at
            self._buffer = next(self._chunks, b"")
            self._at = 0
            if not self._buffer:
                raise _broken(self._name, "it ends in the middle")
        self._at += n

    def end(self) -> None:
        """Read what is left: gzip's checksum lies behind it, and another reader might find members in it."""
        rest = self._buffer[self._at :]
        zeros = 0
        while not rest.strip(b"\0"):
            zeros += len(rest)
            if zeros > _PADDING:
                raise _broken(self._name, f"more than {_PADDING >> 20} MiB of zeros lie behind its end")
            rest = next(self._chunks, b"")
            if not rest:
                return
        raise _broken(self._name, "it goes on after its end")


def _broken(name: str, why: str) -> Unproven:
    return Unproven(
        f"Archive {name} is refused: {why}",
        fix="Delete it and run again; if it repeats, the source serves something else",
    )
