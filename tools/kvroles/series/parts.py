"""The parts of a vLLM tree that can be patched alone: what runs, its tests, and everything else that people read."""

from __future__ import annotations

from enum import StrEnum


class Part(StrEnum):
    """``docs`` holds guides, recipes, examples: every path that is neither of the package nor of its tests."""

    RUNTIME = "runtime"
    TESTS = "tests"
    DOCS = "docs"


_FOLDERS = {"vllm": Part.RUNTIME, "tests": Part.TESTS}


def of(path: str) -> Part:
    """The part that ``path`` belongs to, by its first folder."""
    return _FOLDERS.get(path.partition("/")[0], Part.DOCS) if "/" in path else Part.DOCS
