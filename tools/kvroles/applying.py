"""A revision -> a patched tree: the run behind ``tools/apply.py``, for new trees and for existing ones."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from . import archive, contract, detect, engine, fetch, journal, receipt, stage
from .contract import Verdict
from .digest import sha256, tree_digest
from .engine import Plan, State, TopicStatus
from .errors import DoesNotApply, NoSource, Unproven, UsageError
from .journal import Change
from .lock import Lock, ReleaseRow
from .progress import Progress
from .release import resolve
from .relock import top_of
from .series import Series, Topic
from .target import OWN, Tree, one_writer


@dataclass(frozen=True)
class Request:
    """What the command line asks for. ``output`` and ``into`` exclude each other."""

    revision: str | None = None
    upstream: str | None = None
    output: Path | None = None
    into: Path | None = None
    extra: tuple[str, ...] = ()
    check: bool = False
    reverse: bool = False
    three_way: bool = False
    offline: bool = False
    quiet: bool = False
    index_url: str | None = None
    cache_dir: Path = field(default_factory=Path)


@dataclass
class Outcome:
    """What a run did: ``did`` is ``applied``, ``reversed``, ``nothing``, or with ``--check`` ``would-...``."""

    release: str | None
    target: Path
    did: str
    topics: list[TopicStatus]
    changed: int
    verdict: Verdict | None = None
    tree: str | None = None
    files: int | None = None
    notes: list[str] = field(default_factory=list)
    revision: str | None = None  # the commit, of trees that come from git
    nearest: str | None = None  # the release a tree that is none was taken to be nearest to


def run(request: Request) -> Outcome:
    """Do what ``request`` asks. Raises KvRolesError; the target is then as it was."""
    series, lock = engine.load()
    chosen = series.chosen(request.extra)
    topics = series.topics if request.reverse else chosen  # what was not applied is not there to be taken out
    if request.into is not None:
        return in_place(request, request.into, series, lock, topics)
    if request.upstream is not None or _is_git_name(request.revision or ""):
        from . import forks  # needs this module; and a release never pays for importing it

        return forks.build(request, series, lock, topics)
    release = resolve(request.revision or "latest", lock.releases)
    output = request.output or Path("build") / f"vllm-{release}"
    if output.is_symlink() or output.exists():
        output = output.resolve()
        if not output.is_dir() or any(output.iterdir()):
            return in_place(request, output, series, lock, topics, release)
    if request.reverse:
        raise UsageError(
            f"{output} does not exist, so there is nothing to reverse", fix="Name the tree with --into DIR"
        )
    row = lock.releases[release]
    return (
        dry_run(request, output, series, row, topics) if request.check else build(request, output, series, row, topics)
    )


def _of_no_use(request: Request, row: ReleaseRow) -> list[str]:
    """A note for each topic asked for that ``row`` has no use for."""
    return [
        f"Topic {name} has nothing to do in vLLM {row.release}."
        for name in dict.fromkeys(request.extra)
        if name not in row.topics or row.topics[name].state == "absent"
    ]


def _is_git_name(revision: str) -> bool:
    """Whether ``revision`` can only be a branch or commit: no release, nor a slip in typing one, looks like that."""
    return bool(re.fullmatch(r"[0-9a-f]{7,40}|[A-Za-z][\w./-]*", revision)) and not re.match(
        r"v?\d+\.|latest$", revision
    )


def build(request: Request, output: Path, series: Series, row: ReleaseRow, topics: tuple[Topic, ...]) -> Outcome:
    """Unpack the archive of ``row`` beside ``output``, apply, prove, and put it in place with one rename."""
    blob = source(request, row)
    assert row.archive is not None
    staging = output.parent / f".{output.name}.kv-roles.staging"
    with one_writer(output):
        if output.exists() and any(output.iterdir()):  # a run we waited for has built it
            return in_place(request, output, series, Lock({}, {row.release: row}), topics, row.release, locked=True)
        touched = set(engine.touched_paths(row, series))
        with Progress(f"Unpacking {row.archive.name}", row.archive.size * 4, quiet=request.quiet) as p:
            staged = stage.unpack(
                blob,
                row.archive.name,
                top_of(row.archive),
                staging,
                lambda path, data: path in touched or b"kv_both" in data,
                p.add,
            )
        try:
            if row.tree and tree_digest(staged.hashes) != row.tree.before:
                raise Unproven(
                    f"The tree unpacked from {row.archive.name} is not the one in the lock",
                    expected=row.tree.before,
                    found=tree_digest(staged.hashes),
                    fix="The lock and the archive have parted: restore patches/ with 'git checkout -- patches'",
                )
            plan = _plan_of_archive(staged.kept, row, series, topics)
            now = {c.path: c.after for c in plan.changes}
            verdict = prove(staged.kept, plan, touched)
            for path, data in now.items():
                stage.write(staged, path, data)
                if data is not None and staged.hashes[path] != sha256(data):
                    raise Unproven(f"{path} was read back from {staging} with other bytes than were written")
            digest = tree_digest(staged.hashes)
            if row.tree and not request.extra and digest != row.tree.after:
                raise Unproven(
                    "The patched tree is not the one in the lock",
                    expected=row.tree.after,
                    found=digest,
                    fix="Restore patches and overlay with 'git checkout -- patches vllm_overlay'",
                )
            topics_after = receipt.after(plan.topics)
            text = receipt.make(row.release, row, series, topics_after, plan.changes, verdict, digest)
            stage.own_folder(staged, text)
            stage.settle(staged)
            stage.put_in_place(staged, output)
        except BaseException:
            stage.discard(staging)
            raise
    return Outcome(
        row.release, output, "applied", topics_after, len(plan.changes), verdict, digest, len(staged.hashes),
        notes=_of_no_use(request, row),
    )  # fmt: skip


def _plan_of_archive(files: dict[str, bytes], row: ReleaseRow, series: Series, topics: tuple[Topic, ...]) -> Plan:
    """The plan for the files of a verified archive. Nobody can have edited those: what does not fit is our own data."""
    try:
        return engine.plan(files.get, row, series, topics, where=f"the archive of vLLM {row.release}")
    except DoesNotApply as e:
        raise Unproven(
            f"The patches do not fit the archive they were made for: {e.what}",
            expected=e.expected,
            found=e.found,
            fix="Restore patches and lock with 'git checkout -- patches'",
        ) from None


def dry_run(request: Request, output: Path, series: Series, row: ReleaseRow, topics: tuple[Topic, ...]) -> Outcome:
    """What ``build`` would do, without writing a byte: the same plan and proof on the archive's members."""
    files = members_of(source(request, row), row, series)
    plan = _plan_of_archive(files, row, series, topics)
    verdict = prove(files, plan, set(engine.touched_paths(row, series)))
    notes = _of_no_use(request, row)
    return Outcome(row.release, output, "would-apply", plan.topics, len(plan.changes), verdict, notes=notes)


