"""The argument by which a function is told its side: what its calls give it, and what its body calls that."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvroles.evidence.frames import Scope, Side
from kvroles.evidence.names import name_sides
from kvroles.evidence.signs.place import indent_of

_DEFINED = r"\b(?:def|func|fn|function)\s+(?:\([^()]*\)\s*)?{}\s*(?:<[^<>]*>)?\(([^()]*)\)"
_WORD = re.compile(r"""(?:"[^"\n]*"|'[^'\n]*'|\\.|[^\s;&|<>()"'])+""")
_QUOTES = "\"'`"
# A loop over both sides: what it calls the one that it is at.
_LOOP = re.compile(
    r"(?m)^(?P<in>[ \t]*)(?:async[ \t]+)?for(?:each)?\b[ \t]*\(?(?P<names>[^\n\[{]{1,80}?)(?:\bin\b|\bof\b|=[ \t]*range\b)"
    r"(?=[^\n]*\bprefill\b)(?=[^\n]*\bdecode\b)[^\n]*\n",
    re.I,
)
_CALLED = re.compile(r"(?i)(?:\w*_)?(?:role|side|phase|mode|component|kind|worker_type|server_type|instance_type)$")
_COMPARED = r"(?<![\w.]){}\s*(?:[=!]==?|in\b|\.eq\w*\()\s*[\[({{]?\s*[\"'](?:prefill|decode)"
_NO_NAMES = frozenset({"const", "let", "var", "_", "i", "idx", "enumerate"})


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


def known(s: str, at: int, functions: Sequence[Scope]) -> str:
    """The variable that says the side at index ``at`` of the text ``s``: what a loop over both sides calls each, or what one of
    the ``functions`` around, nearest first, is given. Empty if none is seen to."""
    loops = [
        m for m in _LOOP.finditer(s, 0, at) if all(_deeper(line, m["in"]) for line in s[m.end() : at].split("\n")[:-1])
    ]
    for m in reversed(loops):
        names = [n for n in re.findall(r"[A-Za-z_]\w*", m["names"]) if n not in _NO_NAMES]
        if name := next((n for n in names if _CALLED.match(n)), names[0] if len(names) == 1 else ""):
            return name
    for function in functions:
        a, b = function.span or (0, 0)
        defined = re.search(_DEFINED.format(re.escape(function.name)), s[a:b])
        for part in defined.group(1).split(",") if defined is not None else ():
            w = re.search(r"[A-Za-z_]\w*", part)
            if w is not None and _CALLED.match(w.group()) and re.search(_COMPARED.format(w.group()), s[a:b]):
                return w.group()
    return ""


def _deeper(line: str, lead: str) -> bool:
    return not line.strip() or indent_of(line) > len(lead)


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
