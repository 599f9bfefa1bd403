"""Processes that do one item after another and may die of one: it is lost, the rest is done.

The process that reports never reads a file's text itself. A parser that crashes, hangs or takes all memory ends the process
that runs it, which costs the item at hand; another process goes on with those that follow.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Generic, NamedTuple, NoReturn, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_MAX_PROCESSES = 4
_EACH = 40  # items: for fewer another process takes longer to become ready than it saves
_AHEAD = 2  # items that a process is given at a time: it need not wait for the next
_SIZE = 8  # bytes that say how long a result is
_SLOWEST = 30  # times its budget on the wall clock: a machine may be that busy, a read that hangs takes for ever
_MEMORY = 4 << 30  # bytes of addresses: a text of the largest size that is read takes a fraction of it
_PIECE = 1 << 16


class Lost(NamedTuple):
    """An item whose process ended before it was done, and why in words."""

    why: str


class _Process(Generic[T]):
    """A running process: where it is told what to do and where it answers, what of the items is its ``own`` to do, and what it
    was told to do, in order."""

    def __init__(self, pid: int, told: int, answers: int, own: deque[int]) -> None:
        self.pid = pid
        self.told = told
        self.answers = answers
        self.own = own
        self.given: deque[int] = deque()
        self.since = time.monotonic()
        self.held = bytearray()
        self.hung = False


def each(
    work: Callable[[T], R],
    items: Sequence[T],
    *,
    budget: Callable[[T], float],
    load: Callable[[], object],
    told: Callable[[int], object] | None = None,
    count: int | None = None,
) -> list[R | Lost]:
    """What ``work`` makes of each of ``items`` in a process of its own, in order. What it raises is raised here.

    ``budget`` is the processor time in seconds that an item may take. ``load`` runs once, here and before any process starts:
    what it makes all of them have. ``told`` hears how many are done. ``count``: so many processes, where the items are not
    files.
    """
    done: dict[int, R | Lost] = {}
    running: list[_Process[T]] = []
    count = count or processes(len(items))
    todo = _stretches(len(items), count)
    load()
    gc.freeze()  # what is loaded stays: no process need look whether it can be freed
    for name in ("pickle", "resource"):  # each process takes them: loaded before they start, they are loaded once
        import_module(name)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a process that ends must not print again what this one has not printed yet
            stream.flush()
    try:
        while any(todo) or running:
            while any(todo) and len(running) < count:
                own = next(part for part in todo if all(part is not p.own for p in running))
                running.append(_started(work, items, budget, running, own))
            for p in running:
                _give(p, todo)
            for p in _ready(running, items, budget):
                if _heard(p, done):
                    continue
                running.remove(p)
                why = _ended(p)
                if p.given:
                    done[p.given.popleft()] = Lost(why)
                p.own.extendleft(reversed(p.given))
            if told is not None:
                told(len(done))
    finally:
        for p in running:
            os.kill(p.pid, signal.SIGKILL)
            _ended(p)
    return [done[n] for n in range(len(items))]


def processes(items: int) -> int:
    """How many processes so many items are shared among."""
    return min(os.cpu_count() or 1, _MAX_PROCESSES, items // _EACH + 1)


def _stretches(items: int, count: int) -> list[deque[int]]:
    """The numbers of the items in as many stretches as there are processes: files that lie together are read with the same
    files beside them, which one process then reads once."""
    return [deque(range(items * n // count, items * (n + 1) // count)) for n in range(count)]


def _give(p: _Process[T], todo: list[deque[int]]) -> None:
    """Tell a process what to do next: of its own stretch, else the last of what is left of the longest."""
    while len(p.given) < _AHEAD and p.told >= 0:
        rest = p.own or max(todo, key=len)
        if not rest:
            if not p.given:
                os.close(p.told)  # it ends when it finds nothing more to read
                p.told = -1
            return
        if not p.given:
            p.since = time.monotonic()
        number = rest.popleft() if rest is p.own else rest.pop()
        p.given.append(number)
        try:
            os.write(p.told, number.to_bytes(4, "big"))
        except BrokenPipeError:  # it has just ended: that is seen where it answers
            return


def _ready(running: list[_Process[T]], items: Sequence[T], budget: Callable[[T], float]) -> list[_Process[T]]:
    """The processes that have something to say or have ended; one that does not answer in time is ended."""
    poll = select.poll()
    by_fd = {p.answers: p for p in running}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    found = [by_fd[fd] for fd, _ in poll.poll(1000)]
    for p in running:
        if p.given and p not in found and time.monotonic() - p.since > budget(items[p.given[0]]) * _SLOWEST:
            p.hung = True
            os.kill(p.pid, signal.SIGKILL)
    return found


def _heard(p: _Process[T], done: dict[int, R | Lost]) -> bool:
    """Take what a process says; False once it has ended."""
    import pickle  # lazy: a run that finds nothing has nothing to send

    piece = os.read(p.answers, _PIECE)
    p.held += piece
    while len(p.held) >= _SIZE:
        size = int.from_bytes(p.held[:_SIZE], "big")
        if len(p.held) < _SIZE + size:
            break
        result = pickle.loads(bytes(p.held[_SIZE : _SIZE + size]))
        del p.held[: _SIZE + size]
        p.since = time.monotonic()
        if isinstance(result, BaseException):
            raise result
        done[p.given.popleft()] = result
    return bool(piece)


def _ended(p: _Process[T]) -> str:
    """Close what leads to a process and say how it ended."""
    os.close(p.answers)
    if p.told >= 0:
        os.close(p.told)
    _, status = os.waitpid(p.pid, 0)
    if p.hung:
        return "reading it did not come to an end"
    if not os.WIFSIGNALED(status):
        return f"the process that read it ended with {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    if number == signal.SIGPROF:
        return "reading it takes too long"
    name = next((s.name for s in signal.Signals if s == number), f"signal {number}")
    return f"the process that read it was ended by {name}"


def _started(
    work: Callable[[T], R],
    items: Sequence[T],
    budget: Callable[[T], float],
    others: Iterable[_Process[T]],
    own: deque[int],
) -> _Process[T]:
    told, tell = os.pipe()
    answers, answer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(told)
        os.close(answer)
        return _Process(pid, tell, answers, own)
    try:
        for fd in (tell, answers, *(fd for p in others for fd in (p.told, p.answers) if fd >= 0)):
            os.close(fd)
        _serve(work, items, budget, told, answer)
    finally:
        os._exit(70)


def _serve(
    work: Callable[[T], R],
    items: Sequence[T],
    budget: Callable[[T], float],
    told: int,
    answer: int,
) -> NoReturn:
    import pickle  # lazy: see _heard
    import resource  # lazy: only here

    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])  # blocked by a parent, it would end no file
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY if most < 0 else min(_MEMORY, most), most))
    while number := os.read(told, 4):
        item = items[int.from_bytes(number, "big")]
        signal.setitimer(signal.ITIMER_PROF, budget(item))
        made: object
        try:
            made = work(item)
        except Exception as e:
            made = e
        signal.setitimer(signal.ITIMER_PROF, 0)
        blob = pickle.dumps(made, pickle.HIGHEST_PROTOCOL)
        rest = memoryview(len(blob).to_bytes(_SIZE, "big") + blob)
        while rest:
            rest = rest[os.write(answer, rest) :]
    os._exit(0)
