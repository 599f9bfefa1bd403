"""``docs/data/compat.json``: what is proven of every release, as committed and as found (schema beside it)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from isal import isal_zlib
from kvroles import places
from kvroles.errors import NoSource, Unproven, UsageError
from kvroles.migrate.files import workers
from kvroles.series import project
from kvroles.series.lock import Lock
from kvroles.series.release import resolve, version
from kvroles.series.topics import Series
from kvroles.sources import archive
from kvroles.sources.release_files import Options

from kvworkshop.verify import prove
from kvworkshop.verify.prove import Proof

SCHEMA = 1
COMPAT = Path("docs") / "data" / "compat.json"
UNIT_RUNS = Path("docs") / "data" / "unit_runs.json"
RUNS = "unit_runs"
"""The section of ``compat.json`` that holds the counts out of ``unit_runs.json``."""

RUN_ON = ("vllm/", "tests/v1/kv_connector/unit/")
"""Where the files lie that upstream's unit tests run on."""


def selection(named: list[str], everything: bool, shard: str | None) -> list[str]:
    """The releases to verify: those ``named``, or all; of them shard ``i/n`` (1-based). Raises UsageError."""
    _, lock = project.load()
    chosen = list(lock.releases) if everything or not named else [resolve(name, lock.releases) for name in named]
    if shard:
        number, _, count = shard.partition("/")
        if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
            raise UsageError(f"--shard {shard!r} is not I/N with 1 <= I <= N", fix="Try --shard 1/4")
        chosen = chosen[int(number) - 1 :: int(count)]
    return chosen


_BUDGET_S = 120.0  # of processor time for one release, which takes two seconds

_known: list[tuple[Series, Lock]] = []  # filled before the processes are forked, so that each has it


def _load() -> None:
    _known[:] = [project.load()]


def _inflate(blob: bytes, name: str) -> Iterator[bytes]:
    """``archive.inflate`` in half the time, by a library that apply.py, which has the standard library alone, cannot use."""
    return archive.inflate(blob, name, isal_zlib)


def _one(release: str, options: Options) -> Proof:
    return prove.prove_release(release, *_known[0], replace(options, inflate=_inflate))


def prove_all(releases: list[str], options: Options, jobs: int, told: Callable[[int], object]) -> list[Proof]:
    """Prove ``releases`` with ``jobs`` processes (0: one a core); ``told`` hears how many are done."""
    # The largest archives first: the last one to start then is a small one.
    order = sorted(releases, key=version, reverse=True)
    made = workers.each(
        lambda release: _one(release, options),
        order,
        budget=lambda _: _BUDGET_S,
        load=_load,
        told=told,
        count=min(jobs or len(os.sched_getaffinity(0)), len(order)),
    )
    proofs = {r: _lost(r, p) if isinstance(p, workers.Lost) else p for r, p in zip(order, made, strict=True)}
    return [proofs[r] for r in releases]


def _lost(release: str, lost: workers.Lost) -> Proof:
    return Proof(release, problem=f"{lost.why}. Run again, with --jobs 1 where memory is short")


def patched_files(release: str, series: Series, lock: Lock) -> dict[str, str | None]:
    """The files of the default series that upstream's unit tests of a release run on: path -> SHA-256 after it."""
    rows = (lock.releases[release].topics[topic.name] for topic in series.chosen(()))
    return {path: f.after for row in rows for path, f in sorted(row.files.items()) if path.startswith(RUN_ON)}


def unit_counts(root: Path) -> dict[str, Any]:
    """The counts of upstream's unit tests before and after the series, by release, out of ``unit_runs.json``.

    ``current`` is false where the series has come to make other files than those the tests were run on. Raises
    NoSource when there is no such file below ``root``, Unproven when it is damaged.
    """
    series, lock = project.load()
    runs = _data(root / UNIT_RUNS, "tools/unit_runs.py RELEASE --write")["releases"]
    try:
        return {
            release: {
                "before": run["before"],
                "after": run["after"],
                "current": run["patched"] == patched_files(release, series, lock),
            }
            for release, run in runs.items()
        }
    except (KeyError, TypeError) as e:
        raise _damaged(root / UNIT_RUNS, f"{type(e).__name__}: {e}") from None


def document(proofs: list[Proof], runs: dict[str, Any]) -> dict[str, Any]:
    """``compat.json`` for ``proofs`` and ``runs`` (see :func:`unit_counts`)."""
    return {"schema": SCHEMA, "releases": {p.release: p.as_json() for p in proofs}, RUNS: runs}


def dumps(data: dict[str, Any]) -> bytes:
    """The bytes of ``compat.json``."""
    return (json.dumps(data, indent=1) + "\n").encode()


def read(root: Path) -> dict[str, Any]:
    """The committed ``compat.json`` below ``root``; raises NoSource when there is none, Unproven when it is damaged."""
    return _data(root / COMPAT, "tools/verify.py --all --write")


def _data(path: Path, command: str) -> dict[str, Any]:
    """A data file with a schema number and releases; ``command`` writes it."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NoSource(f"{path} does not exist", fix=f"Write it with `python {command}`") from None
    except ValueError as e:
        raise _damaged(path, str(e)) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or not isinstance(data.get("releases"), dict):
        raise _damaged(path, f"it is not of schema {SCHEMA}")
    return data


def _damaged(path: Path, why: str) -> Unproven:
    return Unproven(f"{path} is damaged: {why}", fix=places.restored("docs/data"))


def drift(proofs: list[Proof], runs: dict[str, Any], committed: dict[str, Any]) -> list[str]:
    """What ``committed`` says otherwise: releases whose proof differs, and the counts of unit tests (``unit_runs``)."""
    differ = [p.release for p in proofs if committed["releases"].get(p.release) != p.as_json()]
    return differ + ([RUNS] if committed.get(RUNS) != runs else [])


def merge(proofs: list[Proof], runs: dict[str, Any], committed: dict[str, Any]) -> dict[str, Any]:
    """``committed`` with ``proofs`` put in, in order of releases, and with ``runs``."""
    releases = {**committed.get("releases", {}), **{p.release: p.as_json() for p in proofs}}
    ordered = dict(sorted(releases.items(), key=lambda kv: version(kv[0])))
    return {"schema": SCHEMA, "releases": ordered, RUNS: runs}
