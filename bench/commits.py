#!/usr/bin/env python3
"""What the series makes of commits drawn from a clone of vLLM or a fork of it: proven, by meaning, or refused and why.

The draw is even over the months between --since and --until, and the same for the same --seed. Only the files that matter
are read, as ``apply --upstream CLONE --vllm-rev COMMIT --check`` plans and proves them. Exit code: 0 when the share of
commits with NIXL that are proven, by meaning included, reaches --goal percent, else 1.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from harness import ROOT
from kvroles.apply import detect, fit, meaning
from kvroles.apply import plan as plans
from kvroles.apply.prove import prove_plan
from kvroles.contract import terms
from kvroles.errors import KvRolesError
from kvroles.series import project
from kvroles.series.upstream_files import paths_of_interest

assert ROOT  # harness puts the tools on the path


class Row(NamedTuple):
    """One commit: ``outcome`` is proven, by meaning, refused or no NIXL; ``note`` the files changed by meaning, or why not."""

    month: str
    commit: str
    outcome: str
    note: str


def _git(clone: Path, *args: str) -> bytes:
    return subprocess.run(["git", f"--git-dir={clone}", *args], capture_output=True, check=False).stdout


def draw(clone: Path, since: str, until: str, seed: int, count: int) -> list[tuple[str, str]]:
    """(month, commit), evenly over the months of the first-parent history."""
    said = _git(clone, "log", "--first-parent", f"--since={since}", f"--until={until}", "--format=%H %cI")
    months: dict[str, list[str]] = defaultdict(list)
    for line in said.decode().splitlines():
        commit, date = line.split()
        months[date[:7]].append(commit)
    chance = random.Random(seed)
    pools = {m: chance.sample(sorted(c), len(c)) for m, c in sorted(months.items())}
    drawn: list[tuple[str, str]] = []
    while len(drawn) < count and any(pools.values()):
        drawn += [(m, pool.pop()) for m, pool in pools.items() if pool][: count - len(drawn)]
    return sorted(drawn)


def files_of(clone: Path, commit: str, wanted: set[str]) -> dict[str, bytes]:
    """The files of ``commit`` that the series is about, and those that hold ``kv_both``."""
    held = _git(clone, "grep", "-l", "-a", "-z", "kv_both", commit).split(b"\0")
    paths = {p.decode("utf-8", "surrogateescape").partition(":")[2] for p in held if p} | wanted
    found = {}
    for entry in _git(clone, "ls-tree", "-r", "-z", commit).split(b"\0"):
        head, _, name = entry.partition(b"\t")
        path = name.decode("utf-8", "surrogateescape")
        if path in paths and head.startswith(b"100"):
            found[path] = _git(clone, "cat-file", "blob", head.split()[2].decode())
    return found


def judge(job: tuple[Path, str, str]) -> Row:
    """The outcome for one commit."""
    clone, month, commit = job
    series, lock = project.load()[:2]
    files = files_of(clone, commit, paths_of_interest(series))
    if not any(path in files for path in terms.CONNECTORS):
        return Row(month, commit, "no NIXL", "")
    row = detect.row_of(files.get, lock)
    try:
        if row is not None:
            plan = plans.plan(files.get, row, series, series.chosen(), where=commit)
        else:
            nearest = detect.most_alike(files.get, lock)
            plan = fit.plan(files.get, series, lock, series.chosen(), nearest=nearest, where=commit)
        prove_plan(files, plan, {f.path for t in plan.topics for f in t.files}, locked=row is not None)
    except KvRolesError as e:
        return Row(month, commit, "refused", " ".join(str(e).split()))
    meant = sorted(f.path for t in plan.topics for f in t.files if f.variant == meaning.VARIANT)
    return Row(month, commit, "by meaning" if meant else "proven", ", ".join(meant))


def main() -> int:
    """Draw, judge and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("clone", type=Path, help="a bare clone, or the .git folder of one")
    parser.add_argument("--since", default="2025-05-12", help="default: the day NixlConnector came in")
    parser.add_argument("--until", default="2026-09-01")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--goal", type=float, default=97, metavar="PERCENT")
    args = parser.parse_args()
    jobs = [(args.clone, m, c) for m, c in draw(args.clone, args.since, args.until, args.seed, args.count)]
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(judge, jobs))
    for row in rows:
        print(f"{row.month}  {row.commit[:12]}  {row.outcome:<10}  {row.note}".rstrip())
    of = {o: sum(r.outcome == o for r in rows) for o in ("proven", "by meaning", "refused", "no NIXL")}
    print(", ".join(f"{n} {o}" for o, n in of.items()))
    share = 100 * (of["proven"] + of["by meaning"]) / max(1, len(rows) - of["no NIXL"])
    return 0 if share >= args.goal else 1


if __name__ == "__main__":
    sys.exit(main())
