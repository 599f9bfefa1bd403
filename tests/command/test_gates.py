"""The gates, pre-commit hook and GitHub Action: they fail while a role is left, and no file's name talks them out of it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import composite
from support.cost import slow_but
from support.docs import ROOT

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
SCRIPT = f"""\
# prefill
vllm serve m --port 8100 --kv-transfer-config '{NIXL}' &
# decode
vllm serve m --port 8200 --kv-transfer-config '{NIXL}' &
"""
UNSAID = f"vllm serve m --kv-transfer-config '{NIXL}'\n"
CLEAN = "echo nothing of ours\n"
# Names that a shell, an option parser or GitHub's log could take for something else.
HOSTILE = [
    "--write",
    "--config=evil.toml",
    "--side=**=prefill",
    "--quiet",
    "-q",
    "--",
    "a b.sh",
    "$(touch owned).sh",
    "'; touch owned; '.sh",
    "*.sh",
    "::error::x.sh",
    "migrate",
    "@names",
]
EVIL = 'exclude = ["**"]\n'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "a repository"
    folder.mkdir()
    return folder


def console_script(name: str, folder: Path) -> Path:
    """A console script in ``folder``, made as pip makes it from what pyproject.toml declares."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = declared[name].partition(":")
    script = folder / name
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    script.chmod(0o755)
    return script


