"""Commits, tags and trees of a clone."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator

from feed import Feed
from kvroles.errors import KvRolesError
from kvroles.places import leaves
from kvroles.sources import objects as git_objects

from targets.target import Target


def objects(data: bytes) -> None:
    """A commit, a tag and a tree that anybody made give paths inside the tree, or are refused."""
    feed = Feed(data)
    store = _Objects()
    blob = store.put("blob", b"x")
    ways = (
        lambda: b"%s %s\0" % (feed.one_of((b"100644", b"40000", b"120000", b"160000", b"0", b"777777777", feed.take(3))), feed.take(feed.byte() % 12)),
        lambda: feed.take(feed.byte() % 40),
    )  # fmt: skip
    tree = b"".join(ways[feed.byte() % 8 == 7]() + bytes.fromhex(blob) for _ in range(feed.byte() % 5))
    tree_id = store.put("tree", tree)
    if feed.byte() % 3 == 0:
        tree_id = store.put("tree", b"40000 a\0" + bytes.fromhex(tree_id))
    commit = b"tree %s\n" % tree_id.encode() if feed.byte() % 8 else feed.take(feed.byte())
    commit += b"committer a <a> " + (feed.take(feed.byte() % 30) if feed.byte() % 2 else b"1700000000 +0000") + b"\n\n"
    start = store.put("commit", commit)
    if feed.byte() % 3 == 0:
        start = store.put("tag", b"object %s\ntype commit\n\n" % start.encode())
    with contextlib.suppress(KvRolesError):
        _, root, seconds = git_objects.commit_of(store, start, "x")
        assert seconds >= 0
        found = git_objects.entries(store, root)
        assert not any(leaves(path) for path in found), found


class _Objects(git_objects.Store):
    """Objects in memory."""

    def __init__(self) -> None:
        super().__init__("fuzzed", [])
        self._held: dict[str, tuple[str, bytes]] = {}

    def put(self, kind: str, data: bytes) -> str:
        id_ = hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
        self._held[id_] = kind, data
        return id_

    def read(self, ids: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
        wanted = list(dict.fromkeys(ids))
        if lacking := [i for i in wanted if i not in self._held]:
            raise git_objects.Lacks(self, lacking)
        for id_ in wanted:
            yield id_, *self._held[id_]


def _object_seeds() -> list[bytes]:
    return [bytes([n, k, 5]) + b"nameofafile" + bytes([k, n, 1, 2, 3]) * 4 for n in range(1, 5) for k in range(6)]


TARGETS = {
    "objects": Target(objects, _object_seeds, (b"..", b".git", b"40000 ", b"120000 ")),
}
