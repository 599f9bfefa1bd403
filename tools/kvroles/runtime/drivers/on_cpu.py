"""What a tree needs to construct NixlConnector on a CPU. Runs inside an environment; also a pytest plugin.

As a plugin (``-p on_cpu``) it prepares upstream's own unit tests the same way before they are collected.
"""

from __future__ import annotations

import gc
from importlib import import_module

NIXL = "vllm.distributed.kv_transfer.kv_connector.v1.nixl"
ONE_FILE = "vllm.distributed.kv_transfer.kv_connector.v1.nixl_connector"
BLOCK_SIZE = 16
"""What upstream's unit tests use."""


def has_module(name: str) -> bool:
    """Whether ``name`` can be imported from the tree (a missing module inside it still raises)."""
    try:
        import_module(name)
    except ModuleNotFoundError as e:
        if e.name and (name == e.name or name.startswith(e.name + ".")):
            return False
        raise
    return True


def bridge_torch() -> None:
    """Give newer torch the private query that 0.17.0 and later ask while importing (renamed in torch 2.13).

    The answer only picks which compiled part is tried, and none is there.
    """
    import torch

    if hasattr(torch.cpu, "_is_avx512_supported") and not hasattr(torch._C._cpu, "_is_avx512_supported"):
        torch._C._cpu._is_avx512_supported = torch.cpu._is_avx512_supported


def allow_cpu() -> None:
    """Let old releases construct on a CPU: their device table lacks it (it is there from 0.11.1 on)."""
    for module in (import_module(n) for n in (ONE_FILE, f"{NIXL}.utils") if has_module(n)):
        for table in ("_NIXL_SUPPORTED_XPUS", "_NIXL_SUPPORTED_DEVICE"):
            if hasattr(module, table):
                getattr(module, table).setdefault("cpu", ("cpu",))
    # From 0.29.0 the CPU attention backend takes blocks in multiples of 32 only, while the tests use 16;
    # upstream's own unit conftest lifts this from 0.30.0 on.
    if has_module("vllm.v1.attention.backend") and has_module("vllm.v1.attention.backends.cpu_attn"):
        backend = import_module("vllm.v1.attention.backends.cpu_attn").CPUAttentionBackend
        if hasattr(backend, "get_supported_kernel_block_sizes"):
            multiple = import_module("vllm.v1.attention.backend").MultipleOf
            backend.get_supported_kernel_block_sizes = staticmethod(lambda *_a, **_k: [multiple(BLOCK_SIZE)])


def without_nccl() -> None:
    """Let tests that ask for NCCL have gloo, as vLLM itself decides on a torch that was built without it.

    A CUDA build of torch has NCCL, which then fails for want of a GPU.
    """
    import torch

    if not torch.cuda.is_available():
        torch.distributed.is_nccl_available = lambda: False


def pytest_sessionstart() -> None:
    """The plugin's hook: before anything of the tree is collected."""
    bridge_torch()
    without_nccl()
    allow_cpu()


def pytest_collection_finish() -> None:
    """The plugin's hook: after everything was imported and before the first test.

    Upstream's fixtures collect garbage after each test, and nearly all the time of a run went into walking the
    modules' own objects then. These stay for good, so they are left out, for which the fixtures' unfreezing is undone
    too; what the tests make is collected as before.
    """
    gc.collect()
    gc.freeze()
    gc.unfreeze = lambda: None
