"""A run on a tree that is there: its release is detected, or it is a fork; a plan, a proof, and a journalled change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kvroles.apply import detect, receipt
from kvroles.apply import plan as plans
from kvroles.apply.plan import Plan
from kvroles.apply.prove import prove_plan, write_back
from kvroles.apply.refusals import command
from kvroles.apply.request import Outcome, Request
from kvroles.apply.state import FileStatus, State, TopicStatus, combine, replaced, touched_paths, with_present
from kvroles.contract.terms import Verdict
from kvroles.digest import sha256_of
from kvroles.errors import DoesNotApply, Unproven, UsageError, os_error
from kvroles.places import OWN, RECEIPT, program
from kvroles.series import parts
from kvroles.series.lock import ReleaseRow
from kvroles.series.parts import Part
from kvroles.series.project import Project
from kvroles.series.release import resolve
from kvroles.series.topics import Topic
from kvroles.tree import handles, journal
from kvroles.tree.tree import Tree
from kvroles.tree.writer import no_writer, one_writer

_THERE = (State.APPLIED, State.MERGED, State.EARLIER)
_SKIPPED = frozenset({".git", OWN, "node_modules", "__pycache__"})


class _Planned(NamedTuple):
    """A plan, and what it was made from: ``row`` where hashes know every file, else the release it is ``nearest`` to."""

    plan: Plan
    row: ReleaseRow | None
    nearest: str | None


def run(
    request: Request, target: Path, project: Project, release: str | None = None, *, locked: bool = False
) -> Outcome:
    """Apply or reverse in the tree ``target``. ``release`` is the one the tree has to be, if the caller knows it;
    ``locked``: the caller holds the tree's lock. Raises KvRolesError; the tree is then as it was."""
    with _opened(target) as tree:
        if locked:
            return _run(request, target, tree, project, release)
        with no_writer(tree) if request.check else one_writer(tree.path):
            return _run(request, target, tree, project, release)


@contextmanager
def _opened(target: Path) -> Iterator[Tree]:
    tree = Tree(target)
    try:
        if not tree.looks_like_vllm() and not journal.unfinished(tree):
            raise UsageError(
                f"{target} is not a vLLM source tree",
                expected="a folder with vllm/__init__.py in it",
                fix="Give --into the top folder of an unpacked archive or a checkout, or choose a new --output",
            )
        _refuse_installation(tree, target)
        yield tree
    finally:
        tree.close()


def _refuse_installation(tree: Tree, target: Path) -> None:
    """Raise UsageError for a site-packages folder: its RECORD and its compiled files ask for another tool."""
    names = os.listdir(tree.fd)
    found = [n for n in names if n.startswith("vllm") and n.endswith((".dist-info", ".egg-info"))]
    if found and "tests" not in names and "pyproject.toml" not in names:
        raise UsageError(
            f"{target} holds an installed vLLM ({found[0]}), not a source tree",
            fix=f"Patch an installation with `{program('vendor', 'install', '--site-packages', str(target))}`",
        )


def _run(request: Request, target: Path, tree: Tree, project: Project, release: str | None) -> Outcome:
    notes = _finish(request, target, tree)
    release = _release(request, target, tree, project, release)
    held = journal.read_receipt(tree)
    try:
        planned = _plan(request, target, tree, project, release)
    except DoesNotApply as e:
        raise _of_later_series(e, target, held, project) from None
    plan = planned.plan
    row = project.lock.releases[release] if release else None
    if row is not None and not request.reverse:
        notes += detect.of_no_use(request.extra, row)
    optional = {t.name for t in project.series.topics if t.optional}
    notes += _notes(request, target, plan, project, optional)
    left = receipt.after(plan.topics, reverse=request.reverse, only=request.only)
    if row is not None and planned.row is None and not request.reverse:
        left = _merged(left, plan, row)
    stays = any(t.state in _THERE for t in left) or receipt.holds_other_parts(held, request.part)
    meant = _mails(planned, request)
    # The contract asks for what the default topics bring: once one of them is taken out, there is nothing to prove.
    proves = bool(plan.changes) and (not request.reverse or request.only in optional)
    verdict = _verdict(tree, planned, project, request) if proves else None
    outcome = Outcome(
        release,
        target,
        "nothing",
        left,
        len(plan.changes),
        verdict,
        receipt.tree_of(held),
        notes=notes,
        nearest=planned.nearest if planned.row is None else None,
        receipt=target / OWN / RECEIPT if held is not None else None,
        part=request.part,
        meant=meant,
    )
    if not plan.changes:
        return outcome
    if request.check:
        did = "would-reverse" if request.reverse else "would-apply"
        return outcome._replace(did=did, topics=plan.topics, tree=None, receipt=None)
    text = None
    if stays:
        text = receipt.make(
            release,
            row,
            project.series,
            left,
            plan.changes,
            verdict,
            None,
            earlier=held,
            meant=meant,
            part=request.part,
            reverse=request.reverse,
        )
    write_back(tree, plan.changes, text)
    did = "reversed" if request.reverse else "applied"
    return outcome._replace(did=did, tree=None, receipt=target / OWN / RECEIPT if text else None)


