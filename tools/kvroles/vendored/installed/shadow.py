"""Another vLLM, or another file of it, that Python would import in place of the one that is proven: a command for each cause."""

from __future__ import annotations

from pathlib import Path

from kvroles.said import shell
from kvroles.vendored import again
from kvroles.vendored.installed.search import USERS, WORKING, Place, Search, same

_SAFE_PATH = (3, 11)  # the first Python that knows PYTHONSAFEPATH


def way_out(search: Search, by: Path | None, verb: str) -> str:
    """The fix line where Python imports ``by`` (None: a module that has no file). It takes away what puts ``by`` first, or
    runs ``verb`` as vLLM has to be run to do without."""
    words = search.run.words
    place = _of(search, by)
    if place is not None and place.why == WORKING:
        if search.interpreter.version >= _SAFE_PATH:
            return f"Start vLLM with PYTHONSAFEPATH=1, or in another folder: `PYTHONSAFEPATH=1 {again.command(verb, *words)}`"
        return f"Start vLLM in another folder: `{again.command(verb, *_without(words, '--workdir'), '--workdir', '/')}`"
    if place is not None and place.why == USERS:
        return f"Start vLLM without the user's packages: `PYTHONNOUSERSITE=1 {again.command(verb, *words)}`"
    if place is not None and place.why == "PYTHONPATH":
        given = _without(words, "--env", "PYTHONPATH=")
        return f"Start vLLM without PYTHONPATH: `env -u PYTHONPATH {again.command(verb, *given)}`"
    if place is not None and place.why.endswith(".pth"):
        return f"Take away what puts it on the path: `{shell('rm', '--', place.why)}`"
    if by is not None and place is not None:  # beside the command vllm, or in a folder of the interpreter's own
        gone = by.parent if by.parent.name == "vllm" else by
        return f"Take it away: `{shell('rm', '-r', '--', str(gone))}`"
    unvouched = [str(s.path) for s in search.startup if s.owner is None]
    if unvouched:
        return f"Take away the start-up code that no installer vouches for: `{shell('rm', '--', *unvouched)}`"
    alone = again.command(verb, *words, "--isolated")
    return (
        "No command here can say what puts it first: an entry point, or start-up code that an installer vouches for. "
        f"Without the environment, which proves only that: `{alone}`"
    )


def _of(search: Search, by: Path | None) -> Place | None:
    """The place that holds ``by``: the folder of its vllm/ or vllm.py, or the archive."""
    if by is None:
        return None
    tops = [p.parent for p in (by, *by.parents) if p.name.partition(".")[0] == "vllm"]
    return next(
        (p for p in search.places if p.path.is_relative_to(by) or any(same(p.path, t) or p.path == t for t in tops)),
        None,
    )


def _without(words: tuple[str, ...], option: str, start: str = "") -> tuple[str, ...]:
    """``words`` without ``option`` and its value, where the value begins with ``start``."""
    out: list[str] = []
    pairs = iter(words)
    for word in pairs:
        if word == option:
            value = next(pairs, "")
            if not value.startswith(start):
                out += [word, value]
        else:
            out.append(word)
    return tuple(out)
