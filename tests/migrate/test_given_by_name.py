"""A role that stands in no config itself is of the config that it becomes a part of: of a table by side, a variable, a function,
an option, a text that is put together."""

from __future__ import annotations

import pytest
from kvroles.migrate import run
from kvroles.migrate.codes import CODES, Means
from kvroles.migrate.settings import Options, Settings

P, D, OPEN = "KVR101", "KVR102", "KVR110"
TABLE = 'R = {{"prefill": "kv_both", "decode": "kv_both"}}\n{}\n'
BY_SIDE = {
    "a table of Python": (
        "a.py",
        TABLE.format('def f(side): return {"kv_connector": "NixlConnector", "kv_role": R[side]}'),
    ),
    "a table that is asked with a default": (
        "a.py",
        TABLE.format('def f(side): return KVTransferConfig(kv_connector="NixlConnector", kv_role=R.get(side, "kv_consumer"))'),
    ),
    "a table of TypeScript": (
        "a.ts",
        ('const R: Record<Side, string> = { prefill: "kv_both", decode: "kv_both" };\n'
        'const f = (side: Side) => ({ kv_connector: "NixlConnector", kv_role: R[side] });\n'),
    ),
    "a table of Go, put into a text": (
        "a.go",
        ('package a\n\nvar r = map[string]string{\n\t"prefill": "kv_both",\n\t"decode":  "kv_both",\n}\n\nfunc f(side string) string {\n'
        '\treturn fmt.Sprintf(`{"kv_connector":"NixlConnector","kv_role":"%s"}`, r[side])\n}\n'),
    ),
    "a table of PowerShell": (
        "a.ps1",
        '$r = @{ prefill = "kv_both"; decode = "kv_both" }\n$kv = @{ kv_connector = "NixlConnector"; kv_role = $r[$Side] }\n',
    ),
    "a table of Terraform": (
        "a.tf",
        ('locals {\n  r  = { prefill = "kv_both", decode = "kv_both" }\n'
        '  kv = jsonencode({ kv_connector = "NixlConnector", kv_role = local.r[var.side] })\n}\n'),
    ),
    "what a module is made for": (
        "a.tf",
        ('module "vllm" {\n  for_each = { prefill = "kv_both", decode = "kv_both" }\n'
        '  kv       = jsonencode({ kv_connector = "NixlConnector", kv_role = each.value })\n}\n'),
    ),
    "a match of Rust": (
        "a.rs",
        ('fn f(side: Side) -> Value {\n    let r = match side { Side::Prefill => "kv_both", Side::Decode => "kv_both" };\n'
        '    json!({"kv_connector": "NixlConnector", "kv_role": r})\n}\n'),
    ),
    "branches of Go": (
        "a.go",
        ('package a\n\nfunc f(side string) map[string]string {\n\tvar r string\n\tif side == "prefill" {\n\t\tr = "kv_both"\n'
        '\t} else if side == "decode" {\n\t\tr = "kv_both"\n\t}\n'
        '\treturn map[string]string{"kv_connector": "NixlConnector", "kv_role": r}\n}\n'),
    ),
    "a function's answers": (
        "a.py",
        ('def r(side):\n    if side == "prefill":\n        return "kv_both"\n    if side == "decode":\n        return "kv_both"\n\n'
        'kv = {"kv_connector": "NixlConnector", "kv_role": r(x)}\n'),
    ),
    "branches of PowerShell": (
        "a.ps1",
        ('$r = switch ($Side) {\n    "prefill" { "kv_both" }\n    "decode" { "kv_both" }\n}\n'
        '$kv = @{ kv_connector = "NixlConnector"; kv_role = $r }\n'),
    ),
    "options that are named for a side": (
        "a.py",
        ('p.add_argument("--kv-connector", default="NixlConnector")\np.add_argument("--prefill-kv-role", default="kv_both")\n'
        'p.add_argument("--decode-kv-role", default="kv_both")\n'),
    ),
    "a table of Jinja": (
        "a.yaml.j2",
        """kv: {"kv_connector": "NixlConnector", "kv_role": "{{ {'prefill': 'kv_both', 'decode': 'kv_both'}[role] }}"}\n""",
    ),
    "a table of Helm": (
        "templates/a.yaml",
        ('{{- $r := dict "prefill" "kv_both" "decode" "kv_both" }}\n'
        """args: ["--kv", '{"kv_connector":"NixlConnector","kv_role":"{{ index $r .Values.role }}"}']\n"""),
    ),
    "one condition and its negation": (
        "a.tf",
        ('locals {\n  a = jsonencode({ kv_connector = "NixlConnector", kv_role = var.side == "prefill" ? "kv_both" : null })\n'
        '  b = jsonencode({ kv_connector = "NixlConnector", kv_role = var.side != "decode" ? null : "kv_both" })\n}\n'),
    ),
}  # fmt: skip
ONE = {
    "one argument of a format": ("a.py", 'prefill = \'{"kv_connector":"%s","kv_role":"%s"}\' % ("NixlConnector", "kv_both")\n'),
    "format by name": ("a.py", 'prefill = \'{{"kv_connector":"NixlConnector","kv_role":"{r}"}}\'.format(r="kv_both")\n'),
    "a template with a name": (
        "a.py",
        'T = \'{"kv_connector":"NixlConnector","kv_role":"%s"}\'\ndef prefill(): return T % "kv_both"\n',
    ),
    "a choice in an f-string": (
        "a.py",
        'kv = f\'{{"kv_connector":"NixlConnector","kv_role":"{"kv_both" if is_prefill else "kv_consumer"}"}}\'\n',
    ),
    "a format of Rust": ("a.rs", 'fn prefill() { run(format!("{{\\"kv_connector\\":\\"NixlConnector\\",\\"kv_role\\":\\"{}\\"}}", "kv_both")) }\n'),
    "a choice in a template of JavaScript": (
        "a.js",
        'const kv = `{"kv_connector":"NixlConnector","kv_role":"${isPrefill ? "kv_both" : "kv_consumer"}"}`;\n',
    ),
    "a format of PowerShell": ("a.ps1", '$prefillKv = \'{{"kv_connector":"{0}","kv_role":"{1}"}}\' -f "NixlConnector", "kv_both"\n'),
    "a choice of PowerShell 7": (
        "a.ps1",
        '$kv = @{ kv_connector = "NixlConnector"; kv_role = ($Side -eq "prefill" ? "kv_both" : "kv_consumer") }\n',
    ),
    "an attribute by its name": (
        "a.py",
        'def prefill(ns):\n    setattr(ns, "kv_connector", "NixlConnector")\n    setattr(ns, "kv_role", "kv_both")\n',
    ),
    "what Object.assign adds": (
        "a.js",
        'const base = { kv_connector: "NixlConnector" };\nconst prefill = Object.assign({}, base, { kv_role: "kv_both" });\n',
    ),
    "one of two connectors of NIXL": ("a.py", 'prefill = {"kv_connector": "NixlConnector" if x else "NixlPushConnector", "kv_role": "kv_both"}\n'),
    "a choice of Helm": (
        "templates/a.yaml",
        """kv: ['{"kv_connector":"NixlConnector","kv_role":"{{ ternary "kv_both" "kv_consumer" (eq .Values.role "prefill") }}"}']\n""",
    ),
    "a variable that Helm chooses": (
        "templates/a.yaml",
        ('{{- $r := ternary "kv_both" "kv_consumer" (eq .Values.role "prefill") }}\n'
        """kv: ['{"kv_connector":"NixlConnector","kv_role":"{{ $r }}"}']\n"""),
    ),
    "a variable that Jinja chooses": (
        "a.yaml.j2",
        ("{% set r = 'kv_both' if role == 'prefill' else 'kv_consumer' %}\n"
        'kv: {"kv_connector": "NixlConnector", "kv_role": "{{ r }}"}\n'),
    ),
    "an arrow function": (
        "a.ts",
        ('const r = (side: string) => side === "prefill" ? "kv_both" : "kv_consumer";\n'
        'const kv = { kv_connector: "NixlConnector", kv_role: r(side) };\n'),
    ),
    "a table that is asked where it stands": (
        "a.py",
        'kv = {"kv_connector": "NixlConnector", "kv_role": {"prefill": "kv_both", "decode": "kv_consumer"}[side]}\n',
    ),
    "a parameter's default": (
        "a.py",
        'def start_prefill(kv_role: str = "kv_both"):\n    return {"kv_connector": "NixlConnector", "kv_role": kv_role}\n',
    ),
    "what a copy of a model takes": (
        "a.py",
        'BASE = KVTransferConfig(kv_connector="NixlConnector")\nprefill = BASE.model_copy(update={"kv_role": "kv_both"})\n',
    ),
    "two mappings that are joined": (
        "a.py",
        'kv = {"kv_connector": "NixlConnector"} | {"kv_role": "kv_both" if side == "prefill" else "kv_consumer"}\n',
    ),
    "a default of a settings library": (
        "a.go",
        'package a\n\nfunc prefill() { viper.SetDefault("kv.connector", "NixlConnector"); viper.SetDefault("kv.role", "kv_both") }\n',
    ),
    "a local in a text": (
        "a.tf",
        'locals {\n  r  = var.is_prefill ? "kv_both" : "kv_consumer"\n  kv = "{\\"kv_connector\\":\\"NixlConnector\\",\\"kv_role\\":\\"${local.r}\\"}"\n}\n',
    ),
}  # fmt: skip
NOT_WRITTEN = {
    "a variable with the name of another function's parameter": (
        "a.py",
        ('def prefill_cache():\n    role = "kv_both"\n    store(role)\n\n'
        'def f(role): return {"kv_connector": "NixlConnector", "kv_role": role}\n'),
    ),
    "the same in Go": (
        "a.go",
        ('package a\n\nfunc prefillCache() {\n\trole := "kv_both"\n\tstore(role)\n}\n\n'
        'func f(role string) Cfg { return Cfg{KVConnector: "NixlConnector", KVRole: role} }\n'),
    ),
    "the same in Rust": (
        "a.rs",
        ('fn prefill_cache() { let role = "kv_both"; store(role); }\n'
        'fn f(role: &str) -> Value { json!({"kv_connector": "NixlConnector", "kv_role": role}) }\n'),
    ),
    "the same in PowerShell": (
        "a.ps1",
        ('function Start-PrefillCache { $role = "kv_both"; Save $role }\n'
        'function Start-It($role) { $kv = @{ kv_connector = "NixlConnector"; kv_role = $role } }\n'),
    ),
    "a variable that a function sets anew": (
        "a.py",
        'role = "kv_both"\ndef prefill():\n    role = pick()\n    return {"kv_connector": "NixlConnector", "kv_role": role}\n',
    ),
    "an attribute of another class": (
        "a.py",
        ('class PrefillCache:\n    def __init__(self):\n        self.role = "kv_both"\n\n\nclass Other:\n    def f(self):\n'
        '        return {"kv_connector": "NixlConnector", "kv_role": self.role}\n'),
    ),
    "a method of another class": (
        "a.py",
        ('class PrefillCache:\n    def role(self):\n        return "kv_both"\n\n\nclass Other:\n    def f(self):\n'
        '        return {"kv_connector": "NixlConnector", "kv_role": self.role()}\n'),
    ),
    "what both sides take of a table": (
        "a.py",
        'R = {"prefill": "kv_both"}\ndecode = {"kv_connector": "NixlConnector", "kv_role": R["prefill"]}\n',
    ),
    "a key that is not of its side": (
        "a.py",
        'R = {"not_prefill": "kv_both"}\nkv = {"kv_connector": "NixlConnector", "kv_role": R[x]}\n',
    ),
    "what a function gives back where it is not of the side": (
        "a.py",
        ('def r(side):\n    if side != "prefill":\n        return "kv_both"\n    return "kv_producer"\n\n'
        'kv = {"kv_connector": "NixlConnector", "kv_role": r(x)}\n'),
    ),
    "a table of another connector": ("a.py", TABLE.format('kv = {"kv_connector": "MooncakeConnector", "kv_role": R[x]}  # nixl')),
    "a local of another connector": (
        "a.tf",
        'locals {\n  r  = var.is_prefill ? "kv_both" : null\n  kv = jsonencode({ kv_connector = "MooncakeConnector", kv_role = local.r }) # nixl\n}\n',
    ),
    "a table for two connectors": (
        "a.py",
        TABLE.format(
            'a = {"kv_connector": "MooncakeConnector", "kv_role": R[x]}\nb = {"kv_connector": "NixlConnector", "kv_role": R[x]}'
        ),
    ),
    "a table whose keys are roles": (
        "a.ts",
        'const R = { producer: "kv_producer", both: "kv_both" };\nconst prefill = { kv_connector: "NixlConnector", kv_role: R.both };\n',
    ),
    "what is not of the side": (
        "a.ps1",
        '$kv = @{ kv_connector = "NixlConnector"; kv_role = ($Side -ne "prefill" ? "kv_both" : "kv_producer") }\n',
    ),
    "a key with the word": ("a.tf", 'locals {\n  kv_both = "x"\n  p = jsonencode({ kv_connector = "NixlConnector", kv_role = local.kv_both })\n}\n'),
}  # fmt: skip


def _found(name: str, text: str) -> list[str]:
    result = run.of_bytes(name, name, text.encode(), Options(Settings()))
    assert result is not None
    return [f.code for f in result.findings if CODES[f.code].means is not Means.EFFECT]


@pytest.mark.parametrize("what", BY_SIDE)
def test_each_value_of_what_is_chosen_by_side_gets_its_own_role(what: str) -> None:
    assert _found(*BY_SIDE[what]) == [P, D]
    result = run.of_bytes(BY_SIDE[what][0], BY_SIDE[what][0], BY_SIDE[what][1].encode(), Options(Settings()))
    assert result is not None
    assert result.after is not None
    assert b"kv_both" not in result.after


@pytest.mark.parametrize("what", ONE)
def test_a_role_put_into_a_config_of_a_known_side_is_written(what: str) -> None:
    assert _found(*ONE[what]) == [P]


@pytest.mark.parametrize("what", NOT_WRITTEN)
def test_a_role_that_may_become_another_connectors_or_sides_is_not_written(what: str) -> None:
    assert not {P, D} & set(_found(*NOT_WRITTEN[what]))
