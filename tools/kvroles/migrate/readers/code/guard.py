"""What is certain where a statement runs, by a condition round it or one before it that leaves: the connector, the side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

from tree_sitter import Node

from kvroles.evidence import pickers
from kvroles.evidence.patterns import regex
from kvroles.migrate.connector.connectors import is_connector_key
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.base import MANY
from kvroles.migrate.readers.code.source import Source

# ``cfg["kv_connector"] == "NixlConnector"``: what is compared, how, with what. Nothing else may stand in the condition.
_COMPARED = regex(
    r"""(?x)^\(*\s* (?P<what>[\w.]+ (?: \[ ["'] \w+ ["'] \] | \.get\( ["'] \w+ ["'] \) )? ) \s*
    (?P<how>===?|!==?) \s* ["'`] (?P<name>\w+) ["'`] \s*\)*$"""
)
_LEAVES = regex(
    r"^\s*(?:(?:return|raise|continue|break|throw|panic|sys\.exit|os\._?[eE]xit|(?:std::)?process(?:\.|::)exit|k?log\.Fatal\w*)\b"
    r"|(?:exit|quit)\(|(?:anyhow::)?bail!|unreachable!)"
)
# A variant of Rust's enumeration, in ``Some(...)`` or ``Ok(...)`` too.
_VARIANT = regex(r"(?:(?:Some|Ok)\(\s*)?&?((?:\w+::)+\w+)\s*(?:\{[^{}|]*\}|\([^()|]*\))?\)?")
_CONJUNCT = regex(r"\band\b|&&")
_OTHER = regex(r"\bor\b|\|\||\bnot\b|!(?!=)")


def connector(unit: Source, statement: Node) -> str | None:
    """The connector that is certain where ``statement`` runs; None if no condition compares one."""
    inner = statement
    for owner in grammar.owners(statement):
        if owner.type in unit.spec.branch and (name := _inside(unit, owner, inner)) is not None:
            return name
        if owner.type in unit.spec.block and (name := _before(unit, owner, inner)) is not None:
            return name
        if owner.type in unit.spec.function:
            return None
        inner = owner
    return None


def _inside(unit: Source, branch: Node, inner: Node) -> str | None:
    """What a branch compares a connector with, if ``inner`` is what runs where the two are equal."""
    condition, body = branch.child_by_field_name("condition"), branch.child_by_field_name("consequence")
    if condition is None or body is None or not body.start_byte <= inner.start_byte < body.end_byte:
        return None
    return _compared(grammar.text(unit.t, condition), "=")


def _before(unit: Source, block: Node, inner: Node) -> str | None:
    """What a statement before ``inner`` compares a connector with, if it leaves the function where the two differ."""
    start, name = unit.kept("guard", block, partial(_first, unit, block))
    return name if start < inner.start_byte else None


def _first(unit: Source, block: Node) -> tuple[int, str | None]:
    """The place of a block's first statement that compares a connector and may leave the block, and the name it compares with."""
    for node in block.named_children:
        if node.type == "assert_statement" and node.named_children:
            name = _compared(grammar.text(unit.t, node.named_children[0]), "=")
        else:
            condition = _left_where(unit, node)
            name = _compared(condition, "!") if condition is not None else None
        if name is not None:
            return node.start_byte, name
    return 0, None


class Left(NamedTuple):
    """A branch that leaves the block it stands in, and what it asks."""

    branch: Node
    condition: str


def left_before(unit: Source, block: Node, inner: Node) -> list[Left]:
    """The branches of a block, first one first, that ask for a side and leave the block before ``inner``: what they ask does not
    hold there."""
    leaving = unit.kept("leaving", block, lambda: list(islice(_leaving(unit, block), MANY)))
    return [left for left in leaving if left.branch.end_byte <= inner.start_byte]


def _leaving(unit: Source, block: Node) -> Iterator[Left]:
    first = True  # behind anything else, what is made sure of may be what that has made
    for child in block.named_children:
        branch = _statement(child)
        made_sure = _made_sure(unit, branch) if first and not unit.ctx.holds_tests else None
        condition = made_sure or _left_where(unit, branch)
        first = first and (condition is not None or child.type in unit.spec.comment or _is_docstring(child))
        if condition is not None and pickers.asks(condition):
            yield Left(branch, condition)


def _is_docstring(node: Node) -> bool:
    return (
        node.type == "expression_statement" and node.named_child_count == 1 and node.named_children[0].type == "string"
    )


def _made_sure(unit: Source, node: Node) -> str | None:
    """The denial of what a statement makes sure of: ``assert role == "prefill"``, Rust's ``let Role::Prefill = role else``."""
    if node.type == "assert_statement" and node.named_children:
        return f"not ({grammar.text(unit.t, node.named_children[0])})"
    if node.type != "let_declaration" or (other := node.child_by_field_name("alternative")) is None:
        return None
    pattern, asked = node.child_by_field_name("pattern"), node.child_by_field_name("value")
    if pattern is None or asked is None or not _leaves(unit, other):
        return None
    variant = _VARIANT.fullmatch(grammar.text(unit.t, pattern))
    return f"!(let {variant[1]} = {grammar.text(unit.t, asked)})" if variant is not None else None


def _statement(node: Node) -> Node:
    """Rust's ``if`` is an expression, and stands in a statement."""
    return node.named_children[0] if node.type == "expression_statement" and node.named_child_count == 1 else node


def _left_where(unit: Source, node: Node) -> str | None:
    """The condition of a branch without an else whose body leaves the block; None for any other statement."""
    if node.type not in unit.spec.branch or node.child_by_field_name("alternative") is not None:
        return None
    condition, body = node.child_by_field_name("condition"), node.child_by_field_name("consequence")
    if condition is None or body is None or not _leaves(unit, body):
        return None
    return grammar.text(unit.t, condition)


def leaves(unit: Source, branch: Node) -> bool:
    """Whether a branch has no else, and leaves its block where its condition holds."""
    return _left_where(unit, branch) is not None


def _leaves(unit: Source, body: Node) -> bool:
    """Whether the last statement of a body leaves the block that the body stands in."""
    while body.type in unit.spec.block:
        inside = [c for c in body.named_children if c.type not in unit.spec.comment]
        if not inside:
            return False
        body = inside[-1]
    return _LEAVES.match(grammar.text(unit.t, body)) is not None


def _compared(condition: str, sign: str) -> str | None:
    """The name that a condition, or one of its conjuncts, compares a connector with; ``sign`` begins the operator."""
    if _OTHER.search(condition) or (sign == "!" and _CONJUNCT.search(condition)):
        return None
    for part in _CONJUNCT.split(condition):
        m = _COMPARED.match(part.strip())
        if m is not None and m["how"].startswith(sign) and is_connector_key(re.sub(r"[\])\"']+$", "", m["what"])):
            return m["name"]
    return None
