"""The ports, hosts and variables that a proxy or router in a text is given, each with the side of the server it is of."""

from __future__ import annotations

from collections.abc import Iterable

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


def servers(s: str, flags: Iterable[int], variables: Iterable[int], *, services: bool) -> dict[str, Side]:
    """The ports, host names and variables in the flags and variables that begin at the given indices of ``s``, with their sides.

    One that both sides are given is left out, and so is what stands in a line that is a comment. With ``services`` the text
    holds Kubernetes objects: the port of a Service is left out, because the container behind it may have another.
    """
    seen: dict[str, set[Side]] = {}
    for pattern, i in [*((_PROXY, i) for i in flags), *((_PROXY_VAR, i) for i in variables)]:
        m = pattern.match(s, i)
        if m is None or _DISABLED.match(s, s.rfind("\n", 0, i) + 1, i):
            continue
        side = Side.PREFILL if m.group("flag").lower().startswith("prefill") else Side.DECODE
        value = m.group("value").split("#", 1)[0]
        if _HOSTS.search(m.group("flag")):
            for name in _BARE_HOST.findall(value):
                seen.setdefault(name.lower(), set()).add(side)
        for p in _PORT.finditer(value):
            if not (services and _SERVICE.search(value[: p.start()])):
                seen.setdefault(p.group(1) or "$" + p.group(2), set()).add(side)
        for h in _HOST.finditer(value):
            if not _LOOPBACK.match(h.group(1)):
                seen.setdefault(h.group(1).lower(), set()).add(side)
    return {k: next(iter(v)) for k, v in seen.items() if len(v) == 1}
