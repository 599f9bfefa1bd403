"""Start ``vllm serve`` from a tree, wait until it is healthy, ask it, stop it. Everything stays on the loopback."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvroles.errors import Unproven

from kvworkshop.runtime.environments import Interpreter
from kvworkshop.runtime.trees import variables

HOST = "127.0.0.1"
START_DEADLINE_S = 600.0
REQUEST_DEADLINE_S = 120.0
STOP_DEADLINE_S = 30.0
POLL_S = 0.5
MODEL_NAME = "tiny"
PAUSE = Path(__file__).with_name("drivers") / "pause"


@dataclass(frozen=True)
class Setup:
    """What all servers of a run share: who runs what, on which model, and where logs go.

    ``tree`` is any folder that holds the whole of ``vllm``: a source tree that compiled parts were copied into (see
    ``wheels.copy_compiled``), or the site-packages of an environment of one's own.
    """

    interpreter: Interpreter
    tree: Path
    release: str
    model: Path
    logs: Path


@dataclass
class Server:
    """A running process that listens on ``port`` and writes to ``log``; ``again`` starts it once more."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    health: str = "/health"
    again: Callable[[], subprocess.Popen[bytes]] | None = None

    def text(self) -> str:
        """All that the server has logged so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self, lines: int = 60) -> str:
        """The end of the log under the server's name, for a failure report."""
        last = "\n".join(self.text().splitlines()[-lines:])
        return f"--- {self.name} (port {self.port}, exit code {self.process.poll()}), end of {self.log}:\n{last}\n"

    def get(self, path: str) -> str:
        """The body of a GET. Raises OSError where the server does not answer or answers with an error."""
        with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=REQUEST_DEADLINE_S) as reply:
            body: bytes = reply.read()
        return body.decode()

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        """The JSON answer to a JSON request. Raises Unproven with the server's own words on an error status."""
        request = urllib.request.Request(
            f"http://{HOST}:{self.port}{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_DEADLINE_S) as reply:
                answer: dict[str, Any] = json.loads(reply.read())
        except urllib.error.HTTPError as e:
            raise Unproven(
                f"{self.name} refuses a request to {path}",
                found=f"status {e.code}: {e.read().decode(errors='replace')[:1000]}",
                fix=f"Read {self.log}",
            ) from None
        return answer

    def healthy(self) -> bool:
        """Whether the server answers now. Raises Unproven once its process has ended.

        vLLM asks for free ports and binds them seconds later: one that lost such a port to somebody is started again, once.
        """
        if self.process.poll() is not None and self.again is not None and "EADDRINUSE" in self.text():
            self.stop()
            self.process, self.again = self.again(), None
        if self.process.poll() is not None:
            raise Unproven(
                f"{self.name} ended with exit code {self.process.returncode} before it was ready", found=self.tail()
            )
        try:
            self.get(self.health)
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End the server and the processes it started: SIGTERM first, SIGKILL for what is left after ``STOP_DEADLINE_S``."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, sent)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_DEADLINE_S)
        self.process.wait()


def serve(setup: Setup, name: str, transfer: Mapping[str, Any] | None, core: int) -> Server:
    """Start one ``vllm serve`` on core ``core``, with ``transfer`` as its KV transfer configuration; does not wait."""
    port, side_channel = free_ports(2)
    arguments = [
        *("-m", "vllm.entrypoints.cli.main", "serve", str(setup.model), "--served-model-name", MODEL_NAME),
        *("--host", HOST, "--port", str(port), "--enforce-eager", "--dtype", "float32"),
        # 64 blocks are plenty for these prompts; without the limit every server fills a gigabyte of cache.
        *("--max-model-len", "1024", "--max-num-seqs", "8", "--num-gpu-blocks-override", "64"),
    ]
    if transfer is not None:
        arguments += ["--kv-transfer-config", json.dumps(transfer)]
    environ = variables(setup.interpreter, setup.tree, setup.release) | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": str(core % (os.cpu_count() or 1)),
        "VLLM_NIXL_SIDE_CHANNEL_PORT": str(side_channel),
        # Small helpers are compiled by inductor even under --enforce-eager, a minute of C++ for each server.
        "TORCHDYNAMO_DISABLE": "1",
    }
    environ["PYTHONPATH"] += f"{os.pathsep}{PAUSE}"
    return _start(setup, name, arguments, environ, port, "/health")


def proxy(setup: Setup, prefill: Server, decode: Server) -> Server:
    """Start the release's own toy proxy, from the tree's tests, before a pair; does not wait."""
    (port,) = free_ports(1)
    script = setup.tree / "tests/v1/kv_connector/nixl_integration/toy_proxy_server.py"
    arguments = [
        *(str(script), "--host", HOST, "--port", str(port)),
        *("--prefiller-hosts", HOST, "--prefiller-ports", str(prefill.port)),
        *("--decoder-hosts", HOST, "--decoder-ports", str(decode.port)),
    ]
    environ = variables(setup.interpreter, setup.tree, setup.release)
    return _start(setup, "proxy", arguments, environ, port, "/healthcheck")


def _start(setup: Setup, name: str, arguments: list[str], environ: dict[str, str], port: int, health: str) -> Server:
    setup.logs.mkdir(parents=True, exist_ok=True)
    log = setup.logs / f"{name}.log"

    def launch() -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            return subprocess.Popen(
                [str(setup.interpreter.python), *arguments],
                cwd=setup.logs,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A group of its own: the engine core and its workers are stopped with the server.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    return Server(name, launch(), port, log, health, launch)


def _end_with_parent() -> None:
    """Ask Linux to end this process when the one that started it dies, however that happens."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def wait_ready(servers: list[Server], deadline_s: float = START_DEADLINE_S) -> None:
    """Return once every server is healthy. Raises Unproven, with the logs' ends, when one ends or time is up."""
    until = time.monotonic() + deadline_s
    waiting = list(servers)
    while waiting:
        waiting = [server for server in waiting if not server.healthy()]
        if waiting and time.monotonic() > until:
            raise Unproven(
                f"{', '.join(s.name for s in waiting)} not healthy after {deadline_s:.0f} s",
                found="".join(server.tail() for server in waiting),
            )
        if waiting:
            time.sleep(POLL_S)


@contextlib.contextmanager
def running(servers: list[Server]) -> Iterator[list[Server]]:
    """Wait until ``servers`` are ready, and stop them at the end, also when the body or the wait raises."""
    try:
        wait_ready(servers)
        yield servers
    finally:
        for server in servers:
            server.stop()


def free_ports(count: int) -> list[int]:
    """``count`` different TCP ports that nobody listens on, from below those that Linux gives out by itself.

    A server binds its ports seconds after it was told them. By then the kernel may have given a port of its own range to an
    outgoing connection, or to a program that binds port 0, as vLLM does. NIXL's handshake listener then dies, and its server does
    not end (0.22.1, nixl/scheduler.py:303).
    """
    first_given_out = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    for port in random.sample(range(10_000, max(first_given_out, 20_000)), 1_000):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind((HOST, port))
            found.append(port)
        if len(found) == count:
            break
    return found
