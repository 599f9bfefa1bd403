"""Source code of every language in ``SPECS``: configs in literals, in calls, and in the strings that they hold."""

from __future__ import annotations

from functools import partial

from tree_sitter import Node

from kvroles.evidence import marks
from kvroles.evidence.data import Map
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, Text, occurrences
from kvroles.migrate.connector import connectors
from kvroles.migrate.connector.connectors import plain
from kvroles.migrate.readers import grammar, lines
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.code import assigned, environment, feeds, guard
from kvroles.migrate.readers.code.expectation import expected, raised
from kvroles.migrate.readers.code.langs import SPECS
from kvroles.migrate.readers.code.literals import around, literal
from kvroles.migrate.readers.code.scopes import Unit
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.mapping.tree import Tree
from kvroles.migrate.readers.words import role_set

_HOLDS_CONFIG = regex(r"[{\[]\s*\\*[\"']|--\w")  # an object, or a command; {name} is what is put into a message
_HOLDS_PAIRS = frozenset({"composite_literal", "struct_expression"})
# The same, or a part of it: a key, a connector, the role itself.
_OF_CONFIG = regex(rf"{_HOLDS_CONFIG.pattern}|\A\s*(?:kv_\w+|\w+Connector)\s*\Z")
_NEAR = 80  # characters before the name of a docstring
_SET = regex(r"role\W{1,5}kv_both")
# Where a docstring is shown to people. What else takes it may read a config in it: ``yaml.safe_load(__doc__)``.
_TOLD = regex(
    r"(?:\b(?:description|usage|epilog|help)\s*=\s*|\b(?:print|exit|docopt|dedent|cleandoc|write|\w+Error)\(\s*)[\w.]*(?<!\w)\Z"
)


class Code:
    """Reads source code of one language, named as in ``SPECS``."""

    def __init__(self, lang: str) -> None:
        self._lang = lang

    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in source code."""
        unit = Unit(text, owner, file, SPECS[self._lang])
        out: list[Site] = []
        done = -1
        with file.knowing(unit.value_of):
            for i in text.tokens():
                if i >= done:
                    sites, end = _at(unit, i)
                    out += sites
                    done = max(done, end)
        return out

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """The owners of the expression at ``at`` and what its line says; None in a comment."""
        unit = file.kept(self._lang, text, owner, lambda: Unit(text, owner, file, SPECS[self._lang]))
        node = unit.at(at, 2)
        if node.type in unit.spec.comment:
            return None
        return lines.owner(text, at, unit.chain(node), file)


def _at(unit: Unit, i: int) -> tuple[list[Site], int]:
    t, spec = unit.t, unit.spec
    for node in grammar.owners(unit.at(i, len(TOKEN))):
        if node.type in spec.comment:
            kind = "value" if marks.sets_by_comment(grammar.text(t, node), spec.grammar) else "comment"
            return [Site(t.at(k), unit.up, kind) for k in t.tokens_in(node.start_byte, node.end_byte)], node.end_byte
        if node.type in spec.string:
            top, chosen = around(t, node, spec, unit.string_named)
            if not chosen:
                return _string(unit, top, top), top.end_byte
            a, b = t.at(node.start_byte), t.at(node.end_byte)
            return [s for s in _string(unit, top, node) if a <= s.pos < b], node.end_byte
        if node.type == "regex" and expected(unit, node):
            return [Site(t.at(i), Scope.deferred(partial(unit.chain, node)), "expectation")], i + len(TOKEN)
    return [Site(t.at(i), unit.up, "value")], i + 1


def _string(unit: Unit, node: Node, inner: Node) -> list[Site]:
    """The sites of the text that the expression ``node`` makes. ``inner`` is the string in it that is looked at, or ``node``."""
    t, spec, ctx = unit.t, unit.spec, unit.ctx
    word = literal(t, node, spec, inner.start_byte, unit.string_named)
    if not word.tokens():
        return []
    scope = Scope.deferred(partial(unit.chain, inner))
    holder = unit.value_parent(node)
    if expected(unit, node):
        return [Site(word.at(k), scope, "expectation") for k in word.tokens()]
    alone = node.parent is not None and node.parent.type in {"expression_statement", "module", "block"}
    if alone and spec.grammar == "python":
        # Where the code does not parse, a string may stand alone because what takes it is not understood.
        read = (unit.root.has_error and _OF_CONFIG.search(word.s)) or (_taken(t.s) and _SET.search(word.s))
        kind = "unread" if read else "prose"
        return [Site(word.at(k), scope, kind) for k in word.tokens()]
    if raised(unit, node) and not _HOLDS_CONFIG.search(word.s):
        return [Site(word.at(k), scope, "message") for k in word.tokens()]
    if word.s.strip() == TOKEN:
        return _role(unit, node, holder, word, scope)
    if (site := _in_words(unit, node, word, scope)) is not None:
        return [site]
    return ctx.read(word, scope)


def _taken(s: str) -> bool:
    """Whether Python text takes a docstring for more than to show it to people."""
    return any(_TOLD.search(s, max(0, i - _NEAR), i) is None for i in occurrences(s, "__doc__"))


def _role(unit: Unit, node: Node, holder: Node | None, word: Text, scope: Scope) -> list[Site]:
    spec = unit.spec
    k = word.s.index(TOKEN)
    pos, exact = word.at(k), word.exact(k, len(TOKEN))
    if holder is None:
        return [Site(pos, scope, "value")]
    if holder.type in spec.pair:
        key = unit.key_of(holder)
        if plain(key) == "value" and (set_by := environment.entry(unit, holder)) is not None:
            return [Site(pos, scope, "role", set_by.connector, exact=exact)]
        if plain(key) == "default" and (set_by := environment.option(unit, holder)) is not None:
            return [Site(pos, scope, "role", set_by.connector, exact=exact)]
        if not connectors.is_role_key(key):
            return [_fed(unit, node, holder, pos, scope, exact)]
        owner = holder.parent
        m = unit.mapping(owner) if owner is not None else Map()
        connector = unit.ctx.named(connectors.connector_of(m))
        if connector is None and (added_to := unit.mapping_beside(holder)) is not None:
            connector = connectors.connector_of(added_to)
        if connector is None and _is_of_connector(unit, owner):
            connector = unit.ctx.named(connectors.of_group(m))
        if connector is None and holder.type.endswith("parameter"):
            connector = feeds.connector(unit, node, holder)
        exact = exact and connectors.one_role(m)
        wrappers = connectors.wrappers(unit.mappings_around(owner))
        return [Site(pos, scope, "role", connector, wrappers, connectors.settings(m), exact)]
    if holder.type in spec.assign:
        names = unit.targets(holder)
        if len(names) == 1 and connectors.is_role_key(names[0]):
            connector = (
                assigned.connector(unit, holder) or guard.connector(unit, holder) or feeds.connector(unit, node, holder)
            )
            if connector is None and (added_to := unit.mapping_beside(holder)) is not None:
                connector = connectors.connector_of(added_to)
            return [Site(pos, scope, "role", connector, exact=exact)]
        return [_fed(unit, node, holder, pos, scope, exact)]
    if holder.type in {"arguments", "argument_list"} and (set_by := environment.set_by(unit, node, holder)) is not None:
        return [Site(pos, scope, "role", set_by.connector, exact=exact)]
    if holder.type in {"token_tree"}:  # a macro's tokens: json!({...})
        return _macro(unit, node, scope)
    if holder.type in spec.sequence and (site := _in_words(unit, node, word, scope)) is not None:
        return [site]
    return [_fed(unit, node, holder, pos, scope, exact)]


def _is_of_connector(unit: Unit, group: Node | None) -> bool:
    """Whether a mapping, or the call or struct that it is the pairs of, is the value of a connector's key or name."""
    while group is not None and group.parent is not None and group.parent.type in unit.spec.call | _HOLDS_PAIRS:
        group = group.parent
    holder = unit.value_parent(group) if group is not None else None
    if holder is None:
        return False
    keys = [unit.key_of(holder)] if holder.type in unit.spec.pair else []
    keys = unit.targets(holder) if holder.type in unit.spec.assign else keys
    return len(keys) == 1 and connectors.is_connector_key(keys[0])


