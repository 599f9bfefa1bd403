"""Which release an existing tree is: by what it says of itself, else by its content."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from kvroles.apply import receipt
from kvroles.apply.state import Reader
from kvroles.digest import sha256, sha256_of
from kvroles.series import patchfile
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
    hashes: dict[str, set[str]] = {}

    def have(path: str) -> set[str]:
        if path not in hashes:
            data = tree.read(path)
            hashes[path] = set() if data is None else {sha256(data), *_below(data, path, series)}
        return hashes[path]

    default = [t.name for t in series.chosen()]
    fitting = [release for release in lock.releases if _all_known(lock.releases[release], default, have)]
    if len(fitting) > 1 and (patched := receipt.release_of(journal.read_receipt(tree))) in fitting:
        return patched
    return fitting[-1] if fitting else None


def stated_release(tree: Tree, lock: Lock) -> str | None:
    """The release that ``tree`` says it is, in the PKG-INFO of unpacked archives, if the lock knows it."""
    stated = _stated(tree)
    return None if stated is None else next((r for r in lock.releases if version(r) == stated), None)


def _below(data: bytes, path: str, series: Series) -> set[str]:
    """The SHA-256 of the file without what an earlier series, and the topics above that, made of it."""
    out: set[str] = set()
    for change in series.earlier.changes.get(path, ()):
        undone = patchfile.taken_out(data, change.patch)
        if undone is not None and undone[0] is not None:
            out |= {sha256(undone[0]), *_below(undone[0], path, series)}
    return out


def _all_known(row: ReleaseRow, default: list[str], have: Callable[[str], set[str]]) -> bool:
    """Whether each file of the release's default topics has a hash that the lock knows of it; ``have`` gives a file's."""
    known: dict[str, set[str | None]] = {p: set() for n in default if n in row.topics for p in row.topics[n].files}
    for topic in row.topics.values():
        for path, f in topic.files.items():
            if path in known:
                known[path].update({f.before, f.after})
    return bool(known) and all(not hashes.isdisjoint(have(path)) for path, hashes in known.items())


def _stated(tree: Tree) -> Version | None:
    info = tree.read("PKG-INFO")
    m = re.search(rb"^Version: (\S+)", info or b"", re.MULTILINE)
    return Version.parse(m[1].decode("utf-8", "replace")) if m else None


def row_of(read: Reader, lock: Lock) -> ReleaseRow | None:
    """The release whose files, as far as the lock knows them, are all as ``read`` gives them; pristine trees only."""
    for row in reversed(lock.releases.values()):
        # The first topic that touches a file knows it as upstream ships it; those after it, as that topic leaves it.
        known = {p: f.before for t in reversed(row.topics.values()) for p, f in t.files.items()}
        if known and all(sha256_of(read(path)) == before for path, before in known.items()):
            return row
    return None


def most_alike(read: Reader, lock: Lock) -> str | None:
    """The release with the most files, of those the lock knows, exactly as ``read`` gives them; the newest of equals."""
    have: dict[str, str | None] = {}
    best: tuple[int, str | None] = (0, None)
    for release, row in lock.releases.items():
        score = 0
        for topic in row.topics.values():
            for path, f in topic.files.items():
                if path not in have:
                    have[path] = sha256_of(read(path))
                score += have[path] is not None and have[path] in (f.before, f.after)
        if score >= best[0] and score:
            best = (score, release)
    return best[1]


def of_no_use(extra: Sequence[str], row: ReleaseRow) -> list[str]:
    """A note for each topic of ``extra`` that ``row`` has no use for."""
    return [
        f"Topic {name} has nothing to do in vLLM {row.release}."
        for name in dict.fromkeys(extra)
        if name not in row.topics or row.topics[name].state == "absent"
    ]
