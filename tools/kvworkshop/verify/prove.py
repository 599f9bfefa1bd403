"""Prove one release, from its archive alone: the topics apply, the contract holds, reverse restores, the lock is true."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvroles.apply import plan as engine
from kvroles.apply import run
from kvroles.contract import check
from kvroles.digest import sha256
from kvroles.errors import Exit, KvRolesError, NoSource, Unproven
from kvroles.series import patchfile
from kvroles.series.lock import Lock, ReleaseRow
from kvroles.series.topics import Series
from kvroles.sources import archive, cache, extracts, http, index
from kvroles.tree.journal import Change

from kvworkshop.port import lock_rows

_WHEEL_PLATFORM = "x86_64"


@dataclass(frozen=True)
class Options:
    """Where archives come from, and what unpacks them."""

    cache_dir: Path
    index_url: str | None = None
    offline: bool = False
    inflate: extracts.Inflate = archive.inflate


@dataclass
class Proof:
    """What was found out about one release; ``problem`` is None when all of it holds."""

    release: str
    commit: str | None = None  # as the archive itself says, abbreviated; None before 0.10.2 and without an archive
    topics: dict[str, dict[str, Any]] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)
    files: int | None = None
    tree: str | None = None
    whole: bool = True  # False: some files of the release cannot be had (0.15.x)
    problem: str | None = None
    code: Exit = Exit.UNPROVEN  # of the problem: NO_SOURCE when the release could not be looked at

    def as_json(self) -> dict[str, Any]:
        """This release's entry in ``compat.json``."""
        return {
            "commit": self.commit,
            "topics": self.topics,
            "contract": {"holds": self.problem is None, "unchecked": self.unchecked},
            "reverse": self.problem is None,
            "whole": self.whole,
            "files": self.files,
            "tree": self.tree,
        }


def prove(release: str, series: Series, lock: Lock, options: Options, given: extracts.Extract | None = None) -> Proof:
    """Prove ``release``; never raises KvRolesError: what does not hold is the proof's ``problem``.

    ``given`` is what was read of its archive already, if anything.
    """
    proof = Proof(release)
    try:
        _prove(proof, lock.releases[release], series, lock, options, given)
    except KvRolesError as e:
        proof.problem, proof.code = str(e), e.code
    return proof


def extract(row: ReleaseRow, series: Series, options: Options) -> extracts.Extract:
    """The files of a release that the series is about, from the cache of such files or from its archive."""
    assert row.archive is not None
    wanted = lock_rows.paths_of_interest(series)
    found = extracts.load(options.cache_dir, row.archive.sha256, wanted)
    if found is None:
        blob = cache.archive_bytes(row.archive, options.cache_dir, index_url=options.index_url, offline=options.offline)
        found = extracts.of_archive(blob, row.archive, row.archive.top, wanted, options.inflate)
        extracts.store(options.cache_dir, row.archive.sha256, wanted, found)
    return found


def files_of(row: ReleaseRow, series: Series, lock: Lock, options: Options) -> dict[str, bytes]:
    """The files of interest of any release, as far as they can be had (all, but for 0.15.x)."""
    if row.archive is not None:
        return extract(row, series, options).files
    like = extract(lock.releases[lock_rows.LIKE_WITHOUT_ARCHIVE], series, options).files
    return lock_rows.files_without_archive(row.release, _shipped(row, options), like)


def _prove(
    proof: Proof, row: ReleaseRow, series: Series, lock: Lock, options: Options, given: extracts.Extract | None
) -> None:
    if row.archive is None:
        _prove_in_part(proof, row, series, lock, options)
        return
    found = given or extract(row, series, options)
    proof.files = found.count()
    proof.commit = commit_of(found.files.get(lock_rows.VERSION_FILE, b""))
    _same("pristine tree", row.tree.before if row.tree else None, found.digest())
    unknown: dict[str, str] = {}
    _check_rows(proof, row, found.files, series, unknown)
    changes = _apply(proof, row, found.files, series)
    proof.tree = found.digest({c.path: None if c.after is None else sha256(c.after) for c in changes})
    _same("patched tree", row.tree.after if row.tree else None, proof.tree)


def commit_of(version_file: bytes) -> str | None:
    """The upstream commit that ``vllm/_version.py`` names (``commit_id = 'g4ba787ec9'``), or None."""
    named = re.search(rb"^(?:__commit_id__ = )?commit_id = 'g([0-9a-f]{7,40})'", version_file, re.MULTILINE)
    return named[1].decode() if named else None


def _check_rows(
    proof: Proof, row: ReleaseRow, files: dict[str, bytes], series: Series, unknown: dict[str, str]
) -> None:
    """The lock's rows are what the patches make of these files: every topic, the optional ones too."""
    made, _ = lock_rows.topic_rows(files, row.release, series, unknown)
    for name, want in made.items():
        have = row.topics.get(name)
        if have != want:
            raise Unproven(
                f"The lock's row of topic {name} for vLLM {row.release} is not what the series makes of the archive",
                fix=f"Regenerate it with 'python tools/port.py --relock --to {row.release}'",
            )
    for topic in series.topics:
        entry = made[topic.name]
        proof.topics[topic.name] = {
            "state": entry.state,
            "variant": entry.variant,
            "files": _offsets(topic, entry.variant, files, unknown) if entry.variant and not topic.optional else {},
        }


