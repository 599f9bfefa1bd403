"""What the series makes of a release that nobody has locked yet, topic by topic, and what it leaves to a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kvroles.apply import fit, meaning, optional
from kvroles.apply.merge import Merges
from kvroles.apply.plan import Plan
from kvroles.apply.refusals import remedies
from kvroles.apply.state import BY_MEANING, State, TopicStatus, is_native
from kvroles.apply.unclear import Unclear
from kvroles.contract import check, clauses, terms
from kvroles.contract.terms import Breach
from kvroles.errors import DoesNotApply
from kvroles.series import mail, patchfile
from kvroles.series.lock import ArchiveRow, Lock, ReleaseRow
from kvroles.series.patchfile import split_lines
from kvroles.series.release import version
from kvroles.series.topics import Series, Topic
from kvroles.series.upstream_files import UPSTREAM_FILES
from kvroles.sources import git, release_files
from kvroles.sources.extracts import Extract
from kvroles.sources.release_files import Options
from kvroles.tree.change import Change

from kvworkshop.port import definitions, lock_rows
from kvworkshop.port.loose import loosely
from kvworkshop.verify.prove import Proof

_ALIKE = 0.5  # a new file that holds this share of a missing file's lines is taken for that file, moved


@dataclass(frozen=True)
class Source:
    """The pristine files of the release to port to. ``blob`` holds the archive's bytes where the cache may lack them."""

    release: str
    extract: Extract
    archive: ArchiveRow | None
    wheels: tuple[ArchiveRow, ...] = ()
    blob: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class TopicReport:
    """``outcome`` is fit, offset, merged, by meaning, conflict, native, moved, changed, by hand or absent.

    ``note`` says how far, or which files.
    """

    topic: str
    outcome: str
    note: str = ""
    optional: bool = False


Results = dict[str, dict[str, bytes]]  # topic -> path -> bytes after it


@dataclass
class Report:
    """What porting found, wrote, and leaves to a person."""

    release: str
    topics: list[TopicReport] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    diffs: dict[str, str] = field(default_factory=dict)  # path -> what was done to it by meaning, for review
    kept: Path | None = None  # where the archive is found from now on
    proof: Proof | None = None  # of the release as it is locked

    def as_json(self) -> dict[str, object]:
        return {
            "schema": 1,
            "release": self.release,
            "topics": [vars(t) for t in self.topics],
            "written": self.written,
            "left": self.left,
            "by_meaning": self.diffs,
            "kept": None if self.kept is None else str(self.kept),
        }


def nearest(release: str, lock: Lock) -> ReleaseRow:
    """The newest release of the lock that is not after ``release``, or the oldest of all."""
    earlier = [r for r in lock.releases if version(r) <= version(release)]
    return lock.releases[earlier[-1] if earlier else next(iter(lock.releases))]


def home(path: str, row: ReleaseRow) -> str:
    """The topic for a file that no topic has changed yet: stragglers, where upstream holds the warning itself."""
    if row.topics["connector-warning"].state == "native":
        return "stragglers"
    if path in terms.CONNECTORS:
        return "connector-warning"
    if path.startswith("tests/v1/kv_connector/unit/"):
        return "unit-tests"
    if path.startswith("tests/v1/kv_connector/nixl_integration/"):
        return "integration-scripts"
    return "guides" if path.startswith("docs/") else "stragglers"


def survey(src: Source, series: Series, lock: Lock, options: Options, conflicts: Path) -> tuple[Report, Results]:
    """Try the newest variants on ``src``: per topic how it went, and the bytes each makes of its files.

    A topic that the nearest release holds itself is looked for, not merged in. What else fits nowhere is merged three
    ways against the nearest release; conflict texts are left in ``conflicts``.
    """
    report, results = Report(src.release), Results()
    near = nearest(src.release, lock)
    before = _shipped(near, src, series, lock, options)
    files = src.extract.files
    moved = _moved(near, before, files)
    held = {t.name: r for t in series.chosen() if (r := _held(t.name, near, before, files, moved))}
    ours = Series(tuple(t for t in series.chosen() if t.name not in held), series.overlay)
    merges = Merges(options, series, lock, near.release, conflicts)
    plan = fit.plan(
        files.get, ours, lock, ours.chosen(), nearest=near.release, merge=merges, where=f"vLLM {src.release}"
    )
    report.diffs = {p: mail for mails in meaning.mails(plan.meant).values() for p, mail in mails.items()}
    for path, loose in _loosely(files, ours, near, list(merges.conflicts)).items():
        del merges.conflicts[path]
        plan.changes.append(Change(path, files[path], loose))
        report.diffs[path] = _mail(plan.changes[-1])
    new, refused = _new_files(files, plan)
    plan.changes += [Change(path, files[path], data) for path, data in new.items()]
    report.diffs |= {c.path: _mail(c) for c in plan.changes if c.path in new}
    after = {c.path: c.after for c in plan.changes}
    for topic in series.chosen():
        status = next((t for t in plan.topics if t.topic == topic.name), None)
        if topic.name not in held:
            results[topic.name] = {
                f.path: data
                for f in (status.files if status else ())
                if f.state is not State.NATIVE
                and (data := after.get(f.path)) is not None
                and f.path not in merges.conflicts
            }
            results[topic.name] |= {path: data for path, data in new.items() if home(path, near) == topic.name}
        report.topics.append(held.get(topic.name) or _outcome(topic, status, set(merges.conflicts)))
    if merges.conflicts:
        merges.keep()
    report.left += [f"{path}: conflicts; both sides are in {conflicts / path}" for path in sorted(merges.conflicts)]
    report.left += refused
    report.left += _left(src, plan, moved)
    default: dict[str, bytes | None] = {**files, **after}
    survey_optional(src, default, report, results, series, lock, options, conflicts)
    return report, results


