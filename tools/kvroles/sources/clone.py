"""A clone on this machine, read as files: where its objects are, what its names mean, whether it is to be trusted.

Layout: gitrepository-layout(5). Ownership: git-config(1), ``safe.directory``.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kvroles.errors import NoSource
from kvroles.said import shell
from kvroles.sources import git
from kvroles.tree import handles

_HEX = re.compile(r"[0-9a-f]{40}")
_SMALL = 1 << 16
_REFS = 64 << 20  # packed-refs of a repository with half a million names
_PLACES = (
    "{}",
    "refs/{}",
    "refs/tags/{}",
    "refs/heads/{}",
    "refs/remotes/{}",
    "refs/remotes/{}/HEAD",
)  # gitrevisions(7)
_MOST_LINKED = 5
_MOST_ALIKE = 10_000  # tags, of which a refusal names a few


@dataclass(frozen=True)
class Clone:
    """``private`` is the git directory of one work tree, ``common`` the one that all of them share."""

    folder: Path
    private: Path
    common: Path

    @property
    def objects(self) -> Path:
        return self.common / "objects"

    def resolve(self, revision: str) -> str | None:
        """The id that ``revision`` (a name, or 40 digits) stands for, or None; short ids are not looked at."""
        if _HEX.fullmatch(revision):
            return revision
        packed = self._packed()
        for place in _PLACES:
            found = self._ref(place.format(revision), packed)
            if found is not None:
                return found
        return None

    def tags_like(self, revision: str) -> list[str]:
        """A few tags whose names hold the beginning of ``revision``, the last first."""
        part = revision.lstrip("v")[:4]
        names = [name.removeprefix("refs/tags/") for name in self._packed() if name.startswith("refs/tags/")]
        with contextlib.suppress(OSError):
            names += [e.name for e in os.scandir(self.common / "refs" / "tags")]
        alike = [n for n in names if part in n][-_MOST_ALIKE:]
        return sorted(set(alike), key=_by_number, reverse=True)[:4]

    def is_empty(self) -> bool:
        """Whether no name in it stands for anything, as in a repository without a commit."""
        refs = self.common / "refs"
        return not self._packed() and not any(names for _, _, names in os.walk(refs))

    def made_whole(self) -> str:
        """How it comes to hold the objects that it lacks: the beginning of a sentence."""
        here = shell("git", "-C", self.folder)
        if self.promised_by():
            return f"Fetch what it lacks (`{here} fetch --refetch --filter=blob:limit=1g` makes it whole)"
        if (self.common / "shallow").exists():
            return f"Fetch the history that this shallow clone lacks (`{here} fetch --unshallow`)"
        return f"It is damaged (`{here} fsck` names what it lacks): clone the repository again"

    @property
    def is_partial(self) -> bool:
        """Whether objects lack on purpose: files of a partial clone, or the history of a shallow one."""
        return bool(self.promised_by()) or (self.common / "shallow").exists()

    def promised_by(self) -> list[str]:
        """The addresses of the remotes from which a partial clone may fetch what it lacks."""
        values = git.config_of(self.common / "config")
        partial = {value for key, value in values if key == "extensions.partialclone"}
        partial |= {key[7:-9] for key, value in values if key.startswith("remote.") and key.endswith(".promisor")}
        return [
            value for key, value in values if key.startswith("remote.") and key[7:-4] in partial and key[-4:] == ".url"
        ]

    def _packed(self) -> dict[str, str]:
        text = _read(self.common / "packed-refs", _REFS) or ""
        return {m[2]: m[1] for m in re.finditer(r"^([0-9a-f]{40}) (refs/\S+)$", text, re.MULTILINE)}

    def _ref(self, name: str, packed: dict[str, str], links: int = 0) -> str | None:
        shared = name.startswith("refs/") and not name.startswith(("refs/bisect/", "refs/worktree/", "refs/rewritten/"))
        read = _read((self.common if shared else self.private) / name, _SMALL)
        text = (read or "").strip()
        if text.startswith("ref:"):
            target = text[4:].strip()
            inside = target.startswith("refs/") and ".." not in target and "\0" not in target
            return self._ref(target, packed, links + 1) if inside and links < _MOST_LINKED else None
        first = text.split(maxsplit=1)[0] if text else ""  # FETCH_HEAD says more on its line
        if read is not None and not _HEX.fullmatch(first) and (shared or name == "HEAD"):
            raise NoSource(
                f"{self.folder} is a damaged clone: {name} holds no id and no name",
                # Not what stands there: HEAD may be a link to a file of secrets.
                found=f"{len(first)} characters that are neither" if first else "an empty file",
                fix=f"See `{shell('git', '-C', self.folder, 'fsck')}`, or clone it again",
            )
        return first if _HEX.fullmatch(first) else packed.get(name)


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part) for part in re.split(r"(\d+)", name)]


def at(folder: Path) -> Clone:
    """The clone that ``folder`` is, or lies in. Raises NoSource when there is none, or none that is read here."""
    start = folder.resolve()
    for place in (start, *start.parents):
        for private in (_git_directory(place / ".git"), place if _is_git_directory(place) else None):
            if private is not None:
                return _checked(folder, place, private)
    raise NoSource(
        f"{folder} is not a git repository",
        fix="Give --upstream a clone, the address of a repository, or the top folder or the tar.gz of a source tree",
    )


def _git_directory(entry: Path) -> Path | None:
    """The git directory that ``entry``, a work tree's ``.git``, is or names."""
    if _is_git_directory(entry):
        return entry.resolve()
    text = _read(entry, _SMALL) or ""
    if not text.startswith("gitdir: "):
        return None
    named = entry.parent / text.removeprefix("gitdir: ").rstrip("\r\n")
    return named.resolve() if _is_git_directory(named) else None


