"""Several runs at once, in real processes, on one target and one cache: one winner, no corruption, no deadlock, bounded waits."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import tiny as project
from support import wheels
from support.driver import Ran, is_a_paragraph, script
from support.files import series_of
from support.index_server import IndexServer
from support.tiny import Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]
Keep = Callable[[str, str, dict[str, Any]], None]
ENDS_S = 300  # a deadlock ends here


def at_once(
    tiny: Tiny, cwd: Path, *commands: tuple[str | Path, ...], offline: bool = True, tool: Path | None = None
) -> list[Ran]:
    """Start ``commands`` together, and wait for all of them to end; after a deadlock none of them is left."""
    own = ("--offline", "--cache-dir", tiny.cache) if offline and tool is None else ()
    running = [
        subprocess.Popen(
            [sys.executable, tool or tiny.apply, *argv, *own],
            cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for argv in commands
    ]  # fmt: skip
    try:
        ended = [(p, *p.communicate(timeout=ENDS_S)) for p in running]
    finally:
        for p in running:
            p.kill()  # of one that ended this does nothing
            p.wait()
    return [Ran(p.returncode, out, err) for p, out, err in ended]


def test_runs_at_once_on_a_new_tree_build_it_once(tiny: Tiny, tmp_path: Path) -> None:
    for _ in range(2):
        ran = at_once(tiny, tmp_path, *[("--vllm-rev", "0.22.1", "--output", "new")] * 5)
        assert sorted("applied already" in r.ok().out for r in ran) == [False, True, True, True, True]
        assert series_of(tmp_path / "new") == tiny.applied()
        assert [p.name for p in tmp_path.iterdir()] == ["new"]
        shutil.rmtree(tmp_path / "new")


def test_runs_at_once_on_an_existing_tree_change_it_once(tiny: Tiny, tree: Path, tmp_path: Path) -> None:
    for _ in range(2):
        ran = at_once(tiny, tmp_path, *[("--into", tree)] * 5)
        assert sorted("applied already" in r.ok().out for r in ran) == [False, True, True, True, True]
        assert series_of(tree) == tiny.applied()
        script(tiny.apply, "--into", tree, "--reverse", cwd=tmp_path).ok()
        assert [p.name for p in tmp_path.iterdir()] == ["vllm"]


def test_runs_at_once_in_both_directions_leave_one_of_the_two_states(tiny: Tiny, tree: Path, tmp_path: Path) -> None:
    for _ in range(2):
        commands = [("--into", tree), ("--into", tree, "--reverse")] * 3
        for r in at_once(tiny, tmp_path, *commands):
            r.ok()
        assert series_of(tree) in (tiny.applied(), project.pristine("0.22.1"))


def test_new_trees_of_two_releases_do_not_wait_for_each_other(tiny: Tiny, tmp_path: Path) -> None:
    for r in at_once(tiny, tmp_path, *[("--vllm-rev", release) for release in project.RELEASES]):
        assert "applied already" not in r.ok().out


def test_a_run_waits_for_another_no_longer_than_it_says(apply: Apply, tree: Path) -> None:
    fd = os.open(tree, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    for more in ((), ("--reverse",), ("--check",)):
        ran = apply("--into", tree, *more, set_={"kvroles.tree.writer._WAIT_S": 0.2})
        ran.refused(1, f"Another run has been writing to {tree}", "run again")
    os.close(fd)
    apply("--into", tree).ok()


MANY = [pytest.param(12, id="12"), pytest.param(50, id="50", marks=pytest.mark.sweep)]


@pytest.mark.parametrize("count", MANY)
def test_runs_that_apply_reverse_and_check_one_tree(
    tiny: Tiny, tree: Path, tmp_path: Path, count: int, figures: Keep
) -> None:
    """Every run sees the tree before or after another's, never in between; what is left is one of the two states."""
    kinds = (("--into", tree), ("--into", tree, "--reverse"), ("--into", tree, "--check"))
    started = time.monotonic()
    ran = at_once(tiny, tmp_path, *[kinds[i % 3] for i in range(count)])
    took = time.monotonic() - started
    for r in ran:
        r.ok()
    assert series_of(tree) in (tiny.applied(), project.pristine("0.22.1"))
    assert [p.name for p in tmp_path.iterdir()] == ["vllm"]
    script(tiny.apply, "--into", tree, cwd=tmp_path).ok()
    assert series_of(tree) == tiny.applied()
    if count == 50:
        figures("concurrency", "one tree", {"processes": count, "ended_well": len(ran), "seconds": round(took, 1)})


@pytest.mark.parametrize("count", MANY)
def test_runs_that_build_one_tree_from_one_empty_cache(
    tiny: Tiny, index: IndexServer, tmp_path: Path, count: int, figures: Keep
) -> None:
    """One of them fetches, one of them builds, the others find it done."""
    name = tiny.archive().name
    index.serve(name, tiny.archive().read_bytes())
    argv = ("--vllm-rev", "0.22.1", "--output", "new", "--index-url", index.url, "--cache-dir", "cache")
    started = time.monotonic()
    ran = at_once(tiny, tmp_path, *[argv] * count, offline=False)
    took = time.monotonic() - started
    assert Counter("applied already" in r.ok().out for r in ran) == {False: 1, True: count - 1}
    assert series_of(tmp_path / "new") == tiny.applied()
    assert (tmp_path / "cache/archives" / name).read_bytes() == tiny.archive().read_bytes()
    assert len([a for a in index.asked if a.path.endswith(name)]) == 1
    if count == 50:
        figures("concurrency", "one cache", {"processes": count, "ended_well": len(ran), "seconds": round(took, 1)})


@pytest.mark.parametrize("count", MANY)
def test_runs_that_install_uninstall_and_verify_one_package(
    tiny: Tiny, tmp_path: Path, count: int, figures: Keep
) -> None:
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in"))
    vendor = tiny.apply.with_name("vendor.py")
    kinds = [(verb, "--site-packages", site) for verb in ("install", "uninstall", "verify")]
    started = time.monotonic()
    ran = at_once(tiny, tmp_path, *[kinds[i % 3] for i in range(count)], tool=vendor)
    took = time.monotonic() - started
    for i, r in enumerate(ran):
        if i % 3 == 2 and r.code:  # verify: not patched just then, or in the middle of it
            assert r.code == 3, r
            is_a_paragraph(r.err)
        else:
            r.ok()
    for verb in ("uninstall", "install", "verify"):
        script(vendor, verb, "--site-packages", site, cwd=tmp_path).ok()
    if count == 50:
        figures("concurrency", "one package", {"processes": count, "ended_well": len(ran), "seconds": round(took, 1)})
