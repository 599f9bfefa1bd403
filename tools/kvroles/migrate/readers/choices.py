"""Values that a Makefile's or a justfile's expression chooses between: ``$(if $(IS_PREFILL),A,B)``, ``if c { A } else { B }``."""

from __future__ import annotations

from kvroles.evidence.names import role_key
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers.template.actions import Branch

_MAKE = regex(r"\$[({]if\s+")
_ASKS = regex(r"\$[({](?:filter|findstring)\s+(\w[\w.-]*),\s*(\$[({]\w+[)}])\s*[)}]")
_JUST = regex(r"(?:(?P<else>\belse)\s+)?\bif\s+(?P<test>[^{}]{1,200}?)\s*\{|\belse\s*\{")
_OPENS, _CLOSES = "([{", ")]}"
_LONGEST = 4000  # characters: what is longer is no choice between two configs


def found_in(test: str) -> str:
    """What a test of make's asks that is true where a role is found: ``$(filter prefill,$(ROLE))``; empty for any other, also for
    a list, which may hold both."""
    asked = _ASKS.fullmatch(test)
    name = asked[2].strip("$(){}") if asked is not None else ""
    return (
        f'{asked[2]} == "{asked[1]}"' if asked is not None and role_key(name) and not name.lower().endswith("s") else ""
    )


def of_make(s: str) -> list[Branch]:
    """The values of each ``$(if ...)``."""
    out: list[Branch] = []
    for m in _MAKE.finditer(s[:_LONGEST]):
        cuts = _cuts(s, m.end(), ",")
        if len(cuts) < 3:
            continue
        test = s[m.end() : cuts[0]].strip()
        said = found_in(test) or test
        first, other = (cuts[0] + 1, cuts[1]), (cuts[1] + 1, cuts[-1])
        out += [Branch(*first, said, False), Branch(*other, said, True, first)]
    return out


def of_just(s: str) -> list[Branch]:
    """The values of each ``if`` with its ``else``."""
    out: list[Branch] = []
    chained = False
    for m in _JUST.finditer(s[:_LONGEST]):
        end = _cuts(s, m.end(), "")[-1]
        if m["test"] is not None:
            chained = m["else"] is not None
            out.append(Branch(m.end(), end, m["test"], False))
        elif out:
            last = out[-1]
            out.append(Branch(m.end(), end, last.condition, True, None if chained else (last.start, last.end)))
    return out


def _cuts(s: str, start: int, mark: str) -> list[int]:
    """Where ``mark`` stands behind ``start`` outside of brackets and quotes, and where the bracket that is open there closes."""
    out: list[int] = []
    depth, quote = 0, ""
    for i in range(start, min(len(s), start + _LONGEST)):
        ch = s[i]
        if quote:
            quote = "" if ch == quote else quote
        elif ch in "\"'":
            quote = ch
        elif ch in _OPENS:
            depth += 1
        elif ch in _CLOSES:
            depth -= 1
            if depth < 0:
                return [*out, i]
        elif ch == mark and not depth:
            out.append(i)
    return [*out, len(s)]
