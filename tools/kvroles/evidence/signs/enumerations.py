"""A ``kv_both`` among the roles there are: in a list, a type, a definition, a table."""

from __future__ import annotations

import re

from kvroles.evidence.marks import open_quote
from kvroles.evidence.patterns import regex
from kvroles.evidence.signs.comparisons import has_sed
from kvroles.evidence.signs.messages import sentence
from kvroles.evidence.signs.place import (
    CALLED,
    CODE,
    DATA,
    DOCUMENTS,
    NEAR,
    NO_CODE,
    OTHER,
    ROLES,
    Place,
    Q,
    indent_of,
    opened,
    whole_string,
)
from kvroles.evidence.text import TOKEN
from kvroles.evidence.uses import gone_through, list_used, put_to_use, taken_from

# The word in what ``sed`` puts in place of something else.
_SED_NEW = regex(r"(?:^|[\s\"';])(?:[0-9,$/]*)s([/|#,@!])(?:(?!\1)[^\n])*\1(?:(?!\1)[^\n])*$")
_LIST_SEP = r"\s*(?:,|\||/|\bor\b|\band\b|\bvs\b\.?)+\s*(?:\b(?:or|and)\b\s*)?"
_BETWEEN_BEFORE = regex(rf"{OTHER}(?P<sep>{_LIST_SEP})[rbfu]{{0,2}}{Q}$")
_BETWEEN_AFTER = regex(rf"^{Q}(?P<sep>{_LIST_SEP})[rbfu]{{0,2}}{OTHER}")
_ITEM_BEFORE = regex(rf"(?:^|\n)[ \t]*(?P<mark>-)[ \t]*{OTHER}[^\n]*\r?\n[ \t]*(?P=mark)[ \t]*{Q}$")
_ITEM_AFTER = regex(rf"^{Q}[^\n]*\r?\n[ \t]*(?P<mark>-)[ \t]*{OTHER}")
_ITEM_MARK = regex(rf"^[ \t]*(-)[ \t]*{Q}$")
_LOOPED = regex(
    r"\bfor\b[^\n]*\b(?:in|of)\s*$|\bfor_each\s*=\s*(?:\w+\(\s*)?$|\brange\b[^\n{}]*$|\bparametrize\([^\n()]*$"
)
_CLOSED = regex(r"[)\]}]")
# What a list stands behind that holds what there is, though not all of it: ``VALID_ROLES = [``, ``choices=[``, ``Literal[``.
_VOCABULARY = regex(
    r"""(?ix) (?<![a-z]) (?: (?:valid|allowed|supported|known|possible|accepted|legal|deprecated|default|permitted|all) [\w-]*
    | \w*(?:choices?|enum|literal|options|members|oneof|anyof|union|contains|kvrole|picklist|value_parser|possible_values) )
    ["']? \s* (?::[^=\n]{0,60})? [:=(\[{,]{0,3} \s* (?:\w+\s*[(\[{]\s*)* $"""
)
# A list of the roles that are no longer taken, be it of one: ``DEPRECATED_ROLES = {``.
_RETIRED = regex(
    r"(?i)(?<![a-z])(?:deprecated|legacy|forbidden|banned|disallowed|denied|obsolete|retired|rejected)\w*roles"
    rf"\s*(?::[^=\n]{{0,60}})?:?=\s*(?P<list>(?:\w+\s*\(\s*)?(?:\[\]\w+)?[\[{{(])\s*{Q}$"
)
# What a policy lets nobody set: ``deniedArgs: [...]``.
_DENIES = (
    r"(?<![A-Za-z])(?:denied|forbidden|banned|disallowed|blocked|rejected)[-_]?"
    r"(?:[Aa]rg(?:ument)?|[Vv]alue|[Rr]ole|[Ww]ord|[Ff]lag|[Pp]attern)s"
)
_DENIED_HERE = regex(rf"{_DENIES}[\"']?[ \t]*[:=][ \t]*\[[^\[\]{{}}]*$")
_DENIED_KEY = regex(rf"{_DENIES}[\"']?:[ \t]*(?:#.*)?$")
# What a role is given in turn: ``kv_role=choice(kv_both,kv_producer)``, ``kv_role: [kv_both, kv_producer]`` of a matrix.
_SWEPT = regex(r"(?<![A-Za-z])kv[-_]?role[\"']?(?:=(?:[\w.]+\.)?choice|[ \t]*:[ \t]*)$")
_SWEPT_BELOW = regex(rf"(?<![A-Za-z])kv[-_]?role[\"']?:[ \t]*(?:#[^\n]*)?\r?\n(?:[ \t]*-[^\n]*\n)*[ \t]*-[ \t]*{Q}$")
_LISTED = frozenset(
    {"literal", "choices", "picklist", "possible_values", "valid", "value_parser",
     "frozenset", "set", "tuple", "list", "enum", "oneof", "union", "contains", "sorted", "validateset",
     "of", "aslist", "arrayof", "in", "toset", "anyof"}
)  # fmt: skip
_KEY_BEFORE = regex(rf"(?:^|\n|[{{,])[ \t]*{Q}$")
_OTHER_KEY = regex(rf"(?:^|[\n{{,])[ \t]*{OTHER}[ \t]*:")
_KEY_AFTER = regex(rf"^{Q}[ \t]*:(?:[ \t]|\r?\n|$|[{{\[\"'\d])")
# ``Both = "kv_both"``, ``KvRole::Both => "kv_both"``, ``"both": "kv_both"``
_GIVES = r"[\"']?(?:\s+\w+)?\s*(?::\s*[\w.<>&']+\s*)?(?::=|=>|->|=|:)\s*(?:return\s+)?"
_NAMED_BEFORE = regex(rf"(?i)(?<![A-Za-z0-9])(?P<name>\w{{0,40}}both){_GIVES}{Q}$")
_RETURNED_BEFORE = regex(rf"(?i)\bcase\s+(?:\w+(?:\.|::))*(?P<name>\w{{0,40}}both)\s*:\s*return\s+{Q}$")
_RENAMED = regex(r"\(\s*rename\s*=\s*\"$")  # #[serde(rename = "kv_both")] Both
_RENAMES = regex(r"^\"\s*\)\s*\]\s*(?P<name>\w+)\s*[,}\n]")
_MADE_BEFORE = regex(
    rf"(?:^|[,{{;\s])(?P<name>(?:[A-Z]\w{{0,40}})?(?:BOTH|Both))\({Q}$"
)  # a member of Java's enumerations
_WITH_MEMBERS = frozenset({"java", "kt", "kts", "scala", "dart", "swift"})
_VALUE_TAKEN = regex(r"(?<![\w.])values\(\)\s*\[")  # within an enumeration its members have no name before them
_DEFAULT_MEMBER = regex(
    r"#\[default\]\s*(?:\w*_)?(?i:\w{0,40}both)\b"
)  # of an enumeration of Rust: taken where nothing is said
_DEFAULT_ABOVE = regex(r"#\[default\]\s*(?:#\[[^\n]*\]\s*)*#\[[^\n\]]*$")
_NAMES_OTHER = regex(rf"(?i)(?:producer|consumer)(?:{_GIVES}|\(){OTHER}")
_NIXL = regex(r"(?i)nixl")
# What chooses among the roles right here: ``val role = when (mode) { Mode.BOTH -> "kv_both"``.
_CHOSEN = regex(r"(?m)^(?![^\n]*\b(?:fun|fn|func|def)\b)[^\n]*[^=!<>\n]=\s*(?:when|match|switch)\b[^{}]*\{[^{}]*\Z")
# A list that is a call's argument, is indexed or gone through at once, or has a name.
_IN_CALL = regex(r"(\w+)\s*!?\(\s*(?:[^()\n\[\]{}]*,\s*)?(?:[&*]|\[\]\w+|new\s+\w+\[\])?\s*$")
_TAKES = regex(
    r"\s*(?:as\s+const\s*)?\)?\s*(?:\[(?!number)|\.(?!includes|contains|indexOf|index\b|count|has\b|some|every|join|length|len\b|iter\(\)\.any))"
)
_OF_ROLES = regex(r"(?i)(?:roles|kinds|types|symbols|values)[\"']?\s*[:=]\s*$")
_TAKEN_IN_TURN = regex(r"(?i)\b(?:matrix|sweep|grid|parallel|axes|strategy|param(?:eter)?s)\b[\"']?\s*[\]:={]")
# The values that a parameter of a pipeline may have: its name and its type stand beside them.
_TYPED = regex(
    r"(?m)^[ \t]*-[ \t]+name:[^\n]*\n(?:[ \t]+\w+:[^\n]*\n)*?[ \t]+type:[ \t]*string\b[^\n]*\n"
    r"(?:[ \t]+\w+:[^\n]*\n)*?[ \t]+values:[^:]*\Z"
)
_EXPANDED = regex(r"(?<![$\w])\{[\w,]*$")
_HELD = regex(r"[\w)\]][ \t]+$")  # what a list stands behind with nothing but a blank between
_QUALIFIED = regex(r"\b[A-Z]\w*$")  # ``List`` of ``List.of(``
# One value of a type or schema, where the others stand beside it: ``z.literal("kv_both")``, ``{"const": "kv_both"}``.
_LITERAL_BEFORE = regex(rf"(?:\b(?:[A-Za-z]\w*\.)?[lL]iteral\(\s*|[\"']?const[\"']?:\s*){Q}$")
_LITERAL_AFTER = regex(rf"{Q}\s*(?:[),}}\]]|\r?\n|$)")
_LITERAL_OTHER = regex(rf"(?:[lL]iteral\(\s*|[\"']?const[\"']?:\s*){OTHER}")
_ONE_OF = regex(r"\boneof=(?:[\w-]+ )*$")  # `validate:"oneof=kv_producer kv_both"`
_OF_SCHEMA = regex(r"<(?:\w+:)?enumeration\s+value\s*=\s*[\"']$")  # of XML
_OF_API = regex(
    rf"\bx-enum-[\w-]+[\"']?:[ \t]*(?:\{{[^{{}}]*|\r?\n(?:[ \t]+\w+:[^\n]*\n)*[ \t]+){Q}$"
)  # of OpenAPI, by their keys
_LITERAL_CALL = regex(rf"[lL]iteral\(\s*{Q}$")
_ENUM_OF = regex(r"\benum\s*\[[^\[\]]*$")  # Nix: types.enum [ "kv_producer" "kv_both" ]
# The words that a shell offers to complete a command with.
_COMPLETES = regex(
    r"""(?x)(?: \b(?:complete|compgen)\s(?:[^\n;|]*\s)?(?:-W|-a|--arguments)\s*(?:=\s*)?["'(]* | \bCOMPREPLY=\(
      | \b(?:compadd|_values)\s[^\n;|]* | \b_arguments\s[^\n]*:\(+ ) ["'\w\s\\-]*$"""
)
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


