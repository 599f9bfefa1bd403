"""Patch an installed vLLM where it lies, and take that back.

All of it, RECORD, receipt and originals included, is one journaled change of site-packages: a kill leaves the old state, or
one that the next ``install`` or ``uninstall`` finishes. The version stays as it was: it is part of the dist-info folder's name,
which cannot change in one step with the files, and packages that require ``vllm==R`` stay satisfied.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass

from kvroles.apply.receipt import after
from kvroles.apply.state import TopicStatus, replaced
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, Unproven, os_error
from kvroles.places import OWN
from kvroles.said import shell
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from kvroles.tree import journal
from kvroles.tree.change import Change
from kvroles.tree.tree import Tree
from kvroles.tree.writer import one_writer
from kvroles.vendored import part, receipt
from kvroles.vendored.installed import addition, bytecode
from kvroles.vendored.installed.construction import construct
from kvroles.vendored.installed.distribution import Installed
from kvroles.vendored.installed.proof import look, refuse, through_links, version_made
from kvroles.vendored.receipt import Receipt
from kvroles.vendored.record import Record


@dataclass(frozen=True)
class Outcome:
    """What a run did: ``installed``, ``uninstalled`` or ``nothing``; ``finished`` when it first ended an interrupted run.

    ``read`` says what was read before anything was changed, ``warnings`` what others had changed in it.
    """

    did: str
    installed: Installed
    release: str
    topics: tuple[TopicStatus, ...]
    files: tuple[str, ...]
    dropped: tuple[str, ...]
    left_out: tuple[str, ...]
    finished: bool
    notes: tuple[str, ...] = ()
    read: str | None = None
    warnings: tuple[str, ...] = ()
    construction: str = receipt.NOT_ASKED
    added: tuple[str, ...] = ()  # files of ours beside the package's


@dataclass(frozen=True)
class Wish:
    """What the command line asked of ``install``. ``runtime``: take files that no RECORD vouches for, and fit by context."""

    release: str | None = None
    runtime: bool = False
    strict: bool = False
    require_construction: bool = False


def install(found: Installed, series: Series, lock: Lock, wish: Wish | None = None) -> Outcome:
    """Patch ``found``; nothing is changed when it is patched or warns by itself.

    Every file is read first. Raises DoesNotApply (edited, another release, read-only) and Unproven (RECORD or a file of ours is
    not as it should be, Python would import other files); with ``strict`` also for what others changed. The installation is
    then as it was.
    """
    wish = wish or Wish()
    with _writing(found) as (tree, finished):
        where = f"{found.name} in {found.site}"
        read = through_links(found)
        text = tree.read(found.receipt)
        made = None if text is None else Receipt.loads(text, str(found.site / found.receipt), found.reinstall)
        by_context = wish.runtime or (made is not None and made.part == receipt.RUNTIME)
        wanted, recorded = wish.release or version_made(made, found), None if made is None else made.release
        whole = part.choose(found.version, wanted, series, lock, read, where, by_context=by_context, recorded=recorded)
        planned = part.plan(whole, read, str(found.site), found.again("install", "--part", receipt.RUNTIME))
        notes: tuple[str, ...] = () if whole.note is None else (whole.note,)
        if not planned.changes:
            notes += _nothing_to_do(planned, made is not None)
            dropped = bytecode.drop(found.site, list(whole.paths)) if finished else []
            return Outcome(
                "nothing", found, whole.row.release, planned.topics, (), tuple(dropped), whole.left_out, finished, notes
            )
        if (told := replaced(list(planned.topics), series.earlier)) is not None:
            notes += (told,)
            _need_originals(made, found)
        _writable(found, [c.path for c in planned.changes])
        looked = look(found, whole.paths, compiled=False, vouched=not wish.runtime)
        if wish.strict:
            refuse(looked.warnings, found)
        construction = _constructed(found, planned.changes) if wish.require_construction else receipt.NOT_ASKED
        _own_copies(tree, found, [c.path for c in planned.changes])
        original = (tree.read(found.record) or b"") if found.info else None
        added = addition.of(
            found,
            whole,
            dataclasses.replace(planned, changes=_from_originals(tree, found, planned, made)),
            original,
            read=looked.sentence,
            construction=construction,
            runtime=wish.runtime,
            first=tree.read(f"{found.originals}/RECORD"),
        )
        changed = [c.path for c in planned.changes]
        steps = list(planned.changes)
        steps += [Change(p, was, d) for p, d in sorted(added.files.items()) if (was := tree.read(p)) != d]
        if added.record is not None:
            steps.append(Change(found.record, original, added.record))
        dropped = _commit(tree, found, steps, changed)
        topics = tuple(after(list(planned.topics)))
        return Outcome(
            "installed", found, whole.row.release, topics, tuple(changed), tuple(dropped), whole.left_out, finished, notes,
            looked.sentence, looked.warnings, construction, tuple(sorted(added.files)),
        )  # fmt: skip


def _need_originals(made: Receipt | None, found: Installed) -> None:
    """Raise DoesNotApply for what an earlier series patched as a wheel: there are no originals, and pip has recorded that one."""
    if made is not None and made.how == "wheel":
        raise DoesNotApply(
            f"{found.name} {found.version} in {found.site} was installed from a vendored wheel that an earlier series of this "
            "project patched",
            fix="Build the wheel anew with 'vendor.py wheel', from the official one, and install that",
        )


def _from_originals(tree: Tree, found: Installed, planned: part.Planned, made: Receipt | None) -> tuple[Change, ...]:
    """The changes from what vLLM ships, where an earlier run of ours lies between; files that run left right are among them."""
    changes = {c.path: c._replace(before=planned.shipped.get(c.path, c.before)) for c in planned.changes}
    for path, (before, _) in made.files.items() if made is not None and planned.shipped else ():
        changes.setdefault(path, Change(path, _original(tree, found, path, before), tree.read(path)))
    return tuple(changes[path] for path in sorted(changes))


def _constructed(found: Installed, changes: tuple[Change, ...]) -> str:
    """Construct the connector as it is to be, before a byte is written. Raises Unproven when that fails or cannot be done."""
    change = changes[0]
    built = construct(found, change.path, change.after)
    why = built.wrong or built.unchecked
    if why:
        raise Unproven(
            f"NixlConnector, as it would be in {found.site}, was not constructed as it should be; nothing was changed",
            expected="a warning for kv_both and none for explicit roles, from this very environment",
            found=why,
            fix="Run it where vLLM imports, or without the construction, which the receipt then says: "
            f"`{found.again('install')}`",
        )
    return receipt.CONSTRUCTED


def _own_copies(tree: Tree, found: Installed, paths: list[str]) -> None:
    """Put a copy in place of each of our files that an installer linked to its cache: what it links to is never written."""
    for path in [*paths, *([found.record] if found.info else [])]:
        file = found.site / path
        if not file.is_symlink():
            tree.read(path)  # refuses a link in place of a folder, which would lead out of the package
            continue
        data = file.read_bytes()
        mode = file.stat().st_mode & 0o777
        try:
            with tree.folder(f"{OWN}/stage", create=True) as stage:
                fd = os.open("copy", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644, dir_fd=stage)
                with open(fd, "wb") as f:
                    f.write(data)
                    os.fchmod(fd, mode)
                    f.flush()
                    os.fsync(fd)
            tree.move_in(f"{OWN}/stage/copy", path)
        except OSError as e:
            raise os_error(f"{file} could not be replaced by a copy of its own", e) from None


def _nothing_to_do(planned: part.Planned, has_receipt: bool) -> tuple[str, ...]:
    if planned.native:
        return ("it warns by itself: nothing to patch",)
    if has_receipt:
        return ("it is patched already",)
    return ("it is patched already, but not by this tool: 'verify' wants a receipt, which a reinstalled vLLM can get",)


def uninstall(found: Installed) -> Outcome:
    """Put the stored originals back; nothing is changed when there is no receipt.

    Raises DoesNotApply when a patched file was changed since, or when the wheel itself was patched (there are no originals).
    """
    with _writing(found) as (tree, finished):
        text = tree.read(found.receipt)
        if text is None:
            return Outcome(
                "nothing", found, found.version, (), (), (), (), finished, ("there is no patch to take back",)
            )
        made = Receipt.loads(text, str(found.site / found.receipt), found.reinstall)
        if made.how == "wheel":
            python = shell(found.python or "python3")
            # ===: the local version of a vendored wheel satisfies == too (PEP 440), so an index that holds it would give it back
            raise DoesNotApply(
                f"{found.name} {found.version} in {found.site} was installed from a vendored wheel, which keeps no originals",
                fix=f"Install the official one: `{python} -m pip install --force-reinstall --no-deps "
                f"{found.name}==={made.release}`",
            )
        steps = [_back(tree, found, path, before, after) for path, (before, after) in made.files.items()]
        kept = [*made.files, *(["RECORD"] if found.info else [])]
        ours = [*(f"{found.originals}/{path}" for path in kept), found.receipt, found.bill]
        steps += [Change(path, tree.read(path), None) for path in ours]
        if found.info:
            steps.append(_record_back(tree, found, list(made.files), ours))
        dropped = _commit(tree, found, [s for s in steps if s.before != s.after], list(made.files))
        return Outcome("uninstalled", found, made.release, (), tuple(made.files), tuple(dropped), (), finished)


def _back(tree: Tree, found: Installed, path: str, before: str, after: str) -> Change:
    now = tree.read(path)
    if now is None or sha256(now) != after:
        raise DoesNotApply(
            f"{path} in {found.site} was changed since it was patched",
            expected=f"SHA-256 {after}",
            found="no file" if now is None else f"SHA-256 {sha256(now)}",
            fix=f"Keep your change elsewhere. {found.reinstall}",
        )
    return Change(path, now, _original(tree, found, path, before))


def _original(tree: Tree, found: Installed, path: str, before: str) -> bytes:
    """The stored original of a patched file, whose SHA-256 is ``before``. Raises Unproven when it is not that."""
    original = tree.read(f"{found.originals}/{path}")
    if original is None or sha256(original) != before:
        raise Unproven(
            f"The stored original of {path} in {found.site} is missing or damaged",
            expected=f"SHA-256 {before}",
            found="no file" if original is None else f"SHA-256 {sha256(original)}",
            fix=found.reinstall,
        )
    return original


def _rows(data: bytes, found: Installed) -> Record:
    return Record.parse(data, found.info, found.reinstall)


def _record_back(tree: Tree, found: Installed, paths: list[str], ours: list[str]) -> Change:
    """RECORD as it was, save for what others have changed in it since."""
    now = tree.read(found.record) or b""
    stored = tree.read(f"{found.originals}/RECORD") or b""
    restored = _rows(now, found).restored(_rows(stored, found), paths, ours)
    return Change(found.record, now, restored.dumps())


@contextlib.contextmanager
def _writing(found: Installed) -> Iterator[tuple[Tree, bool]]:
    """The tree of site-packages, held alone and with an interrupted run finished first (then the flag is True)."""
    _writable(found, [])
    with one_writer(found.site / found.info):
        tree = Tree(found.site, inherit=True)
        mask = os.umask(0o022)  # the receipt is for everyone to read, whoever builds the image
        try:
            yield tree, journal.recover(tree)
        finally:
            os.umask(mask)
            tree.close()


def _writable(found: Installed, paths: list[str]) -> None:
    for folder in dict.fromkeys(
        [found.site, found.site / found.info, *((found.site / p).parent for p in ("vllm/x", *paths))]
    ):
        if not os.access(folder, os.W_OK):
            raise DoesNotApply(
                f"{folder} is read-only for this user; nothing was changed",
                fix="Run as the user that owns the packages (in an image's build: 'USER 0')",
            )


def _commit(tree: Tree, found: Installed, steps: list[Change], sources: list[str]) -> list[str]:
    """Carry ``steps`` out and read them back. Bytecode goes before and after: an import in between may write some."""
    dropped = bytecode.drop(found.site, sources)
    journal.commit(tree, steps, None)
    for step in steps:
        if tree.read(step.path) != step.after:
            raise Unproven(
                f"{step.path} in {found.site} was read back with other bytes than were written",
                fix="See what the file system did ('dmesg'), or who else writes there, and run it again: "
                f"`{found.again('install')}`",
            )
    bytecode.drop(found.site, sources)
    return dropped
