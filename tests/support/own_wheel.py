"""The wheel of this project, installed in an environment of its own, as somebody has it who never saw the repository."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def installed(project: Path, folder: Path) -> Path:
    """Build the wheel of ``project``, which holds tools, patches and overlay, and install it below ``folder``.

    Returns the environment. The libraries come from the one that tests; no entry point is written.
    """
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source / name)
    for name in ("tools", "patches", "vllm_overlay"):
        shutil.copytree(project / name, source / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source]
    subprocess.run(build, check=True, capture_output=True, text=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    env = folder / "kv-roles"  # where the Action has it
    venv.create(env, with_pip=False, symlinks=True)
    site = next(env.glob("lib/python*/site-packages"))
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True, text=True, cwd=folder)
    # The libraries come last on the path: what stands before them is what the wheel brought.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.rmtree(source)
    return env


def command(env: Path, name: str) -> Path:
    """The command ``name`` of the environment, as the wheel's metadata define it."""
    (table,) = env.glob("lib/python*/site-packages/vllm_kv_roles-*.dist-info/entry_points.txt")
    entries = configparser.ConfigParser()
    entries.optionxform = str  # type: ignore[assignment,method-assign] - a name's case counts
    entries.read_string(table.read_text())
    module, _, function = entries["console_scripts"][name].partition(":")
    script = env / "bin" / name
    run = f"import sys; from {module} import {function} as f; sys.exit(f())"
    script.write_text(f'#!/bin/sh\nexec "{env}/bin/python" -I -c "{run}" "$@"\n')
    script.chmod(0o755)
    return script
