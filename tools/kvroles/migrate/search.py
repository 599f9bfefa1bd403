"""Paths to the files worth judging, fast: most files of a tree are read once, by several processes, and dropped."""

from __future__ import annotations

import errno
import os
from collections import Counter, deque
from collections.abc import Callable
from functools import cache, lru_cache, partial
from importlib import import_module
from typing import NamedTuple

from kvroles.migrate.files import hits, parallel, walk
from kvroles.migrate.settings import Known
from kvroles.progress import Progress

_AT_ONCE = 32  # files a process takes at a time
_WORTH_SHARING = 400  # files; fewer are read in the time that a process takes to start
_FOLDERS = 256  # that are handed out one by one: enough that none holds a large part of what is below them all
_LINK = "link"
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # what a link leads to is not there; all else may be
EXCLUDED = "excluded by the settings"


class Found(NamedTuple):
    """A file to judge, the argument it was found below, and its repository; ``skipped`` says why it cannot be judged."""

    root: str
    path: str
    skipped: str = ""
    repository: str = ""


class Coverage:
    """What a run looked at: how many files of each repository, and what it passed over, by reason; with ``names`` by path as
    well.

    A repository is the nearest folder upward with a ``.git``; without one the path that was named.
    """

    def __init__(self, *, names: bool = False) -> None:
        self.unit = "file"  # what was looked at
        self.looked: Counter[str] = Counter()  # files, by repository
        self.aside: Counter[tuple[str, str]] = Counter()  # files and folders, by repository and reason
        self.names: list[tuple[str, str]] | None = [] if names else None
        self.settings: set[str] = set()  # the settings files that were met
        self.rules: Counter[str] = Counter()  # how many files each row of them left out that hold the word
        self.answered: list[str] = []  # files with a comment to keep both, and without kv_both
        self.sides: set[int] = set()  # the answers of the command line whose glob names a file that was looked at

    @property
    def files(self) -> int:
        """How many files were looked at."""
        return self.looked.total()

    @property
    def passed(self) -> Counter[str]:
        """How much was passed over, by reason."""
        out: Counter[str] = Counter()
        for (_, reason), number in self.aside.items():
            out[reason] += number
        return out

    def pass_over(self, reason: str, path: str, repository: str) -> None:
        """Count ``path`` as passed over."""
        self.aside[repository, reason] += 1
        if self.names is not None:
            self.names.append((reason, path))

    def copy(self) -> Coverage:
        """What was looked at so far, to count from once more."""
        new = Coverage(names=self.names is not None)
        new.add(self)
        return new

    def add(self, other: Coverage) -> None:
        """Take over what another process looked at."""
        self.looked.update(other.looked)
        self.aside.update(other.aside)
        self.settings |= other.settings
        self.rules.update(other.rules)
        self.sides |= other.sides
        self.answered += other.answered
        if self.names is not None and other.names is not None:
            self.names += other.names


class _Share(NamedTuple):
    """One piece of the search, which one process does: ``what`` is a folder or some files, below the path ``root``."""

    root: str
    repository: str
    what: str | list[str]


def over(paths: list[str], known: Known, *, names: bool = False, quiet: bool = True) -> tuple[list[Found], Coverage]:
    """The files at or below ``paths`` that hold ``kv_both`` or cannot be read, each once, in order; and what was looked at.

    A link to what is below one of the paths is read where it leads. One that leads elsewhere is named if it leads to a folder,
    or to a file that holds ``kv_both``. Without ``quiet`` a bar shows how far the search is.
    """
    whole = Coverage(names=names)
    out: dict[str, Found] = {}
    links: deque[str] = deque()
    paths = _once(paths)
    _add(paths, _below(paths, known, names, quiet=quiet), whole, out, links)
    roots = {os.path.realpath(p): p for p in reversed(paths)}
    followed: set[str] = set()
    while links:
        link = links.popleft()
        _add([link], _followed(link, roots, followed, known, names), whole, out, links)
    return list(out.values()), whole


