"""Puts answers into a settings file: its comments and order stay, and it is replaced whole or not at all."""

from __future__ import annotations

import os
import tomllib

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from kvroles.errors import Exit, KvRolesError
from kvroles.migrate import rewrite
from kvroles.migrate.answers.answer import Answer, parse

_HEAD = "# Answers for kv-roles: each line is known by what it says and stands under (its key), not by its number.\n"
_TRIES = 3  # other programs that write the same file at the same time


class SettingsFile:
    """The file at ``path``, which need not exist yet, as what keeps answers."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._steps: list[tuple[bytes | None, bytes]] = []  # the bytes before and after each change

    def put(self, answer: Answer) -> Answer | None:
        """Keep an answer in place of the one that its line had, which is returned. Raises ``KvRolesError`` if it cannot be."""
        for last in (*[False] * (_TRIES - 1), True):
            before = self._read()
            previous, after = self._with(before, answer)
            self._proven(after, answer)
            if self._replace(before, after.encode("utf-8"), last=last):
                self._steps.append((before, after.encode("utf-8")))
                return previous
        raise AssertionError("the last try returns or raises")

    def take_back(self) -> None:
        """Undo the last change that was not undone. Raises ``KvRolesError`` if the file was changed by others since."""
        before, after = self._steps.pop()
        if before is not None:
            self._replace(after, before, last=True)
        elif self._read() == after:
            os.unlink(self.path)

    def _read(self) -> bytes | None:
        """The file's bytes; None if there is none."""
        if os.path.islink(self.path):
            raise self._refused("it is a link, and what it leads to may be anybody's")
        try:
            with open(self.path, "rb") as f:
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
            document = tomlkit.document()
            table = tomlkit.table()
            _fill(table, answer)
            tables = tomlkit.aot()
            tables.append(table)
            document.append("answer", tables)
            end = "\r\n" if "\r\n" in text else "\n"
            gap = "" if not text or text.endswith(end * 2) else end if text.endswith("\n") else end * 2
            return None, text + gap + document.as_string().strip().replace("\n", end) + end
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

    def _refused(self, why: str) -> KvRolesError:
        return KvRolesError(
            Exit.DOES_NOT_APPLY,
            f"The answer cannot be kept in {self.path}: {why}",
            fix="The answers before it are kept. Mend that and run again, or name another file with --config",
        )


def _fill(table: Table, answer: Answer) -> None:
    said = {"file": answer.file, "key": answer.key, "side": answer.word, "because": answer.because, "line": answer.line}
    for name, value in said.items():
        if value:
            table[name] = value
        elif name in table:
            del table[name]
