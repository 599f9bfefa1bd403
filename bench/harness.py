"""What the benchmarks share: where results go, how a command is timed, how two ways take turns, what a ratio is."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

TOOLS = ROOT / "tools"
CORES = len(os.sched_getaffinity(0))
ENV = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}
GIT = ("git", "-c", "user.name=b", "-c", "user.email=b@example.invalid", "-c", "gc.auto=0")
BARE_START = (sys.executable, "-c", "pass")


def write(key: str, figures: Mapping[str, Any], *, merge: bool = False) -> None:
    """Put ``figures`` into results.json under ``key``; with ``merge`` beside what is there. Several processes may."""
    with (ROOT / "bench" / "results.json").open("a+", encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        f.seek(0)
        known = json.loads(f.read() or "{}")
        known[key] = {**known.get(key, {}), **figures} if merge else dict(figures)
        f.truncate(0)
        f.write(json.dumps(known, indent=1, sort_keys=True) + "\n")


def kept(key: str) -> dict[str, Any]:
    """What results.json holds under ``key``; nothing where it has none."""
    found: dict[str, Any] = json.loads((ROOT / "bench" / "results.json").read_bytes()).get(key, {})
    return found


@dataclass(frozen=True)
class Time:
    """Seconds on the wall clock and of the processor (children included), and the largest process's memory in MB."""

    wall: float
    cpu: float
    peak_mb: float = 0.0


def timed(*commands: Sequence[str | Path], cwd: Path = ROOT, env: Mapping[str, str] = ENV) -> Time:
    """Run ``commands`` one after the other, in a child of their own so that processor time and memory are theirs alone.

    SystemExit when one fails: a way that fails is not a way to compare with.
    """
    reader, writer = os.pipe()
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        try:
            for command in commands:
                subprocess.run([str(c) for c in command], cwd=cwd, env=env, stdout=subprocess.DEVNULL, check=True)
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            os.write(writer, json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as f:
        text = f.read()
    wall = time.perf_counter() - started
    os.waitpid(pid, 0)
    if not text:
        raise SystemExit(f"{' '.join(map(str, commands[0][:4]))} ... failed")
    processor, memory = json.loads(text)
    return Time(wall, processor, memory)


def turns(number: int, *ways: Callable[[], object]) -> None:
    """Call ``ways``, beginning with another one each round, so that none always finds the caches warm."""
    for i in range(len(ways)):
        ways[(number + i) % len(ways)]()


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


def seconds(times: Sequence[Time]) -> dict[str, float]:
    """The medians of ``times``."""
    return {"wall_s": median([t.wall for t in times]), "cpu_s": median([t.cpu for t in times])}


def ratio(ours: Sequence[Time], theirs: Sequence[Time], start: Sequence[Time] = ()) -> dict[str, float]:
    """The medians of ours / theirs, pair by pair, on the wall and of the processor; ours above the bare ``start`` if given."""
    bare = list(start) or [Time(0.0, 0.0)] * len(ours)
    pairs = list(zip(ours, theirs, bare, strict=True))
    return {
        "wall": median([(o.wall - s.wall) / t.wall for o, t, s in pairs]),
        "cpu": median([(o.cpu - s.cpu) / max(t.cpu, 0.001) for o, t, s in pairs]),
    }
