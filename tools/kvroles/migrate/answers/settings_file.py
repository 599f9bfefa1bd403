"""Puts answers into a settings file: its comments and order stay, and it is replaced whole or not at all."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Table

from kvroles.errors import Exit, KvRolesError
from kvroles.migrate import rewrite
from kvroles.migrate.answers.answer import Answer, parse

_HEAD = "# Answers for kv-roles: each line is known by what it says and stands under (its key), not by its number.\n"
_TRIES = 3  # other programs that write the same file at the same time


class SettingsFile:
    """The file at ``path``, which need not exist yet, as what keeps answers."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._bytes: bytes | None = None
        self._document = tomlkit.TOMLDocument()

    def put(self, answer: Answer) -> Answer | None:
        """Keep an answer in place of the one that its line had, which is returned. Raises ``KvRolesError`` if it cannot be."""
        return self._change(answer.file, answer.key, answer)

    def take_out(self, file: str, key: str) -> None:
        """Forget the answer of a line. Raises ``KvRolesError`` if the file cannot be written."""
        self._change(file, key, None)

    def _change(self, file: str, key: str, answer: Answer | None) -> Answer | None:
        for last in (*[False] * (_TRIES - 1), True):
            before = self._read()
            previous = self._replaced(file, key, answer)
            after = self._document.as_string().encode("utf-8")
            try:
                self._proven(after, answer)
                if before is None:
                    rewrite.create(self.path, after)
                else:
                    rewrite.write(self.path, before, after)
            except rewrite.NotWrittenError as e:
                self._bytes = None
                if last or "changed" not in str(e):
                    raise self._refused(str(e)) from None
            else:
                self._bytes = after
                return previous
        raise AssertionError("the last try returns or raises")

    def _read(self) -> bytes | None:
        """The file's bytes, None if there is none; ``_document`` is what they say."""
        if os.path.islink(self.path):
            raise self._refused("it is a link, and what it leads to may be anybody's")
        try:
            with open(self.path, "rb") as f:
                data = f.read()
        except FileNotFoundError:
            self._document = tomlkit.parse(_HEAD)
            return None
        except OSError as e:
            raise self._refused(e.strerror or str(e)) from None
        if data != self._bytes:
            try:
                text = data.decode("utf-8")
                self._document = tomlkit.parse(text if text.endswith("\n") else f"{text}\n")
            except (TOMLKitError, UnicodeDecodeError, RecursionError) as e:
                raise self._refused(f"it is no TOML: {e}") from None
        return data

    def _replaced(self, file: str, key: str, answer: Answer | None) -> Answer | None:
        """Put ``answer`` into the document, or take out the one of that line; what was answered there before."""
        rows = self._document.get("answer")
        if rows is not None and not isinstance(rows, AoT):
            raise self._refused("answer is no list of tables")
        at = next((n for n, r in enumerate(rows or []) if (r.get("file"), r.get("key")) == (file, key)), None)
        previous = None if at is None or rows is None else _answer(rows[at])
        if answer is None:
            if at is not None and rows is not None:
                del rows[at]
                if not len(rows):
                    self._document.remove("answer")
        elif at is not None and rows is not None:
            _fill(rows[at], answer)  # in its place: what was written beside it stays
        else:
            table = tomlkit.table()
            _fill(table, answer)
            table.add(tomlkit.nl())
            if rows is None:
                rows = tomlkit.aot()
                rows.append(table)
                self._document.append("answer", rows)
            else:
                rows.append(table)
        return previous

    def _proven(self, after: bytes, answer: Answer | None) -> None:
        """What is about to be written is read once more, by another reader: it has to say what was answered."""
        try:
            rows = tomllib.loads(after.decode("utf-8")).get("answer", [])
        except tomllib.TOMLDecodeError as e:
            raise self._refused(f"it would be no TOML any more: {e}") from None
        if answer is not None and answer not in [_answer(row) for row in rows]:
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


def _answer(row: Mapping[str, object]) -> Answer:
    ((_, of_file),) = parse([dict(row)], "the settings").items()
    return next(iter(of_file.values()))
