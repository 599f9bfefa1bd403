"""Mermaid, served by the site itself: the theme would else load it from a third party in the reader's browser."""

from __future__ import annotations

from pathlib import Path

from kvroles.digest import sha256
from kvroles.errors import NoSource, Unproven

from kvworkshop import npm

VERSION = "11.17.2"
SHA256 = "581ed7d74bd9048d0e3a91363927d72ef22942d7722546b27f7cc29e35390eb8"
NAME = f"mermaid-{VERSION}.min.js"  # in the user's cache
SERVED = Path("assets") / "javascripts" / "mermaid.min.js"  # below docs/


def provide(docs: Path, cache: Path, given: Path | None = None) -> Path:
    """Put Mermaid into ``docs``: from the file ``given``, else from ``cache``, else from npm into the cache.

    Returns the path below ``docs``. Raises NoSource when npm is missing or fails, Unproven for other bytes than the pinned.
    """
    target = docs / SERVED
    if given is None and target.exists() and sha256(target.read_bytes()) == SHA256:
        return target
    stored = cache / NAME
    kept: bytes | None = None
    if given is not None:
        data = given.read_bytes() if given.is_file() else None
        if data is None:
            raise NoSource(f"{given} does not exist", fix="Give --mermaid the file dist/mermaid.min.js of the package")
    else:
        kept = npm.kept_in(cache, NAME)
        data = kept if kept is not None else _from_npm()
    if sha256(data) != SHA256:
        raise Unproven(
            f"{given or stored} is not mermaid {VERSION}",
            expected=f"SHA-256 {SHA256}",
            found=f"SHA-256 {sha256(data)}",
            fix=f"Delete it, or give --mermaid the file dist/mermaid.min.js of npm package mermaid@{VERSION}",
        )
    if given is None and not kept:
        npm.keep_in(cache, NAME, data)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return target


def _from_npm() -> bytes:
    """``dist/mermaid.min.js`` of the pinned package, by the npm client."""
    way_out = f"Install npm, or give --mermaid the file dist/mermaid.min.js of npm package mermaid@{VERSION}"
    return npm.members(npm.pack("mermaid", VERSION, way_out), ["dist/mermaid.min.js"])["dist/mermaid.min.js"]
