#!/usr/bin/env python3
"""What the series makes of commits drawn from a clone of vLLM or a fork of it: proven, by meaning, or refused and why.

The draw is even over the months between --since and --until, and the same for the same --seed. Only the files that matter
are read, as ``apply --upstream CLONE --range A..B`` reads them. Exit code: 0 when the share of
commits with NIXL that are proven, by meaning included, reaches --goal percent, else 1.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from harness import ROOT
from kvroles.apply import many
from kvroles.apply.request import Request
from kvroles.places import default_cache_dir
from kvroles.sources.history import Named

DATA = ROOT / "docs" / "data" / "forks.json"


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


def main() -> int:
    """Draw, judge and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("clone", type=Path, help="a bare clone, or the .git folder of one")
    parser.add_argument("--since", default="2025-05-12", help="default: the day NixlConnector came in")
    parser.add_argument("--until", default="2026-09-01")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--write", action="store_true", help="keep the counts in docs/data/forks.json")
    parser.add_argument("--goal", type=float, default=97, metavar="PERCENT")
    args = parser.parse_args()
    names = [Named(commit, month) for month, commit in draw(args.clone, args.since, args.until, args.seed, args.count)]
    request = Request(upstream=str(args.clone), offline=True, cache_dir=default_cache_dir())
    rows = list(many.judged(request, names))
    print(many.text(rows), end="")
    nixl = [r for r in rows if "There is no NixlConnector" not in (r.why or "")]
    share = 100 * sum(r.outcome != many.REFUSED for r in nixl) / max(1, len(nixl))
    if args.write:
        counts = Counter(r.outcome for r in rows)
        known = json.loads(DATA.read_bytes())
        known["main"] = {
            "since": rows[0].date,
            "until": rows[-1].date,
            "seed": args.seed,
            "commits": len(rows),
            "proven": counts[many.PROVEN],
            "by_meaning": counts[many.BY_MEANING],
            "refused": counts[many.REFUSED],
        }
        DATA.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    print(f"{share:.1f} % of {len(nixl)} commits with NIXL")
    return 0 if share >= args.goal else 1


if __name__ == "__main__":
    sys.exit(main())
