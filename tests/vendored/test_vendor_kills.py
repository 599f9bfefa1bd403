"""A vendored set is published whole: a kill at any moment leaves the old one or the new one, at the latest after the next run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import oci, wheels
from support.driver import Ran
from support.files import contents

Vendor = Callable[..., Ran]
SOME = 4


@pytest.fixture
def two(vendor: Vendor, tmp_path: Path) -> tuple[dict[str, bytes], tuple[str | Path, ...], Path, Path]:
    """An older signed set, the command that publishes another under the same names, its folder and a copy's folder."""
    old = wheels.make(tmp_path / "old", change={"vllm/config/__init__.py": b"class KVTransferConfig: old = True\n"})
    new = wheels.make(tmp_path / "new")
    folder = tmp_path / "out"
    command = ("wheel", "--vllm-rev", "0.22.1", "--output", folder, "--sign-with", "cp {} {}.sig", "--wheel")
    vendor(*command, new).ok()
    after = visible(folder)
    for path in folder.iterdir():
        path.unlink()
    vendor(*command, old).ok()
    return after, (*command, new), folder, new


def visible(folder: Path) -> dict[str, bytes]:
    """The files of a set; what lies in our own hidden folders is no part of one."""
    return {p: d for p, d in contents(folder).items() if not p.startswith(".")}


def _sweep(vendor: Vendor, two: tuple[dict[str, bytes], tuple[str | Path, ...], Path, Path], most: int) -> set[str]:
    after, command, folder, _ = two
    before = visible(folder)
    points = vendor(*command, count=True).ok().points
    left = set()
    for moment in range(1, points + 1, max(1, points // most)):
        for path in folder.iterdir():
            path.unlink()
        for name, data in before.items():
            (folder / name).write_bytes(data)
        vendor(*command, kill_at=moment)
        now = visible(folder)
        if any(n.endswith(".whl") for n in now):
            assert now in (before, after), f"moment {moment}: a wheel beside another's provenance"
        vendor(*command[:-3], "false", *command[-2:]).refused(3, "failed with code 1")
        now = visible(folder)
        assert now in (before, after), f"moment {moment}: half a set after the next run, {sorted(now)}"
        left.add("old" if now == before else "new")
    return left


def test_a_kill_at_some_moments_leaves_the_old_wheel_or_the_new(
    vendor: Vendor, two: tuple[dict[str, bytes], tuple[str | Path, ...], Path, Path], shim: Path | None
) -> None:
    if shim is None:
        pytest.skip("needs a C compiler: a kill is counted, not slept for")
    _sweep(vendor, two, SOME)


@pytest.mark.slow
def test_a_kill_at_every_moment_leaves_the_old_wheel_or_the_new(
    vendor: Vendor, two: tuple[dict[str, bytes], tuple[str | Path, ...], Path, Path], shim: Path | None
) -> None:
    """The next run signs nothing, so that it can only finish what was begun."""
    if shim is None:
        pytest.skip("needs a C compiler: a kill is counted, not slept for")
    assert _sweep(vendor, two, 500) == {"old", "new"}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["image", "oci"])
def test_a_kill_leaves_the_old_folder_or_the_new(
    vendor: Vendor, site: Path, shim: Path | None, tmp_path: Path, what: str
) -> None:
    if shim is None:
        pytest.skip("needs a C compiler: a kill is counted, not slept for")
    out = tmp_path / "out"
    command: tuple[str | Path, ...]
    if what == "image":
        base = f"example/vllm@sha256:{'0' * 64}"
        command = ("image", "--vllm-rev", "0.22.1", "--base", base, "--output", out)
        other = (*command, "--no-strict")
    else:
        made = oci.Layout(tmp_path / "base")
        path = made.name(made.image([oci.tar(oci.folder(site, "opt/site-packages"))], "amd64", {}))
        command = ("oci", "--vllm-rev", "0.22.1", "--base", path, "--output", out, "--no-strict")
        other = (*command, "--base-name", "example/other")
    vendor(*command).ok()
    after = contents(out)
    vendor(*other).ok()
    before = contents(out)
    assert before != after
    points = vendor(*command, count=True).ok().points
    for moment in range(max(1, points - SOME), points + 1):  # the end, where the folders change places
        vendor(*other).ok()
        vendor(*command, kill_at=moment)
        assert contents(out) in (before, after), moment
        vendor(*command).ok()
        assert contents(out) == after
        assert [p for p in tmp_path.iterdir() if p.name.startswith(".out")] == []
