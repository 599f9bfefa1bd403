"""What the user says of files beside their text: ``--side`` and ``.kv-roles.toml``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kvroles.errors import UsageError
from kvroles.evidence.frames import Side
from kvroles.migrate.codes import CODES, RETIRED
from kvroles.migrate.files import globs, walk
from kvroles.migrate.files.globs import named

if TYPE_CHECKING:
    from kvroles.migrate.answers.answer import Answer
    from kvroles.series.release import Version


_SIDES = ("prefill", "decode")
Row = tuple[str, int, Side]  # of --side or [side]: glob, line or 0, side


class Said(NamedTuple):
    """What one row says of a line: a side, or None and why it stays as it is; the row as a report names it; whether it names the
    line, and how exactly the file; its number if it is the command line's, else -1."""

    side: Side | None
    because: str
    row: str
    exact: tuple[bool, int]
    number: int = -1

    @property
    def word(self) -> str:
        return self.side.value if self.side is not None else "both"

    def __str__(self) -> str:
        return f"{self.row}={self.word}" if self.number >= 0 else f"{self.row} = {self.word}"


class Settings:
    """The side given to each file, and what is left alone. The row that names a line most exactly counts, the command line's
    before those of the settings.

    ``bases`` are the folders that globs are relative to: the current one, or the settings file's.
    """

    def __init__(self, sides: Sequence[Row] = (), bases: Sequence[str] = (".",)) -> None:
        self.given = tuple(sides)  # the command line's
        self.sides: list[Row] = []
        self.bases = tuple(bases)
        self.file = ""  # the settings file; empty without one
        self.both: list[tuple[str, int, str]] = []  # glob, line or 0, and why it stays as it is
        self.answers: dict[str, dict[str, Answer]] = {}  # by file, and by the key that a line's content gives
        self.exclude: list[str] = []
        self.ignore: frozenset[str] = frozenset()
        self.connectors: frozenset[str] = frozenset()
        self.used: set[int] = set()  # the numbers of the command line's rows that decided something
        self._of: tuple[str, list[tuple[int, Said]]] = (
            "",
            [],
        )  # the last path, and the rows that name it with their lines

    def said_of(
        self, path: str, line: int, answer: Answer | None = None, *, of_the_line: bool = False
    ) -> tuple[Said | None, Said | None]:
        """What counts of all that is said of a line, of which ``answer`` is kept, and what contradicts that.

        The command line counts before the settings; a row of these that is more exact and says otherwise contradicts it.
        ``of_the_line``: only rows with that line count. Raises ``UsageError`` for two that are as exact and contradict.
        """
        rows = [r for r in self._rows(path, line, answer) if r.exact[0] or not of_the_line]
        given = _most_exact([r for r in rows if r.number >= 0], path, line)
        kept = _most_exact([r for r in rows if r.number < 0], path, line)
        if given is None:
            return kept, None
        self.used |= {r.number for r in rows if r.number >= 0 and r.side is given.side}
        return given, kept if kept is not None and kept.exact > given.exact and kept.side is not given.side else None

    def kept_of(self, path: str, line: int, answer: Answer | None = None) -> Said | None:
        """What the settings say of the very line, of which ``answer`` is kept; or None. Raises ``UsageError`` as ``said_of``."""
        return _most_exact([r for r in self._rows(path, line, answer) if r.number < 0 and r.exact[0]], path, line)

    def both_of(self, path: str, line: int, *, of_the_line: bool = False) -> tuple[str, str] | None:
        """Why ``[both]`` says to leave one line of a file as it is, and in which row; or None."""
        rows = [r for r in self._rows(path, line) if r.side is None and (r.exact[0] or not of_the_line)]
        row = max(rows, key=lambda r: r.exact, default=None)
        return (row.because, row.row) if row is not None else None

    def _rows(self, path: str, line: int, answer: Answer | None = None) -> list[Said]:
        """All that is said of a line."""
        if not (self.given or self.sides or self.both or answer):
            return []
        if self._of[0] != path:
            self._of = path, list(self._naming(path))
        rows = [said for at, said in self._of[1] if at in {0, line}]
        if answer is not None:
            rows.append(Said(answer.side, answer.because, f"{self.file}: [[answer]]", (True, 2)))
        return rows

    def _naming(self, path: str) -> Iterable[tuple[int, Said]]:
        """The rows that name ``path``, each with its line or 0."""
        own = [(glob, at, side, "", "--side", n, (".",)) for n, (glob, at, side) in enumerate(self.given)]
        sides = [(glob, at, side, "", f"{self.file}: [side]", -1, self.bases) for glob, at, side in self.sides]
        both = [(glob, at, None, why, f"{self.file}: [both]", -1, self.bases) for glob, at, why in self.both]
        for glob, at, side, because, table, number, bases in (*own, *sides, *both):
            if named(path, glob, bases):
                row = f"{table} {glob}:{at}" if at else f"{table} {glob}"
                yield at, Said(side, because, row, (at > 0, globs.exactness(glob)), number)

    def answers_of(self, path: str) -> Mapping[str, Answer]:
        """The answers kept for the lines of a file, by the key of each line's content."""
        if not self.answers:
            return {}
        names = (os.path.normpath(path), *globs.spellings(path, self.bases))
        return next((self.answers[n] for n in names if n in self.answers), {})

    def excluded(self, path: str) -> str | None:
        """The row of ``exclude`` that leaves a path out, or None."""
        return next((g for g in self.exclude if named(path, g, self.bases)), None)


