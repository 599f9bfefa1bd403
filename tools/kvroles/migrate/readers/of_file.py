"""One file's bytes to its sites: which carrier reads it, and what its name says."""

from __future__ import annotations

import re

from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Scope, Side, Site, Weight
from kvroles.evidence.text import Text
from kvroles.evidence.words import name_sides, role_value, split_name
from kvroles.migrate.readers import values
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.mapping.tree import Tree

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


def read(ctx: FileCtx) -> list[Site]:
    """The sites in a file, sorted by place."""
    up = file_scope(ctx.name)
    t = ctx.text
    if recorded(ctx.name):
        return [Site(t.at(i), up, "log") for i in t.tokens()]
    lang = (
        values.lang_of_name(ctx.name.rsplit("/", 1)[-1])
        or _shebang(t.s)
        or ("" if ctx.name == "-" else _bare(ctx.name))
    )
    if (said := _comments_only(t)) is not None:
        return [Site(i, up, "comment") for i in said]
    sites = _carrier(lang, t, up, ctx)
    seen: set[int] = set()
    out: list[Site] = []
    for site in sorted(sites, key=lambda s: (s.pos, s.kind != "role")):
        if site.pos not in seen:
            seen.add(site.pos)
            out.append(site)
    out += [_unsaid(t, i, up) for i in t.tokens() if t.at(i) not in seen]  # nothing goes unsaid
    return sorted(out, key=lambda s: s.pos)


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


def _carrier(lang: str, t: Text, up: Scope, ctx: FileCtx) -> list[Site]:
    if lang == "notebook":
        from kvroles.migrate.readers import notebook

        return notebook.scan(t, up, ctx)
    if lang == "unknown":
        return _unknown(t, up, ctx)
    if not lang and values.looks_logged(t.s):
        lang = "log"
    return values.scan_as(lang, t, up, ctx)


def _unknown(t: Text, up: Scope, ctx: FileCtx) -> list[Site]:
    """The sites in a language that is not read: objects in it are found all the same, but nothing in them is changed."""
    sites = values.scan_objects(t, up, ctx)
    known = {s.pos for s in sites}
    for i in t.tokens():
        if t.at(i) not in known and (found := objects.nearest(t, i)) is not None:
            sites += [s for s in Tree(found, t, up, ctx, values.scan).sites() if s.pos == t.at(i)]
    return [Site(s.pos, s.scope, "unknown" if s.kind == "role" else s.kind, s.connector, s.wrappers) for s in sites]


def _shebang(s: str) -> str:
    first = s[:200].split("\n", 1)[0]
    if not first.startswith("#!"):
        return ""
    return (
        "python"
        if "python" in first
        else "just"
        if "just" in first
        else "shell"
        if re.search(r"\b(?:ba|z|k|da)?sh\b", first)
        else ""
    )


def _bare(name: str) -> str:
    """A name with a suffix no carrier knows is read for reporting only; one without any is looked into."""
    base = name.rsplit("/", 1)[-1]
    return (
        "unknown"
        if "." in base.lstrip(".") and not base.lower().endswith((".txt", ".j2", ".tpl", ".tmpl", ".in"))
        else ""
    )
