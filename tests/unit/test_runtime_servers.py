"""A server that loses its port, as real vLLM does now and then, stood for by a process of a few lines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.errors import Unproven
from kvroles.runtime.servers import Server, free_ports, running

LOSES = "import sys; sys.exit('The server socket has failed to listen: EADDRINUSE')"
FAILS = "import sys; sys.exit('out of memory')"
SERVES = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def server(folder: Path, *runs: str) -> Server:
    """A server whose first start runs the first of ``runs``, and so on."""
    log, (port,), left = folder / "log", free_ports(1), list(runs)

    def launch() -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            argv = [sys.executable, "-c", left.pop(0), str(port)]
            return subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True)

    again: Callable[[], subprocess.Popen[bytes]] = launch
    return Server("one", launch(), port, log, again=again)


def test_a_server_that_lost_a_port_is_started_again(tmp_path: Path) -> None:
    with running([server(tmp_path, LOSES, SERVES)]) as (one,):
        assert one.get("/health") == ""
        assert "EADDRINUSE" not in one.text()


@pytest.mark.parametrize("runs", [(LOSES, LOSES, SERVES), (FAILS, SERVES)], ids=["once only", "for a port only"])
def test_any_other_end_is_an_end(tmp_path: Path, runs: tuple[str, ...]) -> None:
    with pytest.raises(Unproven, match="before it was ready"), running([server(tmp_path, *runs)]):
        pass


def test_ports_are_not_among_those_that_the_kernel_gives_out() -> None:
    """Such a one may belong to anybody by the time vLLM binds it."""
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if first < 20_000:
        pytest.skip(f"the kernel gives out ports from {first} on: there are not enough below")
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not [port for port in ports if first <= port <= last]