def listed(p: Place) -> bool:
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
        retired = _RETIRED.search(p.line) if p.lang in CODE else None
        return retired is not None and not list_used(p.s, p.i, p.line[: retired.start("list")], p.lang)
    if has_sed(p.line) and _SED_NEW.search(p.line):
        return False
    if p.before.endswith(("*", '*"')) and p.lang == "cue":
        return False  # the default among them
    if (joined := _joined(p)) is not None:
        return joined
    if whole_string(p) and _CHOOSES.search(beside["sep"]):
        return False  # "kv_both" or "kv_consumer": a choice between two values
    k = next(opened(p.before, len(p.before)), None)
    if k is None:
        return beside["sep"].strip() != "," or sentence(p)
    near, called = p.before[max(0, k - 120) : k], p.before[k] == "("
    name = re.search(r"(\w+)\s*$", near)
    if _LOOPED.search(near) or _SWEPT.search(near):
        return False
    if called and (near.rstrip().endswith((")", "]")) or (name is not None and not _lists(name.group(1)))):
        return False
    if not called and p.lang not in CODE | NO_CODE and _HELD.search(near) and not _VOCABULARY.search(near):
        return False  # held by what, in a language that is not read
    if p.lang == "shell" and _EXPANDED.search(p.before, k) and not open_quote(p.line[:-1]):
        return False  # {kv_both,kv_producer}: words of a command
    if not called and p.lang in CODE and _one_argument(p.before, k):
        return False
    held = near
    if called and name is not None:  # ROLES = List.of(
        held = _QUALIFIED.sub("", near[: name.start()].rstrip(".:"))
    if (p.lang not in NO_CODE or _in_action(p.before)) and _drawn_from(p, held):
        return False
    if beside["sep"].strip() != "," and p.lang not in {"yaml", "json", "toml", "shell"}:
        return True  # a union of types
    inside = p.before[k:] + TOKEN + _CLOSED.split(p.after, maxsplit=1)[0]
    whole = {"kv_producer", "kv_consumer"} <= set(ROLES.findall(inside)) and (p.lang not in DATA or _names_all(p, near))
    return whole or _VOCABULARY.search(near) is not None


