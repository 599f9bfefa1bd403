"""Runs on trees that are no release: any tag, branch or commit of an upstream, a fork in place, an edited tree with --3way."""

from __future__ import annotations

import os
from pathlib import Path

from kvroles.apply import fit, receipt
from kvroles.apply import plan as engine
from kvroles.apply.plan import Plan
from kvroles.apply.prove import prove_plan, write_back
from kvroles.apply.request import Outcome, Request
from kvroles.contract.terms import Verdict
from kvroles.digest import sha256, tree_digest
from kvroles.errors import DoesNotApply, UsageError, os_error
from kvroles.places import OWN
from kvroles.series import patchfile
from kvroles.series.lock import Lock, ReleaseRow
from kvroles.series.topics import Series, Topic
from kvroles.sources import git, release_files, upstream
from kvroles.sources.http import hide
from kvroles.sources.release_files import Options
from kvroles.tree import journal, stage
from kvroles.tree.tree import Tree
from kvroles.tree.writer import one_writer

_SKIPPED = frozenset({".git", OWN, "node_modules", "__pycache__"})


def build(request: Request, series: Series, lock: Lock, topics: tuple[Topic, ...]) -> Outcome:
    """A revision of ``request.upstream`` -> a patched tree in a new folder."""
    assert request.revision is not None
    where = request.upstream or upstream.DEFAULT
    commit = upstream.find(where, request.revision, request.cache_dir, offline=request.offline)
    output = request.output or Path("build") / f"vllm-{request.revision.replace('/', '-')}"
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(
            f"{output} is there already",
            fix=f"Delete it, choose another --output, or change it in place with '--into {output}'",
        )
    if request.reverse:
        raise UsageError(
            f"{output} does not exist, so there is nothing to reverse", fix="Name the tree with --into DIR"
        )
    staging = output.parent / f".{output.name}.kv-roles.staging"
    with one_writer(output):
        upstream.check_out(commit, staging)
        try:
            tree = Tree(staging)
            try:
                row = _row_of(tree, lock)
                nearest = row.release if row else _nearest(commit, tree, lock)
                plan = _plan(
                    request, tree, series, lock, topics, row, nearest, f"{request.revision} of {hide(where)}", output
                )
                verdict = _prove(tree, plan)
                after = receipt.after(plan.topics)
                release = row.release if row else None
                if request.check:
                    stage.discard(staging)
                    return Outcome(
                        release,
                        output,
                        "would-apply",
                        plan.topics,
                        len(plan.changes),
                        verdict,
                        revision=commit.sha,
                        nearest=nearest,
                    )
                text = receipt.make(release, row, series, after, plan.changes, verdict, None, commit.sha)
                write_back(tree, plan.changes, text)
            finally:
                tree.close()
            staged = stage.Staged(staging, hashes=_hashes(staging))
            stage.put_in_place(staged, output)
        except BaseException:
            stage.discard(staging)
            raise
    return Outcome(
        release, output, "applied", after, len(plan.changes), verdict, tree_digest(staged.hashes), len(staged.hashes),
        revision=commit.sha, nearest=nearest,
    )  # fmt: skip


def in_place(
    request: Request,
    tree: Tree,
    series: Series,
    lock: Lock,
    topics: tuple[Topic, ...],
    release: str | None,
    notes: list[str],
) -> Outcome:
    """Apply or reverse in a tree that is no release of the lock (``release`` None), or with --3way in one that is edited."""
    nearest = release or _most_alike(tree, lock)
    row = lock.releases[release] if release else None
    plan = _plan(request, tree, series, lock, topics, None, nearest, str(tree.path), tree.path)
    after = receipt.after(plan.topics, reverse=request.reverse)
    known = {"notes": notes, "nearest": nearest}
    if not plan.changes:
        return Outcome(release, tree.path, "nothing", after, 0, **known)  # type: ignore[arg-type]
    did = "reverse" if request.reverse else "apply"
    verdict = None if request.reverse else _prove(tree, plan)
    if request.check:
        return Outcome(release, tree.path, f"would-{did}", plan.topics, len(plan.changes), verdict, **known)  # type: ignore[arg-type]
    text = None
    if verdict is not None:
        earlier = journal.read_receipt(tree)
        text = receipt.make(release, row, series, after, plan.changes, verdict, None, earlier=earlier)
    write_back(tree, plan.changes, text)
    done = "reversed" if request.reverse else "applied"
    return Outcome(release, tree.path, done, after, len(plan.changes), verdict, **known)  # type: ignore[arg-type]


