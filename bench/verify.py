#!/usr/bin/env python3
"""Time ``verify.py --all`` against decompressing every archive once (the floor), and against unpacking and ``git apply --check``.

The floor is taken twice: with ``gzip -dc``, and in process with zlib, which takes about half as long (ISA-L, which
``verify.py`` uses, takes a quarter). All use every core, a process each. Cold is with no cache but the archives; warm finds
what the last run kept of them. The ways take turns; medians over the rounds count. Unpacking takes minutes, and is done in
the first round only. Writes to bench/results.json under "verify". Exit codes: 0 within the goals (warm under 3 s, cold at
most 1.3 x the first floor, under 300 MB in the largest process); 3 not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from harness import CORES, ENV, TOOLS, Time, median, ratio, seconds, timed, turns, write
from kvroles.places import default_cache_dir
from kvroles.series import export, project
from kvroles.sources import archive, cache

CACHE = default_cache_dir()
GOALS = {"warm_s": 3.0, "cold_to_floor": 1.3, "peak_mb": 300.0}


def gunzip(name: str) -> None:
    """Decompress one archive to nowhere, as anybody would."""
    subprocess.run(["gzip", "-dc", CACHE / "archives" / name], stdout=subprocess.DEVNULL, check=True)


def inflate(name: str) -> int:
    """Decompress one archive to nowhere with zlib; the bytes it unpacks to."""
    return sum(len(chunk) for chunk in archive.inflate((CACHE / "archives" / name).read_bytes(), name))


def unpack_and_check(release: str) -> None:
    """What one would do by hand: unpack a release and ask git whether its series applies."""
    series, lock = project.load()
    row = lock.releases[release].archive
    assert row is not None
    with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
        subprocess.run(["tar", "xzf", CACHE / "archives" / row.name, "-C", name, "--no-same-owner"], check=True)
        mails = export.write(series, lock, release, Path(name, "mails"), ()).split()
        tree = next(p for p in Path(name).iterdir() if p.name != "mails")
        env = {**ENV, "GIT_CEILING_DIRECTORIES": name}
        subprocess.run(["git", "apply", "--check", *mails], cwd=tree, env=env, check=True)


def by_all_cores(work: Any, items: list[str]) -> Time:
    """Do ``work`` on every item, a process a core."""
    before, started = os.times(), time.perf_counter()
    with ProcessPoolExecutor(CORES) as pool:
        list(pool.map(work, items))
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Time(time.perf_counter() - started, cpu)


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("--rounds", type=int, default=9)
    args = p.parse_args()
    _, lock = project.load()
    rows = {r: row.archive for r, row in lock.releases.items() if row.archive}
    for row in rows.values():
        cache.archive_bytes(row, CACHE)
    largest_first = sorted(rows, key=lambda r: -rows[r].size)
    names = [rows[r].name for r in largest_first]
    times: dict[str, list[Time]] = {"gzip_floor": [], "zlib_floor": [], "cold": [], "warm": []}

    def gzip_floor() -> None:
        times["gzip_floor"].append(by_all_cores(gunzip, names))

    def zlib_floor() -> None:
        times["zlib_floor"].append(by_all_cores(inflate, names))

    def verify() -> None:
        with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
            (Path(name) / "archives").symlink_to(CACHE / "archives")
            command = (sys.executable, TOOLS / "verify.py", "--all", "-q", "--cache-dir", name)
            times["cold"].append(timed(command))
            times["warm"].append(timed(command))

    for number in range(args.rounds):
        turns(number, gzip_floor, zlib_floor, verify)
    by_hand = by_all_cores(unpack_and_check, largest_first)
    cold_to_floor = ratio(times["cold"], times["gzip_floor"])
    cold_to_zlib = ratio(times["cold"], times["zlib_floor"])
    peak = max(t.peak_mb for way in ("cold", "warm") for t in times[way])
    warm = median([t.wall for t in times["warm"]])
    write(
        "verify",
        {
            "releases": len(lock.releases),
            "archives": len(rows),
            "rounds": args.rounds,
            "cores": CORES,
            "load": round(os.getloadavg()[0], 1),
            "median": {
                **{way: seconds(found) for way, found in times.items()},
                "unpack_and_git_apply_check": seconds([by_hand]),
            },
            "cold_to_floor": cold_to_floor,
            "cold_to_zlib_floor": cold_to_zlib,
            "cold_to_unpack_and_check": ratio(times["cold"][:1], [by_hand]),
            "warm_to_unpack_and_check": ratio(times["warm"][:1], [by_hand]),
            "peak_mb": round(peak, 1),
            "goals": GOALS,
            "command": "python bench/verify.py",
        },
    )
    print({k: seconds(v) for k, v in times.items()}, by_hand, cold_to_floor, cold_to_zlib, f"{peak:.0f} MB")
    return (
        0
        if warm < GOALS["warm_s"] and cold_to_floor["wall"] <= GOALS["cold_to_floor"] and peak < GOALS["peak_mb"]
        else 3
    )


if __name__ == "__main__":
    sys.exit(main())
