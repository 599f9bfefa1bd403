"""Where Python will look for ``vllm`` when it runs as it is meant to, and which code it runs before: found by reading files.

No code of the environment is run for it. Start-up code that changes the search only when it runs (an import hook in a ``.pth``, a
sitecustomize that changes ``sys.path``) is named here; ``asked`` sees what it does.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kvroles.digest import sha256
from kvroles.vendored.installed.interpreter import Interpreter

CUSTOMIZE = ("sitecustomize", "usercustomize")
_STDLIB = "the standard library"
WORKING = "the working directory"  # of 'python -m vllm...'
USERS = "the user's folder of packages"
COMMAND = "the folder of the command vllm"  # first on the path of a script
_LARGEST = 1 << 30  # of a file that is read whole here: a .pth, a RECORD, a script
_DPKG = Path("/var/lib/dpkg/info")


@dataclass(frozen=True)
class Run:
    """How vLLM will be run: environment, working directory, what stands before the interpreter (an entry point).

    ``isolated`` leaves all of it out, as ``python -I`` does.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: Path = field(default_factory=Path.cwd)
    through: tuple[str, ...] = ()
    isolated: bool = False
    words: tuple[str, ...] = ()  # the options that ask for all this again


@dataclass(frozen=True)
class Place:
    """A folder (or archive) that is searched, and what puts it there."""

    path: Path
    why: str


@dataclass(frozen=True)
class Startup:
    """A file whose code Python runs before any program's. ``owner`` is who vouches for its bytes, or None."""

    path: Path
    kind: str  # .pth, sitecustomize, usercustomize, or module: imported by one of these
    sha256: str
    owner: str | None


@dataclass(frozen=True)
class Search:
    """The places in order, and the start-up code."""

    interpreter: Interpreter
    run: Run
    places: tuple[Place, ...]
    startup: tuple[Startup, ...]
    waits_for: Path | None = None  # a ``.pth`` that is a pipe or a device: Python would never come to its end

    def first(self) -> tuple[Place, Path] | None:
        """The first place that holds a module or package ``vllm``, and what Python would load there."""
        for place in self.places:
            file = held(place.path, "vllm", self.interpreter.suffixes)
            if file is not None:
                return place, file
        return None

    def why(self, folder: Path) -> str | None:
        """What puts ``folder`` on the path, or None when it is not on it."""
        return next((p.why for p in self.places if same(p.path, folder)), None)


def of(interpreter: Interpreter, run: Run) -> Search:
    """The search of ``interpreter``, run as ``run`` says."""
    places: list[Place] = []
    pth: list[Path] = []
    env = {} if run.isolated else run.environ
    if not run.isolated and not env.get("PYTHONSAFEPATH"):
        places.append(Place(run.folder, WORKING))
        places += [Place(folder, COMMAND) for folder in _command_folders(interpreter, run)]
    if given := env.get("PYTHONPATH"):
        places += [Place(run.folder / part, "PYTHONPATH") for part in given.split(os.pathsep)]
    places += [Place(Path(p), _STDLIB) for p in interpreter.stdlib]
    users = interpreter.user if not run.isolated and not env.get("PYTHONNOUSERSITE") else None
    groups = list(interpreter.sites)
    if not interpreter.venv:
        _folder(users, USERS, places, pth)
    for number, group in enumerate(groups):
        if interpreter.venv and number == 1:
            _folder(users, USERS, places, pth)
        for site in group:
            _folder(site, "the environment's folder of packages", places, pth)
    startup = tuple(_startup(interpreter, places, pth, user=users is not None))
    return Search(interpreter, run, tuple(places), startup, next(filter(_is_endless, pth), None))


