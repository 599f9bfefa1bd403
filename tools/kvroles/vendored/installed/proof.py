"""``verify``: what an installed vLLM is, from every byte that stands for it, and then what Python makes of it as it will run.

The bytes are read first, by a program that runs no start-up code of the environment. The environment is asked afterwards, and
its answers can only lower the verdict.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kvroles.apply.state import Reader, State, TopicStatus
from kvroles.digest import sha256
from kvroles.errors import Unproven
from kvroles.places import OWN
from kvroles.said import shell
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from kvroles.tree import journal
from kvroles.tree.tree import Tree
from kvroles.vendored import part, receipt
from kvroles.vendored.installed import bytecode, census, guests, imported
from kvroles.vendored.installed.bytecode import Checked
from kvroles.vendored.installed.census import Census, Odd
from kvroles.vendored.installed.construction import Construction, construct
from kvroles.vendored.installed.distribution import Installed
from kvroles.vendored.installed.guests import Guests
from kvroles.vendored.installed.search import Search, Startup, same, started
from kvroles.vendored.part import Part
from kvroles.vendored.receipt import Receipt
from kvroles.vendored.record import Record

# What a proof may be called. Only the first says that all was read, is as recorded, is imported, and was constructed.
VERIFIED, PATCH_PROVEN, BYTES_PROVEN = "verified", "patch proven", "bytes proven"


@dataclass(frozen=True)
class Look:
    """What was read and asked of an installation; ``imports`` counts the modules whose file Python was asked for, None: not
    asked; ``warnings`` are what others changed, or nobody vouches for; ``guests`` are named and not read."""

    census: Census
    bytecode: Checked | None
    startup: tuple[Startup, ...]
    imports: int | None
    warnings: tuple[str, ...]
    guests: Guests

    @property
    def sentence(self) -> str:
        """What was read, in words that a receipt may keep: no path, nothing of the machine."""
        c = self.census
        said = f"{c.read} files read: {c.as_recorded} as RECORD says"
        if c.unvouched:
            said = f"{c.read} files read: no RECORD vouches for {c.unvouched} of them"
        return said + (f", {len(c.odd)} not" if c.odd else "")


@dataclass(frozen=True)
class Proof:
    """A proven installation; ``how`` is ``wheel``, ``install`` or ``native``."""

    installed: Installed
    release: str
    how: str
    topics: tuple[TopicStatus, ...]
    construction: Construction
    look: Look
    note: str | None = None

    @property
    def word(self) -> str:
        """The most that may be said of it."""
        if self.look.warnings or self.look.census.unvouched:
            return PATCH_PROVEN
        if self.construction.unchecked or self.look.imports is None or self.look.bytecode is None:
            return BYTES_PROVEN
        return VERIFIED


def verify(
    found: Installed,
    series: Series,
    lock: Lock,
    *,
    asked_release: str | None = None,
    runtime: bool = False,
    strict: bool = False,
    require_construction: bool = False,
) -> Proof:
    """Prove ``found``; nothing is written.

    Raises Unproven, naming the file, when

    - a run was interrupted (partial), or the receipt is missing or untrue;
    - a file of ours is not as it should be, or the contract is broken;
    - bytecode is not what its source compiles to, or Python would import other files;
    - a real construction does not warn as it should, or, with ``require_construction``, was not possible;
    - with ``strict``, others changed something.
    """
    tree = Tree(found.site)
    try:
        if journal.unfinished(tree) or tree.path.joinpath(OWN, "stage").is_dir():
            raise Unproven(
                f"{found.name} {found.version} in {found.site} is partial: a run was interrupted there",
                expected="an installation that is patched or not",
                found=f"{tree.path / OWN}",
                fix=f"Run 'install' to finish it, or 'uninstall' to finish and undo it: `{found.again('install')}`",
            )
        where = f"{found.name} in {found.site}"
        read = through_links(found)
        text = tree.read(found.receipt)
        made = None if text is None else Receipt.loads(text, str(found.site / found.receipt), found.anew)
        by_context = runtime or (made is not None and made.part == receipt.RUNTIME)
        release = asked_release or version_made(made, found)
        recorded = None if made is None else made.release
        whole = part.choose(found.version, release, series, lock, read, where, by_context=by_context, recorded=recorded)
        topics = _states(whole, found)
        how = _how(whole, topics, made, found)
        _contract_holds(found, whole)
    finally:
        tree.close()
    ours = [*whole.paths, *([found.receipt] if made and found.info else [])]
    looked = look(found, ours)
    looked = replace(looked, warnings=(*_by_others(found, made), *looked.warnings))
    built = construct(found, whole.paths[0])
    if built.wrong:
        raise Unproven(f"NixlConnector in {found.site} is not what its bytes promise: {built.wrong}", fix=found.anew)
    if require_construction and built.unchecked:
        raise Unproven(
            f"NixlConnector in {found.site} was not constructed, and --require-construction asks for it",
            found=built.unchecked,
            fix="Run it where vLLM imports (in the image itself), or take a proof of the bytes alone: "
            f"`{found.again('verify')}`",
        )
    if strict:
        refuse(looked.warnings, found)
    return Proof(found, whole.row.release, how, topics, built, looked, whole.note)


def _by_others(found: Installed, made: Receipt | None) -> list[str]:
    """What RECORD, as it was before the patch, did not vouch for in the files that were patched, and in which rows of other
    files RECORD says something else today."""
    read = through_links(found)
    text = read(f"{found.originals}/RECORD") if made is not None and found.info else None
    if made is None or text is None:
        return []
    record = Record.parse(text, str(found.site / found.originals), found.anew)
    listed = {e.path: e.sha256 for e in record.entries}
    today = Record.parse(read(found.record) or b"", str(found.site / found.info), found.anew)
    return [
        f"{path} was not what RECORD says before it was patched beside that change"
        for path, (before, _) in made.files.items()
        if listed.get(path) != before
    ] + [
        f"{e.path} has another hash in RECORD than when vLLM was patched"
        for e in today.entries
        if e.path.startswith("vllm/") and e.path not in made.files and listed.get(e.path, e.sha256) != e.sha256
    ]


def through_links(found: Installed) -> Reader:
    """Reads files of the package as Python does: links that an installer made of files are followed."""

    def read(path: str) -> bytes | None:
        try:
            return (found.site / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as e:
            raise Unproven(f"{found.site / path} cannot be read: {e.strerror}", fix=found.reinstall) from None

    return read


def version_made(made: Receipt | None, found: Installed) -> str | None:
    """A tree without a version of its own is of the release that its receipt names."""
    return made.release if made is not None and not found.version and made.release != "unknown" else None


def refuse(warnings: Sequence[str], found: Installed) -> None:
    """Raise Unproven when there are warnings."""
    if warnings:
        more = f" ({len(warnings) - 1} more; --json lists all)" if len(warnings) > 1 else ""
        raise Unproven(
            f"Others changed what {found.name} {found.version} in {found.site} installed, and --strict refuses that: "
            f"{warnings[0]}{more}",
            fix=f"{found.reinstall}; or leave --strict out, to have them listed",
        )


def look(found: Installed, ours: Sequence[str], *, compiled: bool = True, vouched: bool = True) -> Look:
    """Read every byte, then ask the environment. Raises Unproven for what is wrong with ``ours``, the files of the series and
    the receipt, for bytecode that is not its source's, and for files that others would be imported in place of. ``compiled``:
    compare bytecode with its source, which takes longer than all the rest. ``vouched``: RECORD has to agree with ``ours``; else
    they are fitted by what they hold, and listed where it does not."""
    data = through_links(found)(found.record) if found.info else None
    record = Record.parse(data or b"", str(found.site / found.info), found.anew) if found.info else None
    read = census.take(found, record)
    for odd in read.odd:
        if (vouched and odd.path in ours) or odd.path.startswith(f"{found.info}/METADATA"):
            raise _disagree(found, odd, record, read)
    if record is not None and vouched:
        _recorded(found, record, ours, read)
    warnings = [f"{odd.path} {odd.what}" for odd in read.odd]
    warnings += _namesakes(found)
    search = found.search
    if search is None:
        return Look(read, None, (), None, tuple(warnings), guests.of([found.site], {}, _own_metadata(found)))
    names = census.modules([p for p in read.hashes if p.startswith("vllm/")], search.interpreter.suffixes)
    imported.refuse_shadows(found, names, record)
    checked = _compiled(search, found, read.bytecode, list(names.values())) if compiled else None
    imported.refuse_earlier_place(found)
    answer = imported.ask_python(found, names, ours)
    startup = (*search.startup, *started(search, answer.loaded))
    sources = [str(s.path) for s in startup if s.path.suffix == ".py"]
    if checked and sources:
        pycs = [str(Path(s).parent / pyc) for s in sources for pyc in bytecode.beside(Path(s).parent, Path(s).name)]
        checked += _compiled(search, found, pycs, sources)
    for start in startup:
        if start.owner is None:
            warnings.append(
                f"{start.path} ({start.kind}) is code that runs before vLLM, and no installer vouches for it"
            )
    warnings += [f"{one}: bytecode that could not be compared" for one in (checked.odd if checked else ())]
    searched = [*(p.path for p in search.places), found.site, *map(Path, filter(None, answer.path))]
    visitors = guests.of(searched, search.run.environ, _own_metadata(found))
    return Look(read, checked, startup, len(names), tuple(warnings), visitors)


def _compiled(search: Search, found: Installed, pycs: Sequence[str], sources: Sequence[str]) -> Checked:
    """Bytecode, compared; raises Unproven for what Python would run though no source says so."""
    checked = bytecode.check(search, found.site, pycs, sources)
    if checked.wrong:
        raise Unproven(
            f"{checked.wrong[0]} is not what its source compiles to, and Python would run it unasked"
            + (f" ({len(checked.wrong) - 1} more)" if len(checked.wrong) > 1 else ""),
            expected="bytecode of the source beside it",
            found="bytecode of something else",
            fix=f"Delete it: `{shell('rm', '--', *checked.wrong)}`",
        )
    return checked


def _namesakes(found: Installed) -> list[str]:
    """Other metadata of the distribution's own name beside it, or before it on the path, which a program may take for its
    version."""
    if not found.info:
        return []
    beside = [
        f"{path.name} says too that it is {found.name}, and lists none of its files"
        for path in _named_alike(found.site, found.name)
        if path.name != found.info
    ]
    places = found.search.places if found.search and found.missing_from_path is None else ()
    before = itertools.takewhile(lambda p: not same(p.path, found.site), places)
    return beside + [
        f"{path} says too that it is {found.name}, and {place.why} puts it first"
        for place in before
        for path in _named_alike(place.path, found.name)
    ]


def _named_alike(folder: Path, name: str) -> list[Path]:
    """The metadata in ``folder`` of a distribution called ``name``."""
    own = name.lower().replace("-", "_")
    try:
        there = sorted(folder.iterdir())
    except OSError:
        return []
    metadata = (p for p in there if p.suffix in (".dist-info", ".egg-info", ".egg-link"))
    return [p for p in metadata if p.stem.partition("-")[0].lower() == own]


def _own_metadata(found: Installed) -> Path | None:
    return found.site / found.info if found.info else None


def _disagree(found: Installed, odd: Odd, record: Record | None, read: Census) -> Unproven:
    entry = record.entry(odd.path) if record is not None else None
    have = read.hashes.get(odd.path)
    return Unproven(
        f"{found.record} and {odd.path} in {found.site} disagree: it {odd.what}",
        expected="no row" if entry is None else f"SHA-256 {entry.sha256}",
        found="no file" if have is None else f"SHA-256 {have}",
        fix=found.anew,
    )


def _recorded(found: Installed, record: Record, ours: Sequence[str], read: Census) -> None:
    """Every file of ours has a row, and a hash in it."""
    for path in ours:
        entry = record.entry(path)
        if path in read.hashes and (entry is None or entry.sha256 != read.hashes[path]):
            raise _disagree(found, Odd(path, "is not what RECORD says"), record, read)


def _states(whole: Part, found: Installed) -> tuple[TopicStatus, ...]:
    read = through_links(found)
    topics = part.plan_states(whole, read)
    for file in (f for t in topics for f in t.files):
        if file.state is State.EARLIER:
            raise Unproven(
                f"{file.path} in {found.site} was patched by series {file.series} of this project, of which the present one, "
                f"{whole.series.earlier.number}, makes something else",
                fix=f"Bring it up to date with `{found.again('install')}`",
            )
        if file.state is State.EDITED:
            data = read(file.path)
            raise Unproven(
                f"{file.path} in {found.site} is edited: neither as vLLM {whole.row.release} ships it nor as patched",
                expected=f"SHA-256 {' or '.join(sorted(part.known_after(whole)[file.path]))}",
                found="no file" if data is None else f"SHA-256 {sha256(data)}",
                fix=found.anew,
            )
    return topics


def _how(whole: Part, topics: tuple[TopicStatus, ...], made: Receipt | None, found: Installed) -> str:
    """How the installation came to warn; raises Unproven when it does not, or when the receipt is missing or untrue."""
    read = through_links(found)
    files = [f for t in topics for f in t.files]
    pristine = next((f for f in files if f.state is State.PRISTINE), None)
    if pristine is not None:
        before = (
            "its receipt says it is patched" if made else "it was never patched, or vLLM was reinstalled over the patch"
        )
        raise Unproven(
            f"{pristine.path} in {found.site} is as vLLM {whole.row.release} ships it: {before}",
            expected="the deprecation of kv_both in it",
            fix=found.anew if made else f"Run `{found.again('install')}`",
        )
    if made is None:
        if all(f.state is State.NATIVE for f in files):
            return "native"
        raise Unproven(
            f"{files[0].path} in {found.site} is patched, but there is no receipt in {found.site / found.receipt}",
            fix=found.anew,
        )
    if made.release != whole.row.release:
        raise Unproven(
            f"The receipt in {found.info or found.site} is about another release",
            expected=f"vLLM {whole.row.release}",
            found=f"vLLM {made.release}",
            fix=found.anew,
        )
    for path, (_, after) in made.files.items():
        data = read(path)
        if data is None or sha256(data) != after:
            raise Unproven(
                f"{path} in {found.site} is not what the receipt says",
                expected=f"SHA-256 {after}",
                found="no file" if data is None else f"SHA-256 {sha256(data)}",
                fix=found.anew,
            )
    wanted = {t.topic for t in topics if t.state is State.APPLIED}
    promised = {name.partition("/")[0] for name in made.patches}
    if wanted - promised or {f.path for f in files if f.state is State.APPLIED} - set(made.files):
        raise Unproven(f"The receipt in {found.info or found.site} leaves out what was patched", fix=found.anew)
    return made.how


def _contract_holds(found: Installed, whole: Part) -> None:
    read = through_links(found)
    now = {path: read(path) for path in whole.paths}
    breach = part.broken({p: d for p, d in now.items() if d is not None}, {})
    if breach:
        raise Unproven(f"The contract does not hold in {found.site}: {breach}", fix=found.anew)
