"""Evidence that lies in other projects: a file of theirs at a fixed commit, and a pattern that it holds or does not hold.

It is checked in clones, by their objects alone: a machine without a network can check it, and nothing that
those projects change later makes a claim about that commit wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvroles.errors import NoSource
from kvroles.sources import clone, objects

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Elsewhere:
    """``pattern`` (a regular expression) is in ``file`` of ``repository`` (OWNER/NAME on GitHub) at ``commit``, or ``absent``."""

    repository: str
    commit: str
    file: str
    pattern: str
    absent: bool

    @property
    def address(self) -> str:
        return f"https://github.com/{self.repository}/blob/{self.commit}/{self.file}"


def load(raw: dict[str, Any]) -> Elsewhere:
    """One table of ``[[claim.elsewhere]]``. Raises ValueError or KeyError for another shape."""
    made = Elsewhere(raw["repository"], raw["commit"], raw["file"], raw["pattern"], raw.get("absent", False))
    if not _REPOSITORY.fullmatch(made.repository) or not _COMMIT.fullmatch(made.commit):
        raise ValueError("repository is OWNER/NAME, commit has 40 hexadecimal digits")
    return made


def problem(at: Elsewhere, clones: Path) -> str | None:
    """What does not hold of it in ``clones``/OWNER/NAME, a sentence; None where it holds."""
    where = f"{at.file} of {at.repository} at {at.commit[:12]}"
    try:
        data = _file(clones / at.repository, at)
    except NoSource as e:
        return f"{where} cannot be read in {clones / at.repository}: {e}"
    if data is None:
        return f"{where} is not there."
    found = re.search(at.pattern, data.decode("utf-8", "replace"), re.MULTILINE) is not None
    if found == at.absent:
        return f"{where} {'holds' if found else 'does not hold'} {at.pattern!r}."
    return None


def _file(folder: Path, at: Elsewhere) -> bytes | None:
    here = clone.at(folder)
    store = objects.Store(str(folder), [here.objects])
    _, tree, _ = objects.commit_of(store, at.commit, at.commit)
    _, id_ = objects.entries(store, tree).get(at.file, ("", ""))
    return store.one(id_)[1] if id_ else None


def problems(all_of_them: Iterable[Elsewhere], clones: Path) -> tuple[list[str], list[str]]:
    """What does not hold, and the repositories of which there is no clone."""
    out, missing = [], set()
    for at in all_of_them:
        if not (clones / at.repository).exists():
            missing.add(at.repository)
        elif found := problem(at, clones):
            out.append(found)
    return out, sorted(missing)
