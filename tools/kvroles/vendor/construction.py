"""Build the real NixlConnector of an installation in each role, in its own interpreter, and see which of them warn.

The class, its configuration class and its logger are vLLM's own; what stands behind the connector (scheduler and worker,
which want devices and NIXL agents) is replaced. The script below runs inside that interpreter.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass

from ..contract import QUERY
from .distribution import Installed

ROLES = ("kv_both", "kv_producer", "kv_consumer")
_LIMIT_S = 600.0  # a cold import of vLLM and torch from a slow disk takes minutes

_SCRIPT = r"""
import importlib, inspect, json, logging, sys
from unittest.mock import MagicMock
role, module, answer = sys.argv[1:4]
said = []
class Keep(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
try:
    m = importlib.import_module(module)
    from vllm.config import KVTransferConfig
    from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorRole
except Exception as e:
    json.dump({"import": f"{type(e).__name__}: {e}"}, open(answer, "w"))
    sys.exit(0)
for name, thing in list(vars(m).items()):
    if inspect.isclass(thing) and name.startswith("Nixl") and name.endswith(("Scheduler", "Worker")):
        setattr(m, name, MagicMock(name=name))
m.logger.addHandler(Keep())
config = MagicMock(name="VllmConfig")
config.parallel_config.prefill_context_parallel_size = 1
config.parallel_config.decode_context_parallel_size = 1
config.parallel_config.pipeline_parallel_size = 1
config.kv_transfer_config = KVTransferConfig(
    kv_connector="NixlConnector", kv_role=role, engine_id="engine", kv_buffer_device="cpu")
cls = m.NixlConnector
arguments = [config, KVConnectorRole.SCHEDULER]
if len(inspect.signature(cls.__init__).parameters) > 3:
    arguments.append(MagicMock(name="KVCacheConfig", kv_cache_groups=[]))
try:
    made = cls(*arguments)
    json.dump({"class": type(made).__name__, "said": said}, open(answer, "w"))
except Exception as e:
    json.dump({"construct": f"{type(e).__name__}: {e}"}, open(answer, "w"))
"""


@dataclass(frozen=True)
class Construction:
    """``warned`` is role -> number of deprecation lines; ``unchecked`` says why nothing could be constructed, or is None."""

    warned: dict[str, int]
    unchecked: str | None

    @property
    def wrong(self) -> str | None:
        """What is wrong with it: ``kv_both`` must warn once, explicit roles not at all."""
        for role, times in self.warned.items():
            wanted = 1 if role == "kv_both" else 0
            if times != wanted:
                return f"constructed with {role} it logged the deprecation {times} times instead of {wanted}"
        return None


def construct(found: Installed, connector: str) -> Construction:
    """Construct the connector defined in the file ``connector`` once for each role, each in a process of its own."""
    if found.python is None:
        return Construction({}, "no interpreter for these packages is known; name one with --python")
    warned = {}
    for role in ROLES:
        said = _run(found, role, connector.removesuffix(".py").replace("/", "."))
        if isinstance(said, str):
            return Construction({}, said)
        warned[role] = sum(1 for line in said if re.search(QUERY, line))
    return Construction(warned, None)


def _run(found: Installed, role: str, module: str) -> list[str] | str:
    """The lines that one construction logged, or why there was none."""
    # -B leaves no bytecode in the image's layer. The variables keep vLLM from asking a network for anything.
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory(prefix="kv-roles-") as work:
        answer = os.path.join(work, "answer.json")
        path = os.environ.get("PYTHONPATH", "")
        env = {**os.environ, **quiet, "PYTHONPATH": f"{found.site}{os.pathsep}{path}" if path else str(found.site)}
        try:
            subprocess.run(
                [str(found.python), "-B", "-c", _SCRIPT, role, module, answer],
                cwd=work, env=env, capture_output=True, timeout=_LIMIT_S, check=False,
            )  # fmt: skip
            with open(answer, encoding="utf-8") as f:
                told = json.load(f)
        except (OSError, ValueError, subprocess.TimeoutExpired) as e:
            return f"the interpreter gave no answer ({type(e).__name__})"
    if "import" in told:
        return f"vLLM does not import here ({told['import']})"
    if "construct" in told:
        return f"NixlConnector could not be constructed ({told['construct']})"
    return [str(line) for line in told["said"]]
