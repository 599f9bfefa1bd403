"""The same input gives the same bytes: under another user, mask, time zone, file system, Python, hash seed, and run after run.

Compared are a whole tree with its modes and times and the digest that the tool prints, a vendored wheel with what lies beside it,
and the zipapp of an image's build context.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import wheels
from support.files import contents, readable, snapshot
from support.tiny import Tiny

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Way:
    """How a run differs from the first."""

    prefix: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    umask: int = 0o022
    python: str = sys.executable
    room: Path | None = None


def pythons() -> list[str]:
    """The other interpreters of this machine that the tools run on, newest last."""
    found = {}
    names = [f"python3.{minor}" for minor in range(11, 30)]
    rooms = [*os.environ.get("PATH", "").split(os.pathsep), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    for path in (os.path.join(room, name) for room in rooms for name in names):
        if os.access(path, os.X_OK):
            said = subprocess.run([path, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False)  # fmt: skip
            if said.returncode == 0:
                found[tuple(map(int, said.stdout.split()))] = path
    return [found[v] for v in sorted(found) if v >= (3, 11) and v != sys.version_info[:2]]


def another_user() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("running as another user needs root and setpriv")
    return (setpriv, "--reuid=12345", "--regid=12345", "--clear-groups")


def other_disk() -> Path:
    shm = Path("/dev/shm")
    here = Path(os.environ.get("TMPDIR", "/tmp"))
    for room in (shm, Path("/var/tmp"), Path.home()):
        if room.is_dir() and os.access(room, os.W_OK) and room.stat().st_dev != here.stat().st_dev:
            return room
    pytest.skip("there is one file system here only")


def newest() -> str:
    found = pythons()
    if not found:
        pytest.skip("there is no Python here that is newer than 3.11 beside this one")
    return found[-1]


WAYS: dict[str, Callable[[], Way]] = {
    "again": Way,
    "another user": lambda: Way(prefix=another_user()),
    "a strict umask": lambda: Way(umask=0o077),
    "no umask": lambda: Way(umask=0),
    "a time zone ahead": lambda: Way(env=(("TZ", "Pacific/Kiritimati"),)),
    "a time zone behind": lambda: Way(env=(("TZ", "XXX+11:30"),)),
    "another file system": lambda: Way(room=other_disk()),
    "the newest Python": lambda: Way(python=newest()),
    "another hash seed": lambda: Way(env=(("PYTHONHASHSEED", "77"),)),
    "another locale": lambda: Way(env=(("LC_ALL", "C"), ("PYTHONUTF8", "0"))),
    "another day": lambda: Way(env=(("SOURCE_DATE_EPOCH", "1"),)),
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[[Way], Path]]:
    """A folder that the run may write to, on the file system it asks for."""
    made: list[Path] = []

    def make(way: Way) -> Path:
        folder = (way.room or tmp_path) / f"kv-roles-{os.getpid()}-{len(made)}"
        folder.mkdir()
        folder.chmod(0o777)
        made.append(folder)
        return folder

    yield make
    for folder in made:
        shutil.rmtree(folder)


def run(way: Way, script: Path, *argv: str | Path, cwd: Path) -> str:
    """What the tool prints. ``PYTHONPATH`` is ours: the libraries that build wheels are pure Python, and as pinned."""
    libraries = os.pathsep.join(p for p in sys.path if p.endswith("site-packages"))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": libraries,
        **dict(way.env),
    }
    done = subprocess.run(
        [*way.prefix, way.python, str(script), *map(str, argv)],
        cwd=cwd, env=env, umask=way.umask, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def products(tiny: Tiny, wheel: Path, way: Way, room: Path) -> dict[str, Any]:
    """Everything the tools make, as values that can be compared."""
    vendor = tiny.apply.with_name("vendor.py")
    said = run(
        way,
        tiny.apply,
        "--vllm-rev",
        "0.22.1",
        "--offline",
        "--cache-dir",
        tiny.cache,
        "--output",
        "tree",
        "--json",
        cwd=room,
    )
    run(way, vendor, "wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", "wheel", cwd=room)
    run(
        way,
        vendor,
        "image",
        "--base",
        "example.org/vllm@sha256:" + "0" * 64,
        "--vllm-rev",
        "0.22.1",
        "--output",
        "image",
        cwd=room,
    )
    pyz = (room / "image/apply.pyz").read_bytes()
    times = {
        str(p.relative_to(room)): p.stat().st_mtime_ns for p in (room / "tree").rglob("*") if ".kv-roles" not in p.parts
    }
    return {
        "digest": json.loads(said)["tree"],
        "tree": snapshot(room / "tree"),
        "times": times,
        "wheel": {p: hashlib.sha256(d).hexdigest() for p, d in contents(room / "wheel").items()},
        "zipapp": hashlib.sha256(pyz).hexdigest(),
        "image": contents(room / "image"),
    }


@pytest.mark.parametrize("name", WAYS)
def test_the_same_input_gives_the_same_bytes_elsewhere(
    tiny: Tiny,
    tmp_path: Path,
    place: Callable[[Way], Path],
    name: str,
    figures: Callable[[str, str, dict[str, Any]], None],
) -> None:
    wheel = wheels.make(tmp_path / "in")
    readable(tiny.root.parent)
    readable(tmp_path)
    for folder in [tmp_path, *tmp_path.parents, tiny.root, *tiny.root.parents]:
        if folder.owner() == "root" and os.access(folder, os.W_OK) and folder.stat().st_mode & 0o011 != 0o011:
            folder.chmod(folder.stat().st_mode | 0o011)
    first, second = (products(tiny, wheel, way, place(way)) for way in (Way(), WAYS[name]()))
    for what in first:
        assert first[what] == second[what], what
    assert re.fullmatch(r"[0-9a-f]{64}", first["digest"])
    figures("reproducibility", name, {"runs": 2, "trees": 1, "wheels": 1, "zipapps": 1})
