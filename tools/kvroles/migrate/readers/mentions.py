"""Who puts a file to use: the owners of each place of a text that names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from kvroles.evidence.frames import Scope
from kvroles.evidence.names import twins
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, occurrences
from kvroles.migrate.readers import lines
from kvroles.migrate.readers.base import MANY, File

_ANEW = regex(r"kv_(?:role|producer|consumer)")  # the role is set again in what takes it over


def places(s: str, name: str) -> Iterator[int]:
    """Where ``s`` names the file ``name`` (a base name) or a variable, but for lines that name its twin as well: those are of
    both, each for its own side, unless the twin is set to what the name stands for, or falls back on it."""
    others = twins(name)
    for i in _named(s, name):
        line = lines.line_at(s, i) if others else ""
        if all(_takes_over(line, other) or _falls_back(line, name, other) for other in others if names(line, other)):
            yield i


def names(s: str, name: str) -> bool:
    """Whether ``s`` names ``name``, and not only a longer name that holds it."""
    return any(True for _ in _named(s, name))


def _named(s: str, name: str) -> Iterator[int]:
    for i in islice(occurrences(s, name), MANY):
        before, after = s[i - 1 : i], s[i + len(name) : i + len(name) + 1]
        if not (before.isalnum() or after.isalnum() or before in {"_", "-", "."} or after in {"_", "-"}):
            yield i


def _takes_over(line: str, twin: str) -> bool:
    """Whether a line sets the variable ``twin`` to what else it names, as it is: ``decode_kv = dict(prefill_kv)``."""
    taken = re.match(rf"[ \t]*(?:export[ \t]+)?\$?{re.escape(twin)}[ \t]*(?::[^=]+)?=(?!=)(?P<value>.*)", line, re.S)
    return taken is not None and twin not in taken["value"] and _ANEW.search(taken["value"]) is None


def _falls_back(line: str, name: str, twin: str) -> bool:
    """Whether a line takes ``name`` where ``twin`` has no value: ``.Values.decode.kv | default .Values.prefill.kv``."""
    a, b = re.escape(twin), re.escape(name)
    behind = r"\s*\)*\s*(?:\|\s*default[\s(]+|\?\?\s*|\|\|\s*|or\s+|:-)[$({]*"
    return re.search(rf"{a}{behind}{b}|\bdefault\s+{b}\s+{a}(?![\w.-])", line) is not None


def owners(lang: str, t: Text, name: str, up: Scope, file: File) -> list[Scope]:
    """The owners, in text of language ``lang``, of every place that names the file or variable ``name``."""
    anew = _set_anew(t.s, name) if lang == "python" else len(t.s)
    out: list[Scope] = []
    for i in places(t.s, name):
        if i < anew and (owner := file.owner_at(lang, t, i, up)) is not None:
            owner.place = t.at(i) if owner.kind != "comment" else owner.place
            out.append(owner)
    return out


def _set_anew(s: str, name: str) -> int:
    """Where Python text sets a variable, whatever else happens, to something that is not made of what it was: from there on
    the name means another value. The text's length if it does not."""
    m = re.search(rf"(?m)^{re.escape(name)}[ \t]*(?::[^=\n]+)?=(?!=)", s)
    if m is None:
        return len(s)
    below = re.compile(r"\n(?=[^\s)\]}#])").search(s, m.end())
    value = s[m.end() : below.start() if below else len(s)]
    return len(s) if names(value, name) else m.start()
