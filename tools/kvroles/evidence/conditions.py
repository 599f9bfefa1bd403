"""What a condition that holds says of a server's side.

A condition speaks only in shapes that are known here: a test of a name that means the side, or that name compared with a
side or with a true value, alone or as one conjunct. Whatever else stands in it makes it silent, so that a way to say "not"
that nobody has listed can never turn a side round.
"""

from __future__ import annotations

import re

from kvroles.evidence.expressions import BELOW, EQUAL, KEEPS, Expression, parsed
from kvroles.evidence.frames import Side
from kvroles.evidence.names import (
    ASKS,
    OFF,
    ON,
    PD,
    condition_side,
    count_side,
    own,
    role_key,
    role_value,
    servers_side,
    side_word,
    split_name,
)
from kvroles.evidence.patterns import regex

_UNEQUAL = frozenset({"!=", "!==", "<>", "-ne", "ne"})
_CONSTANT = frozenset({*ON, *OFF, "none", "null", "nil", "nan", "undefined", "defined", ""})
# Tests of one string against another, the receiver standing before the dot or among the arguments.
_LIKE = frozenset(
    {"startswith", "endswith", "startsWith", "endsWith", "hasPrefix", "hasSuffix", "HasPrefix", "HasSuffix", "contains"}
    | {"Contains", "includes", "equals", "equalsIgnoreCase", "EqualFold", "eq", "starts_with", "ends_with", "__eq__"}
)
# What ends so holds several: a server may have both, and a deployment has.
_SEVERAL = (
    "roles", "modes", "stages", "sides", "phases", "pools", "workers", "servers", "nodes", "components", "groups", "services",
    "targets", "instances", "kinds", "types", "topology", "layout", "shape", "deployment", "features",
)  # fmt: skip
_LOOKED_IN = regex(r"\$\{?(\w+)[^=\n]{0,40}=[=~]?\s*(?:\*|[\w-]+\*)")
# Calls that give what they are given, or a default.
_SAME = frozenset({*KEEPS, "string", "str", "bool", "quote", "default", "d"})
# Calls that read a value that is set elsewhere.
_READS = frozenset({"get", "getenv", "Getenv", "index", "var", "include", "tpl", "dig", "printf"})
# What a truth may be told of: ``vllm_is_prefill``.
_SUBJECTS = frozenset({"vllm", "llm", "worker", "node", "instance", "server", "pod", "engine", "self", "this"})
# A name with what it is a member of: ``peer.role``, ``peer?.role``, ``cfg["peer"]["role"]``, ``$peer->role``.
_MEMBERS = regex(r"[A-Za-z_]\w*(?:(?:\.|\?\.|->|::|\[[\"'])\w+(?:[\"']\])?)*")
# Ansible's names of the host and its groups: they are asked for a side as a role is.
_OWN_GROUPS = frozenset({"group_names", "inventory_hostname", "hostname", "ansible_hostname"})
_GROUPS = _OWN_GROUPS | {"groups"}  # which are those of every host


def holds(words: str, *, shell: bool = False) -> Side | None:
    """The side that the condition ``words`` being true means: prefill, decode, shared (either of the two), or None."""
    node = _parsed(words, shell=shell)
    return _says(node) if node is not None else None


def told(words: str, *, value: bool, shell: bool = False) -> tuple[Side | None, bool]:
    """What the condition ``words`` having the truth ``value`` tells: a side, and whether the server is of it (True) or is not
    (False). That it is not of one side makes it one of the other only where there is no third."""
    node = _parsed(words, shell=shell)
    if node is None:
        return None, True
    node, value = _affirmed(node, value)
    if node.kind == "cmp" and node.word in _UNEQUAL:
        side, value = _of_comparison(node._replace(word="eq" if node.word == "ne" else "==")), not value
    else:
        side = _says(node) if value or node.kind not in {"and", "or"} else None
    return side, value


