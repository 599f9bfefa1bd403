"""The publishing step of the workflow, run as it stands on a repository and a remote of the test's own."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import docs, terminal


def _workflow(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _script(job: str, name: str) -> str:
    """The script of a step."""
    steps = _workflow(docs.ROOT / ".github" / "workflows" / "site.yml")["jobs"][job]["steps"]
    (step,) = [s for s in steps if s.get("name") == name]
    return str(step["run"])


class Remote:
    """A bare repository, a clone that a runner would have, and the publishing step run in it."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.folder = folder / "remote.git", folder
        self._run("git", "init", "-q", "--bare", "-b", "main", str(self.bare), cwd=folder)
        work = self.clone("first")
        (work / "docs").mkdir()
        (work / "docs" / "index.md").write_text("# Hello\n")
        (work / "docs" / "playground.md").write_text("# Playground\n")
        (work / "docs" / "assets" / "playground").mkdir(parents=True)
        (work / "docs" / "assets" / "playground" / "kvroles.zip").write_text("large")
        (work / "overrides").mkdir()
        shutil.copy(docs.ROOT / "overrides" / "redirect.html", work / "overrides")
        (work / "mkdocs.yml").write_text("site_name: x\nextra: {version: {provider: mike}}\nplugins: []\n")
        for words in (("add", "-A"), ("commit", "-qm", "x"), ("push", "-q", "origin", "HEAD:main")):
            self._run("git", "-c", "user.name=x", "-c", "user.email=x@localhost", *words, cwd=work)

    def clone(self, name: str) -> Path:
        self._run("git", "clone", "-q", str(self.bare), name, cwd=self.folder)
        return self.folder / name

    def publish(self, name: str, ref: str, *, tag: bool) -> None:
        """Run both jobs, each in a fresh clone, as for a push of the branch or tag ``ref``."""
        temp = self.folder / f"{name} temp"
        (temp / "pages").mkdir(parents=True)
        env = {
            "REF": ref,
            "IS_TAG": str(tag).lower(),
            "SITE_URL": "https://example.github.io/x/",
            "RUNNER_TEMP": str(temp),
            "GITHUB_WORKSPACE": str(self.folder / f"{name} build"),
        }
        self._bash(_script("build", "Commit the pages with mike"), self.clone(f"{name} build"), env)
        (temp / "pages.bundle").rename(temp / "pages" / "pages.bundle")
        self._bash(_script("publish", "Push the pages"), self.clone(f"{name} push"), env)

    def _bash(self, script: str, cwd: Path, env: dict[str, str]) -> None:
        bin_ = self.folder / "bin"
        bin_.mkdir(exist_ok=True)
        (bin_ / "gh").write_text('#!/bin/sh\n[ "$*" = "auth setup-git" ]\n')
        (bin_ / "gh").chmod(0o755)
        self._run("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script, cwd=cwd, **env)

    def show(self, path: str) -> str:
        return self._run("git", "show", f"gh-pages:{path}", cwd=self.bare)

    def names(self, path: str) -> str:
        return self._run("git", "ls-tree", "-r", "--name-only", f"gh-pages:{path}", cwd=self.bare)

    def _run(self, *words: str, cwd: Path, **env: str) -> str:
        path = os.pathsep.join([str(self.folder / "bin"), terminal.PATH])
        alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "NO_MKDOCS_2_WARNING": "1"}
        return terminal.output(*words, cwd=cwd, env={**os.environ, **alone, "PATH": path, **env})


def test_main_and_tags_are_published_beside_each_other(tmp_path: Path) -> None:
    pytest.importorskip("mike", reason="the site's builders are missing: pip install -e '.[docs,site]'")
    remote = Remote(tmp_path)

    def versions() -> dict[str, list[str]]:
        return {v["version"]: v["aliases"] for v in json.loads(remote.show("versions.json"))}

    remote.publish("a", "main", tag=False)
    assert versions() == {"dev": []}
    assert 'url=dev/"' in remote.show("index.html")  # before the first release the address leads to what there is

    remote.publish("b", "v1.2.3", tag=True)
    assert versions() == {"1.2": ["latest"], "dev": []}
    assert 'url=latest/"' in remote.show("index.html")

    remote.publish("c", "v1.3.0", tag=True)
    assert versions() == {"1.3": ["latest"], "1.2": [], "dev": []}

    remote.publish("d", "main", tag=False)
    assert versions() == {"1.3": ["latest"], "1.2": [], "dev": []}
    assert 'url=latest/"' in remote.show("index.html")
    assert "Hello" in remote.show("1.2/index.html")
    assert remote.show("1.3/assets/playground/kvroles.zip") == "large"
    for old in ("1.2", "dev"):
        assert 'href="../../latest/playground/"' in remote.show(f"{old}/playground/index.html")
        assert "kvroles.zip" not in remote.names(old)
    assert remote.show("404.html") == remote.show("1.3/404.html")  # the one that the host shows


def test_only_what_was_tested_is_published_and_only_from_a_push() -> None:
    jobs = _workflow(docs.ROOT / ".github" / "workflows" / "site.yml")["jobs"]
    assert (jobs["build"]["needs"], jobs["publish"]["needs"]) == ("test", "build")
    assert jobs["build"]["if"] == jobs["publish"]["if"] == "github.event_name == 'push'"
    assert any("-m site" in s.get("run", "") for s in jobs["test"]["steps"])
    (kept,) = [s for s in jobs["test"]["steps"] if "upload-artifact" in s.get("uses", "")]
    assert kept["with"]["path"] == "build/screenshots"
    assert kept["if"] == "always()"
