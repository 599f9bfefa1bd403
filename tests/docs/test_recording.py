"""The review that a page shows is one that took place."""

from __future__ import annotations

import pytest
from kvworkshop.pages import recording


@pytest.mark.slow
def test_the_recording_of_the_review_is_what_the_tool_shows_today() -> None:
    kept = (recording.ROOT / recording.KEPT).read_text()
    assert recording.recorded() == kept, "run: python -m kvworkshop.pages.recording, in tools/"
    assert max(map(len, kept.partition("$ cat")[0].splitlines())) <= 100
