"""The part of the series that a wheel or an installation can hold: the ``vllm/**`` files of its topics, no more."""

from __future__ import annotations

from dataclasses import dataclass

from kvroles.apply import plan as engine
from kvroles.apply.plan import Reader, State, TopicStatus
from kvroles.contract import check
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, Unproven
from kvroles.series.lock import Lock, ReleaseRow
from kvroles.series.patchfile import Patch
from kvroles.series.release import Version, resolve, version
from kvroles.series.topics import OVERLAY, Series, Topic
from kvroles.tree.change import Change

PACKAGE = "vllm/"
LABEL = "kvroles"  # of the local version: R+kvroles.N (PEP 440, "Local version identifiers")


class _InPackage(Topic):
    """A topic of which only the package's files are patched."""

    def patch(self, variant: str) -> Patch:
        whole = super().patch(variant)
        return whole._replace(files=tuple(f for f in whole.files if f.path.startswith(PACKAGE)))


@dataclass(frozen=True)
class Part:
    """One release's row and series cut down to the package; ``left_out`` names what is no part of a wheel."""

    row: ReleaseRow
    series: Series
    left_out: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """The package's files that the series is about."""
        return tuple(sorted({path for topic in self.row.topics.values() for path in topic.files}))


def of(row: ReleaseRow, series: Series) -> Part:
    """The package's part of the default topics of one release."""
    topics, rows, left_out = [], {}, []
    for topic in series.chosen():
        entry = row.topics.get(topic.name)
        if entry is None or entry.state == "absent":
            continue
        files = {path: f for path, f in entry.files.items() if path.startswith(PACKAGE)}
        if not files:
            left_out.append(topic.name)
            continue
        rows[topic.name] = entry._replace(files=files)
        topics.append(_InPackage(*topic))
    return Part(row._replace(topics=rows), Series(tuple(topics), {}), (*left_out, OVERLAY))


def release_of(metadata_version: str, asked: str | None, lock: Lock, where: str) -> str:
    """The release in the lock that a distribution of ``metadata_version`` is; local labels (``+cpu``) do not count.

    Raises DoesNotApply when ``asked`` names another, UsageError when the lock knows no such release.
    """
    wanted = resolve(asked, lock.releases) if asked else None
    found = Version.parse(metadata_version)
    if wanted is not None:
        if found != version(wanted):
            raise DoesNotApply(
                f"{where} is another release than the one asked for",
                expected=f"vLLM {wanted}",
                found=f"vLLM {metadata_version}",
                fix=f"Give --vllm-rev {metadata_version.partition('+')[0]}, or the wheel of {wanted}",
            )
        return wanted
    return resolve(metadata_version.partition("+")[0], lock.releases)


@dataclass(frozen=True)
class Planned:
    """What is to change, the topics before it, and whether the package warns by itself."""

    topics: tuple[TopicStatus, ...]
    changes: tuple[Change, ...]

    @property
    def native(self) -> bool:
        return all(t.state is State.NATIVE for t in self.topics)

    @property
    def applied(self) -> bool:
        return not self.native and not self.changes


def plan(part: Part, read: Reader, where: str) -> Planned:
    """Plan to apply the part to what ``read`` gives; the contract is proven on the result before it is handed back.

    Raises DoesNotApply for edited files, Unproven when the contract would not hold.
    """
    try:
        planned = engine.plan(read, part.row, part.series, part.series.topics, where=where)
    except DoesNotApply as e:  # the engine's way out is a git checkout, which a wheel or an installation is not
        raise DoesNotApply(
            e.what,
            expected=e.expected,
            found=e.found,
            fix=f"Take {where} as vLLM published it; the edit can be laid over the patched file afterwards",
        ) from None
    before = {path: read(path) for path in part.paths}
    after = {**before, **{c.path: c.after for c in planned.changes}}
    breach = broken({p: d for p, d in after.items() if d is not None}, before)
    if breach:
        raise Unproven(f"The contract would not hold in {where}: {breach}", fix="Nothing was written")
    return Planned(tuple(planned.topics), tuple(planned.changes))


def broken(after: dict[str, bytes], before: dict[str, bytes | None]) -> str | None:
    """The first breach of the contract in the package's files, or None. Clauses 2 and 3 are about tests and docs."""
    verdict = check.check(after, before, {}, tests=False)
    return str(verdict.breaches[0]) if verdict.breaches else None


def known_after(part: Part) -> dict[str, set[str]]:
    """path -> the hashes under which the lock knows it as applied or native."""
    out: dict[str, set[str]] = {}
    for topic in part.row.topics.values():
        for path, f in topic.files.items():
            hashes = {f.after} if topic.state == "variant" else {f.before, f.after}
            out.setdefault(path, set()).update(h for h in hashes if h is not None)
    return out


def patches(part: Part, topics: tuple[TopicStatus, ...]) -> dict[str, str]:
    """``topic/variant.patch`` -> SHA-256 of the mails that serve the release."""
    return {
        f"{t.topic}/{t.variant}.patch": sha256(part.series.topic(t.topic).raw(t.variant)) for t in topics if t.variant
    }
