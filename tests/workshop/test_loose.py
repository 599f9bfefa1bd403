"""A port tries a variant's hunk with less context than it has."""

from __future__ import annotations

from kvroles.series.patchfile import FilePatch, Hunk
from kvworkshop.port.loose import loosely


def test_a_hunk_finds_its_place_with_less_context_but_never_one_of_two() -> None:
    old, new = ((b"one\n", middle, b"three\n") for middle in (b"two\n", b"TWO\n"))
    patch = FilePatch("a", (Hunk(1, 1, old, new, False),))
    assert loosely(b"another\ntwo\nthree\n", patch) == b"another\nTWO\nthree\n"
    assert loosely(b"x\ntwo\ny\ntwo\n", patch) is None
    assert loosely(b"one\n2\nthree\n", patch) is None
