"""``apply.pyz``: the standard-library part of the tools with the patches, the lock and the overlay inside, as one file.

It runs as ``python3 apply.pyz --into TREE`` (what ``apply.py`` does) and ``python3 apply.pyz install|uninstall|verify`` (what
``vendor.py`` does). Members are stored, sorted and dated alike, so that the same checkout gives the same bytes.
"""

from __future__ import annotations

import ast
import io
import sys
import zipfile
from pathlib import Path

from kvroles.errors import Unproven, UsageError
from kvroles.places import project_root

_MAIN = b'''"""Runs vendor.py's commands for installed packages, and apply.py for everything else."""

import sys

if sys.version_info < (3, 11):
    sys.exit(sys.stderr.write("apply.pyz: It needs Python 3.11 or later. Found Python %d.%d (%s). Run it with another, "
        "and name this one with --python.\\n" % (sys.version_info[0], sys.version_info[1], sys.executable)) and 2)
try:
    from kvroles.vendored import in_place_command
    if sys.argv[1:2] and sys.argv[1] in in_place_command.COMMANDS:
        main = in_place_command.main
    else:
        from kvroles.apply import command
        from kvroles.console import guarded

        def main():
            parser = command.parser("apply.pyz")
            parser.epilog += " For an installed vLLM: apply.pyz install, uninstall or verify, each with its own --help."
            return guarded(parser, command.run)
except Exception as e:  # what is inside was whole when this file was made
    sys.exit(sys.stderr.write("apply.pyz: This file is damaged (%s). Take it again from where it came from.\\n"
        % type(e).__name__) and 3)
sys.exit(main())
'''
_DATE = (1980, 1, 1, 0, 0, 0)


def build() -> bytes:
    """The bytes of ``apply.pyz``. Raises UsageError when run from inside one, Unproven when a library has crept in."""
    tools = Path(__file__).resolve().parents[3]
    root = project_root()
    if not isinstance(root, Path):
        raise UsageError(
            "apply.pyz is not made by itself", fix="Run `kv-roles vendor image`, or tools/vendor.py of a clone"
        )
    members = {"__main__.py": _MAIN}
    for path in sources(tools):
        members[path.relative_to(tools).as_posix()] = path.read_bytes()
    for folder in ("patches", "vllm_overlay"):
        for path in (root / folder).rglob("*"):
            if path.is_file():
                members[path.relative_to(root).as_posix()] = path.read_bytes()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        for name, data in sorted(members.items()):
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system, info.external_attr = 3, 0o644 << 16
            z.writestr(info, data)
    return b"#!/usr/bin/env python3\n" + out.getvalue()


def sources(tools: Path) -> list[Path]:
    """The modules that ``apply.py`` and ``in_place_command`` import, themselves included.

    Raises Unproven when one of them imports what is not in the standard library.
    """
    seen: set[Path] = set()
    queue = [
        tools / "kvroles/apply/command.py",
        tools / "kvroles/apply/__init__.py",
        tools / "kvroles/__init__.py",
        tools / "kvroles/vendored/__init__.py",
    ]
    queue.append(tools / "kvroles/vendored/in_place_command.py")
    while queue:
        path = queue.pop()
        if path in seen:
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_bytes())):
            queue += _imported(node, path, tools)
    return sorted(seen)


def _imported(node: ast.AST, path: Path, tools: Path) -> list[Path]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        package = list(path.relative_to(tools).parts[: -node.level]) if node.level else []
        base = ".".join([*package, *([node.module] if node.module else [])])
        names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
    else:
        return []
    out = []
    for name in names:
        if name.partition(".")[0] != "kvroles":
            if name.partition(".")[0] not in sys.stdlib_module_names:
                raise Unproven(f"{path.name} imports {name}, which is not in the standard library")
            continue
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            stem = tools.joinpath(*parts[:end])
            out += [p for p in (stem / "__init__.py", stem.with_suffix(".py")) if p.is_file()]
    return out
