"""Whole folders as values, so that a test can say "nothing changed" and mean every byte, mode and time."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from kvroles.places import default_cache_dir


def snapshot(folder: Path, *, times: bool = False) -> dict[str, tuple[object, ...]]:
    """Everything below ``folder``: path -> (kind, mode, content), with ``times`` the modification time and inode too."""
    out: dict[str, tuple[object, ...]] = {}
    if not folder.exists() and not folder.is_symlink():
        return out
    todo = [folder]
    while todo:
        path = todo.pop()
        st = path.lstat()
        mode = stat.S_IMODE(st.st_mode)
        entry: tuple[object, ...]
        if stat.S_ISLNK(st.st_mode):
            entry = ("link", os.readlink(path))
        elif stat.S_ISDIR(st.st_mode):
            entry = ("folder", mode)
            todo += path.iterdir()
        elif stat.S_ISREG(st.st_mode):
            entry = ("file", mode, path.read_bytes())
        else:
            entry = ("other", st.st_mode)
        if times:
            entry += (st.st_mtime_ns, st.st_ino)
        out[str(path.relative_to(folder))] = entry
    return out


def own_cache(at: Path) -> None:
    """A cache at ``at`` that holds the user's archives and what was read of them. What a test makes up stays in there.

    The files are hard links (copies on another file system): the tools refuse symbolic ones.
    """
    for name in ("archives", "touched"):
        folder = at / name
        folder.mkdir(parents=True)
        for file in (default_cache_dir() / name).glob("[!.]*"):
            try:
                os.link(file, folder / file.name)
            except OSError:
                shutil.copy(file, folder / file.name)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every regular file below ``folder``, by path."""
    return {p: e[2] for p, e in snapshot(folder).items() if e[0] == "file" and isinstance(e[2], bytes)}


OWN = {".kv-roles/.gitignore", ".kv-roles/receipt.json"}  # what apply leaves in a tree beside the series


def series_of(tree: Path) -> dict[str, bytes]:
    """The bytes of every file of ``tree`` but those that apply keeps for itself."""
    return {p: d for p, d in contents(tree).items() if p not in OWN}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write ``files`` below ``folder``; returns it."""
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder


BARE = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}  # the environment of somebody else


def readable(folder: Path) -> None:
    """Let everybody read what is below ``folder``."""
    above = [p for p in folder.parents if p.is_relative_to(tempfile.gettempdir()) and p != Path(tempfile.gettempdir())]
    for path in [*folder.rglob("*"), folder, *above]:
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


def put_odd(path: Path, kind: str) -> None:
    """Put at ``path`` what is no regular file: a pipe, a device, a folder, or a loop of links."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": Path("/dev/zero"), "loop": path}[kind])
