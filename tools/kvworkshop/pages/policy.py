"""A Content-Security-Policy in every page of the built site: what the page runs, loads and asks for is what we built.

A page may run scripts of the site's own files and the inline scripts that the theme wrote, known by their hashes; it asks
nothing of another host. The theme writes the same ones into every page: a script that stands in one page alone came with its
text, and ends the build. Two things take more, on their own pages only: Mermaid writes styles into the diagrams it draws,
and the playground compiles Python's WebAssembly. Zensical's search writes its style into every page.

MkDocs runs ``on_post_build`` (``hooks`` in mkdocs.yml) and loads this file by its path, so it imports Python's library only.
Zensical has no hooks: ``python tools/pages.py --seal site`` does the same to what it built.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

_HEAD = re.compile(r'<meta charset="?utf-8"?\s*/?>', re.IGNORECASE)
_OURS = re.compile(r'<meta http-equiv="Content-Security-Policy" content="[^"]*">')
_SCRIPT = re.compile(r"<script\b(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.DOTALL | re.IGNORECASE)
_WRITES_STYLES = re.compile(r'<pre class="mermaid"|<meta name="?generator"? content="zensical')
_PLAYGROUND = re.compile(r'<form id="playground-form"')

_serving = False


def policy(html: str) -> str:
    """The policy for a page: its inline scripts by hash, and what its diagrams, its playground or its search take."""
    scripts = ["'self'", *sorted({_hash(text) for text in inline_scripts(html)})]
    styles = ["'self'"]
    if _WRITES_STYLES.search(html):
        styles.append("'unsafe-inline'")
    if _PLAYGROUND.search(html):
        scripts.append("'wasm-unsafe-eval'")
    rules = {
        "default-src": ["'none'"],
        "script-src": scripts,
        "style-src": styles,
        "img-src": ["'self'", "data:"],  # the theme's stylesheet holds its icons as data
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "worker-src": ["'self'"],  # the search
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(values)}" for name, values in rules.items())


def inline_scripts(html: str) -> list[str]:
    """The text of each script that stands in the page itself and is run, not of data blocks."""
    found = []
    for m in _SCRIPT.finditer(html):
        kind = re.search(r"""\btype\s*=\s*["']?([\w/+.-]+)""", m["attributes"])
        if re.search(r"\bsrc\s*=", m["attributes"]) is None and (kind is None or "json" not in kind[1]):
            found.append(m["text"])
    return found


def sealed(html: str) -> str:
    """``html`` with its policy, before anything that the policy is about. Raises ValueError for a page without a head."""
    html = _OURS.sub("", html)
    head = _HEAD.search(html)
    if head is None:
        raise ValueError('no <meta charset="utf-8"> to put the policy behind')
    meta = f'<meta http-equiv="Content-Security-Policy" content="{escape(policy(html), quote=False)}">'
    return html[: head.end()] + meta + html[head.end() :]


def seal(site: Path) -> int:
    """Put its policy into each page below ``site``; returns how many there are. Raises ValueError that names a bad page."""
    pages = {page: page.read_text(encoding="utf-8") for page in sorted(site.rglob("*.html"))}
    own = {page: {_shape(text) for text in inline_scripts(html)} for page, html in pages.items()}
    ours = set.intersection(*own.values()) if own else set()
    for page, html in pages.items():
        if foreign := own[page] - ours:
            raise ValueError(f"{page}: a script that no other page has: {min(foreign)[:60]!r}")
        try:
            page.write_text(sealed(html), encoding="utf-8")
        except ValueError as e:
            raise ValueError(f"{page}: {e}") from None
    return len(pages)


def _shape(script: str) -> str:
    """``script`` without the way to the site's root, which is a page's own."""
    return re.sub(r'new URL\("[\w./-]*"', 'new URL("."', script)


def on_startup(*, command: str, **_: Any) -> None:
    """MkDocs begins: a preview adds a script of its own to each page, which a policy would stop."""
    global _serving
    _serving = command == "serve"


def on_post_build(config: Any) -> None:
    """MkDocs has written the site."""
    if not _serving:
        seal(Path(config["site_dir"]))


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
