"""What the documentation says of all releases, brought up to a release that was ported: the table of proofs, README's range."""

from __future__ import annotations

from pathlib import Path

from kvroles.series.lock import Lock
from kvroles.tree import handles

from kvworkshop.verify import compat
from kvworkshop.verify.prove import Proof

_README = "README.md"


def write(root: Path, proof: Proof, before: Lock) -> list[str]:
    """Put ``proof`` into ``docs/data/compat.json`` and name its release in README; returns what changed.

    Nothing where ``root`` has no documentation. ``before`` is the lock that the range in README was written from.
    """
    changed: dict[str, bytes] = {}
    table, readme = root / compat.COMPAT, root / _README
    if table.exists():
        changed[str(compat.COMPAT)] = compat.dumps(compat.merge([proof], compat.unit_counts(root), compat.read(root)))
    if readme.exists():
        old, new = list(before.releases), list(Lock.load(root).releases)
        said = f"{old[0]} to {old[-1]}".encode()
        changed[_README] = readme.read_bytes().replace(said, f"{new[0]} to {new[-1]}".encode())
    written = [path for path, data in changed.items() if (root / path).read_bytes() != data]
    for path in written:
        handles.write(root / path, changed[path])
    return written
