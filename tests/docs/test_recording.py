"""The review and the report that pages show are ones that took place."""

from __future__ import annotations

import pytest
from kvworkshop.pages import picture, recording


@pytest.mark.slow
def test_the_recording_of_the_review_is_what_the_tool_shows_today() -> None:
    kept = (recording.ROOT / recording.KEPT).read_text()
    assert recording.recorded() == kept, "run: python -m kvworkshop.pages.recording, in tools/"
    assert max(map(len, kept.partition("$ cat")[0].splitlines())) <= 100


@pytest.mark.slow
def test_the_picture_of_the_report_shows_the_page_that_the_tool_writes_today() -> None:
    kept = (picture.ROOT / picture.KEPT).read_bytes()
    assert picture.shows(kept, picture.page()), "run: python -m kvworkshop.pages.picture, in tools/"
    assert not picture.shows(kept, picture.page() + b" ")
    assert len(kept) < 150_000  # of the 300,000 bytes that a page of the site may take
