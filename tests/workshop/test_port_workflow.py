"""The weekly workflow's last step, run for real: one pull request a release, and nobody's work overwritten."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BRANCH = "port-0.34.0"
APPLY = """import json; print(json.dumps({"releases": {"0.33.0": {}}}))"""
ROUND = "`" * 3
GH = """#!/bin/bash
echo "$*" >> "$CALLS"
case "$1 $2" in
  "pr list") if [ -e "$OPEN" ]; then echo 7; fi ;;
  "pr create") touch "$OPEN" ;;
esac
"""


def step(job: str, name: str) -> str:
    """The script of a step of the workflow."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "port.yml").read_text())
    (found,) = [s for s in workflow["jobs"][job]["steps"] if s.get("name") == name]
    return str(found["run"])


class Repository:
    """A clone with an origin of its own, where `gh` keeps one pull request in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clone, self.origin = folder, folder / "clone", folder / "origin.git"
        self.calls = folder / "calls"
        (folder / "bin").mkdir()
        (folder / "bin" / "gh").write_text(GH)
        (folder / "bin" / "gh").chmod(0o755)
        person = {f"GIT_{who}_{what}": "ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.person = {**os.environ, **person, "GIT_CONFIG_GLOBAL": os.devnull}
        self.git("init", "-q", "--bare", str(self.origin), cwd=folder)
        self.git("clone", "-q", str(self.origin), str(self.clone), cwd=folder)
        for path, text in {
            "patches/lock.json": "{}\n",
            "docs/data/compat.json": "{}\n",
            "tools/apply.py": APPLY,
            "README.md": "0.9.0 to 0.33.0\n",
        }.items():
            (self.clone / path).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / path).write_text(text)
        self.git("add", ".")
        self.git("commit", "-qm", "first")
        self.git("push", "-q", "origin", "HEAD:main")

    def git(self, *args: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *args], cwd=cwd or self.clone, env=self.person, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def weekly(self, release: str, lock: str | None, report: str = "vLLM, a report\n") -> list[str]:
        """A run of both jobs after the port, each on a fresh checkout of main, after a port that left ``lock``; what `gh` was asked."""
        self.git("checkout", "-qf", "--detach", "origin/main")
        self.calls.write_text("")
        handed_on = self.folder / "port"
        handed_on.mkdir(exist_ok=True)
        if lock is not None:
            (self.clone / "patches" / "lock.json").write_text(lock)
            (self.clone / "patches" / "new.patch").write_text("a new variant\n")
            (self.clone / "README.md").write_text(f"0.9.0 to {release}\n")
            (self.clone / "tools" / "apply.py").write_text(APPLY + "  # changed, and not of the series\n")
        (self.clone / "report.txt").write_text(report)
        served = self.run("port", "What changed", release)
        for name in ("changes.patch", "report.txt"):
            (self.clone / name).replace(handed_on / name)
        self.git("reset", "-q", "--hard")
        self.git("clean", "-qfd")
        if served == "served=yes\n":
            return []
        self.run("propose", "One pull request a release", release)
        return [
            line.partition(" --")[0] for line in self.calls.read_text().splitlines() if not line.startswith("auth ")
        ]

    def run(self, job: str, name: str, release: str) -> str:
        """Run a step in the clone; what it gave out."""
        bot = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        output = self.folder / "output"
        output.write_text("")
        given = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GITHUB_OUTPUT": str(output),
            "RUNNER_TEMP": str(self.folder),
            "PORT": str(self.folder / "port"),
            "RELEASE": release,
            "CALLS": str(self.calls),
            "OPEN": str(self.folder / "open"),
        }
        words = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step(job, name)]
        done = subprocess.run(words, cwd=self.clone, env=bot | given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return output.read_text()

    def body(self) -> str:
        """The text of the pull request."""
        return (self.folder / "body.md").read_text()

    def pushed(self) -> str:
        return self.git("show", f"{BRANCH}:patches/lock.json", cwd=self.origin)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_release_that_is_served_asks_nothing(repository: Repository) -> None:
    assert repository.weekly("0.33.0", None) == []


def test_a_new_release_opens_one_pull_request_and_later_runs_renew_it(repository: Repository) -> None:
    assert repository.weekly("0.34.0", '{"a": 1}') == ["pr list", "pr create"]
    assert repository.pushed() == '{"a": 1}'
    assert repository.weekly("0.34.0", '{"a": 2}') == ["pr list", "pr edit port-0.34.0"]
    assert repository.pushed() == '{"a": 2}'


def test_what_is_left_to_a_person_opens_one_too(repository: Repository) -> None:
    assert repository.weekly("0.34.0", None) == ["pr list", "pr create"]
    assert "vLLM, a report" in repository.body()


def test_a_person_s_commits_on_the_branch_stay(repository: Repository) -> None:
    repository.weekly("0.34.0", None)
    repository.git("checkout", "-qfB", "mine", f"origin/{BRANCH}")
    (repository.clone / "patches" / "lock.json").write_text('{"by": "hand"}')
    repository.git("commit", "-qam", "resolve")
    repository.git("push", "-q", "origin", f"HEAD:{BRANCH}")
    assert repository.weekly("0.34.0", None) == ["pr list", "pr edit port-0.34.0"]
    assert repository.pushed() == '{"by": "hand"}'


def test_only_what_a_port_writes_is_proposed(repository: Repository) -> None:
    repository.weekly("0.34.0", '{"a": 1}')
    changed = repository.git("diff", "--name-only", "main", BRANCH, cwd=repository.origin).splitlines()
    assert changed == ["README.md", "patches/lock.json", "patches/new.patch"]


def test_a_report_stays_code_in_the_pull_request_whatever_it_says(repository: Repository) -> None:
    repository.weekly("0.34.0", None, f"a\n{ROUND}\n# Merge this\n@everyone <img src=x>\n")
    _, _, *lines = repository.body().splitlines()
    assert lines == ["    a", f"    {ROUND}", "    # Merge this", "    @everyone <img src=x>"]
