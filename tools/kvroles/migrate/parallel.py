"""Shares a long list of files among a few forked processes; with few files, or where there is no fork, does it alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORTH_A_FORK = 400
MAX_PROCESSES = 4
_AT_ONCE = 32  # items a process takes at a time: few enough that none waits long for another in the end
_TURNS = 8_000  # what a pipe holds at four bytes each, with room to spare


def shared(
    work: Callable[[Sequence[T]], list[R]],
    items: Sequence[T],
    *,
    worth: int = WORTH_A_FORK,
    meanwhile: Callable[[], None] | None = None,
) -> list[R]:
    """What ``work`` makes of ``items``, of which it is given a stretch at a time, in order. What it raises is raised here.

    From ``worth`` items on the work is shared; what is to be done ``meanwhile`` this process does before its own share.
    """
    count = min(os.cpu_count() or 1, MAX_PROCESSES)
    if count < 2 or len(items) < worth or not hasattr(os, "fork"):
        return work(items)
    step = max(min(_AT_ONCE, len(items) // (8 * count)), len(items) // _TURNS + 1)
    turns, write = os.pipe()  # whoever is free reads the next number: one large file holds nobody else up
    os.write(write, b"".join(n.to_bytes(4, "big") for n in range(0, len(items), step)))
    os.close(write)
    children = [_child(work, items, turns, step) for _ in range(1, count)]
    failure: BaseException | None = None
    done: list[tuple[int, list[R]]] = []
    try:
        if meanwhile is not None:
            meanwhile()
        done = _share(work, items, turns, step)
    except BaseException as e:
        failure = e
    finally:
        os.close(turns)
    import pickle  # only where there is something to send

    for pid, pipe in children:
        with os.fdopen(pipe, "rb") as f:
            blob = f.read()
        os.waitpid(pid, 0)
        got = pickle.loads(blob) if blob else RuntimeError("a helper process died")
        if isinstance(got, BaseException):
            failure = failure or got
        else:
            done += got
    if failure is not None:
        raise failure
    return [r for _, made in sorted(done, key=lambda d: d[0]) for r in made]


def _share(
    work: Callable[[Sequence[T]], list[R]], items: Sequence[T], turns: int, step: int
) -> list[tuple[int, list[R]]]:
    done: list[tuple[int, list[R]]] = []
    while number := os.read(turns, 4):
        first = int.from_bytes(number, "big")
        if made := work(items[first : first + step]):
            done.append((first, made))
    return done


def _child(work: Callable[[Sequence[T]], list[R]], items: Sequence[T], turns: int, step: int) -> tuple[int, int]:
    """A process that does its share and sends the outcome, or what went wrong, through a pipe."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    try:
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
