"""What the guide and the table of effects say of vLLM's releases, as data: each claim with its range and its evidence.

``docs/data/claims.toml`` holds the claims. A sentence of the guide names its claims in a comment behind it
(``<!-- c: id, id -->``) or says that it makes none (``<!-- no-claim -->``); a comment covers the text of its block back to the
comment before it. Evidence is a test of this project, or a file of vLLM and a pattern that is found in it (or, with
``absent``, in none of the files) in every release of a range. What is said of another project rests on a file of it at a fixed
commit (``effects.elsewhere``). A claim may also name pages that no machine reads: they are no evidence.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from kvroles.errors import UsageError
from kvroles.said import shell
from kvroles.series.release import version

from kvworkshop.effects import elsewhere
from kvworkshop.effects.elsewhere import Elsewhere

MODES = ("pull", "push")
SIDES = ("prefill", "decode")
_MARK = re.compile(r"<!-- (?:c: (?P<ids>[\w, -]+)|no-claim) -->")
_FENCE = re.compile(r" *(`{3,})")
_NO_PROSE = re.compile(r"\s*(#|$|=== |!!! |---$|\||<)")
_LEADS_IN = re.compile(r"(Before|After)\b.*:$", re.DOTALL)


@dataclass(frozen=True)
class Evidence:
    """``pattern`` (a regular expression) is in ``file`` of every release in ``ranges``; ``absent``: in no file of that glob."""

    ranges: tuple[tuple[str, str], ...]
    file: str
    pattern: str
    absent: bool

    def covers(self, release: str) -> bool:
        return _within(release, self.ranges)

    def line_in(self, files: Mapping[str, bytes]) -> str | None:
        """``file:line`` of the first place in ``files`` that holds the pattern, or None."""
        for path in sorted(p for p in files if fnmatchcase(p, self.file)):
            text = files[path].decode("utf-8", "replace")
            if m := re.search(self.pattern, text, re.MULTILINE):
                return f"{path}:{text.count(chr(10), 0, m.start()) + 1}"
        return None


@dataclass(frozen=True)
class Change:
    """What an upgrade to release ``at``, or past it, brings under any role, and what to ``do`` about it (maybe nothing)."""

    at: str
    says: str
    do: str | None


@dataclass(frozen=True)
class Claim:
    """One thing that is said of releases: where it holds, and what shows it."""

    id: str
    says: str
    ranges: tuple[tuple[str, str], ...]
    modes: tuple[str, ...]
    sides: tuple[str, ...]
    connectors: tuple[str, ...]
    tests: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    sources: tuple[str, ...]
    elsewhere: tuple[Elsewhere, ...] = ()
    change: Change | None = None

    def releases(self, known: Iterable[str]) -> list[str]:
        """Those of ``known`` that the claim is about."""
        return [r for r in known if _within(r, self.ranges)]


@dataclass(frozen=True)
class Passage:
    """A piece of prose of the guide, and the claims its comment names; ``claims`` is None where no comment covers it."""

    line: int
    text: str
    claims: tuple[str, ...] | None


def _within(release: str, ranges: Iterable[tuple[str, str]]) -> bool:
    return any(version(a) <= version(release) <= version(b) for a, b in ranges)


def load(path: Path) -> tuple[Claim, ...]:
    """The claims in ``path``. Raises UsageError, with the claim's id, for a file that does not have the right shape."""
    where = "the file"
    try:
        claims = []
        for raw in tomllib.loads(path.read_text(encoding="utf-8"))["claim"]:
            where = f"claim {raw.get('id', '(without an id)')}"
            claims.append(_claim(raw))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UsageError(
            f"{path} cannot be read: {where}: {type(e).__name__}: {e}",
            fix=f"Compare it with the other claims, or restore it with `{shell('git', 'checkout', '--', path)}`",
        ) from None
    return tuple(claims)


