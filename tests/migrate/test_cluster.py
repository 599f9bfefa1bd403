"""``kubectl kv-roles``: a live cluster, read with a real kubectl from an API on the loopback."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.docs import ROOT
from support.kube_api import KubeApi

KUBECTL = shutil.which("kubectl")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed here")]
ROLE = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
TOKEN = "hf_ThisIsASecretOfTheCluster"
Json = dict[str, Any]
Ask = Callable[..., subprocess.CompletedProcess[str]]


def meta(name: str, namespace: str = "llm", **more: Any) -> Json:
    uid = f"uid-of-{name}"
    return {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "7", **more}


def template(role: str, args: str = ROLE) -> Json:
    env = [{"name": "HF_TOKEN", "value": TOKEN}]
    container = {"name": "vllm", "args": ["serve", "m", "--kv-transfer-config", args], "env": env}
    return {"metadata": {"labels": {"llm-d.ai/role": role}}, "spec": {"containers": [container]}}


def owned(kind: str, name: str) -> list[Json]:
    return [{"apiVersion": "v1", "kind": kind, "name": name, "uid": f"uid-of-{name}", "controller": True}]


def deployment(name: str, role: str, args: str = ROLE, **more: Any) -> Json:
    spec = {"selector": {}, "template": template(role, args)}
    return {"metadata": meta(name, **more), "spec": spec, "status": {"replicas": 1}}


def release(name: str, values: Json, manifest: str = "", status: str = "deployed") -> Json:
    data = {"name": name, "namespace": "llm", "config": values, "chart": {"values": {}}, "manifest": manifest}
    packed = base64.b64encode(gzip.compress(json.dumps(data).encode()))
    labels = {"owner": "helm", "name": name, "status": status}
    return {
        "metadata": meta(f"sh.helm.release.v1.{name}.v1", labels=labels),
        "type": "helm.sh/release.v1",
        "data": {"release": base64.b64encode(packed).decode()},
    }


@pytest.fixture
def api() -> Iterator[KubeApi]:
    helm = {"meta.helm.sh/release-name": "models", "meta.helm.sh/release-namespace": "llm"}
    api = KubeApi(
        {
            "deployments": [
                deployment("prefill", "prefill", annotations=helm),
                deployment("decode", "decode"),
                deployment("other", "decode", ROLE.replace("Nixl", "LMCache")),
            ],
            "replicasets": [
                {"metadata": meta("prefill-1", ownerReferences=owned("Deployment", "prefill")), "spec": {"template": template("prefill")}}
            ],
            "pods": [
                {**template("prefill"), "metadata": meta("prefill-1-x", ownerReferences=owned("ReplicaSet", "prefill-1"))},
                {"metadata": meta("by-hand"), "spec": template("?")["spec"]},
            ],
            "configmaps": [{"metadata": meta("settings", "elsewhere"), "data": {"kv.env": "KV_ROLE=kv_both\n"}}],
            "secrets": [
                release("models", {"prefill": {"kvTransferConfig": ROLE}, "hfToken": TOKEN}),
                release("models-old", {"decode": {"kvTransferConfig": ROLE}}, status="superseded"),
                {"metadata": meta("own"), "type": "Opaque", "data": {"KV": base64.b64encode(ROLE.encode()).decode()}},
            ],
            "clusterservingruntimes": [
                {"metadata": {"name": "vllm-decode", "uid": "u9"}, "spec": {"containers": template("decode")["spec"]["containers"]}}
            ],
        }
    )  # fmt: skip
    yield api
    api.close()


@pytest.fixture
def ask(api: KubeApi, tmp_path: Path) -> Ask:
    """``ask("-A")``: the plugin as kubectl runs it."""
    config = api.kubeconfig(tmp_path / "a config", "llm")
    plugin = tmp_path / "bin" / "kubectl-kv_roles"
    plugin.parent.mkdir()
    main = "from kvroles.migrate.cluster.command import main; import sys; sys.exit(main())"
    plugin.write_text(f"#!{sys.executable}\nimport sys; sys.path.insert(0, {str(ROOT / 'tools')!r})\n{main}\n")
    plugin.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{plugin.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "KUBECONFIG": str(config),
    }

    def run(*argv: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        assert KUBECTL is not None
        command = [KUBECTL, "kv-roles", *map(str, argv)]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, check=False, **{"env": env, **more}
        )

    return run


def found(done: subprocess.CompletedProcess[str]) -> dict[str, list[tuple[str, str | None]]]:
    out: dict[str, list[tuple[str, str | None]]] = {}
    for f in json.loads(done.stdout)["findings"]:
        if f["means"] != "harmless":
            out.setdefault(f["path"], []).append((f["code"], f["side"]))
    return out


def test_each_role_of_the_cluster_is_told_once_by_the_object_it_is_changed_in(ask: Ask, api: KubeApi) -> None:
    done = ask("-A", "--json")
    assert done.returncode == 0, done.stderr
    assert found(done) == {
        "Deployment/llm/prefill": [("KVR101", "prefill")],
        "Deployment/llm/decode": [("KVR102", "decode")],
        "Pod/llm/by-hand": [("KVR110", None)],
        "ConfigMap/elsewhere/settings": [("KVR118", None)],
        "ClusterServingRuntime/vllm-decode": [("KVR112", None)],  # nothing beside it says that prefill runs elsewhere
        "HelmRelease/llm/models (values)": [("KVR101", "prefill")],
    }
    assert {method for method, _ in api.asked} == {"GET"}


def test_a_finding_names_the_field_and_what_made_the_object(ask: Ask) -> None:
    by = {f["path"]: f for f in json.loads(ask("-A", "--json").stdout)["findings"]}
    assert by["Deployment/llm/prefill"]["object"] == "Deployment/llm/prefill, made by Helm release models"
    assert by["Deployment/llm/prefill"]["field"] == "spec.template.spec.containers[0].args[3]"
    text = ask("-A", "-v").stdout
    assert "Deployment/llm/prefill, made by Helm release models: spec.template.spec.containers[0].args[3]" in text


def test_a_certain_role_says_where_to_change_it_and_of_no_option_that_writes(ask: Ask) -> None:
    done = ask("-A", "--check")
    assert "to do: change it where it is made, in Helm release models" in done.stdout
    assert "--write" not in done.stdout


def test_a_stream_of_objects_is_told_by_their_names(tmp_path: Path) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("prefill", "prefill")},
        {"apiVersion": "v1", "kind": "Pod", **template("decode"), "metadata": meta("by-hand")},
    ]}  # fmt: skip
    for text in (json.dumps(listed), yaml.safe_dump(listed), "---\n".join(map(yaml.safe_dump, listed["items"]))):
        command = [sys.executable, ROOT / "tools/migrate.py", "--check", "--json", "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 1
        objects = [f["object"] for f in json.loads(done.stdout)["findings"]]
        assert objects == ["Deployment/llm/prefill", "Pod/llm/by-hand"]


def test_the_namespace_is_the_contexts_unless_one_is_named(ask: Ask) -> None:
    assert "ConfigMap" not in ask().stdout
    assert "KVR118" in ask("-n", "elsewhere", "-v").stdout


def test_the_gate_fails_while_a_role_is_left_and_passes_when_none_is(ask: Ask, api: KubeApi) -> None:
    assert ask("-A", "--check").returncode == 1
    api.objects = {"deployments": [deployment("prefill", "prefill", ROLE.replace("kv_both", "kv_producer"))]}
    done = ask("-A", "--check")
    assert (done.returncode, "no NIXL role says kv_both" in done.stdout) == (0, True), done.stdout


def test_what_may_not_be_listed_is_named_as_not_read_and_fails_the_gate(ask: Ask, api: KubeApi) -> None:
    api.objects = {}
    api.forbidden = frozenset({"configmaps"})
    done = ask("-A", "--check")
    assert done.returncode == 1
    assert "configmaps" in done.stdout
    assert "(Forbidden): configmaps is forbidden" in done.stdout
    assert "no NIXL role says kv_both" not in done.stdout


def test_the_summary_has_a_row_for_each_namespace(ask: Ask) -> None:
    rows = [line.split(",")[0].strip('"') for line in ask("-A", "-o", "csv").stdout.splitlines()]
    assert rows == ["repository", "(cluster)", "elsewhere", "llm"]


def test_a_role_in_binary_data_is_seen(ask: Ask, api: KubeApi) -> None:
    packed = base64.b64encode(b"KV_ROLE=kv_both\n").decode()
    api.objects = {"configmaps": [{"metadata": meta("kv"), "binaryData": {"kv.env": packed, "logo": "iVBORw0KGgo="}}]}
    assert found(ask("-A", "--json")) == {"ConfigMap/llm/kv": [("KVR118", None)]}


def test_a_helm_release_that_cannot_be_read_is_named(ask: Ask, api: KubeApi) -> None:
    secret = release("models", {})
    secret["data"]["release"] = base64.b64encode(b"bm90IGEgcmVsZWFzZQ==").decode()
    api.objects = {"secrets": [secret]}
    done = ask("-A", "--check")
    assert done.returncode == 1
    assert "Secret/llm/sh.helm.release.v1.models.v1" in done.stdout


def test_no_value_beside_a_role_is_shown(ask: Ask, tmp_path: Path) -> None:
    for form in ((), ("-v",), ("--json",), ("--sarif",), ("--github",), ("--html", "a.html")):
        done = ask("-A", *form)
        assert TOKEN not in done.stdout + done.stderr
    assert TOKEN not in (tmp_path / "a.html").read_text()


def test_a_cluster_that_does_not_answer_ends_in_one_paragraph(ask: Ask, tmp_path: Path) -> None:
    done = ask("--kubeconfig", tmp_path / "none")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("kubectl kv-roles: kubectl lists no kind of this cluster.")
    assert len(done.stderr.strip().split("\n\n")) == 1


def test_without_kubectl_the_other_way_is_named(ask: Ask, tmp_path: Path) -> None:
    plugin = tmp_path / "bin" / "kubectl-kv_roles"
    env = {**os.environ, "PATH": str(tmp_path / "nothing")}
    done = subprocess.run([plugin], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 4
    assert "kubectl is not on the search path" in done.stderr
