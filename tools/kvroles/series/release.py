"""Names of vLLM releases: parse them, order them, and resolve what a user typed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, total_ordering

from kvroles.errors import UsageError
from kvroles.places import program

# PEP 440, appendix B, without epochs and post-release spellings vLLM never used.
_VERSION = re.compile(
    r"v?(?P<num>\d{1,9}(?:\.\d{1,9})*)(?:[._-]?(?P<pre>a|b|rc)[._-]?(?P<pren>\d{1,9}))?"
    r"(?:\.post(?P<post>\d{1,9}))?(?:\.dev(?P<dev>\d{1,9}))?(?:\+(?P<local>[a-z0-9.]+))?",
    re.IGNORECASE,
)

FIRST_WITH_NIXL = "0.9.0"  # vllm/distributed/kv_transfer/kv_connector/v1/nixl_connector.py first ships there


@total_ordering
class Version:
    """A PEP 440 version as vLLM uses them; orders as PEP 440 says (``dev`` < ``rc`` < final < ``post``)."""

    def __init__(self, text: str, key: tuple[tuple[int, ...], tuple[int, int, int], int, int]) -> None:
        self.text = text
        self.key = key

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """``text`` as a version, or None when it is not one. A leading ``v`` is dropped; a local part is ignored."""
        m = _VERSION.fullmatch(text.strip())
        if m is None:
            return None
        num = [int(n) for n in m["num"].split(".")]
        while len(num) > 1 and num[-1] == 0:
            num.pop()
        dev = int(m["dev"]) if m["dev"] else None
        if m["pre"]:
            pre = (0, "abr".index(m["pre"][0].lower()), int(m["pren"]))
        elif dev is not None and not m["post"]:
            pre = (-1, 0, 0)  # a bare dev release comes before every pre-release
        else:
            pre = (1, 0, 0)
        post = int(m["post"]) if m["post"] else -1
        clean = text.strip().lstrip("vV")
        return cls(clean, (tuple(num), pre, post, dev if dev is not None else 1 << 30))

    def __lt__(self, other: Version) -> bool:
        return self.key < other.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@cache
def version(text: str) -> Version:
    """``text`` as a version; ValueError when it is none (for text of our own: the lock, file names)."""
    parsed = Version.parse(text)
    if parsed is None:
        raise ValueError(f"not a version: {text!r}")
    return parsed


_SPECIFIER = re.compile(r"(>=|<=|==|!=|<|>)\s*([^\s,]+)")


def in_range(release: str, specifiers: str) -> bool:
    """Whether ``release`` satisfies comma-joined PEP 440 specifiers such as ``>=0.9.0,<0.10.1``.

    Raises ValueError when they are malformed; of the operators, only those our trailers use (``>= <= == != < >``) are known.
    """
    v = version(release)
    fits = True
    for part in specifiers.split(","):
        m = _SPECIFIER.fullmatch(part.strip())
        if m is None:
            raise ValueError(f"not a specifier: {part!r}")
        w = version(m[2])
        fits &= {
            ">=": v >= w,
            "<=": v <= w,
            "==": v == w,
            "!=": v != w,
            "<": v < w,
            ">": v > w,
        }[m[1]]
    return fits


def resolve(text: str, known: Iterable[str]) -> str:
    """The release in ``known`` that a user's ``text`` names (``0.22.1``, ``v0.22.1``, ``latest``).

    Raises UsageError that names the nearest releases, or says that the release predates NIXL.
    """
    releases = sorted(known, key=version)
    if text.strip() in ("latest", ""):
        return releases[-1]
    wanted = Version.parse(text)
    if wanted is None:
        # lazy: slow to load, for a slip in typing only
        import difflib

        near = difflib.get_close_matches(text, releases, n=3, cutoff=0.4) or releases[-3:]
        raise UsageError(
            f"{text!r} is not a vLLM release",
            expected=f"a release such as {', '.join(near)}, or 'latest'",
            fix=f"Run `{program('apply', '--list')}` for all releases; for a tag, branch or commit add --upstream",
        )
    for release in releases:
        if version(release) == wanted:
            return release
    if wanted < version(FIRST_WITH_NIXL):
        raise UsageError(
            f"vLLM {wanted.text} has no NixlConnector, so there is nothing to deprecate in it",
            expected=f"a release from {FIRST_WITH_NIXL} on, the first with NIXL",
            fix=f"Run `{program('apply', '--list')}` for all releases",
        )
    below = [r for r in releases if version(r) < wanted][-2:]
    above = [r for r in releases if version(r) > wanted][:2]
    raise UsageError(
        f"vLLM {wanted.text} is not in the lock (patches/lock.json)",
        expected=f"one of the nearest, {', '.join(below + above)}",
        fix=f"Run `{program('apply', '--list')}` for all releases; for a newer one see `{program('port', '--help')}`, "
        "for a tag or commit add --upstream URL_OR_CLONE",
    )
