"""One file's bytes to its sites: which carrier reads it, and what its name says."""

from __future__ import annotations

import re

from kvroles.evidence.frames import Cue, Scope, Side, Site, Weight
from kvroles.evidence.text import Text
from kvroles.evidence.words import name_sides, role_value, split_name
from kvroles.migrate.readers import registry, sniff
from kvroles.migrate.readers.base import File

_TEST_FILE = re.compile(r"^test_.*\.py$|_test\.(?:go|py)$|^conftest\.py$")
_RECORD_NAME = re.compile(
    r"(?i)\.(?:log|out|err|patch|diff|orig|rej|snap|golden|po|csv|tsv|jsonl|ndjson)(?:\.\w+)?$|(?:^|/)(?:change-?log|news|history|release[-_]?notes)\b"
)
_RECORD_DIR = re.compile(
    r"(?i)(?:^|/)(?:logs?|results?|benchmark[-_]results?|test[-_]results?|reports?|__snapshots__|snapshots|goldens?|recorded)/|(?:^|[/_-])(?:test[-_]results?|results?)\.(?:md|json|txt|ya?ml)$"
)
_KIND_NAMES = frozenset({"dockerfile", "containerfile", "makefile", "justfile"})  # what follows their dot is a name


def file_scope(name: str) -> Scope:
    """The outermost scope: what the file's name, then its folders', say. Nearest wins; the rest is not looked at."""
    scope = Scope("file", name, None)
    parts = name.split("/")
    if _TEST_FILE.search(parts[-1]):
        return scope  # named for what it tests
    disagg = any(w in {"disagg", "disaggregated", "disaggregation", "pd"} for p in parts for w in split_name(p))
    for depth, part in enumerate(reversed(parts)):
        stem = part.rsplit(".", 1)[0] if depth == 0 else part
        stem = part if stem.lower() in _KIND_NAMES else stem
        sides: set[Side | None] = set(name_sides(stem))
        if not sides and depth == 0 and stem.lower() in {"p", "d"}:
            sides = {role_value(stem)}
        sides -= {None, Side.ENCODE, Side.AGGREGATED if disagg else None}
        if len(sides) == 1 and (side := sides.pop()) is not None:
            scope.cues.append(Cue(side, Weight.FILE, "file name" if depth == 0 else "folder", part))
            break
        if sides:
            break
    return scope


def recorded(name: str) -> bool:
    """Whether a file records what once ran (a log, a report, a patch, a change log), by its name."""
    return _RECORD_NAME.search(name) is not None or _RECORD_DIR.search(name) is not None


def read(ctx: File) -> list[Site]:
    """The sites in a file, sorted by place."""
    up = file_scope(ctx.name)
    t = ctx.text
    if recorded(ctx.name):
        return [Site(t.at(i), up, "log") for i in t.tokens()]
    if (said := _comments_only(t)) is not None:
        return [Site(i, up, "comment") for i in said]
    sites = ctx.read(t, up, language(ctx.name, t))
    seen: set[int] = set()
    out: list[Site] = []
    for site in sorted(sites, key=lambda s: (s.pos, s.kind != "role")):
        if site.pos not in seen:
            seen.add(site.pos)
            out.append(site)
    out += [_unsaid(t, i, up) for i in t.tokens() if t.at(i) not in seen]  # nothing goes unsaid
    return sorted(out, key=lambda s: s.pos)


def language(name: str, t: Text) -> str:
    """The language a file is read as: its name's, its first line's, or what its text looks like."""
    if lang := registry.lang_of_name(name) or sniff.shebang(t.s):
        return lang
    if name != "-" and registry.named_for_another(name):
        return "unknown"
    return "log" if sniff.looks_logged(t.s) else ""


def _unsaid(t: Text, i: int, up: Scope) -> Site:
    """A token that no carrier accounts for: in a comment at the end of a line, or a role to see to by hand."""
    before = t.s[t.s.rfind("\n", 0, i) + 1 : i]
    if re.search(r"\s(?://|#)", before):
        return Site(t.at(i), up, "comment")
    return Site(t.at(i), up, "role", exact=False)


def _comments_only(t: Text) -> list[int] | None:
    """The places of all tokens if each stands on a line that begins with ``#``, which configures nothing in any language."""
    out: list[int] = []
    for i in t.tokens():
        if not t.s[t.s.rfind("\n", 0, i) + 1 : i].lstrip().startswith("#"):
            return None
        out.append(t.at(i))
    return out
