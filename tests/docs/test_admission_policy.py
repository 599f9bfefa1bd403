"""The admission policy of the how-to: it names NIXL with kv_both wherever a pod's template says it, and nothing else."""

from __future__ import annotations

import copy
import json
from typing import Any

import kubernetes_validate
import pytest
import yaml
from support.admission import Object, Policy
from support.docs import ROOT

FOLDER = ROOT / "examples" / "admission-policy"
CORPUS = ROOT / "tests" / "corpus"
NIXL = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
PLAIN = json.dumps(NIXL)
PRODUCER = PLAIN.replace("kv_both", "kv_producer")
LMCACHE = {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy(FOLDER)


def container(*args: str, command: tuple[str, ...] = ("vllm", "serve", "m"), **env: str) -> Object:
    return {
        "name": "vllm",
        "image": "vllm/vllm-openai",
        "command": list(command),
        "args": list(args),
        "env": [{"name": name, "value": value} for name, value in env.items()],
    }


def pod(*containers: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": list(containers)}}


def multi(outer: str, *children: Object) -> str:
    config = {"kv_connector": "MultiConnector", "kv_role": outer}
    return json.dumps({**config, "kv_connector_extra_config": {"connectors": list(children)}})


# What a container may say, and whether it is NIXL with kv_both.
REFUSED: dict[str, Object] = {
    "one argument": container("--kv-transfer-config", PLAIN),
    "one argument after =": container(f"--kv-transfer-config={PLAIN}"),
    "the role first": container("--kv-transfer-config", json.dumps({"kv_role": "kv_both", "kv_connector": "NixlConnector"})),
    "an object between": container(
        "--kv-transfer-config",
        json.dumps({"kv_connector": "NixlConnector", "kv_connector_extra_config": {"a": {"b": 1}}, "kv_role": "kv_both"}),
    ),
    "the pull connector": container("--kv-transfer-config", PLAIN.replace("NixlC", "NixlPullC")),
    "options of their own": container(
        "--kv-transfer-config.kv_connector", "NixlConnector", "--kv-transfer-config.kv_role", "kv_both"
    ),
    "options with =": container(
        "--kv-transfer-config.kv_role=kv_both", "--kv-transfer-config.kv_connector=NixlConnector"
    ),
    "the command": container(command=("vllm", "serve", "m", "--kv-transfer-config", PLAIN)),
    "a script": container(f"exec vllm serve m --kv-transfer-config '{PLAIN}' --port 8000", command=("sh", "-c")),
    "a script, escaped": container(
        'exec vllm serve m --kv-transfer-config "' + PLAIN.replace('"', '\\"') + '"', command=("bash", "-c")
    ),
    "an object in a variable": container("--kv-transfer-config", "$(KV)", KV=PLAIN),
    "the role in a variable": container("--kv-transfer-config", PLAIN.replace("kv_both", "$(ROLE)"), ROLE="kv_both"),
    "the role in a variable, first": container(
        "--kv-transfer-config", json.dumps({"kv_role": "$(ROLE)", "kv_connector": "NixlConnector"}), ROLE="kv_both"
    ),
    "the role in a variable of a script": container(
        "vllm serve m --kv-transfer-config '" + PLAIN.replace("kv_both", "${ROLE}") + "'", command=("sh", "-c"), ROLE="kv_both"
    ),
    "a pair of variables": container("start.sh", KV_CONNECTOR="NixlConnector", KV_ROLE="kv_both"),
    "a child of MultiConnector": container("--kv-transfer-config", multi("kv_both", LMCACHE, NIXL)),
    "lines between": container("--kv-transfer-config", json.dumps(NIXL, indent=2)),
}  # fmt: skip
ADMITTED: dict[str, Object] = {
    "a producer": container("--kv-transfer-config", PRODUCER),
    "a consumer": container("--kv-transfer-config", PLAIN.replace("kv_both", "kv_consumer")),
    "a producer, the role first": container(
        "--kv-transfer-config", json.dumps({"kv_role": "kv_producer", "kv_connector": "NixlConnector"})
    ),
    "two connectors, the roles first": container(
        "--kv-transfer-config",
        multi(
            "kv_both",
            {"kv_role": "kv_both", "kv_connector": "LMCacheConnectorV1"},
            {"kv_role": "kv_producer", "kv_connector": "NixlConnector"},
        ),
    ),
    "another connector": container("--kv-transfer-config", json.dumps(LMCACHE)),
    "MultiConnector itself": container("--kv-transfer-config", multi("kv_both", json.loads(PRODUCER), LMCACHE)),
    "MultiConnector by options": container(
        "--kv-transfer-config.kv_connector", "MultiConnector", "--kv-transfer-config.kv_role", "kv_both",
        "--kv-transfer-config.kv_connector_extra_config", json.dumps({"connectors": [json.loads(PRODUCER)]}),
    ),
    "a role in a variable that is a producer": container(
        "--kv-transfer-config", PLAIN.replace("kv_both", "$(ROLE)"), ROLE="kv_producer", OTHER="kv_both"
    ),
    "a longer word": container("--kv-transfer-config", PLAIN.replace("kv_both", "kv_bothersome")),
    "nothing of ours": container("--model", "m"),
    "no arguments": {"name": "vllm"},
    "a variable from elsewhere": {
        "name": "vllm",
        "env": [{"name": "KV", "valueFrom": {"configMapKeyRef": {"name": "kv", "key": "config"}}}],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_pod_that_gives_nixl_kv_both_is_named(policy: Policy, name: str) -> None:
    answer = policy.admit("warn.yaml", pod(container("--model", "m"), REFUSED[name]))
    assert answer.actions == ("Warn", "Audit")
    assert answer.message.startswith("NIXL is given kv_role kv_both, which is deprecated, in: vllm. Set kv_producer")


@pytest.mark.parametrize("name", ADMITTED)
def test_a_pod_that_does_not_is_admitted(policy: Policy, name: str) -> None:
    assert policy.admit("warn.yaml", pod(ADMITTED[name])).actions == ()


@pytest.mark.parametrize("name", ["a configuration written as YAML", "ephemeral containers"])
def test_what_the_page_says_that_the_policy_cannot_see_is_admitted(policy: Policy, name: str) -> None:
    assert f"**{name}**" in (ROOT / "docs/howto/hold-the-fleet.md").read_text()
    unseen = {
        "a configuration written as YAML": pod(container("x", CONFIG=yaml.safe_dump(NIXL))),
        "ephemeral containers": pod(container("x")),
    }[name]
    if name == "ephemeral containers":
        unseen["spec"]["ephemeralContainers"] = [REFUSED["one argument"]]
    assert policy.admit("warn.yaml", unseen).actions == ()


def template(spec: Object) -> Object:
    return {"metadata": {"labels": {"app": "x"}}, "spec": spec}


# Every kind that the policy matches: how it holds a pod spec or what is like one.
KINDS: dict[str, tuple[str, str, Any]] = {
    "pods": ("v1", "Pod", lambda s: {"spec": s}),
    "pods, init container": ("v1", "Pod", lambda s: {"spec": {"containers": [{"name": "a"}], "initContainers": s["containers"]}}),
    "podtemplates": ("v1", "PodTemplate", lambda s: {"template": template(s)}),
    "replicationcontrollers": ("v1", "ReplicationController", lambda s: {"spec": {"template": template(s)}}),
    "deployments": ("apps/v1", "Deployment", lambda s: {"spec": {"template": template(s)}}),
    "statefulsets": ("apps/v1", "StatefulSet", lambda s: {"spec": {"template": template(s)}}),
    "daemonsets": ("apps/v1", "DaemonSet", lambda s: {"spec": {"template": template(s)}}),
    "replicasets": ("apps/v1", "ReplicaSet", lambda s: {"spec": {"template": template(s)}}),
    "jobs": ("batch/v1", "Job", lambda s: {"spec": {"template": template(s)}}),
    "cronjobs": ("batch/v1", "CronJob", lambda s: {"spec": {"jobTemplate": {"spec": {"template": template(s)}}}}),
    "leaderworkersets, leader": (
        "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet",
        lambda s: {"spec": {"leaderWorkerTemplate": {"leaderTemplate": template(s), "workerTemplate": template({"containers": []})}}},
    ),
    "leaderworkersets, worker": (
        "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", lambda s: {"spec": {"leaderWorkerTemplate": {"workerTemplate": template(s)}}},
    ),
    "inferenceservices": ("serving.kserve.io/v1beta1", "InferenceService", lambda s: {"spec": {"predictor": s}}),
    "inferenceservices, model": (
        "serving.kserve.io/v1beta1", "InferenceService",
        lambda s: {"spec": {"predictor": {"model": {k: v for k, v in s["containers"][0].items() if k != "name"}}}},
    ),
    "inferenceservices, worker": ("serving.kserve.io/v1beta1", "InferenceService", lambda s: {"spec": {"predictor": {"workerSpec": s}}}),
    "servingruntimes": ("serving.kserve.io/v1alpha1", "ServingRuntime", lambda s: {"spec": s}),
    "servingruntimes, worker": ("serving.kserve.io/v1alpha1", "ServingRuntime", lambda s: {"spec": {"containers": [], "workerSpec": s}}),
    "clusterservingruntimes": ("serving.kserve.io/v1alpha1", "ClusterServingRuntime", lambda s: {"spec": s}),
    "llminferenceservices": ("serving.kserve.io/v1alpha1", "LLMInferenceService", lambda s: {"spec": {"template": s}}),
    "llminferenceservices, worker": ("serving.kserve.io/v1alpha1", "LLMInferenceService", lambda s: {"spec": {"worker": s}}),
    "llminferenceservices, prefill": ("serving.kserve.io/v1alpha1", "LLMInferenceService", lambda s: {"spec": {"prefill": {"template": s}}}),
    "llminferenceservices, prefill worker": (
        "serving.kserve.io/v1alpha1", "LLMInferenceService", lambda s: {"spec": {"prefill": {"worker": s}}},
    ),
    "llminferenceserviceconfigs": ("serving.kserve.io/v1alpha1", "LLMInferenceServiceConfig", lambda s: {"spec": {"template": s}}),
    "modelservices, prefill": ("llm-d.ai/v1alpha1", "ModelService", lambda s: {"spec": {"prefill": s}}),
    "modelservices, decode": ("llm-d.ai/v1alpha1", "ModelService", lambda s: {"spec": {"decode": s}}),
}  # fmt: skip


def of_kind(name: str, one: Object) -> Object:
    version, kind, place = KINDS[name]
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "x"},
        **place({"containers": [copy.deepcopy(one)]}),
    }


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_named_and_admitted_once_it_is_moved(policy: Policy, name: str) -> None:
    resource = name.partition(",")[0]
    bad, good = of_kind(name, REFUSED["one argument"]), of_kind(name, ADMITTED["a producer"])
    assert policy.admit("warn.yaml", bad, resource=resource).actions == ("Warn", "Audit")
    assert policy.admit("warn.yaml", good, resource=resource).actions == ()


def test_every_resource_that_the_policy_names_is_tried_here(policy: Policy) -> None:
    named = {r for rule in policy.spec["matchConstraints"]["resourceRules"] for r in rule["resources"]}
    assert {name.partition(",")[0] for name in KINDS} == named


@pytest.mark.parametrize("name", KINDS)
def test_the_second_step_refuses_what_people_apply_and_no_pod_that_comes_back(policy: Policy, name: str) -> None:
    resource = name.partition(",")[0]
    bad = of_kind(name, REFUSED["one argument"])
    refused = policy.admit("deny.yaml", bad, resource=resource).actions
    assert refused == (() if resource in ("pods", "replicasets", "jobs") else ("Deny",))


def test_what_runs_already_may_be_labelled_but_not_changed_and_kept_on_kv_both(policy: Policy) -> None:
    old = of_kind("deployments", REFUSED["one argument"])
    labelled = {**old, "metadata": {"name": "x", "labels": {"a": "b"}}}
    assert policy.admit("deny.yaml", labelled, old).actions == ()
    changed = copy.deepcopy(old)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "vllm/vllm-openai:new"
    assert policy.admit("deny.yaml", changed, old).actions == ("Deny",)
    assert policy.admit("deny.yaml", of_kind("deployments", ADMITTED["a producer"]), old).actions == ()


def test_all_containers_are_named_in_the_message(policy: Policy) -> None:
    first, second = {**REFUSED["a script"], "name": "prefill"}, {**REFUSED["one argument"], "name": "decode"}
    assert "in: prefill, decode. " in policy.admit("warn.yaml", pod(first, ADMITTED["a producer"], second)).message


@pytest.mark.parametrize("file", ["kserve/pd.yaml", "kserve/worker.yaml", "k8s/pd-disagg/deployments.yaml"])
def test_documents_of_the_corpus_are_named(policy: Policy, file: str) -> None:
    seen = 0
    for document in yaml.safe_load_all((CORPUS / file).read_text()):
        if document and document["kind"] in ("Deployment", "LLMInferenceService"):
            seen += bool(policy.admit("deny.yaml", document).actions)
    assert seen


@pytest.mark.parametrize("file", sorted(p.name for p in FOLDER.iterdir()))
def test_the_files_are_what_an_api_server_takes(file: str) -> None:
    document = yaml.safe_load((FOLDER / file).read_text())
    kubernetes_validate.validate(document, "1.30", strict=True)


def test_bindings_name_the_policy() -> None:
    name = yaml.safe_load((FOLDER / "policy.yaml").read_text())["metadata"]["name"]
    for file in ("warn.yaml", "deny.yaml"):
        assert yaml.safe_load((FOLDER / file).read_text())["spec"]["policyName"] == name
