"""The workflows and the Action: least rights, actions by commit, no foreign text in a script, and nothing that is out of date.

What runs only on GitHub (runners of macOS, attestations, a release's draft) is linted here and not run.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from kvworkshop.pages import home
from support import actionlint
from support.docs import ROOT
from support.lacking import lacking

FOLDER = ROOT / ".github" / "workflows"
NAMES = sorted(p.name for p in FOLDER.glob("*.yml"))
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())


class Job(NamedTuple):
    file: str
    name: str
    body: dict[str, Any]

    @property
    def steps(self) -> list[dict[str, Any]]:
        return list(self.body.get("steps", []))

    @property
    def scripts(self) -> str:
        return "\n".join(s["run"] for s in self.steps if "run" in s)


def workflow(name: str) -> dict[Any, Any]:
    data: dict[Any, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return data


JOBS = [Job(f, name, body) for f in NAMES for name, body in workflow(f)["jobs"].items()]
each_job = pytest.mark.parametrize("job", JOBS, ids=lambda j: f"{j.file}:{j.name}")


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_has_no_rights_of_its_own(name: str) -> None:
    assert workflow(name)["permissions"] == {}
    assert workflow(name)["concurrency"]


@each_job
def test_a_job_states_its_rights_and_ends_in_time(job: Job) -> None:
    assert isinstance(job.body["permissions"], dict)
    if "uses" not in job.body:
        assert 0 < job.body["timeout-minutes"] <= 350


@each_job
def test_an_action_is_pinned_by_commit_and_its_version_is_said(job: Job) -> None:
    text = (FOLDER / job.file).read_text()
    for step in job.steps:
        action = step.get("uses")
        if action is None or action == "./":
            continue
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.search(rf"uses: {re.escape(action)} # v\d+\.\d+\.\d+$", text, re.MULTILINE), (
            f"{action}: no version beside"
        )


def test_one_action_is_used_in_one_version_and_the_pages_show_the_same() -> None:
    text = "".join(p.read_text() for p in [*FOLDER.iterdir(), ROOT / "action.yml"]) + home.action(
        "https://github.com/a/b"
    )
    pins = set(re.findall(r"uses: (\S+@[0-9a-f]{40} # \S+)", text))
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins), sorted(pins)
    assert "actions/checkout@" in home.action("https://github.com/a/b")


@each_job
def test_a_token_is_given_to_the_step_that_needs_it(job: Job) -> None:
    assert "github.token" not in str(job.body.get("env", {}))
    assert "secrets." not in str(job.body)
    for step in job.steps:
        if str(step.get("uses", "")).startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        if "github.token" in str(step):
            assert "gh " in step["run"]


@each_job
def test_a_job_that_may_write_runs_nothing_of_the_repository(job: Job) -> None:
    if "write" not in job.body["permissions"].values():
        return
    for command in re.findall(
        r"\bpython\d?\b|\bpip\b|\.ci/|tools/\w+\.py|\bnpm\b|\bmike\b", job.scripts.replace("`tools/port.py`", "")
    ):
        pytest.fail(f"{job.file}:{job.name} runs {command} beside {job.body['permissions']}")
    for step in job.steps:
        assert not str(step.get("uses", "")).startswith(("./", "actions/setup-")), step


@each_job
def test_no_expression_is_expanded_in_a_script(job: Job) -> None:
    """A release's name or a branch's would be read by the shell: expressions go through the environment."""
    assert "${{" not in job.scripts


def test_no_expression_is_expanded_in_a_script_of_the_action() -> None:
    assert all("${{" not in step.get("run", "") for step in ACTION["runs"]["steps"])


def test_the_action_is_made_of_pinned_parts() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "uses" not in step or re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"]), step


@pytest.mark.parametrize("job", [*JOBS, Job("action.yml", "runs", ACTION["runs"])], ids=lambda j: f"{j.file}:{j.name}")
def test_nothing_is_installed_without_hashes(job: Job) -> None:
    """All but the README's own command, which finds everything installed by hash."""
    for step in job.steps:
        for line in step.get("run", "").splitlines():
            if "pip install" in line or "npm install" in line:
                assert line == readme_command(), f"{job.file}: {line}"
                held = "${{ github.workspace }}/.ci/constraints.txt"
                assert step["env"] == {"PIP_CONSTRAINT": held, "PIP_BUILD_CONSTRAINT": held}
                assert {"run": ".ci/install test"} in job.steps[: job.steps.index(step)]


