"""What is known of one file as a whole: its name, the proxy's ports, whether anything in it speaks of P/D at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice

from kvroles.evidence import bound, conditions, expressions, filled, given, listed, names, truths
from kvroles.evidence.arms import Arms
from kvroles.evidence.deployment import NAME_LENGTH, Deployment
from kvroles.evidence.frames import Cue, Scope, Side
from kvroles.evidence.kinds import Kind
from kvroles.evidence.names import (
    PD,
    lettered,
    mentioned,
    name_sides,
    names_only,
    of_trade,
    role_key,
    role_value,
    split_name,
    twins,
    unknown_words,
)
from kvroles.evidence.patterns import regex
from kvroles.evidence.phrases import depends
from kvroles.evidence.prose import by_trade, sides_for_values, title_side, without_phases
from kvroles.evidence.text import Text, occurrences

MAX_NESTING = 12

_PD_SAID = regex(
    r"""(?ix)
    (?<!no[ ])(?<!non-)(?<!not[ ])(?<!without[ ])(?<!without[ ]any[ ])(?<!disable[ ])
    (?: disaggregat | (?<![a-z])disagg(?![a-z]) | (?<![a-z])p/d(?![a-z])
      | (?:prefill|decode)[- ]side | PD分离 | \d+p\d+d )"""
)
_PD_PATH = regex(
    r"(?i)(?:^|(?<!non)(?<!not)(?<!no)[^a-z])(?:pd|p-d|p_d|disagg\w*|\d*p\d+d|xpyd|pd-?disagg\w*)(?:[^a-z]|$)"
)


# What says decode (False) or prefill (True's other) by a word of other trades or by a letter.
_TRADE_NOUN = "node|instance|worker|server|pod|engine|节点|实例|實例|端|侧"
_TRADES = {
    False: regex(rf"(?i)(?<![a-z])(?<!kv_)producers?(?![a-z])|(?-i:(?<![\w/.-])P[ -]+(?:{_TRADE_NOUN}))|生产者"),
    True: regex(rf"(?i)(?<![a-z])(?<!kv_)consumers?(?![a-z])|(?-i:(?<![\w/.-])D[ -]+(?:{_TRADE_NOUN}))|消费者"),
}
# A name in a condition.
_TRUTH = regex(r"(?<![\w\"'-])[A-Za-z_]\w{3,60}(?![\w\"'-]|\((?!\)))")
_VARIABLE = regex(r"\$\{?([A-Za-z_]\w{3,60})")
_USES = 60  # of one name
_CONFIG = regex(r"kv_(?:role|connector)\\*[\"']\s*:")
_PD_KEY = regex(r"(?i)nixl|kv[-_.]|(?<![a-z])pd|disagg")
# A value that whoever starts it may replace: ${ROLE:-prefill}, ${{ inputs.role || 'prefill' }}.
_OPEN = regex(r"\$\{\w+:?[-=]|\$\{\{[^{}]*\|\|")
# The same of a template, {{ role | default('prefill') }}, also as the word that a masked action leaves; and its twin in the
# file, which makes it one of two workers that are told their sides.
_DEFAULTED = regex(r"^\{\{[^{}]*\bd(?:efault)?\b[^{}]*\}\}$|^__[\w.]*_(?:_d|default)_[\w.]*__$")
_DEFAULTS_OF = {
    Side.PREFILL: regex(r"\bd(?:efault)?\b[\s(]{0,4}[\"'][\w-]{0,60}prefill"),
    Side.DECODE: regex(r"\bd(?:efault)?\b[\s(]{0,4}[\"'][\w-]{0,60}decode"),
}
# The other side asked for as a truth of its own (``is_decode``): a server may then be neither.
_TRUTHS = {
    Side.PREFILL: regex(r"(?i)(?<![a-z])is[-_.]?prefill"),
    Side.DECODE: regex(r"(?i)(?<![a-z])is[-_.]?decod"),
}
# What else P and D stand for; ``/dev/null`` and an image's ``-dev`` tell of no place where servers run.
_ENVIRONMENT = regex(r"(?<![a-z/-])dev(?:elopment)?(?![a-z/])|(?<![a-z])(?:prod(?![a-z])|production(?![a-z-]))")
_TEST = regex(r"(?i)(?:^|[/_.-])(?:tests?|specs?|conftest|e2e|smoke)(?:[/_.-]|$)|\.bats$")
_REMARK = regex(r"\s*(?:#|//)")
_BEFORE = regex(r"[\w.-]*\Z")
_AFTER = regex(r"[\w.-]*")


def _holds(text: str, name: str) -> bool:
    """Whether a text holds a name that is no part of a longer word, and no part of a role: what is written there is no twin."""
    ends = (
        text[i - 1 : i] + text[i + len(name) : i + len(name) + 1]
        for i in occurrences(text, name)
        if name not in _ROLES or text[i - len("kv_") : i] != "kv_"
    )
    return any(not re.search(r"[A-Za-z0-9]", around) for around in ends)


_ROLES = frozenset({"producer", "consumer"})


class FileCtx(Deployment):
    """One file being read. ``path`` is as reported, ``name`` the part of it that may be read as evidence."""

    def __init__(
        self,
        path: str,
        name: str,
        text: Text,
        nixl: frozenset[str] = frozenset(),
        neighbours: Callable[[str], frozenset[str]] = lambda _: frozenset(),
    ) -> None:
        super().__init__(text)
        self.path = path
        self.name = name
        self.nixl = nixl
        self.neighbours = neighbours  # the names beside a path, itself included
        self._truths: dict[
            str, bool
        ] = {}  # of the names of truths that were asked about: whether they are set to the contrary
        self._sides: dict[str, frozenset[Side]] = {}  # of the names that were asked about
        self._counted = 0, 0  # the last place whose line was asked for, and the line feeds before it: the next is near
        self.arms: Arms | None = None  # of the conditionals and loops of a template
        self.depth = 0  # how many strings in strings are being read
        # While a part of a document is read: the owners of what names a file in its other parts.
        self.elsewhere: Callable[[str], list[Scope]] | None = None

    @cached_property
    def siblings(self) -> frozenset[str]:
        """The names beside the file, which say whether a decode file has a prefill twin."""
        return self.neighbours(self.path) if self.path != "-" else frozenset()

    def names(self, side: Side) -> bool:
        """Whether the file is of ``side`` as well: it is told its role, or names it other than as the other end of a connection
        or in a setting that tunes a phase."""
        if any(role_key(v) for v in set(re.findall(r"\$\{?(\w+)", self.text.s))):
            return True  # $ROLE: it is told its side
        lines = (self.text.s[a:b] for a, b, _ in self.lines("prefill" if side is Side.PREFILL else "decod"))
        said = (without_phases(ln) if _REMARK.match(ln) else ln for ln in lines if not depends(ln))
        return any(side in mentioned(w) and not names.tunes(w) for ln in said for w in re.findall(r"[\w-]+", ln))

    @cached_property
    def company(self) -> str:
        """What says P/D of the deployment as a whole, in the file, its path or beside it; empty if nothing does."""
        if m := _PD_PATH.search(self.name):
            return f"path says {m.group().strip('/-_. ')!r}"
        if m := _PD_SAID.search(self.text.s):
            return f"the file says {m.group()!r}"
        return self.twin_path

    @cached_property
    def twin_path(self) -> str:
        """The file or folder beside this one, or beside one it is in, that is named for the other side; empty if none."""
        path, name = self.path, self.name
        while name not in {"", "-", "."}:
            own = name.rsplit("/", 1)[-1]
            if pairs := twins(own):
                side, lower = name_sides(own) if not of_trade(own) else None, {twin.lower() for twin in pairs}
                for other in sorted(self.neighbours(path)):
                    if other.lower() in lower or (
                        side and {s.other for s in side} == name_sides(other) and not of_trade(other)
                    ):
                        return f"{other} stands beside {own}"
            if "/" not in name or "/" not in path:
                return ""
            path, name = path.rsplit("/", 1)[0], name.rsplit("/", 1)[0]
        return ""

    def pd_said(self, side: Side) -> str:
        """The words that say that servers of the other side run as well, which a server of ``side`` alone does not show."""
        if self.company:
            return self.company
        if side is Side.DECODE and self.prefill_said and not self.prefill_off:
            return "the file speaks of prefill instances"
        if side is Side.PREFILL and self.decode_said:
            return "the file speaks of decode instances"
        return ""

    def pd_named(self, words: str) -> bool:
        """Whether a name says P/D itself (``pd-decode``, ``disagg-decode-0``)."""
        return _PD_PATH.search(words) is not None

    def sides_of(self, name: str) -> frozenset[Side]:
        """The sides that a name in this file is of: by its own words, or by the twin that stands in the file or beside it.

        ``acme-prefill`` is of prefill where ``acme-decode`` is found too, ``KV_P`` where ``KV_D`` is; a name by a word that
        other trades use as well (producer, consumer) only there, or where something else says P/D.
        """
        if name not in self._sides:
            found = self._sides_of(name)
            # What is bound to the other side's word (PREFILL = "decode") is looked for last: few names are of any side.
            self._sides[name] = found if not found or self.contrary.isdisjoint(bound.within(name)) else frozenset()
        return self._sides[name]

    def _sides_of(self, name: str) -> frozenset[Side]:
        if _OPEN.search(name):
            return frozenset()  # ${ROLE:-prefill}: whoever starts it may set another
        if _CONFIG.search(name):
            return frozenset()  # no name: a config, whose roles are what a run changes
        if _DEFAULTED.match(name) and not all(p.search(self.text.s) for p in _DEFAULTS_OF.values()):
            return frozenset()
        found = name_sides(name, disagg_pair=self.disagg_pair)
        if not found:
            found = mentioned(name, disagg_pair=self.disagg_pair)
            if len(found) == 1 and found <= set(PD) and not self._proper(name):
                return frozenset()
        if not found:
            side = lettered(name)
            return frozenset((side,)) if side is not None and self._is_of_a_pair(name) else frozenset()
        part = filled.said(name) if len(found) == 1 and not _DEFAULTED.match(name) else name
        if part != name and not found <= mentioned(part, disagg_pair=self.disagg_pair):
            return frozenset()
        if found <= set(PD) and of_trade(name) and not (self.has_twin(name) or self.company):
            return frozenset()
        return found

    def side_of(self, name: str) -> Side | None:
        """The one side that a name in this file is of (see ``sides_of``)."""
        found = self.sides_of(name)
        return next(iter(found)) if len(found) == 1 else None

    def name_cues(self, kind: Kind, name: str, pos: int, words: str = "") -> list[Cue]:
        """The cue of ``kind`` that a name at index ``pos`` gives, if it is of one side; it quotes ``words``, or the name."""
        side = self.side_of(name)
        return [kind.cue(side, words or name, pos)] if side is not None else []

    def _proper(self, name: str) -> bool:
        """Whether the unknown words of a name are a product's or a team's: they can be, and the name has a twin, or they stand
        elsewhere too and none says what the name is of."""
        twin = self.has_twin(name)
        return names_only(name, twin=twin) and (
            twin or (all(self._elsewhere(w, name) for w in unknown_words(name)) and not names.of_unknown(name))
        )

    def _elsewhere(self, word: str, name: str) -> bool:
        """Whether a word of ``name`` stands in the file or its path apart from a name of a side, and from one of several words
        that ``name`` is."""
        said = name.lower() if " " in name else ""
        for text in (self.low, self.name.lower()):
            for i in occurrences(text, word):
                a, b = i - len(_BEFORE.search(text, max(0, i - NAME_LENGTH), i)[0]), i + len(word)  # type: ignore[index]
                if text[i - 1 : i].isalpha() or text[b : b + 1].isalpha():
                    continue  # part of another word
                if said and text.startswith(said, max(0, i - said.find(word))):
                    continue
                if not mentioned(text[a : _AFTER.match(text, b, b + NAME_LENGTH).end()]):  # type: ignore[union-attr]
                    return True
        return False

    def title_side(self, text: str) -> Side | None:
        """The side that a title in this file announces (see ``prose.title_side``): by a word that other trades use as well, or
        by a letter, only where the other one is found too or something else says P/D."""
        text = sides_for_values(text)
        side = title_side(text)
        if side in PD and by_trade(text) and not self.company:
            twin = _TRADES[side is Side.PREFILL]
            return side if twin.search(self.text.s) else None
        return side

    def role_of(self, value: str, key: str = "") -> Side | None:
        """The side that a role-like setting's value means in this file: a letter, or a word that other trades use as well,
        only where the other one stands in the file too or something else says P/D, as ``key`` may (NIXL_ROLE)."""
        side = role_value(value)
        twin = names.TRADE_ROLES.get(value.strip().strip("\"'").lower())
        if side not in PD or twin is None or self.company or _PD_KEY.search(key):
            return side
        return side if re.search(rf"(?i)[\s:=\"'(\[,]{twin}(?![\w-])", self.text.s) else None

    def holds(self, condition: str, *, shell: bool = False) -> Side | None:
        """The side that a condition of this file being true means (see ``conditions.holds``): by a word that other trades use
        as well only where the other one stands in the file too or something else says P/D."""
        if self._set_otherwise(condition, shell=shell):
            return None
        return self._in_company(conditions.holds(condition, shell=shell), condition)

    def _set_otherwise(self, condition: str, *, shell: bool) -> bool:
        """Whether a condition asks a name that the file sets to what it denies (``is_prefill = role != "prefill"``), or that
        holds what is no truth: ``if prefill`` beside ``prefill.replicas``."""
        asked = set(_VARIABLE.findall(condition))
        asked |= {name for name in _TRUTH.findall(condition) if not (shell and len(names.split_name(name)) == 1)}
        return truths.asks_section(condition) or any(
            self._denied(name, shell=shell) for name in asked if names.condition_side(name) is not None
        )

    def _denied(self, name: str, *, shell: bool) -> bool:
        if name in self.contrary:
            return True
        if name not in self._truths:
            bare = len(names.split_name(name)) == 1
            self._truths[name] = any(
                truths.sets_denied(self.text.s, i, name, shell=shell)
                or truths.defined_otherwise(self.text.s, i, name)
                or (bare and truths.is_thing(self.text.s, i, name))
                for i in islice(occurrences(self.text.s, name), _USES)
            )
        return self._truths[name]

    def sets_to_side(self, name: str) -> bool:
        """Whether the file sets a variable, by the last part of its name, to a side."""
        return (
            re.search(rf"\b{re.escape(name)}[\"']?\]?\s*[:=]\s*[\"']?[\w-]*(?:prefill|decod)", self.low, re.I)
            is not None
        )

    def defaults_to_side(self, name: str) -> bool:
        """Whether a side is the default of a shell's variable: ``${ROLE:-prefill}``."""
        return re.search(rf"\$\{{{re.escape(name)}:?[-=][^{{}}]*(?:prefill|decod)", self.low, re.I) is not None

    def branch_side(
        self, condition: str, *, taken: bool, shell: bool = False, only_two: bool | None = None
    ) -> Side | None:
        """The side of what runs where a condition of this file holds (``taken``) or does not: the side that is asked for there.
        Of ``only_two`` arms, as where it does not hold, also the other one, if the condition rules out one of two and the file
        knows no third."""
        if self._set_otherwise(condition, shell=shell):
            return None
        if taken and (side := self.holds(condition, shell=shell)) is not None:
            return side
        side, own = conditions.told(condition, value=taken, shell=shell)
        if side is None or side not in PD or self._in_company(side, condition) is None:
            return None
        if own:
            return side
        only_two = not taken if only_two is None else only_two
        return side.other if only_two and self._two_sided(condition, side, shell=shell) else None

    def _two_sided(self, condition: str, side: Side, *, shell: bool = False) -> bool:
        """Whether a server that is not of the ``side`` a condition asks for is of the other one: the condition asks a truth
        (``is_prefill``) and the file does not ask the other's as well, or the file lists the two and no third."""
        if self.third_role:
            return False
        if not conditions.boolean(condition, shell=shell):
            return self._two_roles and self._lists_what(condition, shell=shell)
        return _TRUTHS[side.other].search(self.text.s) is None

    def _lists_what(self, condition: str, *, shell: bool) -> bool:
        """Whether a list of the file can be of what a condition asks: one server goes through several phases, so that a list of
        roles says nothing of those."""
        passed = names.passed_through(conditions.compared(condition, shell=shell))
        return not passed or listed.only_two(self.text.s, passed)

    def lists_two(self, condition: str, *, shell: bool = False) -> bool:
        """Whether a condition compares a role of which the file lists the two sides, and no third."""
        if conditions.boolean(condition, shell=shell) or self.third_role or not self._two_roles:
            return False
        name = conditions.compared(condition, shell=shell)
        if not self._lists_what(condition, shell=shell):
            return False
        if role_key(name) or name in {"key", "value"} or name.isdigit():  # each.key, $1
            return True
        return name != "" and any(
            self.text.s.startswith(("in ", "of "), i + len(name) + 1) for i in self._loops_of(name)
        )

    def _loops_of(self, name: str) -> Iterator[int]:
        """Where the text names the variable of a loop so: ``for name in``."""
        return (i + len("for ") for i in occurrences(self.text.s, f"for {name} "))

    @cached_property
    def _two_roles(self) -> bool:
        """Whether the file lists the two sides as what a role may be, and never with a third beside them."""
        return listed.only_two(self.text.s)

    def pattern_side(self, pattern: str, asked: str = "") -> Side | None:
        """The side that an arm of a ``case`` or ``match`` of ``asked`` in this file is for (see ``conditions.pattern_side``)."""
        if any(not names.own(w) for w in conditions.members(asked) if names.for_role(w)):
            return None
        if "$(" in expressions.output_named(asked, shell=True):
            return None
        if not self.contrary.isdisjoint(_TRUTH.findall(pattern)):
            return None
        return self._in_company(conditions.pattern_side(pattern), pattern)

    def _in_company(self, side: Side | None, words: str) -> Side | None:
        if side not in PD or re.search(r"(?i)prefill|decod", words) or not by_trade(words) or self.company:
            return side
        return side if _TRADES[side is Side.PREFILL].search(self.text.s) else None

    @cached_property
    def holds_tests(self) -> bool:
        """Whether the file holds tests, by its name or a folder's, or by Rust's sign of one."""
        return _TEST.search(self.name) is not None or "#[test]" in self.text.s

    def has_twin(self, name: str) -> bool:
        """Whether the same name with the other side's word or letter in it stands in the file or, of a name that a part of the
        file's path has too, beside it in its folder."""
        beside = self.siblings if name in self._stems else ()
        return any(_holds(text, twin) for twin in twins(name) for text in (self.text.s, *beside))

    def _is_of_a_pair(self, name: str) -> bool:
        """Whether the letter in a name is one of P and D: it has its twin, no third is given a config too (``KV_S``) or is a file
        beside it (``s.sh``), and the letters are not those of production and development."""
        return (
            self._has_letter_twin(name)
            and not self._of_environments
            and not any(given.is_put_to_use(self.text.s, other) for other in names.other_letters(name))
            and not (name in self._stems and self._third_beside)
        )

    @cached_property
    def _third_beside(self) -> bool:
        """Whether a file beside this one has the same name but for another letter than P and D."""
        return not self.siblings.isdisjoint(names.other_letters(self.name.rsplit("/", 1)[-1]))

    @cached_property
    def _of_environments(self) -> bool:
        """Whether the file or its path tells of production or development, and nothing of P/D."""
        told = any(_ENVIRONMENT.search(text) for text in (self.low, self.name.lower()))
        return told and not (self.company or self.prefill_said or self.decode_said)

    def _has_letter_twin(self, name: str) -> bool:
        """Whether a name with a letter for its side has its twin. A letter alone (``p``) may be anything: its twin has to be
        given a config or a command of vLLM's as well, or to stand beside the file."""
        if not all(len(w) == 1 or w.isdigit() for w in split_name(name)):
            return self.has_twin(name)
        return any(
            (name in self._stems and any(_holds(other, twin) for other in self.siblings))
            or given.is_put_to_use(self.text.s, twin)
            for twin in twins(name)
        )

    @cached_property
    def _stems(self) -> frozenset[str]:
        """The parts of the file's path, with and without what stands behind a dot."""
        parts = self.name.split("/")
        return frozenset([*parts, *(p.split(".", 1)[0] for p in parts), *(p.rsplit(".", 1)[0] for p in parts)])

    def line(self, place: int) -> tuple[int, int]:
        """The 1-based line and column (in characters) of a place in the file."""
        s, (known, feeds) = self.text.s, self._counted
        feeds += s.count("\n", known, place) if place >= known else -s.count("\n", place, known)
        self._counted = place, feeds
        return feeds + 1, place - s.rfind("\n", 0, place)
