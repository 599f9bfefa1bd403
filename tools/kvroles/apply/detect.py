"""Which release an existing tree is: by what it says of itself, else by its content."""

from __future__ import annotations

import re

from kvroles.digest import sha256
from kvroles.series.lock import Lock, ReleaseRow
from kvroles.series.release import Version, version
from kvroles.series.topics import Series
from kvroles.tree import journal
from kvroles.tree.tree import Tree


def release_of(tree: Tree, lock: Lock, series: Series) -> str | None:
    """The release in ``lock`` that ``tree`` is, or None when it is none of them (a fork, a commit between releases).

    An unpacked archive names its version in PKG-INFO. A checkout does not: it is a release when every file the lock
    knows of that release is there, pristine or applied. Where that holds for several, the receipt of the run that
    patched the tree decides, and without one the newest: their series are then the same. Files that only optional
    topics touch do not count.
    """
    stated = stated_release(tree, lock)
    if stated is not None:
        return stated
    hashes: dict[str, str | None] = {}

    def have(path: str) -> str | None:
        if path not in hashes:
            data = tree.read(path)
            hashes[path] = None if data is None else sha256(data)
        return hashes[path]

    default = [t.name for t in series.chosen()]
    fitting = [release for release in lock.releases if _all_known(lock.releases[release], default, have)]
    if len(fitting) > 1:
        patched = _RELEASE.search(journal.read_receipt(tree) or b"")
        if patched and patched[1].decode() in fitting:
            return patched[1].decode()
    return fitting[-1] if fitting else None


_RELEASE = re.compile(rb'^ "release": "([0-9a-z.]+)"', re.MULTILINE)


def stated_release(tree: Tree, lock: Lock) -> str | None:
    """The release that ``tree`` says it is, in the PKG-INFO of unpacked archives, if the lock knows it."""
    stated = _stated(tree)
    return None if stated is None else next((r for r in lock.releases if version(r) == stated), None)


def _all_known(row: ReleaseRow, default: list[str], have: object) -> bool:
    assert callable(have)
    known: dict[str, set[str | None]] = {p: set() for n in default if n in row.topics for p in row.topics[n].files}
    for topic in row.topics.values():
        for path, f in topic.files.items():
            if path in known:
                known[path].update({f.before, f.after})
    return bool(known) and all(have(path) is not None and have(path) in hashes for path, hashes in known.items())


def _stated(tree: Tree) -> Version | None:
    info = tree.read("PKG-INFO")
    m = re.search(rb"^Version: (\S+)", info or b"", re.MULTILINE)
    return Version.parse(m[1].decode("utf-8", "replace")) if m else None
