"""A ``kv_both`` that a search for the word passes over is never told "no NIXL role says kv_both"."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from kvroles.evidence.text import Text
from kvroles.migrate import cli
from kvroles.migrate.files import hits, spelled

ROLE = '{"kv_connector": "NixlConnector", "kv_role": "kv_both"}'
ESCAPED = ROLE.replace("kv_both", "kv\\u005fboth")
KEY = "kv_" + "role"  # else these lines would be such places themselves

TEXTS = {
    "secret in base64, one character before": (
        "s.yaml",
        "data:\n  a: " + base64.b64encode(b"x" + ROLE.encode()).decode(),
    ),
    "secret in base64, two before": ("s.yaml", "data:\n  a: " + base64.b64encode(b"xy" + ROLE.encode()).decode()),
    "secret in base64": ("s.yaml", "data:\n  a: " + base64.b64encode(ROLE.encode()).decode()),
    "escaped in JSON": ("a.json", ESCAPED),
    "escaped in JSON within YAML": ("a.yaml", f"arg: '{ESCAPED}'\n"),
    "escaped in YAML": ("a.yaml", ROLE.replace("kv_both", "kv\\x5fboth")),
    "escaped in an address": ("a.sh", f"curl 'http://a/start?{KEY}=kv%5Fboth'\n"),
    "a shell's variable": ("a.sh", f'vllm serve m --kv-transfer-config "{{\\"{KEY}\\":\\"kv_$MODE\\"}}"\n'),
    "a shell's quotes": ("a.sh", f'''vllm serve m --kv-transfer-config '{{"{KEY}":"kv_'both'"}}'\n'''),
    "Python's hole": ("a.py", f'KVTransferConfig(kv_connector="NixlConnector", {KEY}=f"kv_{{side}}")\n'),
    "Python's sum": ("a.py", f'KVTransferConfig(kv_connector="NixlConnector", {KEY}="kv_" + side)\n'),
    "two strings": ("a.py", f'KVTransferConfig(kv_connector="NixlConnector", {KEY}="kv_" "both")\n'),
    "escaped in XML": ("a.xml", f'<arg>{{"{KEY}":"kv&#95;both"}}</arg>\n'),
    "escaped in HTML": ("a.html", "<code>kv&#x5f;both</code>\n"),
    "escaped twice in an address": ("a.sh", "curl 'http://a/start?role=kv%255Fboth'\n"),
    "escaped in Rust": ("a.rs", 'let role = "kv\\u{5f}both";\n'),
    "escaped in octal": ("a.py", 'role = "kv\\137both"\n'),
    "joined": ("a.py", f'KVTransferConfig(kv_connector="NixlConnector", {KEY}="_".join(["kv","both"]))\n'),
    "joined far from its key": ("a.js", 'const role = ["kv", "both"].join("_");\nstart("NixlConnector", role);\n'),
    "added": ("a.go", 'package a\n\nvar c, r = "NixlConnector", "kv" + "_both"\n'),
    "formatted": ("a.py", 'c = "NixlConnector"\nr = "kv_{}".format("both")\n'),
    "printed": ("a.sh", "R=$(printf 'kv_%s' both)\nserve NixlConnector $R\n"),
    "parted by quotes": ("a.sh", 'R=kv""_both\nserve NixlConnector $R\n'),
    "another dash": ("a.py", 'c = "NixlConnector"\nr = "kv-both".replace("-", "_")\n'),
    "capitals": ("a.py", f'KVTransferConfig(kv_connector="NixlConnector", {KEY}="KV_BOTH".lower())\n'),
    "a shell's capitals": (
        "a.sh",
        f'R=KV_BOTH\nvllm serve m --kv-transfer-config "{{\\"kv_connector\\":\\"NixlConnector\\",\\"{KEY}\\":\\"${{R,,}}\\"}}"\n',
    ),
    "a template's capitals": ("a.yaml", f'kv_connector: NixlConnector\n{KEY}: {{{{ "KV_BOTH" | lower }}}}\n'),
    "a constant from elsewhere": (
        "a.py",
        f'from roles import KV_BOTH\n\nKVTransferConfig(kv_connector="NixlConnector", {KEY}=KV_BOTH)\n',
    ),
    "a constant of a package": (
        "a.go",
        f'package a\n\nvar c = kv.Of{{Connector: "NixlConnector", Role: roles.KVBoth}} // {KEY}\n',
    ),
    "a chart's value": ("values.yaml", "kvConnector: NixlConnector\nkvRole: both\n"),
    "a module's setting": ("a.tf", f'module "m" {{\n  kv_connector = "NixlConnector"\n  {KEY} = "both"\n}}\n'),
    "a launcher's flag": ("a.sh", "./start.sh --connector NixlConnector --kv-role both\n"),
    "an environment's variable": ("a.sh", "KV_ROLE=both ./start.sh --connector NixlConnector\n"),
    "a template": ("a.yaml", f"kv_connector: NixlConnector\n{KEY}: kv_{{{{ .Values.role }}}}\n"),
}


def _check(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    return cli.main(["--check", *args, "."]), capsys.readouterr().out


@pytest.mark.parametrize("what", TEXTS)
def test_what_is_spelled_otherwise_is_unread_and_fails_the_gate(
    what: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, text = TEXTS[what]
    (here / name).write_text(f"\n{text}\n")
    code, out = _check(capsys)
    assert (code, "KVR118 unread" in out, "no NIXL role says" in out) == (1, True, False), out


def test_the_other_roles_of_the_file_are_decided(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such a place has no owner whose twin another role could be."""
    prefill = 'c = KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both")'
    decode = prefill.replace('"kv_both"', '"kv_" "both"').replace("kv_role", KEY)
    (here / "a.md").write_text(
        f"## Prefill worker\n\n```python\n{prefill}\n```\n\n## Decode worker\n\n```python\n{decode}\n```\n"
    )
    code, out = _check(capsys)
    assert code == 1
    assert "1 role certain" in out
    assert "a.md:10:52: KVR118 unread: the role is put together here" in out


