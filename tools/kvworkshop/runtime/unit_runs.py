"""Upstream's unit tests before and after the series, release by release, and the file that keeps the counts."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

from kvroles.apply import run as applying
from kvroles.apply.request import Request
from kvroles.errors import UsageError
from kvroles.places import default_cache_dir
from kvroles.said import counted
from kvroles.series import project
from kvroles.tree import handles

from kvworkshop.runtime import upstream_tests
from kvworkshop.runtime.environments import Interpreter, Say, interpreter
from kvworkshop.runtime.trees import hide_metadata
from kvworkshop.runtime.upstream_tests import Comparison, Run
from kvworkshop.verify import compat

SCHEMA = 1

ENVIRONMENTS = {
    "0.10.1.1": "torch-2.7",
    "0.11.0": "torch-2.8",
    "0.14.1": "torch-2.9",
    "0.18.1": "torch-2.10",
    "0.22.1": "torch-2.11",
    "0.30.0": "new",
    "0.33.0": "torch-2.14",
}
"""One release per generation of torch, the last before the change and the newest among them, each with an environment
that matches its pins of torch and transformers."""

IN_CI = ("0.22.1", "0.30.0")
"""The releases that CI runs: other tests need their environments too. Each other release needs a torch of its own, 5 to 7 GB."""


def trees(release: str, folder: Path) -> tuple[Path, Path]:
    """The pristine and the patched tree of ``release`` below ``folder``."""
    made = []
    for name in ("pristine", "patched"):
        tree = folder / name
        cache = default_cache_dir()
        applying.run(Request(revision=release, output=tree, quiet=True, cache_dir=cache))
        if name == "pristine":
            applying.run(Request(into=tree, reverse=True, quiet=True, cache_dir=cache))
        hide_metadata(tree)
        made.append(tree)
    return made[0], made[1]


def compare(release: str, folder: Path, say: Say) -> tuple[Comparison, dict[str, Any]]:
    """Run the tests of ``release`` on both trees, side by side, in a fresh ``folder``; returns the comparison and its record.

    Raises UsageError for a release without an environment, and what building and running raise.
    """
    if release not in ENVIRONMENTS:
        raise UsageError(
            f"Upstream's unit tests are not run for {release}",
            expected=f"one of {', '.join(ENVIRONMENTS)}",
            fix="Add it to ENVIRONMENTS in tools/kvworkshop/runtime/unit_runs.py with an environment that fits its pins",
        )
    python = interpreter(ENVIRONMENTS[release], say)
    before, after = trees(release, folder)
    selected = upstream_tests.files(after)

    def run(name: str, tree: Path, files: list[str]) -> Run:
        say(f"vLLM {release}, {name}: {counted(len(files), 'file')} of upstream's unit tests")
        done = upstream_tests.run(python, tree, release, files)
        say(f"vLLM {release}, {name}: {done.count()} in {done.seconds:.0f} s")
        return done

    def both(files: list[str]) -> tuple[Run, Run]:
        with ThreadPoolExecutor(2) as pool:
            pristine, patched = pool.map(run, ("pristine", "patched"), (before, after), (files, files))
        return pristine, patched

    try:
        comparison = upstream_tests.compare(both, selected, say)
    finally:
        shutil.rmtree(folder)
    patched = compat.patched_files(release, *project.load())
    return comparison, upstream_tests.record(release, comparison, selected, versions(python), patched)


def versions(python: Interpreter) -> dict[str, str]:
    """What the release's pins are about, as this environment has it, and its Python."""
    ask = "import sys, sysconfig; print(sys.version.split()[0]); print(sysconfig.get_path('purelib'))"
    done = subprocess.run([str(python.python), "-c", ask], capture_output=True, text=True, check=True)
    number, packages = done.stdout.split()
    found = {"python": number}
    for name in ("torch", "transformers", "nixl"):
        for folder in (*python.layers, Path(packages)):
            metadata = sorted(folder.glob(f"{name}-*.dist-info"))
            if metadata:
                found[name] = PathDistribution(metadata[0]).version
                break
    return found


def write(root: Path, record: dict[str, Any]) -> None:
    """Put the record of one release into ``unit_runs.json``, and its counts into ``compat.json``, below ``root``.

    What is there of other releases is kept. Raises NoSource where there is no ``compat.json``.
    """
    path = root / compat.UNIT_RUNS
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["releases"] if path.exists() else {}
    rest = {key: value for key, value in record.items() if key != "release"}
    releases = {**kept, record["release"]: rest}
    ordered = {release: releases[release] for release in ENVIRONMENTS if release in releases}
    handles.write(path, (json.dumps({"schema": SCHEMA, "releases": ordered}, indent=2) + "\n").encode())
    merged = compat.merge([], compat.unit_counts(root), compat.read(root))
    handles.write(root / compat.COMPAT, compat.dumps(merged))
