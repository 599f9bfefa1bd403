"""The user's own kubectl: the kinds that a cluster has, and the objects of each. It is asked to list, and for nothing else."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from kvroles.errors import Exit, KvRolesError, NoSource
from kvroles.migrate.redact import masked
from kvroles.places import find_program
from kvroles.said import said

_SECONDS = 300  # for one answer
_ALL = 3600  # seconds for all of them: a server may drip each
_LARGEST = 512 << 20  # bytes of one answer; ten thousand pods have 200 MB
_SAID = 1 << 16  # bytes of what kubectl says beside it: the end is kept
# Kinds that hold no configuration of a server, and are many or change all the time.
NO_CONFIGURATION = frozenset(
    {
        "bindings", "componentstatuses", "controllerrevisions.apps", "endpoints", "endpointslices.discovery.k8s.io", "events",
        "events.events.k8s.io", "leases.coordination.k8s.io", "nodes", "nodes.metrics.k8s.io", "pods.metrics.k8s.io",
    }
)  # fmt: skip
SECRETS = "secrets"


class Unlisted(NamedTuple):
    """A kind that was not read, and kubectl's own words for why."""

    kind: str
    why: str


class Kubectl:
    """``kubectl`` with the options that say which cluster and which namespaces."""

    def __init__(self, cluster: Sequence[str], scope: Sequence[str]) -> None:
        program = find_program("kubectl")
        if program is None:
            raise KvRolesError(
                Exit.NO_SOURCE,
                "kubectl is not on the search path",
                fix="Install it, or pipe the objects in: `kubectl get ... -o yaml | kv-roles migrate -`",
            )
        self._start = [program, *cluster]
        self._scope = list(scope)
        self._ends = time.monotonic() + _ALL

    def kinds(self) -> tuple[list[str], list[Unlisted]]:
        """The kinds that can be listed, as ``deployments.apps``; and what kubectl could not find out."""
        namespaced = [] if "--all-namespaces" in self._scope else ["--namespaced=true"]
        done = self._run("api-resources", "--verbs=list", "--output=name", *namespaced)
        kinds = sorted({line.strip() for line in done.stdout.decode("utf-8", "replace").splitlines() if line.strip()})
        if not kinds:
            raise NoSource(
                "kubectl lists no kind of this cluster",
                found=_why(done.stderr),
                fix="See that `kubectl get pods` works",
            )
        return kinds, [Unlisted("(some kinds)", _why(done.stderr))] if done.returncode else []

    def objects(self, kind: str, *select: str) -> list[dict[str, Any]] | Unlisted:
        """All objects of ``kind``, or why they cannot be had."""
        done = self._run("get", kind, "--output=json", *self._scope, *select)
        if done.returncode:
            return Unlisted(kind, _why(done.stderr))
        try:
            items = json.loads(done.stdout)["items"]
        except (ValueError, KeyError, TypeError, RecursionError):
            items = None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            return Unlisted(kind, "kubectl answered no list of objects")
        return items

    def _run(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        pipe = subprocess.PIPE
        with subprocess.Popen([*self._start, *argv], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as run:
            try:
                out, err = _answer(run, min(time.monotonic() + _SECONDS, self._ends))
            except _Broken as e:
                run.kill()
                return subprocess.CompletedProcess(argv, 1, b"", str(e).encode())
            return subprocess.CompletedProcess(argv, run.wait(), out, err)


class _Broken(Exception):  # noqa: N818
    """An answer that is waited for no longer, or read no further; why in words."""


def _answer(run: subprocess.Popen[bytes], ends: float) -> tuple[bytes, bytes]:
    """What ``run`` prints to its two outputs, of the second one the end; raises _Broken where it has no bound."""
    assert run.stdout is not None
    assert run.stderr is not None
    held = {run.stdout.fileno(): bytearray(), run.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as open_:
        for fd in held:
            open_.register(fd, selectors.EVENT_READ)
        while open_.get_map():
            ready = open_.select(max(0.0, ends - time.monotonic()))
            if not ready or time.monotonic() > ends:
                raise _Broken(f"no whole answer within {_SECONDS} seconds, or within {_ALL} for all kinds")
            for key, _ in ready:
                piece = os.read(key.fd, 1 << 16)
                held[key.fd] += piece
                if not piece:
                    open_.unregister(key.fd)
            del held[run.stderr.fileno()][:-_SAID]
            if len(held[run.stdout.fileno()]) > _LARGEST:
                raise _Broken(f"the answer is larger than {_LARGEST >> 20} MiB; ask for one namespace with -n")
    return bytes(held[run.stdout.fileno()]), bytes(held[run.stderr.fileno()])


def _why(stderr: bytes) -> str:
    """The last line that kubectl said: its first ones may be warnings. A proxy's address in it may hold a password."""
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return said(masked(lines[-1].removeprefix("Error from server ").strip())) if lines else "it said nothing"
