"""Which release an existing tree is: by what it says of itself, else by its content."""

from __future__ import annotations

import re

from .digest import sha256
from .lock import Lock, ReleaseRow
from .release import Version, version
from .target import Tree


def release_of(tree: Tree, lock: Lock) -> str | None:
    """The release in ``lock`` that ``tree`` is, or None when it is none of them (a fork, a commit between releases).

    An unpacked archive names its version in PKG-INFO. A checkout does not: it is a release when every file the lock
    knows of that release is there, pristine or applied.
    """
    stated = _stated(tree)
    if stated is not None:
        for release in lock.releases:
            if version(release) == stated:
                return release
    hashes: dict[str, str | None] = {}

    def have(path: str) -> str | None:
        if path not in hashes:
            data = tree.read(path)
            hashes[path] = None if data is None else sha256(data)
        return hashes[path]

    for release in reversed(lock.releases):
        if _all_known(lock.releases[release], have):
            return release
    return None


def _all_known(row: ReleaseRow, have: object) -> bool:
    assert callable(have)
    known: dict[str, set[str | None]] = {}
    for topic in row.topics.values():
        for path, f in topic.files.items():
            known.setdefault(path, set()).update({f.before, f.after})
    return bool(known) and all(have(path) is not None and have(path) in hashes for path, hashes in known.items())


def _stated(tree: Tree) -> Version | None:
    info = tree.read("PKG-INFO")
    m = re.search(rb"^Version: (\S+)", info or b"", re.MULTILINE)
    return Version.parse(m[1].decode("utf-8", "replace")) if m else None
