"""What the settings in the trees decided in a run: what they left out, silenced and answered, and which answers have no line.

Who can change a file can change the settings beside it. What these decided is therefore said aloud, row by row.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvroles.migrate.answers import answer, comment, identity, rows
from kvroles.migrate.answers.answer import Answer
from kvroles.migrate.files import hits, workers
from kvroles.said import counted

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult
    from kvroles.migrate.search import Coverage
    from kvroles.migrate.settings import Known, Settings

_SHOWN = 10  # files of settings, and answers without a line, that are named
_SECONDS = 10.0  # of processor time for a file whose answers have no finding


def lines(paths: list[str], results: list[FileResult], coverage: Coverage, known: Known) -> list[str]:
    """What to say of the settings beside the report, each as one line; nothing where they decided nothing."""
    out = []
    if not known.trust and coverage.settings:
        out.append(
            f"--no-config: {counted(len(coverage.settings), 'settings file')} not read, such as {min(coverage.settings)}"
        )
    rules = _rules(results, coverage)
    for file in sorted(rules)[:_SHOWN]:
        out.append(f"{file} decided: " + "; ".join(f"{row}: {what}" for row, what in sorted(rules[file].items())))
    if len(rules) > _SHOWN:
        out.append(f"... and {len(rules) - _SHOWN} more settings files")
    out += rows.idle(paths, coverage, known)[:_SHOWN]
    lost = list(gone(paths, results, coverage, known))
    for settings, a, why in lost[:_SHOWN]:
        out.append(
            f"{settings.file}: the answer {a.word} for {a.file} decides nothing, {why}: {a.line or a.key}. Delete it, "
            "or answer anew with --review."
        )
    if len(lost) > _SHOWN:
        out.append(f"... and {len(lost) - _SHOWN} more answers that decide nothing")
    stale = sorted(_stale(results, coverage))
    out += [
        f"{path}:{line}: the comment to keep both stands at no kv_both and decides nothing. Delete it."
        for path, line in stale[:_SHOWN]
    ]
    if len(stale) > _SHOWN:
        out.append(f"... and {len(stale) - _SHOWN} more such comments")
    return out


def _stale(results: list[FileResult], coverage: Coverage) -> Iterator[tuple[str, int]]:
    """The comments to keep both, by file and line, that stand at no ``kv_both`` any more."""
    for r in results:
        yield from ((r.path, line) for line in r.stale)
    for path in coverage.answered:
        yield from (
            (path, line) for line in comment.without_line(identity.decoded(hits.look(path).data).split("\n"), [])
        )


def _rules(results: list[FileResult], coverage: Coverage) -> dict[str, dict[str, str]]:
    """What each row of each settings file did: file, row, how many."""
    count: Counter[tuple[str, str]] = Counter()
    for rule, number in coverage.rules.items():
        count[rule, "file not read"] += number
    for r in results:
        for f in r.findings:
            if f.kept is not None and f.kept.rule != "comment" and f.kept.how != "baseline":
                count[f.kept.rule, "line kept" if f.kept.how == "answer" else "finding silenced"] += 1
            for c in f.cues[:1]:
                if c.kind == "answer" and not c.words.startswith("--side"):
                    count[c.words, f"line {c.side.value}"] += 1
    out: dict[str, dict[str, str]] = {}
    for (rule, what), number in sorted(count.items()):
        file, _, row = rule.partition(": ")
        thing, _, verb = what.partition(" ")
        said = f"{counted(number, thing)} {verb}"
        of_file = out.setdefault(file, {})
        of_file[row] = f"{of_file[row]}, {said}" if row in of_file else said
    return out


def gone(
    paths: list[str], results: list[FileResult], coverage: Coverage, known: Known
) -> Iterator[tuple[Settings, Answer, str]]:
    """The answers, of files that the run covers, that decide nothing any more, with the reason."""
    roots = [os.path.realpath(p) for p in paths if p != "-"]
    keys = {os.path.realpath(r.path): {f.key for f in r.findings} for r in results}
    left: list[tuple[Settings, str, list[Answer]]] = []
    for settings in known.all([*(os.path.join(p, "x") if os.path.isdir(p) else p for p in paths), *coverage.settings]):
        for file, answers in settings.answers.items():
            path = _path(file, settings.bases)
            if not any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots):
                continue
            used = keys.get(path, set())
            if unused := [a for a in answers.values() if a.key not in used]:
                left.append((settings, path, unused))
    # Each file in a worker process: of one that takes too long nothing is said.
    made = workers.each(_of_file, left, budget=lambda _: _SECONDS, load=lambda: None) if left else []
    for (settings, path, _), lost in zip(left, made, strict=True):
        for a in () if isinstance(lost, workers.Lost) else lost:
            yield settings, a, "its line is gone" if os.path.lexists(path) else "the file is gone"


def _of_file(item: tuple[Settings, str, list[Answer]]) -> list[Answer]:
    _, path, answers = item
    return answer.gone({a.key: a for a in answers}, identity.decoded(hits.look(path).data))


def _path(file: str, bases: tuple[str, ...]) -> str:
    """The real path of an answer's file: below the first base that has it."""
    places = [os.path.realpath(os.path.join(base, file)) for base in bases]
    return next((p for p in places if os.path.lexists(p)), places[0])
