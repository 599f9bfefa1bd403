"""The positive signs by which a ``kv_both`` configures nothing: what stands right round it says so.

A sign is looked for only where no reader made a connector's role of the word. A word without a role and without a sign is
unread. Every pattern looks at a bounded piece of text, so that a file costs time in proportion to its words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kvroles.evidence.marks import commented
from kvroles.evidence.patterns import regex
from kvroles.evidence.signs.comparisons import compared, elsewhere, searched
from kvroles.evidence.signs.enumerations import completed, defined, denied, keyed, listed, literal, member
from kvroles.evidence.signs.messages import drawn, headed, sentence, told
from kvroles.evidence.signs.place import DATA, NEAR, Place, opened, whole_string
from kvroles.evidence.text import TOKEN, Text


class Sign(NamedTuple):
    """Why a ``kv_both`` configures nothing. ``code`` is the kind of finding that tells of it."""

    name: str
    code: str
    says: str


SIGNS = {
    s.name: s
    for s in (
        Sign("comment", "KVR124", "in a comment: it configures nothing"),
        Sign("prose", "KVR124", "in text: it configures nothing"),
        Sign("drawing", "KVR124", "in a drawn box, table or tree: it configures nothing"),
        Sign("message", "KVR124", "in a message, help text or query: it configures nothing"),
        Sign("longer word", "KVR124", "part of a longer word: it configures nothing"),
        Sign("speller's word", "KVR124", "a word that a speller is to know: it configures nothing"),
        Sign("comparison", "KVR126", "compared with, not set"),
        Sign("pattern", "KVR126", "in a pattern that is searched for, not set"),
        Sign("enumeration", "KVR126", "in a list of the roles there are, not set"),
        Sign("definition", "KVR126", "where the roles are given names, not set"),
        Sign("key", "KVR126", "the key of a table of roles, not set"),
        Sign("other branch", "KVR121", "only where the connector is not NIXL's: left as it is"),
        Sign("expectation", "KVR123", "what a test or a comparison expects: change it with what sets it"),
        Sign("log", "KVR125", "a record of what once ran"),
        Sign("last-applied", "KVR125", "a copy that kubectl keeps of what was applied: it changes with the next apply"),
    )
}


_LONGER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
# An escape that ends in a letter or digit: ``\nkv_both`` is the word itself.
_ESCAPED = regex(r"(?:\\[abfnrtv0]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|%[0-9A-Fa-f]{2}|&\w{2,6};|%[sdvq])$")


# What follows the word where it is the name of a file.
_FILE = regex(r"\.(?:ya?ml|json5?|toml|sh|py|conf|cfg|ini|env|md|txt|tf|j2|tpl|log|png|svg)(?![\w-])")
# The word as a folder of a path: ``./kv_both``, ``kv_both/``, ``kv_both/patch.yaml``.
_OF_PATH = regex(r"(?:^|[\s\"'`\[(,=:])(?P<here>\.{1,2}/(?:[\w.-]+/){0,8})?\Z")
_IN_FOLDER = regex(r"/(?:(?=[\s\"'`\]),;]|\Z)|(?:[\w.-]{1,80}/){0,8}[\w-]{1,80}\.\w{1,8}(?![\w-]))")
_WITH_PATHS = DATA | {"hcl"}


def sign_of(s: str, i: int, lang: str) -> str:
    """The name of the sign by which the ``kv_both`` at index ``i`` of ``s``, a text in ``lang``, configures nothing; or empty."""
    if longer(s, i):
        return "longer word"
    if commented(s, i, lang):
        return "comment"
    before, after = s[max(0, i - NEAR) : i], s[i + len(TOKEN) : i + len(TOKEN) + NEAR]
    place = Place(s, i, before, before[before.rfind("\n") + 1 :], after, lang)
    return next((name for name, holds in _TESTS if holds(place)), "")


def longer(s: str, i: int) -> bool:
    """Whether the seven letters at ``i`` are part of a longer word: an escape's letter before them is none of it."""
    end = i + len(TOKEN)
    if s[end : end + 1] in _LONGER or (s[end : end + 1] == "." and _FILE.match(s, end) is not None):
        return True
    return s[max(0, i - 1) : i] in _LONGER and _ESCAPED.search(s[max(0, i - 8) : i]) is None


def folder(p: Place) -> bool:
    """Whether the word is a folder in a path: a dot begins it, or in data the word does and a slash stands behind it."""
    if not p.line.endswith("/") and not p.after.startswith("/"):
        return False
    before = _OF_PATH.search(p.line)
    if before is None or before["here"] is not None:
        return before is not None
    return p.lang in _WITH_PATHS and _IN_FOLDER.match(p.after) is not None


_SPELLED = regex(r"\"cSpell\.\w+\"\s*:\s*$")  # in an editor's settings
_FAR = 8000  # characters of a list of words


def spelled(p: Place) -> bool:
    """Whether the word is one that the settings of an editor give its speller."""
    if p.lang != "json" or not whole_string(p):
        return False
    k = next(opened(p.s, p.i, max(0, p.i - _FAR)), 0)
    return p.s[k] == "[" and _SPELLED.search(p.s, max(0, k - NEAR), k) is not None


_TESTS: tuple[tuple[str, Callable[[Place], bool]], ...] = (
    ("longer word", folder),
    ("prose", headed),
    ("drawing", drawn),
    ("other branch", elsewhere),
    ("message", told),
    ("speller's word", spelled),
    ("comparison", compared),
    ("enumeration", literal),
    ("enumeration", completed),
    ("enumeration", member),
    ("pattern", denied),
    ("enumeration", listed),
    ("definition", defined),
    ("pattern", searched),
    ("key", keyed),
    ("prose", sentence),
)


_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def last_applied(text: Text) -> list[tuple[int, int]]:
    """The parts of a text that are the annotation in which kubectl keeps what was applied last."""
    out: list[tuple[int, int]] = []
    if not text.has(_LAST_APPLIED):
        return out
    s = text.s
    i = s.find(_LAST_APPLIED)
    while i >= 0:
        start = s.rfind("\n", 0, i) + 1
        lead = s[start:i]
        indent = len(lead) - len(lead.lstrip(" "))
        end = s.find("\n", i)
        end = len(s) if end < 0 else end
        while end < len(s):  # the lines of its value stand deeper than its key
            below = s.find("\n", end + 1)
            below = len(s) if below < 0 else below
            line = s[end + 1 : below]
            if line.strip() and len(line) - len(line.lstrip(" ")) <= indent:
                break
            end = below
        out.append((i, end))
        i = s.find(_LAST_APPLIED, end)
    return out
