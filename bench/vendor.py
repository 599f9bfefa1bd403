#!/usr/bin/env python3
"""Time ``vendor.py wheel`` on an official wheel against ``wheel unpack`` + the same patch + ``wheel pack``, side by side.

Both start from the wheel in the cache and end with a wheel on disk whose connector has the same bytes. Writes the figures (wall
clock and processor seconds, peak memory of the largest process) to bench/results.json under "vendor".
Exit codes: 0 within the goals (15 x faster, under 200 MB); 3 not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from kvroles import engine, fetch  # noqa: E402
from kvroles.places import default_cache_dir  # noqa: E402
from kvroles.vendor import building, part  # noqa: E402

FASTER = 15.0
MEMORY_MB = 200.0


def timed(*commands: list[str]) -> dict[str, float]:
    """Run ``commands`` one after the other in a child of their own, so that its peak memory is theirs alone."""
    reader, writer = os.pipe()
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        for command in commands:
            done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
            if done.returncode:
                os._exit(1)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        os.write(writer, json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(pid, 0)
    wall = time.perf_counter() - started
    with os.fdopen(reader) as f:
        text = f.read()
    if status or not text:
        raise SystemExit(f"{commands[0]} failed")
    processor, memory = json.loads(text)
    return {"wall_s": round(wall, 2), "cpu_s": round(processor, 2), "peak_mb": round(memory, 1)}


def measure(release: str, rounds: int) -> dict[str, object]:
    """The figures for ``release``; the two ways take turns, and the best round of each counts."""
    series, lock = engine.load()
    official = building.pick(lock.releases[release], "x86_64")
    wheel = fetch.archive_file(official, default_cache_dir())
    whole = part.of(lock.releases[release], series)
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
        work = Path(name)
        with zipfile.ZipFile(wheel) as z:
            planned = part.plan(whole, lambda p: z.read(p) if p in z.namelist() else None, str(wheel))
        (change,) = planned.changes
        (work / "after.py").write_bytes(change.after or b"")
        tree = f"{work}/unpacked/vllm-{release}"
        vendor = [sys.executable, str(ROOT / "tools" / "vendor.py"), "wheel", "--vllm-rev", release, "--quiet"]
        for _ in range(rounds):
            shutil.rmtree(work / "ours", ignore_errors=True)
            ours.append(timed([*vendor, "--wheel", str(wheel), "--output", str(work / "ours")]))
            for folder in ("unpacked", "theirs"):
                shutil.rmtree(work / folder, ignore_errors=True)
            (work / "theirs").mkdir()
            theirs.append(
                timed(
                    [sys.executable, "-m", "wheel", "unpack", "--dest", str(work / "unpacked"), str(wheel)],
                    ["cp", str(work / "after.py"), f"{tree}/{change.path}"],
                    [sys.executable, "-m", "wheel", "pack", "--dest-dir", str(work / "theirs"), tree],
                )
            )
        same = _connector(work / "ours", change.path) == _connector(work / "theirs", change.path)
    best, other = (min(runs, key=lambda r: r["wall_s"]) for runs in (ours, theirs))
    return {
        "wheel": official.name,
        "size_mb": round(official.size / 1e6, 1),
        "rounds": rounds,
        "vendor_py": best,
        "wheel_unpack_patch_pack": other,
        "times_faster_wall": round(other["wall_s"] / best["wall_s"], 1),
        "times_faster_cpu": round(other["cpu_s"] / best["cpu_s"], 1),
        "same_connector": same,
        "goals": {"times_faster": FASTER, "peak_mb": MEMORY_MB},
    }


def _connector(folder: Path, path: str) -> bytes:
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as z:
        return z.read(path)


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("--release", default="0.10.1", help="default: 0.10.1, whose wheel is 414 MB")
    p.add_argument("--rounds", type=int, default=3)
    args = p.parse_args()
    figures = measure(args.release, args.rounds)
    results = ROOT / "bench" / "results.json"
    known = json.loads(results.read_text()) if results.exists() else {}
    results.write_text(json.dumps({**known, "vendor": figures}, indent=1, sort_keys=True) + "\n")
    print(json.dumps(figures, indent=1))
    vendor = figures["vendor_py"]
    assert isinstance(vendor, dict)
    wall = figures["times_faster_wall"]
    assert isinstance(wall, float)
    return 0 if wall >= FASTER and vendor["peak_mb"] < MEMORY_MB else 3


if __name__ == "__main__":
    sys.exit(main())
