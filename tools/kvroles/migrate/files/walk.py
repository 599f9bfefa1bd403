"""The folders and files at or below a path, and what is passed over there, with the reason."""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from kvroles.migrate.files import hits

# Folders that are passed over where they are met below a path, and why; a path that is named is read whatever its name.
PASSED_OVER = {
    **dict.fromkeys((".git", ".hg", ".svn", ".bzr", ".jj"), "version control"),
    **dict.fromkeys(
        ("node_modules", "bower_components", "site-packages", "dist-packages", ".tox", ".nox", ".eggs"), "environment"
    ),
    **dict.fromkeys(
        ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".terraform", ".cache"), "cache"
    ),
}
_ABSENT = "not checked out (submodule)"
# A file or folder that is put aside for one of these reasons does not count as unread.
REASONS = frozenset({*PASSED_OVER.values(), "binary", "system", _ABSENT})
# A folder with one of these in it may be a virtual environment, whatever its name; it is one with one of those beside it.
_ENVIRONMENT_SIGNS = frozenset({"pyvenv.cfg", "conda-meta"})
_ENVIRONMENT_HAS = ("bin", "Scripts", "lib")
_HOME = re.compile(rb"(?mi)^[ \t]*home[ \t]*=")  # in a ``pyvenv.cfg``: where the interpreter is
_SYSTEM = frozenset({"/proc", "/sys", "/dev"})  # views of the running system, not files
# Compiled code, archives, images and data: no deployment reads them as text.
BINARY_SUFFIXES = frozenset(
    {
        ".so", ".o", ".a", ".pyc", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".pdf", ".zip", ".gz", ".tgz",
        ".xz", ".zst", ".bz2", ".whl", ".jar", ".safetensors", ".bin", ".pt", ".onnx", ".gguf", ".woff", ".woff2",
        ".ttf", ".mp4", ".mp3", ".wav", ".parquet", ".npy", ".npz", ".db", ".sqlite",
    }
)  # fmt: skip
SETTINGS = ".kv-roles.toml"  # what the user says of files beside their text; it is no config of anybody's
UNFINISHED = ".kv-roles-"  # what a killed --write leaves beside a file; the next one replaces it
_UNFINISHED = re.compile(rf"{re.escape(UNFINISHED)}[0-9a-f]{{16}}")
_READ = 1 << 20  # bytes of a ``.gitmodules``
_SUBMODULE = re.compile(rb"(?m)^[ \t]*path[ \t]*=[ \t]*\"?([^\"\s\0][^\"\r\n\0]*?)\"?[ \t]*\r?$")


class Listed:
    """What a folder holds: files to search, folders to list, links, and what is put aside with the reason."""

    __slots__ = ("aside", "dirs", "files", "links", "repository", "tops")

    def __init__(self) -> None:
        self.tops: list[str] = []  # the listed folders that are the top of a repository
        self.repository = ""  # the nearest top at or above the folder; ``below`` sets it
        self.files: list[str] = []
        self.dirs: list[str] = []
        self.links: list[str] = []
        self.aside: list[tuple[str, str]] = []  # reason, path

    def add(self, other: Listed) -> None:
        """Add what another folder holds."""
        self.files += other.files
        self.dirs += other.dirs
        self.links += other.links
        self.aside += other.aside
        self.tops += other.tops


def below(root: str, repository: str = "") -> Iterator[Listed]:
    """What ``root`` and each folder below it hold, one folder at a time; ``repository`` is the top of the one ``root`` is in.

    Links are listed, not followed.
    """
    stack = [(os.path.normpath(root), repository)]
    while stack:
        folder, of = stack.pop()
        found = _listed(folder)
        found.repository = found.tops[0] if found.tops else of
        stack += [(d, found.repository) for d in found.dirs]
        yield found


def spread(root: str, many: int) -> Listed:
    """What is at or below ``root``, listed until about ``many`` folders are left, which ``below`` can walk in parallel.

    ``root`` itself is listed whatever its name.
    """
    root = os.path.normpath(root)
    if root in _SYSTEM or os.path.realpath(root).startswith(("/proc/", "/sys/")):
        whole = Listed()
        whole.aside.append(("a view of the running system, not files", root))
        return whole
    whole = _listed(root, named=True)
    dirs = deque(whole.dirs)
    while dirs and len(dirs) < many:
        found = _listed(dirs.popleft())
        dirs += found.dirs
        whole.add(found)
    whole.dirs = list(dirs)
    return whole


def upward(path: str) -> Iterator[str]:
    """``path`` and every folder above it, the nearest first."""
    while True:
        yield path
        up = os.path.dirname(path)
        if up == path:
            return
        path = up


def top_of(folder: str) -> str | None:
    """The top of the repository of ``folder``, a whole path: the nearest folder upward with a ``.git``; None without one."""
    return next((d for d in upward(folder) if os.path.lexists(os.path.join(d, ".git"))), None)


