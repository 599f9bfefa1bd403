"""The inputs that fuzzing found, in one file a target: ``tests/fuzz/inputs/TARGET.txt``, a Python bytes literal a line.

A file has two parts. ``# mended``: each of these broke the parser once. ``# reach``: the smallest inputs that together reach
every line of ours that was reached.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOM = Path(__file__).resolve().parents[1] / "fuzz" / "inputs"


@dataclass(frozen=True)
class Kept:
    """The inputs of one target."""

    mended: tuple[bytes, ...] = ()
    reach: tuple[bytes, ...] = ()

    def __iter__(self) -> Iterator[bytes]:
        return iter((*self.mended, *self.reach))


def kept(target: str) -> Kept:
    """What the repository keeps for ``target``; empty where nothing is kept yet."""
    parts: dict[str, list[bytes]] = {"# mended": [], "# reach": []}
    path = ROOM / f"{target}.txt"
    part = parts["# reach"]
    for line in path.read_text(encoding="ascii").splitlines() if path.exists() else ():
        if line.startswith("#"):
            part = parts[line]
        else:
            part.append(ast.literal_eval(line))
    return Kept(*(tuple(p) for p in parts.values()))


def keep(target: str, inputs: Kept) -> None:
    """Write what is kept for ``target``, the shortest input of each part first."""
    lines = []
    for title, part in (("# mended", inputs.mended), ("# reach", inputs.reach)):
        if part:
            lines += [title, *(repr(data) for data in sorted(set(part), key=lambda d: (len(d), d)))]
    ROOM.mkdir(exist_ok=True)
    (ROOM / f"{target}.txt").write_text("\n".join(lines) + "\n", encoding="ascii")


def name_of(data: bytes) -> str:
    """A short name of an input: it stays when other inputs come or go."""
    return hashlib.sha256(data).hexdigest()[:10]