def _plan(
    request: Request,
    tree: Tree,
    series: Series,
    lock: Lock,
    topics: tuple[Topic, ...],
    row: ReleaseRow | None,
    nearest: str | None,
    where: str,
    beside: Path,
) -> Plan:
    if row is not None and not request.three_way:
        return engine.plan(tree.read, row, series, topics, reverse=request.reverse, where=where)
    fit.need_connector(tree.read, where)
    if not request.three_way:
        known = receipt.recorded(journal.read_receipt(tree))
        return fit.plan(
            tree.read, series, lock, topics, nearest=nearest, reverse=request.reverse, recorded=known, where=where
        )
    merges = Merges(
        Options(request.cache_dir, request.index_url, request.offline),
        series,
        lock,
        nearest,
        beside.parent / f"{beside.name}.kv-roles-conflicts",
    )
    plan = fit.plan(
        tree.read, series, lock, topics, nearest=nearest, reverse=request.reverse, merge=merges.merge, where=where
    )
    merges.settle(where)
    return plan


class Merges:
    """Three-way merges against the release a variant was made for; conflicts are kept until all are known."""

    def __init__(self, options: Options, series: Series, lock: Lock, nearest: str | None, conflicts: Path) -> None:
        git.need_git()
        self._options = options
        self._series = series
        self._lock = lock
        self._nearest = nearest
        self._folder = conflicts
        self.conflicts: dict[str, bytes] = {}

    def merge(self, path: str, data: bytes, topic: Topic, variant: str) -> bytes:
        """``data`` with the topic's change to ``path`` merged in: base is the release's file, the other side the series'."""
        release = self._nearest if self._nearest and topic.variant_for(self._nearest) == variant else variant
        row = self._lock.releases[release]
        if row.archive is None:
            row = self._lock.releases[variant]
        base = release_files.extract(row, self._series, self._options).files.get(path)
        patch = next((f for f in topic.patch(variant).files if f.path == path), None)
        if base is None or patch is None:
            self.conflicts[path] = data
            return data
        other, _ = patchfile.apply(base, patch)
        merged, conflicts = git.merge(data, base, other or b"")
        if conflicts:
            self.conflicts[path] = merged
            return data
        return merged

    def keep(self) -> None:
        """Write each file's conflict text into the folder for them."""
        try:
            for path, content in self.conflicts.items():
                file = self._folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        except OSError as e:
            raise os_error(f"The conflicts could not be written to {self._folder}", e) from None

    def settle(self, where: str) -> None:
        """Raise DoesNotApply when there were conflicts, with each file's conflict text beside the target."""
        if not self.conflicts:
            return
        self.keep()
        first = next(iter(self.conflicts))
        raise DoesNotApply(
            f"The series conflicts with {where} in {len(self.conflicts)} files, {first} first; nothing in it was changed",
            fix=f"Resolve them in {self._folder}, copy them over the tree's, and run again with --3way",
        )


def _nearest(commit: upstream.Commit, tree: Tree, lock: Lock) -> str | None:
    """By ``git describe`` where tags exist, by content where they do not."""
    return upstream.nearest(commit.described, list(lock.releases)) or _most_alike(tree, lock)


def _row_of(tree: Tree, lock: Lock) -> ReleaseRow | None:
    """The release whose files, as far as the lock knows them, are all as in ``tree``; pristine trees only."""
    for row in reversed(lock.releases.values()):
        # The first topic that touches a file knows it as upstream ships it; those after it, as that topic leaves it.
        known = {p: f.before for t in reversed(row.topics.values()) for p, f in t.files.items()}
        if all(_sha(tree.read(path)) == before for path, before in known.items()):
            return row
    return None


def _sha(data: bytes | None) -> str | None:
    return None if data is None else sha256(data)


def _most_alike(tree: Tree, lock: Lock) -> str | None:
    """The release with the most files, of those the lock knows, exactly as in ``tree``; the newest of equals."""
    have: dict[str, str | None] = {}
    best: tuple[int, str | None] = (0, None)
    for release, row in lock.releases.items():
        score = 0
        for topic in row.topics.values():
            for path, f in topic.files.items():
                if path not in have:
                    have[path] = _sha(tree.read(path))
                score += have[path] is not None and have[path] in (f.before, f.after)
        if score >= best[0] and score:
            best = (score, release)
    return best[1]


def _prove(tree: Tree, plan: Plan) -> Verdict:
    """The contract on the whole tree: no lock row vouches for the files the series did not touch."""
    touched = {f.path for t in plan.topics for f in t.files}
    files = {p: d for p in touched if (d := tree.read(p)) is not None}
    for folder, names, entries in os.walk(tree.path):
        names[:] = [n for n in names if n not in _SKIPPED]
        for entry in entries:
            file = Path(folder) / entry
            path = str(file.relative_to(tree.path))
            if path in files or file.is_symlink() or not file.is_file():
                continue
            try:
                data = file.read_bytes()
            except OSError as e:
                raise os_error(f"{file} cannot be read", e) from None
            if b"kv_both" in data:
                files[path] = data
    return prove_plan(files, plan, touched)


def _hashes(root: Path) -> dict[str, str]:
    out = {}
    for folder, names, entries in os.walk(root):
        names[:] = [n for n in names if n not in (".git", OWN)]
        for entry in entries:
            file = Path(folder) / entry
            if not file.is_symlink():
                out[str(file.relative_to(root))] = sha256(file.read_bytes())
    return out
