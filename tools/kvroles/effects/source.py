"""The Python files of vLLM releases, read from the cache: source archives, and wheels where there is none.

Nothing is downloaded here, and nothing unpacked: a scan needs the bytes only.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import NoSource


def archive_path(cache: Path, release: str) -> Path:
    return cache / "archives" / f"vllm-{release}.tar.gz"


def wheel_path(cache: Path, release: str) -> Path | None:
    """A wheel of ``release`` in the cache, whatever platform it is for: its Python files are the same."""
    return next(iter(sorted((cache / "wheels").glob(f"vllm-{release}-*.whl"))), None)


def python_files(source: Path) -> dict[str, bytes]:
    """``vllm/**/*.py`` of a release, from its source archive or wheel ``source``, by path below the tree.

    Raises NoSource when ``source`` is missing or damaged.
    """
    try:
        if source.suffix == ".whl":
            return dict(_wheel(source))
        return dict(_archive(source))
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error) as e:
        raise NoSource(
            f"The source {source} cannot be read: {e}",
            fix="Delete it, and fetch the release again with python tools/apply.py --vllm-rev",
        ) from None


def _archive(source: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(source, "r|gz") as tar:
        for member in tar:
            path = member.name.partition("/")[2]
            if member.isreg() and path.startswith("vllm/") and path.endswith(".py"):
                data = tar.extractfile(member)
                if data is not None:
                    yield path, data.read()


def _wheel(source: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(source) as wheel:
        for name in wheel.namelist():
            if name.startswith("vllm/") and name.endswith(".py"):
                yield name, wheel.read(name)
