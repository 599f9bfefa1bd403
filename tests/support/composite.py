"""Runs the steps of a composite GitHub Action as a runner does: expressions filled in, then each script by bash.

Understood are ``inputs.NAME``, ``runner.temp`` and ``steps.ID.outputs.NAME``; anything else in an expression is an error. A step that
uses another action is not run: ``outputs`` holds what it would have given.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

# The shells that a runner starts for "shell: bash" (GitHub's documentation, "Workflow syntax", jobs.<id>.steps[*].shell).
_BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")


class Ran(NamedTuple):
    """A run: ``code`` of the first step that failed, or 0; ``log`` is what all steps printed; ``summary`` the job's summary."""

    code: int
    log: str
    summary: str


def run(
    action: Path,
    inputs: Mapping[str, str],
    *,
    workspace: Path,
    temp: Path,
    outputs: Mapping[str, Mapping[str, str]],
    without: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
) -> Ran:
    """Run ``action`` (its ``action.yml``) in ``workspace``; inputs that are not given have their defaults.

    ``without`` names steps to leave out. An input that the Action does not have is an error here, as GitHub only warns of it.
    """
    data = yaml.safe_load(action.read_text())
    unknown = inputs.keys() - data["inputs"].keys()
    assert not unknown, f"the Action has no input {sorted(unknown)}"
    values = {name: str(given.get("default", "")) for name, given in data["inputs"].items()} | dict(inputs)
    summary, script = temp / "summary.md", temp / "step.sh"
    summary.write_text("")
    runner = {
        "RUNNER_TEMP": temp,
        "GITHUB_ACTION_PATH": action.parent,
        "GITHUB_WORKSPACE": workspace,
        "GITHUB_STEP_SUMMARY": summary,
    }
    log = ""
    for step in data["runs"]["steps"]:
        if "uses" in step:
            assert step["id"] in outputs, f"step {step['uses']} is not run: say what it gives"
            continue
        if step["name"] in without:
            continue
        assert step["shell"] == "bash"
        own = {name: _filled(str(value), values, temp, outputs) for name, value in step.get("env", {}).items()}
        script.write_text(step["run"])
        done = subprocess.run(
            [*_BASH, script],
            cwd=workspace,
            env={**os.environ, **{k: str(v) for k, v in runner.items()}, **(env or {}), **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        log += done.stdout.decode("utf-8", "surrogateescape")
        if done.returncode:
            return Ran(done.returncode, log, summary.read_text())
    return Ran(0, log, summary.read_text())


def _filled(text: str, inputs: Mapping[str, str], temp: Path, outputs: Mapping[str, Mapping[str, str]]) -> str:
    """``text`` with its expressions replaced by their values."""

    def value(m: re.Match[str]) -> Any:
        name = m[1]
        match name.split("."):
            case ["inputs", key]:
                return inputs[key]
            case ["runner", "temp"]:
                return str(temp)
            case ["steps", step, "outputs", key]:
                return outputs[step][key]
        raise AssertionError(f"the runner of the tests does not know {name}")

    return re.sub(r"\$\{\{\s*([\w.-]+)\s*\}\}", value, text)