def _once(paths: list[str]) -> list[str]:
    """``paths`` without those that lead to the same place as an earlier one, and without folders that another's walk reaches.

    A file that is named stays: it is judged as one that was named, and the walk of its folder leaves it out. One of which
    several names are given is judged by its own: a link's may say another side than the next one's.
    """
    real: dict[str, str] = {}
    folder_of = cache(os.path.realpath)
    for path in paths:
        folder, name = os.path.split(os.path.normpath(path))
        place = os.path.join(folder_of(folder or "."), name) if name not in {"", ".", ".."} else os.path.realpath(path)
        place = os.path.realpath(place) if os.path.islink(place) else place
        kept = real.setdefault(place, path)
        if os.path.normpath(kept) != os.path.normpath(path) and not os.path.isdir(place):
            near = os.path.relpath(place)
            real[place] = place if near.startswith("..") else near

    @cache
    def holds(folder: str) -> set[str]:
        found = walk.spread(folder, 1) if folder in real else next(walk.below(folder))
        return {*found.dirs, *found.files}

    def is_met(place: str) -> bool:
        """Whether the walk of one of the paths comes to ``place``, a whole path."""
        way = [place]
        for above in walk.upward(os.path.dirname(place)):
            if above != place and above in real and os.path.isdir(above):
                aside = {path for _, path in next(walk.below(place)).aside}  # itself, where it is an environment
                return place not in aside and all(inner in holds(os.path.dirname(inner)) for inner in way)
            way.append(above)
        return False

    return [path for place, path in real.items() if not (os.path.isdir(place) and is_met(place))]


def _named(roots: list[str]) -> frozenset[str]:
    """The files among ``roots``, without links; empty where no folder is there to be walked beside them."""
    files = [r for r in roots if not os.path.isdir(r)]
    return frozenset(map(os.path.realpath, files)) if len(files) < len(roots) else frozenset()


def _unnamed(files: list[str], root: str, named: frozenset[str]) -> list[str]:
    """``files``, met below ``root``, without those in ``named``: they are looked at by their own names."""
    if not named or os.path.realpath(root) in named:
        return files
    bases = {os.path.basename(n) for n in named}
    return [f for f in files if os.path.basename(f) not in bases or os.path.realpath(f) not in named]


def without(baseline: str, found: list[Found], coverage: Coverage) -> list[Found]:
    """``found`` without the file ``baseline``: it may hold ``kv_both`` in the names of files."""
    own = os.path.realpath(baseline)
    out = []
    for f in found:
        if os.path.realpath(f.path) == own:
            coverage.pass_over("baseline", baseline, f.repository)
            coverage.looked[f.repository] -= 1
        else:
            out.append(f)
    return out


def _add(
    roots: list[str], found: list[Found | Coverage], whole: Coverage, out: dict[str, Found], links: deque[str]
) -> None:
    """Put each part of ``found`` where it belongs: files into ``out`` in the order of ``roots``, links into ``links``."""
    number = {root: n for n, root in enumerate(roots)}
    files = [f for f in found if isinstance(f, Found)]
    for f in sorted(files, key=lambda f: (number[f.root], walk.order(f.path))):
        if f.skipped == _LINK:
            links.append(f.path)
        else:
            out.setdefault(f.path, f)
    for seen in found:
        if isinstance(seen, Coverage):
            whole.add(seen)


