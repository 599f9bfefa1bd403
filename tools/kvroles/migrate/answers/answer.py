"""One answer of a person about one place: a side, or both with the reason why it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kvroles.errors import UsageError
from kvroles.evidence.frames import Side
from kvroles.evidence.text import TOKEN
from kvroles.migrate.answers import identity
from kvroles.migrate.codes import CODES
from kvroles.migrate.model import Finding, Kept

SIDES = ("prefill", "decode", "both")
_KEYS = {"file", "line", "key", "side", "because"}


class Answer(NamedTuple):
    """What was answered: ``side`` is None for both, ``because`` says why; ``line`` is the line as a person knows it."""

    file: str
    key: str
    side: Side | None
    because: str = ""
    line: str = ""

    @property
    def word(self) -> str:
        return self.side.value if self.side is not None else "both"


def parse(tables: object, where: str) -> dict[str, dict[str, Answer]]:
    """The ``[[answer]]`` tables of a settings file by file and key. Raises ``UsageError`` for what is none."""
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise UsageError(f"{where}: answer is no list of tables", expected="[[answer]] with file, key and side")
    out: dict[str, dict[str, Answer]] = {}
    for number, table in enumerate(tables, 1):
        answer = _parse(table, f"{where}: [[answer]] number {number}")
        of_file = out.setdefault(answer.file, {})
        if (other := of_file.get(answer.key)) is not None and other[2:4] != answer[2:4]:
            raise UsageError(
                f"{where} answers one line twice",
                found=f"{other.word} and {answer.word} for {answer.file}: {answer.line}",
                fix="Delete one of the two [[answer]] tables",
            )
        of_file[answer.key] = answer
    return out


def _parse(table: Mapping[str, object], where: str) -> Answer:
    fix = "Delete the table and answer again with --review"
    if extra := sorted(set(table) - _KEYS):
        raise UsageError(
            f"{where} has a key that means nothing",
            expected=", ".join(sorted(_KEYS)),
            found=", ".join(extra),
            fix="Delete it",
        )
    for key in sorted(_KEYS):
        value = table.get(key, "")
        if not isinstance(value, str) or (not value and key in {"file", "key", "side"}):
            raise UsageError(f"{where}: {key} is no text", fix=fix)
    file, key, side, because, line = (str(table.get(k, "")) for k in ("file", "key", "side", "because", "line"))
    if "\0" in file:
        raise UsageError(f"{where}: file holds a zero byte, which no name of a file does", fix=fix)
    if side not in SIDES:
        raise UsageError(f"{where}: side is {side!r}", expected="prefill, decode or both", fix=fix)
    if side == "both" and not because.strip():
        raise UsageError(f"{where} says both and gives no reason", fix='Add a line: because = "..."')
    return Answer(file, key, None if side == "both" else Side(side), because, line)


def name_places(found: list[Finding], text: str) -> None:
    """Give each finding of a file with this ``text`` the key and the excerpt of its place; one of no place has that of its line,
    or of the file."""
    by_pos = {p.pos: p for p in identity.places(text)}
    for f in found:
        if (place := by_pos.get(f.pos)) is not None:
            f.key, f.excerpt = place.key, place.excerpt
        else:
            line = text[text.rfind("\n", 0, f.pos) + 1 :].split("\n", 1)[0].strip() if f.pos >= 0 else ""
            f.key = identity.of_file(" ".join(filter(None, (f.code, f.message, line))))


def name_unread(found: list[Finding], data: bytes) -> None:
    """The same for a file that was not read to its end: its findings are as many as it has places, or it is one finding."""
    places = [p for p in identity.places(identity.decoded(data)) if p.word == TOKEN]
    if len(places) == len(found):
        for f, place in zip(found, places, strict=True):
            f.key, f.excerpt = place.key, place.excerpt
    else:
        for f in found:
            f.key = identity.of_file(f"{f.code} {f.message}")


def keep(found: list[Finding], answers: Mapping[str, Answer], rule: str) -> None:
    """Mark the findings that an answer says to leave as they are."""
    for f in found:
        answer = answers.get(f.key)
        if answer is not None and answer.side is None and CODES[f.code].actionable and f.kept is None and not f.by_row:
            f.kept = Kept("answer", answer.because, rule)


def gone(answers: Mapping[str, Answer], text: str) -> list[Answer]:
    """Those of a file's answers that decide nothing any more: their line is not in ``text``, or is not what it was."""
    words = {p.key: p.word for p in identity.places(text)}
    return [
        a for a in answers.values() if a.key not in words or (a.side is None and words[a.key] != TOKEN)
    ]  # fmt: skip
