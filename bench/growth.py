#!/usr/bin/env python3
"""Time how cost grows: ``verify.py`` with the number of releases, ``apply.py`` with the size of a tree and the number of patches,
``migrate.py`` with the number of repositories.

Releases from one to all; a tree of a project made for the purpose ten times as large, most of it files that no patch is about;
a series fifty times as long, a topic a file. A growth of 1 is none; one that is linear in what was multiplied would be the
number of releases, 10, 50 and 4. The repositories have a thousand files each, two of which hold a role; the largest
process's memory is measured beside the time, and is not to grow by more than half. ``--only fleet`` measures these alone.
Writes to bench/results.json under "growth". Exit codes: 0 nothing grows faster than linearly, 3 something does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import BARE_START, CORES, ROOT, TOOLS, Time, median, seconds, timed, write

sys.path.insert(0, str(ROOT / "tests"))
from kvroles.digest import sha256
from kvroles.places import default_cache_dir
from kvroles.series import mail
from kvroles.series.lock import ArchiveRow, Lock
from kvroles.series.project import load as load_project
from kvroles.series.topics import Series
from kvroles.series.upstream_files import paths_of_interest
from kvroles.sources import extracts
from kvworkshop.port import lock_rows
from support import tiny

RELEASES = (1, 2, 5, 10, 20)  # and all
FLEETS = (10, 40)  # repositories
FILES, TOPICS = 200, 2  # of the project that is made larger


def releases(rounds: int, cache: Path) -> dict[str, Any]:
    """``verify.py`` over 1, 2, ... and all of the releases, the newest last, as they would be added; the caches are warm."""
    _, lock = load_project()
    names = list(lock.releases)
    out = {}
    for count in (*RELEASES, len(names)):
        chosen = [word for r in names[:count] for word in ("--release", r)]
        command = (sys.executable, TOOLS / "verify.py", *chosen, "-q", "--cache-dir", cache)
        timed(command)
        out[str(count)] = seconds([timed(command) for _ in range(rounds)])
    return out


def project(folder: Path, files: int, topics: int) -> tiny.Tiny:
    """The tests' small project with ``files`` more files in its one release, and ``topics`` more topics about one each."""
    root = folder / "project"
    shutil.copytree(TOOLS, root / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    release = "0.22.1"
    more = {f"vllm/more/m{n:05}.py": f"NUMBER = {n}\n".encode() + b"# a line of padding\n" * 200 for n in range(files)}
    before = tiny.pristine(release) | more
    lines = [line for line in tiny.SERIES if "optional" not in line]
    for line in lines:
        (root / "patches" / line).mkdir(parents=True)
        for first, raw in mail.fewest(tiny._message(line), tiny._goals(line), "0.33.0").items():
            if first == release:
                (root / "patches" / line / f"{first}.patch").write_bytes(raw)
    for n in range(topics):
        path = f"vllm/more/m{n:05}.py"
        goal = mail.Goal(release, {path: before[path]}, {path: before[path].replace(b"NUMBER", b"COUNT")})
        (root / "patches" / f"more-{n}").mkdir()
        for first, raw in mail.fewest(tiny._message(f"more-{n}"), [goal], None).items():
            (root / "patches" / f"more-{n}" / f"{first}.patch").write_bytes(raw)
        lines.append(f"more-{n}")
    (root / "patches" / "series").write_text("".join(f"{line}\n" for line in lines))
    tiny.put(root / "vllm_overlay", {tiny.OVERLAY: b"# From kv_both to explicit roles\n"})
    series = Series.load(root)
    blob = tiny.tarball(f"vllm-{release}", before, {tiny.SCRIPT})
    row = ArchiveRow(f"vllm-{release}.tar.gz", sha256(blob), len(blob))
    (folder / "cache" / "archives").mkdir(parents=True)
    (folder / "cache" / "archives" / row.name).write_bytes(blob)
    extract = extracts.of_archive(blob, row, row.top, paths_of_interest(series))
    rows = {release: lock_rows.row(extract, row, (), release, series)}
    overlay = {path: sha256(data) for path, data in series.overlay.items()}
    (root / "patches" / "lock.json").write_bytes(Lock(overlay, rows).dumps())
    return tiny.Tiny(root, folder / "cache")


def apply(made: tiny.Tiny, rounds: int, work: Path) -> dict[str, dict[str, float]]:
    """A new tree, and a run in place, of ``made``; above the bare start of Python."""
    new: list[Time] = []
    into: list[Time] = []
    start: list[Time] = []
    common = (sys.executable, made.apply, "-q", "--offline", "--cache-dir", made.cache)
    for _ in range(rounds + 1):
        shutil.rmtree(work, ignore_errors=True)
        new.append(timed((*common, "--vllm-rev", "0.22.1", "--output", work)))
        timed((*common, "--into", work, "--reverse"))
        into.append(timed((*common, "--into", work)))
        start.append(timed(BARE_START))
    bare = median([t.cpu for t in start[1:]])
    return {
        name: {
            "wall_s": median([t.wall for t in times[1:]]),
            "cpu_above_start_s": round(median([t.cpu for t in times[1:]]) - bare, 3),
        }
        for name, times in (("new_tree", new), ("into", into))
    }


def repositories(folder: Path, count: int) -> Path:
    """A list of ``count`` new repositories of a thousand files each."""
    text = "# a line of padding\n" * 50
    role = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
    names = [folder / f"r{n:04}" for n in range(count)]
    for n, top in enumerate(names):
        (top / ".git").mkdir(parents=True)
        for k in range(20):
            (top / f"d{k}").mkdir()
            for i in range(50):
                (top / f"d{k}" / f"{i}.txt").write_text(f"{n} {k} {i}\n{text}")
        (top / "d0" / "prefill.sh").write_text(f"# prefill\nvllm serve m --kv-transfer-config '{role}'\n")
        (top / "d1" / "run.sh").write_text(f"vllm serve m --kv-transfer-config '{role}'\n")
    listed = folder / "list"
    listed.write_text("".join(f"{name}\n" for name in names))
    return listed


def fleet(rounds: int, work: Path) -> dict[str, Any]:
    """``migrate.py`` on lists of 10 and 40 repositories: time above Python's start, and the largest process's memory."""
    out: dict[str, Any] = {}
    for count in FLEETS:
        (work / f"fleet-{count}").mkdir()
        command = (
            sys.executable,
            TOOLS / "migrate.py",
            "-q",
            "--from-list",
            repositories(work / f"fleet-{count}", count),
        )
        times = [timed(command) for _ in range(rounds + 1)][1:]
        starts = [timed(BARE_START) for _ in range(rounds)]
        out[str(count)] = {
            "files": count * 1002,
            "wall_s": median([t.wall for t in times]),
            "cpu_above_start_s": round(median([t.cpu for t in times]) - median([t.cpu for t in starts]), 3),
            "peak_mb": median([t.peak_mb for t in times]),
        }
    first, last = (out[str(n)] for n in (FLEETS[0], FLEETS[-1]))
    keys = {"wall": "wall_s", "cpu": "cpu_above_start_s", "peak": "peak_mb"}
    out["growth"] = {name: round(last[key] / first[key], 2) for name, key in keys.items()}
    return out


def _in_bounds(found: Mapping[str, Any]) -> bool:
    """Whether the fleet's time grew with its size, a fifth allowed for the machine, and its memory by no more than half."""
    growth = found["growth"]
    return growth["cpu"] <= FLEETS[-1] / FLEETS[0] * 1.2 and growth["peak"] <= 1.5


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--only", choices=["fleet"], help="measure this alone")
    args = p.parse_args()
    if args.only == "fleet":
        with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
            measured = fleet(args.rounds, Path(name))
        write("growth", {"fleet": measured}, merge=True)
        print(measured)
        return 0 if _in_bounds(measured) else 3
    found: dict[str, Any] = {
        "rounds": args.rounds,
        "cores": CORES,
        "load": round(os.getloadavg()[0], 1),
        "command": "python bench/growth.py",
    }
    with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
        work = Path(name)
        for label, files, topics in (
            ("once", FILES, TOPICS),
            ("tree_x10", FILES * 10, TOPICS),
            ("patches_x50", FILES, TOPICS * 50),
        ):
            (work / label).mkdir()
            found[label] = apply(project(work / label, files, topics), args.rounds, work / "tree")
        cache = work / "cache"
        cache.mkdir()
        (cache / "archives").symlink_to(default_cache_dir() / "archives")
        found["verify_releases"] = releases(args.rounds, cache)
        found["fleet"] = fleet(args.rounds, work)

    def growth(label: str, way: str) -> float:
        return round(found[label][way]["cpu_above_start_s"] / max(found["once"][way]["cpu_above_start_s"], 0.001), 2)

    found["growth_cpu"] = {
        f"{label}_{way}": growth(label, way) for label in ("tree_x10", "patches_x50") for way in ("new_tree", "into")
    }
    (_, one), *_, (count, every) = found["verify_releases"].items()
    found["growth_cpu"][f"releases_x{count}"] = round(every["cpu_s"] / one["cpu_s"], 2)
    write("growth", found)
    print(found)
    linear = {"tree_x10": 10, "patches_x50": 50, f"releases_x{count}": int(count)}
    return (
        0
        if _in_bounds(found["fleet"])
        and all(v <= linear[next(k for k in linear if key.startswith(k))] for key, v in found["growth_cpu"].items())
        else 3
    )


if __name__ == "__main__":
    sys.exit(main())
