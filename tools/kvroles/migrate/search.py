"""Paths to the files worth judging, fast: most files of a tree are read once, by several processes, and dropped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from importlib import import_module
from typing import NamedTuple

from kvroles.migrate import parallel, walk
from kvroles.migrate.settings import NAME, Known

_AT_ONCE = 32  # files a process takes at a time
_WORTH_SHARING = 400  # files; fewer are read in the time that a process takes to start
_LINK = "link"


class Found(NamedTuple):
    """A file to judge, and the argument it was found below; ``skipped`` says why it cannot be."""

    root: str
    path: str
    skipped: str = ""


class Coverage:
    """What a run looked at: how many files, and what it passed over, by reason; with ``names`` by path as well."""

    def __init__(self, *, names: bool = False) -> None:
        self.files = 0
        self.passed: Counter[str] = Counter()
        self.names: list[tuple[str, str]] | None = [] if names else None
        self.settings: set[str] = set()  # the settings files that were met
        self.rules: Counter[str] = Counter()  # how many files each row of them left out that hold the word
        self.sides: set[int] = set()  # the answers of the command line whose glob names a file that was looked at

    def pass_over(self, reason: str, path: str) -> None:
        """Count ``path`` as passed over."""
        self.passed[reason] += 1
        if self.names is not None:
            self.names.append((reason, path))

    def copy(self) -> Coverage:
        """What was looked at so far, to count from once more."""
        new = Coverage(names=self.names is not None)
        new.add(self)
        return new

    def add(self, other: Coverage) -> None:
        """Take over what another process looked at."""
        self.files += other.files
        self.passed.update(other.passed)
        self.settings |= other.settings
        self.rules.update(other.rules)
        self.sides |= other.sides
        if self.names is not None and other.names is not None:
            self.names += other.names


def over(paths: list[str], known: Known, *, names: bool = False) -> tuple[list[Found], Coverage]:
    """The files at or below ``paths`` that hold ``kv_both`` or cannot be read, each once, in order; and what was looked at.

    A link to what is below one of the paths is read where it leads. One that leads elsewhere is named if it leads to a folder,
    or to a file that holds ``kv_both``.
    """
    whole = Coverage(names=names)
    out: dict[str, Found] = {}
    links: list[str] = []
    for root in paths:
        _add(_below(root, known, names), whole, out, links)
    roots = [(os.path.realpath(p), p) for p in paths]
    followed: set[str] = set()
    while links:
        link = links.pop(0)
        _add(_followed(link, roots, followed, known, names), whole, out, links)
    return list(out.values()), whole


def without(baseline: str, found: list[Found], coverage: Coverage) -> list[Found]:
    """``found`` less the baseline itself, whose names of files may hold the word."""
    own = os.path.realpath(baseline)
    out = [f for f in found if os.path.realpath(f.path) != own]
    if len(out) < len(found):
        coverage.pass_over("baseline", baseline)
        coverage.files -= 1
    return out


def _add(found: list[Found | Coverage], whole: Coverage, out: dict[str, Found], links: list[str]) -> None:
    hits = [f for f in found if isinstance(f, Found)]
    for f in sorted(hits, key=lambda f: walk.order(f.path)):
        if f.skipped == _LINK:
            links.append(f.path)
        else:
            out.setdefault(f.path, f)
    for seen in found:
        if isinstance(seen, Coverage):
            whole.add(seen)


def _below(root: str, known: Known, names: bool) -> list[Found | Coverage]:
    """What is at or below ``root``, links not followed."""
    top = walk.spread(root)
    shares: list[str | list[str]] = [*top.dirs]  # the folders first: what is small goes last, and evens out the ends
    shares += [top.files[i : i + _AT_ONCE] for i in range(0, len(top.files), _AT_ONCE)]
    worth = bool(top.dirs) or len(top.files) >= _WORTH_SHARING
    found = parallel.shared(partial(_look, known, root, names), shares, worth=worth, meanwhile=_load_judges)
    top.files = []
    return [*_listed(root, top, known, names), *found]


def _look(known: Known, root: str, names: bool, share: str | list[str]) -> list[Found | Coverage]:
    seen = Coverage(names=names)
    if isinstance(share, list):
        return _searched(root, share, known, seen)
    out: list[Found | Coverage] = []

    def files() -> Iterator[str]:
        for listed in walk.below(share):
            if listed.aside or listed.links:
                out.extend(_aside(root, listed, known, seen))
            yield from listed.files

    found = _searched(root, files(), known, seen)
    return out + found


def _listed(root: str, listed: walk.Listed, known: Known, names: bool) -> list[Found | Coverage]:
    seen = Coverage(names=names)
    return [*_aside(root, listed, known, seen), seen]


def _searched(root: str, files: Iterable[str], known: Known, seen: Coverage) -> list[Found | Coverage]:
    """Those of ``files`` that hold the word, and ``seen``, in which the rest is counted."""
    out: list[Found | Coverage] = []
    for path in walk.holding(_counted(files, known, seen)):
        if os.path.basename(path) == NAME:
            seen.pass_over("settings of kv-roles", path)
            seen.files -= 1
        elif _excluded(path, root, known, seen):
            seen.files -= 1
        else:
            out.append(Found(root, path))
    out.append(seen)
    return out


def _excluded(path: str, root: str, known: Known, seen: Coverage) -> bool:
    """Whether the settings leave ``path`` out, which is then counted in ``seen``, for the row that does too."""
    settings = known.of(path, root)
    row = settings.excluded(path)
    if row is None:
        return False
    seen.pass_over("excluded by the settings", path)
    seen.rules[f"{settings.file}: exclude {row}"] += 1
    return True


def _counted(files: Iterable[str], known: Known, seen: Coverage) -> Iterator[str]:
    """``files``, counted in ``seen``, with the answers of the command line that name one of them."""
    asked = bool(known.given)
    number = 0
    for path in files:
        number += 1
        if path.endswith(NAME):
            seen.settings.add(path)
        if asked and known.open_sides(seen.sides):
            seen.sides |= known.named_by(path, seen.sides)
        yield path
    seen.files += number


def _aside(root: str, listed: walk.Listed, known: Known, seen: Coverage) -> list[Found]:
    """The links of a folder, and what in it is neither file nor folder; the rest that is put aside is counted in ``seen``."""
    out: list[Found] = []
    for reason, path in listed.aside:
        if reason in walk.REASONS:
            seen.pass_over(reason, path)
        elif not _excluded(path, root, known, seen):
            out.append(Found(root, path, reason))
    return out + [Found(root, path, _LINK) for path in listed.links]


def _followed(
    link: str, roots: list[tuple[str, str]], followed: set[str], known: Known, names: bool
) -> list[Found | Coverage]:
    """What a link adds: nothing if what it leads to is read by its own name, all of it if it would be passed over there."""
    seen = Coverage(names=names)
    target = os.path.realpath(link)
    if not os.path.exists(target):
        seen.pass_over("link that leads nowhere", link)
        return [seen]
    if _excluded(link, roots[0][1], known, seen):
        return [seen]
    inside = next((real for real, _ in roots if target == real or target.startswith(real.rstrip("/") + "/")), None)
    if inside is not None:
        if target in followed or not walk.is_passed_over(target, inside):
            return [seen]
        followed.add(target)
        return _below(link, known, names)
    reason = walk.PASSED_OVER.get(os.path.basename(link)) or walk.PASSED_OVER.get(os.path.basename(target))
    if reason is not None:
        seen.pass_over(reason, link)
    elif os.path.isdir(target):
        return [
            Found(link, link, f"a link to {target}, which is outside what was searched: name it as a path too"),
            seen,
        ]
    elif os.path.isfile(target) and any(True for _ in walk.holding([target])):
        why = f"a link to {target}, which holds kv_both and is outside what was searched: name it as a path too"
        return [Found(link, link, why), seen]
    else:
        seen.pass_over("link to a file outside, without kv_both", link)
    return [seen]


def _load_judges() -> None:
    """What reads and weighs the hits takes a while to load; this process does so while the others look for hits."""
    import_module("kvroles.migrate.findings")
    import_module("kvroles.migrate.readers.base").load()
