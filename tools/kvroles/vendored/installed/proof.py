"""``verify``: whether an installed vLLM is what its receipt says and warns as the contract asks, from its bytes alone."""

from __future__ import annotations

from dataclasses import dataclass

from kvroles.apply import plan
from kvroles.apply.plan import State, TopicStatus
from kvroles.digest import sha256
from kvroles.errors import Unproven
from kvroles.places import OWN
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from kvroles.tree import journal
from kvroles.tree.tree import Tree
from kvroles.vendored import part, receipt
from kvroles.vendored.installed import bytecode
from kvroles.vendored.installed.construction import Construction, construct
from kvroles.vendored.installed.distribution import Installed
from kvroles.vendored.part import Part
from kvroles.vendored.receipt import Receipt
from kvroles.vendored.record import Record


@dataclass(frozen=True)
class Proof:
    """A proven installation; ``how`` is ``wheel``, ``install`` or ``native``."""

    installed: Installed
    release: str
    how: str
    topics: tuple[TopicStatus, ...]
    construction: Construction


def verify(found: Installed, series: Series, lock: Lock) -> Proof:
    """Prove ``found``; nothing is written.

    Raises Unproven, naming the file, when the receipt is missing or untrue, a run was interrupted (partial), RECORD disagrees,
    bytecode is stale, the contract is broken, or a real construction does not warn as it should.
    """
    tree = Tree(found.site)
    try:
        if journal.unfinished(tree) or tree.path.joinpath(OWN, "stage").is_dir():
            raise Unproven(
                f"{found.name} {found.version} in {found.site} is partial: a run was interrupted there",
                expected="an installation that is patched or not",
                found=f"{tree.path / OWN}",
                fix="Run 'install' to finish it, or 'uninstall' to finish and undo it",
            )
        release = part.release_of(found.version, None, lock, f"{found.name} in {found.site}")
        whole = part.of(lock.releases[release], series)
        text = tree.read(f"{found.info}/{receipt.NAME}")
        made = None if text is None else Receipt.loads(text, f"{found.info}/{receipt.NAME}")
        topics = _states(whole, tree, found)
        how = _how(whole, topics, made, tree, found)
        _record_agrees(tree, found, whole, made)
        _contract_holds(tree, found, whole)
    finally:
        tree.close()
    built = construct(found, whole.paths[0])
    if built.wrong:
        raise Unproven(f"NixlConnector in {found.site} is not what its bytes promise: {built.wrong}")
    return Proof(found, release, how, topics, built)


def _states(whole: Part, tree: Tree, found: Installed) -> tuple[TopicStatus, ...]:
    topics = tuple(plan.status(tree.read, whole.row, whole.series, whole.series.topics))
    for file in (f for t in topics for f in t.files):
        if file.state is State.EDITED:
            data = tree.read(file.path)
            raise Unproven(
                f"{file.path} in {found.site} is edited: neither as vLLM {whole.row.release} ships it nor as patched",
                expected=f"SHA-256 {' or '.join(sorted(part.known_after(whole)[file.path]))}",
                found="no file" if data is None else f"SHA-256 {sha256(data)}",
                fix="Reinstall vLLM, then run 'install' on it",
            )
    return topics


def _how(whole: Part, topics: tuple[TopicStatus, ...], made: Receipt | None, tree: Tree, found: Installed) -> str:
    """How the installation came to warn; raises Unproven when it does not, or when the receipt is missing or untrue."""
    files = [f for t in topics for f in t.files]
    pristine = next((f for f in files if f.state is State.PRISTINE), None)
    again = "Run 'install' on it"
    if pristine is not None:
        before = (
            "its receipt says it is patched" if made else "it was never patched, or vLLM was reinstalled over the patch"
        )
        raise Unproven(
            f"{pristine.path} in {found.site} is as vLLM {whole.row.release} ships it: {before}",
            expected="the deprecation of kv_both in it",
            fix=again,
        )
    if made is None:
        if all(f.state is State.NATIVE for f in files):
            return "native"
        raise Unproven(
            f"{files[0].path} in {found.site} is patched, but there is no receipt in {found.info}",
            fix="Reinstall vLLM, then run 'install' on it",
        )
    if made.release != whole.row.release:
        raise Unproven(
            f"The receipt in {found.info} is about another release",
            expected=f"vLLM {whole.row.release}",
            found=f"vLLM {made.release}",
            fix=again,
        )
    for path, (_, after) in made.files.items():
        data = tree.read(path)
        if data is None or sha256(data) != after:
            raise Unproven(
                f"{path} in {found.site} is not what the receipt says",
                expected=f"SHA-256 {after}",
                found="no file" if data is None else f"SHA-256 {sha256(data)}",
                fix="Reinstall vLLM, then run 'install' on it",
            )
    wanted = {t.topic for t in topics if t.state is State.APPLIED}
    promised = {name.partition("/")[0] for name in made.patches}
    if wanted - promised or {f.path for f in files if f.state is State.APPLIED} - set(made.files):
        raise Unproven(f"The receipt in {found.info} leaves out what was patched", fix=again)
    return made.how


def _record_agrees(tree: Tree, found: Installed, whole: Part, made: Receipt | None) -> None:
    record = Record.parse(tree.read(found.record) or b"", f"{found.site / found.info}")
    paths = [*whole.paths, *([f"{found.info}/{receipt.NAME}"] if made else [])]
    for path in paths:
        entry, data = record.entry(path), tree.read(path)
        have = None if data is None else sha256(data)
        if entry is None or entry.sha256 != have:
            raise Unproven(
                f"{found.record} and {path} in {found.site} disagree",
                expected="no row" if entry is None else f"SHA-256 {entry.sha256}",
                found=f"SHA-256 {have}",
                fix="Reinstall vLLM, then run 'install' on it",
            )
        if path.endswith(".py"):
            pyc = bytecode.stale(found.site, path)
            if pyc:
                raise Unproven(
                    f"{pyc} in {found.site} was compiled from another {path}, and Python would load it unasked",
                    fix="Delete it",
                )


def _contract_holds(tree: Tree, found: Installed, whole: Part) -> None:
    now = {path: tree.read(path) for path in whole.paths}
    breach = part.broken({p: d for p, d in now.items() if d is not None}, {})
    if breach:
        raise Unproven(f"The contract does not hold in {found.site}: {breach}")
