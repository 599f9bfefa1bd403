"""Keep what an earlier series made of a release where the present series makes something else, and the hashes of its overlay.

Trees that the earlier series patched are then still known. A series counts as given out once it is committed: where a patch or
the overlay was changed since the last commit, ``port.py --relock`` keeps that commit's series.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kvroles import places
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, NoSource
from kvroles.series import earlier, mail, patchfile
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from kvroles.sources import upstream
from kvroles.tree import handles

_PATCHES, _OVERLAY = "patches/", "vllm_overlay/"
_BODY = "What this variant made of these files, where the present series makes something else of them."


_Key = tuple[str, str, tuple[patchfile.Hunk, ...]]  # topic, path, and what is changed there


class _Part(NamedTuple):
    """The change that a variant makes to one file, as its mail holds it."""

    topic: str
    variant: str
    path: str
    raw: bytes


def keep(root: Path, revision: str, series: Series, lock: Lock) -> list[str]:
    """Write what the series of ``revision``, a commit of this repository, made otherwise to ``patches/earlier``.

    Returns the names written: none where all of it is known already. Raises NoSource or UsageError when the revision cannot be
    read, and DoesNotApply where a topic changed other files than it does now: a tree patched then could not be reversed.
    """
    then = _files(root, revision)
    series.earlier.changes  # noqa: B018 - raises Unproven where what is kept already is damaged
    parts = [part for p, d in sorted(then.items()) for part in _parts_of(p, d)]
    now = {
        (topic.name, f.path, f.hunks) for topic in series.topics for v in topic.variants for f in topic.patch(v).files
    }
    folder = root / "patches" / earlier.FOLDER
    kept = {_key(part): (past, part) for past, part in _kept(folder)}
    hashes = {path: dict(known) for path, known in series.earlier.overlay.items()}
    parts = [part for part in parts if _key(part) not in now]
    overlay = {p.removeprefix(_OVERLAY): sha256(d) for p, d in then.items() if p.startswith(_OVERLAY)}
    overlay = {p: sha for p, sha in overlay.items() if p in series.overlay and sha != sha256(series.overlay[p])}
    if all(_key(part) in kept for part in parts) and all(sha in hashes.get(p, {}) for p, sha in overlay.items()):
        return []
    _need_same_files(revision, then, lock)
    number = series.earlier.number
    kept.update({_key(part): (number, part) for part in parts})
    for path, sha in overlay.items():
        hashes.setdefault(path, {})[sha] = number
    return _written(folder, kept.values(), hashes)


def _written(folder: Path, kept: Iterable[tuple[int, _Part]], hashes: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Write the folder anew; the names written."""
    mails: dict[tuple[int, str, str], list[_Part]] = {}
    for number, part in kept:
        mails.setdefault((number, part.topic, part.variant), []).append(part)
    folder.mkdir(exist_ok=True)
    names = []
    for (number, topic, variant), parts in sorted(mails.items()):
        diff = b"".join(part.raw for part in sorted(parts, key=lambda part: part.path))
        names.append(f"{number}-{topic}-{variant}.patch")
        raw = mail.around(f"{topic}, variant {variant}, up to series {number}", _BODY, diff)
        handles.write(folder / names[-1], raw)
    listed = sorted((n, path, sha) for path, known in hashes.items() for sha, n in known.items())
    text = "".join(f"{sha}  {number}  {path}\n" for number, path, sha in listed)
    handles.write(folder / earlier.OVERLAY_LIST, text.encode())
    for file in folder.glob("*.patch"):  # only now: a run that is ended leaves too many, not too few
        if file.name not in names:
            file.unlink()
    return [f"patches/{earlier.FOLDER}/{name}" for name in [*names, earlier.OVERLAY_LIST]]


def _kept(folder: Path) -> Iterator[tuple[int, _Part]]:
    """(number, part) of what is kept already, the earliest first."""
    names = [p.name for p in folder.glob("*.patch")] if folder.is_dir() else []
    for name in sorted(names, key=lambda n: int(n.partition("-")[0])):
        number, _, rest = name.removesuffix(".patch").partition("-")
        topic, _, variant = rest.rpartition("-")
        yield from ((int(number), part) for part in _split(topic, variant, (folder / name).read_bytes()))


def _parts_of(path: str, data: bytes) -> Iterator[_Part]:
    if path.startswith(_PATCHES) and path.endswith(".patch") and path.count("/") == 2:
        _, topic, name = path.split("/")
        if topic != earlier.FOLDER:
            yield from _split(topic, name.removesuffix(".patch"), data)


def _split(topic: str, variant: str, raw: bytes) -> Iterator[_Part]:
    """A mail, file by file."""
    begin = b"\ndiff --git "
    text, _, _ = raw.rpartition(b"\n-- \n")
    for piece in text.split(begin)[1:]:
        piece = b"diff --git " + piece.rstrip(b"\n") + b"\n"
        path = piece.split(b"\n", 1)[0].rpartition(b" b/")[2].decode("utf-8", "surrogateescape")
        yield _Part(topic, variant, path, piece)


def _key(part: _Part) -> _Key:
    raw = mail.around(part.variant, _BODY, part.raw)
    return part.topic, part.path, patchfile.parse(raw, f"{part.topic}/{part.variant}").files[0].hunks


def _need_same_files(revision: str, then: Mapping[str, bytes], lock: Lock) -> None:
    """Raise DoesNotApply where a topic of ``revision`` changed other files of a release than it does now."""
    try:
        rows = json.loads(then["patches/lock.json"])["releases"].items()
        were = {(r, name): set(topic["files"]) for r, row in rows for name, topic in row["topics"].items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        raise NoSource(
            f"Commit {revision} holds no lock that can be read (patches/lock.json), and so no series to keep",
            fix="Name the commit or tag of a series that was given out",
        ) from None
    for (release, name), files in were.items():
        present = lock.releases[release].topics if release in lock.releases else {}
        if name in present and files != present[name].files.keys():
            raise DoesNotApply(
                f"Topic {name} of {revision} and the present one do not change the same files of vLLM {release}",
                found=f"{min(files ^ present[name].files.keys())} in one of the two",
                fix="A tree patched then could not be told from one patched in part: give the change to another topic",
            )


def _files(root: Path, revision: str) -> dict[str, bytes]:
    """The patches, the lock and the overlay of ``revision``."""
    if not (root / ".git").exists():
        raise NoSource(
            f"{root} is no clone, and an earlier series is read from a commit",
            fix="Run it in a clone of the project",
        )
    try:
        commit = upstream.find(str(root), revision, places.default_cache_dir(), offline=True)
        return {m.path: m.data for m in commit.members(lambda path: path.startswith((_PATCHES, _OVERLAY)))}
    except NoSource as e:  # which tells of what apply's --upstream takes
        if "--upstream" not in (e.fix or ""):
            raise
        fix = "Clone the project again, with all its objects (no --depth, no --filter), and run it there"
        raise NoSource(e.what, expected=e.expected, found=e.found, fix=fix) from None
