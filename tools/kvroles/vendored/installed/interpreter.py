"""What an interpreter is, asked while it runs no start-up code (``-I -S``): its version, suffixes, and where its packages lie.

Source of the order: CPython's ``Modules/getpath.py`` (standard library, PYTHONPATH) and ``Lib/site.py`` (``venv``,
``addusersitepackages``, ``addsitepackages``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kvroles.errors import UsageError

_LIMIT_S = 60.0

# Under -I -S nothing of the environment has run: site is a module of the standard library, and only told to name folders.
_SCRIPT = r"""
import importlib.machinery, json, os, sys
stdlib = list(sys.path)
import site
exe = os.path.dirname(os.path.abspath(sys.executable))
above = os.path.dirname(exe)
conf = next((c for c in (os.path.join(exe, "pyvenv.cfg"), os.path.join(above, "pyvenv.cfg")) if os.path.isfile(c)), None)
groups, user = [], True
base = [sys.prefix, sys.exec_prefix]
if conf:
    system = "true"
    with open(conf, encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            key, found, value = line.partition("=")
            if found and key.strip().lower() == "include-system-site-packages":
                system = value.strip().lower()
    sys.prefix = sys.exec_prefix = os.path.dirname(conf) if os.path.dirname(conf) == above else above
    groups.append(site.getsitepackages([sys.prefix]))
    user = system == "true"
    sys.prefix, sys.exec_prefix = base
    if user:
        groups.append(site.getsitepackages(base))
else:
    groups.append(site.getsitepackages(base))
print(json.dumps({
    "version": list(sys.version_info[:3]), "tag": sys.implementation.cache_tag, "stdlib": stdlib,
    "suffixes": importlib.machinery.EXTENSION_SUFFIXES, "venv": bool(conf), "sites": groups,
    "user": site.getusersitepackages() if user and os.geteuid() == os.getuid() else None,
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """``sites`` are its folders of packages, those of a virtual environment first; ``user`` the user's, or None."""

    python: Path
    version: tuple[int, ...]
    tag: str
    suffixes: tuple[str, ...]  # of compiled modules, in the order in which they are tried
    stdlib: tuple[str, ...]
    venv: bool
    sites: tuple[tuple[str, ...], ...]
    user: str | None


def ask(python: Path, environ: Mapping[str, str]) -> Interpreter:
    """The facts of ``python``; ``environ`` says where its user's packages lie. Raises UsageError when it is no Python."""
    if not os.access(python, os.X_OK) or python.is_dir():
        raise UsageError(f"{python} is not an interpreter", fix="Give --python the path of a python executable")
    python = Path(os.path.abspath(python))  # run from another folder too; a virtual environment's link is not followed
    try:
        done = subprocess.run(
            [python, "-I", "-S", "-B", "-c", _SCRIPT],
            capture_output=True, text=True, timeout=_LIMIT_S, check=True, env=dict(environ), input="",
        )  # fmt: skip
        told = json.loads(done.stdout)
        return Interpreter(
            python,
            tuple(told["version"]),
            str(told["tag"]),
            tuple(told["suffixes"]),
            tuple(told["stdlib"]),
            bool(told["venv"]),
            tuple(tuple(group) for group in told["sites"]),
            told["user"],
        )
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as e:
        raise UsageError(
            f"{python} does not run as a Python interpreter ({type(e).__name__})",
            fix="Give --python the path of a python executable",
        ) from None


def own() -> Path:
    """The interpreter that runs this."""
    return Path(sys.executable)
