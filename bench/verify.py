#!/usr/bin/env python3
"""Time ``verify.py --all`` against the floor, decompressing every archive once on the same cores, and measure its memory.

The ways take turns; medians count. Writes to bench/results.json under "verify". Exit codes: 0 within the goals (warm under
3 s, cold at most 1.3 x the floor, under 300 MB); 3 not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from kvroles import archive, engine, fetch  # noqa: E402
from kvroles.places import default_cache_dir  # noqa: E402

WARM_S, COLD_RATIO, MEMORY_MB = 3.0, 1.3, 300.0
CACHE = default_cache_dir()


def inflate(name: str) -> int:
    """Decompress one archive to nowhere; the bytes it unpacks to."""
    return sum(len(chunk) for chunk in archive.inflate((CACHE / "archives" / name).read_bytes(), name))


def floor(names: list[str]) -> float:
    """Seconds to decompress all archives once, a process a core, by the same zlib."""
    started = time.perf_counter()
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(inflate, names))
    return time.perf_counter() - started


def gzip(names: list[str]) -> float:
    """The same with ``gzip -dc``, two at a time."""
    files = "\0".join(str(CACHE / "archives" / n) for n in names)
    started = time.perf_counter()
    command = ["xargs", "-0", "-n1", f"-P{len(os.sched_getaffinity(0))}", "sh", "-c", 'gzip -dc "$0" > /dev/null']
    subprocess.run(command, input=files.encode(), check=True)
    return time.perf_counter() - started


def verify(cache: Path) -> float:
    """Seconds of one ``verify.py --all``."""
    started = time.perf_counter()
    command = [sys.executable, str(ROOT / "tools" / "verify.py"), "--all", "--quiet", "--cache-dir", str(cache)]
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("--rounds", type=int, default=3)
    args = p.parse_args()
    _, lock = engine.load()
    rows = [row.archive for row in lock.releases.values() if row.archive]
    for row in rows:
        fetch.archive_bytes(row, CACHE)
    names = sorted((row.name for row in rows), key=lambda n: -(CACHE / "archives" / n).stat().st_size)
    times: dict[str, list[float]] = {"floor": [], "gzip": [], "cold": [], "warm": []}
    for _ in range(args.rounds):
        times["floor"].append(floor(names))
        times["gzip"].append(gzip(names))
        with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
            cold = Path(name)
            (cold / "archives").symlink_to(CACHE / "archives")
            times["cold"].append(verify(cold))
            times["warm"].append(verify(cold))
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    median = {k: round(statistics.median(v), 2) for k, v in times.items()}
    figures = {
        "releases": len(lock.releases),
        "rounds": args.rounds,
        "median_s": median,
        "cold_to_zlib_floor": round(median["cold"] / median["floor"], 2),
        "cold_to_gzip_floor": round(median["cold"] / median["gzip"], 2),
        "peak_mb_of_the_largest_process": round(memory, 1),
        "goals": {"warm_s": WARM_S, "cold_ratio": COLD_RATIO, "peak_mb": MEMORY_MB},
    }
    results = ROOT / "bench" / "results.json"
    known = json.loads(results.read_text()) if results.exists() else {}
    results.write_text(json.dumps({**known, "verify": figures}, indent=1, sort_keys=True) + "\n")
    print(json.dumps(figures, indent=1))
    ok = median["warm"] < WARM_S and median["cold"] / median["floor"] <= COLD_RATIO and memory < MEMORY_MB
    return 0 if ok else 3


if __name__ == "__main__":
    sys.exit(main())
