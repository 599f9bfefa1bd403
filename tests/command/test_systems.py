"""The systems that the tools run on: Linux and macOS; on Windows they say so."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
from support.docs import ROOT

# What Windows lacks cannot be imported either.
AS_IF_ON_WINDOWS = """
import runpy, sys
import argparse, json, pathlib, subprocess, tempfile
sys.platform = "win32"
sys.modules["fcntl"] = sys.modules["pwd"] = sys.modules["grp"] = sys.modules["resource"] = None
sys.argv = sys.argv[1:]
sys.path.insert(0, "tools")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("tool", sorted(p.name for p in (ROOT / "tools").glob("*.py")))
def test_on_windows_every_tool_says_in_one_line_where_to_run_it(tool: str) -> None:
    words = [sys.executable, "-c", AS_IF_ON_WINDOWS, f"tools/{tool}", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "does not run on Windows" in done.stderr
    assert "WSL" in done.stderr


def test_the_readme_and_the_package_name_the_same_systems() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    systems = {c.rpartition(" :: ")[2] for c in classifiers if c.startswith("Operating System")}
    assert systems == {"Linux", "MacOS"}
    assert "on Linux or macOS (on Windows: in WSL)" in (ROOT / "README.md").read_text()
