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

from kvroles.contract import terms
from kvroles.vendored.installed.distribution import Installed

# vLLM says a line once a process: the role that must warn comes last, so that a warning of the others' is seen as theirs.
ROLES = ("kv_producer", "kv_consumer", "kv_both")
_LIMIT_S = 600.0  # a cold import of vLLM and torch from a slow disk takes minutes

_SCRIPT = r"""
import importlib, inspect, json, logging, sys
from unittest.mock import MagicMock
module, answer, *roles = sys.argv[1:]
said = []
class Keep(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
def tell(what):
    with open(answer, "w") as f:
        json.dump(what, f)
    sys.exit(0)
try:
    m = importlib.import_module(module)
    from vllm.config import KVTransferConfig
    from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorRole
except Exception as e:
    tell({"import": f"{type(e).__name__}: {e}"})
for name, thing in list(vars(m).items()):
    if inspect.isclass(thing) and name.startswith("Nixl") and name.endswith(("Scheduler", "Worker")):
        setattr(m, name, MagicMock(name=name))
m.logger.addHandler(Keep())
lines = {}
for role in roles:
    config = MagicMock(name="VllmConfig")
    config.parallel_config.prefill_context_parallel_size = 1
    config.parallel_config.decode_context_parallel_size = 1
    config.parallel_config.pipeline_parallel_size = 1
    arguments = [config, KVConnectorRole.SCHEDULER]
    if len(inspect.signature(m.NixlConnector.__init__).parameters) > 3:
        arguments.append(MagicMock(name="KVCacheConfig", kv_cache_groups=[]))
    del said[:]
    try:
        config.kv_transfer_config = KVTransferConfig(
            kv_connector="NixlConnector", kv_role=role, engine_id="engine", kv_buffer_device="cpu")
        m.NixlConnector(*arguments)
    except Exception as e:
        tell({"construct": f"{role}: {type(e).__name__}: {e}"})
    lines[role] = list(said)
tell({"said": lines})
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
    """Construct the connector defined in the file ``connector`` in each role, in one process."""
    if found.python is None:
        return Construction({}, "no interpreter for these packages is known; name one with --python")
    said = _run(found, connector.removesuffix(".py").replace("/", "."))
    if isinstance(said, str):
        return Construction({}, said)
    return Construction({role: sum(1 for line in said[role] if re.search(terms.QUERY, line)) for role in ROLES}, None)


def _run(found: Installed, module: str) -> dict[str, list[str]] | str:
    """The lines that each role's construction logged, or why there was none."""
    with tempfile.TemporaryDirectory(prefix="kv-roles-") as work:
        answer = os.path.join(work, "answer.json")
        path = os.environ.get("PYTHONPATH", "")
        env = {
            **os.environ,
            "PYTHONPATH": f"{found.site}{os.pathsep}{path}" if path else str(found.site),
            # Caches go with the folder, -B leaves no bytecode: as the last step of an image this leaves nothing in it.
            **{"HOME": work, "XDG_CACHE_HOME": work, "XDG_CONFIG_HOME": work},
            # Nothing is asked of a network or a device.
            **{"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        }
        command = [str(found.python), "-B", "-c", _SCRIPT, module, answer, *ROLES]
        try:
            done = subprocess.run(command, cwd=work, env=env, capture_output=True, timeout=_LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as e:
            return f"{found.python} gave no answer ({type(e).__name__})"
        try:
            with open(answer, encoding="utf-8") as f:
                told = json.load(f)
        except (OSError, ValueError):  # it was ended from within: a compiled part that does not suit the machine
            last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            return f"the import of vLLM ended with code {done.returncode}{f': {last}' if last else ''}"
    if "import" in told:
        return f"vLLM does not import here ({told['import']})"
    if "construct" in told:
        return f"NixlConnector could not be constructed ({told['construct']})"
    return {role: [str(line) for line in lines] for role, lines in told["said"].items()}
