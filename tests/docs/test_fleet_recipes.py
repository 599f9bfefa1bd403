"""The recipes for many repositories: what GitHub's search, multi-gitter and Sourcegraph run does what the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from support.docs import ROOT

FOLDER = ROOT / "examples" / "fleet"
PAGE = ROOT / "docs/howto/many-repositories.md"
NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
UNSAID = f"vllm serve m --kv-transfer-config '{NIXL}'\n"
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.invalid")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which kv-roles is this checkout's, pip installs nothing, and GitHub is a folder."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "kv-roles": f'exec {sys.executable} -m kvcommand.main "$@"',
        "pip": "exit 0",
        "gh": f"cat {tmp_path / 'found.json'} | {sys.executable} -c 'import json, sys\nfor f in json.load(sys.stdin):"
        ' print(f["repository"]["nameWithOwner"])\'',
    }.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "tools"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{tmp_path}/github/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }


def _repository(at: Path, text: str) -> Path:
    at.mkdir(parents=True)
    (at / "run.sh").write_text(text)
    for words in (["init", "-q"], ["add", "-A"], [*IDENTITY, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *words], cwd=at, check=True)
    return at


def _bash(script: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def test_a_search_becomes_a_list_and_a_report(tmp_path: Path, env: dict[str, str]) -> None:
    names = ["acme/one", "acme/two"]
    for name in names:
        _repository(tmp_path / "github" / f"{name}.git", f"# prefill\n{UNSAID}")
    found = [{"repository": {"nameWithOwner": n}} for n in (*names, names[0])]
    (tmp_path / "found.json").write_text(json.dumps(found))
    (script,) = re.findall(r"```bash\n(gh search.*?)```", PAGE.read_text(), re.DOTALL)
    script = script.replace("examples/fleet", str(FOLDER))
    for _ in range(2):
        ran = _bash(script, tmp_path, env)
        assert ran.returncode == 0, ran.stderr
        assert "2 roles certain in 2 files" in ran.stdout
    assert (tmp_path / "clones/list").read_text() == "clones/acme+one\nclones/acme+two\n"
    assert "acme+two/run.sh" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", ["--upload-pack=x", "a", "../x/y", "a/b/c", "a/-b", "a b/c"])
def test_what_is_no_repository_is_not_cloned(tmp_path: Path, env: dict[str, str], name: str) -> None:
    ran = subprocess.run(
        [FOLDER / "clone.sh", "clones"], input=f"{name}\n", cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert (ran.returncode, "is no OWNER/NAME" in ran.stderr) == (2, True)


def test_what_multi_gitter_runs_changes_what_is_certain_and_succeeds(tmp_path: Path, env: dict[str, str]) -> None:
    certain = _repository(tmp_path / "certain", f"# prefill\n{UNSAID}")
    open_ = _repository(tmp_path / "open", UNSAID)
    for repository, changed in ((certain, " M run.sh\n"), (open_, "")):
        ran = subprocess.run(
            [FOLDER / "rewrite.sh"], cwd=repository, env={**env, "REPOSITORY": "acme/x"}, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        status = subprocess.run(["git", "status", "--porcelain"], cwd=repository, capture_output=True, text=True)
        assert status.stdout == changed
    assert "KVR110" in ran.stdout


_BATCH_SPEC = {
    "type": "object",
    "required": ["version", "name", "on", "steps", "changesetTemplate"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": 2},
        "name": {"type": "string", "pattern": r"^[\w.-]+$"},
        "description": {"type": "string"},
        "on": {"type": "array", "minItems": 1, "items": {
            "type": "object", "additionalProperties": False, "required": ["repositoriesMatchingQuery"],
            "properties": {"repositoriesMatchingQuery": {"type": "string"}}}},
        "steps": {"type": "array", "minItems": 1, "items": {
            "type": "object", "additionalProperties": False, "required": ["run", "container"],
            "properties": {"run": {"type": "string"}, "container": {"type": "string"}}}},
        "changesetTemplate": {
            "type": "object", "additionalProperties": False, "required": ["title", "branch", "commit"],
            "properties": {
                "title": {"type": "string"}, "body": {"type": "string"}, "branch": {"type": "string"},
                "commit": {"type": "object", "required": ["message"]}, "published": {"enum": [True, False, "draft"]}}},
    },
}  # fmt: skip


def test_the_batch_spec_has_the_keys_of_one_and_its_step_changes_what_is_certain(
    tmp_path: Path, env: dict[str, str]
) -> None:
    spec = yaml.safe_load((FOLDER / "batch-spec.yaml").read_text())
    spec["on"] = spec.pop(True)  # YAML 1.1, which this parser reads, takes the word for a boolean
    jsonschema.Draft202012Validator(_BATCH_SPEC).validate(spec)
    assert "${{" not in (FOLDER / "batch-spec.yaml").read_text(), "the engine would fill it in"
    repository = _repository(tmp_path / "certain", f"# decode\n{UNSAID}")
    (step,) = spec["steps"]
    assert _bash(step["run"], repository, env).returncode == 0
    assert "kv_consumer" in (repository / "run.sh").read_text()
