"""The project's own repository: where it lies, and that what the maintainers' tools lock and check lies in it."""

from __future__ import annotations

import os
from pathlib import Path

from kvroles.errors import Unproven

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("patches", "vllm_overlay")


def refuse_links(root: Path) -> None:
    """Raises Unproven for a link in one of ``FOLDERS`` below ``root``: its target, which may be any file of this machine, would
    be locked and checked as the project's own."""
    for folder in FOLDERS:
        for where, folders, files in os.walk(root / folder):
            for name in sorted([*folders, *files]):
                path = Path(where, name)
                if path.is_symlink():
                    raise Unproven(
                        f"{path.relative_to(root)} is a link",
                        expected="a file of the repository",
                        found=f"a link to {os.readlink(path)}",
                        fix="Delete the link, and put the file itself there",
                    )
