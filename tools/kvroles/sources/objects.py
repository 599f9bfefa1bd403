"""The objects of a git repository: bytes, each checked against its id, and the files of a commit among them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from kvroles.errors import NoSource, UsageError
from kvroles.places import leaves
from kvroles.sources import git
from kvroles.sources.archive import MAX_BYTES, MAX_DEPTH, MAX_MEMBER, MAX_MEMBERS
from kvroles.tree.member import Member

FILE, EXECUTABLE, LINK, FOLDER, SUBMODULE = "100644", "100755", "120000", "40000", "160000"
_LARGEST_TREE = 16 << 20  # one folder's list of names
_LONGEST_CHAIN = 16  # tags of tags
_MOST_FOLDERS = 20_000  # that are read ahead; a release has 1100
_HEX = re.compile("[0-9a-f]{40}")

Lacking = Callable[[list[str]], bool]  # asked to have these ids fetched into the store; whether it could


@dataclass
class Store:
    """Where objects are read from: object folders in turn (a clone's, then the cache's for what a partial clone lacks)."""

    name: str  # in messages
    folders: list[Path]
    fetch: Lacking | None = None
    way_out: Callable[[], str | None] = lambda: None  # what makes the store whole; None: nothing is known of it
    _asked: set[str] = field(default_factory=set)

    def read(self, ids: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
        """(id, type, bytes) of each of ``ids``, in no order. Raises NoSource, naming one, when some cannot be had."""
        lacking = list(dict.fromkeys(ids))
        for folder in self.folders:
            if lacking:
                lacking = yield from self._from(folder, lacking)
        if lacking and self.fetch is not None and self._asked.isdisjoint(lacking):
            self._asked.update(lacking)
            if self.fetch(lacking):
                lacking = yield from self._from(self.folders[-1], lacking)
        if lacking:
            raise Lacks(self, lacking)

    def one(self, id_: str) -> tuple[str, bytes]:
        """(type, bytes) of one object."""
        return next((kind, data) for _, kind, data in list(self.read([id_])))

    def full_id(self, short: str) -> str | None:
        """The one object whose id begins with ``short``, or None."""
        for folder in self.folders:
            with git.directory(folder) as where, tempfile.TemporaryFile() as asked:
                asked.write(short.encode() + b"\n")
                asked.seek(0)
                done = git.run(["cat-file", "--batch-check=%(objectname)"], git.reading(where), stdin=asked)
            answer = done.stdout.decode("ascii", "replace").strip()
            if len(answer) == 40 and answer.startswith(short):
                return answer
            if answer.endswith(" ambiguous"):
                raise UsageError(f"{short} is the beginning of several objects of {self.name}", fix="Give more digits")
        return None

    def folders_of(self, tree: str) -> dict[str, tuple[str, bytes]]:
        """id -> (type, bytes) of ``tree`` and folders below it, read ahead in two calls of git. Those that git cannot name, and
        those beyond the limits in number and size, are missing: the caller reads them one level at a time."""
        named: list[str] = []
        for folder in self.folders[:1]:
            asked = ["rev-list", "--objects", "--no-object-names", "--filter=blob:none", tree, "--"]
            with (
                git.directory(folder) as where,
                git.started(asked, git.reading(where), subprocess.DEVNULL) as running,
            ):
                named = running.out.read(_MOST_FOLDERS * 41).decode("ascii", "replace").split()
        out: dict[str, tuple[str, bytes]] = {}
        size = 0
        with contextlib.suppress(Lacks):
            for id_, kind, data in self.read(name for name in named if _HEX.fullmatch(name)):
                out[id_] = kind, data
                size += len(data)
                if size > _LARGEST_TREE:
                    break
        return out

    def _from(self, folder: Path, ids: list[str]) -> Generator[tuple[str, str, bytes], None, list[str]]:
        """Yield what ``folder`` holds of ``ids``; returns what it lacks."""
        lacking: list[str] = []
        with git.directory(folder) as where, tempfile.TemporaryFile() as asked:
            asked.write("".join(f"{id_}\n" for id_ in ids).encode())
            asked.seek(0)
            with git.started(["cat-file", "--batch", "--buffer"], git.reading(where), asked) as running:
                for id_ in ids:
                    header = running.out.readline(200).split()
                    if header[1:] == [b"missing"]:
                        lacking.append(id_)
                        continue
                    yield self._object(id_, header, running)
        return lacking

    def _object(self, id_: str, header: list[bytes], running: git.Started) -> tuple[str, str, bytes]:
        if len(header) != 3 or not header[2].isdigit():
            raise self._damaged(id_, running.last_words())
        kind, size = header[1].decode("ascii", "replace"), int(header[2])
        if size > MAX_MEMBER:
            raise NoSource(
                f"Object {id_} in {self.name} is larger than {MAX_MEMBER >> 20} MiB, which no file of vLLM is",
                fix="Name a revision without it",
            )
        data = running.out.read(size)
        if len(data) != size or running.out.read(1) != b"\n":
            raise self._damaged(id_, running.last_words())
        if (have := _id_of(kind, data)) != id_:
            raise self._damaged(id_, f"its bytes have the id {have}")
        return id_, kind, data

    def _damaged(self, id_: str, why: str) -> NoSource:
        return NoSource(f"Object {id_} in {self.name} is damaged: {why}", fix="Clone the repository again")


def _id_of(kind: str, data: bytes) -> str:
    whole = hashlib.sha1(f"{kind} {len(data)}\0".encode(), usedforsecurity=False)
    whole.update(data)
    return whole.hexdigest()


def blob_id(data: bytes) -> str:
    """The id that git gives a file with these bytes."""
    return _id_of("blob", data)


class Lacks(NoSource):
    """Objects that a clone does not hold and that could not be fetched."""

    def __init__(self, store: Store, ids: list[str], paths: list[str] | None = None) -> None:
        self.ids = ids
        self.paths = paths or []
        named = paths or [f"object {i}" for i in ids]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        super().__init__(
            f"{store.name} lacks {', '.join(named[:3])}{more}, which could not be fetched",
            fix=f"{store.way_out() or 'Clone the repository again'}, or name the address of the repository with --upstream",
        )


def commit_of(store: Store, id_: str, revision: str) -> tuple[str, str, int]:
    """(commit, its tree, its time in seconds) of the commit that ``id_`` is, or that it is a tag of. Raises NoSource."""
    for _ in range(_LONGEST_CHAIN):
        kind, data = store.one(id_)
        lines = dict(line.partition(b" ")[::2] for line in reversed(data.partition(b"\n\n")[0].split(b"\n")))
        if kind == "commit":
            time = lines.get(b"committer", b"").split()[-2:-1]
            seconds = int(time[0]) if time and time[0].isdigit() and len(time[0]) < 12 else 0
            return id_, _id(lines.get(b"tree", b""), store, id_), seconds
        if kind != "tag":
            raise NoSource(
                f"{revision} of {store.name} is a {kind}, not a commit", fix="Name a branch, a commit, or a tag of one"
            )
        id_ = _id(lines.get(b"object", b""), store, id_)
    raise NoSource(f"{revision} of {store.name} is a tag of a tag, {_LONGEST_CHAIN} times over", fix="Name its commit")


def _id(text: bytes, store: Store, of: str) -> str:
    if len(text) != 40:
        raise NoSource(
            f"Object {of} in {store.name} is no commit that git would make", fix="Clone the repository again"
        )
    return text.decode("ascii", "replace")


def entries(store: Store, tree: str) -> dict[str, tuple[str, str]]:
    """path -> (mode, id) of every file, link and submodule of ``tree``.

    Raises NoSource for names that lead out of a tree, or come twice, and for more of them than any vLLM has.
    """
    out: dict[str, tuple[str, str]] = {}
    level: dict[str, list[str]] = {tree: [""]}  # a tree may stand at several places
    count = 0
    ahead = store.folders_of(tree)  # else each level of folders is a call of git, and vLLM has ten
    for _ in range(MAX_DEPTH):
        below: dict[str, list[str]] = {}
        at_hand = ((id_, *ahead[id_]) for id_ in level if id_ in ahead)
        for id_, kind, data in chain(at_hand, store.read(id_ for id_ in level if id_ not in ahead)):
            if kind != "tree" or len(data) > _LARGEST_TREE:
                raise _odd(store, f"object {id_}, a {kind}, stands for a folder")
            listed = list(_listed(data, store))
            for place in level[id_]:
                for mode, name, child in listed:
                    path = f"{place}{name}"
                    count += 1
                    if mode == FOLDER:
                        below.setdefault(child, []).append(f"{path}/")
                    else:
                        out[path] = (mode, child)
                if count > MAX_MEMBERS:
                    raise _odd(store, f"it holds more than {MAX_MEMBERS} files")
        if not below:
            return out
        level = below
    raise _odd(store, f"its folders are more than {MAX_DEPTH} deep")


def _listed(data: bytes, store: Store) -> Iterator[tuple[str, str, str]]:
    """(mode, name, id) of each entry of a tree object. No manual page gives the format; git's tree-walk.c reads it."""
    at, names = 0, set()
    while at < len(data):
        m = _ENTRY.match(data, at)
        if m is None:
            raise _odd(store, "a list of files is cut")
        at = m.end()
        name = os.fsdecode(m[2])
        if leaves(name) or "/" in name or name in names:
            raise _odd(store, f"{name!r} is no name for a file, or comes twice")
        names.add(name)
        yield _mode(m[1]), name, m[3].hex()