def _is_endless(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _folder(site: str | None, why: str, places: list[Place], pth: list[Path]) -> None:
    """``site`` and what its ``.pth`` files add, as ``site.addsitedir`` does it."""
    if site is None or not os.path.isdir(site):
        return
    folder = Path(site)
    places.append(Place(folder, why))
    with contextlib.suppress(OSError):
        for name in sorted(n for n in os.listdir(site) if n.endswith(".pth")):
            pth.append(folder / name)
            for line in _lines(folder / name):
                added = folder / line.strip()
                if line.strip() and not line.startswith(("#", "import ", "import\t")) and added.exists():
                    places.append(Place(added, str(folder / name)))


def _lines(path: Path) -> list[str]:
    data = read(path)
    return [] if data is None else data.decode("utf-8-sig", "replace").splitlines()


def read(path: Path) -> bytes | None:
    """The bytes of a regular file, or None; a pipe or a device is never waited for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as f:
            status = os.fstat(fd)
            return f.read() if stat.S_ISREG(status.st_mode) and status.st_size <= _LARGEST else None
    except (OSError, ValueError):
        return None


def _startup(interpreter: Interpreter, places: list[Place], pth: list[Path], *, user: bool) -> list[Startup]:
    out = []
    for path in pth:
        if any(line.startswith(("import ", "import\t")) for line in _lines(path)):
            out.append(_one(path, ".pth", None))
    for name in CUSTOMIZE if user else CUSTOMIZE[:1]:
        for place in places:
            if place.why in (WORKING, COMMAND):
                continue  # put on the path after the start-up code has run
            file = held(place.path, name, interpreter.suffixes)
            if file is not None:
                out.append(_one(file, name, "the interpreter" if place.why == _STDLIB else None))
                break
    return out


def started(search: Search, loaded: Mapping[str, str]) -> tuple[Startup, ...]:
    """What reading did not find of the start-up code: the modules (name -> file) that were ``loaded`` before any program ran,
    less the standard library's and those that are known."""
    library = [p.path for p in search.places if p.why == _STDLIB]
    known = [s.path for s in search.startup]
    out: dict[Path, Startup] = {}
    for name, file in sorted(loaded.items()):
        path = _on_disk(Path(file))
        if path is None or _of_the_library(path, library) or any(same(path, k) for k in known):
            continue
        out.setdefault(path, _one(path, name if name in CUSTOMIZE else "module", None))
    return tuple(out.values())


def _of_the_library(path: Path, library: list[Path]) -> bool:
    inside = (path.relative_to(folder).parts[:1] for folder in library if path.is_relative_to(folder))
    return any(first not in (("site-packages",), ("dist-packages",)) for first in inside)


def _on_disk(path: Path) -> Path | None:
    """``path``, or the archive that holds it."""
    return next((p for p in (path, *path.parents) if p.is_file()), None)


def _one(path: Path, kind: str, owner: str | None) -> Startup:
    data = read(path) or b""
    return Startup(path, kind, sha256(data), owner or _owner(path, data))


def _owner(path: Path, data: bytes) -> str | None:
    """The distribution whose RECORD lists ``path`` with these bytes, or the Debian package that says so of it."""
    from kvroles.vendored.record import Record  # lazy: only environments with start-up code need it

    with contextlib.suppress(OSError):
        for info in sorted(info for folder in path.parents for info in folder.glob("*.dist-info")):
            text = read(info / "RECORD") or b""
            if path.name.encode() not in text:
                continue
            with contextlib.suppress(Exception):
                entry = Record.parse(text, str(info), "").entry(path.relative_to(info.parent).as_posix())
                if entry is not None and entry.sha256 == sha256(data):
                    return info.name.removesuffix(".dist-info")
        if path.is_relative_to("/usr"):
            line = f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {str(path).lstrip('/')}".encode()
            for sums in _DPKG.glob("*.md5sums"):
                if line in (read(sums) or b"").splitlines():
                    return f"Debian package {sums.stem}"
    return None


def held(folder: Path, name: str, suffixes: tuple[str, ...]) -> Path | None:
    """The file Python would load for ``import name`` from ``folder``: a package before a module, compiled before source
    (``importlib.machinery.FileFinder``); for an archive, the archive. None where there is none."""
    if not folder.is_dir():
        archive = _on_disk(folder)  # zipimport: a folder in an archive may stand on the path too
        with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(archive or "") as z:
            inside = "".join(f"{part}/" for part in folder.relative_to(archive or "").parts)
            wanted = (f"{name}/__init__.py", f"{name}.py", f"{name}/__init__.pyc", f"{name}.pyc")
            if not {inside + one for one in wanted}.isdisjoint(z.namelist()):
                return archive
        return None
    endings = (*suffixes, ".py", ".pyc")
    candidates = [folder / name / f"__init__{e}" for e in endings] + [folder / f"{name}{e}" for e in endings]
    return next((c for c in candidates if c.is_file()), None)


def same(a: Path, b: Path) -> bool:
    """Whether both name one folder or file."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False


def _command_folders(interpreter: Interpreter, run: Run) -> list[Path]:
    """Where the command ``vllm`` lies that this interpreter runs: beside it, or on the search path."""
    beside = interpreter.python.parent
    folders = [beside] if (beside / "vllm").is_file() else []
    script = _command(run)
    if script is not None and script.parent not in folders and _interpreter(script) == interpreter.python:
        folders.append(script.parent)
    return folders


_SHEBANG = re.compile(rb"#!\s*(\S*python[\d.]*)\s*(?:\n|$|-)")


def command_python(run: Run) -> Path | None:
    """The interpreter that the command ``vllm`` on the path is run by, or None when there is no such script."""
    script = _command(run)
    return None if script is None else _interpreter(script)


def _command(run: Run) -> Path | None:
    found = shutil.which("vllm", path=run.environ.get("PATH", os.defpath))
    return None if found is None else Path(os.path.abspath(found))


def _interpreter(script: Path) -> Path | None:
    m = _SHEBANG.match(read(script) or b"")
    return Path(os.fsdecode(m[1])) if m else None
