"""Construct a tree's own NixlConnector in every role and report what it warned. Runs inside an environment.

Usage: ``python construct.py CASES.json REPORT.json`` with the tree first on ``PYTHONPATH``. ``CASES.json``
holds a list of objects ``{"connector": str, "side": "SCHEDULER" | "WORKER", "kv_role": str, "wrapper":
"fake" | "real", "parent_role": str | null}``; ``parent_role`` wraps the connector as the only child of a
MultiConnector with that role. ``REPORT.json`` receives the same list with ``"class"`` (what was
constructed), ``"warnings"`` (the messages logged at WARNING or above while constructing) and ``"error"`` (a
traceback, or null).

vLLM is imported once; each case runs in a forked child, so that "warns once" is once per process, as in a
deployment, and needs no clearing of caches. Standard library, ``on_cpu`` beside this file and the tree's
own modules only: it is run by the interpreter of the environment, which does not know the tools beside it.
"""

from __future__ import annotations

import ast
import gc
import inspect
import json
import logging
import os
import sys
import tempfile
import traceback
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from on_cpu import BLOCK_SIZE, NIXL, ONE_FILE, allow_cpu, bridge_torch, has_module

MULTI = "vllm.distributed.kv_transfer.kv_connector.v1.multi_connector"
UTILS = "tests.v1.kv_connector.unit.utils"


class Collector(logging.Handler):
    """Keeps the text of every record it is given."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def connector_module() -> Any:
    """The module that defines the NIXL connectors: a package since 0.20.0, one file before."""
    return import_module(f"{NIXL}.connector" if has_module(f"{NIXL}.connector") else ONE_FILE)


def wrapper_homes() -> list[Any]:
    """The modules of the tree that hold a ``NixlWrapper`` name, where the release's tests patch it."""
    names = [ONE_FILE, f"{NIXL}.worker", f"{NIXL}.base_worker"]
    return [m for m in (import_module(n) for n in names if has_module(n)) if hasattr(m, "NixlWrapper")]


def fake_wrapper() -> Any:
    """The release's own FakeNixlWrapper: from its tests, 0.10.0's mock module, or a MagicMock before it had one.

    The class is taken out of the test file by its syntax tree: importing the file would pull in ray and
    vLLM's engine.
    """
    source = Path(str(import_module(UTILS).__file__)).with_name("test_nixl_connector.py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "FakeNixlWrapper":
            names: dict[str, Any] = {}
            imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
            stdlib = [n for n in imports if _top(n) in sys.stdlib_module_names]
            exec(compile(ast.Module([*stdlib, node], []), str(source), "exec"), names)
            return names["FakeNixlWrapper"]
    if has_module("vllm.mocks.mock_nixl_connector"):
        return import_module("vllm.mocks.mock_nixl_connector").FakeNixlWrapper
    return MagicMock()


def _top(node: ast.Import | ast.ImportFrom) -> str:
    name = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
    return (name or "").partition(".")[0]


def give_role(config: Any, case: dict[str, Any]) -> None:
    """Set the case's connector and role on the tests' own VllmConfig; ``kv_buffer_device`` is the CPU."""
    from vllm.config import KVTransferConfig

    child = {"kv_connector": case["connector"], "kv_role": case["kv_role"], "kv_buffer_device": "cpu"}
    known = set(inspect.signature(KVTransferConfig).parameters)
    child = {k: v for k, v in child.items() if k in known}
    if case["parent_role"] is None:
        config.kv_transfer_config = KVTransferConfig(engine_id="engine", **child)
    else:
        config.kv_transfer_config = KVTransferConfig(
            kv_connector="MultiConnector",
            kv_role=case["parent_role"],
            engine_id="engine",
            kv_connector_extra_config={"connectors": [child]},
        )


def construct(config: Any, case: dict[str, Any]) -> Any:
    """Build the case's connector from the tests' VllmConfig, as the tests do; returns the instance."""
    from vllm.config import set_current_vllm_config
    from vllm.distributed import parallel_state
    from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorRole

    name = case["connector"] if case["parent_role"] is None else "MultiConnector"
    home = connector_module() if case["parent_role"] is None else import_module(MULTI)
    connector_class = getattr(home, name)
    give_role(config, case)
    arguments = [config, KVConnectorRole[case["side"]]]
    parameters = inspect.signature(connector_class.__init__).parameters
    if "kv_cache_config" in parameters:
        if hasattr(import_module(UTILS), "make_kv_cache_config"):
            arguments.append(import_module(UTILS).make_kv_cache_config(block_size=BLOCK_SIZE))
        elif parameters["kv_cache_config"].default is inspect.Parameter.empty:
            arguments.append(None)
    with set_current_vllm_config(config):
        rendezvous = tempfile.mktemp(prefix="kv-roles-gloo-")
        parallel_state.init_distributed_environment(
            world_size=1,
            rank=0,
            local_rank=0,
            distributed_init_method=f"file://{rendezvous}",
            backend="gloo",
        )
        parallel_state.ensure_model_parallel_initialized(1, 1)
        return connector_class(*arguments)


@dataclass(frozen=True)
class Ready:
    """What all cases need and none changes, made before the forks: it costs more than a case itself."""

    config: Any
    wrapper: Any
    homes: list[Any]


def prepare() -> Ready:
    """Import everything that a construction will, and read the tests' configuration and fake wrapper."""
    bridge_torch()
    connector_module()
    import_module(MULTI)
    import_module("vllm.distributed.parallel_state")
    allow_cpu()
    # vLLM asks what a model is in an interpreter that imports all of vLLM again; this one can answer.
    registry: Any = import_module("vllm.model_executor.models.registry")
    registry._run_in_subprocess = lambda ask: ask()
    ready = Ready(import_module(UTILS).create_vllm_config(), fake_wrapper(), wrapper_homes())
    # The children share these pages until one of them touches what is on them; a collection would touch all.
    gc.freeze()
    return ready


def run(ready: Ready, case: dict[str, Any]) -> dict[str, Any]:
    """One case, in the process it is called in; never raises."""
    collector = Collector()
    logging.getLogger("vllm").addHandler(collector)
    made = None
    error = None
    try:
        if case["wrapper"] == "fake":
            for module in ready.homes:
                module.NixlWrapper = ready.wrapper
        collector.messages.clear()
        made = type(construct(ready.config, case)).__name__
    except BaseException:
        error = traceback.format_exc()
    return {**case, "class": made, "warnings": collector.messages, "error": error}


def in_child(ready: Ready, case: dict[str, Any]) -> dict[str, Any]:
    """Run one case in a forked child and read its report from a pipe."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            json.dump(run(ready, case), pipe)
        # No interpreter shutdown: threads of the connector (handshake listener) would be joined.
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not text:
        return {**case, "class": None, "warnings": [], "error": f"the child ended with status {status}"}
    result: dict[str, Any] = json.loads(text)
    return result


def main() -> None:
    cases = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    ready = prepare()
    reports = [in_child(ready, case) for case in cases]
    Path(sys.argv[2]).write_text(json.dumps(reports, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
