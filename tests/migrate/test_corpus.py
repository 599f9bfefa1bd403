"""The labelled corpus: every hard case says what a careful reader would, and only what is certain is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvroles.migrate import cli, run
from kvroles.migrate.model import Finding
from kvroles.migrate.settings import Options, Settings
from support.cost import slow_but

CORPUS = Path(__file__).parents[1] / "corpus"
LABEL = {
    "KVR101": "prefill", "KVR102": "decode", "KVR110": "unknown", "KVR111": "conflict", "KVR112": "weak", "KVR113": "shared",
    "KVR114": "aggregated", "KVR115": "encode", "KVR116": "expected", "KVR127": "half", "KVR117": "hand", "KVR120": "wrapper", "KVR121": "other",
    "KVR118": "unread", "KVR126": "vocabulary", "KVR123": "expectation", "KVR124": "mention", "KVR125": "record", "KVR131": "unsafe",
    "KVR132": "unsafe",
}  # fmt: skip
WRITTEN = {"prefill", "decode"}
BOM = b"\xef\xbb\xbf"


def _cases() -> list[tuple[str, list[str]]]:
    lines = (CORPUS / "labels.tsv").read_text(encoding="utf-8").splitlines()
    rows = [ln.split("\t") for ln in lines if ln and not ln.startswith("#")]
    return [(path, labels.split()) for path, labels in rows]


def _read(path: str, data: bytes) -> run.FileResult:
    result = run.of_bytes(str(CORPUS / path), path, data, Options(Settings()))
    assert result is not None
    return result


def _by_place(findings: list[Finding]) -> list[Finding]:
    """The first finding of each place: the verdict, not the notes about the target release."""
    seen: dict[int, Finding] = {}
    for f in findings:
        seen.setdefault(f.pos, f)
    return [seen[p] for p in sorted(seen)]


CASES = _cases()


def _holds(path: str, labels: list[str], data: bytes) -> None:
    """Assert that ``data`` of the corpus file ``path`` is read as labelled, that only roles change, and that a second run changes nothing."""
    result = _read(path, data)
    found = _by_place(result.findings)
    assert [LABEL[f.code] for f in found] == labels
    for f in found:
        if LABEL[f.code] in WRITTEN:
            assert f.cues, "a role is only written with evidence beside it"
    if not any(f.role for f in result.findings):
        assert result.after is None
        return
    assert result.after is not None
    pieces = data.split(b"kv_both")
    assert len(pieces) - 1 == len(labels), "every kv_both of a corpus file has a label"
    expected = pieces[0]
    for piece, finding in zip(pieces[1:], found, strict=True):
        expected += (finding.role or "kv_both").encode() + piece
    assert result.after == expected
    again = run.of_bytes(str(CORPUS / path), path, result.after, Options(Settings()))
    assert again is None or again.after is None


@pytest.mark.parametrize(("path", "labels"), CASES, ids=[c[0] for c in CASES])
def test_says_what_a_careful_reader_would_and_changes_only_the_roles_bytes(path: str, labels: list[str]) -> None:
    _holds(path, labels, (CORPUS / path).read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize(("path", "labels"), CASES, ids=[c[0] for c in CASES])
def test_line_ends_and_a_byte_order_mark_change_no_verdict_and_are_kept(path: str, labels: list[str]) -> None:
    data = (CORPUS / path).read_bytes()
    for text in (data.replace(b"\n", b"\r\n"), BOM + data, BOM + data.replace(b"\n", b"\r\n")):
        _holds(path, labels, text)


def test_every_corpus_file_has_a_label() -> None:
    files = {str(p.relative_to(CORPUS)) for p in CORPUS.rglob("*") if p.is_file()} - {"labels.tsv"}
    assert files == {path for path, _ in CASES}


HARMLESS = {"wrapper", "other", "mention", "vocabulary", "record", "expectation"}


# One file of each kind of verdicts; the others are slow.
EACH_KIND = list({frozenset(labels): (path, labels) for path, labels in reversed(CASES)}.values())


@pytest.mark.parametrize(("path", "labels"), slow_but(EACH_KIND, CASES), ids=[c[0] for c in CASES])
def test_check_passes_only_where_every_kv_both_is_harmless(
    path: str, labels: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(CORPUS)
    status = cli.main(["--check", path])
    said = capsys.readouterr().out
    if "record" in labels:
        return  # named by itself a record is read like any file
    assert status == bool(set(labels) - HARMLESS)
    assert ("no NIXL role says kv_both" in said) == (status == 0)
