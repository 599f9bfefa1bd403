"""Build the real NixlConnector of an installation in each role, in its own interpreter, and see which of them warn.

The class, its configuration class and its logger are vLLM's own; what stands behind the connector (scheduler and worker,
which want devices and NIXL agents) is replaced. The script below runs inside that interpreter.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvroles.contract import terms
from kvroles.vendored.installed import asked
from kvroles.vendored.installed.distribution import Installed
from kvroles.vendored.installed.interpreter import ask
from kvroles.vendored.installed.search import Run, Search, same
from kvroles.vendored.installed.search import of as search_of

# vLLM logs a line only once in a process. The role that must warn comes last: a warning of another role is then seen as its own.
ROLES = ("kv_producer", "kv_consumer", "kv_both")
_LIMIT_S = 600.0  # a cold import of vLLM and torch from a slow disk takes minutes

_SCRIPT = r"""
import importlib, inspect, json, logging, sys
from unittest.mock import MagicMock
module, answer, instead, *roles = sys.argv[1:]
if instead:  # the connector as it is to be, before it is written
    import importlib.util
    class Instead:
        def find_spec(self, name, path, target=None):
            return importlib.util.spec_from_file_location(name, instead) if name == module else None
    sys.meta_path.insert(0, Instead())
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
files = {n: getattr(m, "__file__", None) for n, m in list(sys.modules.items()) if n.partition(".")[0] == "vllm"}
tell({"said": lines, "files": {n: str(f) for n, f in files.items() if f and n != (instead and module)}})
"""


@dataclass(frozen=True)
class Construction:
    """``warned`` is role -> number of deprecation lines; ``unchecked`` says why nothing could be constructed, or is None.

    ``foreign`` is a module that was imported from elsewhere than the installation, with its file.
    """

    warned: dict[str, int]
    unchecked: str | None
    foreign: str | None = None

    @property
    def wrong(self) -> str | None:
        """What is wrong with it: ``kv_both`` must warn once, explicit roles not at all, and all of it from these files."""
        if self.foreign:
            return f"to construct it, Python imported {self.foreign}, which is no file of it"
        for role, times in self.warned.items():
            wanted = 1 if role == "kv_both" else 0
            if times != wanted:
                return f"constructed with {role} it logged the deprecation {times} times instead of {wanted}"
        return None


def construct(found: Installed, connector: str, instead: bytes | None = None) -> Construction:
    """Construct the connector defined in the file ``connector`` in each role, in one process, run as vLLM will be.

    ``instead`` are the bytes to take for it, where it is not written yet.
    """
    if found.python is None:
        return Construction({}, "no interpreter for these packages is known; name one with --python")
    search = found.search or search_of(ask(found.python, os.environ), Run())
    if search.waits_for is not None:
        return Construction({}, f"{found.python} cannot be started: {search.waits_for} is a pipe or a device")
    with asked.passing_folder() as work:
        file = ""
        if instead is not None:
            file = os.path.join(work, "connector.py")
            with open(file, "wb") as f:
                f.write(instead)
        told = _run(found, search, connector.removesuffix(".py").replace("/", "."), work, file)
    if isinstance(told, str):
        return Construction({}, told)
    said = told["said"]
    package = found.site / "vllm"  # a link below it leads to bytes that were read through it
    foreign = [f"{n} from {f}" for n, f in told["files"].items() if not any(same(p, package) for p in Path(f).parents)]
    warned = {role: sum(1 for line in said[role] if re.search(terms.QUERY, line)) for role in ROLES}
    return Construction(warned, None, min(foreign, default=None))


def _run(found: Installed, search: Search, module: str, work: str, instead: str) -> dict[str, Any] | str:
    """The lines that each role's construction logged and the files it imported, or why there was none."""
    answer = os.path.join(work, "answer.json")
    os.chmod(work, 0o755)
    env = asked.environment(search.run, found.missing_from_path)
    # Caches go with the folder, -B leaves no bytecode: as the last step of an image this leaves nothing in it.
    if search.interpreter.user is not None:  # found by HOME, which changes here
        env.setdefault("PYTHONUSERBASE", os.path.join(os.path.expanduser("~"), ".local"))
    env |= {"HOME": work, "XDG_CACHE_HOME": work, "XDG_CONFIG_HOME": work}
    # Nothing is asked of a network or a device.
    env |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = asked.command(search, _SCRIPT, module, answer, instead, *ROLES, site=found.missing_from_path)
    try:
        done = subprocess.run(
            command, cwd=search.run.folder, env=env, capture_output=True, timeout=_LIMIT_S, check=False,
            input=b"",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as e:
        return f"{found.python} gave no answer ({type(e).__name__})"
    try:
        with open(answer, encoding="utf-8") as f:
            told: dict[str, Any] = json.load(f)
    except (OSError, ValueError):  # it was ended from within: a compiled part that does not suit the machine
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return f"the import of vLLM ended with code {done.returncode}{f': {last}' if last else ''}"
    if "import" in told:
        return f"vLLM does not import here ({told['import']})"
    if "construct" in told:
        return f"NixlConnector could not be constructed ({told['construct']})"
    return told