def _new_files(files: Mapping[str, bytes], plan: Plan) -> tuple[dict[str, bytes], list[str]]:
    """The files that no topic is about yet and that say kv_both for NIXL: given explicit roles by meaning; and for those
    that cannot be, why not."""
    known = {f.path for t in plan.topics for f in t.files}
    made: dict[str, bytes] = {}
    refused = []
    for path, data in files.items():
        if path in known or not clauses.kv_both_left(path, data):
            continue
        try:
            made[path] = meaning.change(path, data)
        except Unclear as e:
            refused.append(f"{path}:{e.line}: {e.why}")
    return made, refused


def _loosely(files: Mapping[str, bytes], series: Series, near: ReleaseRow, paths: list[str]) -> dict[str, bytes]:
    """What the nearest release's variants make of ``paths`` with less context than they have, where the file's clauses hold."""
    made: dict[str, bytes] = {}
    for topic in series.topics:
        row = near.topics.get(topic.name)
        for patch in topic.patch(row.variant).files if row and row.variant else ():
            data = loosely(files[patch.path], patch) if patch.path in paths else None
            if data is not None and meaning.holds(patch.path, files[patch.path], data):
                made[patch.path] = data
    return made


def _mail(change: Change) -> str:
    raw = mail.plain_mail(BY_MEANING, change.path, {change.path: change.before}, {change.path: change.after})
    return raw.decode("utf-8", "surrogateescape")


def survey_optional(
    src: Source,
    files: Mapping[str, bytes | None],
    report: Report,
    results: Results,
    series: Series,
    lock: Lock,
    options: Options,
    conflicts: Path,
) -> None:
    """Try the optional topics on ``files``, which are those of ``src`` as the default series leaves them."""
    near = nearest(src.release, lock)
    where = f"vLLM {src.release}"
    for topic in series.topics:
        variant = near.topics[topic.name].variant if topic.optional and topic.name in near.topics else None
        if variant is None:
            continue
        order = dict.fromkeys(v for v in (topic.variant_for(src.release), variant) if v)
        try:
            layer = optional.lay(files.get, topic, list(order), where, remedies(where))
        except DoesNotApply:
            merged, bad = _merged(src, topic, variant, files, near, series, lock, options)
            results[topic.name] = {p: d for p, d in merged.items() if p not in bad}
            if bad:
                kept = Merges(options, series, lock, near.release, conflicts / topic.name)
                kept.conflicts.update({path: merged[path] for path in bad})
                kept.keep()
            for path in bad:
                told = f"both sides are in {conflicts / topic.name / path}"
                report.left.append(f"{path}: topic {topic.name} conflicts; {told}")
            outcome = ("conflict", ", ".join(bad)) if bad else ("merged", _merged_note(results[topic.name], files))
            report.topics.append(TopicReport(topic.name, *outcome, optional=True))
        else:
            results[topic.name] = {p: d for p, d in layer.result.items() if d is not None}
            report.diffs |= meaning.mails({topic.name: layer.meant})[topic.name]
            report.topics.append(replace(_outcome(topic, layer.status, set()), optional=True))


def _shipped(near: ReleaseRow, src: Source, series: Series, lock: Lock, options: Options) -> Mapping[str, bytes]:
    """The files of interest of ``near``. Where that is the release being ported, they are at hand, and perhaps on no index."""
    return src.extract.files if near.release == src.release else release_files.files_of(near, series, lock, options)


def _merged(
    src: Source,
    topic: Topic,
    variant: str,
    files: Mapping[str, bytes | None],
    near: ReleaseRow,
    series: Series,
    lock: Lock,
    options: Options,
) -> tuple[dict[str, bytes], list[str]]:
    """The files of an optional topic merged three ways, and the paths of those with conflicts."""
    default = Series(series.chosen(), series.overlay)
    shipped = _shipped(near, src, series, lock, options)
    base = lock_rows.topic_rows(shipped, near.release, default)[1]
    merged: dict[str, bytes] = {}
    bad = []
    for f in topic.patch(variant).files:
        other = patchfile.apply(base.get(f.path), f)[0] or b""
        ours = files.get(f.path)
        if f.creates:
            merged[f.path] = other
            continue
        merged[f.path], conflicts = git.merge(ours or b"", base.get(f.path) or b"", other)
        if conflicts and ours is not None and (loose := loosely(ours, f)) is not None:
            merged[f.path], conflicts = loose, 0
        if conflicts and ours is not None:
            whole = definitions.carried(topic.name, f.path, ours, base.get(f.path) or b"", other)
            if whole is not None:
                merged[f.path], conflicts = whole, 0
        if conflicts or ours is None:
            bad.append(f.path)
    return merged, bad


