"""From a fresh install to the end: a repository reviewed until its gates are green, twenty reported on and answered, and a
live cluster with a dump of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pexpect
import pytest
import yaml
from support import composite, own_wheel
from support.kube_api import KubeApi

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests/corpus"
NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
REPOSITORIES = 20


@pytest.fixture(scope="module")
def kv_roles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command ``kv-roles`` of an environment that holds the wheel of this project; the libraries come from the tests' own."""
    env = own_wheel.installed(ROOT, tmp_path_factory.mktemp("installed"))
    return own_wheel.command(env, "kv-roles")


def _run(command: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([command, "migrate", *args], cwd=folder, capture_output=True, text=True, check=False)


def _review(command: Path, folder: Path, *args: str) -> pexpect.spawn:
    return pexpect.spawn(
        str(command), ["migrate", "--review", *args], cwd=folder, encoding="utf-8", timeout=120, dimensions=(24, 80),
        env={**os.environ, "TERM": "dumb", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip


def _git(folder: Path, *args: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    return subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_one_repository_from_review_to_a_green_gate_in_ci(kv_roles: Path, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    (repo / "deploy").mkdir(parents=True)
    _git(repo, "init", "-q")
    serve = f"vllm serve m --kv-transfer-config '{NIXL}'\n"
    (repo / "deploy/prefill.sh").write_text(f"#!/bin/bash\n# prefill\n{serve}")
    (repo / "deploy/worker.sh").write_text(f"#!/bin/bash\n{serve}")
    (repo / "deploy/kv.lua").write_text("role = kv_both\n")
    (repo / "README.md").write_text(f"Start either server with:\n\n```json\n{NIXL}\n```\n")
    _git(repo, "add", "-A")
    _git(repo, "commit", "-qm", "as it was")
    assert _run(kv_roles, repo, "--check", ".").returncode == 1

    child = _review(kv_roles, repo, "--check", ".")
    for place, keys in (
        ("README.md:4  (1 of 3)", "bthe page is for both sides\r"),
        ("deploy/kv.lua:1  (2 of 3)", "bthe router reads it, not vLLM\r"),
        ("deploy/worker.sh:2  (3 of 3)", "d"),
    ):
        child.expect_exact(place)
        child.expect_exact("u,q,?] ")
        child.send(keys)
    child.expect_exact("Write 2 roles in 2 files? [y,n] ")
    child.send("y")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    _git(repo, "add", "-A")
    changed = _git(repo, "diff", "--cached", "--numstat").split("\n")
    assert [line.split("\t")[2] for line in changed if line] == [
        ".kv-roles.toml",
        "deploy/prefill.sh",
        "deploy/worker.sh",
    ]
    _git(repo, "commit", "-qm", "the roles are explicit")

    def gates() -> tuple[int, int]:
        hooks = {h["id"]: h for h in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
        files = _git(repo, "ls-files").split()
        hook = subprocess.run([kv_roles, *hooks["kv-roles"]["entry"].split()[1:], *files], cwd=repo, check=False)
        action = composite.run(
            ROOT / "action.yml", {"sarif": "out/kv.sarif"}, workspace=repo, temp=kv_roles.parents[2],
            outputs={"python": {"python-path": sys.executable}}, without=("Install kv-roles",),
        )  # fmt: skip
        print(action.log)
        return hook.returncode, action.code

    assert gates() == (0, 0)
    log = json.loads((repo / "out/kv.sarif").read_text())["runs"][0]["results"]
    said = [s["justification"] for r in log for s in r.get("suppressions", [])]
    assert said == ["the page is for both sides", "the router reads it, not vLLM"]
    readme = repo / "README.md"
    readme.write_text(f"# A title\n\nAnd a sentence.\n\n{readme.read_text()}")
    assert gates() == (0, 0)
    (repo / "deploy/new.sh").write_text(serve)
    _git(repo, "add", "-A")
    assert gates() == (1, 1)


def test_twenty_repositories_are_reported_on_answered_and_stay_answered(kv_roles: Path, tmp_path: Path) -> None:
    names = sorted(p.name for p in CORPUS.iterdir() if p.is_dir() and any(p.iterdir()))[:REPOSITORIES]
    assert len(names) == REPOSITORIES
    for name in names:
        shutil.copytree(CORPUS / name, tmp_path / name)
        (tmp_path / name / ".git").mkdir()
    found = json.loads(_run(kv_roles, tmp_path, "--json", *names).stdout)["findings"]
    open_ = [f for f in found if f["means"] in {"role", "unread"} and f["role"] is None]
    report = _run(kv_roles, tmp_path, "--check", *names)
    assert report.returncode == 1
    for name in names:
        assert re.search(rf"(?m)^{name} ", report.stdout), name

    child = _review(kv_roles, tmp_path, "--write", "--check", *names)
    answered = 0
    while child.expect([r"\((\d+) of (\d+)\) Which side\? ", pexpect.EOF]) == 0:
        child.send("bonly the one who runs it knows\r")
        answered += 1
    child.close()
    assert child.exitstatus == 0, child.before
    assert answered == len(open_) > 100
    kept = {
        n: tomllib.loads((tmp_path / n / ".kv-roles.toml").read_text())["answer"]
        for n in {f["path"].partition("/")[0] for f in open_}
    }
    assert sum(map(len, kept.values())) == answered

    for path in [p for n in names for p in (tmp_path / n).rglob("*") if p.is_file() and p.name != ".kv-roles.toml"]:
        path.write_bytes(b"\n\n" + path.read_bytes())  # every line has another number
    after = _run(kv_roles, tmp_path, "--check", *names)
    assert after.returncode == 0, after.stdout
    assert f"; {answered} kept by answer" in after.stdout
    assert "no NIXL role says kv_both" not in after.stdout
    assert "decides nothing" not in after.stderr


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed here")
def test_a_live_cluster_is_read_changed_at_its_source_and_clean(kv_roles: Path, tmp_path: Path) -> None:
    own_wheel.command(kv_roles.parents[1], "kubectl-kv_roles")
    template = {"containers": [{"name": "vllm", "args": ["serve", "m", "--kv-transfer-config", NIXL]}]}
    helm = {"meta.helm.sh/release-name": "models"}
    pod = {"metadata": {"name": "prefill", "namespace": "llm", "uid": "1", "annotations": helm}, "spec": template}
    api = KubeApi({"pods": [pod]})
    env = {**os.environ, "PATH": f"{kv_roles.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    env["KUBECONFIG"] = str(api.kubeconfig(tmp_path / "config", "llm"))

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    try:
        first = run("kubectl", "kv-roles", "--check")
        assert first.returncode == 1, first.stderr
        assert "change it where it is made, in Helm release models" in first.stdout
        dump = run("kubectl", "get", "pods", "-o", "yaml").stdout
        assert "Pod/llm/prefill, made by Helm release models" in _piped(kv_roles, tmp_path, dump).stdout
        (tmp_path / "dump.yaml").write_text(dump)
        kept = _run(kv_roles, tmp_path, "--check", "--write", "dump.yaml")  # a dump in a file is a record
        assert (kept.returncode, (tmp_path / "dump.yaml").read_text()) == (1, dump)
        assert "KVR119" in kept.stdout
        template["containers"][0]["args"] = ["serve", "m", "--kv-transfer-config", NIXL.replace("both", "producer")]
        last = run("kubectl", "kv-roles", "--check")
        assert (last.returncode, "no NIXL role says kv_both" in last.stdout) == (0, True), last.stdout
        assert _piped(kv_roles, tmp_path, run("kubectl", "get", "pods", "-o", "yaml").stdout).returncode == 0
    finally:
        api.close()


def _piped(command: Path, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    command_line = [command, "migrate", "--check", "-"]
    return subprocess.run(command_line, input=text, cwd=folder, capture_output=True, text=True, check=False)
