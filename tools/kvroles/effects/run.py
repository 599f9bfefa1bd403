"""What ``tools/effects.py`` does: read the releases of the lock, and check or refresh the table with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import NoSource, Unproven
from ..lock import Lock
from ..release import resolve
from ..verifying import Options
from .check import Reading, evidence, problems, read
from .source import python_files
from .table import Table, load

TABLE = Path(__file__).resolve().parents[3] / "docs" / "data" / "role_effects.json"


@dataclass(frozen=True)
class Examined:
    """The releases read; and those without a source archive whose wheel could not be had, with the reason."""

    readings: dict[str, Reading]
    unread: dict[str, str]


@dataclass(frozen=True)
class Job:
    """What to read: ``only`` those releases (all, when empty). ``say`` is told of each release and each problem."""

    lock: Lock
    options: Options
    only: tuple[str, ...] = ()
    say: Callable[[str], None] = lambda _: None


def examine(table: Table, job: Job) -> Examined:
    """Read releases against ``table``. Raises NoSource, Unproven or UsageError when one cannot be had, or named."""
    known = job.lock.releases
    readings: dict[str, Reading] = {}
    unread: dict[str, str] = {}
    for release in [resolve(name, known) for name in job.only] or list(known):
        job.say(f"Reading vLLM {release}")
        try:
            readings[release] = read(release, python_files(known[release], job.options), table)
        except NoSource as e:
            if known[release].archive is not None:
                raise
            unread[release] = e.what
        except SyntaxError as e:
            raise NoSource(f"vLLM {release} holds Python that this Python cannot parse: {e}") from None
    return Examined(readings, unread)


def check(job: Job, path: Path = TABLE) -> str:
    """Hold the table in ``path`` against the releases; returns a summary.

    Raises Unproven if it does not hold, after every problem has been said.
    """
    table = load(path)
    examined = examine(table, job)
    complete = not job.only
    found = problems(table, examined.readings, tuple(job.lock.releases), complete=complete)
    for problem in found:
        job.say(problem)
    if found:
        raise Unproven(
            f"The table of role effects {path.name} does not hold in {_count(found, 'place')}, first: {found[0]}",
            fix="Give each unexplained site its effect, or the reason why it has none; then run "
            "'python tools/effects.py --write'",
        )
    return _summary(table, examined)


def write(job: Job, path: Path = TABLE) -> str:
    """Put the lines that the releases prove into the table in ``path``; returns a summary."""
    table = load(path)
    examined = examine(table, job)
    releases = tuple(job.lock.releases)
    path.write_text(table.proven(releases, evidence(table, examined.readings, releases)).to_json(), encoding="utf-8")
    return _summary(table, examined)


def _summary(table: Table, examined: Examined) -> str:
    said = f"{_count(examined.readings, 'release')} read, {_count(table.effects, 'effect')} of the role."
    return "\n".join([said, *(f"{release} not read: {why}." for release, why in examined.unread.items())])


def _count(things: Iterable[object], noun: str) -> str:
    n = len(list(things))
    return f"{n} {noun}{'' if n == 1 else 's'}"
