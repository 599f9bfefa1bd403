"""A Kubernetes API on the loopback that answers from what a test gives it: enough of it for a real kubectl to list objects."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
# plural -> (group/version, kind, namespaced)
KINDS = {
    "pods": ("v1", "Pod", True),
    "configmaps": ("v1", "ConfigMap", True),
    "secrets": ("v1", "Secret", True),
    "events": ("v1", "Event", True),
    "deployments": ("apps/v1", "Deployment", True),
    "replicasets": ("apps/v1", "ReplicaSet", True),
    "leaderworkersets": ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", True),
    "inferenceservices": ("serving.kserve.io/v1beta1", "InferenceService", True),
    "clusterservingruntimes": ("serving.kserve.io/v1alpha1", "ClusterServingRuntime", False),
}


class KubeApi:
    """``objects`` by plural; ``forbidden`` plurals are refused; ``asked`` is what was asked for, methods before paths."""

    def __init__(self, objects: dict[str, list[Json]], forbidden: frozenset[str] = frozenset()) -> None:
        self.objects = objects
        self.forbidden = forbidden
        self.asked: list[tuple[str, str]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                path, _, query = self.path.partition("?")
                api.asked.append((self.command, self.path))
                code, body = api.answer([p for p in path.split("/") if p], query)
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - names of the library's

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def kubeconfig(self, path: Path, namespace: str = "default") -> Path:
        """A kubeconfig for this API."""
        address = f"http://127.0.0.1:{self._server.server_address[1]}"
        context = {"cluster": "c", "user": "u", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "here", "context": context}],
            "current-context": "here",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def answer(self, path: list[str], query: str) -> tuple[int, Json]:
        groups = sorted({gv for gv, _, _ in KINDS.values() if "/" in gv})
        if path == ["api"]:
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        if path == ["apis"]:
            versions = [{"groupVersion": gv, "version": gv.split("/")[1]} for gv in groups]
            named: dict[str, list[Json]] = {}
            for v in versions:
                named.setdefault(v["groupVersion"].split("/")[0], []).append(v)
            return 200, {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [{"name": g, "versions": v, "preferredVersion": v[0]} for g, v in named.items()],
            }
        if path == ["version"]:
            return 200, {"major": "1", "minor": "32", "gitVersion": "v1.32.0"}
        if path[0] not in ("api", "apis"):
            return 404, _status(404, "NotFound", "no such path")
        at, rest = ("/".join(path[1:3]), path[3:]) if path[0] == "apis" else (path[1], path[2:])
        if not rest:
            resources = [
                {"name": plural, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]}
                for plural, (gv, kind, namespaced) in KINDS.items()
                if gv == at
            ]
            return 200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": at, "resources": resources}
        namespace, plural = (rest[1], rest[2]) if rest[0] == "namespaces" and len(rest) > 2 else ("", rest[0])
        if plural not in KINDS:
            return 404, _status(404, "NotFound", f"no {plural}")
        if plural in self.forbidden:
            why = f'{plural} is forbidden: User "reader" cannot list resource "{plural}"'
            return 403, _status(403, "Forbidden", why)
        gv, kind, _ = KINDS[plural]
        items = [
            o for o in self.objects.get(plural, ()) if not namespace or o["metadata"].get("namespace") == namespace
        ]
        if "fieldSelector=type%3D" in query:
            wanted = query.split("fieldSelector=type%3D")[1].split("&")[0].replace("%2F", "/")
            items = [o for o in items if o.get("type") == wanted]
        return 200, {"kind": f"{kind}List", "apiVersion": gv, "metadata": {"resourceVersion": "1"}, "items": items}


def _status(code: int, reason: str, message: str) -> Json:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": message,
    }
