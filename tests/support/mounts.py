"""Small disks and read-only folders, which root's permissions do not get round."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


class Mounts:
    """Mounts made for a test, undone in reverse order."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def close(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _mount(self, point: Path, *argv: str) -> None:
        mount = shutil.which("mount")
        if mount is None or os.geteuid() != 0:
            pytest.skip("mounting needs root and the mount command")
        done = subprocess.run([mount, *argv], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
        if "remount" not in " ".join(argv):
            self._undo.append(lambda: subprocess.run(["umount", str(point)], check=True))

    def small_disk(self, point: Path, size: str, inodes: int = 10_000) -> Path:
        """An empty file system of ``size`` (as mount takes it) at the new folder ``point``."""
        point.mkdir(parents=True)
        self._mount(point, "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes}", "tmpfs", str(point))
        return point

    def read_only(self, folder: Path, *, but: Path | None = None) -> None:
        """Nothing below ``folder`` can be written any more, save below ``but``."""
        if os.geteuid() != 0:
            mode = folder.stat().st_mode
            folder.chmod(0o555)
            self._undo.append(lambda: folder.chmod(mode))
            return
        self._mount(folder, "--bind", str(folder), str(folder))
        if but is not None:
            self._mount(but, "--bind", str(but), str(but))
        self._mount(folder, "-o", "remount,bind,ro", str(folder))
