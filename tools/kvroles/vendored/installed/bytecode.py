"""Compiled Python beside a source: which of it Python would load, and whether it is what the source compiles to."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvroles.errors import Unproven, os_error
from kvroles.said import shell
from kvroles.vendored.installed.search import Search

_WORKERS = 2
_LIMIT_S = 900.0

# Run by the interpreter that would load the bytecode, without start-up code. Format of a .pyc: PEP 552. Code objects are
# compared part by part: equal ones differ in the name of the file they were compiled from and in how marshal shares objects.
_SCRIPT = r"""
import _imp, importlib.util, json, marshal, sys, types, warnings
warnings.simplefilter("ignore")
PARTS = [n for n in ("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_nlocals", "co_stacksize", "co_flags",
    "co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_name", "co_qualname", "co_firstlineno",
    "co_exceptiontable", "co_linetable", "co_lnotab") if hasattr(types.CodeType, n)]
if "co_linetable" in PARTS:
    PARTS.remove("co_lnotab")
def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, types.CodeType):
        return all(getattr(a, n) == getattr(b, n) for n in PARTS) and same(a.co_consts, b.co_consts)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, frozenset):
        return sorted(map(key, a)) == sorted(map(key, b))
    return repr(a) == repr(b) if isinstance(a, (float, complex)) else a == b
def key(x):
    return (type(x).__name__, repr(sorted(map(key, x))) if isinstance(x, frozenset) else repr(x))
def loads(head, size, mtime, source):
    flags = int.from_bytes(head[4:8], "little")
    if flags & 1:
        return not flags & 2 or head[8:16] == _imp.source_hash(importlib.util._RAW_MAGIC_NUMBER, source)
    return flags == 0 and head[8:12] == (mtime & 0xFFFFFFFF).to_bytes(4, "little") and (
        head[12:16] == (size & 0xFFFFFFFF).to_bytes(4, "little"))
import os
out = {"same": 0, "unused": 0, "wrong": [], "odd": []}
for source, pyc, level in json.load(sys.stdin):
    try:
        with open(pyc, "rb") as f:
            data = f.read()
        if data[:4] != importlib.util.MAGIC_NUMBER:
            out["unused"] += 1
            continue
        st = os.stat(source)
        with open(source, "rb") as f:
            text = f.read()
        if not loads(data[:16], st.st_size, int(st.st_mtime), text):
            out["unused"] += 1
            continue
        try:
            code = marshal.loads(data[16:])
        except (ValueError, EOFError, TypeError):
            out["wrong"].append(pyc)
            continue
        made = compile(text, source, "exec", dont_inherit=True, optimize=level)
        if same(made, code):
            out["same"] += 1
        else:
            out["wrong"].append(pyc)
    except Exception as e:
        out["odd"].append([pyc, type(e).__name__])
print(json.dumps(out))
"""


@dataclass(frozen=True)
class Checked:
    """Counts of bytecode: ``same`` as its source compiles to, ``unused`` by Python as it is, made by ``others`` (another
    Python's). ``wrong`` are paths Python would load that are not; ``odd`` could not be checked."""

    same: int
    unused: int
    others: int
    wrong: tuple[str, ...]
    odd: tuple[str, ...]

    def __add__(self, more: Checked) -> Checked:
        return Checked(
            self.same + more.same,
            self.unused + more.unused,
            self.others + more.others,
            self.wrong + more.wrong,
            self.odd + more.odd,
        )


def beside(site: Path, path: str) -> list[str]:
    """Every ``.pyc`` of the source ``path`` below ``site``, of any interpreter and optimisation, sorted."""
    folder, _, name = path.rpartition("/")
    cache = f"{folder}/__pycache__" if folder else "__pycache__"
    stem = name.removesuffix(".py")
    try:
        names = os.listdir(site / cache)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(f"{cache}/{n}" for n in names if n.startswith(f"{stem}.") and n.endswith(".pyc"))


def drop(site: Path, paths: list[str]) -> list[str]:
    """Delete the bytecode of the sources ``paths``; returns what was there. Deleting it is safe at any time."""
    gone = [pyc for path in paths for pyc in beside(site, path)]
    try:
        for pyc in gone:
            with contextlib.suppress(FileNotFoundError):
                (site / pyc).unlink()
    except OSError as e:
        raise os_error(
            "Stale bytecode could not be deleted", e, "Delete it, or make its folder writable", unchanged=False
        ) from None
    return gone


def check(search: Search, site: Path, pycs: Collection[str], sources: Collection[str]) -> Checked:
    """Compare the bytecode ``pycs`` below ``site`` with what its source compiles to, in the interpreter that would load it.

    With PYTHONPYCACHEPREFIX in the environment Python reads bytecode there: then that of ``sources`` is what is compared.
    Raises Unproven when the interpreter does not answer.
    """
    tag = search.interpreter.tag
    prefix = None if search.run.isolated else search.run.environ.get("PYTHONPYCACHEPREFIX")
    if prefix:
        root = search.run.folder / prefix
        pycs = [str(p) for s in sources if s.endswith(".py") for p in _prefixed(root, site / s)]
    jobs, others, lone = [], 0, []
    for pyc in pycs:
        folder, _, name = pyc.rpartition("/")
        stem, dot, rest = name.removesuffix(".pyc").partition(".")
        made_by, _, level = rest.partition(".opt-")
        if prefix:
            source = "/" + str(Path(folder, f"{stem}.py").relative_to(root))
        elif not folder.endswith("__pycache__"):
            lone.append(pyc)  # loaded only where there is no source: the census names it
            continue
        else:
            source = str(site / folder.removesuffix("/__pycache__") / f"{stem}.py")
        if made_by != tag or not dot:
            others += 1
        elif not os.path.isfile(source):
            lone.append(pyc)
        else:
            jobs.append((source, str(site / pyc), int(level) if level.isdecimal() else 0))
    parts = [jobs[i::_WORKERS] for i in range(_WORKERS)] if len(jobs) > 50 else [jobs] if jobs else []
    with ThreadPoolExecutor(_WORKERS) as pool:
        told = list(pool.map(lambda part: _run(search, site, part), parts))
    return Checked(
        sum(t["same"] for t in told),
        sum(t["unused"] for t in told),
        others,
        tuple(sorted(p for t in told for p in t["wrong"])),
        tuple(sorted(f"{p} ({why})" for t in told for p, why in t["odd"])),
    )


def _prefixed(root: Path, source: Path) -> list[Path]:
    folder = root / str(source.parent.absolute()).lstrip("/")
    with contextlib.suppress(OSError):
        return sorted(folder / n for n in os.listdir(folder) if n.startswith(f"{source.stem}.") and n.endswith(".pyc"))
    return []


def _run(search: Search, site: Path, jobs: list[tuple[str, str, int]]) -> dict[str, Any]:
    python = search.interpreter.python
    try:
        done = subprocess.run(
            [python, "-I", "-S", "-B", "-c", _SCRIPT],
            input=json.dumps(jobs), capture_output=True, text=True, timeout=_LIMIT_S, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)  # type: ignore[no-any-return]
    except (OSError, subprocess.SubprocessError, ValueError) as e:
        raise Unproven(
            f"{python} gave no answer about the bytecode it would load ({type(e).__name__})",
            fix="Delete the bytecode, which Python makes again: "
            f"`{shell('find', str(site / 'vllm'), '-name', '*.pyc', '-delete')}`",
        ) from None
