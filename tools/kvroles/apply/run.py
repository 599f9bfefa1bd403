"""A revision -> a patched tree: the run behind ``tools/apply.py``, for new trees and for existing ones."""

from __future__ import annotations

import re
from pathlib import Path

from kvroles.apply import detect, receipt
from kvroles.apply import plan as engine
from kvroles.apply.prove import prove_plan, write_back
from kvroles.apply.request import Outcome, Request
from kvroles.errors import DoesNotApply, Unproven, UsageError
from kvroles.series import project
from kvroles.series.lock import Lock, ReleaseRow
from kvroles.series.release import resolve
from kvroles.series.topics import Series, Topic
from kvroles.tree import journal
from kvroles.tree.tree import Tree
from kvroles.tree.writer import no_writer, one_writer


def run(request: Request) -> Outcome:
    """Do what ``request`` asks. Raises KvRolesError; the target is then as it was."""
    series, lock = project.load()
    chosen = series.chosen(request.extra)
    topics = series.topics if request.reverse else chosen  # what was not applied is not there to be taken out
    if request.into is not None:
        return in_place(request, request.into, series, lock, topics)
    if request.upstream is not None or _is_git_name(request.revision or ""):
        from kvroles.apply import forks  # needs this module; and a release never pays for importing it

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
    from kvroles.apply import (
        new_tree,  # the same: what an existing tree needs is little, and is ready in a third of the time
    )

    make = new_tree.dry_run if request.check else new_tree.build
    return make(request, output, series, lock.releases[release], topics)


def of_no_use(request: Request, row: ReleaseRow) -> list[str]:
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
        if locked:
            return _in_place(request, tree, series, lock, topics, release)
        if request.check:
            with no_writer(tree):
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
    stated = detect.stated_release(tree, lock) if pinned else None
    if stated is not None and stated != pinned:
        raise DoesNotApply(
            f"{tree.path} is vLLM {stated}, not {pinned}",
            fix=f"Leave it to --into to find the release, or choose another place for {pinned} with --output",
        )
    release = pinned or detect.release_of(tree, lock, series)
    if release is None or request.three_way:
        from kvroles.apply import forks

        return forks.in_place(request, tree, series, lock, topics, release, notes)
    row = lock.releases[release]
    notes += of_no_use(request, row)
    topics = engine.with_present(tree.read, row, series, series.chosen(request.extra))
    plan = engine.plan(tree.read, row, series, topics, reverse=request.reverse, where=str(tree.path))
    after = receipt.after(plan.topics, reverse=request.reverse)
    if not plan.changes:
        return Outcome(release, tree.path, "nothing", after, 0, None, _known_tree(tree), None, notes)
    did = "reverse" if request.reverse else "apply"
    verdict = None
    text = None
    if not request.reverse:
        touched = engine.touched_paths(row, series)
        files = {p: d for p in touched if (d := tree.read(p)) is not None}
        verdict = prove_plan(files, plan, set(touched), row.contract)
        earlier = journal.read_receipt(tree)
        text = receipt.make(release, row, series, after, plan.changes, verdict, None, earlier=earlier)
    if request.check:
        return Outcome(release, tree.path, f"would-{did}", plan.topics, len(plan.changes), verdict, notes=notes)
    write_back(tree, plan.changes, text)
    done = {"apply": "applied", "reverse": "reversed"}[did]
    return Outcome(release, tree.path, done, after, len(plan.changes), verdict, notes=notes)


def _known_tree(tree: Tree) -> str | None:
    """The digest that the tree's receipt names, if there is one."""
    text = journal.read_receipt(tree)
    m = re.search(rb'"tree": "([0-9a-f]{64})"', text or b"")
    return m[1].decode() if m else None
