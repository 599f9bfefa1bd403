"""Wheels of the small vLLM, and installations of them, made by means of their own: zipfile and pypa/installer.

The package is complete enough to be imported: its connector is constructed for real, beside stand-ins for the rest.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import sys
import zipfile
from pathlib import Path

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

from .files import put
from .tiny import CONNECTOR, pristine

TAG = "cp38-abi3-manylinux_2_28_x86_64"
LIBRARY = "vllm/_C.abi3.so"  # stands for the compiled parts
_LOGGER = b"""\
import logging


class _Once(logging.Logger):
    said = set()

    def warning_once(self, text):
        if text not in self.said:
            self.said.add(text)
            self.warning(text)


def init_logger(name):
    return _Once(name)
"""
_CONFIG = b"""\
class KVTransferConfig:
    def __init__(self, **kw):
        vars(self).update(kw)
"""
_CONFIG_OF_VENV = f"home = {Path(sys.executable).resolve().parent}\ninclude-system-site-packages = false\n"
_BASE = b"class KVConnectorRole:\n    SCHEDULER = 1\n"


def package(release: str) -> dict[str, bytes]:
    """The files of the package, importable and with a compiled part that does not compress."""
    noise = hashlib.shake_256(b"compiled").digest(160_000)
    files = {p: d for p, d in pristine(release).items() if p.startswith("vllm/")}
    for path in [p for p in files if p.count("/") > 1]:
        for depth in range(1, path.count("/")):
            files.setdefault("/".join(path.split("/")[: depth + 1]) + "/__init__.py", b"")
    v1 = "vllm/distributed/kv_transfer/kv_connector/v1"
    return files | {
        "vllm/__init__.py": f'__version__ = "{release}"\n'.encode(),
        "vllm/logger.py": _LOGGER,
        "vllm/config/__init__.py": _CONFIG,
        f"{v1}/base.py": _BASE,
        LIBRARY: noise,
    }


def record(files: dict[str, bytes], own: str) -> bytes:
    """RECORD for ``files``; ``own`` is its own path."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        rows.writerow([path, f"sha256={digest}", len(data)])
    rows.writerow([own, "", ""])
    return out.getvalue().encode()


def make(
    folder: Path,
    release: str = "0.22.1",
    *,
    name: str = "vllm",
    version: str | None = None,
    change: dict[str, bytes | None] | None = None,
    unrecorded: dict[str, bytes | None] | None = None,
) -> Path:
    """A wheel below ``folder``. ``change`` replaces or removes members, RECORD knowing; ``unrecorded`` without its knowing."""
    version = version or release
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    files = package(release) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: is a word\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {TAG}\n".encode(),
        f"{info}/entry_points.txt": b"[console_scripts]\nvllm = vllm.config:KVTransferConfig\n",
    }
    _changed(files, info, change)
    files[f"{info}/RECORD"] = record(files, f"{info}/RECORD")
    _changed(files, info, unrecorded)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace('-', '_')}-{version}-{TAG}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for member, data in files.items():
            one = zipfile.ZipInfo(member, (2026, 5, 30, 12, 0, 2))
            one.external_attr = (0o755 if member.endswith(".so") else 0o644) << 16
            one.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(one, data)
    return path


def _changed(files: dict[str, bytes], info: str, change: dict[str, bytes | None] | None) -> None:
    for path, data in (change or {}).items():
        if data is None:
            del files[path.format(info=info)]
        else:
            files[path.format(info=info)] = data


def environment(folder: Path) -> Path:
    """A folder laid out as a virtual environment of this interpreter, without running venv; returns site-packages."""
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(Path(sys.executable).resolve())
    put(folder, {"pyvenv.cfg": _CONFIG_OF_VENV.encode()})
    return site


def with_worker(folder: Path) -> Path:
    """The wheel with a module beside the connector."""
    worker = CONNECTOR.replace("connector.py", "worker.py")
    return make(folder, change={worker: b"class NixlConnectorWorker:\n    pass\n"})


def installed(folder: Path, wheel: Path) -> Path:
    """``wheel`` installed, bytecode compiled, in an environment made at ``folder``; returns its site-packages."""
    site = environment(folder)
    scheme = {"purelib": str(site), "platlib": str(site), "scripts": str(folder / "bin"), "data": str(folder)}
    destination = SchemeDictionaryDestination(
        scheme | {"headers": str(folder / "include")},
        str(folder / "bin" / "python"),
        "posix",
        bytecode_optimization_levels=(0,),
    )
    with WheelFile.open(wheel) as source:
        install(source=source, destination=destination, additional_metadata={"INSTALLER": b"test\n"})
    return site


def members(path: Path) -> dict[str, bytes]:
    """Every member of a zip file, inflated, by name."""
    with zipfile.ZipFile(path) as z:
        assert z.testzip() is None
        return {name: z.read(name) for name in z.namelist()}
