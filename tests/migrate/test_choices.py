"""A role that an expression chooses is a value: the words of the language round it are no sentence and no list."""

from __future__ import annotations

import pytest
from kvroles.migrate import run
from kvroles.migrate.codes import CODES, Means
from kvroles.migrate.settings import Options, Settings

DICT = 'cfg = {{"kv_connector": "NixlConnector", "kv_role": {}}}\n'
SET = '{}\ncfg = {{"kv_connector": "NixlConnector", "kv_role": kv_role}}\n'

CHOSEN = {
    "Python, in a dict": ("a.py", DICT.format('"kv_both" if side == "prefill" else "kv_consumer"'), ["KVR101"]),
    "Python, in brackets": ("a.py", DICT.format('("kv_both" if is_prefill else "kv_consumer")'), ["KVR101"]),
    "Python, to a variable": (
        "a.py",
        SET.format('kv_role = "kv_both" if side == "prefill" else "kv_consumer"'),
        ["KVR101"],
    ),
    "Python, the other value": ("a.py", DICT.format('"kv_producer" if is_prefill else "kv_both"'), ["KVR102"]),
    "Python, by what says no side": ("a.py", DICT.format('"kv_both" if x else "kv_consumer"'), ["KVR110"]),
    "Python, a default": ("a.py", DICT.format('role or "kv_both"'), ["KVR110"]),
    "JavaScript": (
        "a.js",
        'const c = { kv_connector: "NixlConnector", kv_role: isPrefill ? "kv_both" : "kv_consumer" };\n',
        ["KVR101"],
    ),
    "TypeScript, a comparison": (
        "a.ts",
        'const c = { kv_connector: "NixlConnector", kv_role: side === "prefill" ? "kv_both" : "kv_consumer" };\n',
        ["KVR101"],
    ),
    "Lua, which has no reader": ("a.lua", 'local kv_role = p and "kv_both" or "kv_consumer"\n', ["KVR118"]),
    "Python, joined to a text": (
        "a.py",
        'c = \'{"kv_connector":"NixlConnector","kv_role":"\' + ("kv_both" if p else "kv_consumer") + \'"}\'\n',
        ["KVR118"],
    ),
    "Python, in a format": (
        "a.py",
        'c = \'{"kv_connector":"NixlConnector","kv_role":"%s"}\' % ("kv_both" if p else "kv_consumer")\n',
        ["KVR118"],
    ),
}


@pytest.mark.parametrize("what", CHOSEN)
def test_a_role_that_an_expression_chooses_is_never_called_text(what: str) -> None:
    name, text, codes = CHOSEN[what]
    result = run.of_bytes(name, name, text.encode(), Options(Settings()))
    assert result is not None
    assert [f.code for f in result.findings if CODES[f.code].means is not Means.EFFECT] == codes


@pytest.mark.parametrize("text", ['Use "kv_both" if you run no P/D.\n', 'It is "kv_both" or "kv_consumer" there.\n'])
def test_in_a_document_the_same_words_are_a_sentence(text: str) -> None:
    result = run.of_bytes("a.md", "a.md", text.encode(), Options(Settings()))
    assert result is not None
    assert {CODES[f.code].means for f in result.findings} == {Means.HARMLESS}
