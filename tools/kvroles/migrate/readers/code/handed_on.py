"""Finds what source code names for one side and hands on to the other side: by assignment, key, call or subclass."""

from __future__ import annotations

import re
from functools import partial

from tree_sitter import Node

from kvroles.evidence import kinds, loops
from kvroles.evidence.frames import Cue, Scope, Side
from kvroles.evidence.names import PD, mentioned, split_name
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code.source import Source

_COPIES = (
    r"(?:copy|iter|items|deep_?copy|model_copy|clone|slice|concat|map|filter|to_|as_|format|strip|replace|into|remote|options"
    r"|bind)"
)
_ITEM_OF = r"\s*\[(?!\d*:\d*\])"  # one item, and no slice
_COPIED = regex(
    r"\.(?:model_copy|copy|clone|deep_?copy|_replace)\(|\b(?:deepcopy|copy\.copy|dataclasses\.replace|structuredClone)\("
)
# What puts its argument into what it is called on (``decode.update(prefill)``), or into its first argument.
_PUTS_IN = regex(r"(?:update|extend\w*|merge|append|push|apply|configure|start|launch|run)$")
_PUTS_INTO_FIRST = regex(r"(?:Object\.assign|_\.(?:merge|assign|extend)|maps\.Copy|copy)$")
_ALONE = regex(r"^[\"'`]([\w./-]+)[\"'`]$")
_NAMED = regex(r"^(?:name|role|side|mode|id|host|service|component|worker|instance)\s*=\s*[\"']([\w./-]+)[\"']$")
_ITEM = regex(r"(\w+)\[[\"'`]([\w-]+)[\"'`]\]")  # kv["prefill"], as the target of an assignment
_MEMBER = regex(r"([\w.]+?)(?:\.\w+|\[[\"'`][\w-]+[\"'`]\])")  # prefill.kv_role, as the same
_PAIR = 2
# What calls a function for each item of a list.
_EACH = regex(r"(?i)(?:^|\.|::|_)(?:map|imap|starmap|for_?each|flat_?map|each|filter_?map)$")
_COMPREHENSION = regex(r"comprehension|generator_expression")
_LONGEST = 4000  # characters of a loop: what a longer one does with one value is not seen at once
NAMES = frozenset(
    {"identifier", "type_identifier", "field_identifier", "property_identifier", "shorthand_property_identifier"}
)
# ``start_prefill``, ``DecodeWorker``, ``make_decode_args``; never ``json.decode`` or ``NewDecoder``.
ABOUT_A_SERVER = regex(
    r"(?:^|_)(?:start|launch|run|make|build|deploy|spawn|serve|worker|server|instance|node|config|engine|args|pod|replica|service|spec|stage|role)s?(?:_|$)"
)


def _copy_of(holder: str) -> str:
    """The pattern of what takes all that an object holds: the object itself, a copy, what is spread. What only knows of it
    (``Server(upstream=prefill)``) takes nothing."""
    word = rf"(?<!\w)(?<!\w\.){re.escape(holder)}(?![\w\[(])"
    copied = r"\b(?:dict|copy|deep_?copy|[cC]lone|structuredClone|replace)\(\s*|\bassign\(\s*\{\s*\}\s*,\s*|\*\*|\.\.\."
    return rf"(?:{copied}){word}(?!\.)|(?<=[=:])[ \t]+&?{word}(?:(?=[ \t]*(?:[;,)}}#\n]|//|$))|(?=\.{_COPIES}))"


def _part_of(table: str, key: str) -> str:
    """The pattern of what takes the value of ``key`` out of a table."""
    part = re.escape(key)
    taken = rf"\[\s*[\"'`]{part}[\"'`]\s*\]|\.{part}\b(?!\()|\.get\(\s*[\"']{part}[\"']"
    return rf"(?<!\w)(?<!\w\.){re.escape(table)}(?:{taken})"