def _merged_note(result: Mapping[str, bytes], files: Mapping[str, bytes | None]) -> str:
    return ", ".join(p for p in sorted(result) if files.get(p) is not None)


def _held(
    topic: str, near: ReleaseRow, before: Mapping[str, bytes], files: Mapping[str, bytes], moved: Mapping[str, str]
) -> TopicReport | None:
    """What became of a topic that the nearest release holds itself; None where ``files`` no longer holds it, or never did."""
    row = near.topics.get(topic)
    if row is None or row.state != "native":
        return None
    places = {p: moved.get(p, p) for p in UPSTREAM_FILES[topic] if p in before}
    elsewhere = {p: new for p, new in places.items() if p not in files}
    if elsewhere:
        return TopicReport(
            topic, "moved", ", ".join(new if new != p else f"{p} is gone" for p, new in elsewhere.items())
        )
    lost = [p for p in places if not is_native(topic, p, files[p])]
    return TopicReport(topic, "changed", ", ".join(lost)) if lost else TopicReport(topic, "native")


def _outcome(topic: Topic, status: TopicStatus | None, conflicts: set[str]) -> TopicReport:
    if status is None:
        return TopicReport(topic.name, "absent")
    hit = [f.path for f in status.files if f.path in conflicts]
    if hit:
        return TopicReport(status.topic, "conflict", ", ".join(hit))
    meant = [f.path for f in status.files if f.variant == BY_MEANING]
    if meant:
        return TopicReport(status.topic, "by meaning", ", ".join(meant))
    merged = [f.path for f in status.files if f.state is State.EDITED]
    if merged:
        return TopicReport(status.topic, "merged", ", ".join(merged))
    if status.state in (State.NATIVE, State.APPLIED):  # applied: upstream makes the same change, to the byte
        return TopicReport(status.topic, "native")
    offset = max((abs(h.offset) for f in status.files for h in f.fits), default=0)
    return TopicReport(status.topic, "offset" if offset else "fit", f"up to {offset} lines" if offset else "")


def _moved(near: ReleaseRow, before: Mapping[str, bytes], files: Mapping[str, bytes]) -> dict[str, str]:
    """For each file of the nearest release's topics that is gone: the new file that holds most of its lines."""
    found = {}
    for path in sorted({p for t in near.topics.values() for p in t.files} & before.keys() - files.keys()):
        lines = {line for line in split_lines(before[path]) if line.strip()}
        share = {
            new: len(lines & set(split_lines(data))) / len(lines) for new, data in files.items() if new not in before
        }
        best = max(share, key=lambda new: share[new], default=None)
        if best is not None and share[best] >= _ALIKE:
            found[path] = best
    return found


def _left(src: Source, plan: Plan, moved: Mapping[str, str]) -> list[str]:
    """What the contract still lacks, a sentence each for the maintainer to act on."""
    files = src.extract.files
    paths = {f.path for t in plan.topics for f in t.files} | set(terms.CONNECTORS) | {terms.TEST_FILE}
    now = {**files, **{c.path: c.after for c in plan.changes}}
    touched_now = {p: d for p, d in now.items() if d is not None and p in paths}
    mentions = {p: d for p, d in now.items() if d is not None and p not in paths}
    left = [f"{path} is gone, and {new} holds its text" for path, new in moved.items()]
    for breach in check.check(touched_now, files, mentions, topics=[t.topic for t in plan.topics]).breaches:
        left.append(f"{breach}{_where_it_is(breach, files) if breach.clause == 1 else ''}")
    return left


def _where_it_is(breach: Breach, files: Mapping[str, bytes]) -> str:
    """Where the class and the warning are now, for a connector that moved or was split."""
    said = []
    homes = {
        "NixlConnector is defined": rb"^class NixlConnector\b|^NixlConnector\s*=",
        "the words of the warning are": rb"kv_role='kv_both'[^\n]*(?:\n[^\n]*){0,2}deprecated",
    }
    for what, pattern in homes.items():
        found = sorted(p for p, d in files.items() if p.startswith("vllm/") and re.search(pattern, d, re.MULTILINE))
        if found and found != [breach.path]:
            said.append(f"{what} in {', '.join(found)}")
    if not said:
        return ""
    return f"; {' and '.join(said)}: if that is its new place, name it in tools/kvroles/contract/terms.py"
