"""What a test costs is a marker: ``slow`` takes seconds to a minute (.ci/run runs it), ``sweep`` minutes to hours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(quick: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """``values`` for ``parametrize``: those among ``quick`` run by default, the others are ``slow``."""
    sample = list(quick)
    return [value if value in sample else _slow(value) for value in values]


def _slow(value: Any) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