def _finish(request: Request, target: Path, tree: Tree) -> list[str]:
    """Finish an interrupted run, and say so. Raises Unproven with --check, which changes nothing."""
    if journal.unfinished(tree) and request.check:
        raise Unproven(
            f"{target} is partial: a run on it was interrupted",
            fix="Run again without --check: that finishes it",
        )
    if not request.check and journal.recover(tree):
        return ["An interrupted run was finished first."]
    return []


def _notes(request: Request, target: Path, plan: Plan, project: Project, optional: set[str]) -> list[str]:
    """What the user is told beside the outcome: an earlier series that was replaced, optional topics that stay."""
    notes = []
    if (told := replaced(plan.topics, project.series.earlier)) is not None:
        notes.append(told)
    if not request.reverse:
        notes += [
            f"Topic {t.topic} is in the tree too, and stays; `{command(str(target), '--reverse', '--only', t.topic)}` "
            "takes it out."
            for t in plan.topics
            if t.topic in optional and t.state in _THERE and t.topic not in request.extra
        ]
    return notes


def _mails(planned: _Planned, request: Request) -> dict[str, dict[str, str]]:
    """topic -> path -> the change by meaning that the plan makes, as a mail."""
    if planned.row is not None or request.reverse:
        return {}
    # lazy: brings Python's parser and the model of evidence, which a tree of a release does without
    from kvroles.apply import meaning

    return meaning.mails(planned.plan.meant)


def _of_later_series(e: DoesNotApply, target: Path, held: bytes | None, project: Project) -> DoesNotApply:
    """The error to raise in place of ``e``.

    Where the receipt says that a later series patched the tree, what looks edited is what that series made: the error says so.
    """
    theirs, ours = receipt.series_of(held), project.series.earlier.number
    if theirs is None or theirs <= ours:
        return e
    return DoesNotApply(
        f"{target} was patched by series {theirs} of this project, which is later than the series {ours} at hand",
        found=e.what,
        fix="Run the version of this project that patched the tree, or a later one",
    )


def _release(request: Request, target: Path, tree: Tree, project: Project, release: str | None) -> str | None:
    """The release that ``tree`` is, or None. Raises DoesNotApply where it says that it is another than the one asked for."""
    lock = project.lock
    pinned = release or (resolve(request.revision, lock.releases) if request.revision else None)
    stated = detect.stated_release(tree, lock) if pinned else None
    if stated is not None and stated != pinned:
        raise DoesNotApply(
            f"{target} is vLLM {stated}, not {pinned}",
            fix=f"Run `{command(str(target))}`, which finds the release, or choose another place for {pinned} with --output",
        )
    return pinned or detect.release_of(tree, lock, project.series)