_ENTRY = re.compile(rb"([^ \0]++) ([^\0]++)\0(.{20})", re.DOTALL)


@functools.cache
def _mode(text: bytes) -> str:
    mode = text.decode("ascii", "replace")
    if mode in (LINK, FOLDER, SUBMODULE):
        return mode
    # Any other mode is a file to git, executable if its owner may run it.
    return EXECUTABLE if re.fullmatch("[0-7]{1,6}", mode) and int(mode, 8) & 0o100 else FILE


def _odd(store: Store, why: str) -> NoSource:
    return NoSource(f"The tree in {store.name} is none that can be written: {why}", fix="Name another revision")


def members(store: Store, tree: str, mtime: int, wanted: Callable[[str], bool] | None = None) -> Iterator[Member]:
    """The files, links and submodules (as empty folders) of ``tree``, in no order.

    Those that ``wanted`` refuses are not read, and may be missing. Raises NoSource naming the files that cannot be had.
    """
    places: dict[str, list[tuple[str, str]]] = {}
    for path, (mode, id_) in entries(store, tree).items():
        if wanted is not None and not wanted(path):
            continue
        if mode == SUBMODULE:
            yield Member(path, False, mtime, b"", "folder")
        else:
            places.setdefault(id_, []).append((path, mode))
    total = 0
    try:
        for id_, kind, data in store.read(places):
            if kind != "blob":
                raise _odd(store, f"{places[id_][0][0]!r} is a {kind}")
            for path, mode in places[id_]:
                total += len(data)
                if total > MAX_BYTES:
                    raise _odd(store, f"it holds more than {MAX_BYTES >> 30} GiB")
                yield Member(path, mode == EXECUTABLE, mtime, data, "link" if mode == LINK else "file")
    except Lacks as e:
        raise Lacks(store, e.ids, sorted(path for i in e.ids for path, _ in places.get(i, []))) from None
