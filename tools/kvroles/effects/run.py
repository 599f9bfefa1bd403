"""What ``tools/effects.py`` does: read the releases in the cache, and check or refresh the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import NoSource, Unproven, UsageError
from .check import Reading, evidence, problems, read
from .source import archive_path, python_files, wheel_path
from .table import Table, load

TABLE = Path(__file__).resolve().parents[3] / "docs" / "data" / "role_effects.json"


@dataclass(frozen=True)
class Examined:
    """The releases read, and those of the table for which there is neither archive nor cached wheel."""

    readings: dict[str, Reading]
    unread: tuple[str, ...]


def examine(
    table: Table, cache: Path, only: Iterable[str] = (), say: Callable[[str], None] = lambda _: None
) -> Examined:
    """Read the releases of ``table`` (or ``only`` those) from ``cache``.

    A release that has only wheels is passed over when none is cached. Raises NoSource when an archive is
    missing, damaged or does not parse, UsageError for a release that the table does not have.
    """
    wanted = tuple(only) or table.releases
    if stray := [r for r in wanted if r not in table.releases]:
        raise UsageError(
            f"The table of role effects has no release {', '.join(stray)}",
            expected=f"one of {', '.join(table.releases)}",
        )
    readings: dict[str, Reading] = {}
    unread = []
    for release in wanted:
        source = wheel_path(cache, release) if release in table.wheel_only else archive_path(cache, release)
        if source is None:
            unread.append(release)
            continue
        if not source.is_file():
            raise NoSource(
                f"The source archive of vLLM {release} is not in the cache at {source}",
                fix=f"Fetch it with python tools/apply.py --vllm-rev {release} --check",
            )
        say(f"Reading {source.name}")
        try:
            readings[release] = read(release, python_files(source), table)
        except SyntaxError as e:
            raise NoSource(f"{source.name} holds Python that does not parse: {e}") from None
    return Examined(readings, tuple(unread))


def check(
    cache: Path, only: Iterable[str] = (), say: Callable[[str], None] = lambda _: None, path: Path = TABLE
) -> str:
    """Hold the table in ``path`` against the releases in ``cache``; returns a summary.

    Raises Unproven if it does not hold, after it has said every problem through ``say``.
    """
    table = load(path)
    examined = examine(table, cache, only, say)
    found = problems(table, examined.readings)
    for problem in found:
        say(problem)
    if found:
        raise Unproven(
            f"The table of role effects {path.name} does not hold in {len(found)} places, first: {found[0]}",
            fix="Give each unexplained site its effect, or the reason why it has none; then run "
            "python tools/effects.py --write",
        )
    return _summary(table, examined)


def write(
    cache: Path, only: Iterable[str] = (), say: Callable[[str], None] = lambda _: None, path: Path = TABLE
) -> str:
    """Put the lines that the releases in ``cache`` prove into the table in ``path``; returns a summary."""
    table = load(path)
    examined = examine(table, cache, only, say)
    path.write_text(table.with_evidence(evidence(table, examined.readings)).to_json(), encoding="utf-8")
    return _summary(table, examined)


def _summary(table: Table, examined: Examined) -> str:
    text = f"{len(examined.readings)} releases read, {len(table.effects)} effects, every role site explained."
    for release in examined.unread:
        text += f"\n{release} not read: it has no source archive, and no wheel of it is in the cache."
    return text
