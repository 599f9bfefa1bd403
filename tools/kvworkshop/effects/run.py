"""What ``tools/effects.py`` does: read the releases of the lock, and check or refresh the table and the claims with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kvroles.errors import NoSource, Unproven
from kvroles.said import counted
from kvroles.series.lock import Lock
from kvroles.series.release import resolve, version
from kvroles.sources.release_files import Options
from kvroles.tree import handles

from kvworkshop import own
from kvworkshop.effects import claims, elsewhere
from kvworkshop.effects.check import Reading, evidence, problems, read
from kvworkshop.effects.claims import Claim
from kvworkshop.effects.source import is_python, release_files
from kvworkshop.effects.table import Table, load

_DATA = own.ROOT / "docs" / "data"
TABLE = _DATA / "role_effects.json"
CLAIMS = _DATA / "claims.toml"
LINES = _DATA / "claim_lines.json"


@dataclass(frozen=True)
class Examined:
    """The releases read; and those without a source archive whose wheel could not be had, with the reason."""

    readings: dict[str, Reading]
    unread: dict[str, str]
    contradicted: list[str] = field(default_factory=list)  # claims that a release does not bear out, a sentence each
    lines: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # claim -> release -> "file:line"


@dataclass(frozen=True)
class Job:
    """What to read: ``only`` those releases (all, when empty). ``say`` is told of each release and each problem."""

    lock: Lock
    options: Options
    only: tuple[str, ...] = ()
    say: Callable[[str], None] = lambda _: None


def examine(table: Table, job: Job, said: Sequence[Claim] = ()) -> Examined:
    """Read releases against ``table`` and the claims ``said``.

    Raises NoSource, Unproven or UsageError when a release cannot be had, or named.
    """
    known = job.lock.releases
    out = Examined({}, {})
    for release in [resolve(name, known) for name in job.only] or list(known):
        job.say(f"Reading vLLM {release}")
        try:
            files = release_files(known[release], job.options, lambda path: claims.is_read(said, path))
            out.readings[release] = read(release, {p: d for p, d in files.items() if is_python(p)}, table)
            out.contradicted.extend(claims.problems_of_release(said, release, files))
            for claim, where in claims.lines(said, release, files).items():
                out.lines.setdefault(claim, {})[release] = where
        except NoSource as e:
            if known[release].archive is not None:
                raise
            out.unread[release] = e.what
        except SyntaxError as e:
            raise NoSource(f"vLLM {release} holds Python that this Python cannot parse: {e}") from None
    return out


def check(job: Job, path: Path = TABLE, claims_path: Path | None = None, clones: Path | None = None) -> str:
    """Check the table in ``path`` and the claims in ``claims_path`` against the source of the releases; returns a summary.

    What the claims say of other projects is checked in ``clones``/OWNER/NAME; None: it is not checked, and the summary says so.
    Raises Unproven where something does not hold, after each problem was told to ``job.say``.
    """
    table = load(path)
    said = claims.load(claims_path) if claims_path else ()
    examined = examine(table, job, said)
    complete = not job.only
    found = problems(table, examined.readings, tuple(job.lock.releases), complete=complete)
    others = [e for c in said for e in c.elsewhere]
    wrong, missing = elsewhere.problems(others, clones) if clones is not None else ([], [])
    examined.contradicted.extend(wrong)
    for problem in [*found, *examined.contradicted]:
        job.say(problem)
    if found:
        raise Unproven(
            f"The table of role effects {path.name} does not hold in {counted(len(found), 'place')}, first: {found[0]}",
            fix="Give each unexplained site its effect, or the reason why it has none; then run "
            "`python tools/effects.py --write`",
        )
    if examined.contradicted:
        raise Unproven(
            f"The claims do not hold in {counted(len(examined.contradicted), 'place')}, first: {examined.contradicted[0]}",
            fix="Mend the claim's range or pattern in docs/data/claims.toml, and the sentences that name it",
        )
    return f"{_summary(table, examined, said)}{of_others(said, clones, missing)}"


def of_others(said: Sequence[Claim], clones: Path | None, missing: Sequence[str]) -> str:
    """What was read of other projects, and which claims were not looked at for want of it, in words."""
    others = [e for c in said for e in c.elsewhere]
    if not others:
        return ""
    unread = [e for e in others if clones is None or e.repository in missing]
    ids = [c.id for c in said if any(e in unread for e in c.elsewhere)]
    read_ = len(others) - len(unread)
    text = f" {counted(read_, 'place')} in other projects {'holds' if read_ == 1 else 'hold'}." if read_ else ""
    if ids:
        where = ", ".join(sorted({e.repository for e in unread}))
        text += f"\nNot looked at: {counted(len(ids), 'claim')} on files of other projects ({', '.join(ids)}). "
        text += f"--clones DIR reads them in clones of {where}."
    return text


def write(job: Job, path: Path = TABLE, claims_path: Path | None = None, lines_path: Path = LINES) -> str:
    """Put the lines that the releases prove into the table in ``path`` and into ``lines_path``; returns a summary."""
    table = load(path)
    said = claims.load(claims_path) if claims_path else ()
    examined = examine(table, job, said)
    releases = tuple(job.lock.releases)
    handles.write(path, table.proven(releases, evidence(table, examined.readings, releases)).to_json().encode())
    if claims_path:
        handles.write(lines_path, _merged(lines_path, examined).encode())
    return _summary(table, examined, said)


def _merged(path: Path, examined: Examined) -> str:
    """The new text of the file of lines: the releases that were read replace their old lines, the others keep theirs."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    rows = []
    for claim in sorted(set(old) | set(examined.lines)):
        kept = {r: w for r, w in old.get(claim, {}).items() if r not in examined.readings}
        lines = kept | examined.lines.get(claim, {})
        if lines:
            ordered = {r: lines[r] for r in sorted(lines, key=version)}
            rows.append(f"  {json.dumps(claim)}: {json.dumps(ordered)}")
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _summary(table: Table, examined: Examined, said: Sequence[Claim] = ()) -> str:
    text = f"{counted(len(examined.readings), 'release')} read, {counted(len(table.effects), 'effect')} of the role."
    if said:
        rests = claims.rests(said, "held against these releases", "by tests alone", examined.readings)
        text += f" {counted(len(said), 'claim')}: {rests}."
    return "\n".join([text, *(f"{release} not read: {why}." for release, why in examined.unread.items())])
