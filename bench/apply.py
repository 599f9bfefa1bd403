#!/usr/bin/env python3
"""Time ``apply.py`` against the tools it competes with: ``tar xzf`` for a new tree; ``git am``, quilt and patch for one in place.

Each round runs every way once, another one first each time, and medians over the rounds count; the page cache is warm. "Bare
start" is ``python -c pass`` in the same round, taken off what runs in place. Wall clock, and processor time (user + system,
children included) beside it, because a busy machine stretches the first. quilt is left out, and said to be, where it is not
installed. Writes to bench/results.json under "apply". Exit codes: 0 within the goals; 3 not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import BARE_START, CORES, ENV, GIT, TOOLS, Time, median, ratio, seconds, timed, turns, write
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.sources import cache

APPLY = (sys.executable, TOOLS / "apply.py")
GOALS = {"new_tree_to_tar": 1.3, "into_to_git_am": 1.0, "again_above_start_s": 0.1}


class Place:
    """A pristine tree, and the series in it in one of the ways: put in by ``times``, taken out again before the next round."""

    def __init__(self, tree: Path, mails: list[str]) -> None:
        self.tree, self.mails = tree, mails
        self.times: list[Time] = []

    def into(self) -> None:
        if self.times:
            subprocess.run([*APPLY, "-q", "--into", self.tree, "--reverse"], env=ENV, check=True)
        self.times.append(timed((*APPLY, "-q", "--into", self.tree)))

    def am(self) -> None:
        if not self.times:
            for argv in (("init", "-q"), ("add", "-Af"), ("commit", "-qm", "pristine")):
                subprocess.run([*GIT, *argv], cwd=self.tree, env=ENV, check=True)
        back = f"HEAD~{len(self.mails)}" if self.times else "HEAD"
        subprocess.run([*GIT, "reset", "-q", "--hard", back], cwd=self.tree, env=ENV, check=True)
        subprocess.run([*GIT, "status", "--porcelain"], cwd=self.tree, env=ENV, check=True, stdout=subprocess.DEVNULL)
        self.times.append(timed((*GIT, "am", "-q", *self.mails), cwd=self.tree))

    def patch(self) -> None:
        if self.times:
            for mail in reversed(self.mails):
                subprocess.run(
                    ["patch", "-s", "-p1", "-R", "--no-backup-if-mismatch", "-i", mail], cwd=self.tree, check=True
                )
        self.times.append(
            timed(*(("patch", "-s", "-p1", "--no-backup-if-mismatch", "-i", m) for m in self.mails), cwd=self.tree)
        )

    def quilt(self) -> None:
        env = {**ENV, "QUILT_PATCHES": str(Path(self.mails[0]).parent), "QUILT_PC": ".pc", "QUILTRC": "-"}
        if self.times:
            subprocess.run(
                ["quilt", "--quiltrc", "-", "pop", "-aq"], cwd=self.tree, env=env, check=True, stdout=subprocess.DEVNULL
            )
        else:
            series = Path(self.mails[0]).parent / "series"
            series.write_text("".join(f"{Path(m).name}\n" for m in self.mails))
        self.times.append(timed(("quilt", "--quiltrc", "-", "push", "-aq"), cwd=self.tree, env=env))


def measure(release: str, rounds: int, work: Path) -> dict[str, Any]:
    """The figures of one release; ``work`` is an empty folder for it."""
    _series, lock = project.load()
    row = lock.releases[release].archive
    assert row is not None
    here = default_cache_dir()
    cache.archive_bytes(row, here)
    new: list[Time] = []
    tar: list[Time] = []
    start: list[Time] = []
    again: list[Time] = []

    def tar_xzf() -> None:
        shutil.rmtree(work / "tar", ignore_errors=True)
        (work / "tar").mkdir()
        tar.append(timed(("tar", "xzf", here / "archives" / row.name, "-C", work / "tar", "--no-same-owner")))

    def new_tree() -> None:
        shutil.rmtree(work / "new", ignore_errors=True)
        new.append(timed((*APPLY, "-q", "--offline", "--vllm-rev", release, "--output", work / "new")))

    for number in range(rounds):
        turns(number, tar_xzf, new_tree)
    said = subprocess.run(
        [*APPLY, "--list", "--export", work / "mails", "--vllm-rev", release],
        check=True,
        capture_output=True,
        text=True,
    )
    mails = said.stdout.split()
    names = ["into", "am", "patch", *(["quilt"] if shutil.which("quilt") else [])]
    places = {}
    for name in names:
        subprocess.run(["cp", "-a", work / "tar" / f"vllm-{release}", work / name], check=True)
        places[name] = Place(work / name, mails)
    for number in range(rounds):
        ways = [getattr(place, name) for name, place in places.items()]
        turns(number, *ways, lambda: start.append(timed(BARE_START)))
        again.append(timed((*APPLY, "-q", "--into", places["into"].tree)))
    into = places["into"].times
    others = {"git_am": "am", "gnu_patch": "patch", "quilt": "quilt"}
    return {
        "median": {
            "bare_start": seconds(start), "new_tree": seconds(new), "tar_xzf": seconds(tar), "into": seconds(into),
            "again": seconds(again),
            **{k: seconds(places[n].times) for k, n in others.items() if n in places},
        },
        "new_tree_to_tar": ratio(new, tar),
        **{f"into_to_{k}": ratio(into, places[n].times, start) for k, n in others.items() if n in places},
        "again_above_start_s": {
            "wall": median([a.wall - s.wall for a, s in zip(again, start, strict=True)]),
            "cpu": median([a.cpu - s.cpu for a, s in zip(again, start, strict=True)]),
        },
    }  # fmt: skip


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--release", action="append", help="default: 0.22.1 and 0.33.0")
    args = p.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    for release in args.release or ["0.22.1", "0.33.0"]:
        with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
            figures[release] = measure(release, args.rounds, Path(name))
        print(
            release,
            *(f"{k} {v['wall']:.2f} ({v['cpu']:.2f} cpu)" for k, v in figures[release].items() if "wall" in v),
            sep="\n  ",
        )
    found = {"rounds": args.rounds, "cores": CORES, "load": round(os.getloadavg()[0], 1), "goals": GOALS, "releases": figures,
             "command": "python bench/apply.py"}  # fmt: skip
    if not shutil.which("quilt"):
        found["note"] = "quilt was not installed, so there is no comparison with it."
    write("apply", found)
    return 0 if all(f[k]["wall"] <= goal for f in figures.values() for k, goal in GOALS.items()) else 3


if __name__ == "__main__":
    sys.exit(main())
