"""Writes the versions that CI installs: ``.ci/constraints.txt``, and ``.ci/lock/SET.txt`` with the hashes of their files.

    python .ci/lock.py             # after a change of pyproject.toml; known versions stay
    python .ci/lock.py --upgrade   # the newest that pyproject.toml allows

It needs uv (``pip install -e '.[dev]'``) and the package index. A lock serves every Python from 3.11.5 on and every
platform: it names the hashes of all files of a release, and no address.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

CI = Path(__file__).resolve().parent
# What is installed together: the extras of pyproject.toml, and packages beside them.
SETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pip": ((), ("pip",)),
    "run": ((), ("setuptools",)),  # the tools; setuptools builds this project
    "test": (("test",), ("setuptools",)),
    "all": (("test", "docs", "site", "dev"), ("setuptools",)),
    "fuzz": (("test", "fuzz"), ("setuptools",)),
    "release": ((), ("build", "setuptools")),
}
ONLY_PACKAGES = {"pip", "release"}  # without what this project needs to run


def main() -> int:
    """Compile all sets; returns 0, or uv's exit code when it failed."""
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    extras = [e for names, _ in SETS.values() for e in names]
    beside = {p for _, names in SETS.values() for p in names}
    constraints = CI / "constraints.txt"
    code = compiled(constraints, extras, beside, project=True, options=[*upgrade, "--no-annotate"])
    for name, (names, packages) in SETS.items():
        options = ["--generate-hashes", "--no-annotate", "--constraints", str(constraints), "--upgrade"]
        code = code or compiled(
            CI / "lock" / f"{name}.txt", names, packages, project=name not in ONLY_PACKAGES, options=options
        )
    return code


def compiled(out: Path, extras: Iterable[str], packages: Iterable[str], *, project: bool, options: list[str]) -> int:
    """One file made by uv; returns its exit code."""
    out.parent.mkdir(exist_ok=True)
    words = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11.5", "--no-header", *options]
    words += ["--output-file", str(out), *(w for e in sorted(set(extras)) for w in ("--extra", e))]
    words += [*(["pyproject.toml"] if project else []), "-"]
    done = subprocess.run(
        words, input="\n".join(sorted(packages)), cwd=CI.parent, text=True, stdout=subprocess.DEVNULL, check=False
    )
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