def _most_exact(rows: list[Said], path: str, line: int) -> Said | None:
    """The row that names a line most exactly; None without one. Raises ``UsageError`` if another as exact contradicts it."""
    best = max(rows, key=lambda r: r.exact, default=None)
    other = next((r for r in rows if best is not None and r.exact == best.exact and r.side is not best.side), None)
    if best is not None and other is not None:
        raise UsageError(
            f"Two rows that are as exact contradict each other for {path}:{line}",
            found=f"{best}, and {other}",
            fix="Delete one of the two, or name more exactly what one is for: a path, or GLOB:LINE",
        )
    return best


class Known:
    """The settings that hold for each file of a run: those of ``--config``, else the nearest ``.kv-roles.toml``.

    The nearest is looked for up to the top of the file's repository, so that one repository decides nothing in another; without
    a repository up to the path that was named, or to the current folder if the file is below it. Without ``trust`` no settings
    file of a tree is read. Raises ``UsageError`` for a ``--side`` or a ``--config`` that is wrong.
    """

    def __init__(self, sides: Sequence[str] = (), config: str | None = None, *, trust: bool = True) -> None:
        self._asked = sides, config
        self.trust = trust
        self.given = tuple(parse_side(s, "--side") for s in sides)
        self._all: Settings | None = None
        if config is not None:
            self._all = load(config, self.given, (os.path.dirname(config) or ".", "."))
        elif not trust:
            self._all = Settings(self.given)
        self._of: dict[tuple[str, str], Settings] = {}
        self._files: dict[str, Settings] = {}

    def of(self, path: str, root: str) -> Settings:
        """The settings for ``path``, found at or below ``root``. Raises ``UsageError`` for a file that is wrong."""
        if self._all is not None:
            return self._all
        folder = os.path.dirname(path)
        key = folder, root
        if key not in self._of:
            file = _nearest(os.path.realpath(folder or "."), os.path.realpath(root))
            if file not in self._files:
                near = os.path.relpath(file) if file else ""
                shown = file if near.startswith("..") else near
                self._files[file] = load(shown or None, self.given, (os.path.dirname(file) or ".",))
            self._of[key] = self._files[file]
        return self._of[key]

    def home(self, path: str, root: str) -> str:
        """The settings file that keeps an answer about ``path``, found at or below ``root``; it need not exist yet."""
        if file := self.of(path, root).file:
            return file
        top = _top(os.path.realpath(os.path.dirname(path) or "."), os.path.realpath(root))
        near = os.path.relpath(os.path.join(top, walk.SETTINGS))
        return os.path.join(top, walk.SETTINGS) if near.startswith("..") else near

    def all(self, paths: Sequence[str]) -> list[Settings]:
        """The settings that hold at ``paths``, each once."""
        if self._all is not None:
            return [self._all]
        return list({id(s): s for s in (self.of(p, p) for p in paths)}.values())

    def anew(self) -> Known:
        """The same with the settings files read again."""
        return Known(*self._asked, trust=self.trust)

    def open_sides(self, found: set[int]) -> bool:
        """Whether a row of the command line has named no file yet; ``found`` are the numbers of those that have."""
        return len(found) < len(self.given)

    def named_by(self, path: str, found: set[int]) -> set[int]:
        """The numbers of the rows of the command line whose glob names ``path``, less those in ``found``."""
        return {n for n, (glob, _, _) in enumerate(self.given) if n not in found and named(path, glob, (".",))}


