"""What the words beside a value say of it: the other arguments of its call, of a decorator, the short words of its list."""

from __future__ import annotations

import re
from itertools import zip_longest

from tree_sitter import Node

from kvroles.evidence import argv, data_cues, kinds, pickers
from kvroles.evidence.frames import Cue
from kvroles.evidence.names import denies, far_address, holds_truth, own, role_key
from kvroles.evidence.patterns import regex
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.code.handed_on import NAMES
from kvroles.migrate.readers.code.said import Said

_NAMES_WHAT_IT_HOLDS = regex(r"(?i)(?:^|[._])(?:register|role|component|service|worker|stage)$")  # a decorator
_DERIVES = regex(
    r"(?i)(?:^|[._:])(?:dict|assign|evolve|extends?|combine\w*|union|overrid\w*|derive\w*|(?:deep_?)?(?:merge|copy|clone|update|replace)\w*)!?$"
)
# What gives its last argument only where there is no value under the name before it: ``kv.get("prefill", common)``.
_LOOKS_UP = regex(
    r"(?i)(?:^|[._:])(?:get|pop|get_?attr|get_?env|fetch|find|dig|coalesce|look_?up\w*|get_?default\w*|default\w*"
    r"|\w*fallback\w*|\w*with_?default)!?$|(?:_or|[a-z]Or)(?:_?(?:else|default|insert\w*|init)|Else|Default)?!?$"
)
_PLAIN = regex(r"^[\"'`]?([\w./-]+(?:::\w+)*)[\"'`]?$")


class Beside(Said):
    """A source text whose calls, decorators and lists say which side a value in them is of."""

    def _decorated(self, node: Node) -> list[Cue]:
        """The side by which decorators name a function or a class: ``@service(name="prefill")``, ``@register("prefill")``."""
        holder = node.parent
        if holder is None or holder.type != "decorated_definition":
            return []
        out: list[Cue] = []
        for call in (c.named_children[0] for c in holder.named_children if c.type == "decorator" and c.named_children):
            given = call.child_by_field_name("arguments") if call.type in self.spec.call else None
            if given is None:
                continue
            named = [(k, v) for k, v in self.mapping(given).pairs if k.value == "name" or role_key(k.value)]
            out += [cue for k, v in named for cue in data_cues.pair_cues(k, v, self.ctx)]
            if _NAMES_WHAT_IT_HOLDS.search(self.called(call)):
                out += self._words(self.called(call), given)
        return out if len({c.side for c in out}) == 1 else []

    def _picks(self, given: Node) -> bool:
        """Whether a positional argument of a call is a yes-or-no name: which of the others counts may depend on it."""
        return any(pickers.is_yes_or_no(grammar.text(self.t, c)) for c in given.named_children if c.type in NAMES)

    def _picked(self, name: str, given: Node, site: Node) -> list[Cue]:
        """What the condition of ``pick(condition, a, b)`` says of the argument that ``site`` stands in."""
        children = given.named_children
        if len(children) != 3 or not pickers.by_name(name) or any(c.type in self.spec.pair for c in children):
            return []  # by their names they may stand in any order
        index = next((n for n, c in enumerate(children) if c.start_byte <= site.start_byte < c.end_byte), 0)
        condition = grammar.text(self.t, children[0])
        if index == 0:
            return []
        place, words = self.t.at(children[0].start_byte), condition.strip()[:80]
        return pickers.cues(condition, grammar.text(self.t, children[1]), index - 1, words, self.ctx, place)

    def _words(self, name: str, given: Node, site: Node | None = None) -> list[Cue]:
        """The sides that the plain strings and names among the arguments of a call of ``name`` say, but for the one that
        ``site`` stands in."""
        out: list[Cue] = []
        arguments = [c for c in given.named_children if c.type not in self.spec.pair]
        said = [grammar.text(self.t, c) for c in arguments]
        if _DERIVES.search(name) or _LOOKS_UP.search(name):
            return out  # a copy of one side's config may be the other side's
        if pickers.many(said) or not own(name.rsplit(".", 1)[-1]) or any(denies(w.strip("\"'`")) for w in said):
            return out
        for c, source, behind in zip_longest(arguments, said, arguments[1:]):
            if holds(c, site) or (m := _PLAIN.match(source)) is None:
                continue
            if m.group(1)[0] == "-" and behind is not None and behind.type in NAMES and not holds(behind, site):
                continue  # a flag with an open value
            if far_address(m.group(1), name):
                continue
            quoted = source[:1] in "\"'`"
            if not quoted and holds_truth(m.group(1)):
                continue
            side = self.ctx.role_of(m.group(1)) if quoted and len(m.group(1)) > 1 else None
            side = side or self.ctx.side_of(m.group(1) if quoted else re.split(r"\.|::", m.group(1))[-1])
            if side is not None:
                out.append(kinds.CALL.cue(side, f"{name[-40:]}({source[:60]})", self.t.at(c.start_byte)))
        return out

    def _beside(self, words: list[argv.Word], index: int, called: str) -> list[Cue]:
        """The one side that the short words beside a value in a tuple or list name: ``("prefill", 8100, "{...}")``; ``called`` is
        the function that is given the list, if one is."""
        out: list[Cue] = []
        if pickers.many(w.s for w in words) or any(denies(w.s) for w in words):
            return out
        for i, w in enumerate(words):
            if (i or called) and far_address(w.s, f"{called} {words[0].s}"):
                continue  # among a command's words; an address that a tuple begins with is its own
            if i != index and 1 < len(w.s) < 40 and not pickers.is_yes_or_no(w.s) and re.fullmatch(r"\$?[\w.-]+", w.s):
                side = self.ctx.role_of(w.s.rsplit(".", 1)[-1])
                sides = {side} if side else self.ctx.sides_of(w.s)
                out += [kinds.BESIDE.cue(s, w.s.lstrip("$"), w.pos) for s in sides]
        return out if len({c.side for c in out}) == 1 else []


def holds(node: Node, site: Node | None) -> bool:
    """Whether ``site`` stands in a node."""
    return site is not None and node.start_byte <= site.start_byte < node.end_byte
