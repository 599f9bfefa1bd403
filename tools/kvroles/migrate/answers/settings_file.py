"""Puts answers into a settings file: its comments and order stay, and it is replaced whole or not at all."""

from __future__ import annotations

import os
import tomllib
from typing import Any, NamedTuple

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from kvroles.errors import Exit, KvRolesError
from kvroles.migrate.answers.answer import Answer, parse
from kvroles.migrate.files import rewrite
from kvroles.tree import handles

_HEAD = "# Answers for kv-roles: each line is known by what it says and stands under (its key), not by its number.\n"
_TRIES = 3  # other programs that write the same file at the same time


class _Step(NamedTuple):
    """A change to the file: the answer, the one that its line had, and the bytes before and after it."""

    answer: Answer
    previous: Answer | None
    before: bytes | None
    after: bytes


class SettingsFile:
    """The file at ``path``, which need not exist yet, as what keeps answers."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._steps: list[_Step] = []

    def put(self, answer: Answer) -> Answer | None:
        """Keep an answer in place of the one that its line had, which is returned. Raises ``KvRolesError`` if it cannot be."""
        for last in (*[False] * (_TRIES - 1), True):
            before = self._read()
            previous, after = self._with(before, answer)
            self._proven(after, answer)
            if self._replace(before, after.encode("utf-8"), last=last):
                self._steps.append(_Step(answer, previous, before, after.encode("utf-8")))
                return previous
        raise AssertionError("the last try returns or raises")

    def take_back(self) -> None:
        """Undo the last change that was not undone; what others changed since stays. Raises ``KvRolesError`` if it cannot be."""
        step = self._steps.pop()
        for last in (*[False] * (_TRIES - 1), True):
            now = self._read()
            if now == step.after and step.before is None:
                os.unlink(self.path)
                return
            undone = now if now is None else step.before if now == step.after else self._without(now, step)
            if now is None or undone is None or undone == now or self._replace(now, undone, last=last):
                return

    def _without(self, now: bytes, step: _Step) -> bytes:
        """The file's bytes without the answer of a step, or with the one it had before. Raises ``KvRolesError``."""
        try:
            text = now.decode("utf-8")
            document = tomllib.loads(text)
            known = parse(document.get("answer", []), self.path).get(step.answer.file, {}).get(step.answer.key)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, KvRolesError) as e:
            raise self._stays(str(e)) from None
        if known in (None, step.previous):
            return now
        if known != step.answer:
            raise self._stays("another program gave another answer there meanwhile")
        if step.previous is not None:
            return self._with(now, step.previous)[1].encode("utf-8")
        end = "\r\n" if "\r\n" in text else "\n"
        row = _row(step.answer, end)
        before, found, behind = text.partition(row)
        if before.endswith(end * 2) and (not behind or behind.startswith(end)):
            before = before.removesuffix(end)  # the blank line that came with it
        without = before + behind
        if not found or not self._lacks(without, document, step.answer):
            raise self._stays("its row was changed by another program meanwhile")
        return without.encode("utf-8")

    def _lacks(self, text: str, document: dict[str, Any], answer: Answer) -> bool:
        """Whether a text says what ``document`` does, but for the row of an answer."""
        try:
            now = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            return False
        rows = [r for r in document["answer"] if (r.get("file"), r.get("key")) != (answer.file, answer.key)]
        return now.get("answer", []) == rows and now | {"answer": []} == document | {"answer": []}

    def _read(self) -> bytes | None:
        """The file's bytes; None if there is none."""
        if os.path.islink(self.path):
            raise self._refused("it is a link, and what it leads to may be anybody's")
        try:
            with handles.regular(self.path) as f:
                return f.read()
        except FileNotFoundError:
            return None
        except OSError as e:
            raise self._refused(e.strerror or str(e)) from None

    def _with(self, data: bytes | None, answer: Answer) -> tuple[Answer | None, str]:
        """The answer that a line has in the file's bytes, and its text with the new one in that place, else at the end."""
        try:
            text = data.decode("utf-8") if data is not None else _HEAD
            rows = tomllib.loads(text).get("answer", [])
            known = parse(rows, self.path)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, KvRolesError) as e:
            raise self._refused(str(e)) from None
        previous = known.get(answer.file, {}).get(answer.key)
        if previous is None:
            end = "\r\n" if "\r\n" in text else "\n"
            gap = "" if not text or text.endswith(end * 2) else end if text.endswith("\n") else end * 2
            return None, text + gap + _row(answer, end)
        try:
            whole = tomlkit.parse(text)
        except (TOMLKitError, RecursionError) as e:
            raise self._refused(str(e)) from None
        for row in whole["answer"]:
            if isinstance(row, Table) and (row.get("file"), row.get("key")) == (answer.file, answer.key):
                _fill(row, answer)  # in its place: what was written beside it stays
        return previous, whole.as_string()

    def _replace(self, before: bytes | None, after: bytes, *, last: bool) -> bool:
        """Write the file; False if it changed meanwhile and this is not the ``last`` try."""
        try:
            if before is None:
                rewrite.create(self.path, after)
            else:
                rewrite.write(self.path, before, after)
        except rewrite.NotWrittenError as e:
            if isinstance(e, rewrite.ChangedError) and not last:
                return False
            raise self._refused(str(e)) from None
        return True

    def _proven(self, text: str, answer: Answer) -> None:
        """What is about to be written is read once more: it has to say what was answered."""
        try:
            rows = tomllib.loads(text).get("answer", [])
        except tomllib.TOMLDecodeError as e:
            raise self._refused(f"it would be no TOML any more: {e}") from None
        if answer not in parse(rows, self.path).get(answer.file, {}).values():
            raise self._refused("it would not say what was answered")

    def _stays(self, why: str) -> KvRolesError:
        return KvRolesError(
            Exit.DOES_NOT_APPLY,
            f"The answer that was taken back stays in {self.path}: {why}",
            found="nothing written to the files",
            fix="Take its row out by hand, and run again",
        )

    def _refused(self, why: str) -> KvRolesError:
        return KvRolesError(
            Exit.DOES_NOT_APPLY,
            f"The answer cannot be kept in {self.path}: {why}",
            fix="The answers before it are kept. Mend that and run again, or name another file with --config",
        )


def _row(answer: Answer, end: str) -> str:
    """An answer as a row of its own, in lines that end with ``end``."""
    table = tomlkit.table()
    _fill(table, answer)
    tables = tomlkit.aot()
    tables.append(table)
    document = tomlkit.document()
    document.append("answer", tables)
    return document.as_string().strip().replace("\n", end) + end


def _fill(table: Table, answer: Answer) -> None:
    said = {"file": answer.file, "key": answer.key, "side": answer.word, "because": answer.because, "line": answer.line}
    for name, value in said.items():
        if value:
            table[name] = value
        elif name in table:
            del table[name]
