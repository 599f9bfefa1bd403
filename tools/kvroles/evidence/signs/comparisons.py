"""A ``kv_both`` that is compared with, or searched for."""

from __future__ import annotations

import re

from kvroles.evidence.patterns import regex
from kvroles.evidence.signs.place import CALLED, DATA, DOCUMENTS, Place, Q, content_of, indent_of

_COMPARED_BEFORE = regex(
    rf"""(?x)
    (?: [=!]=[=~]? | =~ | !~ | \}}[ \t]*\|= | \|~ | <> | \bis\ not | \bis | \bnot\ in
      | (?<![\w.-])(?:eq|ne|equals?|matches|isEqual) (?:\s+(?:[^\s"'()]+|\([^()\n]*\)))? )
    [ \t]* \(? [ \t]* [rbfu]{{0,2}}{Q}(?:\*|[A-Za-z]\w{{0,60}}[-:/+|@])? $
    | (?:\[\[? | \btest)\s [^\]\n;{{,]* \$ [^\]\n;{{,]* \s(?:=|==|!=)\s* {Q}$
    | ^(?!.*\bfor\b) .* [\w\])"'] [ \t]+ in\s*[(\[{{] [^()\[\]{{}}=:;]* {Q}$
    | \bifn?eq\b[ \t]*(?:\((?:[^\n]*,)?[^\s,()]*|["'](?:[^"'\n]*["'][ \t]+["'])?[^"'\n]*)$
    | \bcase\s+(?:[^:\n]*,\s*)?{Q}$
    | \bhas\s+[^\s()"']+\s*\(\s*(?:list|tuple)\s[^()]*{Q}$
    """
)
_COMPARED_AFTER = regex(
    rf"^{Q}(?P<closed>\)?)[ \t]*(?:[=!]=|=~|\bnot in\b|\bin\b(?!\s+range)|\bis\b|=>|\.equals(?:IgnoreCase)?\()"
)
# ``let role = "kv_both" in ...`` gives the word a name; in Python it asks whether the word is a member.
_GIVEN_BEFORE = regex(rf"(?<![=!<>])[:=][ \t]*{Q}$")
_NAMED_ASIDE = regex(rf":=[ \t]*{Q}$")  # (role := "kv_both") == x
_SAID_AFTER = regex(r"\s*(?:not|in|is)\b")
_IN_AFTER = regex(rf"^{Q}\s*in\b")
_IN_BRACKETS = regex(r"(?<![\w\])])[ \t]*\([ \t]*[rbfu]{0,2}(?:\\*[\"'`])*$")  # of no call
_ARM_AFTER = regex(rf"^{Q}\s*(?:\|[^)\n]{{0,80}})?\)")
_ARM_BEFORE = regex(rf"(?:^|\n|;;|\bin[ \t])[ \t]*\(?(?:[\w*\"'-]+\s*\|\s*)*{Q}$")
_GLOB_AFTER = regex(r"\*[\"'\s]")  # "*kv_both*"
_PATTERN_KEY = regex(rf"\bpattern[-_]regexp?[\"']?:[ \t]*{Q}$|(?i:\bselect-string\b[^\n|;]*-pattern[ \t]+){Q}$")
_PYGREP = regex(
    r"(?m)(?:^[ \t]+(?:-[ \t]+)?|[{,][ \t]*)language:[ \t]*[\"']?pygrep\b"
)  # a hook of pre-commit that searches
_ITEM_ABOVE = regex(r"\n[ \t]*-[ \t]")
_ENTRY = regex(r"^[ \t]+(?:-[ \t]+)?(?:\{(?:[^\n]*,)?[ \t]*)?(?:entry|name):[^\n]*$")
# What Renovate looks for, and Semgrep in its rules.
_MATCHED = regex(
    r"\bmatchStrings[\"']?\s*:\s*\[(?:\s*([\"'])(?:\\.|(?!\1)[^\n\\])*\1\s*,)*\s*([\"'])(?:\\.|(?!\2)[^\n\\])*$"
)
_RULE = regex(r"[ \t]*(?:-[ \t]+)?pattern(?:-[a-z]+)*:[ \t]+\S")
_JQ = regex(rf"\b[jy]q\s[^\n]*\b(?:test|match|capture|scan)\(\s*{Q}$")
# A query's condition: ``WHERE kv_role = 'kv_both'``.
_WHERE = regex(rf"(?i)\b(?:where|and|or|not|having|on|when)\s+[\w.\"`]+\s*(?:=|<>|!=|like|in\s*\([^()]*)\s*{Q}%?$")
_PATTERN_AFTER = regex(rf"^{Q}\s*(?:\.\*|\.\+|\\b|\[\^)")
_PATTERN_BEFORE = regex(rf"(?:\.\*|\.\+|\\b|\(\?i\)){Q}$")
# An address or pattern between slashes: ``awk '/kv_both/'``, ``sed -n '/kv_both/p'``, ``/kv_both/.test(s)``.
_BETWEEN_SLASHES = regex(rf"(?:^|[\s\"'~(!,;{{&|=]){Q}/\^?{Q}(?:kv_role\W{{1,4}})?{Q}$")
_PUT_IN = regex(r"(?:^|[\s\"';0-9,$])s/(?:\\.|[^/\n\\])*/(?:\\.|[^/\n\\])*$")  # what sed puts in the place of a pattern
_PRINTED = regex(r"\bprintf?\b[^;{}\n]{0,80}[\"']/$")
_TOOLS = regex(r"(?<![\w./-])(?:[gmn]?awk|sed|perl|ruby)\s")
_SLASH_AFTER = regex(rf"{Q}\$?/(?![\w./])|{Q}\$?/[dIpgim]\b")
_TESTED_AFTER = regex(rf"{Q}\$?/[dgimsuvy]*\.(?:test|exec)\(")
_SED = regex(r"(?:^|[\s\"';])(?:[0-9,$/]*)s([/|#,@!])(?:(?!\1)[^\n])*$")
_NEGATED_SCHEMA = regex(rf"[\"']?not[\"']?:\s*\{{?\s*[\"']?const[\"']?:\s*{Q}$")
# What is put in the place of something else, and what a test or a filter of warnings looks for.
_REPLACED_BEFORE = regex(
    rf"(?:(?<!strings)(?<!bytes)\.replace(?:All|_all)?\(|\b(?:strings|bytes)\.Replace(?:All)?\(\s*[^,\"'`()]+,|\bre\.subn?\("
    rf"|(?i:-[ic]?replace)[ \t]+)\s*[rbfu]?{Q}$"
)
_OPENS = frozenset("\"'`")
_REPLACED_AFTER = regex(rf"{Q}\s*,")
_LOOKED_FOR = regex(rf"[(,]\s*(?:match|message)\s*=\s*[rbfu]{{0,2}}{Q}$")
_OPERATOR = regex(r"[\"']?operator[\"']?[ \t]*:")
_VALUE_OF = regex(rf"(?:^|[\n{{,])[ \t]*(?:-[ \t]+)?[\"']?values?[\"']?:[ \t]*(?:\[[^\]\n]*|\n[ \t]*-[ \t]*)?{Q}$")

