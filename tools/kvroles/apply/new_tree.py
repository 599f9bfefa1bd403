"""A revision -> a new tree: staged beside the target, patched, proven, and put in place with one rename.

A release comes from its archive (``Archive``), any other revision from git (``commit.Commit``). The run is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kvroles.apply import detect, in_place, receipt
from kvroles.apply import plan as plans
from kvroles.apply.plan import Plan
from kvroles.apply.prove import prove_plan
from kvroles.apply.refusals import Remedies, command
from kvroles.apply.request import Outcome, Request
from kvroles.apply.state import touched_paths
from kvroles.digest import sha256, tree_digest
from kvroles.errors import DoesNotApply, NoSource, Unproven
from kvroles.places import OWN, RECEIPT, program, restored
from kvroles.progress import Progress
from kvroles.said import shell
from kvroles.series import parts
from kvroles.series.lock import ReleaseRow
from kvroles.series.parts import Part
from kvroles.series.project import Project
from kvroles.series.upstream_files import REPOSITORY, paths_of_interest
from kvroles.sources import archive, cache, clone
from kvroles.tree import stage
from kvroles.tree.member import Member
from kvroles.tree.stage import Staged
from kvroles.tree.writer import one_writer

if TYPE_CHECKING:
    from kvroles.apply.merge import Merges

Keep = Callable[[str, bytes], bool]  # (path, bytes) -> whether the run has to see them


class Source(Protocol):
    """Where the files of a new tree come from."""

    name: str  # in messages
    row: ReleaseRow | None  # of a release whose files are known before they are read
    commit: str | None
    lacking: tuple[str, ...]  # files outside of the part asked for that could not be had, once it has been read

    def stage(self, staging: Path, keep: Keep) -> Staged:
        """All files, written to the new folder ``staging``; those ``keep`` is true of are handed back too."""
        ...

    def read(self, keep: Keep) -> dict[str, bytes]:
        """The files that ``keep`` is true of; nothing is written to the target."""
        ...


class Archive:
    """The verified archive of a release. Raises NoSource for a release that has none."""

    commit: str | None = None
    lacking: tuple[str, ...] = ()

    def __init__(self, request: Request, row: ReleaseRow) -> None:
        if row.archive is None:
            raise NoSource(
                f"vLLM {row.release} was published without a source archive",
                fix=f"Use its git tag: `{program('apply', '--upstream', REPOSITORY, '--vllm-rev', f'v{row.release}')}`; "
                f"for the connector alone, `{program('vendor', 'wheel', '--vllm-rev', row.release)}`",
            )
        self.row: ReleaseRow | None = row
        self.name = f"the archive of vLLM {row.release}"
        self._archive = row.archive
        self._quiet = request.quiet
        with Progress(f"Fetching {row.archive.name}", row.archive.size, quiet=request.quiet) as p:
            self._blob = cache.archive_bytes(
                row.archive, request.cache_dir, index_url=request.index_url, offline=request.offline, progress=p.at
            )

    def stage(self, staging: Path, keep: Keep) -> Staged:
        with Progress(f"Unpacking {self._archive.name}", self._archive.size * 4, quiet=self._quiet) as p:
            return stage.write_members(self._members(), staging, keep, p.add)

    def read(self, keep: Keep) -> dict[str, bytes]:
        return {m.path: m.data for m in self._members() if keep(m.path, m.data)}

    def _members(self) -> Iterator[Member]:
        return archive.unpacked(self._blob, self._archive.name, self._archive.top)


def run(request: Request, output: Path, project: Project, source: Source) -> Outcome:
    """Make the tree ``output`` from ``source``; with ``request.check``, say what would be made, and write nothing.

    Raises KvRolesError; ``output`` is then as it was.
    """
    staging = output.parent / f".{output.name}.kv-roles.staging"
    interest = paths_of_interest(project.series)
    if source.row is not None:
        interest = set(touched_paths(source.row, project.series))

    def keep(path: str, data: bytes) -> bool:
        if request.part is not None and parts.of(path) is not request.part:
            return False
        return path in interest or b"kv_both" in data

    if request.check:
        return _proven(request, output, project, source, source.read(keep))[0]
    with one_writer(output):
        if output.exists() and any(output.iterdir()):  # a run we waited for has built it
            release = source.row.release if source.row else None
            return in_place.run(request, output, project, release, locked=True)
        stage.may_take(output)
        try:
            staged = source.stage(staging, keep)
            known = source.row.tree if source.row else None
            if known is not None:
                _same("The tree that was unpacked", known.before, tree_digest(staged.hashes))
            outcome, plan = _proven(request, output, project, source, staged.kept)
            for change in plan.changes:
                stage.write(staged, change.path, change.after)
                if change.after is not None and staged.hashes[change.path] != sha256(change.after):
                    raise Unproven(f"{change.path} was read back from {staging} with other bytes than were written")
            row = project.lock.releases[outcome.release] if outcome.release else None
            digest = tree_digest(staged.hashes)
            if known is not None and not request.extra and request.part is None:
                _same("The patched tree", known.after, digest)
            after = receipt.after(plan.topics)
            text = receipt.make(
                outcome.release,
                row,
                project.series,
                after,
                plan.changes,
                outcome.verdict,
                digest,
                source.commit,
                meant=outcome.meant,
                part=request.part,
                lacking=source.lacking,
            )
            stage.own_folder(staged, text)
            stage.settle(staged)
            stage.put_in_place(staged, output)
        except BaseException:
            stage.discard(staging)
            raise
    return outcome._replace(
        did="applied", topics=after, tree=digest, files=len(staged.hashes), receipt=output / OWN / RECEIPT
    )


def _proven(
    request: Request, output: Path, project: Project, source: Source, files: dict[str, bytes]
) -> tuple[Outcome, Plan]:
    """What a run would do to ``files``, with the contract's verdict on it, and the plan it would follow."""
    row = source.row or detect.row_of(files.get, project.lock)
    nearest = row.release if row else detect.most_alike(files.get, project.lock)
    row = row if row and row.whole else None
    topics = project.series.chosen(request.extra)
    meant: dict[str, dict[str, str]] = {}
    if row is not None:
        plan = _of_release(files, row, project, request, source.name)
        touched = set(touched_paths(row, project.series))
    else:
        # lazy: brings the parsers and the model of evidence, which a release does without
        from kvroles.apply import fit, meaning

        if request.part in (None, Part.RUNTIME):
            fit.need_connector(files.get, source.name)
        merges = _merges(request, output, project, nearest) if request.three_way else None
        plan = fit.plan(
            files.get, project.series, project.lock, topics, nearest=nearest, exact=request.exact, where=source.name,
            merge=merges, ways_out=_ways_out(request, source),
        )  # fmt: skip
        if merges is not None:
            merges.settle(output, checkout=_checked_out(request, output, source), check=request.check)
        touched = {f.path for t in plan.topics for f in t.files}
        meant = meaning.mails(plan.meant)
    verdict = prove_plan(files, plan, touched, row.contract if row else None, locked=row is not None, part=request.part)
    outcome = Outcome(
        row.release if row else None,
        output,
        "would-apply",
        plan.topics,
        len(plan.changes),
        verdict,
        notes=[*(detect.of_no_use(request.extra, row) if row else ()), *_lacks(source.lacking)],
        revision=source.commit,
        nearest=nearest if source.row is None else None,
        part=request.part,
        meant=meant,
    )
    return outcome, plan


