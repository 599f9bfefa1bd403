"""What tests that start servers share: every server that was started, so that a failure can print all logs."""

from __future__ import annotations

from typing import Any

from kvworkshop.runtime.servers import Server, Setup, serve

STARTED: list[Server] = []
"""Not in a conftest: pytest loads that once, a test that imports it once more, and each copy would have a list of its own."""


def nixl(kv_role: str, **extra: Any) -> dict[str, Any]:
    """A KV transfer configuration as the guide writes it, with the buffer on the CPU."""
    config = {"kv_connector": "NixlConnector", "kv_role": kv_role, "kv_buffer_device": "cpu"}
    return config | ({"kv_connector_extra_config": extra} if extra else {})


def start(setup: Setup, name: str, transfer: dict[str, Any] | None, core: int) -> Server:
    """Start a server (see ``servers.serve``) whose log is printed when a test fails."""
    server = serve(setup, name, transfer, core)
    STARTED.append(server)
    return server
