"""One file's bytes to its sites: which reader takes it, and what its name says."""

from __future__ import annotations

from functools import lru_cache

from kvroles.evidence import kinds, pickers
from kvroles.evidence.arms import Arms
from kvroles.evidence.frames import Scope, Side, Site
from kvroles.evidence.names import split_name
from kvroles.evidence.patterns import regex
from kvroles.evidence.signs import signs
from kvroles.evidence.signs.comparisons import of_rule
from kvroles.evidence.signs.messages import explained
from kvroles.evidence.text import TOKEN, Text
from kvroles.migrate.connector import connectors, connectors_in_text
from kvroles.migrate.connector.connectors import Kind
from kvroles.migrate.readers import lines, patched, registry, sniff
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.template import actions as template
from kvroles.migrate.readers.template import branches as branches_of

_TEST_FILE = regex(r"^test_.*\.py$|_test\.(?:go|py)$|^conftest\.py$")
# Records by their own name: what a console or a tool writes, what tells of releases, tables of what was measured.
_RECORD_NAME = regex(
    r"""(?ix)
    \.(?:log|out|err|orig|rej|snap|golden|po|sarif)(?:\.(?:\d+|gz|txt|old|bak))?$
    | (?:^|/)(?:change-?logs?|news|history|release[-_]?notes)\b(?:.*\.(?:md|mdx|rst|txt|adoc|html?))?$
    | (?:^|[/_.-])(?:results?|bench\w*|metrics|reports?|summary|stats|traces?)[^/]*\.(?:csv|tsv|jsonl|ndjson)$
    | (?:^|[/_-])(?:test[-_]results?|results?)\.(?:md|json|txt|ya?ml)$
    | (?:^|[/_-])logs?\.txt$"""
)
_OUTPUT = regex(r"(?i)\.(?:out|log|err)$")
# Folders of what tests expect to be rendered (elsewhere a ``golden/`` may be in use); and those that runs write to, beside which
# configs in use may lie.
_RENDERED_DIR = regex(
    r"(?i)(?:^|/)(?:__snapshots?__|(?:tests?|testdata|test[-_]data|specs?|fixtures?|__tests__|e2e)/(?:[^/]+/)*(?:snapshots|goldens?|recorded))/"
)
_RUN_DIR = regex(
    r"""(?ix) (?:^|/) (?: (?:logs?|results?|benchmark[-_]results?|test[-_]results?|reports?)
    | [\w.-]*?(?<!\d)20\d\d(-?)[01]\d\1[0-3]\d[-_T][0-2]\d[-:h]?[0-5]\d(?!\d{3})[\w:.-]* )/"""  # of a date and time
)
_RUN_FORMAT = regex(
    r"(?i)(?:^|/)[^/.]+$|\.(?:md|mdx|rst|adoc|txt|log|json|jsonl|ndjson|csv|tsv|html?|xml|svg|ipynb|gz)$"
)
# What a speller reads: its settings and dictionaries, and lists of words, each on a line of its own.
_SPELLER = regex(
    r"(?i)(?:^|/)(?:\.?cspell[\w.-]*\.(?:jsonc?|ya?ml|toml|txt)|[._]?typos\.toml|\.codespell\w*|[^/]*\.(?:dic|pws))$"
)
_WORD_LIST = regex(
    r"(?i)(?:^|/)(?:\.?c?spell\w*|dictionar(?:y|ies)|vocab\w*|word-?lists?)/(?:[^/]+/)*[^/]+\.txt$"
    r"|(?:^|/)[\w.-]*(?:spelling|word-?list)[\w.-]*\.txt$"
)
_WORD_ALONE = regex(rf"(?m)^[ \t]*{TOKEN}[ \t]*\r?$")
_PLAIN_WORDS = regex(r"[A-Za-z][A-Za-z']*(?:,? [a-z][a-z']*){2,20},? kv_both(?:[,.]? [a-z][a-z']*){0,20}[.!]?[ \t]*\r?")
_LINES_OF_JSON = regex(r"\.(?:jsonl|ndjson)$")
# {{ prefill_kv | default('...') }}
_DEFAULTED = regex(
    r"\{\{-?\s*([\w.]+)\s*\|\s*(?:d|default)\b"
    r"|\{\{-?\s*default\s+(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|`[^`]*`)\s+\(?([\w.$]+)\)?\s*(?:\||-?\}\})"
)
_ARM = regex(r"(?:if|with|range|for)\b")  # what is there under a condition, or as often as it says
_NO_ARM = regex(r"(?:define|block|macro|raw|call|filter|autoescape|set)\b")
_BARE = frozenset({"value", "word"})  # no role by anything that stands with it
_KIND_NAMES = frozenset(
    {"dockerfile", "containerfile", "makefile", "justfile", ".env"}
)  # what follows their dot is a name


