"""The programs that are run (bash, zstd, the signing command) are the machine's own, and the environment changes nothing of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.contract import clauses
from support import oci
from support.driver import Ran, script
from support.tiny import Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]


def planted(folder: Path, name: str) -> Path:
    """A program in ``folder`` that leaves a mark there."""
    program = folder / name
    program.write_text(f"#!/bin/sh\ntouch '{folder}/canary'\n")
    program.chmod(0o755)
    return folder / "canary"


@pytest.mark.parametrize("path", [":.:", ".:", "../here:"])
def test_a_bash_of_the_current_folder_is_not_run(tiny: Tiny, tmp_path: Path, path: str) -> None:
    here = tmp_path / "here"
    here.mkdir()
    canary = planted(here, "bash")
    env = {**os.environ, "PATH": f"{path}{os.environ['PATH']}"}
    script(
        tiny.apply, "--vllm-rev", "0.22.1", "--output", "new", "--cache-dir", tiny.cache, "--offline", cwd=here, env=env
    ).ok()
    assert not canary.exists()


def test_a_zstd_of_the_current_folder_is_not_run(tiny: Tiny, tmp_path: Path) -> None:
    canary = planted(tmp_path, "zstd")
    made = oci.Layout(tmp_path / "base")
    frame = b"\x28\xb5\x2f\xfd" + bytes(20)
    base = made.name(made.image([oci.tar({"a": b""})], "amd64", {}, lambda _: frame))
    env = {**os.environ, "PATH": f".:{os.environ['PATH']}"}
    ran = script(tiny.root / "tools/vendor.py", "oci", "--vllm-rev", "0.22.1", "--base", base, cwd=tmp_path, env=env)
    assert ran.code in (3, 4)
    assert not canary.exists()


@pytest.mark.parametrize(
    "name",
    [
        "BASH_ENV",
        "ENV",
        "PS4",
        "PROMPT_COMMAND",
        "BASH_FUNC_if%%",
        "BASH_FUNC_set%%",
        "SHELLOPTS",
        "BASHOPTS",
        "POSIXLY_CORRECT",
    ],
)
def test_the_environment_of_a_shell_runs_no_code_and_changes_no_verdict(tiny: Tiny, tmp_path: Path, name: str) -> None:
    (tmp_path / "rc").write_text(f"touch '{tmp_path}/canary'\n")
    value = {
        "BASH_ENV": f"{tmp_path}/rc", "ENV": f"{tmp_path}/rc", "PS4": f"$(touch '{tmp_path}/canary')",
        "PROMPT_COMMAND": f"touch '{tmp_path}/canary'", "SHELLOPTS": "posix:xtrace:verbose", "BASHOPTS": "extglob",
        "POSIXLY_CORRECT": "1",
    }.get(name, f"() {{ touch '{tmp_path}/canary'; }}")  # fmt: skip
    command = ("--vllm-rev", "0.22.1", "--output", "new", "--cache-dir", tiny.cache, "--offline", "--json")
    ran = script(tiny.apply, *command, cwd=tmp_path, env={**os.environ, name: value}).ok()
    assert "contract" in ran.out
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["BASHOPTS", "SHELLOPTS", "POSIXLY_CORRECT"])
def test_a_verdict_on_a_script_does_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    scripts = {"a.sh": b"echo !(a)\n", "b.sh": b"diff <(ls) <(ls)\n", "c.sh": b"a() { b\n"}

    def verdict() -> list[str]:
        monkeypatch.setattr(clauses, "_refused", {})
        return [b.path for b in clauses.shells_parse(scripts)[0]]

    before = verdict()
    assert "c.sh" in before
    monkeypatch.setenv(name, {"BASHOPTS": "extglob", "SHELLOPTS": "posix"}.get(name, "1"))
    assert verdict() == before


def test_a_checker_of_scripts_is_not_looked_up_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = planted(tmp_path, "bash")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
    monkeypatch.setattr(clauses, "_refused", {})
    assert clauses.shells_parse({"a.sh": b"echo\n"}) == ([], None)
    assert not canary.exists()


_KV_ROLES = "import sys; sys.path[0] = {tools!r}; from kvcommand.main import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (["verify.py", "--lint"], 0, b"The patches are clean."),
        (["port.py", "--to", "{tree}", "--as", "0.9.5", "--output", "new", "--check"], 1, b"both sides are in new/"),
        (["kv-roles", "--print-completion", "zsh"], 0, b"#compdef kv-roles"),
        (["kv-roles", "--check", "--", "run.sh"], 1, b"KVR"),
    ],
    ids=lambda a: " ".join(a[:2]) if isinstance(a, list) else "",
)
def test_a_program_or_a_module_of_the_current_folder_is_run_by_what_maintainers_and_hooks_run(
    tiny: Tiny, tmp_path: Path, argv: list[str], code: int, told: bytes
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "run.sh").write_text('vllm serve m --kv-transfer-config \'{"kv_role":"kv_both"}\'\n')
    for name in ("git", "bash", "rg", "pip", "kubectl"):
        planted(here, name)
    for name in ("git", "json", "re", "rich", "shtab", "yaml", "kvroles", "kvcommand", "sitecustomize"):
        (here / f"{name}.py").write_text(f"open({str(here / 'canary')!r}, 'w')\n")
    tools = str(tiny.root / "tools")
    start = ["-c", _KV_ROLES.format(tools=tools)] if argv[0] == "kv-roles" else [f"{tools}/{argv[0]}"]
    words = [word.format(tree=tiny.unpack(tmp_path / "tree")) if word == "{tree}" else word for word in argv[1:]]
    more = [] if argv[0] == "kv-roles" else ["--offline", "--cache-dir", str(tiny.cache)]
    env = {**os.environ, "PATH": f".:{os.environ['PATH']}:"}
    env.pop("PYTHONPATH", None)
    ran = subprocess.run([sys.executable, *start, *words, *more], cwd=here, env=env, capture_output=True, check=False)
    assert (ran.returncode, told in ran.stdout) == (code, True), ran
    assert not (here / "canary").exists()
