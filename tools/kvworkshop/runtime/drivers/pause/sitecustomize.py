"""Give waiting threads a pause between looks. Python imports this when it starts, where it is on the path.

NIXL's Python API asks for no pause (``pthrDelay = 0``), so that every server with a connector keeps a core busy while
it has nothing to do: four of them leave two cores no time for the work that is tested. What arrives wakes the thread
in a pause too.

A vLLM worker looks for its next message in a loop around ``os.sched_yield`` for a second after each message (0.30.0,
distributed/device_communicators/shm_broadcast.py:204), and the worker of a prefill instance gets messages for as long as
it keeps blocks for decode. Two cores then go to workers that wait: on some kernels the worker of decode was never run
while the other yielded, and a push came to nothing. Nothing else of NIXL or vLLM changes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PAUSE_US = 1000


class Paused(MetaPathFinder):
    """Finds NIXL's compiled part as ever, and changes the setter of its pause once it is loaded."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        spec = PathFinder.find_spec(fullname, path) if package.startswith("nixl_cu") and name == "_bindings" else None
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_paused(module: ModuleType) -> None:
            load(module)
            delay = module.nixlAgentConfig.pthrDelay
            module.nixlAgentConfig.pthrDelay = property(delay.fget, lambda self, _: delay.fset(self, PAUSE_US))

        spec.loader.exec_module = load_paused  # type: ignore[method-assign]
        return spec


def _sched_yield() -> None:
    time.sleep(PAUSE_US / 1e6)


sys.meta_path.insert(0, Paused())
os.sched_yield = _sched_yield
