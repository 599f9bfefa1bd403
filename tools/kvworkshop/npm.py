"""Packages from npm, by its own client, held against a pinned hash and kept in the user's cache."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from kvroles import places
from kvroles.digest import sha256
from kvroles.errors import NoSource, Unproven, os_error
from kvroles.tree import handles

_LARGEST = 64 << 20
_SECONDS = 300


class Package(NamedTuple):
    """A package's packed form, which never changes once it is published."""

    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}.tgz"


def files(package: Package, cache: Path, wanted: list[str]) -> dict[str, bytes]:
    """The files ``wanted`` of ``package``, from ``cache``, else from npm into it.

    Raises NoSource when npm is missing or fails, Unproven for other bytes than the pinned.
    """
    kept = kept_in(cache / "npm", package.file)
    data = kept if kept is not None else pack(package.name, package.version)
    if sha256(data) != package.sha256:
        raise Unproven(
            f"{cache / 'npm' / package.file if kept is not None else package.file} is not what was pinned",
            expected=f"SHA-256 {package.sha256}",
            found=f"SHA-256 {sha256(data)}",
            fix="Delete it and run this again" if kept is not None else "Fetch it from another registry",
        )
    if kept is None:
        keep_in(cache / "npm", package.file, data)
    return members(data, wanted)


def pack(name: str, version: str, fix: str = "Install npm, or work without what needs it") -> bytes:
    """The packed package, by the npm client (``npm pack`` runs no scripts). Raises NoSource when npm is missing or fails."""
    npm = places.find_program("npm")
    if npm is None:
        raise NoSource(f"{name} {version} is fetched with npm, and there is no npm here", fix=fix)
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{name}@{version}", "--silent", "--fetch-retries=1"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise NoSource(f"npm could not fetch {name} {version} in {_SECONDS} s", fix=fix) from None
        packed = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or packed is None:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise NoSource(f"npm could not fetch {name} {version}", found=said, fix=fix)
        return packed.read_bytes()


def members(data: bytes, wanted: list[str]) -> dict[str, bytes]:
    """The files ``wanted`` of a packed package."""
    out: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for name in wanted:
            member = tar.extractfile(f"package/{name}")
            assert member is not None
            out[name] = member.read()
    return out


def keep_in(cache: Path, name: str, data: bytes) -> None:
    """Put a file into the folder ``cache``, which is created if need be."""
    with handles.folder(cache, create=True) as folder, handles.new(folder, name) as f:
        f.write(data)


def kept_in(cache: Path, name: str) -> bytes | None:
    """A file that ``cache`` holds, or None. Raises NoSource when it cannot be read."""
    try:
        with handles.folder(cache) as folder, handles.regular(name, at=folder) as f:
            return f.read(_LARGEST)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise os_error(f"{cache / name} cannot be read", e, "Choose another cache with --cache-dir", NoSource) from None
