"""A machine without the archives and without an index skips what reads real releases, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvroles.series.lock import Lock
from kvroles.sources import attempts
from support.index_server import IndexServer
from support.lacking import lacking, releases_out_of_reach

ROWS = Lock.load().releases


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; an index that does not answer is asked once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(attempts, "_PAUSES_S", ())
    monkeypatch.setattr(attempts, "ATTEMPTS", 1)
    return tmp_path / "vllm-kv-roles"


def why() -> str | None:
    return releases_out_of_reach.__wrapped__()


def test_what_is_neither_in_the_cache_nor_on_an_index_is_counted(cache: Path) -> None:
    said = why()
    assert said is not None
    assert said.startswith(f"the files of {len(ROWS)} releases are not in the cache and cannot be fetched: ")


def test_a_release_without_an_archive_is_looked_for_too(cache: Path) -> None:
    archives = [row.archive.name for row in ROWS.values() if row.archive is not None]
    (cache / "archives").mkdir(parents=True)
    for name in archives:
        (cache / "archives" / name).touch()
    said = why()
    assert said is not None
    assert f"the files of {len(ROWS) - len(archives)} release" in said


def test_an_index_that_answers_is_enough(cache: Path, index: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
    index.serve("a.whl", b"")
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    assert why() is None


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_ci_lacks_nothing(monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no browser"):
        lacking("no browser")