def _merges(request: Request, output: Path, project: Project, nearest: str | None) -> Merges:
    # lazy: reads archives and asks git, which a run without --3way does not
    from kvroles.apply.merge import Merges
    from kvroles.sources.release_files import Options

    options = Options(request.cache_dir, request.index_url, request.offline)
    return Merges(options, *project, nearest, output.parent / f"{output.name}.kv-roles-conflicts")


def _named(request: Request, source: Source) -> list[str] | None:
    """The options that name this revision, for a command to repeat the run; None where its address may hold a password."""
    if request.upstream is not None and clone.local_path(request.upstream, Path()) is None:
        return None
    revision = source.commit or request.revision
    given = {"--upstream": request.upstream, "--vllm-rev": revision}
    return [word for option, value in given.items() if value is not None for word in (option, value)]


def _ways_out(request: Request, source: Source) -> Remedies:
    """What gets out of a hunk that does not fit a revision: there is no tree to merge in yet."""
    named = _named(request, source)
    topics = [word for name in request.extra for word in ("--with", name)]
    merge = (
        "Run again with --3way"
        if named is None
        else f"Merge the two with `{program('apply', *named, *topics, '--3way')}`"
    )
    return Remedies(
        merge, f"The files of {source.name} hold CRLF: commit them with LF, as vLLM has them, and name that commit"
    )


def _checked_out(request: Request, output: Path, source: Source) -> str:
    """Where conflicts of a revision are resolved: in a checkout of it, which may lie where the new tree would."""
    folder = None if request.upstream is None else clone.local_path(request.upstream, Path())
    merge = command(str(output.absolute()), "--3way")
    if folder is None or source.commit is None:
        return f"Resolve them in a copy of it at {output}, with `{merge}`"
    add = shell("git", "-C", folder, "worktree", "add", "--detach", output.absolute(), source.commit)
    return f"Resolve them in a checkout: `{add}`, then `{merge}`"


def _lacks(paths: tuple[str, ...]) -> list[str]:
    if not paths:
        return []
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return [f"The clone lacks {', '.join(paths[:3])}{more}, which the tree is therefore without."]


def _of_release(files: dict[str, bytes], row: ReleaseRow, project: Project, request: Request, where: str) -> Plan:
    """The plan for the files of a release. Nobody can have edited those: where they do not fit, our own data is at fault."""
    try:
        return plans.plan(files.get, row, project.series, project.series.chosen(request.extra), where=where)
    except DoesNotApply as e:
        raise Unproven(
            f"The patches do not fit {where}, which they were made for: {e.what}",
            expected=e.expected,
            found=e.found,
            fix=restored("patches"),
        ) from None


def _same(what: str, want: str, have: str) -> None:
    """Raise Unproven when a tree's digest is not the one that the lock knows."""
    if have != want:
        raise Unproven(
            f"{what} is not the one in the lock", expected=want, found=have, fix=restored("patches", "vllm_overlay")
        )
