"""What the user says where the files do not: ``--side``, ``.kv-roles.toml``, and comments that silence a finding."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from kvroles.errors import UsageError
from kvroles.evidence.frames import Side
from kvroles.migrate.codes import CODES, RETIRED

if TYPE_CHECKING:
    from kvroles.series.release import Version

NAME = ".kv-roles.toml"
SILENCER = "kv-roles:"  # what every comment that silences something has in it, in lower case
_IGNORE = re.compile(r"kv-roles:\s*ignore(?:\[\s*([A-Za-z0-9_,\s]*?)\s*\])?", re.I)


Answer = tuple[str, int, Side]  # glob, line or 0, side


class Settings:
    """Answers by glob (first match wins, the command line's before the file's), and what to leave alone.

    ``bases`` are the folders that globs are relative to: the current one, or the settings file's.
    """

    def __init__(self, sides: Sequence[Answer] = (), bases: Sequence[str] = (".",)) -> None:
        self.given = tuple(sides)  # the command line's
        self.sides: list[Answer] = []
        self.bases = tuple(bases)
        self.exclude: list[str] = []
        self.ignore: frozenset[str] = frozenset()
        self.connectors: frozenset[str] = frozenset()
        self.used: set[int] = set()  # the answers of the command line that decided something, by number

    def side_of(self, path: str, line: int, *, of_the_line: bool = False) -> Side | None:
        """The answer given for one line of a file, or None; with ``of_the_line`` only one that names that line."""
        for number, (glob, at, side) in enumerate((*self.given, *self.sides)):
            bases = (".",) if number < len(self.given) else self.bases
            if (at == line or (not at and not of_the_line)) and named(path, glob, bases):
                if number < len(self.given):
                    self.used.add(number)
                return side
        return None

    def excluded(self, path: str) -> bool:
        return any(named(path, g, self.bases) for g in self.exclude)


class Known:
    """The settings of every file of a run: of ``--config``, else of the nearest ``.kv-roles.toml`` up to the top of the file's
    repository (without one: up to the path that was named, or to the current folder), else of the current folder."""

    def __init__(self, sides: Sequence[str] = (), config: str | None = None) -> None:
        self.given = tuple(parse_side(s, "--side") for s in sides)
        self._all = load(config, self.given, (os.path.dirname(config) or ".", ".")) if config is not None else None
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

    def open_sides(self, found: set[int]) -> bool:
        """Whether an answer of the command line has not met a file that its glob names."""
        return len(found) < len(self.given)

    def named_by(self, path: str, found: set[int]) -> set[int]:
        """The answers of the command line, but for those in ``found``, whose glob names ``path``."""
        return {n for n, (glob, _, _) in enumerate(self.given) if n not in found and named(path, glob, (".",))}


def _nearest(folder: str, root: str) -> str:
    """The settings file that holds in ``folder``, both paths being real ones; empty if there is none."""
    top = folder
    while top != os.path.dirname(top) and not os.path.lexists(os.path.join(top, ".git")):
        top = os.path.dirname(top)
    if not os.path.lexists(os.path.join(top, ".git")):
        here = os.getcwd()
        ends = [root if os.path.isdir(root) else os.path.dirname(root), here]
        top = min((e for e in ends if folder == e or folder.startswith(e.rstrip("/") + "/")), key=len, default=folder)
    while True:
        file = os.path.join(folder, NAME)
        if os.path.isfile(file):
            return file
        if folder == top or folder == os.path.dirname(folder):
            return ""
        folder = os.path.dirname(folder)


class Options(NamedTuple):
    """What the run was asked for."""

    settings: Settings
    release: Version | None = None
    proof: bool = True  # make the change in memory and read it again; a plain report does without
    known: Known | None = None  # the settings of each file, where they differ


def named(path: str, glob: str, bases: Sequence[str]) -> bool:
    """Whether a glob names a path, however either is written: as given, or from one of ``bases``, links resolved or not."""
    if matches(os.path.normpath(path), glob):
        return True
    return any(matches(s, glob) for s in _spellings(path, tuple(bases)))


@lru_cache(maxsize=4096)
def _spellings(path: str, bases: tuple[str, ...]) -> tuple[str, ...]:
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
    at = _skip({0}, parts)
    for ch in path:  # all ways to match at once: time grows with path times glob, whatever they are
        ahead: set[int] = set()
        for k in at:
            if k < 0:  # inside a folder that a "**/" spans
                ahead.add(~k if ch == "/" else k)
            elif k < len(parts):
                ahead |= _after(k, parts[k], ch)
        at = _skip(ahead, parts)
    return len(parts) in at


def _after(k: int, part: str, ch: str) -> set[int]:
    """The places in a glob behind ``ch``, from place ``k`` where ``part`` stands; ``~k`` is inside a folder that it spans."""
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
    """The places in a glob that are reached from ``at`` without a character: what may match nothing is stepped over."""
    todo = list(at)
    while todo:
        k = todo.pop()
        if 0 <= k < len(parts) and parts[k] in {"*", "**", "**/"} and k + 1 not in at:
            at.add(k + 1)
            todo.append(k + 1)
    return at


@lru_cache(maxsize=256)
def _parts(glob: str) -> tuple[str, ...]:
    """A glob's characters, ``**/``, ``**`` and ``*`` being one each; a character of its own that is a sign stays one."""
    glob = glob.removeprefix("./")
    glob += "**" if glob.endswith("/") else ""
    return tuple(m.group() for m in re.finditer(r"\*\*/|\*\*|.", glob, re.S))