def _one_argument(before: str, k: int) -> bool:
    """Whether the list that opens at index ``k`` is one of several arguments of a call that makes no list itself."""
    outer = next(opened(before, k), None)
    if outer is None or before[outer] != "(" or "," not in before[outer:k]:
        return False
    name = re.search(r"(\w+)\s*!?$", before[:outer])
    return (
        name is not None
        and not _lists(name[1])
        and CALLED.search(before[: outer + 1]) is None
        and not _VOCABULARY.search(before[:k])
    )


def _names_all(p: Place, near: str) -> bool:
    """Whether a list of data that names all roles stands behind a key for such a list: what a matrix, a loop or the setting
    ``role`` takes in turn is none."""
    if _OF_ROLES.search(near) is None:
        return False
    return _TAKEN_IN_TURN.search(p.before) is None or _TYPED.search(p.before) is not None


def _joined(p: Place) -> bool | None:
    """Whether several roles in one word are all there are, or stand in a text for people; None if they are no one word."""
    left, right = _JOINED_BEFORE.search(p.before), _JOINED_AFTER.match(p.after)
    if (left is None and right is None) or p.lang in DOCUMENTS:
        return None
    a, b = left.start() if left is not None else len(p.before), right.end() if right is not None else 0
    if sentence(p) or _VOCABULARY.search(p.before[:a].rstrip("\"'`")):
        return True
    word = p.before[a:] + TOKEN + p.after[:b]
    return {"kv_producer", "kv_consumer"} <= set(ROLES.findall(word)) and _PARTED.match(p.after, b) is None


