"""The positive signs by which a ``kv_both`` configures nothing: what stands right round it says so.

A sign is looked for only where no reader made a connector's role of the word. A word without a role and without a sign is
unread. Every pattern looks at a bounded piece of text, so that a file costs time in proportion to its words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from kvroles.evidence.marks import commented, open_quote
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN
from kvroles.evidence.uses import list_used, put_to_use, taken_from

_NEAR = 240  # characters before and after the word that a sign may stand in
_LINES = 12  # lines above that a block's key is looked for in
_Q = r"(?:\\*[\"'`])*"
_OTHER = rf"{_Q}kv_(?:producer|consumer){_Q}"


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

# --- what stands right before and behind --------------------------------------------------------------------------------

_LONGER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
# An escape that ends in a letter or digit: ``\nkv_both`` is the word itself.
_ESCAPED = regex(r"(?:\\[abfnrtv0]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|%[0-9A-Fa-f]{2}|&\w{2,6};|%[sdvq])$")

_COMPARED_BEFORE = regex(
    rf"""(?x)
    (?: [=!]=[=~]? | =~ | !~ | \}}[ \t]*\|= | \|~ | <> | \bis\ not | \bis | \bnot\ in
      | (?<![\w.-])(?:eq|ne|equals?|matches|isEqual) (?:\s+[^\s"'()]+)? )
    [ \t]* \(? [ \t]* [rbfu]{{0,2}}{_Q}\*? $
    | (?:\[\[? | \btest)\s [^\]\n;{{,]* \$ [^\]\n;{{,]* \s(?:=|==|!=)\s* {_Q}$
    | ^(?!.*\bfor\b) .* [\w\])"'] [ \t]+ in\s*[(\[{{] [^()\[\]{{}}=:;]* {_Q}$
    | \bcase\s+(?:[^:\n]*,\s*)?{_Q}$
    | \bhas\s+[^\s()"']+\s*\(\s*(?:list|tuple)\s[^()]*{_Q}$
    """
)
_COMPARED_AFTER = regex(rf"^{_Q}(?P<closed>\)?)[ \t]*(?:[=!]=|=~|\bnot in\b|\bin\b(?!\s+range)|\bis\b|=>)")
# ``let role = "kv_both" in ...`` gives the word a name; in Python it asks whether the word is a member.
_GIVEN_BEFORE = regex(rf"(?<![=!<>])[:=][ \t]*{_Q}$")
_SAID_AFTER = regex(r"\s*(?:not|in|is)\b")
_IN_AFTER = regex(rf"^{_Q}\s*in\b")
_IN_BRACKETS = regex(r"(?<![\w\])])[ \t]*\([ \t]*[rbfu]{0,2}(?:\\*[\"'`])*$")  # of no call
_ARM_AFTER = regex(rf"^{_Q}\s*(?:\|[^)\n]{{0,80}})?\)")
_ARM_BEFORE = regex(rf"(?:^|\n|;;)[ \t]*\(?(?:[\w*\"'-]+\s*\|\s*)*{_Q}$")
_GLOB_AFTER = regex(r"\*[\"'\s]")  # "*kv_both*"
_PATTERN_KEY = regex(rf"\bpattern(?:[-_]regexp?)?[\"']?:[ \t]*{_Q}$")
_PATTERN_AFTER = regex(rf"^{_Q}\s*(?:\.\*|\.\+|\\b|\[\^)")
_PATTERN_BEFORE = regex(rf"(?:\.\*|\.\+|\\b|\(\?i\)){_Q}$")
_CALLED = regex(
    r"""(?ix)
    \b(?:contains(?:String)?|matches|match|startsWith|endsWith|has_?prefix|has_?suffix|includes|indexOf|index|search
    |find(?:all)?|fullmatch|regexp?(?:p|_match|_search|Match)?|like|count|assert(?:_?(?:equals?|eq|ne|that|true|in|same|contains))?
    |expect|toBe|toEqual|re_match)
    \s*\(\s*[^()\n]*$"""
)
_SED = regex(r"(?:^|[\s\"';])(?:[0-9,$/]*)s([/|#,@!])(?:(?!\1)[^\n])*$")
# The same in what is put in its place.
_SED_NEW = regex(r"(?:^|[\s\"';])(?:[0-9,$/]*)s([/|#,@!])(?:(?!\1)[^\n])*\1(?:(?!\1)[^\n])*$")
_LIST_SEP = r"\s*(?:,|\||/|\bor\b|\band\b|\bvs\b\.?)+\s*(?:\b(?:or|and)\b\s*)?"
_BETWEEN_BEFORE = regex(rf"{_OTHER}(?P<sep>{_LIST_SEP})[rbfu]{{0,2}}{_Q}$")
_BETWEEN_AFTER = regex(rf"^{_Q}(?P<sep>{_LIST_SEP})[rbfu]{{0,2}}{_OTHER}")
_ITEM_BEFORE = regex(rf"(?:^|\n)[ \t]*(?P<mark>-)[ \t]*{_OTHER}[^\n]*\r?\n[ \t]*(?P=mark)[ \t]*{_Q}$")
_ITEM_AFTER = regex(rf"^{_Q}[^\n]*\r?\n[ \t]*(?P<mark>-)[ \t]*{_OTHER}")
_ITEM_MARK = regex(rf"^[ \t]*(-)[ \t]*{_Q}$")
_LOOPED = regex(
    r"\bfor\b[^\n]*\b(?:in|of)\s*$|\bfor_each\s*=\s*(?:\w+\(\s*)?$|\brange\b[^\n{}]*$|\bparametrize\([^\n()]*$"
)
_CLOSED = regex(r"[)\]}]")
_ROLES = regex(r"kv_(?:producer|consumer)")
# What a list stands behind that holds what there is, though not all of it: ``VALID_ROLES = [``, ``choices=[``, ``Literal[``.
_VOCABULARY = regex(
    r"""(?ix) (?<![a-z]) (?: (?:valid|allowed|supported|known|possible|accepted|legal|deprecated|default|permitted|all) [\w-]*
    | \w*(?:choices?|enum|literal|options|members|oneof|anyof|union|contains|kvrole) )
    ["']? \s* (?::[^=\n]{0,60})? [:=(\[{,]{0,3} \s* (?:\w+\s*[(\[{]\s*)* $"""
)
# What a role is given in turn: ``kv_role=choice(kv_both,kv_producer)``, ``kv_role: [kv_both, kv_producer]`` of a matrix.
_SWEPT = regex(r"(?<![A-Za-z])kv[-_]?role[\"']?(?:=(?:[\w.]+\.)?choice|[ \t]*:[ \t]*)$")
_SWEPT_BELOW = regex(rf"(?<![A-Za-z])kv[-_]?role[\"']?:[ \t]*(?:#[^\n]*)?\r?\n(?:[ \t]*-[^\n]*\n)*[ \t]*-[ \t]*{_Q}$")
_LISTED = frozenset(
    {"literal", "choices", "frozenset", "set", "tuple", "list", "enum", "oneof", "union", "contains", "sorted", "validateset",
     "of", "aslist", "arrayof", "in", "toset", "anyof"}
)  # fmt: skip
_KEY_BEFORE = regex(rf"(?:^|\n|[{{,])[ \t]*{_Q}$")
_KEY_AFTER = regex(rf"^{_Q}[ \t]*:(?:[ \t]|\r?\n|$|[{{\[\"'\d])")
_NAMED_BEFORE = regex(
    rf"(?i)(?<![A-Za-z0-9])(?P<name>\w{{0,40}}both)(?:\s+\w+)?\s*(?::\s*[\w.<>&']+\s*)?(?::=|=|:)\s*{_Q}$"
)
_RENAMED = regex(r"\(\s*rename\s*=\s*\"$")  # #[serde(rename = "kv_both")] Both
_RENAMES = regex(r"^\"\s*\)\s*\]\s*(?P<name>\w+)\s*[,}\n]")
_NAMES_OTHER = regex(rf"(?i)(?:producer|consumer)(?:\s+\w+)?\s*(?::\s*[\w.<>&']+\s*)?(?::=|=|:)\s*{_OTHER}")
_CALLED_OLD = regex(r"(?i)^(?:(?!--|//|/\*)[^\n#;{}%]){0,80}\bdeprecat")
# A list that is a call's argument, is indexed or gone through at once, or has a name.
_IN_CALL = regex(r"(\w+)\s*!?\(\s*(?:[^()\n\[\]{}]*,\s*)?(?:[&*]|\[\]\w+|new\s+\w+\[\])?\s*$")
_TAKES = regex(
    r"\s*\)?\s*(?:\[(?!number)|\.(?!includes|contains|indexOf|index\b|count|has\b|some|every|join|length|len\b|iter\(\)\.any))"
)
_QUALIFIED = regex(r"\b[A-Z]\w*$")  # ``List`` of ``List.of(``
_CODE = frozenset(
    {"python", "go", "rust", "javascript", "typescript", "tsx", "powershell", "hcl", "kt", "kts", "java", "rb", "lua"}
)
# One value of a type or schema, where the others stand beside it: ``z.literal("kv_both")``, ``{"const": "kv_both"}``.
_LITERAL_BEFORE = regex(rf"(?:\b(?:[A-Za-z]\w*\.)?[lL]iteral\(\s*|[\"']?const[\"']?:\s*){_Q}$")
_LITERAL_AFTER = regex(rf"{_Q}\s*(?:[),}}\]]|\r?\n|$)")
_LITERAL_OTHER = regex(rf"(?:[lL]iteral\(\s*|[\"']?const[\"']?:\s*){_OTHER}")
_LITERAL_CALL = regex(rf"[lL]iteral\(\s*{_Q}$")
_NEGATED_SCHEMA = regex(rf"[\"']?not[\"']?:\s*\{{?\s*[\"']?const[\"']?:\s*{_Q}$")
# A member of an enumeration of a language of schemas: ``enum KvRole { kv_producer = 1; kv_both = 2; }``.
_ENUM_BEFORE = regex(r"\benum\s+(?P<name>\w+)[^{}]*\{(?P<held>[^{}]*)$")
_ENUM_AFTER = regex(r"\s*(?:=\s*\d+\s*)?[^\n{}\w\"'.(]*[\n;,}]|\s+kv_|\s*\}")
# What holds members of roles, by what stands before its bracket, or above its body in Python.
_HOLDER = regex(
    r"""(?x) \b(?:enum|class|struct|object|interface|namespace|trait)\s+(?:class\s+)?(\w+)[^{}\n]*$
    | (\w+)\s*(?::[^=\n]{0,80})?:?=\s*(?:Object\.freeze\(|map\[[^\]\n]*\]\w+|\w+\.of\(|\w+!?\s*\(?)?\s*$"""
)
_CLASS_ABOVE = regex(r"\s*class\s+(\w+)")
_FAR = 2000  # characters before a member in which the head of its enumeration stands
# Several roles in one word, as a text holds them that is taken apart later.
_JOINED_BEFORE = regex(r"[\w|/]*[|/]$")
_JOINED_AFTER = regex(r"[|/][\w|/]*")
_PARTED = regex(r"""["'`]\)?\s*\.\s*(?:split|Split|rsplit|partition)\b|["'`]\s*,\s*["'`][|/]["'`]""")
_CHOOSES = regex(r"\b(?:and|or)\b|\|\||//")
_OPERATOR = regex(r"[\"']?operator[\"']?[ \t]*:")
_VALUE_OF = regex(rf"(?:^|[\n{{,])[ \t]*(?:-[ \t]+)?[\"']?values?[\"']?:[ \t]*(?:\[[^\]\n]*|\n[ \t]*-[ \t]*)?{_Q}$")

_VALUE_KEY = regex(r"(?m)(?:^|(?<=[\s{,]))([\"']?values?[\"']?):")

# Keys and arguments whose value is told to people or asked of a store, and sets no role.
_TOLD = (
    r"(?:expr(?:ession)?|query|message(?:Expression)?|msg|summary|description|desc|help|usage|title|epilog|doc|docstring"
    r"|notes?|reason|error|hint|regexp?|pattern|match_phrase|match|label|tooltip|caption|alert|logql|promql|rule)"
)
_TOLD_OPEN = regex(
    rf"(?i)\b{_TOLD}\\*[\"']?\s*[:=]\s*[rbfu]{{0,2}}"
    r"(?:([\"'`])(?:\\.|(?!\1)[^\n\\])*|\\+([\"'`])(?:(?!\2)[^\n])*)$"
)
_OBJECT_OPEN = regex(r"\{[^{}]*kv_connector\\*[\"']?\s*:[^{}]*$")  # a config, whatever the key it stands behind
_DEFAULT_TOLD = regex(r"(?i)[(\[]default:? +$")  # of a help text: ``(default: kv_both)``
_TOLD_PLAIN = regex(rf"(?i)^\s*(?:-\s+)?{_TOLD}:\s+[^\s{{\[\"'|>&*!][^\n]*$")
_TOLD_FIRST = regex(r"(?i)^\s*(?:-\s+)?(?:summary|description|desc|help|usage|notes?):\s+$")
_TOLD_BLOCK = regex(rf"(?i)^\s*(?:-\s+)?[\"']?{_TOLD}[\"']?:\s*[|>][+-]?\d*\s*(?:#.*)?$")
_SAYS_CALL = regex(
    r"""(?ix)
    (?: \b(?:log(?:ger|ging)?|logs?|slog|klog|console|warnings?|zap|tracing|sys|err|stderr|stdout|t|b|tb|parser)(?:\.|::)
        (?:debug|info|warn(?:ing)?(?:_once|f|w|ln)?|error(?:f|w|ln)?|critical|exception|fatal(?:f)?|print(?:f|ln)?|log(?:f)?
          |trace|write|exit|skip|skipf|die|debugf|infof|deprecated)
      | \b(?:print|println|printf|eprintln!|println!|panic!?|warn!?|info!|error!|debug!|bail!|anyhow!|fatal|abort|die
          |throw\ new\ \w+|raise\ \w[\w.]*|fmt\.(?:Errorf|Print(?:f|ln)?)|errors\.New|\w*Error|\w+Exception|fail
          |deprecate\w*|write-(?:host|output|error|warning)) )
    \s*\(?\s* (?:[^()\n"'`]*,\s*)? [rbfu]{0,2} (["'`])(?:(?!\1)[^\n])*$"""
)
_NOT_NIXL = regex(
    rf"""(?x)\bif\s+ (?: [\w.]+\.startswith\(\s*["'][Nn]ixl["']\s*\) | ["'][Nn]ixl["']\s+in\s+[\w.()]+
    | [\w.]+\s*==\s*["']NixlConnector["'] ) \s+else\s+{_Q}$"""
)
_DRAWN = regex(r"[\s#/*>\"'`-]*[│┃║╎┆├└╰┣┗╠╚]")  # what a line begins with in a drawn box, table or tree
_NO_SENTENCE = regex(r"--|[={}$;&|]")
_PLAIN_WORD = regex(r"(?<![\w.$/{}=-])[A-Za-z][a-z']*(?=[ ,.;:)]|$)")
_SENTENCE = frozenset(
    {"the", "a", "an", "is", "are", "to", "for", "with", "and", "or", "in", "of", "not", "when", "use", "this", "that", "be",
     "no", "as", "from", "by", "it", "was", "were", "does", "will", "should", "must", "if", "uses", "used", "on"}
)  # fmt: skip
_SENTENCE_WORDS = 3
# The word is all that a key or an item of data holds: ``{a: kv_both, b: ...}``.
_DATA = frozenset({"yaml", "json", "toml"})
_VALUE_BEFORE = regex(r"(?:^|[{,\s])(?:-|[\w.\"'-]+[:=])[ \t]+$")
_VALUE_AFTER = regex(r"[ \t]*(?:[,}\]\r\n]|$|#)")
_BACKTICKS = frozenset(
    {"go", "javascript", "typescript", "tsx", "js", "mjs", "cjs", "jsx", "ts", "mts", "cts"}
)  # a string's
# Texts for people: quotes and backticks set a word off from the sentence it stands in.
_DOCUMENTS = frozenset(
    {"", "markdown", "prose", "log", "txt", "text", "rst", "adoc", "asciidoc", "org", "html", "htm", "tex"}
)


_NO_CODE = (
    _DATA
    | _DOCUMENTS
    | {"shell", "unit", "make", "just", "docker", "json5", "proto", "graphql", "gql", "thrift", "xml"}
)


class Place(NamedTuple):
    """What stands round one ``kv_both``: its text and index, what is before and after it, its line up to it, the language."""

    s: str
    i: int
    before: str
    line: str
    after: str
    lang: str


def sign_of(s: str, i: int, lang: str) -> str:
    """The name of the sign by which the ``kv_both`` at index ``i`` of ``s``, a text in ``lang``, configures nothing; or empty."""
    if longer(s, i):
        return "longer word"
    if commented(s, i, lang):
        return "comment"
    before, after = s[max(0, i - _NEAR) : i], s[i + len(TOKEN) : i + len(TOKEN) + _NEAR]
    place = Place(s, i, before, before[before.rfind("\n") + 1 :], after, lang)
    return next((name for name, holds in _TESTS if holds(place)), "")


def longer(s: str, i: int) -> bool:
    """Whether the seven letters at ``i`` are part of a longer word: an escape's letter before them is none of it."""
    end = i + len(TOKEN)
    if s[end : end + 1] in _LONGER:
        return True
    return s[max(0, i - 1) : i] in _LONGER and _ESCAPED.search(s[max(0, i - 8) : i]) is None


def _compared(p: Place) -> bool:
    after = _COMPARED_AFTER.match(p.after)
    if p.lang != "python" and _IN_AFTER.match(p.after) and _GIVEN_BEFORE.search(p.line):
        return False
    if after is not None and p.lang in _DATA | _DOCUMENTS and _SAID_AFTER.match(p.after):
        after = None  # a word of a sentence, and no operator
    if _NEGATED_SCHEMA.search(p.before):
        return True
    if _COMPARED_BEFORE.search(p.line) or (after is not None and (not after["closed"] or _IN_BRACKETS.search(p.line))):
        return True
    if p.lang == "shell" and _ARM_AFTER.match(p.after) and _ARM_BEFORE.search(p.before):
        return True
    return _VALUE_OF.search(p.before) is not None and _beside_operator(p)


def _beside_operator(p: Place) -> bool:
    """Whether the mapping whose ``value`` or ``values`` hold the word has an ``operator`` too: it selects, and sets nothing."""
    key = list(_VALUE_KEY.finditer(p.before))[-1].start()
    start = p.before.rfind("\n", 0, key) + 1
    lead = p.before[start:key]
    if "{" in lead:
        return _OPERATOR.search(lead[lead.rfind("{") :] + p.after.split("}", 1)[0]) is not None
    for line in reversed(p.before[:start].splitlines() if "-" not in lead else ()):
        if _content(line) < len(lead):
            break
        if _content(line) == len(lead) and _OPERATOR.match(line.lstrip(" -")):
            return True
        if _indent(line) < len(lead):
            break  # the item's first line
    for line in p.after.splitlines()[1:]:
        if line.strip() and _indent(line) < len(lead):
            break
        if _indent(line) == len(lead) and _OPERATOR.match(line.lstrip()):
            return True
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _content(line: str) -> int:
    """The column at which what a line of YAML holds begins, behind the dash of an item."""
    return len(line) - len(line.lstrip(" -"))


def _searched(p: Place) -> bool:
    return any(
        found is not None
        for found in (
            _PATTERN_AFTER.match(p.after),
            _PATTERN_BEFORE.search(p.line),
            _PATTERN_KEY.search(p.line),
            _GLOB_AFTER.match(p.after) if p.line.endswith("*") else None,
            _CALLED.search(p.line) if "(" in p.line else None,
            _SED.search(p.line) if _has_sed(p.line) else None,
        )
    )


def _has_sed(line: str) -> bool:
    return any(f"s{mark}" in line for mark in "/|#,@!")


def _listed(p: Place) -> bool:
    """Beside the other roles in a list, a set, a union or a sentence. The arguments of a call are no list of what there is, nor
    is what a loop runs over, what a call draws from, or a list that the text takes one role out of."""
    mark = _ITEM_MARK.match(p.line)
    if mark is not None and _SWEPT_BELOW.search(p.before):
        return False
    below = _ITEM_AFTER.match(p.after)
    if _ITEM_BEFORE.search(p.before) or (below is not None and mark is not None and below["mark"] == mark[1]):
        return p.lang != "yaml" or _of_all(p)
    beside = _BETWEEN_BEFORE.search(p.before) or _BETWEEN_AFTER.match(p.after)
    if beside is None:
        return False
    if _has_sed(p.line) and _SED_NEW.search(p.line):
        return False
    if p.before.endswith(("*", '*"')) and p.lang == "cue":
        return False  # the default among them
    if (joined := _joined(p)) is not None:
        return joined
    if _whole_string(p) and _CHOOSES.search(beside["sep"]):
        return False  # "kv_both" or "kv_consumer": a choice between two values
    k = next(_opened(p.before, len(p.before)), None)
    if k is None:
        return beside["sep"].strip() != "," or _sentence(p)
    near, called = p.before[max(0, k - 120) : k], p.before[k] == "("
    name = re.search(r"(\w+)\s*$", near)
    if _LOOPED.search(near) or _SWEPT.search(near):
        return False
    if called and (near.rstrip().endswith((")", "]")) or (name is not None and not _lists(name.group(1)))):
        return False
    held = near
    if called and name is not None:  # ROLES = List.of(
        held = _QUALIFIED.sub("", near[: name.start()].rstrip(".:"))
    if (p.lang not in _NO_CODE or _in_action(p.before)) and _drawn_from(p, held):
        return False
    if beside["sep"].strip() != "," and p.lang not in {"yaml", "json", "toml", "shell"}:
        return True  # a union of types
    inside = p.before[k:] + TOKEN + _CLOSED.split(p.after, maxsplit=1)[0]
    return {"kv_producer", "kv_consumer"} <= set(_ROLES.findall(inside)) or _VOCABULARY.search(near) is not None


def _opened(s: str, i: int, stop: int = 0) -> Iterator[int]:
    """Where the brackets begin that are open at index ``i``, innermost first, back to index ``stop``."""
    depth = 0
    for k in range(i - 1, stop - 1, -1):
        if s[k] in ")]}":
            depth += 1
        elif s[k] in "([{":
            if not depth:
                yield k
            depth = max(0, depth - 1)


def _joined(p: Place) -> bool | None:
    """Whether several roles in one word are all there are, or stand in a text for people; None if they are no one word."""
    left, right = _JOINED_BEFORE.search(p.before), _JOINED_AFTER.match(p.after)
    if (left is None and right is None) or p.lang in _DOCUMENTS:
        return None
    a, b = left.start() if left is not None else len(p.before), right.end() if right is not None else 0
    if _sentence(p) or _VOCABULARY.search(p.before[:a].rstrip("\"'`")):
        return True
    word = p.before[a:] + TOKEN + p.after[:b]
    return {"kv_producer", "kv_consumer"} <= set(_ROLES.findall(word)) and _PARTED.match(p.after, b) is None


def _lists(call: str) -> bool:
    """Whether a call of this name makes or names a list of what there is; ``choice`` draws one, ``Choice`` is a type."""
    return call.lower() in _LISTED or call == "Choice"


def _drawn_from(p: Place, near: str) -> bool:
    """Whether a list in source code, which ``near`` stands before, has one of its roles taken out of it."""
    called = _IN_CALL.search(near)
    if called is not None and not (_lists(called[1]) or _CALLED.search(near)):
        return True
    if (closed := _CLOSED.search(p.after)) is not None and _TAKES.match(p.after, closed.end()):
        return True
    return list_used(p.s, p.i, near, p.lang)


def _in_action(before: str) -> bool:
    """Whether an action of a template is open at the end of a text."""
    return max(before.rfind("{{"), before.rfind("{%")) > max(before.rfind("}}"), before.rfind("%}"))


def _of_all(p: Place) -> bool:
    """Whether the items of YAML round the word are all the roles there are, or stand below a key that says so."""
    above = p.before.split("\n")[:-1]
    n = next((k for k in range(len(above), 0, -1) if not above[k - 1].lstrip().startswith("- ")), 0)
    below = p.after.split("\n")
    end = next((k for k in range(1, len(below)) if not below[k].lstrip().startswith("- ")), len(below))
    items = "\n".join([*above[n:], *below[:end]])
    return {"kv_producer", "kv_consumer"} <= set(_ROLES.findall(items)) or (
        n > 0 and _VOCABULARY.search(above[n - 1].rstrip()) is not None
    )


def _literal(p: Place) -> bool:
    """One of the values that a type or a schema lets be, the others standing beside it."""
    if not _LITERAL_BEFORE.search(p.before) or not _LITERAL_AFTER.match(p.after):
        return False
    return _LITERAL_CALL.search(p.before) is not None or _LITERAL_OTHER.search(p.before + TOKEN + p.after) is not None


def _member(p: Place) -> bool:
    """A member of an enumeration without a value of its own, of which nothing takes members by an index or in a loop."""
    enum = _ENUM_BEFORE.search(p.s, max(0, p.i - _FAR), p.i)
    if enum is None or not _ENUM_AFTER.match(p.after) or p.before[-1:] in {'"', "'"}:
        return False
    if not _ROLES.search(enum["held"] + p.after.split("}", 1)[0]):
        return False
    return not taken_from(p.s, enum["name"])


def _defined(p: Place) -> bool:
    """Where the roles are given names, of which the text puts none to use."""
    named = _NAMED_BEFORE.search(p.line) if "both" in p.line.lower() else None
    if named is None and p.lang == "rust" and _RENAMED.search(p.line):
        named = _RENAMES.match(p.after)
        return named is not None and not put_to_use(p.s, named["name"], p.lang)
    if named is None or _NAMES_OTHER.search(p.before + TOKEN + p.after) is None:
        return False
    if (holder := _holder(p)) and taken_from(p.s, holder):
        return False
    used = rf"(?i)\bkv_?role\\*[\"']?\]?\s*(?::=|[:=])[\s\"'\\${{(]*(?:\w*(?:\.|::))*{re.escape(named['name'])}\b"
    return re.search(used, p.s) is None and not put_to_use(p.s, named["name"], p.lang)


def _holder(p: Place) -> str:
    """The name of the enumeration, class or table that a member is of; empty if it is of none."""
    if p.lang == "python" and "{" not in p.line:
        indent = _indent(p.line)
        end = p.i - len(p.line)
        for line in reversed(p.s[max(0, end - _FAR) : end].splitlines()):
            if line.strip() and _indent(line) < indent:
                above = _CLASS_ABOVE.match(line)
                return above[1] if above is not None else ""
        return ""
    for k in _opened(p.s, p.i, max(0, p.i - _FAR + 1)):
        if p.s[k] == "{":
            head = _HOLDER.search(p.s, max(0, p.s.rfind("\n", 0, k), k - _NEAR), k)
            return head[head.lastindex or 1] if head is not None else ""
    return ""


def _keyed(p: Place) -> bool:
    before = _KEY_BEFORE.search(p.before) if _KEY_AFTER.match(p.after) else None
    return before is not None and not p.before[: before.start()].rstrip().endswith("?")  # ``c ?`` on the line above


def _told(p: Place) -> bool:
    """In a text for people, or in what is asked of a store of logs or metrics."""
    if "deprecat" in p.after.lower() and _CALLED_OLD.match(p.after) and not re.search(r"[{]|--", p.line[-60:]):
        return True
    if p.lang in _CODE and _whole_string(p) and not open_quote(p.line[:-1]):
        return False  # a text for people says more than the one word
    if _OBJECT_OPEN.search(p.line):
        return False
    if _DEFAULT_TOLD.search(p.line) and p.after[:1] in {")", "]"}:
        return True
    if _TOLD_OPEN.search(p.line) or (p.lang in {"yaml", "json", "toml", "unit"} and _TOLD_PLAIN.match(p.line)):
        return True
    if _TOLD_FIRST.match(p.line) and re.match(r"[,;]?[ \t]+\w", p.after):
        return True
    if (
        _SAYS_CALL.search(p.line)
        and len(_PLAIN_WORD.findall(p.line + " " + p.after.split("\n", 1)[0])) >= _SENTENCE_WORDS
    ):
        return True
    return p.lang in {"yaml", "json"} and _TOLD_BLOCK.match(_over(p.s, p.i)) is not None


_LOOP = regex(r"(?i)^\s*for(?:each)?\b[ (]*\$?\w+\s+in\b")


def _whole_string(p: Place) -> bool:
    """Whether the word is all of a quoted string, in a language where such a string is a value and not a quotation."""
    quote = p.after[:1]
    quotes = "\"'`" if p.lang in _BACKTICKS else "\"'"
    return p.lang not in _DOCUMENTS and quote != "" and quote in quotes and p.line.endswith(quote)


def _sentence(p: Place) -> bool:
    """Whether plain words, one of them such as only sentences have, stand right round it, or its line begins as a sentence."""
    if _whole_string(p) or (p.lang in _DATA and _VALUE_BEFORE.search(p.line) and _VALUE_AFTER.match(p.after)):
        return False  # "kv_both" if ... else: words of the language round a value
    if _LOOP.match(p.line):
        return False
    before = re.search(r"(?:[A-Za-z][A-Za-z']*[,;:]?[ ]+){1,8}[`*\"']*$", p.line)
    after = re.match(r"[`*\"']*[.,;:]?(?:[ ]+[A-Za-z][A-Za-z']*[,;:.]?){1,8}", p.after)
    near = " ".join(found.group() for found in (before, after) if found is not None)
    if _is_sentence(near, _SENTENCE_WORDS, 1):
        return True
    return _NO_SENTENCE.search(p.line) is None and _is_sentence(" ".join(_PLAIN_WORD.findall(p.line)), 6, 2)


def _is_sentence(text: str, words: int, telling: int) -> bool:
    found = [w.strip(",.;:`*\"'") for w in text.lower().split()]
    return len(found) >= words and sum(w in _SENTENCE for w in found) >= telling


def _elsewhere(p: Place) -> bool:
    return "else" in p.line and _NOT_NIXL.search(p.line) is not None


def _headed(p: Place) -> bool:
    """In a heading of a document."""
    return p.lang == "markdown" and re.match(r"\s{0,3}(?:#{1,6}|=+)\s", p.line) is not None


def _drawn(p: Place) -> bool:
    """In a box, a table or a tree that is drawn with lines."""
    return _DRAWN.match(p.line) is not None


def _over(s: str, i: int) -> str:
    """The line above index ``i`` that its line is indented below, of the last few; empty if there is none."""
    start = s.rfind("\n", 0, i) + 1
    line = s[start : start + 2000]
    indent = _indent(line)
    for _ in range(_LINES):
        if start <= 0:
            return ""
        end = start - 1
        start = s.rfind("\n", 0, end) + 1
        above = s[start : min(end, start + 2000)]
        if above.strip() and _indent(above) < indent:
            return above.rstrip("\r")
    return ""


_TESTS: tuple[tuple[str, Callable[[Place], bool]], ...] = (
    ("prose", _headed),
    ("drawing", _drawn),
    ("other branch", _elsewhere),
    ("message", _told),
    ("comparison", _compared),
    ("enumeration", _literal),
    ("enumeration", _member),
    ("enumeration", _listed),
    ("definition", _defined),
    ("pattern", _searched),
    ("key", _keyed),
    ("prose", _sentence),
)


# --- copies -------------------------------------------------------------------------------------------------------------

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def last_applied(s: str) -> list[tuple[int, int]]:
    """The parts of a text that are the annotation in which kubectl keeps what was applied last."""
    out: list[tuple[int, int]] = []
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
