"""Change several files of a tree so that a kill leaves the old state, the new, or one that the next run finishes.

The new bytes are staged in ``.kv-roles/stage/``, then ``.kv-roles/journal.json`` is put in place with one rename: from
there on the change is decided, and each file moves in with a rename of its own. A run that finds a journal finishes it
first; one that finds a stage without a journal removes it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os

from kvroles.digest import sha256, sha256_of
from kvroles.errors import DoesNotApply, Unproven, os_error
from kvroles.places import OWN, RECEIPT, leaves
from kvroles.said import shell
from kvroles.tree.change import Change
from kvroles.tree.tree import Tree

_JOURNAL = "journal.json"


def read_receipt(tree: Tree) -> bytes | None:
    """The receipt of the last run on ``tree``, or None."""
    return tree.read(f"{OWN}/{RECEIPT}")


def commit(tree: Tree, changes: list[Change], receipt: bytes | None) -> None:
    """Make ``changes`` in ``tree`` and leave ``receipt`` (None: take our folder away). All or, after a kill, finishable.

    Raises DoesNotApply, with the tree as it was, when the stage cannot be written (disk full, read-only tree).
    """
    decided = False
    try:
        _clear(tree)
        with tree.folder(f"{OWN}/stage", create=True) as stage, tree.folder(OWN) as own:
            with contextlib.suppress(FileExistsError):
                _write(".gitignore", own, b"*\n")  # our folder is no change of the tree's
            steps = []
            for number, change in enumerate(changes):
                if change.after is not None:
                    like = tree.mode_and_owner(change.path)
                    if like is None and os.geteuid() == 0:  # nothing in somebody's tree that they could not delete
                        like = (tree.mode_of_new(change.path), *tree.owner_of_new(change.path))
                    elif like is None and tree.inherit:
                        like = (tree.mode_of_new(change.path), os.geteuid(), os.getegid())
                    _write(str(number), stage, change.after, like)
                steps.append(
                    {
                        "path": change.path,
                        "before": sha256_of(change.before),
                        "after": sha256_of(change.after),
                        "staged": None if change.after is None else str(number),
                    }
                )
            if receipt is not None:
                _write(RECEIPT, stage, receipt)
            journal = {"steps": steps, "receipt": receipt is not None}
            _write(_JOURNAL, stage, json.dumps(journal).encode())
            os.fsync(stage)
            os.rename(_JOURNAL, _JOURNAL, src_dir_fd=stage, dst_dir_fd=own)
            decided = True
            os.fsync(own)
    except OSError as e:
        if decided:  # without its stage a journal cannot be finished: take it back, and leave the stage to the next run
            try:
                tree.unlink(f"{OWN}/{_JOURNAL}")
            except OSError:
                raise _unfinished(tree, e) from None
        else:
            _clear(tree)
            _leave_if_bare(tree)
        raise os_error(f"The change to {tree.path} could not be staged", e) from None
    _finish(tree)


def recover(tree: Tree) -> bool:
    """Finish what a killed run had decided, or clear what it had not; True when a decided change was finished.

    Raises DoesNotApply when a file has been changed by somebody since, so that neither state can be reached.
    """
    if tree.read(f"{OWN}/{_JOURNAL}") is not None:
        _finish(tree)
        return True
    _clear(tree)
    _leave_if_bare(tree)
    return False


def unfinished(tree: Tree) -> bool:
    """Whether a killed run left a decided change unfinished in ``tree``."""
    return tree.read(f"{OWN}/{_JOURNAL}") is not None


def _finish(tree: Tree) -> None:
    own = tree.path / OWN
    raw = tree.read(f"{OWN}/{_JOURNAL}")
    try:
        journal = json.loads(raw or b"")
        steps = [(s["path"], s["before"], s["after"], s["staged"]) for s in journal["steps"]]
        has_receipt = bool(journal["receipt"])
        if any(leaves(path) or not (staged or "0").isdecimal() for path, _, _, staged in steps):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unproven(
            f"The journal {own / _JOURNAL} is damaged, so the run it belongs to cannot be finished",
            fix=f"Unpack the tree afresh, or restore its files and delete {own} with `{shell('rm', '-r', '--', own)}`",
        ) from None
    todo = []
    for path, before, after, staged in steps:
        data = tree.read(path)
        have = sha256_of(data)
        if have == after:
            if after is None:  # the folders it has left empty may still be there
                todo.append((path, None))
            continue
        fresh = None if staged is None else tree.read(f"{OWN}/stage/{staged}")
        if have != before or (after is not None and (fresh is None or sha256(fresh) != after)):
            raise DoesNotApply(
                f"A run on {tree.path} was interrupted, and {path} was changed since, so it cannot be finished",
                expected=f"SHA-256 {before} or {after}",
                found=f"SHA-256 {have}",
                fix=f"Restore {path}, then run again; or keep the tree as it is with `{shell('rm', '-r', '--', own)}`",
            )
        todo.append((path, staged))
    try:
        for path, staged in todo:
            if staged is None:
                tree.remove(path)
            else:
                tree.move_in(f"{OWN}/stage/{staged}", path)
        if not has_receipt:  # before the journal goes: a receipt must not outlive the change that it tells of
            tree.unlink(f"{OWN}/{RECEIPT}")
        elif tree.read(f"{OWN}/stage/{RECEIPT}") is not None:
            tree.move_in(f"{OWN}/stage/{RECEIPT}", f"{OWN}/{RECEIPT}")
        for folder in {os.path.dirname(path) for path, _ in todo}:  # before the journal that could redo them goes
            with contextlib.suppress(FileNotFoundError), tree.folder(folder) as fd:
                os.fsync(fd)
        tree.unlink(f"{OWN}/{_JOURNAL}")
    except OSError as e:
        raise _unfinished(tree, e) from None
    _clear(tree)
    _leave_if_bare(tree)


def _unfinished(tree: Tree, e: OSError) -> DoesNotApply:
    return DoesNotApply(
        f"The change to {tree.path} is decided but not finished: {e.strerror or e}",
        fix="Remove the obstacle (make room, or give yourself write access there) and run again: the next run finishes it",
    )


def _clear(tree: Tree) -> None:
    """Delete the stage, and never what a link in its place points to."""
    with contextlib.suppress(OSError), tree.folder(OWN) as own:
        try:
            os.unlink("stage", dir_fd=own)
        except (IsADirectoryError, PermissionError):  # Linux says the first of a folder, POSIX the second
            _delete(own)


def _delete(own: int) -> None:
    """Delete the folder of the stage below our folder, which is open as ``own``."""
    try:
        os.rmdir("stage", dir_fd=own)  # nearly always: each file in it was moved to its place
    except OSError:
        import shutil  # lazy: it brings every format of archives

        shutil.rmtree("stage", ignore_errors=True, dir_fd=own)


def _leave_if_bare(tree: Tree) -> None:
    """Take our folder out of the tree when nothing is left in it, no receipt and nothing that is not ours."""
    with contextlib.suppress(OSError):
        with tree.folder(OWN) as own:
            if set(os.listdir(own)) <= {".gitignore"}:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(".gitignore", dir_fd=own)
        os.rmdir(OWN, dir_fd=tree.fd)


def _write(name: str, folder: int, data: bytes, like: tuple[int, int, int] | None = None) -> None:
    """Write the new file ``name`` in ``folder``, flush it and read it back; ``like`` is the (mode, uid, gid) to give it."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
    with open(fd, "wb") as f:
        f.write(data)
        f.flush()
        if like is not None:
            mode, uid, gid = like
            if os.geteuid() == 0:
                os.chown(fd, uid, gid)
            elif gid != os.fstat(fd).st_gid:  # only root can give a file to another user; its group can be kept
                os.chown(fd, -1, gid)
            os.fchmod(fd, mode)
        os.fsync(fd)
        if os.pread(fd, len(data) + 1, 0) != data:
            raise OSError(errno.EIO, "a file was read back with other bytes than were written")
