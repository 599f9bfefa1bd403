"""A tag, branch or commit of a git upstream -> the files of its tree."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kvroles.errors import NoSource, UsageError, os_error
from kvroles.said import shell
from kvroles.sources import address, clone, git, objects
from kvroles.sources.objects import Store
from kvroles.tree import handles
from kvroles.tree.member import Member
from kvroles.tree.writer import one_writer

_MOST_REMOTES = 4  # a clone of a clone of a clone


@dataclass(frozen=True)
class Commit:
    """A commit that is at hand: its id, its tree's, when it was made (seconds), and where its objects are read from."""

    sha: str
    tree: str
    time: int
    store: Store

    def members(self, wanted: Callable[[str], bool] | None = None) -> Iterator[Member]:
        """Its files, in no order. Those that ``wanted`` refuses are not read, and may be missing from a partial clone."""
        return objects.members(self.store, self.tree, self.time, wanted)


def find(upstream: str, revision: str, cache_dir: Path, *, offline: bool = False) -> Commit:
    """The commit that ``revision`` names in ``upstream`` (a local clone, or a URL: fetched alone, without history).

    Raises NoSource when it cannot be had, UsageError when the upstream has no such revision.
    """
    git.checked_name(revision)
    git.need_git()
    local = clone.local_path(upstream, Path())
    try:
        there = local is not None and local.exists()
    except (OSError, ValueError):  # a name too long, or with a NUL in it
        there = False
    if local is not None and there:
        return _in_clone(local, revision, cache_dir, offline=offline)
    url = address.of_repository(upstream)
    if url is None:
        raise UsageError(
            f"--upstream {address.shown(upstream)} is neither a folder nor the address of a repository",
            fix="Give it the address of a repository (https, ssh or git), or the folder of a clone",
        )
    return _fetched(url, revision, cache_dir, offline=offline)


def store_of(folder: Path, cache_dir: Path, *, offline: bool) -> Store:
    """Where the objects of the clone ``folder`` are read from. Raises NoSource where it is none."""
    return _store(clone.at(folder), cache_dir, offline=offline)


def _store(found: clone.Clone, cache_dir: Path, *, offline: bool) -> Store:
    store = Store(str(found.folder), [found.objects])
    store.fetch = _lacking(found, store, cache_dir, offline=offline)
    store.way_out = found.made_whole
    return store


def _in_clone(folder: Path, revision: str, cache_dir: Path, *, offline: bool) -> Commit:
    found = clone.at(folder)
    store = _store(found, cache_dir, offline=offline)
    id_ = found.resolve(revision)
    whole = re.fullmatch(r"[0-9A-Fa-f]{40}", revision) is not None
    if (id_ is None or whole) and re.fullmatch(r"[0-9A-Fa-f]{4,40}", revision):
        # Of a clone that lacks objects on purpose a whole id is fetched, or it is said how to come by it.
        id_ = revision.lower() if whole and found.is_partial else store.full_id(revision.lower())
    if id_ is None and found.is_empty():
        raise NoSource(f"{folder} holds no commit yet", fix="Name a clone that does, or the address of a repository")
    if id_ is None:
        like = found.tags_like(revision)
        raise UsageError(
            f"{folder} has no tag, branch or commit {revision!r}",
            found=f"tags {', '.join(like)}" if like else "no tag like it",
            fix=f"Fetch it first: `{shell('git', '-C', folder, 'fetch', '--tags')}`",
        )
    return Commit(*objects.commit_of(store, id_, revision), store)


def _lacking(found: clone.Clone, store: Store, cache_dir: Path, *, offline: bool) -> objects.Lacking:
    """What fetches the objects that a partial clone lacks: all in one request, with the user's settings."""

    def fetch(ids: list[str]) -> bool:
        for promised in found.promised_by()[:_MOST_REMOTES]:
            local = clone.local_path(promised, found.common)
            if local is not None:  # another clone on this machine is read like the first
                store.folders.append(clone.at(local).objects)
                return True
            url = address.of_repository(promised)
            if url is None or offline:
                continue
            with _objects_of(url, cache_dir) as kept:
                done = _fetch(url, kept, ["--no-write-fetch-head", "--stdin"], "".join(f"{i}\n" for i in ids))
            if done[0] == 0:
                store.folders.append(kept)
                return True
        return False

    return fetch


def _fetched(url: address.Repository, revision: str, cache_dir: Path, *, offline: bool) -> Commit:
    with _objects_of(url, cache_dir) as kept:
        store = Store(url.shown, [kept])
        if re.fullmatch(r"[0-9a-f]{40}", revision):
            try:
                return Commit(*objects.commit_of(store, revision, revision), store)
            except objects.Lacks:
                pass
        if offline:
            raise NoSource(
                f"{revision} of {url.shown} is not at hand and --offline forbids fetching it",
                fix="Run once without --offline, or name a local clone with --upstream",
            )
        # Depth 1: the one tree and nothing of the history, which for vLLM is twenty times as much.
        code, why, id_ = _fetch(url, kept, ["--depth=1"], "", revision)
        if code or id_ is None:
            raise NoSource(
                f"{revision} could not be fetched from {url.shown}: {why}",
                fix="Check the name (a commit needs all 40 digits) and the network, or name a local clone with --upstream",
            )
        return Commit(*objects.commit_of(store, id_, revision), store)


def _fetch(
    url: address.Repository, kept: Path, options: list[str], wanted: str, *names: str
) -> tuple[int, str, str | None]:
    """Fetch into the object folder ``kept``: (git's exit code, its last words, the id that was fetched first)."""
    with git.directory(kept) as where, tempfile.TemporaryFile() as asked:
        asked.write(wanted.encode())
        asked.seek(0)
        remote = [("remote.upstream.url", url.address), *url.credentials]
        env = git.fetching(where, remote) | url.secrets
        done = git.run(["fetch", "-q", "--no-tags", *options, "upstream", *names], env, stdin=asked)
        head = Path(where["GIT_DIR"], "FETCH_HEAD")
        id_ = head.read_text().split(maxsplit=1)[0] if done.returncode == 0 and head.exists() else None
        return done.returncode, address.without_secrets(git.last_words(done.stderr, done.returncode)), id_


@contextlib.contextmanager
def _objects_of(url: address.Repository, cache_dir: Path) -> Iterator[Path]:
    """The cache's folder of the objects of ``url``, for one run at a time; gone again if nothing came to be in it."""
    name = hashlib.sha256(url.address.encode()).hexdigest()[:16]
    kept = cache_dir / "upstream" / f"{name}.objects"
    try:
        with handles.folder(cache_dir, create=True), handles.folder(kept.parent, create=True):
            kept.mkdir(mode=0o700, exist_ok=True)
        with handles.folder(kept):
            pass
    except OSError as e:
        raise os_error(
            f"The cache {kept.parent} cannot be written to", e, "Choose another with --cache-dir", NoSource
        ) from None
    with one_writer(kept):
        try:
            for part in ("pack", "info"):
                (kept / part).mkdir(exist_ok=True)
            yield kept
        finally:
            if not any((kept / "pack").iterdir()) and not any(kept.glob("??")):
                shutil.rmtree(kept, ignore_errors=True)
