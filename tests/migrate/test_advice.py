"""What is said is to do, done: after it a gate passes, and what was to come out came out."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from kvroles.migrate import cli, run
from kvroles.migrate.model import Finding
from kvroles.migrate.settings import Options, Settings

pytestmark = pytest.mark.usefixtures("here")

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
BIDIRECTIONAL = (
    '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_connector_extra_config":{"bidirectional_kv_xfer":true}}'
)
SERVE = f"vllm serve m --kv-transfer-config '{NIXL}'\n"
# code: name and text of a file for which it says what is to do
OPEN = {
    "KVR110": ("a.sh", SERVE),
    "KVR110 over lines": ("a.sh", f"vllm serve m \\\n  --port 1 \\\n  --kv-transfer-config '{NIXL}'\n"),
    "KVR110 yaml": ("a.yaml", f"args:\n- --kv-transfer-config\n- '{NIXL}'\n"),
    "KVR110 go": ("a.go", f"package a\n\nvar kv = `{NIXL}`\n"),
    "KVR110 json": ("a.json", f'{{\n  "kv": {NIXL}\n}}\n'),
    "KVR110 document": ("a.md", f"# Start\n\nRun it:\n\n```bash\n{SERVE}```\n"),
    "KVR110 rst": ("a.rst", f"Start\n=====\n\n.. code-block:: bash\n\n   {SERVE}"),
    "KVR111": ("a.sh", f"start_prefill() {{\n  vllm serve m --disaggregation-mode decode --kv-transfer-config '{NIXL}'\n}}\n"),
    "KVR112": ("decode.yaml", f"name: decode\nargs: ['--kv-transfer-config', '{NIXL}']\n"),
    "KVR113 document": ("a.md", f"Use the same config on both the prefill and the decode instances:\n\n```json\n{NIXL}\n```\n"),
    "KVR114": ("a.sh", f"# Aggregated: one server does both\n{SERVE}"),
    "KVR131": ("a.sh", f"# prefill\nvllm serve m --kv-transfer-config '{BIDIRECTIONAL}'\n"),
    "KVR132": ("a.sh", f"# decode, beside a prefill server\nDISAGG=1 vllm serve m -pp 2 --pipeline-parallel-size 2 --kv-transfer-config '{NIXL}'\n"),
}  # fmt: skip


def _finding(name: str, text: str, code: str) -> Finding:
    Path(name).write_text(text)
    result = run.of_bytes(name, name, text.encode(), Options(Settings()), named=True)
    assert result is not None
    (f,) = [f for f in result.findings if f.code == code.partition(" ")[0]]
    return f


@pytest.mark.parametrize("case", OPEN)
def test_the_comment_that_is_offered_keeps_both(case: str) -> None:
    name, text = OPEN[case]
    f = _finding(name, text, case)
    m = re.search(r"say so: (.*?kv-roles: keep both because \.\.\..*?) (above|in the line above)", f.fix)
    assert m is not None, f.fix
    comment = m.group(1).replace("...", "the test says so") + ("," if m.group(1).startswith('"') else "")
    lines = text.splitlines()
    at = f.line - 1
    if m.group(2) == "above" and "block" in f.fix:
        at = next(n for n in range(at, -1, -1) if lines[n].startswith("```"))
        lines.insert(at, "")
    elif m.group(2) == "above" and name.endswith(".rst"):
        at, comment = next(n for n in range(at, -1, -1) if lines[n].startswith("..")), f".. {comment}\n"
    elif "command" in f.fix:
        while at and lines[at - 1].endswith("\\"):
            at -= 1
    indent = lines[f.line - 1][: len(lines[f.line - 1]) - len(lines[f.line - 1].lstrip())] if at == f.line - 1 else ""
    lines.insert(at, indent + comment)
    Path(name).write_text("\n".join(lines) + "\n")
    assert cli.main(["--check", name]) == 0, Path(name).read_text()
    assert "kv_both" in Path(name).read_text()


@pytest.mark.parametrize("case", [c for c in OPEN if c.partition(" ")[0] in {"KVR110", "KVR111", "KVR112", "KVR114"}])
def test_the_answer_that_is_offered_settles_the_side(case: str) -> None:
    name, text = OPEN[case]
    m = re.search(r"`--side ([^`]+)` \(or =decode\)", _finding(name, text, case).fix)
    assert m is not None
    assert cli.main(["--check", "--write", "--side", m.group(1), name]) == 0
    assert Path(name).read_text() == text.replace("kv_both", "kv_producer")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (OPEN["KVR114"][1], "KVR114"),
        (f"# encode worker\nencode() {{\n  vllm serve m --kv-transfer-config '{NIXL}'\n}}\n", "KVR115"),
    ],
)
def test_what_has_no_side_is_removed_and_a_gate_passes(text: str, code: str) -> None:
    assert _finding("a.sh", text, code).fix.startswith("remove the NIXL config")
    assert cli.main(["--check", "a.sh"]) == 1
    Path("a.sh").write_text(text.replace(f" --kv-transfer-config '{NIXL}'", ""))
    assert cli.main(["--check", "a.sh"]) == 0


def test_a_dump_is_mended_where_its_object_was_made_from() -> None:
    """The manifest is rewritten and applied; what the cluster then holds passes, as does the manifest."""
    manifest = (
        f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: prefill\n{{}}spec:\n  containers:\n  - args: ['{NIXL}']\n"
    )
    live = "  uid: 1-2\n  resourceVersion: '7'\n"
    Path("pod.yaml").write_text(manifest.replace("{}", ""))
    assert _finding("dump.yaml", manifest.replace("{}", live), "KVR119").fix == (
        "change what the object was made from, and apply that"
    )
    assert cli.main(["--check", "--write", "pod.yaml", "dump.yaml"]) == 1
    assert Path("dump.yaml").read_text() == manifest.replace("{}", live)  # never rewritten
    applied = Path("pod.yaml").read_text()
    assert "kv_producer" in applied
    Path("dump.yaml").write_text(applied.replace("spec:", f"{live}spec:", 1))
    assert cli.main(["--check", "pod.yaml", "dump.yaml"]) == 0


@pytest.mark.parametrize(
    ("name", "text", "variable"),
    [
        (
            "a.py",
            (
                f"def start():\n    for role, port in [('prefill', 1), ('decode', 2)]:\n        kv = '{NIXL}'\n"
                "        run(['vllm', 'serve', 'm', '--port', port, '--kv-transfer-config', kv])\n"
            ),
            "role",
        ),
        ("a.sh", f"for side in prefill decode; do\n  vllm serve m --kv-transfer-config '{NIXL}' &\ndone\n", "side"),
        (
            "b.py",
            (
                f"def args(model, role):\n    kv = '{NIXL}'\n    port = 1 if role == 'prefill' else 2\n"
                "    return ['vllm', 'serve', model, '--port', port, '--kv-transfer-config', kv]\n\n\n"
                "for r in ('prefill', 'decode'):\n    args('m', r)\n"
            ),
            "role",
        ),
    ],
)
def test_where_a_variable_says_the_side_the_role_is_derived_from_it(name: str, text: str, variable: str) -> None:
    assert _finding(name, text, "KVR113").fix.startswith(f"derive kv_role from {variable}, which says the side here")


def test_a_function_that_is_told_its_side_derives_the_role_from_that() -> None:
    text = f"start() {{\n  vllm serve m --port $2 --kv-transfer-config '{NIXL}'\n}}\nstart prefill 8100\nstart decode 8200\n"
    f = _finding("a.sh", text, "KVR113")
    m = re.fullmatch(
        r"derive the role in start from (\$\d), by which its calls say their side: kv_producer where .*", f.fix
    )
    assert m is not None, f.fix
    role = f"case {m.group(1)} in prefill) role=kv_producer ;; decode) role=kv_consumer ;; esac"
    body = text.replace("start() {", f"start() {{\n  {role}").replace("kv_both", "'$role'")
    Path("a.sh").write_text(body)
    Path("vllm").write_text('#!/bin/sh\necho "$4 $6"\n')
    Path("vllm").chmod(0o755)
    env = {"PATH": f"{Path.cwd()}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "a.sh"], capture_output=True, text=True, check=True, env=env)
    roles = re.findall(r"(\d+) .*(kv_\w+)", ran.stdout)
    assert roles == [("8100", "kv_producer"), ("8200", "kv_consumer")]
    assert cli.main(["--check", "a.sh"]) == 0


@pytest.mark.parametrize(
    ("name", "text", "argument"),
    [
        ("a.py", f"def start(port, role):\n    return '{NIXL}'\n\nrun(start(1, 'prefill'))\nrun(start(2, 'decode'))\n", "role"),
        ("a.go", f'package a\nfunc args(side string) []string {{\n\treturn []string{{`{NIXL}`}}\n}}\nfunc main() {{\n\trun(args("prefill"))\n\trun(args("decode"))\n}}\n', "side"),
        ("a.sh", f'up() {{\n  vllm serve m --kv-transfer-config \'{NIXL}\'\n}}\nup 1 "prefill"; echo\nup 2 "decode" &\n', "$2"),
    ],
    ids=["python", "go", "shell"],
)  # fmt: skip
def test_the_argument_is_named_as_the_function_names_it(name: str, text: str, argument: str) -> None:
    assert f" from {argument}, by which its calls say their side" in _finding(name, text, "KVR113").fix


def test_a_function_that_is_told_nothing_of_its_side_is_split() -> None:
    text = f"up() {{\n  vllm serve m --port $1 --kv-transfer-config '{NIXL}'\n}}\n# prefill\nup 1\n# decode\nup 2\n"
    assert _finding("a.sh", text, "KVR113").fix.startswith("split up in two: prefill_up with kv_producer")


def test_a_variable_that_feeds_both_is_split_into_the_names_that_are_said() -> None:
    text = f'KV=\'{NIXL}\'\n# prefill\nvllm serve m --kv-transfer-config "$KV" &\n# decode\nvllm serve m --kv-transfer-config "$KV" &\n'
    m = re.fullmatch(
        r"split KV in two: (\w+) with kv_producer, used for prefill in line (\d+), and (\w+) with kv_consumer, used for "
        r"decode in line (\d+)", _finding("a.sh", text, "KVR113").fix,
    )  # fmt: skip
    assert m is not None
    lines = text.splitlines()
    for name, line in ((m.group(1), m.group(2)), (m.group(3), m.group(4))):
        lines[int(line) - 1] = lines[int(line) - 1].replace("$KV", f"${name}")
    lines[0] = f"{m.group(1)}='{NIXL}'\n{m.group(3)}='{NIXL}'"
    Path("a.sh").write_text("\n".join(lines) + "\n")
    assert cli.main(["--check", "--write", "a.sh"]) == 0
    assert re.findall(r"kv_(?:producer|consumer)", Path("a.sh").read_text()) == ["kv_producer", "kv_consumer"]


def test_a_prefill_that_has_to_stay_is_told_nothing_of_what_a_move_would_change() -> None:
    Path("a.sh").write_text(OPEN["KVR131"][1])
    result = run.of_bytes("a.sh", "a.sh", OPEN["KVR131"][1].encode(), Options(Settings(), _release("0.33.0")))
    assert result is not None
    assert [f.code for f in result.findings] == ["KVR131"]
    assert "kv_producer: " not in result.findings[0].fix


def _release(text: str) -> object:
    from kvroles.migrate.verdict import hazards

    return hazards.target(text)


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("a.py", f"def test_x():\n    prefill = '{NIXL}'\n    assert prefill.kv_role == 'kv_both'\n", "KVR116"),
    ],
)
def test_what_a_test_sets_up_and_expects_is_written_in_both_lines(name: str, text: str, code: str) -> None:
    m = re.fullmatch(r"write (kv_producer) here and in line (\d+)", _finding(name, text, code).fix)
    assert m is not None
    Path(name).write_text(text.replace("kv_both", m.group(1)))
    assert cli.main(["--check", name]) == 0


def test_a_role_without_a_connector_is_answered_or_silenced_as_it_is_said() -> None:
    text = 'kv_role: "kv_both"\n'
    f = _finding("a.yaml", text, "KVR118")
    m = re.search(r"`--side ([^`]+)` \(or =decode\)", f.fix)
    assert m is not None
    Path("a.yaml").write_text(f"# {f.fix.rpartition('with a comment: ')[2]}\n{text}")
    assert cli.main(["--check", "a.yaml"]) == 0
    Path("a.yaml").write_text(text)
    assert cli.main(["--check", "--write", "--side", m.group(1), "a.yaml"]) == 0
    assert Path("a.yaml").read_text() == text.replace("kv_both", "kv_producer")
