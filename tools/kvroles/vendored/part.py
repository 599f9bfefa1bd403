"""The part of the series that a wheel or an installation can hold: the ``vllm/**`` files of its topics, no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kvroles.apply import fit
from kvroles.apply import plan as plans
from kvroles.apply.state import Reader, State, TopicStatus, status
from kvroles.contract import check
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, Unproven
from kvroles.series import parts
from kvroles.series.lock import FileRow, Lock, ReleaseRow, TopicRow
from kvroles.series.release import FIRST_WITH_NIXL, Version, resolve, version
from kvroles.series.topics import OVERLAY, Series
from kvroles.tree.change import Change

PACKAGE = "vllm/"
LABEL = "kvroles"  # of the local version: R+kvroles.N (PEP 440, "Local version identifiers")


@dataclass(frozen=True)
class Part:
    """One release's row and series cut down to the package; ``left_out`` names what is no part of a wheel."""

    row: ReleaseRow
    series: Series
    left_out: tuple[str, ...]
    note: str | None = None  # how it was chosen, where not by the release's own row

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
        topics.append(topic._replace(part=parts.Part.RUNTIME))
    return Part(row._replace(topics=rows), Series(tuple(topics), {}, series.earlier), (*left_out, OVERLAY))


def choose(
    metadata_version: str,
    asked: str | None,
    series: Series,
    lock: Lock,
    read: Reader,
    where: str,
    *,
    by_context: bool = False,
    recorded: str | None = None,
) -> Part:
    """The part that fits a distribution of ``metadata_version`` whose files ``read`` gives.

    A release of the lock (local labels such as ``+cpu`` do not count) is taken by its hashes. Of any other version (``.post1``,
    a nightly) the files decide: where they are those of a release, byte for byte, that release is taken, and else what fits
    by exact context. ``by_context`` allows the latter for a release with edited files too; ``recorded`` is the release that a
    receipt names. Raises DoesNotApply when ``asked`` names another version or nothing fits, UsageError when it is no version.
    """
    found = Version.parse(metadata_version)
    wanted = _asked(asked, lock)
    if wanted is not None and found is not None and found != version(wanted):
        raise DoesNotApply(
            f"{where} is another release than the one asked for",
            expected=f"vLLM {wanted}",
            found=f"vLLM {metadata_version}",
            fix=f"Give --vllm-rev {metadata_version.partition('+')[0]}, or the wheel of {wanted}",
        )
    text = wanted or metadata_version.partition("+")[0]
    known = Version.parse(text)
    release = next((r for r in lock.releases if known is not None and version(r) == known), None)
    if release is not None:
        whole = of(lock.releases[release], series)
        if not by_context or _known(whole, read):
            return whole
    else:
        rows = list(reversed(lock.releases.values()))
        # Once patched, several releases may have the same files: the one that the receipt names is tried first.
        for row in sorted(rows, key=lambda r: r.release != recorded):
            whole = of(row, series)
            if whole.paths and _shipped(whole, read):
                note = f"its connector is that of vLLM {row.release}, byte for byte"
                return Part(whole.row, whole.series, whole.left_out, note)
    return _by_context(text, release or _below(known, lock), series, lock, read, where)


def _asked(asked: str | None, lock: Lock) -> str | None:
    """The version that a user's ``--vllm-rev`` names: of the lock, or any other that is a version."""
    if not asked:
        return None
    parsed = Version.parse(asked)
    if parsed is None or any(version(r) == parsed for r in lock.releases) or parsed < version(FIRST_WITH_NIXL):
        return resolve(asked, lock.releases)
    return parsed.text


def _below(found: Version | None, lock: Lock) -> str | None:
    """The last release of the lock before ``found``, whose variants are tried first."""
    return max((r for r in lock.releases if found is not None and version(r) < found), key=version, default=None)


def _shipped(whole: Part, read: Reader) -> bool:
    """Whether every file of the part is, byte for byte, as the release ships it or as the series leaves it."""
    have = {path: read(path) for path in whole.paths}
    return all(
        (data := have[path]) is not None and sha256(data) in (f.before, f.after)
        for topic in whole.row.topics.values()
        for path, f in topic.files.items()
    )