def members_of(blob: bytes, row: ReleaseRow, series: Series) -> dict[str, bytes]:
    """The members of an archive that the series is about, and those that hold ``kv_both``, without unpacking the rest."""
    assert row.archive is not None
    touched = set(engine.touched_paths(row, series))
    chunks = stage.ahead(archive.inflate(blob, row.archive.name))
    found = archive.members(chunks, row.archive.name, top_of(row.archive))
    return {m.path: m.data for m in found if m.path in touched or b"kv_both" in m.data}


def source(request: Request, row: ReleaseRow) -> bytes:
    """The verified archive of ``row``. Raises NoSource for releases that have none."""
    if row.archive is None:
        raise NoSource(
            f"vLLM {row.release} was published without a source archive",
            fix=f"Use its git tag: 'python tools/apply.py --upstream URL_OR_CLONE --vllm-rev v{row.release}'; "
            f"for the connector alone, 'python tools/vendor.py wheel --vllm-rev {row.release}'",
        )
    with Progress(f"Fetching {row.archive.name}", row.archive.size, quiet=request.quiet) as p:
        return fetch.archive_bytes(
            row.archive, request.cache_dir, index_url=request.index_url, offline=request.offline, progress=p.at
        )


def in_place(
    request: Request,
    target: Path,
    series: Series,
    lock: Lock,
    topics: tuple[Topic, ...],
    release: str | None = None,
    *,
    locked: bool = False,
) -> Outcome:
    """Apply or reverse in an existing tree; its release is detected unless the request names one."""
    tree = Tree(target)
    try:
        if not tree.looks_like_vllm() and not journal.unfinished(tree):
            raise UsageError(
                f"{target} is not a vLLM source tree",
                expected="a folder with vllm/__init__.py in it",
                fix="Give --into the top folder of an unpacked archive or a checkout, or choose a new --output",
            )
        if locked or request.check:
            return _in_place(request, tree, series, lock, topics, release)
        with one_writer(tree.path):
            return _in_place(request, tree, series, lock, topics, release)
    finally:
        tree.close()


