#!/usr/bin/env python3
"""Time ``apply.py`` against the tools it competes with: ``tar xzf`` for a new tree, ``git am`` for an existing one.

Each pair is measured back to back, the ways take turns in going first, and medians over the pairs count; the page cache
is warm. "Bare start" is ``python -c pass`` in the same round. Wall clock, and processor time (user + system, children
included) beside it, because a busy machine stretches the first. Writes to bench/results.json under "apply". Exit codes:
0 within the goals; 3 not.
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
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from kvroles import engine, fetch  # noqa: E402
from kvroles.places import default_cache_dir  # noqa: E402

APPLY = ROOT / "tools" / "apply.py"
NEW_TREE_TO_TAR, INTO_TO_GIT_AM, AGAIN_S = 1.3, 1.0, 0.1
ENV = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
ENV.pop("PYTHONDONTWRITEBYTECODE", None)  # a second run finds our modules compiled, as it finds Python's own
GIT = ("git", "-c", "user.name=b", "-c", "user.email=b@example.invalid", "-c", "gc.auto=0")


@dataclass(frozen=True)
class Time:
    """Seconds on the wall clock, and of the processor."""

    wall: float
    cpu: float


@dataclass
class Series:
    """What one way took, round by round."""

    times: list[Time] = field(default_factory=list)

    def add(self, command: Sequence[str | Path], cwd: Path) -> None:
        """Run ``command`` once more."""
        before, started = os.times(), time.perf_counter()
        subprocess.run([str(c) for c in command], cwd=cwd, env=ENV, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - started, os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        self.times.append(Time(wall, used))


def median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def ratio(ours: Series, theirs: Series, start: Series | None, kind: Callable[[Time], float]) -> float:
    """The median of ours / theirs over the rounds, ours above the bare ``start`` where one is given."""
    starts = [kind(t) for t in start.times] if start else [0.0] * len(ours.times)
    return median([(kind(o) - s) / kind(t) for o, t, s in zip(ours.times, theirs.times, starts, strict=True)])


def turns(number: int, *ways: Callable[[], None]) -> None:
    """Call ``ways``, beginning with another one each round."""
    for i in range(len(ways)):
        ways[(number + i) % len(ways)]()


def measure(release: str, rounds: int, work: Path) -> dict[str, object]:
    """The figures of one release; ``work`` is an empty folder for it."""
    _series, lock = engine.load()
    row = lock.releases[release].archive
    assert row is not None
    cache = default_cache_dir()
    fetch.archive_bytes(row, cache)
    file = cache / "archives" / row.name
    python = sys.executable
    base = (python, APPLY, "-q", "--offline")
    start, new, tar, into, am, again = (Series() for _ in range(6))

    def tar_xzf() -> None:
        (work / "tar").mkdir()
        tar.add(("tar", "xzf", file, "-C", work / "tar", "--no-same-owner"), work)

    def new_tree() -> None:
        new.add((*base, "--vllm-rev", release, "--output", work / "new"), work)

    for number in range(rounds):
        turns(number, tar_xzf, new_tree)
        if number < rounds - 1:
            shutil.rmtree(work / "tar")
            shutil.rmtree(work / "new")

    (ours := work / "tar" / f"vllm-{release}").rename(work / "into")
    subprocess.run(["cp", "-a", work / "into", work / "am"], check=True)
    ours, theirs = work / "into", work / "am"
    mails = subprocess.run(
        [python, APPLY, "--list", "--export", work / "mails", "--vllm-rev", release],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    for argv in (("init", "-q"), ("add", "-Af"), ("commit", "-qm", "pristine")):
        subprocess.run([*GIT, *argv], cwd=theirs, env=ENV, check=True)

    def git_am() -> None:
        subprocess.run(
            [*GIT, "reset", "-q", "--hard", f"HEAD~{len(mails)}" if am.times else "HEAD"], cwd=theirs, check=True
        )
        subprocess.run([*GIT, "status", "--porcelain"], cwd=theirs, check=True, stdout=subprocess.DEVNULL)
        am.add((*GIT, "am", "-q", *mails), theirs)

    def in_place() -> None:
        if into.times:
            subprocess.run([*base, "--into", ours, "--reverse"], check=True)
        into.add((*base, "--into", ours), work)

    for number in range(rounds):
        turns(number, git_am, in_place, lambda: start.add((python, "-c", "pass"), work))
        again.add((*base, "--into", ours), work)

    wall, cpu = (lambda t: t.wall), (lambda t: t.cpu)
    above = [a.wall - s.wall for a, s in zip(again.times, start.times, strict=True)]
    return {
        "mails": len(mails),
        "median_s": {
            name: median([t.wall for t in s.times])
            for name, s in {
                "bare_start": start,
                "new_tree": new,
                "tar_xzf": tar,
                "into": into,
                "git_am": am,
                "again": again,
            }.items()
        },
        "new_tree_to_tar": {"wall": ratio(new, tar, None, wall), "cpu": ratio(new, tar, None, cpu)},
        "into_above_start_to_git_am": {"wall": ratio(into, am, start, wall), "cpu": ratio(into, am, start, cpu)},
        "again_above_start_s": {
            "wall": median(above),
            "cpu": median([a.cpu - s.cpu for a, s in zip(again.times, start.times, strict=True)]),
        },
    }


def table(figures: dict[str, dict[str, object]]) -> str:
    """The ratios, a line a release."""
    lines = [f"{'release':<10}{'new tree / tar':>18}{'into / git am':>18}{'again, s':>18}   (wall, cpu)"]
    for release, f in figures.items():
        cells = [f[k] for k in ("new_tree_to_tar", "into_above_start_to_git_am", "again_above_start_s")]
        shown = [f"{c['wall']:.2f}, {c['cpu']:.2f}" for c in cells if isinstance(c, dict)]
        lines.append(f"{release:<10}" + "".join(f"{s:>18}" for s in shown))
    lines.append(f"{'goal':<10}{NEW_TREE_TO_TAR:>18}{INTO_TO_GIT_AM:>18}{AGAIN_S:>18}")
    return "\n".join(lines)


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--release", action="append", help="default: 0.22.1 and 0.33.0")
    args = p.parse_args()
    figures: dict[str, dict[str, object]] = {}
    for release in args.release or ["0.22.1", "0.33.0"]:
        with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
            figures[release] = measure(release, args.rounds, Path(name))
    goals = {
        "new_tree_to_tar": NEW_TREE_TO_TAR,
        "into_above_start_to_git_am": INTO_TO_GIT_AM,
        "again_above_start_s": AGAIN_S,
    }
    results = ROOT / "bench" / "results.json"
    known = json.loads(results.read_text()) if results.exists() else {}
    found = {"rounds": args.rounds, "cores": len(os.sched_getaffinity(0)), "goals": goals, "releases": figures}
    results.write_text(json.dumps({**known, "apply": found}, indent=1, sort_keys=True) + "\n")
    print(table(figures))
    met = all(isinstance(c := f[k], dict) and c["wall"] <= goals[k] for f in figures.values() for k in goals)
    return 0 if met else 3


if __name__ == "__main__":
    sys.exit(main())