def _lists(call: str) -> bool:
    """Whether a call of this name makes or names a list of what there is; ``choice`` draws one, ``Choice`` is a type."""
    return call.lower() in _LISTED or call == "Choice"


def _drawn_from(p: Place, near: str) -> bool:
    """Whether a list in source code, which ``near`` stands before, has one of its roles taken out of it."""
    called = _IN_CALL.search(near)
    if called is not None and not (_lists(called[1]) or CALLED.search(near)):
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
    key = above[n - 1].rstrip() if n > 0 else ""
    whole = {"kv_producer", "kv_consumer"} <= set(ROLES.findall(items)) and _names_all(p, key)
    return whole or _VOCABULARY.search(key) is not None


def literal(p: Place) -> bool:
    """One of the values that a type or a schema lets be, the others standing beside it."""
    if "enumeration" in p.line and _OF_SCHEMA.search(p.line):
        return True
    if "x-enum-" in p.before and _OF_API.search(p.before):
        return True
    if _ONE_OF.search(p.line) or ("enum" in p.before and _ENUM_OF.search(p.before) is not None):
        return True
    if not _LITERAL_BEFORE.search(p.before) or not _LITERAL_AFTER.match(p.after):
        return False
    return _LITERAL_CALL.search(p.before) is not None or _LITERAL_OTHER.search(p.before + TOKEN + p.after) is not None


