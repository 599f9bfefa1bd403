"""The program itself, as an input of what it builds: the commit of its checkout, and the digest of its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kvroles.digest import sha256, tree_digest
from kvroles.errors import KvRolesError
from kvroles.sources import clone, objects

_ROOT = Path(__file__).resolve().parents[4]
_FOLDERS = ("tools/", "patches/", "vllm_overlay/")


@dataclass(frozen=True)
class Checkout:
    """``commit`` of the checkout; ``clean`` when what the program is made of is as committed."""

    commit: str
    clean: bool


@cache
def checkout() -> Checkout | None:
    """The git checkout that this program runs from, or None where it is none."""
    if not (_ROOT / ".git").exists():
        return None
    try:
        here = clone.at(_ROOT)
        store = objects.Store(str(_ROOT), [here.objects])
        commit, tree, _ = objects.commit_of(store, here.resolve("HEAD") or "", "HEAD")
        committed = {p: i for p, (_, i) in objects.entries(store, tree).items() if p.startswith(_FOLDERS)}
    except (KvRolesError, OSError):
        return None
    return Checkout(commit, {p: objects.blob_id(data) for p, data in _files().items()} == committed)


@cache
def digest() -> str:
    """The digest of the program's files, patches included (see ``digest.tree_digest``); the same for equal checkouts."""
    return tree_digest({p: sha256(data) for p, data in _files().items()})


@cache
def _files() -> dict[str, bytes]:
    """The files that the program is made of, but for what a run or an installation leaves among them."""
    out: dict[str, bytes] = {}
    for top in _FOLDERS:
        for folder, folders, names in os.walk(_ROOT / top):
            folders[:] = [f for f in folders if f != "__pycache__" and not f.endswith(".egg-info")]
            for path in (Path(folder, name) for name in names if not name.endswith(".pyc")):
                if path.is_file():
                    out[path.relative_to(_ROOT).as_posix()] = path.read_bytes()
    return out
