#!/usr/bin/env python3
"""Time ``migrate.py`` over a whole vLLM tree against ``rg -l kv_both`` over the same tree, side by side.

One report a round of each, the two taking turns in going first, medians over the rounds; the page cache is warm and
Python's bytecode written, as in an installed copy. "Bare start" is ``python -c pass`` in the same round, and is taken off
ours. Wall clock, and processor time (user + system, children included) beside it, because a busy machine stretches the
first. Peak memory (of the largest process) is measured once more on a tree ten times as large. Writes to
bench/results.json under "migrate". Exit codes: 0 within the goals; 2 ripgrep is missing; 3 not within them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from kvroles import engine, fetch  # noqa: E402
from kvroles.places import default_cache_dir  # noqa: E402

TO_RG, GROWTH, TIMES_LARGER = 3.0, 1.5, 10


@dataclass(frozen=True)
class Run:
    """Seconds on the wall clock and of the processor, and the largest process's peak in MB."""

    wall: float
    cpu: float
    peak_mb: float


def run(command: Sequence[str | Path], env: dict[str, str]) -> Run:
    """Run ``command`` once."""
    started = time.perf_counter()
    child = subprocess.Popen([str(c) for c in command], env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command[0]} ended with {child.returncode}")
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def ratio(ours: list[Run], theirs: list[Run], start: list[Run], kind: Callable[[Run], float]) -> float:
    """The median over the rounds of ours, the bare start taken off, over theirs."""
    return median([(kind(o) - kind(s)) / kind(t) for o, t, s in zip(ours, theirs, start, strict=True)])


def measure(release: str, rounds: int, work: Path) -> dict[str, object]:
    """The figures of one release's tree; ``work`` is an empty folder."""
    _series, lock = engine.load()
    row = lock.releases[release].archive
    assert row is not None
    tree = work / "tree"
    file = default_cache_dir() / "archives" / row.name
    if not file.exists():
        fetch.archive_bytes(row, default_cache_dir())
    tree.mkdir()
    subprocess.run(["tar", "xzf", file, "-C", tree, "--no-same-owner"], check=True)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(work / "bytecode")
    migrate = (sys.executable, ROOT / "tools" / "migrate.py")
    ways = {
        "migrate": (*migrate, tree),
        "rg": ("rg", "-l", "kv_both", tree),
        "bare_start": (sys.executable, "-c", "pass"),
    }
    for command in ways.values():
        run(command, env)
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in sorted(ways, key=lambda n: (list(ways).index(n) + number) % len(ways)):
            runs[name].append(run(ways[name], env))
    large = work / "large"
    large.mkdir()
    for n in range(TIMES_LARGER):
        subprocess.run(["cp", "-al", tree, large / f"copy-{n}"], check=True)
    files = sum(len(names) for _, _, names in os.walk(tree))
    peak, peak_large = median([r.peak_mb for r in runs["migrate"]]), run((*migrate, large), env).peak_mb
    return {
        "release": release,
        "files": files,
        "rounds": rounds,
        "cores": len(os.sched_getaffinity(0)),
        "median_s": {name: {"wall": median([r.wall for r in rs]), "cpu": median([r.cpu for r in rs])}
                     for name, rs in runs.items()},
        "above_start_to_rg": {
            "wall": ratio(runs["migrate"], runs["rg"], runs["bare_start"], lambda r: r.wall),
            "cpu": ratio(runs["migrate"], runs["rg"], runs["bare_start"], lambda r: r.cpu),
        },
        "peak_mb": {"tree": peak, f"{TIMES_LARGER}_trees": round(peak_large, 1), "growth": round(peak_large / peak, 2)},
        "goals": {"above_start_to_rg": TO_RG, "growth": GROWTH},
        "command": "python bench/migrate.py",
    }  # fmt: skip


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--release", default="0.33.0")
    args = p.parse_args()
    if shutil.which("rg") is None:
        print("bench/migrate.py: rg (ripgrep) is not installed, and is what migrate is compared with", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
        figures = measure(args.release, args.rounds, Path(name))
    results = ROOT / "bench" / "results.json"
    known = json.loads(results.read_text()) if results.exists() else {}
    results.write_text(json.dumps({**known, "migrate": figures}, indent=1, sort_keys=True) + "\n")
    print(json.dumps(figures, indent=1))
    to_rg, peak = figures["above_start_to_rg"], figures["peak_mb"]
    assert isinstance(to_rg, dict)
    assert isinstance(peak, dict)
    return 0 if to_rg["wall"] <= TO_RG and peak["growth"] <= GROWTH else 3


if __name__ == "__main__":
    sys.exit(main())
