"""Files that the tools wrote, or a user's hand: lock, receipts, journal, series, settings, baseline, answers."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Callable

from feed import Feed, changed_json
from kvroles.apply import detect, receipt
from kvroles.errors import KvRolesError, Unproven
from kvroles.migrate import settings
from kvroles.migrate.answers import baseline
from kvroles.places import leaves
from kvroles.series import release
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from kvroles.tree import journal
from kvroles.tree import tree as target
from kvroles.vendored import receipt as vendor_receipt
from support import tiny

from targets.target import Target, ground, project


def lock(data: bytes) -> None:
    """Everything the tools read back that they or a user's hand wrote: the lock and its kin."""
    feed = Feed(data)
    kind = feed.one_of(tuple(_OWN_FILES))
    seed, check = _OWN_FILES[kind]
    check(changed_json(feed, seed()) if feed.byte() % 2 and seed is not _no_json else feed.rest())


def _no_json() -> bytes:
    return b""


def _lock(data: bytes) -> None:
    room = ground() / "lock"
    (room / "patches").mkdir(parents=True, exist_ok=True)
    (room / "patches" / "lock.json").write_bytes(data)
    with contextlib.suppress(Unproven):
        read = Lock.load(room)
        assert Lock.from_json(read.to_json()) == read
        read.dumps()
        for row in read.releases.values():
            assert not any(leaves(p) for t in row.topics.values() for p in t.files)


def _vendor_receipt(data: bytes) -> None:
    with contextlib.suppress(Unproven):
        vendor_receipt.Receipt.loads(data, "fuzzed", "").dumps()


def _receipt(data: bytes) -> None:
    for path, (before, after) in receipt.recorded(data).items():
        assert isinstance(path, str)
        assert before is None or isinstance(before, str), before
        assert after is None or isinstance(after, str), after


def _journal(data: bytes) -> None:
    room = ground() / "journal"
    shutil.rmtree(room, ignore_errors=True)
    tree = room / "tree"
    (tree / ".kv-roles/stage").mkdir(parents=True)
    for path, text in {"a.py": b"a\n", ".kv-roles/stage/0": b"b\n", ".kv-roles/journal.json": data}.items():
        (tree / path).write_bytes(text)
    (room / "outside").write_bytes(b"a\n")
    opened = target.Tree(tree)
    try:
        with contextlib.suppress(KvRolesError):
            journal.recover(opened)
    finally:
        opened.close()
    assert sorted(p.name for p in room.iterdir()) == ["outside", "tree"]
    assert (room / "outside").read_bytes() == b"a\n"


def _series(data: bytes) -> None:
    room = ground() / "series"
    (room / "patches").mkdir(parents=True, exist_ok=True)
    (room / "patches" / "series").write_bytes(data)
    with contextlib.suppress(Unproven):
        Series.load(room)


def _settings(data: bytes) -> None:
    file = ground() / "settings.toml"
    file.write_bytes(data)
    try:
        read = settings.load(str(file), [])
    except KvRolesError:
        return
    with contextlib.suppress(KvRolesError):  # rows that contradict each other
        read.said_of("deploy/prefill.yaml", 3)
    read.excluded("a/b.yaml")


def _pkg_info(data: bytes) -> None:
    room = ground() / "info"
    room.mkdir(exist_ok=True)
    (room / "PKG-INFO").write_bytes(data)
    opened = target.Tree(room)
    try:
        detect.stated_release(opened, project().lock())
    finally:
        opened.close()