def _claim(raw: dict[str, Any]) -> Claim:
    unknown = set(raw) - {
        "id",
        "says",
        "releases",
        "mode",
        "side",
        "connector",
        "tests",
        "evidence",
        "sources",
        "elsewhere",
        "change",
    }
    if unknown:
        raise ValueError(f"unknown keys {', '.join(sorted(unknown))}")
    modes, sides = tuple(raw.get("mode", MODES)), tuple(raw.get("side", SIDES))
    if not set(modes) <= set(MODES) or not set(sides) <= set(SIDES):
        raise ValueError("mode is of pull and push, side of prefill and decode")
    evidence = tuple(
        Evidence(_ranges(e.get("releases", raw["releases"])), e["file"], e["pattern"], e.get("absent", False))
        for e in raw.get("evidence", ())
    )
    return Claim(
        raw["id"],
        raw["says"],
        _ranges(raw["releases"]),
        modes,
        sides,
        tuple(raw.get("connector", ("NixlConnector", "NixlPullConnector", "NixlPushConnector"))),
        tuple(raw.get("tests", ())),
        evidence,
        tuple(raw.get("sources", ())),
        tuple(elsewhere.load(e) for e in raw.get("elsewhere", ())),
        Change(raw["change"]["at"], raw["change"]["says"], raw["change"].get("do")) if "change" in raw else None,
    )