def _parsed(words: str, *, shell: bool) -> Expression | None:
    """The condition ``words``; None if it is of no known shape, or looks for a word in what holds several:
    ``$POOLS = *prefill*``."""
    if shell and "*" in words and any(m[1].lower().endswith(_SEVERAL) for m in _LOOKED_IN.finditer(words)):
        return None
    return parsed(words, shell)


def compared(words: str, *, shell: bool = False) -> str:
    """The last part of the name that a condition compares with a side; empty if it compares none."""
    whole = _parsed(words, shell=shell)
    if whole is None:
        return ""
    node, _ = _affirmed(whole, True)
    if node.kind != "cmp" or len(node.args) != 2:
        return ""
    named = [n for n in node.args if n.kind in {"name", "index", "call"} and _value_side(n) is None]
    return _last(named[0]).rsplit(".", 1)[-1].lstrip("$") if named else ""


def _affirmed(node: Expression, value: bool) -> tuple[Expression, bool]:
    """A node without its denials (``not x``, ``x == false``, ``x != true``), and the truth of that where the truth of the node
    is ``value``."""
    while True:
        denied = node.args[0] if node.kind == "not" else None
        if node.kind == "cmp" and node.word in EQUAL | _UNEQUAL:
            denied = _compared_with(OFF if node.word in EQUAL else ON, node)
        if denied is None:
            return node, value
        node, value = denied, not value


def members(asked: str) -> list[str]:
    """The names in what is asked, each with the names that it is a member of, dots between them."""
    return [".".join(re.findall(r"\w+", m.group())) for m in _MEMBERS.finditer(asked)]


def boolean(words: str, *, shell: bool = False) -> bool:
    """Whether a condition asks a truth that is named for a side (``is_prefill``), or for the first so many of numbered servers:
    where it does not hold, the server is of the other side."""
    whole = _parsed(words, shell=shell)
    if whole is None:
        return False
    node, _ = _affirmed(whole, True)
    if node.kind == "cmp" and node.word in BELOW:
        return True
    if node.kind == "cmp" and node.word in EQUAL:
        node = _compared_with(ON, node) or node
    if node.kind == "call" and node.word in _SAME and len(node.args) == 1:
        node = node.args[0]
    if node.kind not in {"name", "index"}:
        return False
    return next((w for w in split_name(_last(node)) if w not in _SUBJECTS), "") in ASKS


def pattern_side(pattern: str) -> Side | None:
    """The side that an arm of a ``case`` or ``match`` is for: every alternative has to be of it."""
    words = [w.strip().strip("()[]") for w in re.split(r"[|,]", pattern)]
    found = {_of_pattern(w) for w in words}
    return found.pop() if len(found) == 1 else Side.SHARED if found == set(PD) else None


_SELECTED = regex(
    r"\s*[\w./-]+\s*(?:(?P<ne>!)?={1,2}\s*(?P<one>[\w.-]+)|\b(?P<out>not)?in\s*\((?P<each>[\w.,\s-]+)\))\s*"
)


def selector_side(selector: str) -> Side | None:
    """The side that a label selector asks for: ``role=prefill,app=x``, ``role in (prefill)``; never what it leaves out."""
    found, _ = selector_sides(selector)
    return next(iter(found)) if len(found) == 1 else None


def selector_sides(selector: str) -> tuple[set[Side], set[Side]]:
    """The sides that a label selector asks for, and those that it leaves out."""
    asked: set[Side] = set()
    left_out: set[Side] = set()
    for part in re.split(r",(?![^()]*\))", selector):
        m = _SELECTED.fullmatch(part)
        each = (
            {role_value(w.strip()) or _of_word(w.strip()) for w in (m["one"] or m["each"]).split(",")} if m else set()
        )
        of = left_out if m is not None and (m["ne"] or m["out"]) else asked
        of |= {side for side in each if side is not None} if each <= set(PD) else set()
    return asked, left_out