def _revision(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(KvRolesError):
        release.resolve(text, ("0.9.0", "0.22.1", "0.33.0"))
    with contextlib.suppress(ValueError):
        release.in_range("0.22.1", text)


def _journal_seed() -> bytes:
    a, b = (tiny.sha256(text) for text in (b"a\n", b"b\n"))
    return b'{"steps": [{"path": "a.py", "before": "%s", "after": "%s", "staged": "0"}], "receipt": false}' % (
        a.encode(), b.encode(),
    )  # fmt: skip


_RECEIPT_SEED = b"""{"schema": 1, "release": "0.22.1", "revision": null, "archive": {"name": "a", "sha256": "", "size": 1},
"topics": {"guides": {"state": "applied", "variant": "0.9.0", "patch": "", "files": {"a": "applied"}}},
"files": {"a.py": {"before": null, "after": "00"}}, "contract": {"holds": true, "unchecked": {}}, "tree": null}"""
_VENDOR_SEED = b"""{"schema": 1, "how": "wheel", "release": "0.22.1", "distribution": "vllm", "version": "0.22.1+kvroles.1",
"wheel": {"name": "a.whl", "sha256": "00"}, "patches": {"a/0.9.0.patch": "00"}, "files": {"vllm/a.py": {"before": "00",
"after": "11"}}, "native": [], "not_in_a_wheel": ["guides"]}"""
_OWN_FILES: dict[str, tuple[Callable[[], bytes], Callable[[bytes], None]]] = {
    "lock": (lambda: _lock_seed(), _lock),
    "receipt": (lambda: _RECEIPT_SEED, _receipt),
    "vendor receipt": (lambda: _VENDOR_SEED, _vendor_receipt),
    "journal": (_journal_seed, _journal),
    "series": (_no_json, _series),
    "settings": (_no_json, _settings),
    "PKG-INFO": (_no_json, _pkg_info),
    "revision": (_no_json, _revision),
}


@functools.cache
def _lock_seed() -> bytes:
    return (project().root / "patches/lock.json").read_bytes()


def _lock_seeds() -> list[bytes]:
    raw = [_RECEIPT_SEED, _RECEIPT_SEED, _VENDOR_SEED, _journal_seed(), b"guides\nfence optional # why\n",
           b'exclude = ["a/**"]\nignore = ["KVR101"]\nconnectors = ["X"]\n[side]\n"a/*.yaml" = "prefill"\n',
           b"Metadata-Version: 2.1\nName: vllm\nVersion: 0.22.1\n", b">=0.9.0,<0.10.1rc1"]  # fmt: skip
    return [bytes([n, 0]) + text for n, text in enumerate(raw)] + [bytes([n, 1, 3, 7, 9, 2, 5]) for n in range(4)]


def kept(data: bytes) -> None:
    """A baseline or settings with answers that a hand wrote are read or refused, and what was read names places."""
    feed = Feed(data)
    file = ground() / "kept"
    file.write_bytes(changed_json(feed, _BASELINE_SEED) if (way := feed.byte() % 3) == 0 else feed.rest())
    with contextlib.suppress(KvRolesError):
        if way < 2:
            baseline.gone([], baseline.load(str(file)), str(file), ["."])
        else:
            read = settings.load(str(file), [])
            for at in ("a.yaml", "deploy/prefill.yaml"):
                read.answers_of(at)
                read.both_of(at, 3)
                read.said_of(at, 3)
                read.excluded(at)


_BASELINE_SEED = b"""{"kv-roles-baseline": 1, "findings": {"a.yaml": [{"code": "KVR110", "key": "k", "line": "x"}]}}"""


def _kept_seeds() -> list[bytes]:
    answer = b'[[answer]]\nfile = "a.yaml"\nkey = "k"\nside = "both"\nbecause = "x"\nline = "y"\n'
    rows = b'[side]\n"a.yaml:3" = "prefill"\n[both]\n"deploy/**:3" = "both"\n'
    return [b"\0\1\2\3", b"\1" + _BASELINE_SEED, b"\2" + answer, b"\2" + rows]


TARGETS = {
    "lock": Target(lock, _lock_seeds, (b'"schema": 1', b'"releases"', b'"steps"', b"0.22.1", b"[side]", b">=")),
    "kept": Target(kept, _kept_seeds, (b"[[answer]]", b"[side]", b"[both]", b'"kv-roles-baseline"', b"findings")),
}
