"""What the user says of files beside their text: ``--side`` and ``.kv-roles.toml``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from kvroles.errors import UsageError
from kvroles.evidence.frames import Side
from kvroles.migrate import walk
from kvroles.migrate.codes import CODES, RETIRED

if TYPE_CHECKING:
    from kvroles.migrate.answers.answer import Answer
    from kvroles.series.release import Version

NAME = ".kv-roles.toml"

Row = tuple[str, int, Side]  # of --side or [side]: glob, line or 0, side


class Settings:
    """The side given to each file, and what is left alone. The first row whose glob matches counts, the command line's first.

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

    def side_of(self, path: str, line: int, *, of_the_line: bool = False) -> tuple[Side, str] | None:
        """The side given to one line of a file, and by which row; or None. ``of_the_line``: only a row with that line counts."""
        for number, (glob, at, side) in enumerate((*self.given, *self.sides)):
            bases = (".",) if number < len(self.given) else self.bases
            if (at == line or (not at and not of_the_line)) and named(path, glob, bases):
                row = f"{glob}:{at}" if at else glob
                if number < len(self.given):
                    self.used.add(number)
                    return side, f"--side {row}"
                return side, f"{self.file}: [side] {row}"
        return None

    def both_of(self, path: str, line: int, *, of_the_line: bool = False) -> tuple[str, str] | None:
        """Why ``[both]`` says to leave one line of a file as it is, and in which row; or None."""
        for glob, at, because in self.both:
            if (at == line or (not at and not of_the_line)) and named(path, glob, self.bases):
                return because, f"{self.file}: [both] {f'{glob}:{at}' if at else glob}"
        return None

    def answers_of(self, path: str) -> Mapping[str, Answer]:
        """The answers kept for the lines of a file, by the key of each line's content."""
        if not self.answers:
            return {}
        names = (os.path.normpath(path), *_spellings(path, self.bases))
        return next((self.answers[n] for n in names if n in self.answers), {})

    def excluded(self, path: str) -> str | None:
        """The row of ``exclude`` that leaves a path out, or None."""
        return next((g for g in self.exclude if named(path, g, self.bases)), None)


class Known:
    """The settings that hold for each file of a run: those of ``--config``, else the nearest ``.kv-roles.toml``, else the
    current folder's.

    The nearest is looked for up to the top of the file's repository; without a repository up to the path that was named, or
    to the current folder. Without ``trust`` no settings file of a tree is read. Raises ``UsageError`` for a ``--side`` or a
    ``--config`` that is wrong.
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
            file = file or (NAME if os.path.isfile(NAME) else "")
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
        near = os.path.relpath(os.path.join(top, NAME))
        return os.path.join(top, NAME) if near.startswith("..") else near

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
        file = os.path.join(here, NAME)
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


def named(path: str, glob: str, bases: Sequence[str]) -> bool:
    """Whether a glob matches a path as it is given, as an absolute path, or as seen from one of ``bases``, with its links
    resolved or not."""
    if matches(os.path.normpath(path), glob):
        return True
    return any(matches(s, glob) for s in _spellings(path, tuple(bases)))


@lru_cache(maxsize=4096)
def _spellings(path: str, bases: tuple[str, ...]) -> tuple[str, ...]:
    """The ways to write a path: absolute, and as seen from each of ``bases``; each with its links and without."""
    whole, real = os.path.abspath(path), os.path.realpath(path)
    out = [whole, real]
    for base in bases:
        out += [os.path.relpath(whole, os.path.abspath(base)), os.path.relpath(real, os.path.realpath(base))]
    return tuple(dict.fromkeys(out))


def matches(path: str, glob: str) -> bool:
    """Whether a path matches a glob: ``**`` spans folders, ``*`` does not, a bare name matches anywhere."""
    path = path.removeprefix("./")
    if "/" not in glob:
        return fnmatchcase(path.rsplit("/", 1)[-1], glob)
    parts = _parts(glob)
    # The places in the glob that have been reached. All of them go on with each character, so that the time is at most the
    # path's length times the glob's. Place k is before part k; ~k is inside a folder that the "**/" at k spans.
    at = _skip({0}, parts)
    for ch in path:
        ahead: set[int] = set()
        for k in at:
            if k < 0:
                ahead.add(~k if ch == "/" else k)
            elif k < len(parts):
                ahead |= _after(k, parts[k], ch)
        at = _skip(ahead, parts)
    return len(parts) in at


def _after(k: int, part: str, ch: str) -> set[int]:
    """The places in a glob that ``part``, at place ``k``, leads to by the character ``ch``; none if it does not match it."""
    match part:
        case "**/":
            return {k if ch == "/" else ~k}
        case "**":
            return {k}
        case "*":
            return {k} if ch != "/" else set()
        case "?":
            return {k + 1} if ch != "/" else set()
        case _:
            return {k + 1} if ch == part else set()


def _skip(at: set[int], parts: tuple[str, ...]) -> set[int]:
    """``at`` with the places that are reached without a character: ``*``, ``**`` and ``**/`` may match nothing."""
    todo = list(at)
    while todo:
        k = todo.pop()
        if 0 <= k < len(parts) and parts[k] in {"*", "**", "**/"} and k + 1 not in at:
            at.add(k + 1)
            todo.append(k + 1)
    return at


@lru_cache(maxsize=256)
def _parts(glob: str) -> tuple[str, ...]:
    """The parts of a glob: ``**/``, ``**``, or one character."""
    glob = glob.removeprefix("./")
    glob += "**" if glob.endswith("/") else ""
    return tuple(m.group() for m in re.finditer(r"\*\*/|\*\*|.", glob, re.S))


def parse_side(text: str, where: str) -> tuple[str, int, Side]:
    """The row that ``GLOB[:LINE]=prefill|decode`` is. Raises ``UsageError``, which says that it stands in ``where``."""
    glob, eq, value = text.rpartition("=")
    if not eq or not glob or value not in {"prefill", "decode"}:
        raise UsageError(
            f"{where} {text!r} is no answer",
            expected="GLOB=prefill or GLOB=decode, GLOB:LINE for one place",
            found=text,
            fix="For example: `--side deploy/worker-a.yaml=prefill`",
        )
    return *_place(glob), Side(value)


def _place(text: str) -> tuple[str, int]:
    """The glob of ``GLOB[:LINE]``, and the line or 0. A number of more than nine digits is part of the glob."""
    m = re.fullmatch(r"(.*?):([0-9]{1,9})", text)
    return (m[1], int(m[2])) if m else (text, 0)


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
        raise UsageError(f"{path} cannot be read", found=why, fix="Mend it, or name another with --config") from None
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
        out.append(parse_side(f"{glob}={value}", f"{path}: [side]"))
    return out


def _reasons(table: object, path: str) -> list[tuple[str, int, str]]:
    """The rows of the table ``[both]``: glob, line or 0, reason. Raises ``UsageError`` for one that is wrong."""
    if not isinstance(table, dict):
        raise UsageError(f"{path}: [both] is no table", expected='"GLOB" = "why it stays as it is"')
    out: list[tuple[str, int, str]] = []
    for glob, reason in table.items():
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(f"{path}: [both] gives no reason for {glob!r}", expected=f'"{glob}" = "why it stays"')
        out.append((*_place(glob), reason))
    return out


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
