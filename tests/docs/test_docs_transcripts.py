"""Every transcript in the documentation is run on the real archives, and prints what the page shows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import docs, transcripts
from support.cost import slow_but

pytestmark = pytest.mark.upstream

PAGES = sorted({b.path for b in docs.all_blocks("console")})


@pytest.mark.parametrize(
    "page", slow_but([docs.ROOT / "README.md"], PAGES), ids=lambda p: str(p.relative_to(docs.ROOT))
)
def test_transcripts_are_true(page: Path, tmp_path: Path, archive: Callable[[str], Path]) -> None:
    checkout = docs.checkout(tmp_path / "checkout")
    blocks = [b for b in docs.blocks(page) if b.info == "console"]
    for release in sorted(set(re.findall(r"\b\d+\.\d+\.\d+\b", " ".join(b.text for b in blocks)))):
        file = archive(release)  # fetched once, before the page's first command asks for it
        if any("--cache-dir build/cache" in b.text for b in blocks) and release == "0.22.1":
            cache = checkout / "build" / "cache" / "archives"
            cache.mkdir(parents=True)
            shutil.copyfile(file, cache / file.name)
    for block in blocks:
        for command, expected, printed in transcripts.run(block, checkout):
            assert transcripts.matches(expected, printed), f"{block}: $ {command}\n{printed}"


def test_a_transcript_that_is_not_true_is_noticed() -> None:
    assert transcripts.matches("a\n...\nd  e\n", "a\nb\nc\nd\ne\n")
    assert not transcripts.matches("a\n...\nd\n", "a\nb\n")
    assert not transcripts.matches("applied, 21 files changed\n", "applied, 22 files changed\n")
    assert transcripts.matches("", "")
    assert not transcripts.matches("", "something")


def test_the_guide_quotes_the_warning_of_the_newest_release(archive: Callable[[str], Path]) -> None:
    import ast

    from kvroles.contract import terms
    from kvroles.series.lock import Lock
    from kvroles.sources.archive import inflate, members

    release, row = next(reversed(Lock.load().releases.items()))
    assert row.archive is not None
    blob = archive(release).read_bytes()
    source = next(
        m.data
        for m in members(inflate(blob, row.archive.name), row.archive.name, row.archive.top)
        if m.path in terms.CONNECTORS
    )
    texts = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(terms.QUERY, node.value)
    ]
    assert len(texts) == 1
    assert texts[0].strip() in docs.GUIDE.read_text()