def completed(p: Place) -> bool:
    """Among the words that complete a command."""
    return ("comp" in p.line or "_values" in p.line or "COMP" in p.line or "_arg" in p.line) and _COMPLETES.search(
        p.line
    ) is not None


def denied(p: Place) -> bool:
    """Among what a policy lets nobody set."""
    if p.lang not in DATA | {"hcl"}:
        return False
    if _ITEM_MARK.match(p.line):
        above = p.before.split("\n")[:-1]
        return _DENIED_KEY.search(next((a for a in reversed(above) if not a.lstrip().startswith("- ")), "")) is not None
    return _DENIED_HERE.search(p.before) is not None


def member(p: Place) -> bool:
    """A member of an enumeration without a value of its own, of which nothing takes members by an index or in a loop."""
    enum = _ENUM_BEFORE.search(p.s, max(0, p.i - _FAR), p.i)
    if enum is None or not _ENUM_AFTER.match(p.after) or p.before[-1:] in {'"', "'"}:
        return False
    if not ROLES.search(enum["held"] + p.after.split("}", 1)[0]):
        return False
    return not taken_from(p.s, enum["name"])


def defined(p: Place) -> bool:
    """Where the roles are given names, of which the text puts none to use."""
    named = _NAMED_BEFORE.search(p.line) if "both" in p.line.lower() else _RETURNED_BEFORE.search(p.before)
    if named is None and p.lang in _WITH_MEMBERS:
        named = _MADE_BEFORE.search(p.line)
    if named is None and p.lang == "rust" and _RENAMED.search(p.line):
        named = _RENAMES.match(p.after)
        if _DEFAULT_ABOVE.search(p.before) is not None:
            return False
        return named is not None and not put_to_use(p.s, named["name"], p.lang)
    if named is None or _NAMES_OTHER.search(p.before + TOKEN + p.after) is None:
        return False
    if p.lang in DATA and _NIXL.search(p.s) is not None:
        return False  # what a deployment's settings give names to is for its servers
    if _CHOSEN.search(p.s, max(0, p.i - _FAR), p.i) is not None:
        return False
    if p.lang == "rust" and _DEFAULT_MEMBER.search(p.s) is not None:
        return False
    if p.lang in _WITH_MEMBERS and _VALUE_TAKEN.search(p.s) is not None:
        return False
    if (holder := _holder(p)) and taken_from(p.s, holder):
        return False
    used = rf"(?i)\bkv_?role\\*[\"']?\]?\s*(?::=|[:=])[\s\"'\\${{(]*(?:\w*(?:\.|::))*{re.escape(named['name'])}\b"
    return re.search(used, p.s) is None and not put_to_use(p.s, named["name"], p.lang)


def _holder(p: Place) -> str:
    """The name of the enumeration, class or table that a member is of; empty if it is of none."""
    if p.lang == "python" and "{" not in p.line:
        indent = indent_of(p.line)
        end = p.i - len(p.line)
        for line in reversed(p.s[max(0, end - _FAR) : end].splitlines()):
            if line.strip() and indent_of(line) < indent:
                above = _CLASS_ABOVE.match(line)
                return above[1] if above is not None else ""
        return ""
    return _table(p)


def _table(p: Place) -> str:
    """The name of what the innermost open brace belongs to; empty if there is none."""
    for k in opened(p.s, p.i, max(0, p.i - _FAR + 1)):
        if p.s[k] == "{":
            head = _HOLDER.search(p.s, max(0, p.s.rfind("\n", 0, k), k - NEAR), k)
            return head[head.lastindex or 1] if head is not None else ""
    return ""


def keyed(p: Place) -> bool:
    """A key of a table that has another role's beside it, and of which nothing takes the keys in turn."""
    before = _KEY_BEFORE.search(p.before) if _KEY_AFTER.match(p.after) else None
    if before is None or p.before[: before.start()].rstrip().endswith("?"):  # ``c ?`` on the line above
        return False
    if _OTHER_KEY.search(p.s, max(0, p.i - _FAR), p.i + _FAR) is None:
        return False
    table = _table(p)
    return not (table and gone_through(p.s, table))