def file_scope(name: str, ctx: File) -> Scope:
    """The outermost scope: what the file's name, then its folders', say. Nearest wins; the rest is not looked at."""
    scope = Scope("file", name, None)
    parts = name.split("/")
    if _TEST_FILE.search(parts[-1]):
        return scope  # named for what it tests
    disagg = any(w in {"disagg", "disaggregated", "disaggregation", "pd"} for p in parts for w in split_name(p))
    for depth, part in enumerate(reversed(parts)):
        stem = part.rsplit(".", 1)[0] if depth == 0 else part
        stem = part if stem.lower() in _KIND_NAMES else stem
        sides = ctx.sides_of(stem) - ({Side.ENCODE, Side.AGGREGATED} if disagg else {Side.ENCODE})
        if len(sides) == 1:
            scope.cues.append((kinds.FILE_NAME if depth == 0 else kinds.FOLDER).cue(next(iter(sides)), part))
            break
        if sides:
            break
    return scope


@lru_cache(maxsize=64)  # of one file it is asked some times
def recorded(name: str) -> bool:
    """Whether a file records what once ran (a log, a report, a patch, a change log), by its name."""
    if _RECORD_NAME.search(name) is not None or _RENDERED_DIR.search(name) is not None:
        return True
    return among_records(name) and _RUN_FORMAT.search(name) is not None


def records(ctx: File, name: str) -> bool:
    """Whether a file records what once ran, by its ``name``. What has a shebang is a program, even as ``prefill.out``."""
    if (m := _OUTPUT.search(name)) is not None and sniff.shebang(ctx.text.s):
        name = name[: m.start()]
    return recorded(name)


def among_records(name: str) -> bool:
    """Whether a file lies in a folder that runs write to: a script or a manifest there may be a copy, or in use."""
    return _RUN_DIR.search(name) is not None


def patches(ctx: File) -> bool:
    """Whether a file is a patch by its name and its hunks; one of Kustomize's has none, and is read as what it is."""
    return patched.is_named(ctx.name) and patched.has_hunks(ctx.text.s)


def _records(s: str) -> bool:
    """Whether a text shows that it is a log or a patch, as its name says."""
    return sniff.looks_logged(s) or sniff.looks_patched(s)


def read(ctx: File) -> list[Site]:
    """One site for each ``kv_both`` in a file, as part of a longer word too, sorted by place.

    A word of which no reader made a role is of the kind of its sign (``signs.SIGNS``), or "unread".
    """
    up = file_scope(ctx.name, ctx)
    t = ctx.text
    if records(ctx, ctx.below) or ((records(ctx, ctx.name) or _LINES_OF_JSON.search(ctx.name)) and _records(t.s)):
        return [Site(t.at(i), up, "log") for i in t.words()]
    if patches(ctx) and (not ctx.asked_for or sniff.looks_patched(t.s)):
        live = patched.applied(ctx.path, ctx.name)
        return [Site(t.at(i), up, "unread" if live and patched.adds(t.s, i) else "log") for i in t.words()]
    if _SPELLER.search(ctx.name) is not None:
        return [Site(t.at(i), up, "speller's word") for i in t.words()]
    lang = language(ctx.name, t)
    if ctx.others and len(ctx.of_others) == len(t.words()):
        return _of_others(ctx, t, up, lang)
    t = t if lang == "hcl" or "%{" not in t.s else t.same_places(template.with_directives(t.s))
    if templated := template.is_template(t):
        arms = [(t.at(b.start), t.at(b.end)) for b in template.branches(t.s) if _ARM.match(b.condition)]
        ctx.arms = Arms(t.s, arms) if arms else None
    seen: dict[int, Site] = {}
    lang = (
        "yaml" if ctx.arms is not None and lang == "json" else lang
    )  # reads JSON too, and conditionals round its keys
    for site in sorted(ctx.read(t, up, lang), key=lambda s: (s.pos, s.kind != "role")):
        seen.setdefault(site.pos, site)
    if templated:
        _in_arms(t, seen, ctx)
    _in_actions(t, seen, up, ctx, [*(template.actions(t.s) if templated else ()), *template.expressions(t.s)])
    if _WORD_LIST.search(ctx.name) is not None:
        for m in _WORD_ALONE.finditer(t.s):
            place = t.at(m.start() + m.group().index(TOKEN))
            seen[place] = Site(place, up, "speller's word")
    copies = signs.last_applied(t)
    spoken = lang if lang not in {"", "unknown"} else _spoken(ctx)
    return [_accounted(t, i, seen.get(t.at(i)), spoken, copies, up, ctx) for i in t.words()]


