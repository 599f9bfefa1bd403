#!/usr/bin/env python3
"""Time ``vendor.py wheel`` on an official wheel of 400 MB against ``wheel unpack`` + the same patch + ``wheel pack``.

The two are run side by side, round by round, the first to go changing each time; both start from the wheel in the cache (page
cache warm) and end with a wheel on disk whose connector has the same bytes. Medians over the rounds count. Writes wall clock,
processor seconds and the peak memory of the largest process to bench/results.json under "vendor". A round takes about 80 s on
a quiet core, nearly all of it the second way's; no round is begun that would end after --minutes. Needs the package
``wheel`` (in the extra ``dev``). Goals, and exit codes: 0 at least 15 times faster and under 200 MB; 3 not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from harness import TOOLS, Time, seconds, timed, write
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.sources import cache
from kvroles.vendored import part
from kvroles.vendored.wheel import build

FASTER, MEMORY_MB = 15.0, 200.0


class Ways:
    """The two ways to a patched wheel, from one wheel, in one work folder."""

    def __init__(self, release: str, work: Path) -> None:
        series, lock = project.load()
        self.official = build.pick(lock.releases[release], "x86_64")
        self.wheel, self.release, self.work = cache.archive_file(self.official, default_cache_dir()), release, work
        with zipfile.ZipFile(self.wheel) as z:
            names = set(z.namelist())
            whole = part.of(lock.releases[release], series)
            planned = part.plan(whole, lambda p: z.read(p) if p in names else None, str(self.wheel))
        (self.change,) = planned.changes
        (work / "after.py").write_bytes(self.change.after or b"")

    def vendor(self) -> Time:
        """One run of ``vendor.py wheel``."""
        shutil.rmtree(self.work / "ours", ignore_errors=True)
        command = [sys.executable, str(TOOLS / "vendor.py"), "wheel", "--vllm-rev", self.release, "--quiet"]
        return timed([*command, "--wheel", str(self.wheel), "--output", str(self.work / "ours")])

    def unpack_and_pack(self) -> Time:
        """One run of ``wheel unpack``, ``cp`` of the patched file, ``wheel pack``."""
        for folder in ("unpacked", "theirs"):
            shutil.rmtree(self.work / folder, ignore_errors=True)
        (self.work / "theirs").mkdir()
        tree = f"{self.work}/unpacked/vllm-{self.release}"
        return timed(
            [sys.executable, "-m", "wheel", "unpack", "--dest", str(self.work / "unpacked"), str(self.wheel)],
            ["cp", str(self.work / "after.py"), f"{tree}/{self.change.path}"],
            [sys.executable, "-m", "wheel", "pack", "--dest-dir", str(self.work / "theirs"), tree],
        )

    def connector(self, folder: str) -> bytes:
        """The connector in the wheel that a way left in ``folder``."""
        with zipfile.ZipFile(next((self.work / folder).glob("*.whl"))) as z:
            return z.read(self.change.path)


def measure(release: str, rounds: int, minutes: float) -> dict[str, object]:
    """The figures for ``release``."""
    ours: list[Time] = []
    theirs: list[Time] = []
    with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
        ways = Ways(release, Path(name))
        started, longest = time.monotonic(), 0.0
        for number in range(rounds):
            if time.monotonic() - started + longest > 60 * minutes:
                break
            begun = time.monotonic()
            turns = [(ours, ways.vendor), (theirs, ways.unpack_and_pack)]
            for runs, way in turns if number % 2 == 0 else reversed(turns):
                runs.append(way())
            longest = max(longest, time.monotonic() - begun)
            print(f"round {number + 1}: {ours[-1]} against {theirs[-1]}", file=sys.stderr, flush=True)
        same = ways.connector("ours") == ways.connector("theirs")
    mine, other = middle(ours), middle(theirs)
    return {
        "wheel": ways.official.name,
        "size_mb": round(ways.official.size / 1e6, 1),
        "rounds": len(ours),
        "vendor_py": mine,
        "wheel_unpack_patch_pack": other,
        "times_faster_wall": round(other["wall_s"] / mine["wall_s"], 1),
        "times_faster_cpu": round(other["cpu_s"] / mine["cpu_s"], 1),
        "same_connector": same,
        "goals": {"times_faster_wall": FASTER, "peak_mb": MEMORY_MB},
        "command": f"python bench/vendor.py --rounds {rounds} --minutes {minutes:g}",
        "met": same and other["wall_s"] >= FASTER * mine["wall_s"] and mine["peak_mb"] < MEMORY_MB,
    }


def middle(runs: list[Time]) -> dict[str, float]:
    """The medians of times, and the highest peak."""
    return {**seconds(runs), "peak_mb": round(max(t.peak_mb for t in runs), 1)}


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("--release", default="0.10.1", help="default: 0.10.1, whose wheel has 414 MB")
    p.add_argument("--rounds", type=int, default=3, help="at most so many (default: 3)")
    p.add_argument("--minutes", type=float, default=5.0, help="and begin none that would end later (default: 5)")
    args = p.parse_args()
    if args.rounds < 1:
        p.error("--rounds: 1 or more")
    figures = measure(args.release, args.rounds, args.minutes)
    write("vendor", figures)
    print(json.dumps(figures, indent=1))
    return 0 if figures["met"] else 3


if __name__ == "__main__":
    sys.exit(main())
