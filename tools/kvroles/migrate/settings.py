"""What the user says where the files do not: ``--side``, ``.kv-roles.toml``, and comments that silence a finding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from kvroles.errors import UsageError
from kvroles.evidence.frames import Side
from kvroles.migrate.codes import CODES

if TYPE_CHECKING:
    from kvroles.series.release import Version

NAME = ".kv-roles.toml"
SILENCER = "kv-roles:"  # what every comment that silences something has in it, in lower case
_IGNORE = re.compile(r"kv-roles:\s*ignore(?:\[\s*([A-Za-z0-9_,\s]*?)\s*\])?", re.I)


class Settings:
    """Answers by glob (first match wins, the command line's before the file's), and what to leave alone."""

    def __init__(self, sides: Sequence[tuple[str, int, Side]] = ()) -> None:
        self.sides = list(sides)
        self.exclude: list[str] = []
        self.ignore: frozenset[str] = frozenset()
        self.connectors: frozenset[str] = frozenset()

    def side_of(self, path: str, line: int, *, of_the_line: bool = False) -> Side | None:
        """The answer given for one line of a file, or None; with ``of_the_line`` only one that names that line."""
        for glob, at, side in self.sides:
            if (at == line or (not at and not of_the_line)) and matches(path, glob):
                return side
        return None

    def excluded(self, path: str) -> bool:
        return any(matches(path, g) for g in self.exclude)


class Options(NamedTuple):
    """What the run was asked for."""

    settings: Settings
    release: Version | None = None
    proof: bool = True  # make the change in memory and read it again; a plain report does without


def matches(path: str, glob: str) -> bool:
    """Whether a path matches a glob: ``**`` spans folders, ``*`` does not, a bare name matches anywhere."""
    path = path.removeprefix("./")
    if "/" not in glob:
        return fnmatchcase(path.rsplit("/", 1)[-1], glob)
    return _pattern(glob).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    out = ""
    i = 0
    glob = glob.removeprefix("./")
    while i < len(glob):
        if glob.startswith("**/", i):
            out += "(?:.*/)?"
            i += 3
        elif glob.startswith("**", i):
            out += ".*"
            i += 2
        elif glob[i] == "*":
            out += "[^/]*"
            i += 1
        elif glob[i] == "?":
            out += "[^/]"
            i += 1
        else:
            out += re.escape(glob[i])
            i += 1
    return re.compile(out)


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


def load(path: str | None, sides: list[str]) -> Settings:
    """The settings of the command line and of a ``.kv-roles.toml``. Raises ``UsageError`` for a file that is wrong."""
    settings = Settings([parse_side(s, "--side") for s in sides])
    if path is None:
        return settings
    try:
        data = _toml(path)
    except (OSError, ValueError) as e:
        raise UsageError(f"{path} cannot be read", found=str(e), fix="Mend it, or name another with --config") from None
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
    import tomllib  # only here: most runs have no such file

    with open(path, "rb") as f:
        return tomllib.load(f)


def _strings(data: dict[str, object], key: str, path: str) -> list[str]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise UsageError(f"{path}: {key} is no list of strings")
    return [str(v) for v in value]


def _codes(codes: list[str], where: str) -> list[str]:
    for c in codes:
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
