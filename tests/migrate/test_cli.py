"""What a user types: report, --write, --diff, --check, --side, standard input, and the four outputs."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from kvroles.migrate import cli
from support.corpus import EVERY_CODE
from support.two_servers import NIXL, SCRIPT, UNSAID, run

pytestmark = pytest.mark.usefixtures("here")

REPO = Path(__file__).parents[2]


def test_report_names_place_code_side_and_evidence_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.sh").write_text(SCRIPT)
    code, out, err = run(capsys, "-v", "run.sh")
    assert (code, err) == (0, "")
    assert "run.sh:2:91: KVR101 prefill instance: kv_both -> kv_producer [NixlConnector]" in out
    assert "line 1: comment: prefill -> prefill" in out
    assert "KVR102" in out
    assert "2 roles certain in 1 file (--write" in out
    assert Path("run.sh").read_text() == SCRIPT


def test_write_rewrites_and_the_second_run_has_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.sh").write_text(SCRIPT)
    code, out, _ = run(capsys, "--write", "run.sh")
    assert code == 0
    assert "2 roles written" in out
    lines = Path("run.sh").read_text().splitlines()
    assert "kv_producer" in lines[1]
    assert "kv_consumer" in lines[3]
    code, out, _ = run(capsys, "--write", "--check", "run.sh")
    assert (code, out) == (0, "no NIXL role says kv_both; 1 file looked at\n")


def test_diff_is_a_patch_that_git_takes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.sh").write_text(SCRIPT)
    _, diff, _ = run(capsys, "--diff", "run.sh")
    assert Path("run.sh").read_text() == SCRIPT
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "apply", "--check", "-"], input=diff.encode(), check=True)
    assert diff.count("\n-") == 2
    assert (
        '+vllm serve m --port 8100 --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_producer"}\' &'
        in diff
    )


@pytest.mark.parametrize("given", ["absolute", "above", "inside"])
@pytest.mark.parametrize("tool", ["git apply", "patch -p1"])
@pytest.mark.parametrize("repository", [True, False])
def test_a_patch_of_what_lies_elsewhere_says_where_it_is_taken(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    tool: str,
    repository: bool,
) -> None:
    file = here / "w/sub/run.sh"
    file.parent.mkdir(parents=True)
    (here / "cwd").mkdir()
    file.write_text(SCRIPT)
    if repository:
        subprocess.run(["git", "init", "-q", "w"], check=True)
    monkeypatch.chdir(here / ("w" if given == "inside" else "cwd"))
    _, patch, _ = run(capsys, "--diff", "../w/sub" if given == "above" else str(file))
    assert "//" not in patch.partition("@@")[0]
    assert "/../" not in patch
    said = re.findall(r"the path below is of (.*): apply this there", patch)
    assert said == ([] if given == "inside" else [str(here / "w") if repository else "/"])
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(here)}
    subprocess.run(tool.split(), input=patch.encode(), check=True, cwd=said[0] if said else ".", env=env)
    assert "kv_producer" in file.read_text()


@pytest.mark.parametrize(
    "env", [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_patch_holds_the_bytes_of_the_file_whatever_the_encoding_of_the_output(env: dict[str, str]) -> None:
    Path("run.sh").write_text(SCRIPT.replace("vllm serve", "true Überall键 && vllm serve"), encoding="utf-8")
    args = [sys.executable, str(REPO / "tools/migrate.py"), "--diff", "run.sh"]
    patch = subprocess.run(args, env={**os.environ, **env}, capture_output=True, check=True).stdout
    assert "Überall键".encode() in patch
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "apply", "-"], input=patch, check=True)
    assert "kv_producer" in Path("run.sh").read_text(encoding="utf-8")


def test_diff_says_beside_the_patch_what_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    """Who runs it first, as the pages say, learns of what no patch shows; a pipe gets the patch alone."""
    Path("run.sh").write_text(SCRIPT)
    assert run(capsys, "--diff", ".")[2].startswith("2 roles certain in 1 file")
    Path("open.sh").write_text(f"vllm serve m --kv-transfer-config '{NIXL}'\n")
    Path("a.lua").write_text('x = "NixlConnector"\nkv_role = "kv_both"\n')
    assert cli.main(["--diff", "."]) == 0
    out, err = capsys.readouterr()
    assert "open.sh" not in out
    assert "open.sh:1:" in err
    assert "KVR110" in err
    assert "a.lua:2:" in err
    assert ", 1 to look at, 1 unread;" in err


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (SCRIPT, 1),
        (UNSAID, 1),
        (SCRIPT.replace("kv_both", "kv_producer"), 0),
        (UNSAID.replace("Nixl", "Mooncake"), 0),
        ("x\n", 0),
    ],
    ids=["certain", "undecided", "explicit", "other connector", "nothing"],
)
def test_check_fails_when_something_is_left(capsys: pytest.CaptureFixture[str], text: str, code: int) -> None:
    Path("run.sh").write_text(text)
    assert run(capsys, "--check", "run.sh")[0] == code


def test_check_with_write_fails_only_for_what_could_not_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.sh").write_text(SCRIPT)
    assert run(capsys, "--check", "--write", "a.sh")[0] == 0
    Path("b.sh").write_text(UNSAID)
    assert run(capsys, "--check", "--write", "b.sh")[0] == 1


def test_side_answers_what_the_files_do_not_say(capsys: pytest.CaptureFixture[str]) -> None:
    Path("deploy").mkdir()
    for name in ("a.sh", "b.sh"):
        Path("deploy", name).write_text(UNSAID)
    code, _, _ = run(
        capsys, "--write", "--check", "--side", "deploy/a.sh=prefill", "--side", "**/b.sh:1=decode", "deploy"
    )
    assert code == 0
    assert "kv_producer" in Path("deploy/a.sh").read_text()
    assert "kv_consumer" in Path("deploy/b.sh").read_text()


def test_side_overrules_a_shared_value_for_its_line_only(capsys: pytest.CaptureFixture[str]) -> None:
    both = f'KV=\'{NIXL}\'\nprefill() {{ vllm serve m --kv-transfer-config "$KV"; }}\ndecode() {{ vllm serve m --kv-transfer-config "$KV"; }}\n'
    Path("run.sh").write_text(both)
    run(capsys, "--write", "--side", "run.sh=prefill", "run.sh")
    assert Path("run.sh").read_text() == both
    code, out, _ = run(capsys, "--write", "--side", "run.sh:1=prefill", "run.sh")
    assert (code, "1 role written" in out) == (0, True)
    assert Path("run.sh").read_text() == both.replace("kv_both", "kv_producer")


def test_what_is_to_do_about_a_file_handed_to_the_other_side_is_said_in_full(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("prefill.env").write_text(f"KV='{NIXL}'\n")
    Path("compose.yaml").write_text("services:\n  decode:\n    env_file: prefill.env\n")
    _, out, _ = run(capsys, ".")
    assert "used in compose.yaml, line 3: decode -> decode" in out
    assert "prefill.env with kv_producer" in out
    assert "decode.env with kv_consumer" in out
    assert "`--side ./prefill.env:1=prefill` (or =decode)" in out


def test_side_does_not_overrule_what_the_files_say(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.sh").write_text(SCRIPT)
    run(capsys, "--write", "--side", "run.sh=decode", "run.sh")
    assert "kv_producer" in Path("run.sh").read_text().splitlines()[1]


def test_the_settings_file_keeps_answers(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.sh").write_text(UNSAID)
    Path("old").mkdir()
    Path("old/b.sh").write_text(UNSAID)
    Path("c.sh").write_text(UNSAID.replace("NixlConnector", "OurNixl"))
    Path(".kv-roles.toml").write_text(
        'exclude = ["old/**"]\nconnectors = ["OurNixl"]\n[side]\n"a.sh" = "decode"\n"c.sh" = "prefill"\n'
    )
    code, out, _ = run(capsys, "--check", "--write", "-v", ".")
    assert (code, out.count("(written)")) == (0, 2)
    assert "kv_both" in Path("old/b.sh").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("side = 3\n", "[side] is no table"),
        ('[side]\n"a" = "both"\n', "is no answer"),
        ('ignore = ["KVR999"]\n', "KVR999"),
        ("sides = {}\n", "means nothing"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_wrong_settings_file_is_one_paragraph(capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    Path(".kv-roles.toml").write_text(text)
    code, out, err = run(capsys, ".")
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [["missing.yaml"], ["--side", "a.sh", "."], ["--side", "a.sh=both", "."], ["--target-vllm", "x", "."],
     ["--target-vllm", "0.8.5", "."], ["--target-vllm", " ", "."], ["--target-vllm", "0.33.0-final", "."],
     ["-", "."], ["--config", "nope.toml", "."]],
)  # fmt: skip
def test_wrong_usage_is_one_paragraph_and_2(capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    code, out, err = run(capsys, *args)
    assert (code, out) == (2, "")
    assert err.startswith("kv-roles: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "comment", ["# kv-roles: ignore", "# kv-roles: ignore[KVR110]", "# kv-roles: ignore[KVR101, KVR110]"]
)
def test_a_comment_silences_a_finding(capsys: pytest.CaptureFixture[str], comment: str) -> None:
    Path("a.sh").write_text(f"{comment}\n{UNSAID}")
    assert run(capsys, "--check", "a.sh")[0] == 0
    Path("a.sh").write_text(UNSAID.rstrip() + f"  {comment}\n")
    assert run(capsys, "--check", "a.sh")[0] == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", f"prefill:\n  # kv-roles: ignore[KVR101]\n  args: ['{NIXL}']\n"),
        ("a.py", f"prefill = '{NIXL}'  # kv-roles: ignore[KVR101]\n"),
        ("a.go", f"package a\n\n// kv-roles: ignore[KVR101]\nvar prefillCfg = `{NIXL}`\n"),
        ("a.rs", f'// kv-roles: ignore[KVR101]\nconst PREFILL: &str = r#"{NIXL}"#;\n'),
        ("a.json5", f"{{\n  // kv-roles: ignore[KVR101]\n  prefill: {NIXL}\n}}\n"),
        ("a.json", f'{{"prefill": {{\n  "_comment": "kv-roles: ignore[KVR101]",\n  "kv": {NIXL}\n}}}}\n'),
        ("a.toml", f"[prefill]\n# kv-roles: ignore[KVR101]\nkv = '{NIXL}'\n"),
        ("a.md", f"# Prefill\n\n<!-- kv-roles: ignore[KVR101] -->\n\n```json\n\n{NIXL}\n```\n"),
        ("a.rst", f"Prefill\n=======\n\n.. kv-roles: ignore[KVR101]\n.. code-block:: json\n\n   {NIXL}\n"),
        ("a.yaml.j2", f"prefill:\n  {{# kv-roles: ignore[KVR101] #}}\n  args: ['{NIXL}']\n  x: {{{{ x }}}}\n"),
        ("a.tpl", f"prefill:\n  {{{{- /* kv-roles: ignore[KVR101] */}}}}\n  args: ['{NIXL}']\n  x: {{{{ .x }}}}\n"),
        ("Makefile", f"prefill:\n\t# kv-roles: ignore[KVR101]\n\tvllm serve m --kv-transfer-config '{NIXL}'\n"),
        (
            "a.sh",
            f"# kv-roles: ignore[KVR101]\nvllm serve prefill-$X \\\n  --port 1 \\\n  --kv-transfer-config '{NIXL}'\n",
        ),
    ],
    ids=lambda v: v if len(v) < 12 else "",
)
def test_a_comment_silences_in_every_language(capsys: pytest.CaptureFixture[str], name: str, text: str) -> None:
    Path(name).write_text(text)
    assert run(capsys, "--check", name) == (
        0,
        "0 roles certain in 0 files, 0 to look at; 1 silenced; 1 file looked at\n",
        "",
    )
    Path(name).write_text(text.replace("KVR101", "KVR102"))
    assert run(capsys, "--check", name)[0] == 1


def test_a_notebooks_comment_silences(capsys: pytest.CaptureFixture[str]) -> None:
    cell = {"cell_type": "code", "source": ["# kv-roles: ignore[KVR101]\n", f"prefill = '{NIXL}'\n"], "outputs": []}
    Path("a.ipynb").write_text(json.dumps({"cells": [cell], "nbformat": 4}, indent=1))
    assert run(capsys, "--check", "a.ipynb")[0] == 0


def test_a_comment_for_another_code_or_place_silences_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.sh").write_text(f"# kv-roles: ignore[KVR101]\n{UNSAID}")
    assert run(capsys, "--check", "a.sh")[0] == 1
    Path("a.sh").write_text(f"# kv-roles: ignore\n\n{UNSAID}")
    assert run(capsys, "--check", "a.sh")[0] == 1


def test_a_silenced_role_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    text = SCRIPT.replace("# prefill\n", "# prefill\n# kv-roles: ignore\n")
    Path("run.sh").write_text(text)
    run(capsys, "--write", "run.sh")
    lines = Path("run.sh").read_text().splitlines()
    assert "kv_both" in lines[2]
    assert "kv_consumer" in lines[4]


def test_check_fails_on_a_file_that_was_skipped_and_may_say_kv_both(capsys: pytest.CaptureFixture[str]) -> None:
    Path("odd.yaml").write_bytes(b"# caf\xe9\nrole: kv_both")
    code, out, _ = run(capsys, "--check", ".")
    assert code == 1
    assert "odd.yaml:2:7: KVR190 skipped: not UTF-8" in out
    assert "1 unread; 1 file looked at" in out
    assert run(capsys, ".")[0] == 0
    Path(".kv-roles.toml").write_text('exclude = ["odd.yaml"]\n')
    assert run(capsys, "--check", ".")[0] == 0


def test_a_binary_file_is_passed_over_and_counted_and_named_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    Path("core.dump").write_bytes(b"\0NixlConnector kv_both")
    Path("picture.png").write_bytes(b"kv_both")
    said = "nothing was looked at; passed over: 2 binary\n"
    assert run(capsys, "--check", ".") == (0, said, "")
    assert "core.dump: passed over: binary\npicture.png: passed over: binary\n" in run(capsys, "-v", ".")[1]
    assert run(capsys, "--check", "core.dump")[0] == 1
    assert run(capsys, "--check", "picture.png")[0] == 1


def test_of_an_empty_folder_is_said_that_nothing_was_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    Path("submodule").mkdir()
    assert run(capsys, "--check", "submodule") == (0, "nothing was looked at\n", "")
    Path("submodule/README.md").write_text("# Ours\n")
    assert run(capsys, "--check", "submodule") == (0, "no NIXL role says kv_both; 1 file looked at\n", "")


def test_a_placeholder_is_shown_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.yaml").write_text('a: {kv_connector: "{{ .Values.kv.connector }}", kv_role: kv_both}\n')
    _, out, _ = run(capsys, "a.yaml")
    assert (
        "KVR118 unread: the connector '{{ .Values.kv.connector }}' is a placeholder [{{ .Values.kv.connector }}]" in out
    )


def _stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_standard_input_is_read_as_what_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = f"""\
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {{name: vllm-prefill}}
  spec: {{template: {{spec: {{containers: [{{args: ["--kv-transfer-config", '{NIXL}']}}]}}}}}}
