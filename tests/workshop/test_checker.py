"""The hash of the checker's code: what changes it, and what must not."""

from __future__ import annotations

import hashlib

import pytest
from kvroles.contract import terms
from kvroles.series.lock import Checker
from kvworkshop import checker

SOURCE = '''"""A module."""


def roles(path: str) -> str:
    """What it returns."""
    first = f"{path!r:>{4}}: {'a' + f'{path}'}"
    return first  # why
'''


def digest(source: str) -> str:
    return hashlib.sha256("\n".join(checker.tokens(source)).encode()).hexdigest()


SAME = [
    ('"""A module."""', '"""Another sentence."""'),
    ('    """What it returns."""\n', ""),
    ("  # why", "  # because"),
    ("\n\n\ndef", "\n# a comment on its own line\n\ndef"),
    ("(path: str)", "(\n    path: str\n)"),
]
OTHER = [
    ("return first", "return path"),
    ("{4}", "{5}"),
    ("'a' +", "'a'  +"),
    ("    return first", "    if path:\n        return first"),
]


@pytest.mark.parametrize(("old", "new"), SAME)
def test_comments_docstrings_and_line_breaks_leave_the_hash_as_it_is(old: str, new: str) -> None:
    assert old in SOURCE
    assert digest(SOURCE.replace(old, new)) == digest(SOURCE)


@pytest.mark.parametrize(("old", "new"), OTHER)
def test_code_and_strings_change_the_hash(old: str, new: str) -> None:
    assert old in SOURCE
    assert digest(SOURCE.replace(old, new)) != digest(SOURCE)


def test_a_formatted_string_is_one_token_on_every_python() -> None:
    assert "f\"{path!r:>{4}}: {'a' + f'{path}'}\"" in list(checker.tokens(SOURCE))


def test_a_new_hash_is_kept_only_with_a_new_number() -> None:
    known = Checker(terms.CHECKER, "0" * 64)
    assert checker.current(known) is known
    assert checker.current(Checker(terms.CHECKER - 1, "0" * 64)) == Checker(terms.CHECKER, checker.digest())