def readme_command() -> str:
    section = (ROOT / "README.md").read_text().partition("## Run the tests")[2]
    return section.partition("```bash\n")[2].partition("\n```")[0]


def test_the_readme_s_command_is_run_on_every_python_that_pyproject_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = [c.rpartition(" ")[2] for c in project["classifiers"] if re.search(r":: 3\.\d+$", c)]
    linux = workflow("test.yml")["jobs"]["linux"]
    assert linux["strategy"]["matrix"]["python"] == said
    assert readme_command() in [s.get("run") for s in linux["steps"]]
    assert project["requires-python"] == f">={said[0]}"


@each_job
def test_what_a_workflow_names_is_there(job: Job) -> None:
    for line in job.scripts.splitlines():
        for word in re.findall(r"(?:^|[\s\"'=])((?:tools|tests|\.ci|docs|patches)/[\w./-]+)", line):
            assert (ROOT / word).exists(), f"{job.file}:{job.name}: {word}"
    for extra in re.findall(r"\.ci/install (\w+)", job.scripts):
        assert (ROOT / ".ci" / "lock" / f"{extra}.txt").is_file()


@pytest.mark.upstream
@pytest.mark.slow
def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    try:
        assert actionlint.lint(sorted(FOLDER.glob("*.yml")), tmp_path) == []
        wrong = tmp_path / "wrong.yml"
        wrong.write_text("on: push\njobs: {a: {runs-on: ubuntu-24.04, steps: [{run: 'echo ${{ github.nothing }}'}]}}\n")
        assert "nothing" in str(actionlint.lint([wrong], tmp_path)), "a fault is found"
    except actionlint.NotHereError as e:
        lacking(f"actionlint cannot be run: {e}")


def test_a_release_is_attested_before_it_is_drafted_and_tested_before_it_is_built() -> None:
    jobs = workflow("release.yml")["jobs"]
    assert [jobs[name].get("needs") for name in ("test", "build", "attest", "draft")] == [
        None,
        "test",
        "build",
        "attest",
    ]
    attested = [s for s in jobs["attest"]["steps"] if "attest-build-provenance" in s.get("uses", "")]
    assert [s["with"]["subject-path"] for s in attested] == ["dist/*"]
    assert jobs["attest"]["permissions"] == {"id-token": "write", "attestations": "write"}


def test_a_tag_that_is_not_the_version_is_not_built(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / ".ci" / "build", "v0.0.0"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert done.stderr.startswith(f"build: the tag is v0.0.0, and pyproject.toml says {version}. Tag v{version}")


@pytest.mark.parametrize("asked", ["0.34.0", "0.34.0rc1"])
def test_a_release_to_port_to_is_taken_as_it_is_named(tmp_path: Path, asked: str) -> None:
    assert ported(tmp_path, asked) == (0, f"release={asked}\n")


@pytest.mark.parametrize(
    "asked", ["--to", "0.34.0\nserved=yes", "0.34.0; id", "$(id)", "0.34.0 --write", "../0.34.0", "latest"]
)
def test_what_is_no_release_is_not_ported_to(tmp_path: Path, asked: str) -> None:
    assert ported(tmp_path, asked) == (2, "")


def ported(folder: Path, asked: str) -> tuple[int, str]:
    """Exit code and output of the step that names the release."""
    (step,) = [s for s in workflow("port.yml")["jobs"]["port"]["steps"] if s.get("id") == "release"]
    output = folder / "output"
    output.write_text("")
    env = {"PATH": os.environ["PATH"], "ASKED": asked, "GITHUB_OUTPUT": str(output)}
    shell = shlex.split("bash --noprofile --norc -e -o pipefail -c")
    done = subprocess.run([*shell, step["run"]], cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, output.read_text()
