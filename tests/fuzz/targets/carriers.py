"""Deployers' own files, as ``migrate`` reads them: a target for each family of carriers."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from feed import Feed
from grammar import GRAMMARS, grown
from kvroles.migrate import run, settings
from kvroles.migrate.settings import Options

from targets.target import Target

CORPUS = Path(__file__).resolve().parents[2] / "corpus"
CARRIERS = {
    "yaml": ("a.yaml", "pd/decode.yaml"),
    "template": ("a.yml.j2", "templates/a.yaml", "templates/_helpers.tpl", "a.sh.j2"),
    "shell": ("a.sh", "prefill.sh", "Dockerfile", "Makefile", "justfile", "a.service", "a.env", "-"),
    "python": ("a.py", "test_a.py"),
    "json": ("a.json", "a.json5", "a.ipynb"),
    "toml": ("a.toml",),
    "markdown": ("a.md", "a.rst", "a.adoc", "a.txt"),
    "code": ("a.go", "a.rs"),
    "web": ("a.js", "a.ts", "a.tsx"),
    "hcl": ("a.tf", "a.tfvars", "a.nomad"),
    "unit": ("a.service", "a.container", "a.ini", "a.properties"),
    "powershell": ("a.ps1",),
    "recipe": ("Dockerfile", "Makefile", "justfile"),
    "notebook": ("a.ipynb",),
}
_ROLE = re.compile(rb"kv_both|kv_producer|kv_consumer")


def carrier(kind: str, data: bytes) -> None:
    """What holds of any file: it is read or skipped, only roles change, and a second run changes nothing."""
    feed = Feed(data)
    first = feed.byte()
    name = CARRIERS[kind][first % len(CARRIERS[kind])]
    migrate(name, grown(feed, GRAMMARS[kind]) if first > 127 and kind in GRAMMARS else feed.rest())


def migrate(name: str, data: bytes) -> None:
    """The same of ``data`` under the file name ``name``."""
    result = run.of_bytes(name, name, data, Options(settings.Settings()))
    if result is None:
        return
    for f in result.findings:
        assert "reading it failed" not in f.message, (name, f.message)
        assert f.role is None or result.after is not None, (name, f)
    if result.after is None:
        return
    assert _ROLE.sub(b"", result.after) == _ROLE.sub(b"", data), name
    again = run.of_bytes(name, name, result.after, Options(settings.Settings()))
    assert again is None or again.after is None, name


def _carrier_seeds(kind: str) -> list[bytes]:
    def fits(file: Path, name: str) -> bool:
        return file.name == name or (file.suffix == Path(name).suffix != "")

    files = [p for p in sorted(CORPUS.rglob("*")) if p.is_file()]
    read = [bytes([n]) + p.read_bytes() for n, name in enumerate(CARRIERS[kind]) for p in files if fits(p, name)]
    grown = [bytes([128 + n, *(n * k % 251 for k in range(1, 60))]) for n in range(12)] if kind in GRAMMARS else []
    return (read or [b"\0" + p.read_bytes() for p in files]) + grown


_WORDS = (b"kv_both", b"NixlConnector", b"kv_role", b"kv_connector", b"prefill", b"decode", b"--kv-transfer-config", b"{{", b"}}",
          b"{%", b"```", b"<<EOF", b"$(", b"&a ", b"*a", b"<<:", b"|-", b">-", b'r#"', b'"""', b"\\u006b", b"kv_producer")  # fmt: skip

TARGETS = {
    f"migrate-{kind}": Target(functools.partial(carrier, kind), functools.partial(_carrier_seeds, kind), _WORDS)
    for kind in CARRIERS
}
