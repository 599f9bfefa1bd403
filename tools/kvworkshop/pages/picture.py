"""A picture of the report that ``migrate --html`` writes, for the page about it: the real command, in a real browser.

python -m kvworkshop.pages.picture    (in tools/) takes docs/assets/report.png anew; it needs Chromium
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from kvroles.console import say
from kvroles.errors import Exit, KvRolesError

from kvworkshop.own import ROOT

KEPT = Path("docs/assets/report.png")
WIDTH, HEIGHT = 840, 1200
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
FILES = {
    "search/deploy/start.sh": f"""\
#!/bin/bash
# prefill
vllm serve MODEL --port 8100 \\
  --kv-transfer-config '{_NIXL}' &
# decode
vllm serve MODEL --port 8200 \\
  --kv-transfer-config '{_NIXL}' &
""",
    "chat/deploy/worker-a.sh": f"""\
#!/bin/bash
# the first of the two machines
vllm serve MODEL --port 8100 \\
  --kv-transfer-config '{_NIXL}'
""",
}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WORD = b"Page"  # before the digest of the page that the picture shows


def page() -> bytes:
    """The report on the two repositories of ``FILES``, as the command writes it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in FILES.items():
            path = folder / file
            path.parent.mkdir(parents=True)
            path.write_text(text)
            (folder / file.split("/")[0] / ".git").mkdir()
        words = [sys.executable, "-m", "kvcommand.main", "migrate", "-q", "--html", "report.html", "search", "chat"]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "tools"), "PYTHONUTF8": "1"}
        subprocess.run(words, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
        return (folder / "report.html").read_bytes()


def taken(html: bytes) -> bytes:
    """A PNG of the top of the page, with the page's digest in it. Raises ``KvRolesError`` where there is no Chromium."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise KvRolesError(Exit.USAGE, "Chromium is not installed", fix="Install Debian's package chromium")
    with tempfile.TemporaryDirectory() as name:
        shown, picture = Path(name, "report.html"), Path(name, "report.png")
        shown.write_bytes(html)
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={name}/profile"]
        words += [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}", shown.as_uri()]
        subprocess.run([browser, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return _with(_WORD, _digest(html), picture.read_bytes())


def shows(png: bytes, html: bytes) -> bool:
    """Whether a picture was taken of this very page."""
    return _chunk(_WORD, _digest(html)) in png


def _digest(html: bytes) -> bytes:
    return hashlib.sha256(html).hexdigest().encode()


def _with(word: bytes, text: bytes, png: bytes) -> bytes:
    """The picture with a text in it, behind its header (PNG specification, 11.3.4.3, tEXt)."""
    end = len(_SIGNATURE) + 25  # the header's length, name, 13 bytes and checksum
    return png[:end] + _chunk(word, text) + png[end:]


def _chunk(word: bytes, text: bytes) -> bytes:
    body = b"tEXt" + word + b"\0" + text
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def main() -> int:
    """Take the picture that the page shows."""
    (ROOT / KEPT).write_bytes(taken(page()))
    say(f"{KEPT} written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
