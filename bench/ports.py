#!/usr/bin/env python3
"""Each release as if it were new: the series and the lock without it and every later one, then one port.

Says of each release what is left to a person, which files were changed by meaning, and in which files the port's result
differs from the series' own. Writes docs/data/ports.json with --write. Archives come from the cache. Exit code: 0 when
nothing is left in --goal releases or more, else 1.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from harness import ROOT
from kvroles.errors import KvRolesError
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.series.lock import Lock
from kvroles.series.release import version
from kvroles.series.topics import Series
from kvroles.sources import release_files
from kvroles.sources.release_files import Options
from kvworkshop.port import lock_rows, port

OPTIONS = Options(default_cache_dir(), None, True)
DATA = ROOT / "docs" / "data" / "ports.json"


def before(root: Path, release: str, series: Series, lock: Lock) -> None:
    """The series and the lock as they were before ``release`` came out, below ``root``."""
    shutil.copytree(ROOT / "vllm_overlay", root / "vllm_overlay")
    (root / "patches").mkdir()
    shutil.copy(ROOT / "patches" / "series", root / "patches" / "series")

    def earlier(text: str) -> bool:
        return version(text) < version(release)

    def bounds(m: re.Match[str]) -> str:
        return m[1] + ",".join(p for p in m[2].split(",") if not p.startswith("<") or earlier(p.lstrip("<=")))

    for topic in series.topics:
        folder = root / "patches" / topic.name
        folder.mkdir()
        for variant in filter(earlier, topic.variants):
            text = re.sub(r"(?m)^(Applies-To: )(\S+)", bounds, topic.raw(variant).decode())
            native = re.search(r"(?m)^Native-Since: (\S+)", text)
            if native and native[1] != "none" and not earlier(native[1]):
                text = text.replace(native[0], "Native-Since: none")
            (folder / f"{variant}.patch").write_text(text)
    rows = {r: row for r, row in lock.releases.items() if earlier(r)}
    (root / "patches" / "lock.json").write_bytes(Lock(lock.overlay, rows, lock.checker).dumps())


def one(release: str) -> tuple[str, dict[str, Any]]:
    """What a port of ``release`` leaves to a person, what it did by meaning, and which files it makes otherwise."""
    series, lock = project.load()[:2]
    row = lock.releases[release]
    assert row.archive is not None
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "project"
        root.mkdir()
        before(root, release, series, lock)
        archive = str(OPTIONS.cache_dir / "archives" / row.archive.name)
        try:
            report = port.port(
                root,
                archive,
                release,
                None,
                None,
                Path(name, "conflicts"),
                False,
                Series.load(root),
                Lock.load(root),
                OPTIONS,
            )
        except KvRolesError as e:
            return release, {"left": [" ".join(str(e).split())], "by_meaning": [], "otherwise": []}
        left = [item.replace(f"{name}/conflicts/", "") for item in report.left]
        otherwise = []
        if not left:
            files = release_files.extract(row, series, OPTIONS).files
            made, own = (
                lock_rows.topic_rows(files, release, Series(s.chosen(), s.overlay))[1]
                for s in (Series.load(root), series)
            )
            otherwise = sorted(p for p in made if made[p] != own.get(p))
        return release, {"left": left, "by_meaning": sorted(report.diffs), "otherwise": otherwise}


def main() -> int:
    """Run the ports and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "release", nargs="*", help="only these (default: every one that has an archive, but for the first)"
    )
    parser.add_argument("--goal", type=int, default=0, metavar="N", help="how many have to need no person")
    parser.add_argument(
        "--write", action="store_true", help="keep the table in docs/data/ports.json, other rows as they are"
    )
    args = parser.parse_args()
    lock = project.load()[1]
    every = [r for r, row in lock.releases.items() if row.archive][1:]
    with ProcessPoolExecutor(2) as pool:
        table = json.loads(DATA.read_bytes())["releases"] if args.release and DATA.exists() else {}
        for release, told in pool.map(one, args.release or every):
            table[release] = told
            print(release, "; ".join(told["left"]) or "nothing is left", flush=True)
    done = sum(not told["left"] for told in table.values())
    print(f"{done} of {len(table)} need no person")
    if args.write:
        DATA.write_text(json.dumps({"schema": 1, "releases": table}, indent=1) + "\n", encoding="utf-8")
    return 0 if done >= args.goal else 1


if __name__ == "__main__":
    sys.exit(main())
