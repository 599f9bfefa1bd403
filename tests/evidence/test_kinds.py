"""The one table of what words are found in: each row is needed, and nothing else says how far a word can be trusted."""

from __future__ import annotations

import re

import pytest
from kvroles.evidence import kinds
from kvroles.evidence.frames import Cue, Side
from kvroles.migrate import run
from kvroles.migrate.settings import Options, Settings
from support import verdicts
from support.docs import ROOT

# What no file of the corpus needs: the row, a file's name and its text.
_CONFIG = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
_MORE = {
    kinds.BLOCK: ("a.yml.j2", "{% for n in prefill_nodes %}\n  args: --kv-transfer-config='" + _CONFIG + "'\n{% endfor %}\n"),
    kinds.PRINT: ("a.py", f"def main():\n    print('Starting prefill')\n    run({_CONFIG!r})\n"),
    kinds.TITLE: ("a.md", f"```json Prefill\n{_CONFIG}\n```\n"),
    kinds.COLUMN: ("a.md", f"| Prefill | Decode |\n|---|---|\n| `{_CONFIG}` | none |\n"),
    kinds.TEXT: ("a.yaml", f"- description: prefill instance\n  config: '{_CONFIG}'\n"),
    kinds.AGGREGATED_FLAG: ("a.sh", f"serve --route-to-encoder --kv-transfer-config '{_CONFIG}'\n"),
    kinds.PERHAPS_ROLE: ("a.yaml", f"- acme_role: prefill\n  config: '{_CONFIG}'\n"),
    kinds.HOST_GONE_TO: (
        "a.sh",
        f"python proxy.py --prefiller-hosts a1 --decoder-hosts b1\nssh b1 vllm serve m --kv-transfer-config '{_CONFIG}'\n",
    ),
    kinds.RULED_OUT: ("a.yaml", f"- if: role != 'decode'\n  config: '{_CONFIG}'\n"),
}  # fmt: skip


@pytest.mark.slow
def test_a_row_of_the_table_is_evidence_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    real = kinds.Kind.cue

    def cue(self: kinds.Kind, side: Side, words: str, pos: int = -1) -> Cue:
        seen.add(id(self))
        return real(self, side, words, pos)

    monkeypatch.setattr(kinds.Kind, "cue", cue)
    verdicts.verdicts()
    for name, text in _MORE.values():
        run.of_bytes(name, name, text.encode(), Options(Settings()))
    unneeded = [row for row in kinds.ROWS if id(row) not in seen]
    # What a person says, which no file holds, and a file near by that is not read: ``test_neighbours`` has one.
    assert unneeded == [kinds.ANSWER, kinds.NOT_READ]


@pytest.mark.parametrize("row", _MORE, ids=lambda row: row.name)
def test_what_no_file_of_the_corpus_holds_is_evidence_by_its_row(row: kinds.Kind) -> None:
    name, text = _MORE[row]
    result = run.of_bytes(name, name, text.encode(), Options(Settings()))
    assert result is not None
    assert [(c.kind, c.weight) for f in result.findings for c in f.cues][:1] == [(row.name, row.weight)]


def test_rows_of_one_name_take_the_same_company() -> None:
    for name, alone in kinds.ALONE.items():
        # one with the weight of a flag decides by itself
        same = [row for row in kinds.ROWS if row.name == name and row.weight < kinds.ROLE.weight]
        assert {row.alone for row in same} == {alone}


def test_no_reader_says_for_itself_how_far_its_words_can_be_trusted() -> None:
    made = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tools/kvroles").rglob("*.py"))
        if re.search(r"(?<!class )\bCue\(", path.read_text(encoding="utf-8"))
    ]
    # the table itself, and what is said where a value is put to use: as far as its own evidence can be trusted
    assert made == [
        "tools/kvroles/evidence/decide.py",
        "tools/kvroles/evidence/kinds.py",
        "tools/kvroles/migrate/beside/across.py",
    ]


@pytest.mark.parametrize(
    ("key", "suggested"),
    [("acme_role", Side.PREFILL), ("except_role", None), ("peer_role", None), ("default_role", None)],
)
def test_a_role_by_a_word_that_is_not_known_is_a_suggestion(key: str, suggested: Side | None) -> None:
    result = run.of_bytes("a.yaml", "a.yaml", f"- {key}: prefill\n  kv: '{_CONFIG}'\n".encode(), Options(Settings()))
    assert result is not None
    assert [(f.role, f.suggested) for f in result.findings] == [(None, suggested)]