def _top(folder: str, root: str) -> str:
    """The topmost folder whose settings hold in ``folder``: the top of its repository, else the named folder ``root``, else the
    current one. Both paths are without links."""
    if (top := walk.top_of(folder)) is not None:
        return top
    ends = [root if os.path.isdir(root) else os.path.dirname(root), os.getcwd()]
    return min((e for e in ends if folder == e or folder.startswith(e.rstrip("/") + "/")), key=len, default=folder)


def _nearest(folder: str, root: str) -> str:
    """The settings file that holds in ``folder``; empty if there is none. Both paths are without links."""
    top = _top(folder, root)
    for here in walk.upward(folder):
        file = os.path.join(here, walk.SETTINGS)
        if os.path.isfile(file):
            return file
        if here == top:
            break
    return ""


class Options(NamedTuple):
    """The options of a run that change how a file is judged or reported."""

    settings: Settings
    release: Version | None = None
    proof: bool = True  # make the change in memory and read it again; a report without patches needs none
    known: Known | None = None  # the settings of each file, where they differ
    keys: bool = False  # give each finding the key of its line's content
    lines: bool = False  # give each finding its line as a report shows it
    pairs: bool = True  # look at the file that differs in no more than the side


def parse_side(text: str, where: str) -> Row:
    """The row that ``GLOB[:LINE]=prefill|decode`` is. Raises ``UsageError``, which says that it stands in ``where``."""
    glob, eq, value = text.rpartition("=")
    if not eq or not glob or value not in _SIDES:
        raise UsageError(
            f"{where} {text!r} is no answer",
            expected="GLOB=prefill or GLOB=decode, GLOB:LINE for one place",
            found=text,
            fix="For example: `--side deploy/worker-a.yaml=prefill`",
        )
    return *_place(glob, where), Side(value)


def _place(text: str, where: str) -> tuple[str, int]:
    """The glob of ``GLOB[:LINE]``, and the line or 0. A number of more than nine digits is part of the glob.

    Raises ``UsageError`` for what names no file and no line.
    """
    m = re.fullmatch(r"(.*?):([0-9]{1,9})", text, re.DOTALL)
    glob, line = (m[1], int(m[2])) if m else (text, 0)
    if not glob or (m and not line):
        raise UsageError(
            f"{where} {text!r} names no place",
            expected="GLOB, or GLOB:LINE with a line from 1 on",
            fix="Name the file as the findings do",
        )
    return glob, line


def load(path: str | None, given: Sequence[Row] = (), bases: Sequence[str] = (".",)) -> Settings:
    """The settings of the command line and of a ``.kv-roles.toml``. Raises ``UsageError`` for a file that is wrong."""
    settings = Settings(given, bases)
    settings.file = path or ""
    if path is None:
        return settings
    try:
        data = _toml(path)
    except (OSError, ValueError, RecursionError) as e:
        why = str(e) or "it is nested too deep"
        raise UsageError(f"{path} cannot be read: {why}", fix="Mend it, or name another with --config") from None
    known = {"side", "both", "answer", "exclude", "ignore", "connectors"}
    if extra := sorted(set(data) - known):
        raise UsageError(
            f"{path} has a key that means nothing", expected=", ".join(sorted(known)), found=", ".join(extra)
        )
    settings.sides = _sides(data.get("side", {}), path)
    settings.both = _reasons(data.get("both", {}), path)
    if "answer" in data:
        # lazy: most settings hold no answers
        from kvroles.migrate.answers import answer

        settings.answers = answer.parse(data["answer"], path)
    settings.exclude = _strings(data, "exclude", path)
    if "" in settings.exclude:
        raise UsageError(f"{path}: exclude has an empty pattern", fix="Delete it, or name what is to be left out")
    settings.ignore = frozenset(_codes(_strings(data, "ignore", path), str(path)))
    settings.connectors = frozenset(_strings(data, "connectors", path))
    return settings


