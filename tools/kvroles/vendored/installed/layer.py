"""What an install changed, copied to a folder at full paths, so that an image's last stage needs no more than one COPY.

A COPY cannot delete, so bytecode that was dropped is compiled anew, checked by hash (PEP 552), over the stale one. A COPY also
gives folders that are there already the mode and owner of those it copies (BuildKit, ``fsutil/copy``), so the folders on
the way are like their models too.
"""

from __future__ import annotations

import errno
import os
import py_compile
import shutil
import sys
from pathlib import Path

from kvroles.errors import DoesNotApply, os_error
from kvroles.vendored.installed.change import Outcome
from kvroles.vendored.installed.distribution import Installed

_EPOCH = 315532800  # 1980-01-01, the time every copied file gets unless SOURCE_DATE_EPOCH names another


def check(found: Installed, folder: Path) -> None:
    """Raise DoesNotApply, before anything is changed, where something is in the way of the layer ``folder``."""
    at = folder
    for part in ("", *found.site.parts[1:], *["vllm"]):
        at = at / part
        if (at.is_symlink() and at != folder) or (at.exists() and not at.is_dir()):
            raise DoesNotApply(
                f"{at} is in the way of the layer {folder}: it is {'a link' if at.is_symlink() else 'no folder'}",
                expected="a folder, or nothing",
                fix="Give --layer a folder of its own; nothing was changed",
            )


def write(outcome: Outcome, folder: Path) -> list[str]:
    """Copy the patched files, dist-info's RECORD and receipt, and fresh bytecode below ``folder``; returns full paths.

    An installation that needed nothing gives an empty folder. What lies in ``folder`` already keeps its time, and no link in it
    is followed. Raises DoesNotApply when the disk refuses, or when bytecode of another interpreter would have to be replaced.
    """
    found = outcome.installed
    paths: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if outcome.did != "installed":
            return []
        paths = [*outcome.files, *([found.record] if found.info else []), *outcome.added]
        made: list[Path] = []
        for path in paths:
            target = _below(folder, found.site / path, made)
            _copy(found.site / path, target)
            made.append(target)
        for pyc in outcome.dropped:
            made.append(_compile(pyc, outcome, folder, made))
            paths.append(pyc)
        stamp = int(os.environ.get("SOURCE_DATE_EPOCH", _EPOCH))
        for file in sorted(made, reverse=True):
            os.utime(file, (stamp, stamp), follow_symlinks=False)
    except OSError as e:
        raise os_error(
            f"The layer {folder} could not be written", e, "Choose another with --layer", unchanged=False
        ) from None
    return [str(found.site / path) for path in paths]


def _copy(source: Path, target: Path) -> None:
    """A new file at ``target``: what lies there goes, and is not written through."""
    target.unlink(missing_ok=True)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with source.open("rb") as f, open(fd, "wb") as t:
        shutil.copyfileobj(f, t)
    _like(source, target)


def _below(folder: Path, path: Path, created: list[Path]) -> Path:
    """Where ``path`` goes below ``folder``; the folders on the way that are missing are made like those they stand for, and
    added to ``created``."""
    path = path.absolute()
    for model in reversed(path.parents[:-1]):
        at = folder / str(model).lstrip("/")
        if at.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, "a link is in the way", str(at))
        if not at.is_dir():
            at.mkdir()
            _like(model, at)
            created.append(at)
    return folder / str(path).lstrip("/")


def _like(model: Path, made: Path) -> None:
    """Give ``made`` owner and mode of ``model``; another owner's only where this user may (in an image: root)."""
    st = model.stat()
    if os.geteuid() == 0:
        os.chown(made, st.st_uid, st.st_gid)
    shutil.copymode(model, made)


def _compile(pyc: str, outcome: Outcome, folder: Path, created: list[Path]) -> Path:
    site = outcome.installed.site
    source = next(
        p for p in outcome.files if p.rpartition("/")[2].removesuffix(".py") == pyc.rpartition("/")[2].split(".")[0]
    )
    tag = pyc.rpartition("/")[2].split(".")[1]
    if tag != sys.implementation.cache_tag:
        raise DoesNotApply(
            f"{site / pyc} was compiled by another interpreter ({tag}) than this ({sys.implementation.cache_tag})",
            fix="Run this with the interpreter that runs vLLM",
        )
    optimisation = pyc.split(".opt-")[1][0] if ".opt-" in pyc else "0"
    target = _below(folder, site / pyc, created)
    target.unlink(missing_ok=True)
    py_compile.compile(
        str(site / source),
        cfile=str(target),
        optimize=int(optimisation),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
    )
    _like(site / source, target)
    return target
