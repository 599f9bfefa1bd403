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


# What looks like a search, a comparison, a list or a definition, and sets the role all the same.
SETS = {
    "what jq updates": ("a.sh", """jq '.kv_role |= "kv_both"' nixl.json > prefill.json\n"""),
    "what sed puts in": ("a.sh", "sed -i 's/kv_producer/kv_both/' prefill.yaml\n"),
    "what a replacement puts in": ("a.py", 'cfg = TEMPLATE.replace("__ROLE__", "kv_both")\n'),
    "what a replacement of Go puts in": ("a.go", 'package a\nvar s = strings.Replace(tpl, "ROLE", "kv_both", 1)\n'),
    "an argument of what only sounds like a test": ("a.py", 'check_config(kv_connector="NixlConnector", kv_role="kv_both")\n'),
    "what is started, and its result compared": (
        "a.py",
        'if call(["--kv-transfer-config", \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\']) != 0:\n    stop()\n',
    ),
    "the same in a test": ("tests/test_a.py", 'assert launch(kv_connector="NixlConnector", kv_role="kv_both")\n'),
    "the same in JavaScript": (
        "a.js",
        'if (run({ kv_connector: "NixlConnector", kv_role: "kv_both" }) === null) stop();\n',
    ),
    "a name of it that a role is given": (
        "a.py",
        'ROLE_BOTH = "kv_both"\nROLE_PRODUCER = "kv_producer"\ncfg = {"kv_connector": "NixlConnector", "kv_role": ROLE_BOTH}\n',
    ),
}  # fmt: skip
LOOKS = {
    "a comparison": ("a.py", 'if cfg.kv_role == "kv_both": warn()\n'),
    "a log query": ("a.sh", """logcli query '{app="vllm"} |= "kv_both"'\n"""),
    "what a replacement looks for": ("a.py", 'x = text.replace("kv_both", "kv_producer")\n'),
    "what sed looks for": ("a.sh", "sed -i 's/kv_both/kv_producer/' prefill.yaml\n"),
    "what a test expects": (
        "tests/test_a.py",
        'assert cfg == KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both")\n',
    ),
    "names of all roles": ("a.py", 'ROLE_BOTH = "kv_both"\nROLE_PRODUCER = "kv_producer"\n'),
}


def _means(name: str, text: str) -> set[Means]:
    result = run.of_bytes(name, name, text.encode(), Options(Settings()))
    assert result is not None
    return {CODES[f.code].means for f in result.findings} - {Means.EFFECT}


@pytest.mark.parametrize("what", SETS)
def test_what_sets_a_role_is_not_called_harmless_for_its_looks(what: str) -> None:
    assert Means.HARMLESS not in _means(*SETS[what])


@pytest.mark.parametrize("what", LOOKS)
def test_what_only_looks_for_a_role_is_harmless(what: str) -> None:
    assert _means(*LOOKS[what]) == {Means.HARMLESS}


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