def hook(name: str, repository: Path, *files: str) -> subprocess.CompletedProcess[bytes]:
    """A hook, run as pre-commit runs it: its entry and arguments, then the names of the files."""
    hooks = {h["id"]: h for h in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert hooks[name]["language"] == "python", "pre-commit then installs this repository, console script and all"
    command, *words = [*shlex.split(hooks[name]["entry"]), *hooks[name].get("args", [])]
    return subprocess.run(
        [console_script(command, repository.parent / "bin"), *words, *files],
        cwd=repository,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


Action = Callable[..., composite.Ran]


@pytest.fixture
def action(tmp_path: Path, repository: Path) -> Action:
    """The Action's steps with the tests' own kv-roles in place of the step that installs it."""
    temp = tmp_path / "runner temp"
    console_script("kv-roles", temp / "kv-roles" / "bin")

    def run(**inputs: str) -> composite.Ran:
        return composite.run(
            ROOT / "action.yml",
            {name.replace("_", "-"): value for name, value in inputs.items()},
            workspace=repository,
            temp=temp,
            outputs={"python": {"python-path": sys.executable}},
            without=("Install kv-roles",),
        )

    return run


def test_the_hooks_fail_and_only_one_of_them_writes(repository: Path) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    (repository / "unsaid.sh").write_text(UNSAID)
    done = hook("kv-roles", repository, "run.sh", "unsaid.sh")
    assert done.returncode == 1
    assert b"KVR101 prefill instance: kv_both -> kv_producer" in done.stdout
    assert (repository / "run.sh").read_text() == SCRIPT
    assert hook("kv-roles-write", repository, "run.sh", "unsaid.sh").returncode == 1
    assert (repository / "run.sh").read_text() == SCRIPT.replace("kv_both", "kv_producer", 1).replace(
        "kv_both", "kv_consumer"
    )
    assert (repository / "unsaid.sh").read_text() == UNSAID


@pytest.mark.parametrize("name", ["kv-roles", "kv-roles-write"])
def test_a_hook_passes_on_files_without_a_role(repository: Path, name: str) -> None:
    (repository / "run.sh").write_text(CLEAN)
    assert hook(name, repository, "run.sh").returncode == 0


def hostile_repository(repository: Path, content: str) -> list[str]:
    """Files of all hostile names that hold ``content``, settings that would turn everything off, and a script with roles."""
    (repository / "evil.toml").write_text(EVIL)
    (repository / "run.sh").write_text(SCRIPT)
    for name in HOSTILE:
        (repository / name).write_text(content)
    return sorted(p.name for p in repository.iterdir())


def test_a_hook_reads_every_file_whatever_its_name(repository: Path) -> None:
    hostile_repository(repository, SCRIPT)
    done = hook("kv-roles", repository, *HOSTILE)
    assert done.returncode == 1
    said = done.stdout.decode()
    assert [name for name in HOSTILE if f"{name.lstrip(':')}:2:" not in said] == []
    assert not [line for line in said.splitlines() if line.startswith("::")]


def test_a_hook_is_turned_off_by_no_name(repository: Path) -> None:
    names = hostile_repository(repository, CLEAN)
    done = hook("kv-roles", repository, *HOSTILE, "run.sh")
    assert done.returncode == 1
    assert b"run.sh:2:" in done.stdout
    assert (repository / "run.sh").read_text() == SCRIPT, "the hook that only reads has written"
    assert sorted(p.name for p in repository.iterdir()) == names, "a name was run"


@pytest.mark.parametrize("files", [["-"], ["-", "run.sh"]])
def test_a_hook_does_not_pass_on_an_empty_standard_input(repository: Path, files: list[str]) -> None:
    (repository / "-").write_text(SCRIPT)
    (repository / "run.sh").write_text(CLEAN)
    done = hook("kv-roles", repository, *files)
    assert done.returncode == 2
    assert b"./-" in done.stdout


def test_the_action_annotates_fails_and_writes_its_log_into_a_folder_it_makes(repository: Path, action: Action) -> None:
    (repository / "a b").mkdir()
    (repository / "a b" / "run.sh").write_text(SCRIPT)
    (repository / "c.sh").write_text(SCRIPT)
    ran = action(paths="a b\nc.sh\n", target_vllm="0.33.0", sarif="out/of the/way.sarif")
    assert ran.code == 1
    assert "::error file=a b/run.sh,line=2" in ran.log
    assert "0.33.0 warns of kv_both" in ran.log
    log = json.loads((repository / "out" / "of the" / "way.sarif").read_text())
    assert {r["ruleId"] for r in log["runs"][0]["results"]} >= {"KVR101", "KVR102"}


@pytest.mark.parametrize("check", slow_but(["True"], ["True", "TRUE", "yes", ""]))
def test_the_gate_is_on_however_true_is_written(repository: Path, action: Action, check: str) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    assert action(check=check).code == 1


@pytest.mark.slow
def test_what_the_settings_of_a_pull_request_decided_is_in_the_log_and_can_be_left_out(
    repository: Path, action: Action
) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    (repository / ".kv-roles.toml").write_text(EVIL)
    ran = action()
    assert ran.code == 0
    assert ".kv-roles.toml decided: exclude **: 1 file not read" in ran.log
    assert action(settings="false").code == 1
    assert action(settings="maybe").code == 2
    (repository / "trusted.toml").write_text('exclude = ["run.sh"]\n')
    assert action(settings="false", config="trusted.toml").code == 0


def test_what_is_in_the_baseline_does_not_fail_the_gate(repository: Path, action: Action) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    script = console_script("kv-roles", repository.parent / "bin")
    subprocess.run([script, "migrate", "--baseline", "b.json", "--write-baseline", "."], cwd=repository, check=True)
    assert action(baseline="b.json").code == 0
    (repository / "new.sh").write_text(UNSAID)
    ran = action(baseline="b.json")
    assert ran.code == 1
    assert "run.sh" not in ran.log


@pytest.mark.parametrize("check", slow_but(["False"], ["False", "no"]))
def test_the_gate_is_off_only_where_that_is_written(repository: Path, action: Action, check: str) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    ran = action(check=check)
    assert ran.code == 0
    assert "::error file=run.sh" in ran.log


@pytest.mark.parametrize("check", slow_but(["flase"], ["flase", "true\nfalse", "$(echo false)"]))
def test_what_is_neither_true_nor_false_is_an_error(repository: Path, action: Action, check: str) -> None:
    ran = action(check=check)
    assert ran.code == 2
    assert ran.log.startswith("kv-roles: the input check is true or false, and not ")


@pytest.mark.parametrize("paths", slow_but([""], ["", "./\n\n", "run.sh\r\n"]))
def test_no_paths_means_all_of_the_repository(repository: Path, action: Action, paths: str) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    ran = action(paths=paths)
    assert ran.code == 1
    assert "::error file=" in ran.log


def test_the_action_reads_every_path_whatever_its_name(repository: Path, action: Action) -> None:
    hostile_repository(repository, SCRIPT)
    (repository / "-").write_text(SCRIPT)
    ran = action(paths="\n".join([*HOSTILE, "-"]))
    assert ran.code == 1
    for name in [*HOSTILE, "-"]:
        assert f"{name.lstrip(':').replace(':', '%3A')},line=2" in ran.log, name


def test_the_action_is_turned_off_by_no_path(repository: Path, action: Action) -> None:
    names = hostile_repository(repository, CLEAN)
    ran = action(paths="\n".join([*HOSTILE, "run.sh"]))
    assert ran.code == 1
    assert "file=run.sh,line=2" in ran.log
    assert (repository / "run.sh").read_text() == SCRIPT, "the Action has written"
    assert sorted(p.name for p in repository.iterdir()) == names, "a path was run"


@pytest.mark.parametrize("name", slow_but(["--write"], ["--write", "$(touch owned)"]))
@pytest.mark.parametrize("option", ["config", "target_vllm"])
def test_no_other_input_is_taken_for_an_option(repository: Path, action: Action, option: str, name: str) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    assert action(**{option: name}).code == 2
    assert (repository / "run.sh").read_text() == SCRIPT
    assert [p.name for p in repository.iterdir()] == ["run.sh"]


def test_a_path_that_is_not_there_fails(repository: Path, action: Action) -> None:
    ran = action(paths="gone")
    assert ran.code == 2
    assert "gone does not exist" in ran.log


@pytest.mark.parametrize("name", slow_but(["-d/log.sarif"], ["-log.sarif", "-d/log.sarif"]))
def test_the_log_is_written_where_it_is_asked_for(repository: Path, action: Action, name: str) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    assert action(paths="run.sh", sarif=name).code == 1
    assert json.loads((repository / name).read_text())["version"] == "2.1.0"


def test_the_log_is_not_written_through_a_link_of_the_repository(
    repository: Path, action: Action, tmp_path: Path
) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (repository / "log.sarif").symlink_to(outside / "kept")
    (repository / "logs").symlink_to(outside)
    assert action(sarif="log.sarif").code == 1
    assert (outside / "kept").read_text() == "kept"
    assert json.loads((repository / "log.sarif").read_text())["version"] == "2.1.0"
    ran = action(sarif="logs/log.sarif")
    assert ran.code == 2
    assert f"lies outside of the repository, in {outside}. Give its full path" in ran.log.replace("\\", "")
    assert [p.name for p in outside.iterdir()] == ["kept"]
    assert action(sarif=f"{outside}/log.sarif").code == 1
    assert sorted(p.name for p in outside.iterdir()) == ["kept", "log.sarif"]


@pytest.mark.parametrize("kind", slow_but(["pipe"], ["pipe", "folder", "link to a folder"]))
def test_no_device_or_folder_is_replaced_by_the_log(repository: Path, action: Action, kind: str) -> None:
    """A pipe stands for a device such as /dev/stdout: root in a container may replace that for all that run there."""
    (repository / "run.sh").write_text(SCRIPT)
    place = repository / "log.sarif"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        (repository / "a folder").mkdir()
        place.symlink_to("a folder") if kind == "link to a folder" else (repository / "a folder").rename(place)
    before = place.lstat()
    ran = action(sarif="log.sarif")
    assert ran.code == 2
    assert "is no file. Name one for the input sarif" in ran.log
    after = place.lstat()  # but for when it was read last
    assert (after.st_mode, after.st_ino, after.st_mtime_ns) == (before.st_mode, before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("place", ["/proc/self/fd/1"])
def test_no_link_of_the_system_is_replaced_by_the_log(repository: Path, action: Action, place: str) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    ran = action(sarif=place)
    assert ran.code == 2
    assert "is no file. Name one for the input sarif" in ran.log


def test_the_summary_of_the_job_has_the_table_of_counts(repository: Path, action: Action) -> None:
    (repository / "run.sh").write_text(SCRIPT)
    (repository / "new.sh").write_text(UNSAID)
    ran = action()
    head, _, table = ran.summary.partition("\n\n")
    assert head == "### kv-roles"
    columns, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()]
    assert len(rows) == 1
    row = dict(zip(columns, rows[0], strict=True))
    assert (row["left"], row["to decide"], row["unread"]) == ("2", "1", "0")


def test_a_run_that_fails_writes_no_table(repository: Path, action: Action) -> None:
    ran = action(target_vllm="nothing")
    assert (ran.code, ran.summary) == (2, "")


@pytest.mark.slow
def test_annotations_that_github_drops_are_counted(repository: Path, action: Action) -> None:
    (repository / "run.sh").write_text(SCRIPT * 6)
    ran = action()
    count = sum(line.startswith("::error ") for line in ran.log.splitlines())
    assert count > 10
    said = f"kv-roles: GitHub shows 10 of {count} annotations of level error; this log has them all.\n"
    assert said in ran.log
    assert ran.summary.endswith(f"|\n\n{said}")
    (repository / "run.sh").write_text(SCRIPT)
    assert "GitHub shows" not in action().log


def test_nothing_of_the_repository_is_run(repository: Path, action: Action) -> None:
    """A module of the repository with the name of one that Python starts with is not imported."""
    (repository / "run.sh").write_text(SCRIPT)
    for module in ("pip", "venv", "argparse", "json", "sitecustomize", "kvroles", "yaml"):
        (repository / f"{module}.py").write_text("open('owned', 'w')\n")
    assert action().code == 1
    assert not (repository / "owned").exists()


def test_a_runner_with_windows_is_told_so(tmp_path: Path, repository: Path) -> None:
    outputs = {"python": {"python-path": "C:\\python.exe"}}
    env = {"RUNNER_OS": "Windows"}
    ran = composite.run(ROOT / "action.yml", {}, workspace=repository, temp=tmp_path, outputs=outputs, env=env)
    assert ran == (2, "kv-roles: this Action runs on Linux and macOS, and this runner has Windows.\n", "")


@pytest.mark.slow
@pytest.mark.upstream
def test_the_action_installs_itself_by_hash(tmp_path: Path, repository: Path) -> None:
    """All steps, the installing one too: it needs the package index."""
    (repository / "run.sh").write_text(SCRIPT)
    (repository / "venv.py").write_text("open('owned', 'w')\n")
    (repository / "pip.py").write_text("open('owned', 'w')\n")
    temp = tmp_path / "runner temp"
    temp.mkdir()
    env = {k: v for k, v in os.environ.items() if k == "PYTHONPATH"}
    ran = composite.run(
        ROOT / "action.yml",
        {},
        workspace=repository,
        temp=temp,
        outputs={"python": {"python-path": sys.executable}},
        env=dict.fromkeys(env, ""),
    )
    assert ran.code == 1, ran.log
    assert "::error file=run.sh" in ran.log
    assert not (repository / "owned").exists()
