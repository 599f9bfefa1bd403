"""Shares a long list of files among a few forked processes; with few files, or where there is no fork, does it alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from kvroles.errors import DoesNotApply, KvRolesError

T = TypeVar("T")
R = TypeVar("R")

_MAX_PROCESSES = 4
_TURNS = 8_000  # what a pipe holds at four bytes each, with room to spare


def shared(
    work: Callable[[T], list[R]],
    items: Sequence[T],
    *,
    worth: bool = True,
    meanwhile: Callable[[], object] | None = None,
    done: Callable[[int], object] | None = None,
) -> list[R]:
    """What ``work`` makes of each of ``items``, one after another, in order. What it raises is raised here.

    If that is ``worth`` it the work is shared; what is to be done ``meanwhile`` this process does before its own share.
    ``done`` is told how many items were begun, as far as this process knows.
    """
    count = min(os.cpu_count() or 1, _MAX_PROCESSES)
    if count < 2 or len(items) < 2 or not worth or not hasattr(os, "fork"):
        out: list[R] = []
        for number, item in enumerate(items):
            if done is not None:
                done(number)
            out += work(item)
        return out
    step = len(items) // _TURNS + 1
    turns, write = os.pipe()  # whoever is free reads the next number: a large item holds nobody else up
    os.write(write, b"".join(n.to_bytes(4, "big") for n in range(0, len(items), step)))
    os.close(write)
    children = [_child(work, items, turns, step) for _ in range(1, count)]
    failure: BaseException | None = None
    got: list[tuple[int, list[R]]] = []
    try:
        if meanwhile is not None:
            meanwhile()
        got = _share(work, items, turns, step, done)
    except BaseException as e:
        failure = e
    finally:
        os.close(turns)
    # lazy: only where there is something to send
    import pickle

    for pid, pipe in children:
        with os.fdopen(pipe, "rb") as f:
            blob = f.read()
        _, status = os.waitpid(pid, 0)
        theirs = pickle.loads(blob) if blob and not status else _killed(status)
        if isinstance(theirs, BaseException):
            failure = failure or theirs
        else:
            got += theirs
    if failure is not None:
        raise failure
    return [r for _, made in sorted(got, key=lambda d: d[0]) for r in made]


def _killed(status: int) -> KvRolesError:
    return DoesNotApply(
        f"One of the processes that read the files was ended before it was done (wait status {status}), so nothing was"
        " changed",
        fix="Run the same command again; if memory is short, on fewer folders at a time",
    )


def _share(
    work: Callable[[T], list[R]],
    items: Sequence[T],
    turns: int,
    step: int,
    begun: Callable[[int], object] | None = None,
) -> list[tuple[int, list[R]]]:
    out: list[tuple[int, list[R]]] = []
    while number := os.read(turns, 4):
        first = int.from_bytes(number, "big")
        if begun is not None:
            begun(first)
        if made := [m for item in items[first : first + step] for m in work(item)]:
            out.append((first, made))
    return out


def _child(work: Callable[[T], list[R]], items: Sequence[T], turns: int, step: int) -> tuple[int, int]:
    """A process that does its share and sends the outcome, or what went wrong, through a pipe."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    try:
        # lazy: needed only where there is something to send
        import pickle

        os.close(read)
        outcome: object
        try:
            outcome = _share(work, items, turns, step)
        except Exception as e:
            outcome = e
        with os.fdopen(write, "wb") as f:
            f.write(pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL))
    finally:
        os._exit(0)
