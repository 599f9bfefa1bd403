"""A wheel as it was published: the command that gets it from the index again."""

from __future__ import annotations

import re

from kvroles.said import shell

FOLDER = "fetched"  # one of its own: pip takes a damaged file of the same name for the one it was asked for


def again(name: str, python: str = "python3") -> str:
    """What to do about a wheel of the file name ``name`` that is not as it was published."""
    return f"Fetch it again, and give --wheel the file in the folder {FOLDER}: `{command(name, python)}`"


def command(name: str, python: str = "python3") -> str:
    """pip's command for the wheel whose file name is ``name``; of a name that gives no version the newest."""
    m = re.fullmatch(r"(vllm[a-z_]*)-([0-9][0-9a-z.]*)(?:\+[a-z0-9.]+)?-.*\.whl", name.rpartition("/")[2])
    wanted = f"{m[1].replace('_', '-')}=={m[2]}" if m else "vllm"
    words = [python, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", FOLDER, wanted]
    return shell(*words)