def _known(whole: Part, read: Reader) -> bool:
    """Whether the lock knows every file of the part by its hash."""
    states = plan_states(whole, read)
    return bool(states) and all(f.state is not State.EDITED for t in states for f in t.files)


def plan_states(whole: Part, read: Reader) -> tuple[TopicStatus, ...]:
    """The state of each topic."""
    return tuple(status(read, whole.row, whole.series, whole.series.topics))


def _by_context(text: str, nearest: str | None, series: Series, lock: Lock, read: Reader, where: str) -> Part:
    """The part by exact context: its row holds the hashes that the files have, and those that they will have."""
    touching = {n for row in lock.releases.values() for n, t in row.topics.items() if any(map(_in_package, t.files))}
    topics = tuple(t._replace(part=parts.Part.RUNTIME) for t in series.chosen() if t.name in touching)
    local = Series(topics, {}, series.earlier)

    def inside(path: str) -> bytes | None:
        return read(path) if _in_package(path) else None

    try:
        fit.need_connector(inside, where)
        forth = fit.plan(inside, local, lock, topics, nearest=nearest, where=where)
        back = fit.plan(inside, local, lock, topics, nearest=nearest, reverse=True, where=where)
    except DoesNotApply as e:  # the way out named there is a git checkout, which a wheel or an installation is not
        raise DoesNotApply(
            e.what,
            expected=e.expected,
            found=e.found,
            fix="No patch here fits these files. If they are edited, take them as they were published and lay the edit over "
            "the patched ones",
        ) from None
    made = {c.path: c.after for c in forth.changes}
    undone = {c.path: c.after for c in back.changes}
    rows = {}
    for topic in forth.topics:
        if topic.topic == OVERLAY:
            continue
        files = {}
        for f in topic.files:
            have = inside(f.path) or b""
            files[f.path] = FileRow(sha256(undone.get(f.path) or have), sha256(made.get(f.path) or have))
        native = topic.state is State.NATIVE
        rows[topic.topic] = TopicRow("native" if native else "variant", None if native else topic.variant, files)
    left_out = tuple(t.name for t in series.chosen() if t.name not in touching)
    row = ReleaseRow(text or "unknown", None, None, rows)
    chosen = tuple(t for t in topics if t.name in rows)
    note = "the lock knows no hash of its files: they were fitted by exact context, and proven by the contract"
    return Part(row, Series(chosen, {}, series.earlier), (*left_out, OVERLAY), note)


def _in_package(path: str) -> bool:
    return path.startswith(PACKAGE)


@dataclass(frozen=True)
class Planned:
    """What is to change, the topics before it, and whether the package warns by itself.

    ``shipped`` are the files that an earlier series of ours had changed, as vLLM ships them.
    """

    topics: tuple[TopicStatus, ...]
    changes: tuple[Change, ...]
    shipped: Mapping[str, bytes | None] = field(default_factory=dict)

    @property
    def native(self) -> bool:
        return all(t.state is State.NATIVE for t in self.topics)

    @property
    def applied(self) -> bool:
        return not self.native and not self.changes


def plan(part: Part, read: Reader, where: str, beside: str | None = None) -> Planned:
    """Plan to apply the part to what ``read`` gives; the contract is proven on the result before it is handed back.

    ``beside`` is the command that fits the patch beside an edit, where there is one.
    Raises DoesNotApply for edited files, Unproven when the contract would not hold.
    """
    try:
        planned = plans.plan(read, part.row, part.series, part.series.topics, where=where)
    except DoesNotApply as e:  # the way out named there is a git checkout, which a wheel or an installation is not
        raise DoesNotApply(
            e.what,
            expected=e.expected,
            found=e.found,
            fix=f"Take {where} as vLLM published it, and lay the edit over the patched file"
            + (f"; or let the patch be fitted beside the edit, by exact context: `{beside}`" if beside else ""),
        ) from None
    before = {path: read(path) for path in part.paths}
    after = {**before, **{c.path: c.after for c in planned.changes}}
    breach = broken({p: d for p, d in after.items() if d is not None}, {**before, **planned.shipped})
    if breach:
        raise Unproven(f"The contract would not hold in {where}: {breach}", fix="Nothing was written")
    return Planned(tuple(planned.topics), tuple(planned.changes), planned.shipped)


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
