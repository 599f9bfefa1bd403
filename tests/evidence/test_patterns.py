"""Regular expressions are compiled late: a bad one is found here, and not by a user's file."""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import walk_packages

import kvroles.evidence
import kvroles.migrate
import pytest
from kvroles.evidence import patterns


def test_every_expression_that_is_compiled_late_can_be_compiled() -> None:
    late = [
        expression
        for package in (kvroles.evidence, kvroles.migrate)
        for module in walk_packages(package.__path__, f"{package.__name__}.")
        for value in vars(import_module(module.name)).values()
        for expression in _late(value)
    ]
    assert len(late) > 100
    for expression in late:
        re.compile(expression.pattern, expression.flags)


def _late(value: object) -> list[patterns._Late]:
    """The expressions that a value of a module is or holds."""
    if isinstance(value, patterns._Late):
        return [value]
    held = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [expression for item in held for expression in _late(item)]


def test_a_late_expression_answers_as_a_compiled_one() -> None:
    late = patterns.regex(r"(a)(b)?", re.IGNORECASE)
    assert [m.span() for m in late.finditer("xAB a")] == [(1, 3), (4, 5)]
    assert late.sub("-", "abA") == "--"
    assert (m := late.match("ab")) is not None
    assert m.groups() == ("a", "b")
    with pytest.raises(AttributeError):
        late.no_such_method  # type: ignore[attr-defined]  # noqa: B018