def _of_others(ctx: File, t: Text, up: Scope, lang: str) -> list[Site]:
    """The sites of a file whose every role another connector is meant for: none is NIXL's, but where a connector's place holds
    what is filled in later, or is set again."""
    filled: dict[int, Site] = {}
    if connectors_in_text.may_be_filled(ctx.mentions, t.words()):  # else no parser is asked
        found = (s for s in ctx.read(t, up, lang) if s.kind == "role")
        filled = {s.pos: s for s in found if _filled_later(s.connector) or ctx.set_anew(s)}
    return [filled.get(t.at(i), Site(t.at(i), up, "unread")) for i in t.words()]


def _in_arms(t: Text, sites: dict[int, Site], ctx: File) -> None:
    """Say of each role in a template's conditional or loop what that says, where the reader of its language knows of none."""
    nest = template.nest(t.s)
    for i in t.words():
        site = sites.get(t.at(i))
        if site is None or site.kind != "role":
            continue
        known = {s.name for s in site.scope.chain() if s.kind == "branch"}
        for b in nest.around(i):
            if not _NO_ARM.match(b.condition) and b.condition not in known:
                site = site._replace(scope=branches_of.scope_of(b, site.scope, t, ctx))
        sites[site.pos] = site


def _in_actions(t: Text, sites: dict[int, Site], up: Scope, ctx: File, actions: list[tuple[int, int]]) -> None:
    """Say of each role in a template's action, or in an expression of GitHub's, what that says: which variable it stands in for,
    and by which condition it is chosen; or that it stands in a comment."""
    for a, b in actions:
        told = t.tokens_in(a, b)
        if told and template.is_comment(t.s[a:b]):
            sites.update((t.at(i), Site(t.at(i), up, "comment")) for i in told)
            continue
        for i in told:
            site = sites.get(t.at(i))
            if site is None or site.kind != "role":
                continue
            action, scope = t.s[a:b], site.scope
            if (named := _DEFAULTED.match(action)) is not None:
                scope = lines.keyed(named.group(1) or named.group(2), t.at(a), scope, ctx)
            if (chosen := pickers.ternary(action, i - a)) is not None:
                cues = pickers.cues(*chosen, chosen.condition[:80], ctx, t.at(a))
                scope = Scope("branch", action[:80], scope, cues)
                scope.fork = t.at(a), i
            sites[site.pos] = site._replace(scope=scope)


def _filled_later(connector: str | None) -> bool:
    return (
        connector is not None
        and connectors.is_placeholder(connector)
        and not connectors.placeholder_of_other(connector)
    )


def _spoken(ctx: File) -> str:
    """What tells how comments look in a file that says no language of ours: its suffix, else what it looks like."""
    base = ctx.name.rsplit("/", 1)[-1].lower()
    suffix = base.rsplit(".", 1)[-1] if "." in base.lstrip(".") else ""
    return suffix if suffix not in {"", "txt"} else sniff.language(ctx.text.s)


def _accounted(
    t: Text, i: int, site: Site | None, lang: str, copies: list[tuple[int, int]], up: Scope, ctx: File
) -> Site:
    """The site of the word at ``i``: what a reader made of it, else its sign, else that it is unread."""
    if any(a <= i < b for a, b in copies):
        return Site(t.at(i), up, "last-applied")
    if site is not None and site.kind not in {"role", "unknown", *_BARE}:
        return site
    if site is not None and site.kind == "role" and explained(t.s, i):
        return site._replace(kind="message")
    if site is not None and site.kind == "role" and lang == "yaml" and of_rule(t.s, i):
        return site._replace(kind="pattern")
    if site is not None and site.kind not in _BARE and connectors.kind_of(site.connector, ctx.nixl) is not Kind.UNKNOWN:
        return site
    sign = signs.sign_of(t.s, i, lang)
    if site is not None and site.kind == "word" and sign == "prose" and not _of_a_page(t.s, i, ctx):
        sign = ""
    if site is not None and site.kind not in _BARE:  # a role by its key, whoever's it is: a sentence near by is no sign
        return site if sign in {"", "prose", "key"} else site._replace(kind=sign)
    return Site(t.at(i), site.scope if site is not None else up, sign or "unread", site.connector if site else None)


def _of_a_page(s: str, i: int, ctx: File) -> bool:
    """Whether the line of index ``i`` is of plain words, in a file of text: it is no command."""
    a, b = s.rfind("\n", 0, i) + 1, s.find("\n", i)
    line = s[a : b if b >= 0 else len(s)]
    return ctx.name.lower().endswith(".txt") and _PLAIN_WORDS.fullmatch(line) is not None


def language(name: str, t: Text) -> str:
    """The language a file is read as: its name's, its first line's, or what its text looks like."""
    name = patched.stem(name)
    if lang := registry.lang_of_name(name) or sniff.shebang(t.s):
        return "unit" if lang == "shell" and registry.of_variables(name) and sniff.holds_bare_objects(t.s) else lang
    if name != "-" and registry.named_for_another(name):
        return "unknown"
    return "log" if sniff.looks_logged(t.s) else ""