def _fed(unit: Unit, node: Node, holder: Node, pos: int, scope: Scope, exact: bool) -> Site:
    """The site of a value outside of any config: a role if the text shows a config whose role it becomes, else a value."""
    connector = feeds.connector(unit, node, holder)
    return Site(pos, scope, "role" if connector is not None else "value", connector, exact=exact)


def _macro(unit: Unit, node: Node, scope: Scope) -> list[Site]:
    t = unit.t
    top = node
    for owner in grammar.owners(node):
        if owner.type == "macro_invocation":
            top = owner
            break
    body = t.slice(top.start_byte, top.end_byte)
    found = objects.enclosing(body, node.start_byte - top.start_byte + 1)
    if found is None:
        return [Site(t.at(node.start_byte + 1), scope, "value")]
    return [
        s for s in Tree(found, body, scope, unit.ctx).sites() if t.at(node.start_byte) <= s.pos < t.at(node.end_byte)
    ] or [Site(t.at(node.start_byte + 1), scope, "value")]


def _in_words(unit: Unit, node: Node, word: Text, scope: Scope) -> Site | None:
    """The site of the role that a string of a list sets as a flag, an override or a variable; None if it sets none."""
    words, index = unit.words_around(node)
    found = role_set(words, index, unit.ctx) if words is not None and TOKEN in words[index].s else None
    if found is None:
        return None
    k = word.s.index(TOKEN)
    scope = lines.keyed(found.key, word.at(0), scope, unit.ctx)
    return Site(word.at(k), scope, "role", found.connector, (), found.extra, word.exact(k, len(TOKEN)))


GO = Code("go")
RUST = Code("rust")
JAVASCRIPT = Code("javascript")
TYPESCRIPT = Code("typescript")
TSX = Code("tsx")
