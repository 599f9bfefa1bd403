"""An optional topic's change to a Python file into which it cannot be merged: whole functions and classes are exchanged.

Which of them the topic takes out, and which it brings, is read from the release before. The lines between them may be any. The
contract proves the result, as it does every other.
"""

from __future__ import annotations

import ast

from kvroles.apply import connector
from kvroles.apply.unclear import Unclear
from kvroles.contract import terms


def carried(topic: str, path: str, ours: bytes, base: bytes, other: bytes) -> bytes | None:
    """``ours`` with the change from ``base`` to ``other``; None where that change is not one of whole definitions.

    ``base`` and ``other`` are the file in the release before, without and with ``topic``.
    """
    try:
        if topic == terms.REJECT and path in terms.CONNECTORS:
            return connector.refusing(ours)
        return _replaced(ours, base, other) if path.endswith(".py") else None
    except (SyntaxError, ValueError, Unclear):
        return None


def _definitions(source: bytes) -> dict[str, tuple[int, int]]:
    """name -> (first line, line behind the last) of the functions and classes at the top level, decorators included."""
    out = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            out[node.name] = first - 1, node.end_lineno or node.lineno
    return out


def _replaced(ours: bytes, base: bytes, other: bytes) -> bytes | None:
    """``ours`` without the definitions that ``other`` lacks, and in the place of the first with those that it brings."""
    was, now, here = _definitions(base), _definitions(other), _definitions(ours)
    if _rest(base, was, now) != _rest(other, now, was):
        return None
    added = [name for name in now if name not in was]
    gone = [here[name] for name in here if name in was and name not in now]
    if not gone or any(name in here for name in added):
        return None
    lines, others = ours.splitlines(keepends=True), other.splitlines(keepends=True)
    brought = b"\n\n".join(b"".join(others[slice(*now[name])]) for name in added)
    out = list(lines)
    for number, (first, last) in reversed(list(enumerate(sorted(gone)))):
        if number:
            while first and not out[first - 1].strip():  # the blank lines above it go with it
                first -= 1
        out[first:last] = [brought] if number == 0 else []
    return b"".join(out)


def _rest(source: bytes, mine: dict[str, tuple[int, int]], others: dict[str, tuple[int, int]]) -> list[bytes]:
    """The lines of ``source``, blank ones aside, outside of the definitions that only it has."""
    lines = source.splitlines()
    for name, (first, last) in mine.items():
        if name not in others:
            lines[first:last] = [b""] * (last - first)
    return [line for line in lines if line.strip()]
