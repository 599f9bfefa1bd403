"""A server that loses its port, as real vLLM does now and then, stood for by a process of a few lines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.errors import Unproven
from kvworkshop.runtime import pair
from kvworkshop.runtime.servers import Server, free_ports, running

LOSES = "import sys; sys.exit('The server socket has failed to listen: EADDRINUSE')"
FAILS = "import sys; sys.exit('out of memory')"
COMPLETES = """
import http.server, json, sys
answers = [int(status) for status in sys.argv[2].split()]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        status = answers.pop(0) if len(answers) > 1 else answers[0]
        if status == 500:
            print(sys.argv[3], flush=True)
        self.send_response(status)
        self.end_headers()
        body = {"choices": [{"token_ids": [status]}], "kv_transfer_params": {}}
        self.wfile.write(json.dumps(body).encode())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SERVES = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def server(folder: Path, *runs: str, more: tuple[str, ...] = ()) -> Server:
    """A server whose first start runs the first of ``runs``, and so on; ``more`` are its arguments after the port."""
    (port,), left = free_ports(1), list(runs)
    log = folder / f"log-{port}"

    def launch() -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            argv = [sys.executable, "-c", left.pop(0), str(port), *more]
            return subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True)

    again: Callable[[], subprocess.Popen[bytes]] = launch
    return Server("one", launch(), port, log, again=again)


def test_a_server_that_lost_a_port_is_started_again(tmp_path: Path) -> None:
    with running([server(tmp_path, LOSES, SERVES)]) as (one,):
        assert one.get("/health") == ""
        assert "EADDRINUSE" not in one.text()


@pytest.mark.parametrize("runs", [(LOSES, LOSES, SERVES), (FAILS, SERVES)], ids=["once only", "for a port only"])
def test_a_server_that_ends_before_it_is_ready_fails_the_run(tmp_path: Path, runs: tuple[str, ...]) -> None:
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


TOO_LATE = "NIXL transfer failure: handshake_failed | zmq.error.Again: Resource temporarily unavailable"


@pytest.mark.parametrize(
    ("answers", "says", "tokens"),
    [("500 500 200", TOO_LATE, (200,)), ("500", TOO_LATE, None), ("500 200", "NIXL_ERR_INVALID_PARAM", None)],
    ids=["a handshake that came too late is asked for again", "but not for ever", "and nothing else is"],
)
def test_a_request_through_a_pair_gives_tokens_or_says_who_refused_it(
    tmp_path: Path, answers: str, says: str, tokens: tuple[int, ...] | None
) -> None:
    prefiller = server(tmp_path, COMPLETES, more=("200", ""))
    decoder = server(tmp_path, COMPLETES, more=(answers, says))
    with running([prefiller, decoder]):
        if tokens is None:
            with pytest.raises(Unproven, match="refuses a request"):
                pair.through(prefiller, decoder, [1, 2], 1)
        else:
            assert pair.through(prefiller, decoder, [1, 2], 1).tokens == tokens
