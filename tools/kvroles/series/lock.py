"""``patches/lock.json``: what is known, by hash, of every release before and after the series.

Per release: the archive's name and SHA-256, the digest of the whole tree before and after, and per topic its state
(variant, native or absent) with the SHA-256 of each file before and after. Its schema: ``docs/data/lock.schema.json``.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, NamedTuple

from kvroles.errors import Unproven
from kvroles.places import Readable, leaves, project_root, restored
from kvroles.series import line_ends
from kvroles.series.release import version

SCHEMA = 1
_SHA = re.compile(r"[0-9a-f]{64}")
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # an escaped surrogate: no path can hold it, and ``dumps`` escapes nothing


class FileRow(NamedTuple):
    """One file of one topic. ``before`` is None when the topic creates it; ``after`` None when it is not known."""

    before: str | None
    after: str | None


class TopicRow(NamedTuple):
    """``state`` is ``variant`` (and ``variant`` names it), ``native`` (``files``: where upstream has it) or ``absent``."""

    state: str
    variant: str | None
    files: dict[str, FileRow]


class ArchiveRow(NamedTuple):
    """A file on the package index (source archive or wheel): its name, SHA-256, and size in bytes."""

    name: str
    sha256: str
    size: int

    @property
    def top(self) -> str:
        """The one folder of a source archive: its name without ``.tar.gz`` (PEP 625)."""
        return self.name.removesuffix(".tar.gz")


class TreeRow(NamedTuple):
    """The whole tree: number of files and digest, pristine and with the default series (see ``digest.py``)."""

    files: int
    before: str
    after: str


class ReleaseRow(NamedTuple):
    """One release; ``archive`` and ``tree`` are None where no source archive was published (0.15.x).

    ``contract`` is the key (``contract.terms.key``) of the files the series is about, once patched, if the contract was proven
    for them.
    """

    release: str
    archive: ArchiveRow | None
    tree: TreeRow | None
    topics: dict[str, TopicRow]
    wheels: tuple[ArchiveRow, ...] = ()
    contract: str | None = None

    @property
    def whole(self) -> bool:
        """Whether every file is known after the series; False where some could not be had (0.15.x)."""
        return all(
            f.after is not None or f.before is None
            for t in self.topics.values()
            if t.state == "variant"
            for f in t.files.values()
        )


class Checker(NamedTuple):
    """The contract's checker that the rows' keys were made with: ``contract.terms.CHECKER``, and the SHA-256 of its tokens."""

    number: int
    tokens: str


class Lock(NamedTuple):
    """The whole lock; ``checker`` is None in a lock made without one, for tests of single rows."""

    overlay: dict[str, str]
    releases: dict[str, ReleaseRow]
    checker: Checker | None = None

    @classmethod
    def load(cls, root: Readable | None = None) -> Lock:
        """Read the lock below ``root`` (default: the project). Raises Unproven when it is missing or damaged."""
        try:
            raw = ((root or project_root()) / "patches" / "lock.json").read_bytes()
        except (FileNotFoundError, KeyError):
            raise _damaged("it is missing") from None
        if line_ends.are_converted(raw):
            raise line_ends.damaged("patches/lock.json", root)
        try:
            if _HALF.search(raw):
                raise ValueError("it holds half of a character")
            return cls.from_json(json.loads(raw))
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as e:
            raise _damaged(f"{type(e).__name__}: {e}") from None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Lock:
        """The lock from parsed JSON; ValueError, KeyError or TypeError when it is not one."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r} is not {SCHEMA}")
        path, sha = cache(_path), cache(_sha)  # most files are the same from one release to the next
        releases = {}
        for name, row in data["releases"].items():
            version(name)
            archive = row["archive"]
            tree = row["tree"]
            topics = {}
            for topic, t in row["topics"].items():
                if t["state"] not in ("variant", "native", "absent"):
                    raise ValueError(f"state {t['state']!r} of {topic} in {name}")
                if (t["state"] == "variant") != isinstance(t.get("variant"), str):
                    raise ValueError(f"{topic} in {name} is {t['state']} with variant {t.get('variant')!r}")
                if t["state"] == "variant":
                    version(t["variant"])  # it becomes a file name
                files = {path(p): FileRow(sha(f["before"]), sha(f["after"])) for p, f in t["files"].items()}
                topics[topic] = TopicRow(t["state"], t.get("variant"), files)
            releases[name] = ReleaseRow(
                name,
                _archive(archive) if archive else None,
                TreeRow(int(tree["files"]), _hex(tree["before"]), _hex(tree["after"])) if tree else None,
                topics,
                tuple(_archive(w) for w in row["wheels"]),
                _sha(row["contract"]),
            )
        overlay = {_path(p): _hex(s) for p, s in data["overlay"].items()}
        checker = Checker(int(data["checker"]["number"]), _hex(data["checker"]["tokens"])) if data["checker"] else None
        return cls(overlay, dict(sorted(releases.items(), key=lambda kv: version(kv[0]))), checker)

    def only(self, release: str) -> Lock:
        """The lock with the row of ``release`` alone."""
        return self._replace(releases={release: self.releases[release]})

    def to_json(self) -> dict[str, Any]:
        """The lock as JSON data, ordered, so that equal locks are equal bytes."""

        def topic(t: TopicRow) -> dict[str, Any]:
            out: dict[str, Any] = {"state": t.state}
            if t.variant:
                out["variant"] = t.variant
            out["files"] = {p: {"before": f.before, "after": f.after} for p, f in sorted(t.files.items())}
            return out

        return {
            "schema": SCHEMA,
            "checker": self.checker._asdict() if self.checker else None,
            "overlay": dict(sorted(self.overlay.items())),
            "releases": {
                r.release: {
                    "archive": r.archive._asdict() if r.archive else None,
                    "wheels": [w._asdict() for w in r.wheels],
                    "tree": r.tree._asdict() if r.tree else None,
                    "contract": r.contract,
                    "topics": {name: topic(t) for name, t in r.topics.items()},
                }
                for r in sorted(self.releases.values(), key=lambda r: version(r.release))
            },
        }

    def dumps(self) -> bytes:
        """The bytes of ``lock.json``."""
        return (json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n").encode()


def _archive(data: dict[str, Any]) -> ArchiveRow:
    if "/" in data["name"] or leaves(data["name"]):
        raise ValueError(f"{data['name']!r} is not a file name")
    return ArchiveRow(data["name"], _hex(data["sha256"]), int(data["size"]))


def _path(path: str) -> str:
    if leaves(path):
        raise ValueError(f"{path!r} leaves the tree")
    return path


def _hex(value: str) -> str:
    if not isinstance(value, str) or not _SHA.fullmatch(value):
        raise ValueError(f"{value!r} is not a SHA-256")
    return value


def _sha(value: str | None) -> str | None:
    return None if value is None else _hex(value)


def _damaged(why: str) -> Unproven:
    return Unproven(f"patches/lock.json is damaged: {why}", fix=restored("patches/lock.json"))
