"""Patch an installed vLLM where it lies, and take that back.

All of it, RECORD, receipt and originals included, is one journaled change of site-packages: a kill leaves the old state, or
one that the next ``install`` or ``uninstall`` finishes. The version stays as it was: it is in the dist-info folder's name, which
cannot change in one step with the files, and who requires ``vllm==R`` goes on being served.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from kvroles.apply.plan import TopicStatus
from kvroles.apply.receipt import after
from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, KvRolesError, Unproven
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from kvroles.tree import journal
from kvroles.tree.change import Change
from kvroles.tree.tree import Tree
from kvroles.tree.writer import one_writer
from kvroles.vendored import part, receipt
from kvroles.vendored.installed import bytecode
from kvroles.vendored.installed.distribution import Installed
from kvroles.vendored.receipt import Receipt
from kvroles.vendored.record import Record, digest, is_bytecode


@dataclass(frozen=True)
class Outcome:
    """What a run did: ``installed``, ``uninstalled`` or ``nothing``; ``finished`` when it first ended an interrupted run."""

    did: str
    installed: Installed
    release: str
    topics: tuple[TopicStatus, ...]
    files: tuple[str, ...]
    dropped: tuple[str, ...]
    left_out: tuple[str, ...]
    finished: bool
    notes: tuple[str, ...] = ()


def install(found: Installed, series: Series, lock: Lock, asked: str | None = None) -> Outcome:
    """Patch ``found``; nothing is changed when it is patched or warns by itself.

    Raises DoesNotApply (edited, another release, read-only) and Unproven (files that differ from RECORD); the installation is
    then as it was.
    """
    with _writing(found) as (tree, finished):
        release = part.release_of(found.version, asked, lock, f"{found.name} in {found.site}")
        whole = part.of(lock.releases[release], series)
        planned = part.plan(whole, tree.read, str(found.site))
        if not planned.changes:
            notes = _nothing_to_do(planned, tree.read(f"{found.info}/{receipt.NAME}") is not None)
            dropped = bytecode.drop(found.site, list(whole.paths)) if finished else []
            return Outcome(
                "nothing", found, release, planned.topics, (), tuple(dropped), whole.left_out, finished, notes
            )
        record = _checked_record(tree, found)
        text = receipt.make("install", whole, planned, found.name, found.version).dumps()
        extra = {f"{found.info}/{receipt.NAME}": text}
        for c in planned.changes:
            assert c.before is not None  # the lock's topics create nothing below vllm/
            extra[f"{found.info}/{receipt.ORIGINALS}/{c.path}"] = c.before
        original = record.dumps()
        extra[f"{found.info}/{receipt.ORIGINALS}/RECORD"] = original
        changed = {c.path: c.after or b"" for c in planned.changes}
        new_record = record.replaced({**changed, **extra}).dumps()
        steps = [*planned.changes, *(Change(p, None, d) for p, d in sorted(extra.items()))]
        steps.append(Change(found.record, original, new_record))
        dropped = _commit(tree, found, steps, list(changed))
        topics = tuple(after(list(planned.topics)))
        return Outcome("installed", found, release, topics, tuple(changed), tuple(dropped), whole.left_out, finished)


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
        text = tree.read(f"{found.info}/{receipt.NAME}")
        if text is None:
            return Outcome(
                "nothing", found, found.version, (), (), (), (), finished, ("there is no patch to take back",)
            )
        made = Receipt.loads(text, f"{found.info}/{receipt.NAME}")
        if made.how == "wheel":
            raise DoesNotApply(
                f"{found.name} {found.version} in {found.site} was installed from a vendored wheel, which keeps no originals",
                fix=f"Install the official one: 'pip install --force-reinstall --no-deps {found.name}=={made.release}'",
            )
        steps = [_back(tree, found, path, before, after) for path, (before, after) in made.files.items()]
        originals = [f"{found.info}/{receipt.ORIGINALS}/{path}" for path in (*made.files, "RECORD")]
        ours = [*originals, f"{found.info}/{receipt.NAME}"]
        steps += [Change(path, tree.read(path), None) for path in ours]
        steps.append(_record_back(tree, found, list(made.files), ours))
        dropped = _commit(tree, found, [s for s in steps if s.before != s.after], list(made.files))
        return Outcome("uninstalled", found, made.release, (), tuple(made.files), tuple(dropped), (), finished)


def _back(tree: Tree, found: Installed, path: str, before: str, after: str) -> Change:
    now = tree.read(path)
    original = tree.read(f"{found.info}/{receipt.ORIGINALS}/{path}")
    if now is None or sha256(now) != after:
        raise DoesNotApply(
            f"{path} in {found.site} was changed since it was patched",
            expected=f"SHA-256 {after}",
            found="no file" if now is None else f"SHA-256 {sha256(now)}",
            fix=f"Keep your change elsewhere and reinstall: 'pip install --force-reinstall --no-deps {found.name}'",
        )
    if original is None or sha256(original) != before:
        raise Unproven(
            f"The stored original of {path} is damaged",
            expected=f"SHA-256 {before}",
            found="no file" if original is None else f"SHA-256 {sha256(original)}",
            fix=f"Reinstall: 'pip install --force-reinstall --no-deps {found.name}'",
        )
    return Change(path, now, original)


def _record_back(tree: Tree, found: Installed, paths: list[str], ours: list[str]) -> Change:
    """RECORD as it was, save for what others have changed in it since."""
    now = tree.read(found.record) or b""
    stored = tree.read(f"{found.info}/{receipt.ORIGINALS}/RECORD") or b""
    restored = Record.parse(now, found.info).restored(Record.parse(stored, found.info), paths, ours)
    return Change(found.record, now, restored.dumps())


def _checked_record(tree: Tree, found: Installed) -> Record:
    """RECORD, once every file it lists below site-packages was read and compared; raises Unproven at the first that differs.

    What lies outside of it, the scripts in ``bin``, is no part of the package: ``pip install --target`` puts them elsewhere
    than RECORD says, and whoever moves an environment rewrites their first lines.
    """
    data = tree.read(found.record)
    if data is None:
        raise Unproven(f"{found.record} is missing from {found.site}", fix="Reinstall vLLM")
    record = Record.parse(data, f"{found.site / found.info}")
    reinstall = f"'pip install --force-reinstall --no-deps {found.name}=={found.version}'"
    for entry in record.entries:
        if entry.sha256 is None or is_bytecode(entry.path) or entry.path.startswith(("../", "/")):
            continue
        try:
            with open(found.site / entry.path, "rb") as f:
                have = digest(f)
        except OSError as e:
            have = f"nothing ({e.strerror})"
        if have != entry.sha256:
            raise Unproven(
                f"{entry.path} in {found.site} is not what {found.name} {found.version} installed",
                expected=f"SHA-256 {entry.sha256}, from RECORD",
                found=have if have.startswith("nothing") else f"SHA-256 {have}",
                fix=f"Reinstall with {reinstall}; lay your own edits over it after the patch, through RECORD too",
            )
    return record


@contextlib.contextmanager
def _writing(found: Installed) -> Iterator[tuple[Tree, bool]]:
    """The tree of site-packages, held alone and with an interrupted run finished first (then the flag is True)."""
    _writable(found)
    with one_writer(found.site / found.info):
        tree = Tree(found.site)
        mask = os.umask(0o022)  # the receipt is for everyone to read, whoever builds the image
        try:
            yield tree, journal.recover(tree)
        finally:
            os.umask(mask)
            tree.close()


def _writable(found: Installed) -> None:
    for folder in (found.site, found.site / found.info, found.site / "vllm"):
        if not os.access(folder, os.W_OK):
            raise DoesNotApply(
                f"{folder} is read-only for this user; nothing was changed",
                fix="Run as the user that owns the packages, or on a copy of them; in an image, see 'vendor.py image'",
            )


def _commit(tree: Tree, found: Installed, steps: list[Change], sources: list[str]) -> list[str]:
    """Carry ``steps`` out and read them back. Bytecode goes before and after: an import in between may write some."""
    dropped = bytecode.drop(found.site, sources)
    try:
        journal.commit(tree, steps, None)
    except DoesNotApply as e:
        raise KvRolesError(
            e.code, e.what, expected=e.expected, found=e.found, fix="Remove the obstacle and run again"
        ) from None
    for step in steps:
        if tree.read(step.path) != step.after:
            raise Unproven(f"{step.path} in {found.site} was read back with other bytes than were written")
    bytecode.drop(found.site, sources)
    return dropped
