"""``docs/data/compat.json``: what is proven of every release, as committed and as found (schema beside it)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from . import verifying
from .engine import load
from .errors import NoSource, Unproven, UsageError
from .release import resolve, version
from .verifying import Options, Proof

SCHEMA = 1
COMPAT = Path("docs") / "data" / "compat.json"


def selection(named: list[str], everything: bool, shard: str | None) -> list[str]:
    """The releases to verify: those ``named``, or all; of them shard ``i/n`` (1-based). Raises UsageError."""
    _, lock = load()
    chosen = list(lock.releases) if everything or not named else [resolve(name, lock.releases) for name in named]
    if shard:
        number, _, count = shard.partition("/")
        if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
            raise UsageError(f"--shard {shard!r} is not I/N with 1 <= I <= N", fix="Try --shard 1/4")
        chosen = chosen[int(number) - 1 :: int(count)]
    return chosen


def _one(release: str, options: Options) -> Proof:
    series, lock = load()
    return verifying.prove(release, series, lock, options)


def prove_all(releases: list[str], options: Options, jobs: int, each: Callable[[Proof], None]) -> list[Proof]:
    """Prove ``releases`` with ``jobs`` processes (0: one a core); ``each`` is told of every proof as it comes."""
    jobs = jobs or len(os.sched_getaffinity(0))
    # The largest archives first: the last one to start then is a small one.
    order = sorted(releases, key=version, reverse=True)
    proofs: dict[str, Proof] = {}
    for proof in _proofs(order, options, min(jobs, len(order))):
        proofs[proof.release] = proof
        each(proof)
    return [proofs[r] for r in releases]


def _proofs(order: list[str], options: Options, jobs: int) -> Iterator[Proof]:
    if jobs <= 1:
        for release in order:
            yield _one(release, options)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for future in as_completed([pool.submit(_one, release, options) for release in order]):
            yield future.result()


def document(proofs: list[Proof]) -> dict[str, Any]:
    """``compat.json`` for ``proofs``."""
    return {"schema": SCHEMA, "releases": {p.release: p.as_json() for p in proofs}}


def dumps(data: dict[str, Any]) -> bytes:
    """The bytes of ``compat.json``."""
    return (json.dumps(data, indent=1) + "\n").encode()


def read(root: Path) -> dict[str, Any]:
    """The committed ``compat.json`` below ``root``; raises NoSource when there is none, Unproven when it is damaged."""
    try:
        data = json.loads((root / COMPAT).read_bytes())
    except FileNotFoundError:
        raise NoSource(
            f"{root / COMPAT} does not exist", fix="Write it with 'python tools/verify.py --all --write'"
        ) from None
    except ValueError as e:
        raise Unproven(f"{root / COMPAT} is damaged: {e}", fix="Restore it with 'git checkout -- docs/data'") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or not isinstance(data.get("releases"), dict):
        raise Unproven(f"{root / COMPAT} is not of schema {SCHEMA}", fix="Restore it with 'git checkout -- docs/data'")
    return data


def drift(proofs: list[Proof], committed: dict[str, Any]) -> list[str]:
    """The releases whose proof is not what ``committed`` says of them."""
    return [p.release for p in proofs if committed["releases"].get(p.release) != p.as_json()]


def merge(proofs: list[Proof], committed: dict[str, Any]) -> dict[str, Any]:
    """``committed`` with ``proofs`` put in, in order of releases; other sections are kept."""
    releases = {**committed.get("releases", {}), **{p.release: p.as_json() for p in proofs}}
    return {**committed, "schema": SCHEMA, "releases": dict(sorted(releases.items(), key=lambda kv: version(kv[0])))}