def _below(roots: list[str], known: Known, names: bool, *, quiet: bool = True) -> list[Found | Coverage]:
    """What is at or below ``roots``, links not followed."""
    many = max(1, _FOLDERS // len(roots))
    shares: list[_Share] = []
    files: list[_Share] = []
    out: list[Found | Coverage] = []
    seen = Coverage(names=names)
    named = _named(roots)
    count = 0
    for root in roots:
        top = walk.spread(root, many)
        tops = set(top.tops)
        of = repository(root)
        shares += [_Share(root, _within(d, tops, of), d) for d in top.dirs]
        by: dict[str, list[str]] = {}
        for path in _unnamed(top.files, root, named):
            by.setdefault(_within(path, tops, of), []).append(path)
        for repo, those in by.items():
            files += [_Share(root, repo, those[i : i + _AT_ONCE]) for i in range(0, len(those), _AT_ONCE)]
        count += len(top.files)
        out += _aside(root, top, partial(_within, tops=tops, of=of), known, seen)
    worth = bool(shares) or count >= _WORTH_SHARING
    shares += files  # the folders first: small pieces at the end keep every process busy to the last
    with Progress("Searching", len(shares), quiet=quiet, unit="parts") as bar:
        out += parallel.shared(
            partial(_look, known, names, named), shares, worth=worth, meanwhile=_load_readers, done=bar.at
        )
    return [*out, seen]


def _within(path: str, tops: set[str], of: str) -> str:
    """The repository of ``path``: the nearest of ``tops`` at or above it, else ``of``."""
    return next((above for above in walk.upward(path) if above in tops), of) if tops else of


@lru_cache(maxsize=1024)
def repository(path: str) -> str:
    """The repository that a path named by the user is of: the nearest folder upward with a ``.git``, as a path from the current
    folder if it is in that; without one the path itself, or the folder of a file."""
    folder = os.path.normpath(path)
    if not os.path.isdir(folder):
        folder = os.path.dirname(folder) or "."
    here = walk.top_of(os.path.realpath(folder))
    if here is None:
        return folder
    near = os.path.relpath(here)
    return here if os.path.isabs(path) else "." if set(near.split(os.sep)) == {".."} else near


def _look(known: Known, names: bool, named: frozenset[str], share: _Share) -> list[Found | Coverage]:
    """What one piece of the search finds. The files in ``named`` are left out: each is a piece of its own."""
    seen = Coverage(names=names)
    root, repo, what = share
    if isinstance(what, list):
        return [*_searched(root, what, repo, known, seen), seen]
    out: list[Found | Coverage] = []
    for listed in walk.below(what, repo):
        if listed.aside or listed.links:
            out += _aside(root, listed, partial(_same, listed.repository), known, seen)
        out += _searched(root, _unnamed(listed.files, root, named), listed.repository, known, seen)
    return [*out, seen]


def _searched(root: str, files: list[str], repo: str, known: Known, seen: Coverage) -> list[Found]:
    """Those of ``files`` that hold the word; the rest is counted in ``seen``."""
    out: list[Found] = []
    looked = len(files)
    if known.given and known.open_sides(seen.sides):
        for path in files:
            seen.sides |= known.named_by(path, seen.sides)
    answered: list[str] = []
    for path in hits.holding(files, answered):
        if os.path.basename(path) == walk.SETTINGS:
            seen.pass_over("settings of kv-roles", path, repo)
            looked -= 1
        elif _excluded(path, root, repo, known, seen):
            looked -= 1
        else:
            out.append(Found(root, path, repository=repo))
    seen.answered += [p for p in answered if known.of(p, root).excluded(p) is None]
    seen.settings.update(path for path in files if path.endswith(walk.SETTINGS))
    if looked:
        seen.looked[repo] += looked
    return out


def _excluded(path: str, root: str, repo: str, known: Known, seen: Coverage) -> bool:
    """Whether the settings leave ``path`` out. It is then counted in ``seen``, and so is the row of the settings that says so."""
    settings = known.of(path, root)
    row = settings.excluded(path)
    if row is None:
        return False
    seen.pass_over(EXCLUDED, path, repo)
    seen.rules[f"{settings.file}: exclude {row}"] += 1
    return True


def _same(repository: str, _path: str) -> str:
    return repository


def _aside(root: str, listed: walk.Listed, of: Callable[[str], str], known: Known, seen: Coverage) -> list[Found]:
    """The links of a folder, and what in it is neither file nor folder. What a rule passes over is only counted, in ``seen``.

    ``of`` says of which repository a path is.
    """
    out: list[Found] = []
    for reason, path in listed.aside:
        repo = of(path)
        if reason in walk.REASONS:
            seen.pass_over(reason, path, repo)
        elif not _excluded(path, root, repo, known, seen):
            out.append(Found(root, path, reason, repo))
    return out + [Found(root, path, _LINK, of(path)) for path in listed.links]


def _followed(
    link: str, roots: dict[str, str], followed: set[str], known: Known, names: bool
) -> list[Found | Coverage]:
    """What a link adds: nothing if what it leads to is read by its own name, all of it if it would be passed over there."""
    seen = Coverage(names=names)
    target = os.path.realpath(link)
    repo = repository(os.path.dirname(link) or ".")
    try:
        os.stat(link)
        closed = ""
    except OSError as e:
        if e.errno in _NOWHERE:
            seen.pass_over("link that leads nowhere", link, repo)
            return [seen]
        closed = f"a link to {target}, which cannot be looked at: {e.strerror}"
    below = next(
        (roots[above] for above in walk.upward(os.path.realpath(os.path.dirname(link) or ".")) if above in roots), link
    )
    if _excluded(link, below, repo, known, seen):
        return [seen]
    if closed:
        return [Found(link, link, closed, repo), seen]
    inside = next((above for above in walk.upward(target) if above in roots), None)
    if inside is not None:
        if target in followed or not walk.is_passed_over(target, inside):
            return [seen]
        followed.add(target)
        return _below([link], known, names)
    reason = walk.PASSED_OVER.get(os.path.basename(link)) or walk.PASSED_OVER.get(os.path.basename(target))
    if reason is not None:
        seen.pass_over(reason, link, repo)
    elif os.path.isdir(target):
        why = f"a link to {target}, which is outside what was searched: name it as a path too"
        return [Found(link, link, why, repo), seen]
    elif os.path.isfile(target) and any(True for _ in hits.holding([target])):
        why = f"a link to {target}, which holds kv_both and is outside what was searched: name it as a path too"
        return [Found(link, link, why, repo), seen]
    else:
        seen.pass_over("link to a file outside, without kv_both", link, repo)
    return [seen]


def _load_readers() -> None:
    """Load the readers, which takes a while, in this process while the others search."""
    import_module("kvroles.migrate.findings")
    import_module("kvroles.migrate.readers.base").load()