def _is_git_directory(folder: Path) -> bool:
    try:
        head = (folder / "HEAD").is_file() or (folder / "HEAD").is_symlink()
        return head and ((folder / "objects").is_dir() or (folder / "commondir").is_file())
    except (OSError, ValueError):
        return False


def _checked(folder: Path, top: Path, private: Path) -> Clone:
    shared = _read(private / "commondir", _SMALL)
    common = (private / shared.strip()).resolve() if shared else private
    _check_owner(top, [p for p in (top, top / ".git", private, common) if p.exists()])
    if not (common / "objects").is_dir():
        raise NoSource(f"{folder} is a damaged clone: it has no objects", fix="Clone it again")
    odd = next((found for store in _stores(common / "objects") if (found := _odd_object(store)) is not None), None)
    if odd is not None:
        raise NoSource(f"{odd} is a device or a pipe, which no clone holds", fix="Clone the repository again")
    settings = dict(git.config_of(common / "config"))
    other = {"objectformat": "sha1", "refstorage": "files"}
    for name, known in other.items():
        value = settings.get(f"extensions.{name}", known).lower()
        if value != known:
            raise NoSource(
                f"{folder} is a clone with {name} = {value}, which is not read here",
                expected=f"a clone with {name} = {known}, as git makes it by default",
                fix=_other_form(folder.resolve(), name),
            )
    if (odd_form := _unknown_form(settings)) is not None:
        raise NoSource(
            f"{folder} is a clone with {odd_form}, which is not read here",
            expected="repositoryformatversion 0 or 1, without extensions that change how objects or names are kept",
            fix="Clone it again by a git that makes clones of that form",
        )
    return Clone(folder, private, common)


_EXTENSIONS = frozenset(
    ["noop", "preciousobjects", "partialclone", "worktreeconfig", "objectformat", "refstorage", "relativeworktrees"]
)


def _unknown_form(settings: Mapping[str, str]) -> str | None:
    """What of a clone's form is newer than what is read here, as git too refuses it (its repository-version.txt)."""
    version = settings.get("core.repositoryformatversion", "0")
    if version not in ("0", "1"):
        return f"repositoryformatversion = {version}"
    unknown = sorted(k for k in settings if k.startswith("extensions.") and k[11:] not in _EXTENSIONS)
    return unknown[0] if version == "1" and unknown else None


def _other_form(folder: Path, setting: str) -> str:
    """How the clone ``folder`` is given a form that is read here: git copies names into files, but no ids into sha1."""
    if setting == "refstorage":
        copy = shell("git", "clone", "--bare", "--ref-format=files", folder, f"{folder}-files")
        return f"Copy it with `{copy}`, and name the copy"
    pack = shell("git", "-C", folder, "archive", "--prefix=vllm/", "--output", f"{folder}.tar.gz", "HEAD")
    return f"Pack the commit with `{pack}`, and give that file to --upstream"


def _stores(objects: Path) -> list[Path]:
    """The folders in which git looks for the objects of a clone: its own, and in turn those that ``info/alternates`` names."""
    out: list[Path] = []
    todo = [(objects, 0)]
    while todo:
        folder, depth = todo.pop()
        if folder in out or depth > _MOST_LINKED:  # git follows five of them, one behind the other
            continue
        out.append(folder)
        for line in (_read(folder / "info" / "alternates", _SMALL) or "").splitlines():
            if line.startswith('"'):
                raise NoSource(
                    f"{folder}/info/alternates names a folder in quotes, which is not read here",
                    fix="Write it there without quotes",
                )
            if line and not line.startswith("#") and "\0" not in line:
                todo.append((Path(os.path.realpath(folder / line)), depth + 1))
    return out


def _odd_object(objects: Path) -> str | None:
    """A file among the objects that git would wait for without end, or None."""
    for folder, _, names in os.walk(objects):
        for name in names:
            path = os.path.join(folder, name)
            try:
                if not stat.S_ISREG(os.stat(path).st_mode):
                    return path
            except OSError:  # gone, or a link that leads nowhere: git will say so
                continue
    return None


def _check_owner(top: Path, places: list[Path]) -> None:
    """Refuse a clone that somebody else owns, unless ``safe.directory`` names it (as git does)."""
    us = {os.geteuid()}
    if os.geteuid() == 0 and re.fullmatch("[0-9]{1,10}", os.environ.get("SUDO_UID", "")):
        us.add(int(os.environ["SUDO_UID"]))
    strange = next((p for p in places if p.lstat().st_uid not in us), None)
    if strange is None:
        return
    name = str(top)
    for trusted in git.safe_directories():
        folder = trusted.removesuffix("/*")
        if trusted == "*" or os.path.realpath(trusted) == name or (folder != trusted and name.startswith(f"{folder}/")):
            return
    raise NoSource(
        f"Git would refuse {top} for dubious ownership: {strange} is owned by user {strange.lstat().st_uid}, not by you",
        fix=f"If you trust what is in it, run `{shell('git', 'config', '--global', '--add', 'safe.directory', name)}`",
    )


def local_path(address: str, base: Path) -> Path | None:
    """The folder on this machine that a remote's ``address`` names, relative ones from ``base``; None for others."""
    if address.startswith("file://"):
        return Path(unquote(urlsplit(address).path))
    if "://" in address or re.match(r"[^/]*:", address):  # a URL, or host:path
        return None
    return base / address


def _read(file: Path, limit: int) -> str | None:
    """The text of a small regular file of a clone, or None: it may be anything, and is in somebody's hands."""
    try:
        with handles.regular(file.resolve()) as f:
            return f.read(limit).decode("utf-8", "surrogateescape")
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle
        return None
