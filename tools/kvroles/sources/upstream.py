"""A tag, branch or commit of a git upstream -> its tree on disk, and the release it is nearest to."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from kvroles.errors import NoSource, UsageError, os_error
from kvroles.series.release import Version, version
from kvroles.sources import git
from kvroles.sources.http import hide
from kvroles.tree import stage
from kvroles.tree.writer import one_writer

DEFAULT = "https://github.com/vllm-project/vllm"


@dataclass(frozen=True)
class Commit:
    """A commit that is at hand: its id, the repository it is in, and the release ``git describe`` names (or None)."""

    sha: str
    git_dir: Path
    described: str | None


def find(upstream: str, revision: str, cache_dir: Path, *, offline: bool = False) -> Commit:
    """The commit that ``revision`` names in ``upstream`` (a local clone, or a URL: fetched alone, without history).

    Raises NoSource when it cannot be had, UsageError when the upstream has no such revision.
    """
    git.checked_name(revision)
    git.need_git()
    local = Path(upstream)
    if local.exists():
        return _in_clone(local, revision)
    if upstream.startswith("-") or not re.search(r"^[a-z+]+://|^[\w.-]+@[\w.-]+:", upstream):
        raise UsageError(
            f"--upstream {upstream!r} is neither a folder nor a URL",
            fix="Give it the address of a repository, or the folder of a clone",
        )
    return _fetched(upstream, revision, cache_dir, offline=offline)


def _in_clone(folder: Path, revision: str) -> Commit:
    done = git.run(["-C", str(folder), "rev-parse", "--absolute-git-dir"])
    if done.returncode:
        raise NoSource(
            f"{folder} is not a git repository that can be read: {git.said(done)}",
            fix="Give --upstream the folder of a clone, or its address",
        )
    git_dir = Path(os.fsdecode(done.stdout.rstrip(b"\n")))
    sha = _commit(git_dir, revision)
    if sha is None:
        raise UsageError(
            f"{folder} has no tag, branch or commit {revision!r}",
            found=_like(git_dir, revision),
            fix=f"Fetch it first: 'git -C {folder} fetch --tags'",
        )
    return Commit(sha, git_dir, _described(git_dir, sha))


def _fetched(url: str, revision: str, cache_dir: Path, *, offline: bool) -> Commit:
    repository = cache_dir / "upstream" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.git"
    try:
        repository.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise os_error(
            f"The cache {repository.parent} cannot be written to", e, "Choose another with --cache-dir"
        ) from None
    shown = hide(url)
    with one_writer(repository):
        if re.fullmatch(r"[0-9a-f]{40}", revision) and repository.exists():
            sha = _commit(repository, revision)
            if sha is not None:
                return Commit(sha, repository, None)
        if offline:
            raise NoSource(
                f"{revision} of {shown} is not at hand and --offline forbids fetching it",
                fix="Run once without --offline, or name a local clone with --upstream",
            )
        git.run(["init", "-q", "--bare", str(repository)])
        # Depth 1: the one tree and nothing of the history, which for vLLM is twenty times as much.
        done = git.run(["fetch", "-q", "--no-tags", "--depth=1", url, revision], git_dir=repository)
        if done.returncode:
            raise NoSource(
                f"{revision} could not be fetched from {shown}: {git.said(done).replace(url, shown)}",
                fix="Check the name (a commit needs all 40 digits) and the network, or name a local clone with --upstream",
            )
        sha = _commit(repository, "FETCH_HEAD")
        if sha is None:
            raise NoSource(f"{revision} of {shown} is not a commit", fix="Name a tag, branch or commit")
        return Commit(sha, repository, None)


def _commit(git_dir: Path, revision: str) -> str | None:
    done = git.run(["rev-parse", "-q", "--verify", "--end-of-options", f"{revision}^{{commit}}"], git_dir=git_dir)
    return done.stdout.decode().strip() if done.returncode == 0 else None


def _like(git_dir: Path, revision: str) -> str:
    done = git.run(["tag", "--list", f"*{revision.lstrip('v')[:4]}*", "--sort=-v:refname"], git_dir=git_dir)
    names = done.stdout.decode("utf-8", "replace").split()[:4]
    return f"tags {', '.join(names)}" if names else "no tag like it"


def _described(git_dir: Path, sha: str) -> str | None:
    done = git.run(["describe", "--tags", "--abbrev=0", "--match=v[0-9]*", sha], git_dir=git_dir)
    name = done.stdout.decode("utf-8", "replace").strip()
    return name[1:] if done.returncode == 0 and Version.parse(name) else None


def nearest(described: str | None, releases: list[str]) -> str | None:
    """The newest of ``releases`` that is not after the release ``described`` names, or None."""
    if described is None:
        return None
    earlier = [r for r in releases if version(r) <= version(described)]
    return earlier[-1] if earlier else None


def check_out(commit: Commit, staging: Path) -> None:
    """Write the tree of ``commit`` into the new folder ``staging``; nothing of the repository itself is changed.

    Raises NoSource when git cannot (a partial clone that is offline, say); ``staging`` is then gone again.
    """
    stage.discard(staging)
    try:
        staging.mkdir(parents=True)
    except OSError as e:
        raise os_error(f"{staging.parent} cannot be written to", e) from None
    index = staging.with_name(staging.name + ".index")
    env = {"GIT_INDEX_FILE": str(index.absolute()), "GIT_WORK_TREE": str(staging.absolute())}
    try:
        for args in (["read-tree", commit.sha], ["checkout-index", "-a", "-f"]):
            done = git.run(args, git_dir=commit.git_dir, env=env)
            if done.returncode:
                stage.discard(staging)
                raise NoSource(
                    f"git {args[0]} of {commit.sha[:12]} failed: {git.said(done)}", fix="Check disk space and network"
                )
    finally:
        index.unlink(missing_ok=True)
