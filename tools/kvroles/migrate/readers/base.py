"""What a reader is, and the file in whose text it reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from importlib import import_module
from itertools import islice
from typing import Protocol, TypeVar, cast

from kvroles.evidence import marks
from kvroles.evidence.context import MAX_NESTING, FileCtx
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.patterns import regex
from kvroles.evidence.signs.asked import asked
from kvroles.evidence.text import Text, occurrences
from kvroles.migrate.connector import bases, connectors, connectors_in_text, overlays, regions, remade, substitutes
from kvroles.migrate.connector.connectors_in_text import Mention
from kvroles.migrate.files import neighbours
from kvroles.migrate.readers import lines, registry, sniff
from kvroles.migrate.readers.registry import READERS, USUAL

# Places of one kind that a reader looks at: nobody writes more by hand, and each costs a walk through its text.
MANY = 200

_T = TypeVar("_T")
# What other programs call, or build.
_CODE = registry.CODE | {"docker"}
# $NAME, ${NAME}, ${NAME:-other}, $(NAME), ${local.name}
_VARIABLE = regex(r"\$[({]?([\w.]+)(?::?[-=][^{}]*)?[)}]?|\{\{-?\s*\.?([\w.]+)\s*-?\}\}")
_WORD = regex(r"\w*")
# What a loop calls each of what is in a variable; and what a class is made of.
_EACH = regex(r"\bfor(?:each)?\b[^\n]{0,60}?(?<![\w$])(\$?\w+)\s*(?:\bin|\bof|:=\s*range)\s+(?:\w+\()?\$?\Z")
_CLASS = regex(r"(?m)^[ \t]*(?:export\s+)?class\s+\w+([^\n]*)")
_LONGEST_NAME = 60
_NEAR = 1000  # characters round a connector's name in which it is taken away or turned off


# ``name[``, ``name.``, ``f(name, ``, ``{...name, ``, ``local.name``, ``set $name "``
_BEFORE_CHANGED = regex(r"(?<![\w.-])|(?<=\.\.\.)|(?<=local\.)")
_BEHIND_CHANGED = regex(r"[\[.,)\"']|[ \t]+[\"'`(]")


def _changes(line: str, name: str) -> bool:
    """Whether a line may change what is in ``name``."""
    return any(
        _BEFORE_CHANGED.match(line, i) and _BEHIND_CHANGED.match(line, i + len(name)) for i in occurrences(line, name)
    )


def _each(s: str, name: str) -> Iterator[str]:
    """What the loops of a text call each of what is in ``name``."""
    for i in islice(occurrences(s, name), MANY):
        a = max(s.rfind("\n", 0, i) + 1, i - _NEAR)
        if "for" in s[a:i] and not s[i + len(name) : i + len(name) + 1].isidentifier() and (m := _EACH.search(s, a, i)):
            yield m[1]


# What takes a thing away, before its name; what turns it off, beside it.
_REMOVES = regex(r"(?i)\b(?:uninstall|remove|purge|unset|exclude|disabled?|without|rm\s+-\w+|blacklist|deny)\b")
_OFF = regex(
    r"(?i)\b(?:enabled?|active|use)[\"']?[ \t]*[:=][ \t]*[\"']?(?:false|no|off|0)\b"
    r"|\b(?:disabled?|skip)[\"']?[ \t]*[:=][ \t]*[\"']?(?:true|yes|on|1)\b"
    r"|\bstate[\"']?[ \t]*[:=][ \t]*[\"']?(?:absent|disabled|stopped)\b"
)
# The same of what is named: ``LMCACHE_ENABLED=false``, ``use_lmcache: no``.
_OFF_BY_NAME = regex(
    r"(?i)(?<![a-z])(?:(?:enabled?|use)_(?P<a>[a-z]+)|(?P<b>[a-z]+)_enabled?)[\"']?[ \t]*[:=][ \t]*[\"']?(?:false|no|off|0)\b"
)

_SWITCHES = ("enable", "active", "use", "disable", "skip", "state")  # each of these two holds one


def _denied(s: str, i: int) -> bool:
    """Whether the name at an index stands behind a word that takes it away, on its line, or in an object that is turned off."""
    a = s.rfind("\n", 0, i) + 1
    if _REMOVES.search(s, max(a, i - _NEAR), i) is not None:
        return True
    own = next(regions.near(s, i, _NEAR), None)
    a, b = own or regions.block(s, i)
    if not any(map(s[a:b].lower().__contains__, _SWITCHES)):
        return False
    if _OFF.search(s, a, b) is not None:
        return True
    name = s[i : i + _LONGEST_NAME].lower()
    return any(name.startswith((m["a"] or m["b"]).lower()) for m in _OFF_BY_NAME.finditer(s, a, b))


class Reader(Protocol):
    """Reads one language. It knows no other reader: a string that may hold another language is given to ``File.read``.

    ``owner_at`` is asked for a text of any language: a code block in a page, or another file, that names the file at hand.
    """

    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """Every ``kv_both`` in ``text``, with its owners; ``owner`` is that of the whole text."""
        ...

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """The innermost owner of index ``at`` of ``text``; None in a comment."""
        ...


class ByLine:
    """The part of a reader for languages in which the owner of a place is what its line says."""

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """What the line at ``at`` says."""
        return lines.owner(text, at, owner, file)


class ByHeading:
    """The part of a reader for languages in which a place is owned by its line, and that by the heading above: a section, a
    stage, a target."""

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """What the line at ``at`` says, below the heading above it."""
        return lines.owner(text, at, lines.headed(text, at, owner, file), file)


class File(FileCtx):
    """One file: what is known of it as a whole, and ``read``, which hands a text to the reader of its language."""

    def __init__(self, path: str, name: str, text: Text, nixl: frozenset[str] = frozenset()) -> None:
        super().__init__(path, name, text, nixl, neighbours.names)
        self.below = name  # the part of its path below what the user named
        self.asked_for = False  # whether the user named the very file
        self._kept: dict[Hashable, object] = {}
        self._of_names: dict[str, tuple[int, str]] = {}
        self._only: frozenset[int] | None = None
        self._meanings: list[Callable[[str], str | None]] = []
        self._pairs: list[list[tuple[str, str]]] = []

    @cached_property
    def others(self) -> tuple[str, ...]:
        """The connectors that the file names, if it names any and each is another one than NIXL's."""
        return () if "nixl" in self.low else connectors_in_text.all_other(self.mentions, self.nixl, self._silent)

    @cached_property
    def mentions(self) -> list[Mention]:
        """Where the file speaks of connectors."""
        return list(connectors_in_text.mentions(self.text))

    @cached_property
    def of_others(self) -> frozenset[int]:
        """The indices of the roles that are for one of ``others``, unless they have a connector of their own."""
        if not self.others:
            return frozenset()
        s = self.text.s
        names = (i for name in self.others for i in occurrences(s, name) if not self._silent(i))
        return regions.served(s, names, self.text.words())

    def set_anew(self, site: Site) -> bool:
        """Whether a line behind a site sets the connector of the config that the site is in to one that may be NIXL's."""
        setting = [(at, start, line) for at, start, line in self._setting if start > site.pos]
        if not setting:  # nearly always; to find the owners of a site takes much longer
            return False
        chain, text = site.scope.chain(), self.text.s
        named = {s.name for s in chain if s.kind == "variable" and s.name}
        named |= {each for name in named for each in _each(text, name)}
        classes = {s.name for s in chain if s.kind == "class" and s.name}
        for at, start, line in setting:
            changed = any(_changes(line, name) for name in named)
            heads = _CLASS.findall(text, site.pos, start)[-1:] if classes and not changed else []
            inherits = any(not classes.isdisjoint(re.findall(r"\w+", head)) for head in heads)
            if (changed or inherits) and not self._silent(at):
                return True
        return False

    @cached_property
    def _setting(self) -> list[tuple[int, int, str]]:
        """The lines that may set NIXL's connector and no role, silent ones too: where the name of the connector stands in each,
        where the line begins, and its text."""
        s = self.text.s
        out: list[tuple[int, int, str]] = []
        for m in self.mentions:
            if self._of_another(m):
                continue
            a, b = s.rfind("\n", 0, m.at) + 1, s.find("\n", m.at)
            if "role" not in (line := s[a : b if b >= 0 else len(s)]):
                out.append((m.start, a, line))
        return out

    def _of_another(self, m: Mention) -> bool:
        """Whether a mention sets no connector, or one that is known to be another than NIXL's."""
        if m.value is None:
            return not m.later
        known = connectors.kind_of(m.value, self.nixl) is connectors.Kind.OTHER
        return not m.later and (known or connectors.placeholder_of_other(m.value))

    def _may_set(self, m: Mention) -> bool:
        """Whether a mention in this file may set NIXL's connector."""
        return not self._of_another(m) and not self._silent(m.start)

    def laid_over(self, place: int) -> str:
        """What may replace the connector of the object in which the role at index ``place`` stands; empty if nothing does."""
        return overlays.over(self.text.s, place, self._lang) or overlays.over_variable(self.text.s, place)

    def laid_under(self, place: int) -> str:
        """What the config of the role at index ``place`` is laid over, if the file does not show it all."""
        return bases.under(self.text.s, place, self._lang)

    def holds_bare_nixl(self, place: int) -> bool:
        """Whether the wrapper whose own role stands at index ``place`` holds NIXL's connector without a role: vLLM refuses that
        (``KVTransferConfig``, since 0.9.0), so that what starts it has to give it one."""
        s = self.text.s
        end = min(len(s), place + 4 * _NEAR)
        a, b = own = next(regions.around(s, place, max(0, place - _NEAR), end), None) or regions.block(s, place)
        if self._lang == "toml" and s[a] not in "([{":  # what a table holds may stand in tables of its own
            b = end
        inside = (m for m in self.mentions if a <= m.at < b and m.ours and m.value is not None)
        nixl = (m for m in inside if connectors.kind_of(m.value, self.nixl) is connectors.Kind.NIXL)
        return any(not self._with_role(m.at, own) for m in nixl)

    def _with_role(self, at: int, outer: tuple[int, int]) -> bool:
        """Whether the connector set at index ``at``, inside of the object ``outer``, has a role beside it."""
        pair = next(regions.around(self.text.s, at, *outer), outer)
        return "ole" in self.text.s[slice(*pair)] if pair != outer else substitutes.with_role(self.text.s, at)

    def remade(self, place: int) -> str:
        """The words by which source code makes another config of that with the role at index ``place``; empty if none."""
        return remade.of(self.text.s, place, self._of_names) if self._lang in remade.LANGUAGES else ""

    def replaced(self, connector: str) -> str:
        """What in the file, or in one beside it, may put NIXL's connector in the place of ``connector``; empty if nothing."""
        key = ("replaced", connector)
        if key not in self._kept:
            path, name, s, said = self.path, self.name, self.text.s, self.mentions
            here = substitutes.in_text(s, said, connector, self._lang, self._may_set)
            self._kept[key] = (
                here
                or substitutes.nixl_alone(s, said, connector, self._lang, self._may_set)
                or substitutes.sourced(path, s, self._lang)
                or substitutes.beside(path, name, s, said, connector, lambda m: not self._of_another(m))
            )
        return cast(str, self._kept[key])

    def by_default(self, connector: str, place: int) -> str:
        """The words by which the ``connector`` that source code, or a build, names nearest to the role at index ``place`` is only
        taken where no other one is given; empty if it is set."""
        if not (self._lang in _CODE if self._lang else registry.named_for_another(self.name)):
            return ""
        named = sorted((m.start for m in self.mentions if m.named == connector), key=lambda start: abs(start - place))
        nearest = next((start for start in named if not self._silent(start)), -1)
        return connectors_in_text.by_default(self.text.s, nearest, self._lang) if nearest >= 0 else ""

    def offered(self, connector: str, place: int) -> str:
        """The comment beside the ``connector`` nearest to the role at index ``place`` that offers NIXL's; empty without one."""
        if "nixl" not in self.low:
            return ""
        named = sorted(islice(occurrences(self.text.s, connector), MANY), key=lambda i: abs(i - place))
        nearest = next((i for i in named if not self._silent(i)), -1)
        return connectors_in_text.offered(self.text.s, nearest, self._lang) if nearest >= 0 else ""

    @cached_property
    def _lang(self) -> str:
        return registry.lang_of_name(self.name)

    @cached_property
    def _silent(self) -> Callable[[int], bool]:
        """Whether the connector's name at an index sets none: it stands in a comment or a comparison, or is taken away."""
        s, lang = self.text.s, self._lang

        @cache
        def silent(i: int) -> bool:
            word = _WORD.match(s, i)[0]  # type: ignore[index]
            return marks.commented(s, i, lang) or asked(s, i, word, lang) or _denied(s, i)

        return silent

    def read(self, text: Text, owner: Scope, lang: str = "string") -> list[Site]:
        """The sites in ``text``, read as ``lang``: one of ``READERS``, or empty to find the language out. ``string`` is the same
        for the value of a key or variable, which may begin with a key of its own (``kv={...}``)."""
        if not text.tokens():
            return []
        if self.depth >= MAX_NESTING:
            return [Site(text.at(i), owner, "value") for i in text.tokens()]
        if self.depth:
            text = text.outdented()
        self.depth += 1
        try:
            if lang == "string" and (m := sniff.KEYED.match(text.s)):
                owner, lang = lines.keyed(m.group(1), text.at(0), owner, self), "json"
                text = text.slice(m.end(), len(text.s))
            elif lang in {"", "string"}:
                lang = sniff.language(text.s)
            return reader(lang).read(text, owner, self)
        finally:
            self.depth -= 1

    def owner_at(self, lang: str, text: Text, at: int, owner: Scope) -> Scope | None:
        """The innermost owner of index ``at`` of ``text``, which is of language ``lang``; None in a comment."""
        return reader(lang or "prose").owner_at(text, at, owner, self)

    @contextmanager
    def only(self, places: frozenset[int]) -> Iterator[None]:
        """Have the readers inside the ``with`` asked for the roles at some places alone, of a text that is read once for each of
        its parts."""
        before, self._only = self._only, places
        try:
            yield
        finally:
            self._only = before

    def asked_for_at(self, place: int) -> bool:
        """Whether a reader is asked for the role at a place of the file."""
        return self._only is None or place in self._only

    @contextmanager
    def knowing(self, meaning: Callable[[str], str | None]) -> Iterator[None]:
        """Give the readers inside the ``with`` the variables of the text around: ``meaning`` is the one value of a name, or
        None."""
        self._meanings.append(meaning)
        try:
            yield
        finally:
            self._meanings.pop()

    @contextmanager
    def among(self, pairs: list[tuple[str, str]]) -> Iterator[None]:
        """Give the readers inside the ``with`` the settings around: ``pairs`` are the variables of a unit, an image, a script."""
        self._pairs.append(pairs)
        try:
            yield
        finally:
            self._pairs.pop()

    def connector_beside(self, key: str, pairs: Iterable[tuple[str, str]]) -> str | None:
        """The connector that goes with the role ``key``: in ``pairs``, else in the settings that ``among`` gave."""
        found = connectors.beside(key, pairs)
        for outer in reversed(self._pairs):
            found = found if found is not None else connectors.beside(key, outer)
        return self.named(found)

    def named(self, connector: str | None) -> str | None:
        """``connector``, or where it is a variable the one value that ``knowing`` gave for that."""
        if connector is None or (m := _VARIABLE.fullmatch(connector.strip())) is None:
            return connector
        for meaning in reversed(self._meanings):
            if (value := meaning(m.group(1) or m.group(2))) is not None:
                return value
        return connector

    def kept(self, kind: str, text: Text, owner: Scope, make: Callable[[], _T]) -> _T:
        """What ``make`` returns for ``text``: called once, however many places of it are asked for."""
        key = (kind, text, owner)
        if key not in self._kept:
            self._kept[key] = make()
        return cast(_T, self._kept[key])


@cache
def reader(lang: str) -> Reader:
    """The reader of a language. Raises ``ImportError`` if its parser is not installed."""
    module, name = READERS[lang].split(":")
    return cast(Reader, getattr(import_module(f"kvroles.migrate.readers.{module}"), name))


def load() -> None:
    """Load the readers that most trees need, before the process forks: else each process loads them for itself."""
    for lang, grammar in USUAL:
        with suppress(ImportError):  # what is not installed the first file that takes it speaks of
            reader(lang)
            if grammar:
                import_module("kvroles.migrate.readers.grammar").parser(grammar)
