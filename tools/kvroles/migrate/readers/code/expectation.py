"""What a test expects and what a search looks for: a text that has to change with its source, and sets nothing here.

What goes into a call that does more than to make a value is no expectation, whatever the call's result is compared with: it
may be what a server is started with.
"""

from __future__ import annotations

import re

from tree_sitter import Node

from kvroles.evidence.names import split_name
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code.scopes import Unit

# A call that expects what it is given, wherever it stands, or in a test: by its first word, the others being of what is
# compared (``assertDictEqual``, ``check_args``). ``check_call`` and ``verify_server_starts`` do something first.
_ASSERTS = frozenset({"assert", "expect", "should"})
_CHECKS = frozenset({"require", "check", "verify"})
_WORDS = """
all almost any arg args argument arguments awaited be called calls cfg cmd command config connector contain container
contains count debug decode deep deployment dict element elements env eq equal equality equals error errors exactly
false field fields flag flags greater has have in instance is item items json key keys kv len length less line lines
list log logs manifest map match matches ne nil no none not of once option options parameter parameters params pod
prefill prop properties property raised raises regex rendered returns role roles same sequence set settings spec str
strict string subset substring text that to transfer true tuple type value values var vars warn warns with yaml
"""
_COMPARED = frozenset(_WORDS.split())
_EXPECTS = regex(
    r"(?i)^(?:tobe\w*|to(?:strict)?equal|tohave\w*|tocontain\w*|tomatch\w*|tothrow\w*|havekey\w*|containsubstring|deepequal"
    r"|raises)$"
)
_TESTS = regex(r"(?i)^(?:contains?\w*|notcontains|equals?\w*|match\w*|diff|cmp|eq|ne)$")
_LOOKS_FOR = regex(
    r"(?i)^(?:contains?\w*|notcontains|equals?\w*|match(?:es)?|diff|cmp|eq|ne|hasprefix|hassuffix|startswith|endswith|index\w*|count"
    r"|find\w*|search|includes|replace\w*)$"
)
_WANT = regex(r"(?i)^(?:want\w*|expected?\w*|golden\w*|exp_\w+|\w+_expected|\w+_want|expectations?)$")
# A call that only makes a value of what it is given.
_MAKES = regex(
    r"""(?x)^(?: dumps | loads | dict | list | tuple | set | frozenset | call | str | String | Some | Ok | Box | Rc | Arc | vec
    | format | json | from | into | new | to_string | to_owned | stringify | parse | \w*[cC]ontaining | Sprintf | Sprint
    | Marshal\w* | Unmarshal\w* | [pP]tr | To | Ref | Pointer | Equal\w* | Contain\w* | HaveKey\w* | Match\w* | Be\w* | Not
    | And | Or | \w*(?:Config|Args|Spec|Params|Options|Role|EnvVar|Namespace) | append | strip | dedent | join | splitlines
    | split | encode )$"""
)
_TELLS = regex(
    r"(?i)^(?:print\w*|\w*error\w*|fatal\w*|log\w*|info|debug|warn\w*|skip\w*|fail\w*|sprint\w*|repr|len|sort\w*|run)$"
)
_MAKES_ERRORS = regex(
    r"^(?:fmt\.Errorf|errors\.(?:New|Errorf|Wrapf?)|bail|anyhow|panic|unimplemented|unreachable|todo)$"
)
_BEFORE_BRACKETS = regex(r"(\w+)!?\s*$")
_RESULTS = frozenset({"integer", "int_literal", "integer_literal", "number", "none", "nil", "null", "true", "false"})


def expected(unit: Unit, node: Node) -> bool:
    """Whether the string ``node`` is what a test expects or a search looks for."""
    called = False  # it went into a call: what is compared is what comes out of that
    made = True  # and each of these calls only makes a value of it
    inner = node
    for owner in grammar.owners(node):
        if owner.type in unit.spec.function or owner.type == "named_expression":  # (role := "kv_both") == x sets it
            return False
        if _compares(unit, owner) and (not called or (unit.ctx.holds_tests and made and not _with_a_result(owner))):
            return True
        if owner.type in unit.spec.call and owner is not node:
            name = _last(unit.called(owner))
            if _given(owner, node):
                if made and _expects(name, unit.ctx.holds_tests):
                    return True
                if _LOOKS_FOR.match(name) and _looked_for(unit, node, owner):
                    return True
                called, made = True, made and _MAKES.match(name) is not None
        elif owner.type == "token_tree" and (name := _in_macro(unit, owner)):  # a macro's tokens are in no call
            if _LOOKS_FOR.match(name):
                return True
            called, made = True, made and _MAKES.match(name) is not None
        if made and unit.ctx.holds_tests and _wanted(unit, owner, inner):
            return True
        inner = owner
    return False


