"""Give NIXL's progress thread a pause between looks. Python imports this when it starts, where it is on the path.

NIXL's Python API asks for no pause (``pthrDelay = 0``), so that every server with a connector keeps a core busy while
it has nothing to do: four of them leave two cores no time for the work that is tested. What arrives wakes the thread
in a pause too. Nothing else of NIXL changes, and nothing of vLLM.
"""

from __future__ import annotations

import sys
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


sys.meta_path.insert(0, Paused())
