#!/usr/bin/env python3
"""Feeds migrate arbitrary bytes under every kind of name, and checks what must hold of any input.

With atheris installed, ``python tests/fuzz/fuzz_migrate.py tests/corpus/*/`` fuzzes by coverage until it is stopped;
``tests/fuzz/test_fuzz_migrate.py`` runs the same checks on mutations of the corpus.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from kvroles.migrate import run
from kvroles.migrate.findings import Options
from kvroles.migrate.settings import Settings

NAMES = (
    "a.yaml", "a.yml.j2", "templates/a.yaml", "a.sh", "a.py", "a.json", "a.json5", "a.toml", "a.go", "a.rs", "a.md", "a.rst",
    "a.adoc", "a.ipynb", "Dockerfile", "Makefile", "justfile", "a.service", "a.env", "a.txt", "-", "pd/decode.yaml", "prefill.sh",
)  # fmt: skip
_ROLE = re.compile(rb"kv_both|kv_producer|kv_consumer")


def check(name: str, data: bytes) -> None:
    """What holds of any input: it is read or skipped, only roles change, and a second run changes nothing."""
    result = run.of_bytes(name, name, data, Options(Settings()))
    if result is None:
        return
    for f in result.findings:
        assert "reading it failed" not in f.message, (name, f.message)
        assert f.role is None or result.after is not None, (name, f)
    if result.after is None:
        return
    assert _ROLE.sub(b"", result.after) == _ROLE.sub(b"", data), name
    again = run.of_bytes(name, name, result.after, Options(Settings()))
    assert again is None or again.after is None, name


def one_input(data: bytes) -> None:
    """One input of the fuzzer: the first byte chooses the name."""
    if data:
        check(NAMES[data[0] % len(NAMES)], data[1:])


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
