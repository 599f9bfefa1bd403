"""The files that lie near another and may name it."""

from __future__ import annotations

import os
import re
from collections.abc import Container

from kvroles.evidence.patterns import regex
from kvroles.migrate.files import hits, neighbours
from kvroles.migrate.readers import registry
from kvroles.tree import handles

_READ = frozenset(
    {"shell", "yaml", "python", "go", "rust", "docker", "make", "just", "unit", "json", "toml", "powershell", "hcl"}
    | {"javascript", "typescript", "tsx"}
)
_LAST = neighbours.MANY * 25  # files of a folder that are looked at for another's name
_HEAD = 512  # bytes in which UTF-16 shows its zeros
_FILE_NAME = re.compile(rb"[\w.-]+")
OWN_CONFIG = regex(r"kv_?[rR]ole|kv_?[cC]onnector")  # a file with a config of its own


def shown_path(shown: str, folder: str, path: str) -> str:
    """``path``, which is in or near ``folder``, as evidence, where the folder is ``shown`` as evidence."""
    return os.path.normpath(os.path.join(shown, os.path.relpath(path, folder or ".")))


def files_in(folder: str, languages: Container[str] = _READ) -> list[str]:
    """The files in a folder, of some ``languages``, that may name another, in order; links are not followed."""
    return _small(folder, languages)[: neighbours.MANY]


def _small(folder: str, languages: Container[str] = _READ) -> list[str]:
    return neighbours.entries(
        folder,
        lambda e: (
            language_of(e.name) in languages
            and e.is_file(follow_symlinks=False)
            and e.stat().st_size <= neighbours.MAX_BYTES
        ),
    )


def late(path: str) -> list[str]:
    """The files beside a file that may name it and stand too far back for ``files_in``, but hold its name."""
    return _late(os.path.dirname(path)).get(os.fsencode(os.path.basename(path)), [])


@neighbours.once
def _late(folder: str) -> dict[bytes, list[str]]:
    """By the name of each file in a folder: the files too far back there that hold it."""
    out: dict[bytes, list[str]] = {}
    if behind := _small(folder)[neighbours.MANY : _LAST]:
        names = {os.fsencode(name) for name in neighbours.names(os.path.join(folder, "."))}
        for path in behind:
            for name in names & {word.strip(b".") for word in _FILE_NAME.findall(hits.look(path).data)}:
                out.setdefault(name, []).append(path)
    return out


def not_read(path: str, *, above: bool) -> tuple[str, str] | None:
    """A file that may name another and is not read, with why: one that is too large and holds the other's name, or that cannot
    be opened. Looked for beside the file at ``path``, one folder down, and one up if that is looked at. None without one."""
    folder, name = os.path.split(path)
    for where in (folder, *neighbours.folders(folder), *([os.path.join(folder, "..")] if above else [])):
        for other, size in _not_read(where):
            if size and not _holds(other, name.encode("utf-8", "surrogateescape")):
                continue
            return other, f"it is larger than {neighbours.MAX_BYTES >> 10} KB" if size else "it cannot be opened"
    return None


@neighbours.once
def _not_read(folder: str) -> list[tuple[str, int]]:
    """The files in a folder that may name another: those that are too large, with their size, and those that cannot be opened,
    with zero."""
    out: list[tuple[str, int]] = []
    for path in neighbours.entries(folder, lambda e: bool(language_of(e.name)) and e.is_file(follow_symlinks=False)):
        size = neighbours.state(path)[1]
        if not os.access(path, os.R_OK):
            out.append((path, 0))
        elif size > neighbours.MAX_BYTES:
            out.append((path, size))
    return out


def _holds(path: str, name: bytes) -> bool:
    """Whether a large file holds a name, as UTF-8 or UTF-16; a file that cannot be searched may."""
    import mmap  # lazy: few files are that large

    try:
        with handles.regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if b"\0" in data[:_HEAD]:
                name = b"\0".join(name[i : i + 1] for i in range(len(name)))
            # Not where a longer name holds it: ``data.py`` is not ``a.py``.
            around = rb"(?<![\w.-])(?<![\w.-]\0)" + re.escape(name) + rb"(?!\0?[\w-])"
            return data.find(name) >= 0 and re.search(around, data) is not None
    except (OSError, ValueError):
        return True


def language_of(name: str) -> str:
    """The language of a file of that name, if such files name others; else empty."""
    lang = registry.lang_of_name(name)
    return lang if lang in _READ else ""
