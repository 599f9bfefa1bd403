"""The ports, hosts and variables that a proxy or router in a text is given, each with the side of the server it is of."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from kvroles.evidence.frames import Side
from kvroles.evidence.patterns import regex

# A flag of a proxy or router that is named for a side. Its value goes up to the next flag.
_PROXY = regex(
    r"""(?ix)
    (?<![\w-])--(?P<flag>(?:prefill(?:er)?|decoder?)s?(?:[-_](?:ports?|urls?|hosts?|addr(?:ess|s)?|endpoints?|instances?|servers?|backends?))?)
    (?:\s*=\s*|[\s\\]+|["']?,\s*["']?|["'],?\s*(?:-\s*)?["']?)
    (?P<value>(?:(?![\s"',]--?[a-z])[^\n\\]|\\\r?\n)*)
    """
)
# A variable or key that is named for a side and set to an address: ``PREFILL_URL=http://...``, ``decode_endpoints: [http://...``.
_PROXY_VAR = regex(
    r"""(?ix)(?P<flag>(?:prefill(?:er)?|decoder?)s?[-_]?(?:urls?|endpoints?|addr(?:ess)?|base_url|api_base|instances?)?)
    ["']?\s*[:=]\s*[\["'(]*\s*(?P<value>https?://[^\s"')]+)""",
)
# In such a value: a port or a variable, a host before a port, and a host alone.
_PORT = regex(r"(?:(?<=:)|(?<![\w.$:]))(\d{4,5})(?![\w.])|(?<![\w])\$\{?(\w+)")
_HOST = regex(r"(?:https?://)?((?:\d+\.\d+\.\d+\.\d+)|[A-Za-z][\w.-]*[A-Za-z0-9])(?=:[\d$])")
_BARE_HOST = regex(r"(?<![\w./:$\{-])(?!localhost\b)[A-Za-z][\w.-]*[A-Za-z0-9](?![\w:/}])")
_HOSTS = regex(r"(?i)(?:hosts?|addr(?:ess|s)?|servers?|instances?|backends?)$")  # a flag whose values are hosts
_SERVICE = regex(r"//(?!localhost|127\.|0\.0\.0\.0)[A-Za-z][\w.-]*:$")
_DISABLED = regex(r"[ \t]*(?:#|//)")  # before a flag: a command that is not run
_LOOPBACK = regex(r"(?i)^(?:localhost|127\.|0\.0\.0\.0|https?$)")


class Told(NamedTuple):
    """A port, host name or variable (``key``) that a proxy or router is told is of a side, by the flag or variable that stands
    between two indices of the text."""

    key: str
    side: Side
    start: int
    end: int


def told(s: str, flags: Iterable[int], variables: Iterable[int], *, services: bool) -> list[Told]:
    """What the flags and variables that begin at the given indices of ``s`` say of ports, host names and variables.

    What stands in a line that is a comment is left out. With ``services`` the text holds Kubernetes objects: the port of a
    Service is left out, because the container behind it may have another.
    """
    out: list[Told] = []
    for pattern, i in [*((_PROXY, i) for i in flags), *((_PROXY_VAR, i) for i in variables)]:
        m = pattern.match(s, i)
        if m is None or _DISABLED.match(s, s.rfind("\n", 0, i) + 1, i):
            continue
        side = Side.PREFILL if m.group("flag").lower().startswith("prefill") else Side.DECODE
        value = m.group("value").split("#", 1)[0]
        keys: list[str] = []
        if _HOSTS.search(m.group("flag")):
            keys += (name.lower() for name in _BARE_HOST.findall(value))
        for p in _PORT.finditer(value):
            if not (services and _SERVICE.search(value[: p.start()])):
                keys.append(p.group(1) or "$" + p.group(2))
        keys += (h.group(1).lower() for h in _HOST.finditer(value) if not _LOOPBACK.match(h.group(1)))
        out += (Told(key, side, m.start(), m.end()) for key in keys)
    return out


def servers(what: Iterable[Told]) -> dict[str, Side]:
    """The sides of the ports, host names and variables that proxies are told of; one that both sides are given is left out."""
    seen: dict[str, set[Side]] = {}
    for one in what:
        seen.setdefault(one.key, set()).add(one.side)
    return {key: next(iter(sides)) for key, sides in seen.items() if len(sides) == 1}


# Before a port or a host: the flag, the setting or the command by which a server is given it.
_GIVEN = (
    r"(?i)(?:(?<![a-z])(?:port|host(?:name)?|name|ssh)|\s-[pHh])[\"']?[\s=:,\"'\\]{{1,8}}(?:[\w.-]+@)?{0}(?![\w.-]*\w)"
)

_MANY = 500  # ports and hosts that the proxies of one document are told


class Reach:
    """What the proxies of a document ``s`` are ``told``; ``headings`` are the indices and levels of its headings, in order.

    It reaches the part below one heading in which the proxy stands, if that holds a server with the port or host, else what the
    heading above that owns, and so on. Of several such parts further out, those count that hold servers of both sides.
    """

    def __init__(self, s: str, told: Sequence[Told], headings: Sequence[tuple[int, int]]) -> None:
        self._s, self._told = s, told
        self._headings = headings
        self._starts = [start for start, _ in headings]
        self._places: dict[str, list[int]] = {}
        self._at: dict[int, dict[str, Side]] = {}  # by where a part begins

    def at(self, place: int) -> dict[str, Side]:
        """What proxies are told of the servers at an index of the document; nothing, of more of them than a page has."""
        start = self._part(place)[0]
        if start not in self._at:
            told = self._spans if len(self._told) <= _MANY else ()
            self._at[start] = servers(one for one, spans in told if any(a <= start < b for a, b in spans))
        return self._at[start]

    @cached_property
    def _spans(self) -> list[tuple[Told, list[tuple[int, int]]]]:
        return [(one, self._reached(one)) for one in self._told]

    def _reached(self, one: Told) -> list[tuple[int, int]]:
        """The parts of the document that the words reach."""
        for a, b in self._around(one.start):
            parts = {self._part(i) for i in self._given(one.key) if a <= i < b}
            if len(parts) > 1:
                both = self._of_both(one.side.other)
                return [part for part in parts if any(part[0] <= i < part[1] for i in both)]
            if parts:
                return [(a, b)]
        return [(0, len(self._s))]

    def _of_both(self, side: Side) -> list[int]:
        """Where servers are given what proxies are told of a side."""
        return [i for key in {one.key for one in self._told if one.side is side} for i in self._given(key)]

    def _given(self, key: str) -> list[int]:
        """Where a server is given a port or host, outside of what proxies are told."""
        if key not in self._places:
            name = rf"\$\{{?{re.escape(key[1:])}\}}?" if key.startswith("$") else re.escape(key)
            found = (m.end() - 1 for m in re.finditer(_GIVEN.format(name), self._s))
            self._places[key] = [i for i in found if not any(one.start <= i < one.end for one in self._told)]
        return self._places[key]

    def _part(self, place: int) -> tuple[int, int]:
        """The part from the heading above an index to the next heading."""
        n = bisect(self._starts, place)
        return self._starts[n - 1] if n else 0, self._starts[n] if n < len(self._starts) else len(self._s)

    def _around(self, place: int) -> Iterator[tuple[int, int]]:
        """The part that an index is in, and what the headings above it own, the nearest first."""
        yield self._part(place)
        level = 100
        for n in range(bisect(self._starts, place) - 1, -1, -1):
            start, own = self._headings[n]
            if level == 1:
                break
            if own < level:
                level = own
                yield start, next((a for a, other in self._headings[n + 1 :] if other <= own), len(self._s))
        yield 0, len(self._s)
