"""The first commands of the site on a bare machine: Python, git, and nothing of ours or of our libraries installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kvworkshop.pages import home
from support import docs, terminal

MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm-prefill, labels: {role: prefill}}
spec:
  template:
    metadata: {labels: {app: llm, role: prefill}}
    spec:
      containers:
        - name: vllm
          args: [--kv-transfer-config, '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
"""


class Machine:
    """A checkout, and an environment in which only Python's own library is there until something is installed."""

    def __init__(self, folder: Path) -> None:
        self.checkout = docs.checkout(folder / "vllm-kv-roles")
        subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
        (folder / "deploy").mkdir()
        (folder / "deploy" / "prefill.yaml").write_text(MANIFEST)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "VIRTUAL_ENV"}
        path = os.pathsep.join([str(folder / ".venv" / "bin"), os.environ["PATH"]])
        self.env = {**kept, "PATH": path, "XDG_CACHE_HOME": str(folder / "cache"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return terminal.run("bash", "-euo", "pipefail", "-c", script, cwd=self.checkout, env=self.env)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("bare"))


def test_the_first_command_says_what_to_install_and_then_works(machine: Machine) -> None:
    before = machine.run("python tools/migrate.py --diff ../deploy")
    assert before.returncode == 2
    assert "pip install" in before.stdout
    clone, enter, install = home.get("https://github.com/YOU/vllm-kv-roles").split("\n")
    assert clone.startswith("git clone ")
    assert clone.endswith(" && cd vllm-kv-roles")
    assert enter == "python3 -m venv .venv && . .venv/bin/activate"
    installed = machine.run(install)
    assert installed.returncode == 0, installed.stdout
    shown = machine.run("python tools/migrate.py --diff ../deploy")
    assert (
        '+          args: [--kv-transfer-config, \'{"kv_connector":"NixlConnector","kv_role":"kv_producer"}\']'
        in shown.stdout
    )
    assert machine.run("python tools/migrate.py --write ../deploy").returncode == 0


def test_apply_needs_nothing_installed(machine: Machine) -> None:
    listed = machine.run("python3 tools/apply.py --list")
    assert listed.returncode == 0, listed.stdout
    assert "0.22.1" in listed.stdout


@pytest.mark.parametrize("page", ["index.md", "howto/rewrite-configs.md"])
def test_the_install_line_stands_before_the_first_command(page: str) -> None:
    text = (docs.ROOT / "docs" / page).read_text()
    assert text.index('--8<-- "build/pages/get.md"') < text.index("tools/migrate.py --")


def test_the_guide_installs_before_its_first_command() -> None:
    tools = docs.GUIDE.read_text().partition("## Tools")[2]
    assert tools.index("pip install") < tools.index("tools/migrate.py")


def test_no_page_runs_a_name_that_is_not_published() -> None:
    for page in docs.written_pages():
        assert "uvx " not in page.read_text(), page