def parse_side(text: str, where: str) -> tuple[str, int, Side]:
    """``GLOB[:LINE]=prefill|decode``. Raises ``UsageError``."""
    glob, eq, value = text.rpartition("=")
    if not eq or not glob or value not in {"prefill", "decode"}:
        raise UsageError(
            f"{where} {text!r} is no answer",
            expected="GLOB=prefill or GLOB=decode, GLOB:LINE for one place",
            found=text,
            fix="For example: --side 'deploy/worker-a.yaml=prefill'",
        )
    m = re.fullmatch(r"(.*?):(\d+)", glob)
    return (m.group(1), int(m.group(2)), Side(value)) if m else (glob, 0, Side(value))


def load(path: str | None, given: Sequence[Answer] = (), bases: Sequence[str] = (".",)) -> Settings:
    """The settings of the command line and of a ``.kv-roles.toml``. Raises ``UsageError`` for a file that is wrong."""
    settings = Settings(given, bases)
    if path is None:
        return settings
    try:
        data = _toml(path)
    except (OSError, ValueError, RecursionError) as e:
        why = str(e) or "it is nested too deep"
        raise UsageError(f"{path} cannot be read", found=why, fix="Mend it, or name another with --config") from None
    known = {"side", "exclude", "ignore", "connectors"}
    if extra := sorted(set(data) - known):
        raise UsageError(
            f"{path} has a key that means nothing", expected=", ".join(sorted(known)), found=", ".join(extra)
        )
    sides_table = data.get("side", {})
    if not isinstance(sides_table, dict):
        raise UsageError(f"{path}: [side] is no table", expected='"GLOB" = "prefill" or "decode"')
    for glob, value in sides_table.items():
        settings.sides.append(parse_side(f"{glob}={value}", f"{path}: [side]"))
    settings.exclude = _strings(data, "exclude", path)
    settings.ignore = frozenset(_codes(_strings(data, "ignore", path), str(path)))
    settings.connectors = frozenset(_strings(data, "connectors", path))
    return settings


def _toml(path: str) -> dict[str, object]:
    # lazy: only here: most runs have no such file
    import tomllib

    with open(path, "rb") as f:
        return tomllib.load(f)


def _strings(data: dict[str, object], key: str, path: str) -> list[str]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise UsageError(f"{path}: {key} is no list of strings")
    return [str(v) for v in value]


def _codes(codes: list[str], where: str) -> list[str]:
    for c in codes:
        if c in RETIRED:
            raise UsageError(
                f"{where} ignores {c}, which is {RETIRED[c]} now", fix=f"Write {RETIRED[c]} if it is to be silent"
            )
        if c not in CODES:
            raise UsageError(f"{where} ignores {c}, which is no code", expected="one of " + ", ".join(sorted(CODES)))
    return codes


# A comment alone on its line, in any language; in a notebook behind the quote of its string, in JSON as a comment's key.
_ALONE = re.compile(
    r"""[\s>]*"?(?:\#|//|--|;|<!--|/\*|\{\{-?\s*/\*|\{\#|\.\.|(?:_?comment|\$comment)"\s*:)""", re.X | re.I
)
_FENCE = re.compile(r"[\s>]*(?:```|~~~|\.\. (?:code|sourcecode))")


def suppressed(lines: list[str], line: int, code: str) -> bool:
    """Whether a comment ``kv-roles: ignore[KVR...]`` silences ``code`` on a line (from 1).

    It stands on the line, or alone above it: above the command that a backslash continues to it, above the fence it is in.
    """
    if line > len(lines):
        return False
    above = line - 1  # how many lines stand above
    while above and lines[above - 1].rstrip().endswith("\\"):
        above -= 1
    fence = next((n for n in range(above, 0, -1) if _FENCE.match(lines[n - 1])), 0)
    over_fence = next((ln for ln in reversed(lines[: max(fence - 1, 0)]) if ln.strip()), "")
    return (
        _silences(lines[line - 1], code)
        or (above > 0 and _ALONE.match(lines[above - 1]) is not None and _silences(lines[above - 1], code))
        or (over_fence.lstrip(" >\t").startswith(("<!--", "..", "{/*")) and _silences(over_fence, code))
    )


def _silences(text: str, code: str) -> bool:
    m = _IGNORE.search(text)
    if m is None:
        return False
    codes = {c.strip().upper() for c in (m.group(1) or "").split(",") if c.strip()}
    return not codes or code in codes
