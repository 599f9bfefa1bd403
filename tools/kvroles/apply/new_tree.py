"""A locked release -> a new tree: its archive unpacked beside the target, patched, proven, and put in place with one rename."""

from __future__ import annotations

from pathlib import Path

from kvroles.apply import plan as engine
from kvroles.apply import receipt
from kvroles.apply.plan import Plan
from kvroles.apply.prove import prove_plan
from kvroles.apply.request import Outcome, Request
from kvroles.apply.run import in_place, of_no_use
from kvroles.digest import sha256, tree_digest
from kvroles.errors import DoesNotApply, NoSource, Unproven
from kvroles.progress import Progress
from kvroles.series.lock import Lock, ReleaseRow
from kvroles.series.topics import Series, Topic
from kvroles.sources import archive, cache
from kvroles.tree import stage
from kvroles.tree.writer import one_writer


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
                row.archive.top,
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
            verdict = prove_plan(staged.kept, plan, touched, row.contract)
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
        notes=of_no_use(request, row),
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
    verdict = prove_plan(files, plan, set(engine.touched_paths(row, series)), row.contract)
    notes = of_no_use(request, row)
    return Outcome(row.release, output, "would-apply", plan.topics, len(plan.changes), verdict, notes=notes)


def members_of(blob: bytes, row: ReleaseRow, series: Series) -> dict[str, bytes]:
    """The members of an archive that the series is about, and those that hold ``kv_both``, without unpacking the rest."""
    assert row.archive is not None
    touched = set(engine.touched_paths(row, series))
    chunks = stage.ahead(archive.inflate(blob, row.archive.name))
    found = archive.members(chunks, row.archive.name, row.archive.top)
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
        return cache.archive_bytes(
            row.archive, request.cache_dir, index_url=request.index_url, offline=request.offline, progress=p.at
        )