# Rust's ``Some(Role::Prefill)`` without what is round it; ``Some(prefill)`` only gives what is there a name.
_HELD = regex(r"^(?:Some|Ok)\((?=&?[\"']|&?(?:\w+::)+\w)")


def _of_pattern(word: str) -> Side | None:
    """The side of one alternative: ``prefill``, ``"prefill"``, ``*prefill*``, ``&Role::Prefill``."""
    word = _HELD.sub("", word).removeprefix("&")
    m = re.fullmatch(r"[\"']?\*?([\w.:*-]*?)\*?[\"']?", word)
    if m is None or "*" in m.group(1):
        return None
    return role_value(m.group(1)) or _of_word(m.group(1))


def _says(node: Expression) -> Side | None:
    """The side that an expression being true means; shared if it means one of the two."""
    match node.kind:
        case "and":
            found = {side for n in node.args if (side := _says(n)) is not None}
            found = found & set(PD) or found
            return found.pop() if len(found) == 1 else None
        case "or":
            each = {_says(n) for n in node.args}
            return each.pop() if len(each) == 1 else Side.SHARED if each == set(PD) else None
        case "cmp":
            return _of_comparison(node)
        case "call":
            return _of_call(node)
        case "name" | "index":
            whole = _whole(node)
            one_of = whole.rpartition(".")[0].lower().endswith(_SEVERAL)  # ``groups.prefill``: there is such a group
            return condition_side(_last(node)) if own(whole) and not one_of else None
        case _:
            return None


def _of_comparison(node: Expression) -> Side | None:
    """The side that a comparison being true means."""
    left, right = node.args
    if node.word in EQUAL:
        name = _compared_with(ON, node)
        return _says(name) if name is not None else _of_pair(left, right, bare=node.word != "eq")
    if node.word in BELOW and right.kind == "name":
        return count_side(right.word)
    if node.word == "in":
        if left.kind in {"string", "call"}:
            asked = role_key(_last(right).removesuffix("s")) or _last(right) in _OWN_GROUPS
            return _value_side(left) if asked and not _last(right).lower().endswith(_SEVERAL) else None
        if right.kind == "index" and right.word in _GROUPS and len(right.args) == 2:
            return _value_side(right.args[1])
        asks = not _named(left) and own(_whole(left))
        if right.kind in {"name", "index"} and left.kind in {"name", "index"} and asks:  # rank in prefill_ranks
            return servers_side(_last(right)) if own(_whole(right)) else None
        return _every(right.args) if right.kind in {"list", "call"} and asks else None
    if node.word == "=~" and right.kind in {"name", "string"}:
        m = re.fullmatch(r"\^?\(?([\w|-]+)\)?(?:\.\*)?\$?", right.word)
        return pattern_side(m.group(1)) if m is not None else None
    return None


def _of_call(node: Expression) -> Side | None:
    """The side that a call being true means: a test of a list or a string, or what hands on its argument."""
    name, args = node.word.rsplit(".", 1)[-1], node.args
    if name == "has" and len(args) == 2:
        inner = args[1] if args[1].kind == "call" else args[0]
        asks = not _named(args[0]) and own(_whole(args[0]))
        return _every(inner.args) if inner.word in {"list", "tuple"} and asks else None
    if name in _LIKE:
        values = [side for n in args if (side := _value_side(n)) is not None]
        others = [n for n in args if _value_side(n) is None]
        if not others and "." in node.word:  # role.startswith("prefill")
            others = [Expression("name", node.word.rpartition(".")[0], ())]
        if any(_last(n).lower().endswith(_SEVERAL) for n in others):
            return None
        if any(_named(n) or n.kind not in {"name", "index", "call"} or not own(_whole(n)) for n in others):
            return None
        if len(others) > 1:
            return None
        return values[0] if values and len(set(values)) == 1 else None
    if name in _SAME and args and (len(args) == 1 or name in {"default", "d"}):
        return _says(args[-1] if args[-1].kind in {"name", "index"} else args[0])
    return None


