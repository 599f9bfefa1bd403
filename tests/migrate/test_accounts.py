"""Every kv_both is a NIXL role, harmless by a sign that is named, or unread: nothing between, and nothing dropped."""

from __future__ import annotations

import pytest
from kvroles.evidence.text import Text
from kvroles.migrate import run
from kvroles.migrate.codes import CODES, Means
from kvroles.migrate.files import spelled
from kvroles.migrate.settings import Options, Settings
from support import verdicts
from support.cost import slow_but

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
OTHER = NIXL.replace("NixlConnector", "LMCacheConnectorV1")


def _codes(name: str, text: str) -> list[str]:
    result = run.of_bytes(name, name, text.encode(), Options(Settings()))
    assert result is not None
    return [f.code for f in result.findings if CODES[f.code].means is not Means.EFFECT]


UNREAD = {
    "alone in .env": (".env", "KV_ROLE=kv_both\n"),
    "alone in a script": ("a.sh", "export KV_ROLE=kv_both\n"),
    "alone in YAML": ("a.yaml", "kvRole: kv_both\n"),
    "a wrapper is no other connector": ("a.py", "import MultiConnector\ncfg.kv_role = 'kv_both'\n"),
    "a Helm placeholder": ("a.yaml", 'kv: \'{"kv_connector":"{{ .Values.connector }}","kv_role":"kv_both"}\'\n'),
    "a printf placeholder": ("a.py", 'kv = \'{"kv_connector":"%s","kv_role":"kv_both"}\' % c\n'),
    "an at-sign placeholder": ("a.json", '{"kv_connector":"@CONN@","kv_role":"kv_both"}\n'),
    "an angle placeholder": ("a.json", '{"kv_connector":"<connector>","kv_role":"kv_both"}\n'),
    "a placeholder beside another connector": (
        "a.yaml",
        f"a: '{OTHER}'\nb: '{OTHER.replace('LMCacheConnectorV1', '{{ .Values.c }}')}'\n",
    ),
    "a name that sounds like NIXL": ("a.json", '{"kv_connector":"OurNixlThing","kv_role":"kv_both"}\n'),
    "a name that is no class": ("a.json", '{"kv_connector":"custom","kv_role":"kv_both"}\n'),
    "a Lua table": ("a.lua", 'kv = { kv_connector = "NixlConnector", kv_role = "kv_both" }\n'),
    "a hash in a language whose comments are others": ("a.lua", "# kv_role = kv_both\n"),
    "a suffix nobody knows": ("a.xyz", "# kv_role: kv_both\n"),
    "a quoted hash": ("a.nix", 'x = "a # b kv_both";\n'),
    "bytes after an escape": ("a.lua", 'x = "kv_role:\\tkv_both"\n'),
    "written by sed": ("a.sh", "sed -i 's/ROLE/kv_both/' nixl.json\n"),
    "set by yq": ("a.sh", "yq -i '.kv_role = \"kv_both\"' nixl.yaml\n"),
    "an echo into a file": ("a.sh", "echo 'kv_role: kv_both' > kv.yaml\n"),
    "one word": ("a.txt", "kv_both\n"),
    "a loop over roles": ("a.py", 'for role in ["kv_both", "kv_consumer"]:\n    start(role)\n'),
    "roles as arguments": ("a.py", 'start_pair("kv_both", "kv_consumer")\n'),
    "roles by position": ("a.sh", "export KV_ROLES=kv_both,kv_consumer\n"),
    "a YAML alias of that name": ("a.yaml", "x: &r kv_both\nkv_role: *r\n"),
    "a deprecated comment behind it": ("a.lua", "kv_role = kv_both -- deprecated\n"),
    "an HCL list of objects": ("a.xyz", '[ { kv_connector = "x", kv_role = "kv_both" } ]\n'),
    "a replacement": ("a.xyz", 'replace(file("x"), "ROLE", "kv_both")\n'),
    "a choice between two": ("a.xyz", 'kv_role = x == "pd" ? "kv_both" : null\n'),
    "a constant of its own": ("a.py", 'KV_BOTH = "kv_both"\n'),
}
HARMLESS = {
    "comment": ("a.lua", "-- kv_role = kv_both\n", "KVR124"),
    "comment behind code": ("a.ts", "const a = 1; // kv_both\n", "KVR124"),
    "block comment": ("a.java", "/*\n * kv_both was the role\n */\n", "KVR124"),
    "comment in HTML": ("a.html", "<!-- kv_both -->\n", "KVR124"),
    "prose": ("a.md", "NIXL took `kv_both` for years.\n", "KVR124"),
    "heading": ("a.md", "# Off `kv_both`\n", "KVR124"),
    "text": ("a.txt", "Set kv_both for the role of NIXL no more.\n", "KVR124"),
    "longer word": ("a.py", "kv_both_sides = 1\n", "KVR124"),
    "docstring": ("a.py", '"""What kv_both did."""\n', "KVR124"),
    "message": ("a.py", "raise ValueError(\"kv_role='kv_both' is deprecated for NixlConnector\")\n", "KVR124"),
    "message in Go": ("a.go", 'package a\n\nvar e = errors.New("kv_role kv_both is not supported by this proxy")\n', "KVR124"),
    "help": ("a.py", 'p.add_argument("--x", help="the role, kv_both by default")\n', "KVR124"),
    "log query": ("a.sh", "kubectl logs p | grep -E \"kv_role='kv_both'.*deprecated\"\n", "KVR126"),
    "alert": ("a.yaml", "groups:\n- rules:\n  - alert: A\n    expr: sum(x{kv_role=\"kv_both\"}) > 0\n", "KVR124"),
    "alert in a block": ("a.yaml", "rules:\n- expr: |\n    sum(x{kv_role=\"kv_both\"}) > 0\n", "KVR124"),
    "CEL": ("a.yaml", "validations:\n- expression: \"object.spec.role != 'kv_both'\"\n", "KVR124"),
    "Kyverno": ("a.yaml", "conditions:\n- key: x\n  operator: NotEquals\n  value: kv_both\n", "KVR126"),
    "Rego": ("a.rego", 'deny[msg] { input.kv_role == "kv_both" }\n', "KVR126"),
    "Literal": ("a.py", 'Role = Literal["kv_producer", "kv_both", "kv_consumer"]\n', "KVR126"),
    "choices": ("a.py", 'p.add_argument("--r", choices=["kv_both", "kv_producer"])\n', "KVR126"),
    "union in TypeScript": ("a.ts", 'type Role = "kv_producer" | "kv_both";\n', "KVR126"),
    "schema": ("a.json", '{"enum": ["kv_producer", "kv_consumer", "kv_both"]}\n', "KVR126"),
    "schema in YAML": ("a.yaml", "enum:\n- kv_producer\n- kv_both\n", "KVR126"),
    "constants": ("a.go", 'package a\n\nconst (\n\tProducer = "kv_producer"\n\tBoth = "kv_both"\n)\n', "KVR126"),
    "comparison": ("a.py", 'if role == "kv_both":\n    pass\n', "KVR123"),
    "comparison in Java": ("a.java", 'if ("kv_both".equals(role) || role == "kv_both") {}\n', ""),
    "membership": ("a.js", 'if (["kv_both"].includes(role)) {}\n', ""),
    "arm of a case": ("a.sh", "case $R in\n  kv_producer|kv_both) x ;;\nesac\n", "KVR126"),
    "guard in Helm": ("a.yaml", '{{- if eq .Values.kvRole "kv_both" }}\nx: y\n{{- end }}\n', "KVR126"),
    "key of a table": ("a.js", "const port = { kv_producer: 1,\n  kv_both: 2 };\n", "KVR126"),
    "only other connectors": ("a.py", 'c = LMCacheConnectorV1(cfg)\ncfg["kv_role"] = "kv_both"\n', "KVR121"),
    "another connector": ("a.json", OTHER + "\n", "KVR121"),
    "record": ("logs/a.txt", f"started with {NIXL}\n", "KVR125"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNREAD)
def test_what_is_not_understood_is_unread(what: str) -> None:
    name, text = UNREAD[what]
    found = _codes(name, text)
    assert found
    assert {c for c in found if CODES[c].means is not Means.HARMLESS} == {"KVR118"}, found


@pytest.mark.parametrize("what", [w for w, (_, _, code) in HARMLESS.items() if code])
def test_what_configures_nothing_is_told_by_its_sign(what: str) -> None:
    name, text, code = HARMLESS[what]
    assert set(_codes(name, text)) == {code}


@pytest.mark.parametrize("room", slow_but(["corpus"], ["corpus", "fuzz"]))
def test_findings_are_as_many_as_a_plain_search_of_the_bytes_finds(room: str) -> None:
    files = {at: of for at, of in verdicts.inputs().items() if at.startswith(f"{room}/") and b"kv_both" in of[1]}
    assert len(files) > 20
    for at, (name, data) in files.items():
        result = run.of_bytes(name, name, data, Options(Settings()))
        assert result is not None
        otherwise = (
            {pos for pos, _ in spelled.places(Text(data.decode()))} if data.isascii() else set()
        )  # no word of the search's
        classes = [
            (f.pos, CODES[f.code].means)
            for f in result.findings
            if CODES[f.code].means is not Means.EFFECT and f.pos not in otherwise
        ]
        if [f.code for f in result.findings] == ["KVR190"]:
            continue
        assert len(classes) == data.count(b"kv_both"), at
        assert len({pos for pos, _ in classes}) == len(classes), f"{at}: one class each"


def test_a_comment_silences_what_is_unread() -> None:
    result = run.of_bytes("a.lua", "a.lua", b"-- kv-roles: ignore[KVR118]\nrole = kv_both\n", Options(Settings()))
    assert result is not None
    assert [(f.code, f.suppressed) for f in result.findings] == [("KVR118", True)]


def test_the_line_of_a_role_without_a_connector_can_be_answered() -> None:
    from kvroles.evidence.frames import Side

    settings = Settings([("a.env", 1, Side.PREFILL)])
    result = run.of_bytes("a.env", "a.env", b"KV_ROLE=kv_both\n", Options(settings))
    assert result is not None
    assert result.after == b"KV_ROLE=kv_producer\n"


def test_last_applied_configuration_is_no_finding_of_its_own() -> None:
    text = f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: vllm-prefill
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {{"spec":{{"args":["--kv-transfer-config", "{NIXL.replace('"', chr(92) + '"')}"]}}}}
spec: {{template: {{spec: {{containers: [{{args: ["--kv-transfer-config", '{NIXL}']}}]}}}}}}
"""
    result = run.of_bytes("-", "-", text.encode(), Options(Settings()))
    assert result is not None
    assert [f.code for f in result.findings] == ["KVR125", "KVR101"]
