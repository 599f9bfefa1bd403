"""What an index page says, before anything is fetched: whom its credentials are for."""

from __future__ import annotations

import json

import pytest
from kvroles.sources import http, index


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://index.example/files/a.tar.gz", "https://me:secret@index.example/files/a.tar.gz"),
        ("../../files/a.tar.gz", "https://me:secret@index.example/files/a.tar.gz"),
        ("https://other.example/files/a.tar.gz", "https://other.example/files/a.tar.gz"),
        ("https://index.example.other/a.tar.gz", "https://index.example.other/a.tar.gz"),
        ("http://index.example/files/a.tar.gz", "http://index.example/files/a.tar.gz"),
        ("https://you:own@index.example/a.tar.gz", "https://you:own@index.example/a.tar.gz"),
    ],
    ids=["same host", "relative", "another host", "a longer host", "no encryption", "its own"],
)
def test_an_index_s_credentials_are_for_its_own_files(monkeypatch: pytest.MonkeyPatch, url: str, asked: str) -> None:
    page = json.dumps({"files": [{"filename": "a.tar.gz", "url": url}]}).encode()
    answer = (page, "application/vnd.pypi.simple.v1+json", "https://index.example/simple/vllm/")
    monkeypatch.setattr(http, "get_page", lambda *_: answer)
    assert index.locate("a.tar.gz", "vllm", "https://me:secret@index.example/simple") == asked