def _offsets(topic: Any, variant: str, files: dict[str, bytes], unknown: dict[str, str]) -> dict[str, list[int]]:
    """path -> the offset of each hunk, in lines."""
    out = {}
    for f in topic.patch(variant).files:
        if f.path not in unknown:
            _, fits = patchfile.apply(files.get(f.path), f)
            out[f.path] = [fit.offset for fit in fits]
    return out


def _apply(proof: Proof, row: ReleaseRow, files: dict[str, bytes], series: Series) -> list[Change]:
    """Plan, prove and reverse the default series, alone and with optional topics on top; the default one's changes."""
    result: list[Change] | None = None
    touched_paths = set(engine.touched_paths(row, series))
    for extra in choices(series):
        plan = engine.plan(files.get, row, series, series.chosen(extra), where=f"vLLM {row.release}")
        verdict = run.prove(files, plan, touched_paths)
        after = {**files, **{c.path: c.after for c in plan.changes}}
        _reverse(row, {p: d for p, d in after.items() if d is not None}, files, series, extra)
        if result is None:
            result = plan.changes
            made = {p: sha256(d) for p in touched_paths if (d := after.get(p)) is not None}
            _same("contract's key", row.contract, check.key(made))
            proof.unchecked = {str(k): v for k, v in verdict.unchecked.items()}
    assert result is not None
    return result


def choices(series: Series) -> list[tuple[str, ...]]:
    """What can be chosen beside the default topics: nothing, every optional topic alone, and all of them."""
    optional = [t.name for t in series.topics if t.optional]
    return list(dict.fromkeys([(), *((name,) for name in optional), tuple(optional)]))


def _reverse(
    row: ReleaseRow, after: dict[str, bytes], before: dict[str, bytes], series: Series, extra: tuple[str, ...]
) -> None:
    plan = engine.plan(after.get, row, series, series.chosen(extra), reverse=True, where=f"vLLM {row.release}")
    back: dict[str, bytes | None] = {**after, **{c.path: c.after for c in plan.changes}}
    if {p: d for p, d in back.items() if d is not None} != before:
        raise Unproven(f"Reversing the series does not restore the bytes of vLLM {row.release}")


def _same(what: str, want: str | None, have: str) -> None:
    if want != have:
        raise Unproven(f"The digest of the {what} is not the one in the lock", expected=str(want), found=have)


def _prove_in_part(proof: Proof, row: ReleaseRow, series: Series, lock: Lock, options: Options) -> None:
    """0.15.x: vllm/ from the wheel, the files that equal 0.14.1's from its archive; the rest is said to be open."""
    proof.whole = False
    unknown = lock_rows.WITHOUT_ARCHIVE[row.release]
    files = files_of(row, series, lock, options)
    _check_rows(proof, row, files, series, unknown)
    for extra in reversed(choices(series)):  # the default series last: its verdict is the one that is told
        now: dict[str, bytes | None] = dict(files)
        chosen = [t for t in series.chosen(extra) if t.name in row.topics and row.topics[t.name].variant]
        for topic in chosen:
            for f in topic.patch(row.topics[topic.name].variant or "").files:
                if f.path not in unknown:
                    was = now.get(f.path)
                    now[f.path], _ = patchfile.apply(was, f)
                    back, _ = patchfile.apply(now[f.path], f.reversed())
                    if back != was:
                        raise Unproven(f"Reversing {topic.name} does not restore {f.path} of vLLM {row.release}")
        now |= series.overlay
        after = {p: d for p, d in now.items() if d is not None}
        verdict = check.check(after, files, {}, topics=[t.name for t in chosen], missing=frozenset(unknown))
        proof.unchecked = {str(k): v for k, v in verdict.unchecked.items()}
        if verdict.breaches:
            raise Unproven(f"The contract does not hold: {verdict.breaches[0]}")


def _shipped(row: ReleaseRow, options: Options) -> dict[str, bytes]:
    """The members of the release's wheel that some topic changes, read through range requests (a wheel is half a
    gigabyte), each checked by its hash."""
    want: dict[str, str] = {}
    for topic in row.topics.values():
        for path, f in topic.files.items():
            if path.startswith("vllm/") and f.before is not None:
                want.setdefault(path, f.before)
    key = " ".join([row.release, *sorted(want.values())])
    found = extracts.load(options.cache_dir, key, set(want))
    if found is None:
        if options.offline:
            raise NoSource(
                f"The files that the wheel of vLLM {row.release} ships are not in the cache and --offline forbids "
                "fetching them",
                fix="Run once without --offline",
            )
        wheel = next(w for w in row.wheels if _WHEEL_PLATFORM in w.name)
        url = index.locate(wheel.name, "vllm", options.index_url)
        with http.RangeFile(url, wheel.size) as member, zipfile.ZipFile(member) as z:
            found = extracts.Extract({path: z.read(path) for path in want}, b"")
        extracts.store(options.cache_dir, key, set(want), found)
    for path, sha in want.items():
        if sha256(found.files[path]) != sha:
            raise Unproven(
                f"{path} in the wheel of vLLM {row.release} is not the one in the lock",
                expected=sha,
                found=sha256(found.files[path]),
            )
    return found.files
