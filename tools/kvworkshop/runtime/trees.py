"""Put a vLLM tree in front of an interpreter: the variables of a run, and the name vLLM looks itself up under."""

from __future__ import annotations

import os
from pathlib import Path

from kvroles.places import default_cache_dir

from kvworkshop.runtime import models
from kvworkshop.runtime.environments import Interpreter

# What a run may keep of the caller's variables: nothing that names another vLLM, hub, proxy or credentials.
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")


def variables(interpreter: Interpreter, tree: Path, release: str) -> dict[str, str]:
    """The whole environment of a process that imports vLLM ``release`` from ``tree`` on a CPU, offline."""
    home = default_cache_dir() / "home"
    path = [distribution(release), *interpreter.layers, tree]
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {
        "HOME": str(home),
        "HF_HOME": str(models.write_hub(home / "hub")),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        # Everything stays on the loopback interface.
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NIXL_SIDE_CHANNEL_HOST": "127.0.0.1",
        "GLOO_SOCKET_IFNAME": "lo",
        "UCX_TLS": "all",
        "UCX_NET_DEVICES": "lo",
    }


def distribution(release: str) -> Path:
    """A folder whose only content is the metadata of ``vllm`` as a CPU build of ``release``.

    vLLM reads its version there, and takes the CPU platform from the ``+cpu`` in it. It must come before
    the tree, because the source archives hold metadata of their own, without that label.
    """
    folder = default_cache_dir() / "dist" / release
    metadata = folder / f"vllm-{release}+cpu.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {release}+cpu\n"
    models.write_text(metadata / "METADATA", text)
    models.write_text(metadata / "RECORD", "")
    return folder


def hide_metadata(tree: Path) -> None:
    """Put the metadata that a source archive holds out of sight.

    pytest puts the tree itself first on the path, and that metadata before :func:`distribution`: without the
    ``+cpu`` in it vLLM finds no device.
    """
    for folder in tree.glob("*.egg-info"):
        folder.rename(tree / f".{folder.name}.aside")
