"""Prove one release, from its archive alone: the topics apply, the contract holds, reverse restores, the lock is true."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from kvroles.apply import plan as plans
from kvroles.apply.prove import prove_plan
from kvroles.apply.state import touched_paths
from kvroles.contract import check, terms
from kvroles.digest import sha256
from kvroles.errors import Exit, KvRolesError, Unproven
from kvroles.series import patchfile
from kvroles.series.lock import Lock, ReleaseRow
from kvroles.series.topics import Series
from kvroles.series.upstream_files import VERSION_FILE
from kvroles.sources import extracts, release_files
from kvroles.sources.release_files import Options
from kvroles.tree.change import Change

from kvworkshop.port import lock_rows


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


def prove_release(
    release: str, series: Series, lock: Lock, options: Options, given: extracts.Extract | None = None
) -> Proof:
    """Prove ``release``; never raises KvRolesError: what does not hold is the proof's ``problem``.

    ``given`` is what was read of its archive already, if anything.
    """
    proof = Proof(release)
    try:
        _prove(proof, lock.releases[release], series, lock, options, given)
    except KvRolesError as e:
        proof.problem, proof.code = str(e), e.code
    return proof


def _prove(
    proof: Proof, row: ReleaseRow, series: Series, lock: Lock, options: Options, given: extracts.Extract | None
) -> None:
    if row.archive is None:
        _prove_in_part(proof, row, series, lock, options)
        return
    found = given or release_files.extract(row, series, options)
    proof.files = found.count()
    proof.commit = commit_of(found.files.get(VERSION_FILE, b""))
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
                fix="Make the lock's rows anew with `python tools/port.py --relock`",
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
    touched = set(touched_paths(row, series))
    for extra in choices(series):
        plan = plans.plan(files.get, row, series, series.chosen(extra), where=f"vLLM {row.release}")
        verdict = prove_plan(files, plan, touched)
        after = {**files, **{c.path: c.after for c in plan.changes}}
        _reverse(row, {p: d for p, d in after.items() if d is not None}, files, series, extra)
        if result is None:
            result = plan.changes
            made = {p: sha256(d) for p in touched if (d := after.get(p)) is not None}
            _same("contract's key", row.contract, terms.key(made))
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
    plan = plans.plan(after.get, row, series, series.chosen(extra), reverse=True, where=f"vLLM {row.release}")
    back: dict[str, bytes | None] = {**after, **{c.path: c.after for c in plan.changes}}
    if {p: d for p, d in back.items() if d is not None} != before:
        raise Unproven(f"Reversing the series does not restore the bytes of vLLM {row.release}")


def _same(what: str, want: str | None, have: str) -> None:
    if want != have:
        raise Unproven(f"The digest of the {what} is not the one in the lock", expected=str(want), found=have)


def _prove_in_part(proof: Proof, row: ReleaseRow, series: Series, lock: Lock, options: Options) -> None:
    """0.15.x: vllm/ comes from the wheel, the files that equal 0.14.1's from its archive; the others are named as not checked."""
    proof.whole = False
    unknown = release_files.WITHOUT_ARCHIVE[row.release]
    files = release_files.files_of(row, series, lock, options)
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