def raised(unit: Unit, node: Node) -> bool:
    """Whether the string ``node`` is what an error says that is raised or made there."""
    given = node.parent
    call = given.parent if given is not None and given.type in {"argument_list", "arguments", "token_tree"} else None
    if call is None or call.type not in unit.spec.call:
        return False
    if call.parent is not None and call.parent.type in {"raise_statement", "throw_statement"}:
        return True
    return _MAKES_ERRORS.match(unit.called(call)) is not None


def _wanted(unit: Unit, owner: Node, inner: Node) -> bool:
    """Whether ``owner`` gives what is in it a name by which tests know what they want, and nothing else is done with that."""
    if owner.type in unit.spec.assign:
        return any(_WANT.match(n) and not _given_on(unit, n, owner) for n in unit.targets(owner))
    if owner.type in unit.spec.pair:
        return inner is not owner and _WANT.match(unit.key_of(owner)) is not None
    if owner.type in unit.spec.loop and unit.spec.grammar == "go":
        return re.search(r"(?i)\b(want|expect\w*)\b", grammar.text(unit.t, owner).split("{", 1)[0]) is not None
    return False


def _given_on(unit: Unit, name: str, assign: Node) -> bool:
    """Whether what ``name`` is set to in a function is given to a call there that neither compares it nor tells of it."""
    return any(_handed(unit, use) for use in unit.uses_within(name, assign))


def _handed(unit: Unit, use: Node) -> bool:
    for owner in grammar.owners(use):
        if owner.type in unit.spec.function or _compares(unit, owner):
            return False
        if owner.type in unit.spec.call and _given(owner, use):
            name = _last(unit.called(owner))
            if _expects(name, test=True) or _LOOKS_FOR.match(name) or _TELLS.match(name):
                return False
            if not _MAKES.match(name):
                return True
        elif owner.type == "token_tree" and (name := _in_macro(unit, owner)) and not _MAKES.match(name):
            return True
    return False


def _last(called: str) -> str:
    return called.rsplit(".", 1)[-1].rsplit("::", 1)[-1].rstrip("!")


def _expects(name: str, test: bool) -> bool:
    """Whether a call of this name expects what it is given."""
    first, *rest = split_name(name) or [""]
    if first in _ASSERTS or (test and first in _CHECKS):
        return set(rest) <= _COMPARED
    return _EXPECTS.match(name) is not None or (test and _TESTS.match(name) is not None)


def _given(call: Node, node: Node) -> bool:
    """Whether ``node`` is among what a call is given, and not in what is called: ``run("...").expect("it starts")``."""
    called = call.child_by_field_name("function")
    return called is None or not called.start_byte <= node.start_byte < called.end_byte


def _in_macro(unit: Unit, brackets: Node) -> str:
    """The name before brackets within a macro's brackets, as of a call; empty if there is none."""
    if brackets.parent is None or brackets.parent.type != "token_tree":
        return ""
    m = _BEFORE_BRACKETS.search(unit.t.s, max(0, brackets.start_byte - 80), brackets.start_byte)
    return m[1] if m is not None else ""


def _compares(unit: Unit, node: Node) -> bool:
    """Whether an expression compares two values, or asserts one."""
    if node.type == "binary_expression":
        operator = node.child_by_field_name("operator")
        return operator is not None and re.fullmatch(r"[=!]==?", grammar.text(unit.t, operator)) is not None
    return node.type in {"assert_statement", "comparison_operator"}


def _with_a_result(comparison: Node) -> bool:
    """Whether something is compared with a number or with nothing: with how a run ended, not with what a test expects."""
    return comparison.type == "assert_statement" or any(c.type in _RESULTS for c in comparison.named_children)


def _looked_for(unit: Unit, node: Node, call: Node) -> bool:
    """Whether a string is an argument of ``call`` itself that it looks for: of a replacement all but the last string."""
    arguments = node.parent
    if arguments is None or arguments.type not in {"arguments", "argument_list"} or arguments.parent != call:
        return False
    if not unit.called(call).lower().rpartition(".")[2].startswith("replace"):
        return True
    strings = [c for c in arguments.named_children if c.type in unit.spec.string]
    return strings[-1] != node
