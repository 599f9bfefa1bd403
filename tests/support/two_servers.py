"""A script that starts prefill and decode, and the command line of ``migrate`` run on it in this process."""

from __future__ import annotations

import pytest
from kvroles.migrate import cli

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
SCRIPT = f"""\
# prefill
vllm serve m --port 8100 --kv-transfer-config '{NIXL}' &
# decode
vllm serve m --port 8200 --kv-transfer-config '{NIXL}' &
"""
UNSAID = f"vllm serve m --kv-transfer-config '{NIXL}'\n"


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """The exit code, standard output, and standard error as one line."""
    code = cli.main(list(args))
    out, err = capsys.readouterr()
    assert "\n\n" not in err
    return code, out, " ".join(err.split()) + "\n" if err else ""  # a paragraph is as wide as the terminal
