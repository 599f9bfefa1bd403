"""What the tools' messages and the pages' sentences advise can be typed: each command is one that its tool takes.

The commands of a page's blocks are those of ``test_docs.py``. Where apply, vendor and migrate refuse, what they advise is also
run: ``tests/apply``, ``tests/vendored``, ``tests/command``.
"""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvworkshop.pages import reference
from support.docs import ROOT, written_pages

TOOLS = ROOT / "tools"


def _text(node: ast.expr) -> str:
    """A string as it reads; a value that is put in is a release, which any option takes."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "0.22.1"


def _advised(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in parts:
            yield from re.findall(r"`?(?:python3? )tools/(\w+\.py [^`;]+)", _text(node))


def _commands() -> Iterator[tuple[str, str]]:
    """(file, command)."""
    for path in TOOLS.rglob("*.py"):
        yield from ((path.relative_to(ROOT).as_posix(), command) for command in _advised(path))
    for page in written_pages():
        found = re.findall(r"`python3? tools/(\w+\.py [^`]+)`", page.read_text(encoding="utf-8"))
        yield from ((page.relative_to(ROOT).as_posix(), command) for command in found)


@pytest.fixture(scope="module")
def parsers() -> dict[str, argparse.ArgumentParser]:
    return reference.tool_parsers(ROOT)


@pytest.mark.parametrize(("where", "command"), sorted(set(_commands())))
def test_a_command_that_is_advised_is_one_that_the_tool_takes(
    where: str, command: str, parsers: dict[str, argparse.ArgumentParser]
) -> None:
    tool, *words = shlex.split(command)
    parsers[tool].parse_args(words)