def _sides(table: object, path: str) -> list[Row]:
    """The rows of the table ``[side]``. Raises ``UsageError`` for one that is wrong."""
    if not isinstance(table, dict):
        raise UsageError(f"{path}: [side] is no table", expected='"GLOB" = "prefill" or "decode"')
    out: list[Row] = []
    for glob, value in table.items():
        if value == "both":
            raise UsageError(
                f"{path}: [side] {glob!r} = 'both' is no answer without a reason",
                fix=f'Write it in the table [both], with the reason: "{glob}" = "..."',
            )
        _quoted(glob, value, f"{path}: [side]")
        if not isinstance(value, str) or value not in _SIDES:
            raise UsageError(
                f"{path}: [side] {glob!r} is no answer",
                expected=f'"{glob}" = "prefill" or "decode"',
                found=repr(value[:80]) if isinstance(value, str) else "no text",
            )
        out.append((*_place(glob, f"{path}: [side]"), Side(value)))
    return out


def _reasons(table: object, path: str) -> list[tuple[str, int, str]]:
    """The rows of the table ``[both]``: glob, line or 0, reason. Raises ``UsageError`` for one that is wrong."""
    if not isinstance(table, dict):
        raise UsageError(f"{path}: [both] is no table", expected='"GLOB" = "why it stays as it is"')
    out: list[tuple[str, int, str]] = []
    for glob, reason in table.items():
        _quoted(glob, reason, f"{path}: [both]")
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(f"{path}: [both] gives no reason for {glob!r}", expected=f'"{glob}" = "why it stays"')
        out.append((*_place(glob, f"{path}: [both]"), reason))
    return out


def _quoted(glob: str, value: object, where: str) -> None:
    """Raise ``UsageError`` for a key with dots that is not quoted: TOML makes tables of it."""
    whole = [glob]
    while isinstance(value, dict) and len(value) == 1:
        ((key, value),) = value.items()
        whole.append(key)
    if len(whole) > 1 and isinstance(value, str):
        name = ".".join(whole)
        raise UsageError(
            f"{where} {name} is no name of a file without quotes",
            found="tables within tables, which is what dots between bare keys mean",
            fix=f'Quote the key: "{name}" = "{value[:80]}"',
        )


_MAX_BYTES, _MAX_DOTS = 1 << 20, 1000


def _toml(path: str) -> dict[str, object]:
    """What a settings file holds. Raises ``OSError`` or ``ValueError``."""
    # lazy: most runs have no such file
    import tomllib

    with open(path, "rb") as f:
        data = f.read(_MAX_BYTES + 1)
    # The time of tomllib grows with the square of a key's dots.
    if len(data) > _MAX_BYTES or max((line.count(b".") for line in data.splitlines()), default=0) > _MAX_DOTS:
        raise tomllib.TOMLDecodeError("it is larger, or a line in it has more dots, than any settings have")
    return tomllib.loads(data.decode("utf-8"))


def _strings(data: dict[str, object], key: str, path: str) -> list[str]:
    """The list of strings at ``key``; empty without one. Raises ``UsageError`` for anything else."""
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise UsageError(f"{path}: {key} is no list of strings")
    return [str(v) for v in value]


def _codes(codes: list[str], where: str) -> list[str]:
    """``codes`` as they are. Raises ``UsageError`` for one that no finding has."""
    for c in codes:
        if c in RETIRED:
            raise UsageError(
                f"{where} ignores {c}, which is {RETIRED[c]} now", fix=f"Write {RETIRED[c]} if it is to be silent"
            )
        if c not in CODES:
            raise UsageError(f"{where} ignores {c}, which is no code", expected="one of " + ", ".join(sorted(CODES)))
    return codes
