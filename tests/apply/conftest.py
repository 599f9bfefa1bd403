"""What the tests of apply share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.driver import Ran
from support.files import snapshot


@pytest.fixture
def untouched(tmp_path: Path) -> Callable[..., Ran]:
    """``untouched(ran, code, *phrases)`` after ``ran = ...``: the run refused, and nothing below tmp_path changed."""

    def check(run: Callable[[], Ran], code: int, *phrases: str) -> Ran:
        before = snapshot(tmp_path, times=True)
        ran = run().refused(code, *phrases)
        assert snapshot(tmp_path, times=True) == before
        return ran

    return check
