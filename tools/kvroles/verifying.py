"""Prove one release, from its archive alone: the topics apply, the contract holds, reverse restores, the lock is true."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import applying, contract, engine, fetch, index, patchfile, relock, touched, web
from .digest import sha256
from .errors import KvRolesError, NoSource, Unproven
from .journal import Change
from .lock import Lock, ReleaseRow
from .series import Series

_WHEEL_PLATFORM = "x86_64"


@dataclass(frozen=True)
class Options:
    """Where archives come from."""

    cache_dir: Path
    index_url: str | None = None
    offline: bool = False


@dataclass
class Proof:
    """What was found out about one release; ``problem`` is None when all of it holds."""

    release: str
    topics: dict[str, dict[str, Any]] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)
    files: int | None = None
    tree: str | None = None
    whole: bool = True  # False: some files of the release cannot be had (0.15.x)
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """This release's entry in ``compat.json``."""
        return {
            "topics": self.topics,
            "contract": {"holds": self.problem is None, "unchecked": self.unchecked},
            "reverse": self.problem is None,
            "whole": self.whole,
            "files": self.files,
            "tree": self.tree,
        }


def prove(release: str, series: Series, lock: Lock, options: Options) -> Proof:
    """Prove ``release``; never raises KvRolesError: what does not hold is the proof's ``problem``."""
    proof = Proof(release)
    try:
        _prove(proof, lock.releases[release], series, lock, options)
    except KvRolesError as e:
        proof.problem = str(e)
    return proof


def extract(row: ReleaseRow, series: Series, options: Options) -> touched.Extract:
    """The files of a release that the series is about, from the cache of such files or from its archive."""
    assert row.archive is not None
    wanted = relock.paths_of_interest(series)
    found = touched.load(options.cache_dir, row.archive.sha256, wanted)
    if found is None:
        blob = fetch.archive_bytes(row.archive, options.cache_dir, index_url=options.index_url, offline=options.offline)
        found = touched.of_archive(blob, row.archive, relock.top_of(row.archive), wanted)
        touched.store(options.cache_dir, row.archive.sha256, wanted, found)
    return found


def _prove(proof: Proof, row: ReleaseRow, series: Series, lock: Lock, options: Options) -> None:
    if row.archive is None:
        _prove_in_part(proof, row, series, lock, options)
        return
    found = extract(row, series, options)
    proof.files = found.count()
    _same("pristine tree", row.tree.before if row.tree else None, found.digest())
    unknown: dict[str, str] = {}
    _check_rows(proof, row, found.files, series, unknown)
    changes, after = _apply(proof, row, found.files, series)
    proof.tree = found.digest({c.path: None if c.after is None else sha256(c.after) for c in changes})
    _same("patched tree", row.tree.after if row.tree else None, proof.tree)
    _reverse(row, after, found.files, series)


def _check_rows(
    proof: Proof, row: ReleaseRow, files: dict[str, bytes], series: Series, unknown: dict[str, str]
) -> None:
    """The lock's rows are what the patches make of these files: every topic, the optional ones too."""
    made, _ = relock.topic_rows(files, row.release, series, unknown)
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


def _apply(
    proof: Proof, row: ReleaseRow, files: dict[str, bytes], series: Series
) -> tuple[list[Change], dict[str, bytes]]:
    """Plan and prove the default series, then every optional topic alone on top of it; the default one's result."""
    result: tuple[list[Change], dict[str, bytes]] | None = None
    touched_paths = set(engine.touched_paths(row, series))
    for extra in [(), *((t.name,) for t in series.topics if t.optional)]:
        plan = engine.plan(files.get, row, series, series.chosen(extra), where=f"vLLM {row.release}")
        verdict = applying.prove(files, plan.changes, touched_paths)
        if result is None:
            after = {**files, **{c.path: c.after for c in plan.changes}}
            result = plan.changes, {p: d for p, d in after.items() if d is not None}
            proof.unchecked = {str(k): v for k, v in verdict.unchecked.items()}
    assert result is not None
    return result


def _reverse(row: ReleaseRow, after: dict[str, bytes], before: dict[str, bytes], series: Series) -> None:
    plan = engine.plan(after.get, row, series, series.chosen(), reverse=True, where=f"vLLM {row.release}")
    back: dict[str, bytes | None] = {**after, **{c.path: c.after for c in plan.changes}}
    if {p: d for p, d in back.items() if d is not None} != before:
        raise Unproven(f"Reversing the series does not restore the bytes of vLLM {row.release}")


def _same(what: str, want: str | None, have: str) -> None:
    if want != have:
        raise Unproven(f"The digest of the {what} is not the one in the lock", expected=str(want), found=have)


def _prove_in_part(proof: Proof, row: ReleaseRow, series: Series, lock: Lock, options: Options) -> None:
    """0.15.x: the connector from the wheel, the files that equal 0.14.1's from its archive; the rest is said to be open."""
    proof.whole = False
    like = lock.releases[relock.LIKE_WITHOUT_ARCHIVE]
    unknown = relock.WITHOUT_ARCHIVE[row.release]
    files = {p: d for p, d in extract(like, series, options).files.items() if p not in unknown}
    path = contract.CONNECTORS[1]
    files[path] = _connector(row, path, options)
    _check_rows(proof, row, files, series, unknown)
    now: dict[str, bytes | None] = dict(files)
    for name, entry in row.topics.items():
        topic = series.topic(name)
        if entry.variant and not topic.optional:
            for f in topic.patch(entry.variant).files:
                if f.path not in unknown:
                    was = now[f.path]
                    now[f.path], _ = patchfile.apply(was, f)
                    back, _ = patchfile.apply(now[f.path], f.reversed())
                    if back != was:
                        raise Unproven(f"Reversing {name} does not restore {f.path} of vLLM {row.release}")
    now |= series.overlay
    after = {p: d for p, d in now.items() if d is not None}
    verdict = contract.check(after, files, {}, missing=frozenset(unknown))
    proof.unchecked = {str(k): v for k, v in verdict.unchecked.items()}
    if verdict.breaches:
        raise Unproven(f"The contract does not hold: {verdict.breaches[0]}")


def _connector(row: ReleaseRow, path: str, options: Options) -> bytes:
    """One member of the release's wheel, read through range requests (a wheel is half a gigabyte), checked by its hash."""
    want = row.topics["connector-warning"].files[path].before
    key = f"{row.release}/{path}/{want}"
    found = touched.load(options.cache_dir, key, {path})
    if found is None:
        if options.offline:
            raise NoSource(
                f"The connector of vLLM {row.release} is not in the cache and --offline forbids fetching it",
                fix="Run once without --offline",
            )
        wheel = next(w for w in row.wheels if _WHEEL_PLATFORM in w.name)
        url = index.locate(wheel.name, "vllm", options.index_url)
        with web.RangeFile(url, wheel.size) as f, zipfile.ZipFile(f) as z:
            found = touched.Extract({path: z.read(path)}, b"")
        touched.store(options.cache_dir, key, {path}, found)
    data = found.files[path]
    if sha256(data) != want:
        raise Unproven(
            f"{path} in the wheel of vLLM {row.release} is not the one in the lock", expected=want, found=sha256(data)
        )
    return data


__all__ = ["Options", "Proof", "extract", "prove"]
