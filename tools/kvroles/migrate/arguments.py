"""The argument by which a function is told its side: what its calls give it, and what its body calls that."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvroles.evidence.frames import Side
from kvroles.evidence.names import name_sides

_DEFINED = r"\b(?:def|func|fn|function)\s+(?:\([^()]*\)\s*)?{}\s*(?:<[^<>]*>)?\(([^()]*)\)"
_WORD = re.compile(r"""(?:"[^"\n]*"|'[^'\n]*'|\\.|[^\s;&|<>()"'])+""")
_QUOTES = "\"'`"


def told_by(s: str, name: str, uses: Sequence[tuple[Side, int]]) -> str:
    """How the function ``name``, called at ``uses`` in the text ``s``, calls the argument that is the call's side: ``$1``, or its
    name. Empty where no argument is, or another one at each call."""
    found: set[tuple[int, str]] | None = None
    sides = {side for side, _ in uses}
    if sides != {Side.PREFILL, Side.DECODE}:
        return ""
    shell = True
    for side, place in uses:
        line = s[max(0, place) : s.find("\n", place) if "\n" in s[place:] else len(s)]
        m = re.search(rf"\b{re.escape(name)}\s*(\()?", line)
        if place < 0 or m is None:
            return ""
        shell = m.group(1) is None
        given = _words(line[m.end() :]) if shell else _arguments(s[max(0, place) + m.end() :])
        here = {(n, key) for n, (key, value) in enumerate(given) if name_sides(value) == {side}}
        found = here if found is None else found & here
    if not found or len(found) > 1:
        return ""
    number, key = found.pop()
    if shell:
        return f"${number + 1}"
    return key or _parameter(s, name, number)


def _words(text: str) -> list[tuple[str, str]]:
    out = []
    at = 0
    for m in _WORD.finditer(text):
        if text[at : m.start()].strip():  # behind a ; or an & another command begins
            break
        out.append(("", m.group().strip(_QUOTES)))
        at = m.end()
    return out


def _arguments(text: str) -> list[tuple[str, str]]:
    """The arguments of a call, from behind its bracket, each with its name where it has one and without its quotes."""
    out: list[tuple[str, str]] = []
    depth, start = 0, 0
    for i, ch in enumerate(text[:2000]):
        if ch in "([{":
            depth += 1
        elif ch in ")]}":
            depth -= 1
        if depth < 0 or (ch == "," and depth == 0):
            key, value = re.fullmatch(r"\s*(?:(\w+)\s*=(?!=))?(.*?)\s*", text[start:i], re.S).groups()  # type: ignore[union-attr]
            out.append((key or "", value.strip().strip(_QUOTES)))
            start = i + 1
        if depth < 0:
            break
    return out


def _parameter(s: str, name: str, number: int) -> str:
    m = re.search(_DEFINED.format(re.escape(name)), s)
    if m is None:
        return ""
    names = [w.group() for p in m.group(1).split(",") if (w := re.search(r"[A-Za-z_]\w*", p)) is not None]
    names = [n for n in names if n not in {"self", "cls"}]
    return names[number] if number < len(names) else ""
