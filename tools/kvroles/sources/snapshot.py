"""A vLLM source tree without git: a tar archive as GitHub and ``git archive`` make them, or an unpacked folder -> its files."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from kvroles.errors import NoSource, Unproven, UsageError, os_error
from kvroles.places import OWN
from kvroles.said import shell
from kvroles.sources import archive
from kvroles.tree import handles
from kvroles.tree.member import Member

_LARGEST = 1 << 30  # bytes of an archive; GitHub's of vLLM have 40 MB
_GZIP, _TAR = b"\x1f\x8b", b"ustar"
_AGAIN = "Download it again, as tar.gz"


def is_one(upstream: str) -> bool:
    """Whether ``--upstream`` names such an archive or folder: what has a git directory of its own is a clone."""
    path = Path(upstream)
    try:
        if path.is_dir():
            return (path / "vllm" / "__init__.py").is_file() and not os.path.lexists(path / ".git")
        return path.is_file() and path.name != ".git"
    except (OSError, ValueError):  # a name too long, or with a NUL in it
        return False


class Snapshot:
    """The files at ``path``. ``commit`` is the one that an archive says it was made of: nothing here can check it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head = archive.Head()
        self._blob = None if path.is_dir() else _bytes(path)
        if self._blob is not None:
            next(self._of_archive(lambda _: False), None)  # its first words: the commit and the folder

    @property
    def commit(self) -> str | None:
        return self._head.commit

    @property
    def label(self) -> str:
        """What a new tree of it is called: its commit, or the name of its folder."""
        top = self._head.top or self._path.resolve().name
        return self._head.commit or re.sub(r"[^\w.-]", "-", top).removeprefix("vllm-") or "snapshot"

    def need(self, revision: str) -> None:
        """Raise UsageError where the archive says that it is another commit than ``revision``, which looks like one."""
        if self.commit and re.fullmatch(r"[0-9a-f]{7,40}", revision) and not self.commit.startswith(revision):
            raise UsageError(
                f"{self._path} is not commit {revision}", found=f"it says that it is {self.commit}", fix="Name that one"
            )

    def members(self, wanted: Callable[[str], bool] | None = None) -> Iterator[Member]:
        """Its files and links, in no order; those that ``wanted`` refuses are not read. Raises NoSource for what is damaged,
        cannot be read, or is neither."""
        return self._of_folder(wanted) if self._blob is None else self._of_archive(wanted)

    def _of_archive(self, wanted: Callable[[str], bool] | None) -> Iterator[Member]:
        blob, name = self._blob or b"", self._path.name
        chunks = archive.inflate(blob, name) if blob.startswith(_GZIP) else iter([blob])
        try:
            yield from archive.members(chunks, name, self._head.top, wanted, self._head)
        except Unproven as e:
            raise NoSource(e.what, fix=_AGAIN) from None

    def _of_folder(self, wanted: Callable[[str], bool] | None) -> Iterator[Member]:
        total = 0
        for folder, names, files in os.walk(self._path, onerror=_refuse):
            below = os.path.relpath(folder, self._path)
            prefix = "" if below == "." else f"{below}/"
            links = [n for n in names if os.path.islink(os.path.join(folder, n))]
            names[:] = sorted(n for n in names if n not in (".git", OWN) and n not in links)
            for name in sorted([*files, *links]):
                path = f"{prefix}{name}"
                if name != ".git" and (wanted is None or wanted(path)):
                    member = _member(Path(folder, name), path)
                    total += len(member.data)
                    if total > archive.MAX_BYTES:
                        raise _too_large(self._path, f"it holds more than {archive.MAX_BYTES >> 30} GiB")
                    yield member


def _member(file: Path, path: str) -> Member:
    try:
        found = file.lstat()
        mtime = int(found.st_mtime)
        if stat.S_ISLNK(found.st_mode):
            return Member(path, False, mtime, os.fsencode(os.readlink(file)), "link")
        if not stat.S_ISREG(found.st_mode):
            raise NoSource(f"{file} is a device, a pipe or a socket, which no source tree holds", fix="Move it away")
        if found.st_size > archive.MAX_MEMBER:
            raise _too_large(file, f"it is larger than {archive.MAX_MEMBER >> 20} MiB")
        with handles.regular(file) as f:
            return Member(path, bool(found.st_mode & 0o100), mtime, f.read())
    except OSError as e:
        raise os_error(f"{file} cannot be read", e, None, NoSource) from None


def _too_large(file: Path, why: str) -> NoSource:
    return NoSource(f"{file} is not copied: {why}", fix="Patch the folder where it lies, with --into")


def _refuse(error: OSError) -> None:
    raise os_error(f"{error.filename} cannot be read", error, None, NoSource) from None


def _bytes(file: Path) -> bytes:
    try:
        with handles.given(file) as f:
            blob = f.read(_LARGEST + 1)
    except OSError as e:
        raise os_error(f"{file} cannot be read", e, None, NoSource) from None
    if blob.startswith((b"# v2 git bundle", b"# v3 git bundle")):
        clone = shell("git", "clone", "--bare", file, f"{file.name}.git")
        raise NoSource(
            f"{file} is a bundle, which is not read as it is", fix=f"Clone it (`{clone}`), and name that clone"
        )
    if len(blob) > _LARGEST or not (blob.startswith(_GZIP) or blob[257:262] == _TAR):
        raise NoSource(
            f"{file} is neither a clone nor an archive of one",
            expected=f"a tar or tar.gz file of at most {_LARGEST >> 30} GiB, as GitHub makes them",
            fix=_AGAIN,
        )
    return blob
