"""The corpus of ``tests/corpus``, or as much of it as shows each kind of finding once."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1] / "corpus"
# A third of the files, in which each code that the whole corpus has is found.
EVERY_CODE = [
    str(ROOT / name) for name in ("dynamo", "go", "hcl", "notebooks", "powershell", "shell", "unread", "yaml")
]