def is_passed_over(path: str, root: str) -> bool:
    """Whether ``path`` is a file, or lies in a folder below ``root``, that is passed over; both paths are without links."""
    if os.path.isdir(path):
        here = path
    else:
        here = os.path.dirname(path)
        if _is_binary(os.path.basename(path)):
            return True
    while len(here) > len(root):
        if os.path.basename(here) in PASSED_OVER or _is_environment(here):
            return True
        here = os.path.dirname(here)
    return False


def _is_binary(name: str) -> bool:
    """Whether a file of that name is passed over as binary."""
    dot = name.rfind(".")
    return dot >= 1 and name[dot:].lower() in BINARY_SUFFIXES


def _is_environment(folder: str) -> bool:
    """Whether a folder holds what a virtual environment does: one empty file hides no folder."""
    if not any(os.path.isdir(os.path.join(folder, name)) for name in _ENVIRONMENT_HAS):
        return False
    with suppress(OSError):
        if any(n == "history" or n.endswith(".json") for n in os.listdir(os.path.join(folder, "conda-meta"))):
            return True
    with suppress(OSError):
        return _HOME.search(_beginning(os.path.join(folder, "pyvenv.cfg"))) is not None
    return False


def _beginning(path: str, size: int = _READ) -> bytes:
    """A file's first bytes; none of what is no regular file, which may never end."""
    with open(os.open(path, hits.FLAGS), "rb") as file:
        return file.read(size) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""


def order(path: str) -> list[tuple[bool, str]]:
    """A sort key for paths: by name, a folder's files before the folders in it."""
    *dirs, name = path.split(os.sep)
    return [*((True, d) for d in dirs), (False, name)]


def _listed(here: str, *, named: bool = False) -> Listed:
    """What the folder ``here`` holds, or ``here`` itself if it is a file or cannot be listed.

    A virtual environment is put aside unless it is ``named`` by the user.
    """
    out = Listed()
    files, dirs, aside = out.files, out.dirs, out.aside
    cut = 2 if here == "." else 0  # "./a" is "a"
    try:
        with os.scandir(here) as entries:
            for entry in entries:
                name = entry.name
                if name == ".git":  # a folder, or the file of a worktree or submodule
                    out.tops.append(here)
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if name in PASSED_OVER:
                            aside.append((PASSED_OVER[name], entry.path[cut:]))
                        elif entry.path in _SYSTEM:
                            aside.append(("system", entry.path))
                        else:
                            dirs.append(entry.path[cut:])
                        if name in _ENVIRONMENT_SIGNS and not named and _is_environment(here):
                            return _environment(here)
                    elif entry.is_file(follow_symlinks=False):
                        dot = name.rfind(".")  # as _is_binary; a call for each file takes long
                        if dot >= 1 and name[dot:].lower() in BINARY_SUFFIXES:
                            aside.append(("binary", entry.path[cut:]))
                        elif name in _ENVIRONMENT_SIGNS and not named and _is_environment(here):
                            return _environment(here)
                        elif not (name.startswith(UNFINISHED) and _UNFINISHED.fullmatch(name)):
                            files.append(entry.path[cut:])
                        if name == ".gitmodules":
                            aside += [(_ABSENT, path[cut:]) for path in _absent(here)]
                    elif entry.is_symlink():
                        out.links.append(entry.path[cut:])
                    else:
                        aside.append((hits.SPECIAL, entry.path[cut:]))
                except OSError:
                    files.append(entry.path[cut:])
    except NotADirectoryError:
        return _only(here)
    except OSError:
        out = Listed()
        out.files.append(here)  # ``look`` reports why
    return out


def _absent(top: str) -> list[str]:
    """The submodules of the repository at ``top`` that are not checked out: the folders in its ``.gitmodules`` that are empty or
    missing."""
    out = []
    with suppress(OSError):
        for m in _SUBMODULE.finditer(_beginning(os.path.join(top, ".gitmodules"))):
            below = os.path.normpath(os.fsdecode(m.group(1)))
            if os.path.isabs(below) or below.split(os.sep)[0] == "..":
                continue
            path = os.path.join(top, below)
            try:
                if not os.listdir(path):
                    out.append(path)
            except FileNotFoundError:
                out.append(path)
            except OSError:  # listing it reports why
                continue
    return out


def _environment(here: str) -> Listed:
    """A virtual environment's folder, put aside whole."""
    out = Listed()
    out.aside.append(("environment", here))
    return out


def _only(path: str) -> Listed:
    """A path that is no folder: a file to search, or put aside if it is compressed or no regular file."""
    out = Listed()
    with suppress(OSError):
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            out.aside.append((hits.SPECIAL, path))
            return out
        if _beginning(path, 8).startswith(hits.FIRST_OF_PACKED):
            out.aside.append((hits.PACKED, path))
            return out
    out.files.append(path)
    return out