_VALUE_KEY = regex(r"(?m)(?:^|(?<=[\s{,]))([\"']?values?[\"']?):")
_NOT_NIXL = regex(
    rf"""(?x)\bif\s+ (?: [\w.]+\.startswith\(\s*["'][Nn]ixl["']\s*\) | ["'][Nn]ixl["']\s+in\s+[\w.()]+
    | [\w.]+\s*==\s*["']NixlConnector["'] ) \s+else\s+{Q}$"""
)


def compared(p: Place) -> bool:
    if p.lang == "python" and _NAMED_ASIDE.search(p.line):
        return False
    after = _COMPARED_AFTER.match(p.after)
    if p.lang != "python" and _IN_AFTER.match(p.after) and _GIVEN_BEFORE.search(p.line):
        return False
    if after is not None and p.lang in DATA | DOCUMENTS and _SAID_AFTER.match(p.after):
        after = None  # a word of a sentence, and no operator
    if "const" in p.before and _NEGATED_SCHEMA.search(p.before):
        return True
    if p.lang == "sql" and _WHERE.search(p.line):
        return True
    if _COMPARED_BEFORE.search(p.line) or (after is not None and (not after["closed"] or _IN_BRACKETS.search(p.line))):
        return True
    if p.lang == "shell" and _ARM_AFTER.match(p.after) and _ARM_BEFORE.search(p.before):
        return True
    return "value" in p.before and _VALUE_OF.search(p.before) is not None and _beside_operator(p)