"""
    _stdin(monkeypatch, listed.encode())
    code, out, _ = run(capsys, "--check", "-")
    assert code == 1
    assert "-:7:" in out
    assert "KVR101" in out


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'apiVersion: v1\nitems: []\nkind: List\nmetadata:\n  resourceVersion: ""\n', "is a list without objects"),
        (b'{\n    "apiVersion": "v1",\n    "items": [],\n    "kind": "PodList"\n}\n', "is a list without objects"),
    ],
)
def test_standard_input_in_which_nothing_is_to_be_looked_at_is_no_all_clear(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: bytes, said: str
) -> None:
    """'kubectl get' with the wrong namespace, or one that failed before the pipe."""
    _stdin(monkeypatch, data)
    code, out, err = run(capsys, "--check", "-")
    assert (code, out) == (2, "")
    assert f"Standard input {said}, so nothing was looked at" in " ".join(err.split())


def test_standard_input_is_rewritten_to_standard_output(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    _stdin(monkeypatch, SCRIPT.encode())
    assert cli.main(["--write", "-v", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert out.decode() == SCRIPT.replace("kv_both", "kv_producer", 1).replace("kv_both", "kv_consumer")
    assert b"KVR101" in err


def test_json_follows_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads((REPO / "docs/data/migrate.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    Path("run.sh").write_text(SCRIPT + "\n" + UNSAID)
    for args in (["--json", "run.sh"], ["--json", *EVERY_CODE], ["--json", "--write", "run.sh"]):
        _, out, _ = run(capsys, *args)
        report = json.loads(out)
        jsonschema.validate(report, schema)
        assert report["findings"]
    assert [c["written"] for c in report["changes"]] == [True]


def test_sarif_holds_rules_places_and_fixes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a b.sh").write_text(SCRIPT)
    _, out, _ = run(capsys, "--sarif", ".")
    log = json.loads(out)
    assert log["version"] == "2.1.0"
    (only,) = log["runs"]
    rules = only["tool"]["driver"]["rules"]
    for r in only["results"]:
        assert rules[r["ruleIndex"]]["id"] == r["ruleId"]
        assert r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b.sh"
    region = only["results"][0]["fixes"][0]["artifactChanges"][0]["replacements"][0]["deletedRegion"]
    line = SCRIPT.splitlines()[region["startLine"] - 1]
    assert line[region["startColumn"] - 1 : region["endColumn"] - 1] == "kv_both"


def test_github_annotations_escape_what_would_break_them(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a,b:c.sh").write_text(SCRIPT)
    _, out, _ = run(capsys, "--github", ".")
    first = out.splitlines()[0]
    assert first.startswith("::error file=a%2Cb%3Ac.sh,line=2,col=91,title=KVR101 prefill-says-both::prefill instance")
    assert "%0Aline 1" in first
    Path("::error::x.sh").write_text(SCRIPT)
    assert "::error file=%3A%3Aerror%3A%3Ax.sh,line=2," in run(capsys, "--github", "./::error::x.sh")[1]


def test_verbose_tells_of_what_was_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.sh").write_text(SCRIPT + UNSAID.replace("NixlConnector", "LMCacheConnectorV1"))
    assert "KVR121" not in run(capsys, "run.sh")[1]
    assert "KVR121 LMCacheConnectorV1: not NIXL, left as it is" in run(capsys, "-v", "run.sh")[1]


def test_the_script_runs_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text(SCRIPT)
    ran = subprocess.run(
        [sys.executable, REPO / "tools/migrate.py", "--check", "run.sh"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "KVR102" in ran.stdout
    assert ran.stderr == ""


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    from kvroles.migrate.codes import CODES
    from kvworkshop import lint

    pages = {p.stem: p.read_text() for p in (REPO / "docs/kvr").glob("KVR*.md")}
    assert set(pages) == set(CODES) | set(lint.CODES)
    folders = (REPO / "tools/kvroles/migrate", REPO / "tools/kvroles/evidence")
    source = "".join(p.read_text() for f in folders for p in f.rglob("*.py") if p.name != "codes.py")
    for code, found in CODES.items():
        assert f'"{code}"' in source, f"{code} is never found"
        assert found.summary.rstrip(".") in pages[code], code
        for part in ("**What to do.**", "**When it is wrong.**", f"kv-roles: ignore[{code}]"):
            assert part in pages[code], f"{code}: {part}"


@pytest.mark.parametrize("form", [(), ("--json",), ("--diff",), ("--sarif",)])
def test_output_that_cannot_be_written_is_an_error_in_words(form: tuple[str, ...]) -> None:
    Path("run.sh").write_text(SCRIPT)
    with open("/dev/full", "w") as full:
        command = [sys.executable, REPO / "tools" / "migrate.py", *form, "run.sh"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "kv-roles: Standard output cannot be written: No space left on device.\n"