def _in_place(
    request: Request, tree: Tree, series: Series, lock: Lock, topics: tuple[Topic, ...], release: str | None
) -> Outcome:
    notes: list[str] = []
    if journal.unfinished(tree) and request.check:
        raise Unproven(
            f"{tree.path} is partial: a run on it was interrupted",
            fix="Run again without --check: that finishes it",
        )
    if not request.check and journal.recover(tree):
        notes.append("An interrupted run was finished first.")
    pinned = release or (resolve(request.revision, lock.releases) if request.revision else None)
    release = pinned or detect.release_of(tree, lock, series)
    if release is None or request.three_way:
        from . import forks

        return forks.in_place(request, tree, series, lock, topics, release, notes)
    row = lock.releases[release]
    notes += _of_no_use(request, row)
    topics = engine.with_present(tree.read, row, series, series.chosen(request.extra))
    try:
        plan = engine.plan(tree.read, row, series, topics, reverse=request.reverse, where=str(tree.path))
    except DoesNotApply:
        stated = detect.stated_release(tree, lock)
        if stated is None or stated == release:
            raise
        raise DoesNotApply(
            f"{tree.path} is vLLM {stated}, and the series for vLLM {release} does not fit it",
            fix=f"Leave it to --into to find the release, or choose another place for {release} with --output",
        ) from None
    after = receipt.after(plan.topics, reverse=request.reverse)
    if not plan.changes:
        return Outcome(release, tree.path, "nothing", after, 0, None, _known_tree(tree), None, notes)
    did = "reverse" if request.reverse else "apply"
    verdict = None
    text = None
    if not request.reverse:
        touched = engine.touched_paths(row, series)
        files = {p: d for p in touched if (d := tree.read(p)) is not None}
        verdict = prove(files, plan, set(touched))
        earlier = journal.read_receipt(tree)
        text = receipt.make(release, row, series, after, plan.changes, verdict, None, earlier=earlier)
    if request.check:
        return Outcome(release, tree.path, f"would-{did}", plan.topics, len(plan.changes), verdict, notes=notes)
    write_back(tree, plan.changes, text)
    done = {"apply": "applied", "reverse": "reversed"}[did]
    return Outcome(release, tree.path, done, after, len(plan.changes), verdict, notes=notes)


def write_back(tree: Tree, changes: list[Change], text: bytes | None) -> None:
    """Commit ``changes`` and read every file back from disk."""
    journal.commit(tree, changes, text)
    for change in changes:
        if tree.read(change.path) != change.after:
            raise Unproven(f"{change.path} in {tree.path} was read back with other bytes than were written")


def prove(files: dict[str, bytes], plan: Plan, touched: set[str]) -> Verdict:
    """Check the contract on ``files`` as ``plan`` leaves them. Raises Unproven at the first breach."""
    now: dict[str, bytes | None] = {**files, **{c.path: c.after for c in plan.changes}}
    before: dict[str, bytes | None] = {**files, **{c.path: c.before for c in plan.changes}}
    verdict = contract.check(
        {p: d for p, d in now.items() if d is not None and p in touched},
        before,
        {p: d for p, d in now.items() if d is not None and p not in touched},
        topics=[t.topic for t in plan.topics],
    )
    if verdict.breaches:
        more = f" ({len(verdict.breaches) - 1} more)" if len(verdict.breaches) > 1 else ""
        raise Unproven(
            f"The contract of a patched tree does not hold: {verdict.breaches[0]}{more}",
            fix="Nothing was written; see 'The contract' in docs/explanation/design.md",
        )
    return verdict


def _known_tree(tree: Tree) -> str | None:
    """The digest that the tree's receipt names, if there is one."""
    text = journal.read_receipt(tree)
    m = re.search(rb'"tree": "([0-9a-f]{64})"', text or b"")
    return m[1].decode() if m else None


__all__ = ["OWN", "Outcome", "Plan", "Request", "State", "run"]
