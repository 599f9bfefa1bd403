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


def device_tables() -> list[dict[str, tuple[str, ...]]]:
    """The tree's tables of device -> buffer devices that NIXL may use with it."""
    modules = [import_module(n) for n in (ONE_FILE, f"{NIXL}.utils") if has_module(n)]
    names = ("_NIXL_SUPPORTED_XPUS", "_NIXL_SUPPORTED_DEVICE")
    return [getattr(module, name) for module in modules for name in names if hasattr(module, name)]


def allow_cpu() -> None:
    """Let old releases construct on a CPU: their device table lacks it (it is there from 0.11.1 on).

    ``cuda``, their default, then says that the blocks stay where they are; with ``cpu`` they copy them first,
    even from a CPU.
    """
    for table in device_tables():
        table.setdefault("cpu", ("cpu", "cuda"))
    # From 0.29.0 the CPU attention backend takes blocks in multiples of 32 only, while the tests use 16;
    # upstream's own unit conftest lifts this from 0.30.0 on.
    if has_module("vllm.v1.attention.backend") and has_module("vllm.v1.attention.backends.cpu_attn"):
        backend = import_module("vllm.v1.attention.backends.cpu_attn").CPUAttentionBackend
        if hasattr(backend, "get_supported_kernel_block_sizes"):
            multiple = import_module("vllm.v1.attention.backend").MultipleOf
            backend.get_supported_kernel_block_sizes = staticmethod(lambda *_a, **_k: [multiple(BLOCK_SIZE)])


def buffer_on_cpu() -> None:
    """Let a configuration that names no buffer device have the CPU where the table asks for that on a CPU.

    The default is ``cuda`` in old releases, and the platform's device in later ones.
    """
    if any("cuda" in table["cpu"] for table in device_tables()):
        return
    config = import_module("vllm.config").KVTransferConfig
    if config().kv_buffer_device == "cpu":
        return
    own = config.__init__

    def init(self: object, **given: object) -> None:
        own(self, **{"kv_buffer_device": "cpu", **given})

    config.__init__ = init


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
    buffer_on_cpu()


def pytest_collection_finish() -> None:
    """The plugin's hook: after everything was imported and before the first test.

    Upstream's fixtures collect garbage after each test, and nearly all the time of a run went into walking the
    modules' own objects then. These stay for good, so they are left out, for which the fixtures' unfreezing is undone
    too; what the tests make is collected as before.
    """
    gc.collect()
    gc.freeze()
    gc.unfreeze = lambda: None
