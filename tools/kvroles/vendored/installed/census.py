"""Every byte that stands for an installed vLLM, read: what RECORD names, and what lies beside it in ``vllm`` and dist-info.

Files of other distributions are not read. Bytecode is left to ``bytecode``. A pipe or a device in place of a file is named,
never waited for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kvroles.errors import Unproven
from kvroles.vendored import receipt
from kvroles.vendored.installed.distribution import Installed
from kvroles.vendored.record import Record, is_bytecode

PACKAGE = "vllm"
_THREADS = 2  # hashing and reading let go of the interpreter's lock
_LARGEST = 1 << 40  # no file of a package; /proc/kcore is larger
_ABOVE = 3  # lib/python3.x/site-packages: no RECORD leads further up than the environment's own folder


@dataclass(frozen=True)
class Odd:
    """A file that is not as RECORD says. ``what`` says how; ``path`` is relative to the folder of packages."""

    path: str
    what: str


@dataclass(frozen=True)
class Census:
    """``read`` counts files whose bytes were read, ``as_recorded`` those that are what RECORD says, ``unvouched`` those that
    nothing says anything of; ``odd`` are the others. ``hashes`` is path -> SHA-256 of what was read."""

    hashes: dict[str, str]
    as_recorded: int
    unvouched: int
    odd: tuple[Odd, ...]
    links: int
    bytecode: tuple[str, ...]  # paths of .pyc files, not read here

    @property
    def read(self) -> int:
        return len(self.hashes)


def take(found: Installed, record: Record | None) -> Census:
    """Read every file of the package and of its metadata.

    Raises Unproven when RECORD leads out of the environment, or the package cannot be listed.
    """
    listed = {} if record is None else {e.path: e for e in record.entries}
    for path in listed:
        _inside(path, found)
    folders = [PACKAGE, *([found.info] if found.info else [])]
    present: dict[str, None] = {}
    links = 0
    for folder in folders:
        for path, is_link in _walk(found.site, folder):
            present[path] = None
            links += is_link
    wanted = [p for p in dict.fromkeys([*listed, *present]) if not _is_cache(p)]
    bytecode = tuple(p for p in present if _is_cache(p))
    with ThreadPoolExecutor(_THREADS) as pool:
        have = dict(zip(wanted, pool.map(lambda p: _hash(found.site, p), wanted, chunksize=1), strict=True))
    odd, good, unvouched = [], 0, 0
    for path, (digest, why) in have.items():
        entry = listed.get(path)
        if digest is None:
            if not path.startswith(("../", "/")):  # --target and --prefix put scripts elsewhere than RECORD says
                odd.append(Odd(path, why))
        elif entry is not None and entry.sha256 is not None:
            if entry.sha256 == digest:
                good += 1
            else:
                odd.append(Odd(path, "is not what RECORD says"))
        elif path in (found.record, *_installers_own(found)):
            good += 1  # RECORD gives itself no hash, and installers write these after it
        elif record is None:
            unvouched += 1
        else:
            odd.append(Odd(path, "is not in RECORD" if entry is None else "has no hash in RECORD"))
    hashes = {p: d for p, (d, _) in have.items() if d is not None}
    return Census(hashes, good, unvouched, tuple(sorted(odd, key=lambda o: o.path)), links, bytecode)


def _is_cache(path: str) -> bool:
    """Whether Python loads ``path`` only beside its source; other bytecode is a module of its own, and read as a file."""
    return is_bytecode(path) and "__pycache__" in path.split("/")


def _installers_own(found: Installed) -> tuple[str, ...]:
    return tuple(f"{found.info}/{n}" for n in ("INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"))


def _inside(path: str, found: Installed) -> None:
    parts = path.split("/")
    ups = next((i for i, p in enumerate(parts) if p != ".."), len(parts))
    elsewhere = path.startswith("/") and not Path(path).is_relative_to(found.site.parents[_ABOVE - 1])
    if ups > _ABOVE or ".." in parts[ups:] or elsewhere or "\0" in path:
        raise Unproven(
            f"RECORD of {found.site / found.info} is damaged: it names a file outside of the environment",
            expected="paths below the folder of packages, and scripts and data up to three folders above it",
            found=path[:200],
            fix=f"{found.laid_over} (--force-reinstall would take away what RECORD names)",
        )


def _walk(site: Path, top: str) -> Iterator[tuple[str, bool]]:
    """(path, whether a link) of every file below ``site/top``; links to folders are followed, each folder once."""
    seen: set[tuple[int, int]] = set()
    queue = [top]
    linked = {top} if os.path.islink(site / top) else set()
    while queue:
        folder = queue.pop()
        through = folder in linked
        try:
            st = os.stat(site / folder)
            if (st.st_dev, st.st_ino) in seen:
                continue
            seen.add((st.st_dev, st.st_ino))
            with os.scandir(site / folder) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}"
                    is_link = entry.is_symlink()
                    if entry.is_dir():
                        queue.append(path)
                        if through or is_link:
                            linked.add(path)
                    elif not path.startswith(f"{top}/{receipt.FOLDER}/") or top == PACKAGE:
                        yield path, through or is_link
        except OSError as e:
            raise Unproven(
                f"{site / folder} cannot be listed: {e.strerror or e}",
                fix="Run as a user who may read it: what was not read proves nothing",
            ) from None


def _hash(site: Path, path: str) -> tuple[str | None, str]:
    """(SHA-256, "") of a regular file, else (None, why there is none)."""
    try:
        fd = os.open(site / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, "is a link to nothing" if os.path.islink(site / path) else "is missing"
    except (OSError, ValueError) as e:
        return None, f"cannot be read ({getattr(e, 'strerror', None) or 'its name is none'})"
    with open(fd, "rb", buffering=0) as f:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None, "is no regular file"
        if status.st_size > _LARGEST:
            return None, "is larger than a file of a package can be"
        with contextlib.suppress(OSError):
            return hashlib.file_digest(f, "sha256").hexdigest(), ""
        return None, "cannot be read to its end"


def modules(paths: Iterator[str] | list[str], suffixes: tuple[str, ...]) -> dict[str, str]:
    """module -> path, parents first, for the Python files among ``paths``; bytecode in place of a source is one."""
    out: dict[str, str] = {}
    endings = (*suffixes, ".py", ".pyc")
    for path in paths:
        ending = next((e for e in endings if path.endswith(e)), None)
        if ending is None or not path.startswith(f"{PACKAGE}/"):
            continue
        name = path.removesuffix(ending).removesuffix("/__init__").replace("/", ".")
        if all(part.isidentifier() for part in name.split(".")):
            earlier = out.get(name)
            if earlier is None or _goes_first(path, earlier, endings):
                out[name] = path
    return dict(sorted(out.items(), key=lambda item: (item[0].count("."), item[0])))


def _goes_first(path: str, other: str, endings: tuple[str, ...]) -> bool:
    """Whether Python loads ``path`` rather than ``other``, of the same module: a package first, then by suffix."""

    def rank(p: str) -> tuple[bool, int]:
        ending = next(i for i, e in enumerate(endings) if p.endswith(e))
        return not p.removesuffix(endings[ending]).endswith("/__init__"), ending

    return rank(path) < rank(other)