def _plan(request: Request, target: Path, tree: Tree, project: Project, release: str | None) -> _Planned:
    series, lock = project
    row = lock.releases[release] if release else None
    held = journal.read_receipt(tree)
    if row is not None and row.whole and not request.three_way:
        merged = receipt.merged(held, row, series)
        topics = with_present(tree.read, row, series, series.chosen(request.extra), merged)
        if request.only is not None:
            _need_topic(request.only, topics, row, target)
        plan = plans.plan(
            tree.read,
            row,
            series,
            topics,
            reverse=request.reverse,
            only=request.only,
            merged=merged,
            complete=request.part is None and receipt.parts_of(held) is not None,
            where=str(target),
        )
        return _Planned(plan, row, release)
    if request.only is not None:
        raise UsageError(
            f"--only {request.only} needs a tree of a known release, and {target} is none",
            fix=f"Take the whole series out with `{command(str(target), '--reverse')}`, then apply what is to stay",
        )
    # lazy: brings Python's parser and the model of evidence, which a tree of a release does without
    from kvroles.apply import fit

    nearest = release or detect.most_alike(tree.read, lock)
    if request.part in (None, Part.RUNTIME):
        fit.need_connector(tree.read, str(target))
    topics = series.topics if request.reverse else series.chosen(request.extra)
    known, kept, on_top = receipt.recorded(held), receipt.by_meaning(held), receipt.optional_by_meaning(held)
    if not request.three_way:
        plan = fit.plan(
            tree.read, series, lock, topics, nearest=nearest, reverse=request.reverse, recorded=known, kept=kept,
            kept_on_top=on_top, exact=request.exact, where=str(target),
        )  # fmt: skip
        return _Planned(plan, None, nearest)
    # lazy: reads archives and asks git, which a run without --3way does not
    from kvroles.apply.merge import Merges
    from kvroles.sources.release_files import Options

    options = Options(request.cache_dir, request.index_url, request.offline)
    beside = tree.path.parent / f"{tree.path.name}.kv-roles-conflicts"
    merges = Merges(options, series, lock, nearest, beside)
    plan = fit.plan(
        tree.read, series, lock, topics, nearest=nearest, reverse=request.reverse, merge=merges, recorded=known, kept=kept,
        kept_on_top=on_top, exact=request.exact or release is not None, where=str(target),
    )  # fmt: skip
    merges.settle(target, check=request.check)
    return _Planned(plan, None, nearest)


def _need_topic(name: str, topics: tuple[Topic, ...], row: ReleaseRow, target: Path) -> None:
    """Raise UsageError when ``name`` is no topic of ``topics`` that changes something in the release of ``row``."""
    there = [t.name for t in topics if t.name in row.topics and row.topics[t.name].state == "variant"]
    if name not in there:
        raise UsageError(
            f"{target} does not hold topic {name}: there is nothing to take out",
            found=f"vLLM {row.release}, where the series has {', '.join(there) or 'nothing to do'}",
            fix=f"See what the tree holds with `{command(str(target), '--check')}`",
        )


def _merged(left: list[TopicStatus], plan: Plan, row: ReleaseRow) -> list[TopicStatus]:
    """The topics ``left``, with each file marked as merged whose bytes will not be what the series makes of the release."""
    made = {c.path: sha256_of(c.after) for c in plan.changes}

    def state(topic: str, f: FileStatus) -> FileStatus:
        known = row.topics[topic].files.get(f.path) if topic in row.topics else None
        edited = f.state is State.APPLIED and known and f.path in made and made[f.path] != known.after is not None
        return f._replace(state=State.MERGED) if edited else f

    out = []
    for t in left:
        files = tuple(state(t.topic, f) for f in t.files)
        out.append(t._replace(files=files, state=combine([f.state for f in files]) if files else t.state))
    return out


def _verdict(tree: Tree, planned: _Planned, project: Project, request: Request) -> Verdict:
    """The contract's verdict on the tree as the plan leaves it."""
    if planned.row is not None:
        touched = touched_paths(planned.row, project.series)
        files = {p: d for p in touched if (d := tree.read(p)) is not None}
        return prove_plan(
            files, planned.plan, set(touched), planned.row.contract, without=request.only, part=request.part
        )
    touched_by_plan = {f.path for t in planned.plan.topics for f in t.files}
    files = {p: d for p in touched_by_plan if (d := tree.read(p)) is not None}
    mentions = _mentions(tree, request.part)
    return prove_plan({**mentions, **files}, planned.plan, touched_by_plan, locked=False, part=request.part)


def _mentions(tree: Tree, part: Part | None) -> dict[str, bytes]:
    """Every regular file of the tree, or of ``part``, that holds ``kv_both``: no lock row vouches for what no topic touches."""
    found = {}
    root = tree.path
    for folder, names, entries in os.walk(root):
        names[:] = [n for n in names if n not in _SKIPPED]
        for entry in entries:
            file = Path(folder) / entry
            if file.is_symlink() or not file.is_file():
                continue
            if part is not None and parts.of(file.relative_to(root).as_posix()) is not part:
                continue
            path = file.relative_to(root).as_posix()
            try:
                with handles.regular(file) as f:
                    says = handles.holds(f, b"kv_both")
            except OSError as e:
                raise os_error(f"{file} cannot be read", e) from None
            if says and (data := tree.read(path)) is not None:
                found[path] = data
    return found