class HandedOn(Source):
    """A source text that can look up whether a value goes on to the other side."""

    def may_be_handed_on(self, scope: Scope, name: str, node: Node) -> None:
        """Give ``scope`` a look-up of what hands its value on to the other side, if its name says one side.

        The verdict runs the look-up only where it needs it.
        """
        word = re.escape(name)
        uses = {name: rf"{word}(?<!\w{word})(?<![\"'-]{word})\b(?!{_ITEM_OF}|\.(?!\.|{_COPIES}))"}
        if (item := _ITEM.fullmatch(name)) is not None:
            uses = {item[1]: _part_of(item[1], item[2])}
        if (member := _MEMBER.fullmatch(name)) is not None and len(mentioned(member[1])) == 1:
            holder = member[1]
            uses[holder] = "|".join(filter(None, (uses.get(holder), _copy_of(holder))))
        self._look_up(scope, uses, node)

    def part_may_be_handed_on(self, scope: Scope, key: str, pair: Node) -> None:
        """The same for the value of ``key`` in a table that has a name: ``kv["decode"] = kv["prefill"]``."""
        ends = self.spec.assign | self.spec.pair | self.spec.call | self.spec.function
        owner = next((o for o in grammar.owners(pair) if o != pair and o.type in ends), pair)
        names = self.targets(owner) if owner.type in self.spec.assign else []
        if len(names) == 1 and re.fullmatch(r"\w+", names[0]):
            self._look_up(scope, {names[0]: _part_of(names[0], key)}, owner)

    def _look_up(self, scope: Scope, uses: dict[str, str], node: Node) -> None:
        side = scope.cues[0].side if len(scope.cues) == 1 else None
        if side in (Side.PREFILL, Side.DECODE):
            find = partial(self._first_handed_on, uses, node, side.other)
            scope.find_handed_on = partial(self.kept, ("handed on", *uses.values(), side), node, find)

    def _first_handed_on(self, uses: dict[str, str], node: Node, other: Side) -> Cue | None:
        """The cue of what takes one of the names in ``uses``, each with the pattern that finds its uses."""
        found = (self._handed_on(name, used, node, other) for name, used in uses.items())
        return next((cue for cue in found if cue is not None), None)

    def _handed_on(self, name: str, used: str, node: Node, other: Side) -> Cue | None:
        """The cue of the first name, key, function or class of side ``other`` that takes the value of ``name`` unchanged, where
        the pattern ``used`` finds a use of it."""
        last = len(name.rpartition(".")[2])  # ``prefill_kv`` of ``self.prefill_kv``
        for m in re.finditer(used, self.t.s):
            if node.start_byte <= m.start() < node.end_byte:
                continue
            use = self.at(self.t.s.index(name, m.start()) + len(name) - last, last)
            if use.type not in NAMES:
                continue
            for owner in grammar.owners(use):
                if over := self._over_both(owner, use, m.group()):
                    return kinds.HANDED_ON.cue(other, over[:80], self.t.at(m.start()))
                if mentioned(taker := self._in_turn(owner, use)) == {other}:
                    return kinds.HANDED_ON.cue(other, taker, self.t.at(m.start()))
                taker = self._taker(owner, use)
                if not taker or mentioned(taker) != {other}:
                    continue
                source = grammar.text(self.t, owner)
                said = {
                    s
                    for w in re.findall(r"\w+", re.sub(rf"(?<!\w){re.escape(taker)}(?!\w)", "", source))
                    for s in mentioned(w)
                }
                anew = rf"\b{re.escape(taker)}(?:\[[\"']kv_role[\"']\]|\.kv_role)\s*="
                if (other not in said or _COPIED.search(source)) and not re.search(
                    r"kv_(?:role|producer|consumer)", source + self._after(owner, anew)
                ):
                    return kinds.HANDED_ON.cue(other, taker, self.t.at(m.start()))
                break
        return None

    def _over_both(self, owner: Node, use: Node, taken: str) -> str:
        """The head of ``owner`` if that is a loop over both sides in which nothing but what takes the value at ``use`` speaks
        of a side: each server is given that value. Empty if it is not."""
        if owner.end_byte - owner.start_byte > _LONGEST:
            return ""
        if owner.type in self.spec.loop or _COMPREHENSION.search(owner.type):
            body = owner.child_by_field_name("body") or owner
            before, after = (owner.start_byte, body.start_byte), (body.end_byte, owner.end_byte)
            head = max(self.t.s[slice(*before)], self.t.s[slice(*after)], key=len)
        elif owner.type in self.spec.call and _EACH.search(called := self.called(owner)):
            given = owner.child_by_field_name("arguments")
            arguments = given.named_children if given is not None else []
            body = next((c for c in arguments if c.start_byte <= use.start_byte < c.end_byte), owner)
            head = " ".join([called, *(grammar.text(self.t, c) for c in arguments if c != body)])
        else:
            return ""
        if not body.start_byte <= use.start_byte < body.end_byte or not self._names_both(head):
            return ""
        said = re.findall(r"[\w-]+", re.sub(rf"(?<!\w){re.escape(taken)}", "", grammar.text(self.t, body)))
        return head if not any(mentioned(w) for w in said) else ""

    def _names_both(self, head: str) -> bool:
        """Whether the head of a loop names both sides, or a list that does."""
        if loops.over(head, self.ctx) is Side.SHARED:
            return True
        listed = re.search(r"([A-Za-z_]\w*)\W*$", head)
        if listed is None:
            return False
        given = re.search(rf"(?<![\w.]){listed[1]}\s*(?::[^=\n]*)?:?=\s*[^\n\[({{]{{0,60}}([\[({{][^\])}}]*)", self.t.s)
        return given is not None and {s for w in re.findall(r"[\w-]+", given[1]) for s in mentioned(w)} >= set(PD)

    def _after(self, owner: Node, pattern: str) -> str:
        """The first match of ``pattern`` behind ``owner``; empty if there is none."""
        m = re.search(pattern, self.t.s[owner.end_byte :])
        return m.group() if m else ""

    def _in_turn(self, owner: Node, use: Node) -> str:
        """The name that gets ``use`` in an assignment of several values to as many names: ``a, b = b, a``; empty otherwise."""
        if owner.type not in self.spec.assign or len(names := self.targets(owner)) < _PAIR:
            return ""
        value = owner.child_by_field_name("right") or owner.child_by_field_name("value")
        given = value.named_children if value is not None else []
        index = next((n for n, c in enumerate(given) if c == use), len(names))
        return names[index] if index < len(names) == len(given) else ""

    def _taker(self, owner: Node, use: Node) -> str:
        """The name under which ``owner`` takes the value at ``use``; empty if it takes none or names no one side.

        That is an assignment's target, a pair's key, a class, a function, or the one word of a side in a list or a call.
        """
        if (alias := owner.child_by_field_name("alias")) is not None and alias != use:
            return grammar.text(self.t, alias)
        if owner.type in self.spec.assign:
            names = self.targets(owner)
            if len(names) != 1 or owner.start_byte == use.start_byte:
                return ""
            left = self.left_of(owner)  # decode.kv = prefill.kv
            return names[0] if mentioned(names[0]) or left is None else grammar.text(self.t, left)
        if owner.type in self.spec.pair and not owner.type.endswith("parameter"):
            value = owner.child_by_field_name("value")
            return self.key_of(owner) if value is not None and value.start_byte <= use.start_byte else ""
        if owner.type in self.spec.class_ or owner.type in self.spec.function:
            return self.name_of(owner)
        if owner.type in self.spec.sequence and owner.type not in {"arguments", "argument_list"}:
            said = {
                m.group(1)
                for c in owner.named_children
                if (m := _ALONE.match(grammar.text(self.t, c))) and mentioned(m.group(1))
            }
            return said.pop() if len(said) == 1 else ""
        if owner.type in self.spec.call and (given := owner.child_by_field_name("arguments")) is not None:
            named = [m.group(1) for c in given.named_children if (m := _ALONE.match(grammar.text(self.t, c)))]
            named += [m.group(1) for c in given.named_children if (m := _NAMED.match(grammar.text(self.t, c)))]
            receiver, _, called = self.called(owner).rpartition(".")
            named += [receiver] if _PUTS_IN.match(called) else []
            if _PUTS_INTO_FIRST.match(self.called(owner)) and (first := given.named_children[0]) != use:
                named.append(grammar.text(self.t, first))
            named += [called] if ABOUT_A_SERVER.search("_".join(split_name(called))) else []
            taken = [n for n in named if mentioned(n)]
            return taken[0] if len(taken) == 1 else ""
        return ""
