"""What an install changed, copied to a folder at full paths, so that an image's last stage needs no more than one COPY.

A COPY cannot delete, so bytecode that was dropped is compiled anew, checked by hash (PEP 552), over the stale one. A COPY also
gives folders that are there already the mode and owner of those it copies (BuildKit, ``fsutil/copy``), so the folders on
the way are like their models too.
"""

from __future__ import annotations

import os
import py_compile
import shutil
import sys
from pathlib import Path

from kvroles.errors import DoesNotApply, os_error
from kvroles.vendored import receipt
from kvroles.vendored.installed.change import Outcome

_EPOCH = 315532800  # 1980-01-01, the time every copied file gets unless SOURCE_DATE_EPOCH names another


def write(outcome: Outcome, folder: Path) -> list[str]:
    """Copy the patched files, dist-info's RECORD and receipt, and fresh bytecode below ``folder``; returns full paths.

    An installation that needed nothing gives an empty folder. Raises DoesNotApply when the disk refuses, or when bytecode of
    another interpreter would have to be replaced.
    """
    found = outcome.installed
    paths: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if outcome.did != "installed":
            return []
        ours = found.site / found.info / receipt.FOLDER
        paths = [*outcome.files, found.record]
        paths += [str(p.relative_to(found.site)) for p in sorted(ours.rglob("*")) if p.is_file()]
        for path in paths:
            target = _below(folder, found.site / path)
            shutil.copyfile(found.site / path, target)
            _like(found.site / path, target)
        for pyc in outcome.dropped:
            _compile(pyc, outcome, folder)
            paths.append(pyc)
        stamp = int(os.environ.get("SOURCE_DATE_EPOCH", _EPOCH))
        for file in sorted(folder.rglob("*"), reverse=True):
            os.utime(file, (stamp, stamp))
    except OSError as e:
        raise os_error(f"The layer {folder} could not be written", e) from None
    return [str(found.site / path) for path in paths]


def _below(folder: Path, path: Path) -> Path:
    """Where ``path`` goes below ``folder``; the folders on the way are made like those they stand for."""
    path = path.absolute()
    for model in reversed(path.parents[:-1]):
        made = folder / str(model).lstrip("/")
        if not made.is_dir():
            made.mkdir()
            _like(model, made)
    return folder / str(path).lstrip("/")


def _like(model: Path, made: Path) -> None:
    """Give ``made`` owner and mode of ``model``; another owner's only where this user may (in an image: root)."""
    st = model.stat()
    if os.geteuid() == 0:
        os.chown(made, st.st_uid, st.st_gid)
    shutil.copymode(model, made)


def _compile(pyc: str, outcome: Outcome, folder: Path) -> None:
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
    target = _below(folder, site / pyc)
    py_compile.compile(
        str(site / source),
        cfile=str(target),
        optimize=int(optimisation),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
    )
    _like(site / source, target)