def _beside_operator(p: Place) -> bool:
    """Whether the mapping whose ``value`` or ``values`` hold the word has an ``operator`` too: it selects, and sets nothing."""
    key = list(_VALUE_KEY.finditer(p.before))[-1].start()
    start = p.before.rfind("\n", 0, key) + 1
    lead = p.before[start:key]
    if "{" in lead:
        return _OPERATOR.search(lead[lead.rfind("{") :] + p.after.split("}", 1)[0]) is not None
    for line in reversed(p.before[:start].splitlines() if "-" not in lead else ()):
        if content_of(line) < len(lead):
            break
        if content_of(line) == len(lead) and _OPERATOR.match(line.lstrip(" -")):
            return True
        if indent_of(line) < len(lead):
            break  # the item's first line
    for line in p.after.splitlines()[1:]:
        if line.strip() and indent_of(line) < len(lead):
            break
        if indent_of(line) == len(lead) and _OPERATOR.match(line.lstrip()):
            return True
    return False


def searched(p: Place) -> bool:
    return any(
        found is not None
        for found in (
            _PATTERN_AFTER.match(p.after),
            _PATTERN_BEFORE.search(p.line),
            _PATTERN_KEY.search(p.line),
            _PYGREP.search(_hook(p)) if p.lang == "yaml" and _ENTRY.match(p.line) else None,
            _MATCHED.search(p.before) if "matchStrings" in p.before else None,
            _between_slashes(p),
            _JQ.search(p.line) if p.lang == "shell" and "(" in p.line else None,
            _LOOKED_FOR.search(p.line) if p.lang == "python" else None,
            _REPLACED_AFTER.match(p.after) if p.line[-1:] in _OPENS and _REPLACED_BEFORE.search(p.line) else None,
            _GLOB_AFTER.match(p.after) if p.line.endswith("*") else None,
            CALLED.search(p.line) if "(" in p.line else None,
            _SED.search(p.line) if has_sed(p.line) else None,
        )
    )


def of_rule(s: str, i: int) -> bool:
    """Whether index ``i`` of YAML stands in a pattern of a rule of Semgrep's: code to look for, an object of it too."""
    if "languages:" not in s or "severity:" not in s or "rules:" not in s:
        return False
    return _RULE.match(s, s.rfind("\n", 0, i) + 1) is not None


def _hook(p: Place) -> str:
    """The lines round the word, up to the list's items before and behind it."""
    return _ITEM_ABOVE.split(p.before)[-1] + "\n" + _ITEM_ABOVE.split(p.after)[0]


def _between_slashes(p: Place) -> re.Match[str] | None:
    if (
        "/" not in p.after[:6]
        or not _BETWEEN_SLASHES.search(p.line)
        or _PRINTED.search(p.line)
        or _PUT_IN.search(p.line)
    ):
        return None
    if p.lang == "shell":
        return _SLASH_AFTER.match(p.after) if _TOOLS.search(p.before) else None
    return _TESTED_AFTER.match(p.after)


def has_sed(line: str) -> bool:
    return any(f"s{mark}" in line for mark in "/|#,@!")


def elsewhere(p: Place) -> bool:
    return "else" in p.line and _NOT_NIXL.search(p.line) is not None
