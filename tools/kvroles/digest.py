"""The digest of a whole tree, defined so that coreutils can reproduce it.

It is the SHA-256 of the lines ``<sha256>  ./<path>\\n`` of all regular files but those in ``.kv-roles/``, sorted by path
as bytes; in a tree::

    find . -path ./.kv-roles -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def sha256(data: bytes) -> str:
    """The SHA-256 of ``data`` in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(data: bytes | None) -> str | None:
    """The same of a file's bytes, and None of a file that is not there."""
    return None if data is None else sha256(data)


def tree_digest(files: Mapping[str, str]) -> str:
    """The digest of a tree given as path -> SHA-256 of the file (hex). Paths are relative, with ``/``."""
    lines = sorted((f"./{path}".encode("utf-8", "surrogateescape"), sha) for path, sha in files.items())
    whole = hashlib.sha256()
    for path, sha in lines:
        whole.update(sha.encode() + b"  " + path + b"\n")
    return whole.hexdigest()
