"""The tables of words: each labelled text is what its label says, and no row of a table is there that no text needs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvroles.evidence import argv, names, pickers, prose
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Side
from kvroles.evidence.text import Text
from kvroles.migrate.connector import connectors

_ROWS = [
    line.split("\t")
    for line in (Path(__file__).parent / "words.tsv").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
# Where the rows of each table are kept once read, and the kinds of texts that need them.
_TABLES = [
    (names, "_NAMES", {"name"}),
    (names, "_NEUTRAL", {"name"}),
    (names, "_LOGIC", {"near", "own"}),
    (names, "_PHASES", {"near"}),
    (names, "_TURNED", {"turns"}),
    (names, "_LEFT_OUT", {"leaves out"}),
    (names, "_DONE_WITH", {"near"}),
    (names, "_FACING", {"near"}),
    (names, "_TOPICS", {"near"}),
    (names, "_FOREIGN", {"own"}),
    (names, "_REPLACED", {"own"}),
    (names, "_REPLACEABLE", {"holds"}),
    (names, "_CONFIGS", {"returns"}),
    (names, "_ASKING", {"test"}),
    (names, "_YES_OR_NO", {"truth"}),
    (names, "_COUNTING", {"count"}),
    (names, "_ROLE_VALUES", {"value"}),
    (argv, "_ROLES", {"flag"}),
    (argv, "_SIDES", {"flag"}),
    (prose, "_LEAD", {"title"}),
    (prose, "_HEADS", {"title"}),
    (prose, "_TAIL", {"title"}),
    (connectors, "OTHER", {"connector"}),
    (connectors, "SHORT_OTHER", {"connector"}),
]
_CACHED = (
    names.own,
    names.mentioned,
    names.unknown_words,
    prose.title_side,
    prose.prose_sides,
    connectors.kind_of,
)


def _said(kind: str, text: str) -> str:
    match kind:
        case "name":
            found = names.name_sides(text)
        case "near":
            alone = " ".join(w for w in names.split_name(text) if w not in names._NAMES)
            held = f"{text} {' '.join(names.twins(text))} {alone}"
            found = FileCtx("-", "-", Text(held)).sides_of(text) - {Side.AGGREGATED, Side.ENCODE} | (
                names.mentioned(text) & {Side.AGGREGATED, Side.ENCODE}
            )
        case "title":
            found = frozenset({side} if (side := prose.title_side(text)) else ())
        case "test":
            found = frozenset({side} if (side := names.condition_side(text)) else ())
        case "count":
            found = frozenset({side} if (side := names.count_side(text)) else ())
        case "value":
            found = frozenset({side} if (side := names.role_value(text)) else ())
        case "flag":
            words = [argv.Word(word, 0) for word in text.split()]
            found = frozenset(cue.side for cue in argv.cues(words, FileCtx("-", "-", Text(text))))
        case "own":
            return "yes" if names.own(text) else "-"
        case "turns":
            return "yes" if names.turns(text) else "-"
        case "truth":
            return "yes" if names.holds_truth(text) else "-"
        case "leaves out":
            return "yes" if names.leaves_out(text) else "-"
        case "holds":
            return "yes" if names.holds_defaults(text) else "-"
        case "returns":
            return "yes" if names.holds_defaults(text, function=True) else "-"
        case "connector":
            return "other" if connectors.kind_of(text) is connectors.Kind.OTHER else "-"
        case "picker":
            return "yes" if pickers.by_name(text) else "-"
        case _:
            raise AssertionError(kind)
    return next(iter(found)).value if len(found) == 1 else "-"


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in _ROWS}))
def test_a_labelled_text_is_what_its_label_says(kind: str) -> None:
    rows = [(text, label) for k, text, label in _ROWS if k == kind]
    assert [(text, _said(kind, text)) for text, _ in rows] == rows


def _rows() -> list[tuple[object, str, object, set[str]]]:
    return [(module, name, row, kinds) for module, name, kinds in _TABLES for row in getattr(module, name)]


def _unneeded(rows: list[tuple[object, str, object, set[str]]], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The rows without which every labelled text still is what its label says."""
    for module, name, row, kinds in rows:
        table = getattr(module, name)
        rest = {k: v for k, v in table.items() if k != row} if isinstance(table, dict) else table - {row}
        word = row[0] if isinstance(row, tuple) else row
        with monkeypatch.context() as patch:
            patch.setattr(module, name, rest)
            for function in _CACHED:
                function.cache_clear()
            texts = [(k, t, label) for k, t, label in _ROWS if k in kinds and word in t.lower()]
            if all(_said(k, t) == label for k, t, label in texts):
                yield f"{name}: {row}"
    for function in _CACHED:
        function.cache_clear()


def test_a_row_taken_away_changes_a_labelled_text_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sorted(_rows(), key=str)
    assert list(_unneeded(random.Random(0).sample(rows, 60), monkeypatch)) == []


@pytest.mark.slow
def test_every_row_taken_away_changes_a_labelled_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(_unneeded(_rows(), monkeypatch)) == []
