"""The user's own kubectl: the kinds that a cluster has, and the objects of each. It is asked to list, and for nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple

from kvroles.errors import Exit, KvRolesError, NoSource
from kvroles.places import find_program
from kvroles.said import said

_SECONDS = 300  # for one answer
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
                fix="Install it, or pipe the objects in: kubectl get ... -o yaml | kv-roles migrate -",
            )
        self._start = [program, *cluster]
        self._scope = list(scope)

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
        try:
            return subprocess.run(
                [*self._start, *argv], capture_output=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 1, b"", f"no answer within {_SECONDS} seconds".encode())


def _why(stderr: bytes) -> str:
    """The last line that kubectl said: its first ones may be warnings."""
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return said(lines[-1].removeprefix("Error from server ").strip()) if lines else "it said nothing"
