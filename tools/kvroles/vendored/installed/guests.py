"""Code of others that runs inside vLLM: plugins, found by their metadata, and libraries that the loader puts into every program.

It is named, neither read nor judged. Source of the groups: ``vllm/plugins/__init__.py``, which asks ``importlib.metadata`` for
``vllm.general_plugins``, ``vllm.platform_plugins`` and more of that prefix.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvroles.vendored.installed.search import read, same

GROUPS = "vllm."
PRELOADS = ("LD_PRELOAD", "LD_AUDIT")  # ld.so(8)
_LIST = "entry_points.txt"


@dataclass(frozen=True)
class Plugin:
    """An entry point: ``value`` is the object that vLLM loads, ``of`` the distribution's folder of metadata."""

    group: str
    name: str
    value: str
    of: str


@dataclass(frozen=True)
class Guests:
    """``preloads`` are settings of the environment, as NAME=VALUE; ``unread`` are lists of entry points that are no files."""

    plugins: tuple[Plugin, ...] = ()
    preloads: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def of(folders: Iterable[Path], environ: Mapping[str, str], own: Path | None) -> Guests:
    """The guests of a Python that searches ``folders`` in ``environ``; the distribution with metadata in ``own`` is none."""
    plugins: list[Plugin] = []
    unread: list[str] = []
    seen: set[str] = set()
    places = [str(f) for f in dict.fromkeys(folders) if f.is_dir() or f.is_file()]
    for dist in importlib.metadata.distributions(path=places):
        path = Path(str(getattr(dist, "_path", "")))
        name = re.sub(r"[-_.]+", "-", path.stem.partition("-")[0]).lower()
        if name in seen:
            continue  # entry_points() asks the first of a name
        seen.add(name)
        if own is not None and same(path, own):
            continue
        text = _text(dist, path)
        if text is None:
            unread.append(str(path / _LIST))
        plugins += [Plugin(group, key, value, path.name) for group, key, value in _entries(text or "")]
    said = tuple(f"{name}={environ[name]}" for name in PRELOADS if environ.get(name))
    return Guests(tuple(sorted(plugins, key=lambda p: (p.of, p.group, p.name))), said, tuple(unread))


def _text(dist: Any, path: Path) -> str | None:
    """The list of entry points, "" where there is none, None where it cannot be read."""
    if path.is_dir():
        data = read(path / _LIST) if os.path.lexists(path / _LIST) else b""
        return None if data is None else data.decode("utf-8", "replace")
    with contextlib.suppress(Exception):  # in an archive, which importlib.metadata reads
        return dist.read_text(_LIST) or ""
    return ""


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """(group, name, value) of the groups that are vLLM's."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = line.strip("[]").strip()
        elif line and not line.startswith(("#", ";")) and group.startswith(GROUPS):
            name, _, value = line.partition("=")
            yield group, name.strip(), value.strip()