def _ranges(raw: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """``["0.9.0..0.22.1", "0.30.0"]`` as pairs of first and last."""
    pairs = [tuple(r.split("..")) for r in raw]
    return tuple((p[0], p[-1]) for p in pairs)


# --- the guide ----------------------------------------------------------------------------------------------------------


def rests(claims: Sequence[Claim], held: str, tested: str, read: Collection[str] | None = None) -> str:
    """How many claims rest on which evidence, in words: ``12 HELD, 3 TESTED, 1 read in files of other projects``.

    ``held`` and ``tested`` are the words for those held against the releases' source and those with a test alone. Each claim
    counts once, under the strongest evidence it has. ``read`` are the releases whose source was read (None: all): a claim
    whose evidence is in none of them counts as about releases not read.
    """
    sourced = [c for c in claims if c.evidence]
    looked = [c for c in sourced if read is None or any(e.covers(r) for e in c.evidence for r in read)]
    kinds = [
        (held, looked),
        ("about releases not read", [c for c in sourced if c not in looked]),
        (tested, [c for c in claims if not c.evidence and c.tests]),
        ("read in files of other projects", [c for c in claims if not c.evidence and not c.tests and c.elsewhere]),
        ("on pages that no machine reads", [c for c in claims if not c.evidence and not c.tests and not c.elsewhere]),
    ]
    return ", ".join(f"{len(those)} {how}" for how, those in kinds if those)


def passages(markdown: str) -> Iterator[Passage]:
    """The prose of a page, piece by piece: paragraphs, list items and table rows, without headings and code."""
    for line, block in _blocks(markdown):
        start = 0
        for mark in _MARK.finditer(block):
            text = block[start : mark.start()].strip()
            ids = tuple(i.strip() for i in mark["ids"].split(",")) if mark["ids"] else ()
            yield Passage(line, text, ids)
            start = mark.end()
        rest = block[start:].strip(" |\n")
        if rest and not (start == 0 and _LEADS_IN.match(rest)):
            yield Passage(line, rest, None)


def _blocks(markdown: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each paragraph, list item and table row."""
    lines = markdown.split("\n")
    if lines[0] == "---":  # the page's metadata
        end = lines.index("---", 1)
        lines[: end + 1] = [""] * (end + 1)
    block: list[str] = []
    start = fence = 0
    for number, text in enumerate([*lines, ""], 1):
        if mark := _FENCE.match(text):
            fence = 0 if fence and len(mark[1]) >= fence else fence or len(mark[1])
            text = ""
        elif fence:
            continue
        row = text.lstrip().startswith("|")
        item = re.match(r" *(?:[-*]|\d+\.) ", text) is not None
        if block and (row or item or _NO_PROSE.match(text)):
            yield start, "\n".join(block)
            block = []
        if row:
            below = lines[number].lstrip() if number < len(lines) else ""
            if not text.lstrip().startswith("| ---") and not below.startswith("| ---"):
                yield number, text.strip()
        elif block or not _NO_PROSE.match(text):
            start = start if block else number
            block.append(text.strip())


# --- what is wrong ------------------------------------------------------------------------------------------------------


def problems_of_pages(claims: Sequence[Claim], pages: Mapping[str, str], also_used: Iterable[str] = ()) -> list[str]:
    """What the pages (name -> Markdown) leave without evidence, and the claims that nothing uses.

    ``also_used`` are the claims that something else names.
    """
    known = {c.id for c in claims}
    out, used = [], set(also_used)
    for name, markdown in pages.items():
        for passage in passages(markdown):
            if passage.claims is None:
                out.append(f"{name}:{passage.line} names neither a claim nor 'no-claim': {passage.text[:80]!r}.")
            used |= set(passage.claims or ())
    out += [f"The claim {i} is named but not in the file of claims." for i in sorted(used - known)]
    out += [f"The claim {i} is used nowhere; drop it." for i in sorted(known - used)]
    return out


def problems_of_evidence(claims: Sequence[Claim], root: Path, known: Sequence[str]) -> list[str]:
    """Claims without evidence for a release they are about, tests that are gone, ids given twice."""
    out = []
    ids = [c.id for c in claims]
    out += [f"The id {i} is given twice." for i in sorted({i for i in ids if ids.count(i) > 1})]
    for claim in claims:
        out += [f"Claim {claim.id}: the test {t} does not exist." for t in claim.tests if not _test_exists(root, t)]
        if not claim.releases(known):
            out.append(f"Claim {claim.id} is about no release.")
        if not (claim.tests or claim.evidence or claim.elsewhere):
            out.append(f"Claim {claim.id} has no evidence that a machine reads.")
        if claim.tests or claim.elsewhere:
            continue
        bare = [r for r in claim.releases(known) if not any(e.covers(r) for e in claim.evidence)]
        if bare:
            out.append(f"Claim {claim.id} has no evidence for {', '.join(bare)}.")
    return out


def _test_exists(root: Path, test: str) -> bool:
    """Whether ``file::name`` (or ``file::Class::name``) is a test of this project; ``file`` is a name below ``tests``."""
    name, *words = test.split("::")
    for path in (root / "tests").rglob(name):
        body: Sequence[ast.stmt] = ast.parse(path.read_bytes()).body
        for word in words:
            found = next((n for n in body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == word), None)
            body = found.body if found is not None else ()
        if body:
            return True
    return False


def problems_of_release(claims: Sequence[Claim], release: str, files: Mapping[str, bytes]) -> list[str]:
    """Evidence that the source of ``release`` does not bear out."""
    out = []
    for claim in claims:
        for e in claim.evidence:
            if not e.covers(release):
                continue
            line = e.line_in(files)
            if e.absent and line is not None:
                out.append(f"{release}: claim {claim.id} says that {e.pattern!r} is not there, but {line} holds it.")
            if not e.absent and line is None:
                out.append(f"{release}: claim {claim.id}: no file {e.file} holds {e.pattern!r}.")
    return out


def lines(claims: Sequence[Claim], release: str, files: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Claim id -> ``file:line`` of its evidence in ``release``."""
    found = {
        c.id: [line for e in c.evidence if e.covers(release) and not e.absent and (line := e.line_in(files))]
        for c in claims
    }
    return {i: where for i, where in found.items() if where}


def is_read(claims: Sequence[Claim], path: str) -> bool:
    """Whether ``path`` of a release is among the files that some evidence names."""
    return any(fnmatchcase(path, e.file) for c in claims for e in c.evidence)
