"""The small vLLM as a clone, and a run on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.clones import in_
from support.driver import Ran
from support.tiny import Tiny

Apply = Callable[..., Ran]


@pytest.fixture
def repository(tiny: Tiny, tmp_path: Path) -> Path:
    """The small 0.22.1 as a repository, tagged; a link, a submodule and an LFS pointer in it."""
    folder = tiny.unpack(tmp_path / "a clone")
    (folder / "link").symlink_to("vllm")
    (folder / "picture.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    in_(folder, "init", "-q", "-b", "main")
    in_(folder, "add", "-Af", ".")
    in_(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},third_party/sub")
    in_(folder, "commit", "-q", "-m", "x")
    in_(folder, "tag", "v0.22.1")
    return folder


@pytest.fixture
def making(apply: Apply, tmp_path: Path) -> Callable[..., Ran]:
    """``making(upstream)``: apply.py on its tag v0.22.1 (or ``rev``), into ``new``, with a cache of its own."""

    def run(where: Path | str, *argv: str, rev: str = "v0.22.1", **kw: object) -> Ran:
        out = ("--output", tmp_path / "new", "--cache-dir", tmp_path / "cache")
        return apply("--upstream", where, "--vllm-rev", rev, *out, *argv, cwd=tmp_path, **kw)

    return run