def _of_pair(left: Expression, right: Expression, *, bare: bool) -> Side | None:
    """The side that one of two compared operands is, the other being a name that is of none; with ``bare`` the right one may be
    a word without quotes."""
    for name, value in ((left, right), (right, left)):
        if (side := _value_side(value, bare=bare and value is right)) is not None and _asked(name):
            if name.kind == "call" and name.word.rsplit(".", 1)[-1] not in _SAME | _READS:
                return None
            return side if not _named(name) else None
    return None


def _asked(node: Expression) -> bool:
    """Whether a node can be what is asked for its side: a name that may change, no constant, and none that leaves sides out."""
    if node.kind == "string":
        return ("$" in node.word and "$(" not in node.word) or "{{" in node.word
    if not own(_whole(node)):
        return False
    return node.kind in {"name", "index", "call"} and node.word.lower() not in _CONSTANT and not node.word.isdigit()


def _every(nodes: tuple[Expression, ...]) -> Side | None:
    """The side that each of the values is of; shared if each is of one of the two."""
    found = {_value_side(n) for n in nodes}
    return found.pop() if len(found) == 1 else Side.SHARED if found == set(PD) else None


def _value_side(node: Expression, *, bare: bool = False) -> Side | None:
    """The side that a value is: a string, a constant of an enumeration, with ``bare`` a word without quotes."""
    if node.kind == "string":
        return (role_value(node.word) if len(node.word) > 1 else None) or _of_word(node.word)
    if node.kind == "call" and node.word.rsplit(".", 1)[-1] in _SAME and len(node.args) == 1:
        return _value_side(node.args[0])
    if node.kind != "name" or node.word.startswith(("$", ".")):
        return None
    *of, word = re.split(r"::|\.", node.word)
    if len(word) < 2 or not (of or bare or word.isupper()) or set(split_name(word)) & _TESTS:
        return None
    return _of_word(word)


# Words of a constant's name that make it a truth or a number.
_TESTS = ASKS | {"self", "this", "am", "num", "count"}


def _of_word(word: str) -> Side | None:
    """Prefill or decode, if a word is the name of that and of nothing else."""
    side = side_word(word)
    return side if side in PD else None


def _named(node: Expression) -> bool:
    """Whether a name that is compared is itself named for a side: what it holds is not this server's."""
    return condition_side(_last(node)) is not None or side_word(_last(node)) is not None


def _last(node: Expression) -> str:
    """The last part of a name: ``role`` of ``.Values.role``, ``cfg["role"]`` and ``lower(role)``."""
    if node.kind == "index" and len(node.args) == 2 and node.args[1].kind == "string":
        return node.args[1].word
    if node.kind == "call":
        return _last(node.args[-1]) if node.args else node.word
    return re.split(r"::|\.", node.word)[-1].lstrip("$")


def _whole(node: Expression) -> str:
    """A name with what it is a member of."""
    if node.kind == "index" and len(node.args) == 2 and node.args[1].kind == "string":
        return f"{_whole(node.args[0])}.{node.args[1].word}"
    if node.kind in {"name", "index"} and _last(node) in node.word:
        return node.word.replace("::", ".").replace("?.", ".").lstrip("$.")
    return _last(node)


def _compared_with(words: frozenset[str], node: Expression) -> Expression | None:
    """The operand of a comparison of two that is compared with one of the ``words``; None if none is."""
    left, right = node.args
    return left if _is(right, words) else right if _is(left, words) else None


def _is(node: Expression, words: frozenset[str]) -> bool:
    """Whether a node is one of the ``words`` for true or for false; PowerShell's own have a dollar before them."""
    word = node.word.lower()
    return node.kind in {"name", "string"} and (word in words or (word in {"$true", "$false"} and word[1:] in words))
