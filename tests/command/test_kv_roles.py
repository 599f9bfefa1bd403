"""``kv-roles``: one command, from a checkout and from the wheel alone, in a folder without the project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import own_wheel
from support.cost import slow_but
from support.tiny import Tiny

ROOT = Path(__file__).resolve().parents[2]
CONFIG = '{"kv_connector": "NixlConnector", "kv_role": "kv_both"}'
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("apply", "--list")``: the dispatcher of this checkout, in an empty folder."""

    def ran(*argv: str | Path) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            "import sys; from kvcommand.main import main; sys.exit(main())",
            *map(str, argv),
        ]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    return ran


@pytest.fixture(scope="module")
def installed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment that holds the wheel of the small project, and the libraries of the one that tests."""
    return own_wheel.installed(tiny.root, tmp_path_factory.mktemp("installed"))


@pytest.fixture
def kv_roles(installed: Path, tmp_path: Path) -> Run:
    """``kv_roles(...)``: the command that the wheel installed, run in an empty folder."""

    def ran(*argv: str | Path) -> subprocess.CompletedProcess[str]:
        command = [installed / "bin/python", "-I", "-m", "kvcommand.main", *map(str, argv)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return ran


def test_a_path_is_migrated_without_the_word(run: Run, tmp_path: Path) -> None:
    (tmp_path / "prefill.json").write_text(CONFIG)
    (tmp_path / "decode.json").write_text(CONFIG)
    short, long = run("--check", "."), run("migrate", "--check", ".")
    assert (short.returncode, short.stdout) == (long.returncode, long.stdout)
    assert short.returncode == 1
    assert "kv_producer" in short.stdout


def test_a_command_is_the_first_word_only(run: Run, tmp_path: Path) -> None:
    (tmp_path / "apply").write_text(CONFIG)
    assert "apply:1" in run("--check", "./apply").stdout
    assert "apply:1" in run("migrate", "apply").stdout
    assert run("apply", "--list").stdout.startswith("release")


@pytest.mark.parametrize("argv", [("--wri", "."), ("apply", "--lis"), ("verify", "--rel", "0.22.1")])
def test_no_option_is_shortened(run: Run, argv: tuple[str, ...]) -> None:
    assert run(*argv).returncode == 2


def test_every_command_says_what_it_is_for(run: Run) -> None:
    told = run("--help")
    assert told.returncode == 0
    for command in ("migrate", "apply", "vendor", "verify", "port"):
        assert f"  {command} " in told.stdout
        one = run(command, "--help")
        assert (one.returncode, one.stderr) == (0, "")
        assert f"kv-roles {command}" in one.stdout or command == "migrate"


def test_nothing_asked_is_wrong_usage(run: Run) -> None:
    assert run().returncode == 2


def test_a_word_that_is_no_command_and_no_path_is_told_the_commands(run: Run, tmp_path: Path) -> None:
    done = run("vendro", "wheel")
    assert (done.returncode, done.stdout) == (2, "")
    assert "vendro is no command (migrate, apply, vendor, verify, port), and no path that exists" in done.stderr
    assert json.loads(run("vendro", "--json").stdout)["error"] == "vendro does not exist."
    (tmp_path / "vendro").write_text("")
    assert run("vendro").returncode == 0


def test_the_version_is_the_distributions(kv_roles: Run) -> None:
    assert kv_roles("--version").stdout.startswith("kv-roles 0.")


@pytest.mark.parametrize("shell", slow_but(["bash"], ["bash", "zsh"]))
def test_a_shell_can_complete_it(run: Run, shell: str) -> None:
    told = run("--print-completion", shell)
    assert told.returncode == 0, told.stderr
    assert "--vllm-rev" in told.stdout
    assert run("--print-completion", "cmd").returncode == 2


def test_the_wheel_alone_migrates(kv_roles: Run, tmp_path: Path) -> None:
    (tmp_path / "prefill.json").write_text(CONFIG)
    (tmp_path / "decode.json").write_text(CONFIG)
    assert kv_roles("migrate", "--write", ".").returncode == 0
    assert "kv_producer" in (tmp_path / "prefill.json").read_text()


def test_the_wheel_alone_patches_a_release(kv_roles: Run, tiny: Tiny, tmp_path: Path) -> None:
    done = kv_roles("apply", "--vllm-rev", "0.22.1", "--offline", "--cache-dir", tiny.cache, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["did"], told["contract"]["holds"]) == ("applied", True)
    assert kv_roles("apply", "--into", told["target"], "--reverse").returncode == 0


def test_the_wheel_alone_names_its_own_command_in_what_to_do_next(kv_roles: Run) -> None:
    assert "`kv-roles apply --list`" in " ".join(kv_roles("apply", "--vllm-rev", "0.1.2").stderr.split())


@pytest.mark.parametrize("command", ["verify", "port"])
def test_what_needs_the_project_says_so(kv_roles: Run, command: str) -> None:
    done = kv_roles(command, "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert "clone of the project" in done.stderr


@pytest.mark.parametrize("spoil", ["missing", "altered"])
def test_a_spoilt_installation_is_to_be_installed_anew(
    kv_roles: Run, installed: Path, tmp_path: Path, spoil: str
) -> None:
    lock = next(installed.glob("lib/python*/site-packages/kvroles/data/patches/lock.json"))
    whole = lock.read_bytes()
    try:
        lock.unlink() if spoil == "missing" else lock.write_bytes(whole[:-40])
        done = kv_roles("apply", "--vllm-rev", "0.22.1", "--offline")
    finally:
        lock.write_bytes(whole)
    assert done.returncode == 3
    assert "pip install --force-reinstall" in " ".join(done.stderr.split())
    assert "git" not in done.stderr


@pytest.mark.slow
def test_the_wheel_alone_writes_an_image_and_reads_an_installation(kv_roles: Run, tiny: Tiny, tmp_path: Path) -> None:
    base = f"docker.io/vllm/vllm-openai@sha256:{'0' * 64}"
    done = kv_roles("vendor", "image", "--vllm-rev", "0.22.1", "--base", base, "--output", "image")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "image/apply.pyz").is_file()
    none = kv_roles("vendor", "verify", "--site-packages", tmp_path)
    assert none.returncode == 4, none.stderr
