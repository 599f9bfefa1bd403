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
        ["KVR110"],
    ),
    "Python, in a format": (
        "a.py",
        'c = \'{"kv_connector":"NixlConnector","kv_role":"%s"}\' % ("kv_both" if p else "kv_consumer")\n',
        ["KVR110"],
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
    "a value among short keys": (
        "a.yaml",
        "patches:\n- transforms:\n  - map: {a: kv_both, b: kv_producer}\nbase: {connector: NixlConnector}\n",
    ),
    "a name in a let": ("a.dhall", 'let role = "kv_both" in { connector = "NixlConnector", kv_role = role }\n'),
    "a constant that is handed on": (
        "a.rb",
        'PRODUCER = "kv_producer"\nBOTH = "kv_both"\nserver(connector: "NixlConnector", mode: BOTH)\n',
    ),
    "a constant of an object": (
        "a.scala",
        'object R { val Producer = "kv_producer"; val Both = "kv_both" }\nlaunch("NixlConnector", R.Both)\n',
    ),
    "a row of a table of roles": (
        "a.js",
        'const R = { PRODUCER: "kv_producer", BOTH: "kv_both" };\nserve({ kv_connector: "NixlConnector", role: R["BOTH"] });\n',
    ),
    "an argument of what only sounds as if it expected it": (
        "a.groovy",
        'expectServer(connector: "NixlConnector", kvRole: "kv_both")\n',
    ),
    "a name of it that a role is given": (
        "a.py",
        'ROLE_BOTH = "kv_both"\nROLE_PRODUCER = "kv_producer"\ncfg = {"kv_connector": "NixlConnector", "kv_role": ROLE_BOTH}\n',
    ),
    "a list that one role is taken out of": (
        "a.py",
        'role = ["kv_producer", "kv_consumer", "kv_both"][i]\ncfg = {"kv_connector": "NixlConnector", "kv_role": role}\n',
    ),
    "a list with a name that is gone through": (
        "a.py",
        'roles = ["kv_producer", "kv_consumer", "kv_both"]\nfor r in roles:\n    nixl(kv_role=r)\n',
    ),
    "a list that a call draws from": ("a.py", 'role = random.choice(["kv_producer", "kv_consumer", "kv_both"])  # nixl\n'),
    "a list of Go with an index": ("a.go", 'package a\nvar r = []string{"kv_producer", "kv_consumer", "kv_both"}[i] // nixl\n'),
    "a list of Rust with an index": (
        "a.rs",
        'const R: [&str; 3] = ["kv_producer", "kv_consumer", "kv_both"];\nfn f(i: usize) { nixl(R[i]) }\n',
    ),
    "rows of a table of cases": (
        "a.py",
        '@pytest.mark.parametrize("role,n", [\n    ("kv_producer", 1),\n    ("kv_both", 2),\n])\ndef f(role, n): nixl(role)\n',
    ),
    "a name of it that a call is given": (
        "a.go",
        'package a // nixl\nconst (\n\tRoleProducer = "kv_producer"\n\tRoleBoth     = "kv_both"\n)\n\nfunc f(c *C) { c.set(RoleBoth) }\n',
    ),
    "the last of several values that may be given": ("a.js", 'const r = p && "kv_producer" || "kv_both"; // nixl\n'),
    "a value on the line below its condition": ("a.js", 'start(nixl, p ?\n  "kv_both" : "kv_consumer");\n'),
    "the same in HCL": ("a.tf", 'locals {\n  nixl = (var.p ?\n    "kv_both" : "kv_consumer")\n}\n'),
    "a variable with the name of a text for people": ("a.py", 'label = "kv_both"\nstart_nixl(label)\n'),
    "an argument of a call whose result is compared": ("a.py", 'ok = start_nixl("kv_both") == 0\n'),
    "the same in Go": ("a.go", 'package a\n\nfunc f() bool { return startNixl("kv_both") == nil }\n'),
    "the body of Nix's let": ("a.nix", 'let c = "NixlConnector"; in { kv_connector = c; kv_role = "kv_both"; }\n'),
    "all but one form of NIXL's connector": ("a.py", 'kv_role = "kv_producer" if name == "NixlPushConnector" else "kv_both"\n'),
    "a default in a comment that a tool reads": (
        "a.go",
        'package a // nixl\n\ntype C struct {\n\t// +kubebuilder:default="kv_both"\n\tKVRole string\n}\n',
    ),
    "a list of Java that is indexed": (
        "a.java",
        'List<String> ROLES = List.of("kv_producer", "kv_consumer", "kv_both"); // nixl\nvoid f(int i) { run(ROLES.get(i)); }\n',
    ),
    "a list of Jinja with an index": (
        "a.yaml.j2",
        """kv: {"kv_connector": "NixlConnector", "kv_role": "{{ ['kv_producer', 'kv_consumer', 'kv_both'][i] }}"}\n""",
    ),
    "a list of Jinja with a name": (
        "a.yaml.j2",
        "{% set r = ['kv_producer', 'kv_consumer', 'kv_both'] %}\nkv: {kv_connector: NixlConnector, kv_role: '{{ r[i] }}'}\n",
    ),
    "what an assertion starts": ("tests/test_a.py", 'self.assertEqual(start_nixl(role="kv_both"), 0)\n'),
    "what an assertion of Rust starts": (
        "a.rs",
        'fn f() { assert!(run(&["--kv-transfer-config", r#"{"kv_connector":"NixlConnector","kv_role":"kv_both"}"#]).success()); }\n',
    ),
    "what is started or else it panics": (
        "a.rs",
        'fn f() { run(r#"{"kv_connector":"NixlConnector","kv_role":"kv_both"}"#).expect("it starts"); }\n',
    ),
    "what an assertion of JavaScript starts": ("a.js", 'expect(startNixl("kv_both")).toBe(0);\n'),
    "what a test wants and starts": ("tests/test_a.py", 'def f():\n    want = nixl(kv_role="kv_both")\n    start(want)\n'),
    "what is started to get what a test wants": ("tests/test_a.py", 'def f():\n    want = start(nixl, "kv_both")\n'),
    "what a test checks by starting it": ("tests/test_a.py", 'def f():\n    verify_server_starts(nixl, kv_role="kv_both")\n'),
    "a connector that is an argument, beside a comment of another": (
        "a.py",
        '# MooncakeConnector is another one\ndef f(c): return {"kv_connector": c, "kv_role": "kv_both"}\n',
    ),
    "a connector from the environment": (
        "a.py",
        'kv = {"kv_connector": os.getenv("C", "MooncakeConnector"), "kv_role": "kv_both"}\n',
    ),
    "a connector that is set twice": (
        "a.py",
        'c = "MooncakeConnector"\nc = known.get(n, c)  # nixl\nkv = {"kv_connector": c, "kv_role": "kv_both"}\n',
    ),
    "a connector that is set afterwards": (
        "a.py",
        'x = "LMCacheConnectorV1"\ncfg = {"kv_role": "kv_both"}\ncfg["kv_connector"] = name\n',
    ),
    "a connector that is a default": (
        "a.py",
        'x = "LMCacheConnectorV1"\ncfg = {"kv_role": "kv_both"}\ncfg.setdefault("kv_connector", name)\n',
    ),
    "a connector in short": (
        "a.js",
        'const x = "LMCacheConnectorV1";\nconst c = { kvRole: "kv_both", kvConnector };\n',
    ),
    "a connector that a flag takes from an argument": (
        "a.sh",
        'X=LMCacheConnectorV1\nlaunch --kv-connector "$1" --kv-role kv_both\n',
    ),
    "a connector beside a parameter's default": ("a.py", '# MooncakeConnector\ndef f(kv_connector, kv_role="kv_both"): ...\n'),
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
    "an error over several lines": (
        "a.py",
        'raise ValueError("NixlConnector takes `kv_producer`, "\n                 "`kv_consumer`, and `kv_both`")\n',
    ),
    "an error that quotes a setting": (
        "a.py",
        "raise ValueError(\"it takes mixed mode (kv_role='kv_both'), not NixlConnector\")\n",
    ),
    "a list of all roles that is asked": (
        "a.py",
        'ROLES = ["kv_producer", "kv_consumer", "kv_both"]  # nixl\nif role not in ROLES:\n    raise ValueError(f"one of {ROLES}")\n',
    ),
    "a list of Helm that is asked": (
        "templates/a.yaml",
        '# nixl\n{{- if not (has .Values.role (list "kv_producer" "kv_consumer" "kv_both")) }}{{ fail "which?" }}{{ end }}\n',
    ),
    "an argument's choices": (
        "a.py",
        'ROLES = ("kv_producer", "kv_consumer", "kv_both")  # nixl\np.add_argument("--kv-role", choices=ROLES)\n',
    ),
    "names of all roles that are compared": (
        "a.go",
        'package a // nixl\nconst (\n\tRoleProducer = "kv_producer"\n\tRoleBoth     = "kv_both"\n)\n\nfunc f(r string) bool { return r == RoleBoth }\n',
    ),
    "a union of types": (
        "a.ts",
        'const ROLES = ["kv_producer", "kv_consumer", "kv_both"] as const; // nixl\ntype R = (typeof ROLES)[number];\n',
    ),
    "what an assertion of Rust expects": ("a.rs", 'fn f() { assert_eq!(nixl["kv_role"], "kv_both"); }\n'),
    "what a test wants and compares": (
        "tests/test_a.py",
        'def f():\n    want = dict(nixl=1, kv_role="kv_both")\n    assert got == want\n',
    ),
    "a variable named for another connector": (
        "a.py",
        'def f(lmcache_connector): # LMCacheConnectorV1\n    return {"kv_connector": lmcache_connector, "kv_role": "kv_both"}\nx = "LMCacheConnectorV1"\n',
    ),
    "a query in a string of JSON": (
        "a.json",
        '{"targets":[{"expr":"sum(info{kv_role=\\"kv_both\\",kv_connector=\\"NixlConnector\\"})"}]}\n',
    ),
    "a default that a help text tells of": (
        "a.sh",
        "usage() { cat <<EOF\n  --role ROLE  kv_producer, kv_consumer or kv_both (default: kv_both)\nEOF\n}\n",
    ),
    "what is asked whether it is a member": ("a.py", 'known = "kv_both" in roles\n'),
    "names of roles that are compared": (
        "a.go",
        """package a
const Producer = "kv_producer"
const Both = "kv_both"

func known(r string) bool {
	switch r {
	case Both:
		return true
	}
	return r == Both
}
""",
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


def test_a_sentence_of_data_is_called_text_and_no_comparison() -> None:
    result = run.of_bytes("a.yaml", "a.yaml", b"note: kv_both is for NixlConnector here\n", Options(Settings()))
    assert result is not None
    assert [f.code for f in result.findings] == ["KVR124"]
