"""Where the project's own data, the user's cache and the machine's programs lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from kvroles.console import search_path
from kvroles.errors import UsageError
from kvroles.said import shell

OWN = ".kv-roles"  # our folder in a tree: receipt, and while a run is writing, its journal
RECEIPT = "receipt.json"  # in it


class Readable(Protocol):
    """The part of ``pathlib.Path`` that ``zipfile.Path`` offers too, so that a zipapp can carry the series."""

    @property
    def name(self) -> str: ...
    def __truediv__(self, key: str, /) -> Readable: ...
    def read_bytes(self) -> bytes: ...
    def is_file(self) -> bool: ...
    def is_dir(self) -> bool: ...


def project_root() -> Readable:
    """The folder that holds ``patches/`` and ``vllm_overlay/``: the checkout, the wheel's data, or the inside of apply.pyz."""
    here = Path(__file__).resolve()
    installed = here.parent / "data"
    if installed.is_dir():
        return installed
    for parent in here.parents:
        if parent.is_file():  # a module lies below a file only in a zipapp
            # lazy: slow to load, and a checkout has no use for it
            import zipfile

            return zipfile.Path(parent)
    return here.parents[2]


def program(tool: str, *argv: str) -> str:
    """The command that runs ``tool`` (``apply``, ``vendor``, ``verify``, ``port``) with ``argv`` where this is installed."""
    root = project_root()
    if not isinstance(root, Path):
        start = ["python", "apply.pyz"]
    elif root.name == "data":
        start = ["kv-roles", tool]
    else:
        start = ["python", f"tools/{tool}.py"]
    return shell(*start, *argv)


def restored(*paths: str) -> str:
    """How to get the project's own ``paths`` (``patches``, ``vllm_overlay``) back as they were, wherever it runs from."""
    root = project_root()
    if not isinstance(root, Path):
        return "Take apply.pyz anew: its own files were changed"
    if root.name == "data":
        return "Install the package anew, with `python -m pip install --force-reinstall --no-deps` and its wheel"
    if (root / ".git").exists():
        return f"Restore it with `{shell('git', '-C', str(root), 'checkout', 'HEAD', '--', *paths)}`"
    return "Unpack the project afresh: its own files were changed"


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/vllm-kv-roles``, or ``~/.cache/vllm-kv-roles`` (XDG Base Directory, sections "cache" and "basics").

    A relative path in the variables is ignored: whoever filled the current folder would have filled the cache. Raises
    UsageError for a user without a home.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache") if os.environ.get("HOME", "~") else ""
    if not os.path.isabs(base):
        raise UsageError(
            f"User {os.geteuid()} has no home folder in which archives could be kept",
            fix="Set HOME, or name a folder with --cache-dir",
        )
    return Path(base) / "vllm-kv-roles"


def leaves(path: str) -> bool:
    """Whether ``path``, which should be relative with ``/`` between plain names, may lead out of a tree, or is no path.

    Git's own folder, whose hooks are programs, and ours, whose journal is obeyed, are no part of a tree.
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # half of a character, as JSON can say it
        return True
    return "\0" in path or not {"", ".", "..", ".git", OWN}.isdisjoint(path.lower().split("/"))


def find_program(name: str) -> str | None:
    """The absolute path of program ``name``, or None; a folder that a run happens to start in is not searched."""
    import shutil  # lazy: it brings every format of archives

    return shutil.which(name, path=search_path() or os.devnull)