QUIET = {
    "a role of one side": ("a.yaml", f"{KEY}: kv_producer\n"),
    "all roles": ("a.md", f"`{KEY}` is one of kv_*.\n"),
    "a comment": ("a.py", f'# {KEY}="kv_" + side\n'),
    "another setting": ("a.py", 'name = f"kv_{layer}"\n'),
    "the halves beside no connector of NIXL's": ("a.py", 'ways = ["kv", "both"]\n'),
    "both beside no connector of NIXL's": ("a.yaml", "kvRole: both\n"),
    "both as one of several": ("a.ts", 'type C = { kvRole: "both" | "producer"; connector: "NixlConnector" };\n'),
    "both in a sentence": ("a.md", f"NixlConnector: the {KEY} both sides have.\n"),
    "a comparison with capitals": ("a.py", f'c = "NixlConnector"\nif {KEY} == "KV_BOTH":\n    pass\n'),
    "a list of capitals": ("a.py", f'c = "NixlConnector"\n{KEY}s = (KV_BOTH, KV_PRODUCER)\n'),
    "a table's capitals": ("a.py", f'{KEY} = "NixlConnector"\nnames = {{"KV_BOTH": 1}}\n'),
    "a constant of the file": ("a.py", f'KV_BOTH = "b"\nc = "NixlConnector"\n{KEY} = KV_BOTH\n'),
    "an alert's name": ("a.yaml", f"- alert: KvBoth\n  expr: {KEY} NixlConnector\n"),
    "a log": ("a.log", f'2026-01-01 10:00:00 {KEY}="kv_" + side\n'),
}


@pytest.mark.parametrize("what", QUIET)
def test_what_is_only_like_another_spelling_is_not_unread(
    what: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, text = QUIET[what]
    (here / name).write_text(text)
    code, out = _check(capsys)
    assert (code, "KVR118" in out) == (0, False), out


def test_a_comment_or_the_baseline_keeps_another_spelling(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"curl 'http://a/?{KEY}=kv%5Fboth'\n"
    file = here / "a.sh"
    file.write_text(f"# kv-roles: ignore[KVR118]\n{line}")
    assert _check(capsys)[0] == 0
    file.write_text(line)
    assert _check(capsys, "--baseline", "b", "--write-baseline")[0] == 0
    file.write_text(f"# moved\n{line}")
    assert _check(capsys, "--baseline", "b")[0] == 0
    file.write_text(line + line.replace("//a/", "//b/"))
    code, out = _check(capsys, "--baseline", "b")
    assert (code, "a.sh:2:" in out, "a.sh:1:" in out) == (1, True, False), "another place is new"


@pytest.mark.parametrize("before", [0, (1 << 20) - 30, (1 << 20) + 9])
def test_another_spelling_is_found_anywhere_in_a_large_file(before: int, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(" " * before + ESCAPED + " " * (1 << 20))
    assert list(hits.holding([str(file)])) == [str(file)]


def test_every_form_has_a_sign_that_the_search_looks_for() -> None:
    for _, text in TEXTS.values():
        assert any(True for _ in spelled.places(Text(text))), text
        assert any(needle in text.encode() for needle in spelled.NEEDLES), text
