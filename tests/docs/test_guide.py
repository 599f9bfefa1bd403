"""The migration guide: its examples judged by the project's own checker, its log queries run on what instances log."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kvroles.contract import terms
from kvroles.migrate import cli
from kvroles.series import project
from kvworkshop.pages import home
from support import docs, terminal

SUFFIX = {"json": "json", "yaml": "yaml", "yaml+jinja": "yaml", "bash": "sh", "python": "py"}


def section(block: docs.Block) -> str:
    """The heading that ``block`` stands under."""
    above = block.path.read_text(encoding="utf-8").split("\n")[: block.line]
    return next((line.lstrip("# ") for line in reversed(above) if re.match(r"#{2,3} ", line)), "")


def is_before(block: docs.Block) -> bool:
    return re.search(r"\bBefore\b", block.under) is not None


EXAMPLES = [b for b in docs.blocks(docs.GUIDE) if b.info in SUFFIX and re.search(r"Nixl|kvTransferConfig", b.text)]
BEFORE = [b for b in EXAMPLES if is_before(b) and "kv_both" in b.text]
OTHERS = [b for b in EXAMPLES if not is_before(b) and section(b) != "Log queries"]


def findings(examples: list[docs.Block], folder: Path) -> dict[int, list[dict[str, str]]]:
    """What the checker says of each of ``examples`` and is to be acted on, by its place in the list."""
    for number, block in enumerate(examples):
        (folder / f"{number}.{SUFFIX[block.info]}").write_text(block.text)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert cli.main(["--json", str(folder)]) == 0
    out: dict[int, list[dict[str, str]]] = {}
    for finding in json.loads(said.getvalue())["findings"]:
        if finding["level"] != "note":
            out.setdefault(int(Path(finding["path"]).stem), []).append(finding)
    return out


def test_every_way_to_write_a_configuration_is_shown_before_and_after() -> None:
    shown = {section(b) for b in BEFORE}
    assert shown == {section(b) for b in docs.blocks(docs.GUIDE) if b.under.startswith("After")}
    assert shown == {
        "Inline JSON in a shell script",
        "Dotted flags",
        "Kubernetes YAML",
        "Helm: values and templates",
        "One value that feeds both sides",
        "KServe `LLMInferenceService`",
        "LeaderWorkerSet",
        "llm-d",
        "dynamo",
        "Ray Serve LLM",
        "Python",
        "MultiConnector and PdConnector",
        "Push mode",
        "Bidirectional transfer",
        "Encode workers (EPD)",
        "Aggregated servers that carry a NIXL config",
    }


def test_what_the_guide_shows_as_to_do_is_found(tmp_path: Path) -> None:
    found = findings(BEFORE, tmp_path)
    assert [str(b) for n, b in enumerate(BEFORE) if n not in found] == []


def test_what_the_guide_shows_as_done_leaves_nothing_to_do(tmp_path: Path) -> None:
    assert len(OTHERS) >= 16
    found = findings(OTHERS, tmp_path)
    assert [f"{OTHERS[n]}: {f['code']} {f['message']}" for n, some in found.items() for f in some] == []


@pytest.mark.parametrize(
    ("heading", "side", "before", "after"),
    [
        ("KServe `LLMInferenceService`", None, 0, 0),
        ("llm-d", None, 0, 0),
        ("MultiConnector and PdConnector", "prefill", 0, 0),
        ("MultiConnector and PdConnector", "prefill", 1, 1),
        ("Push mode", "prefill", 0, 0),
        ("Push mode", "decode", 0, 1),
        ("Bidirectional transfer", "decode", 0, 0),
    ],
)
def test_the_tool_makes_of_before_what_the_guide_shows_after(
    heading: str, side: str | None, before: int, after: int, tmp_path: Path
) -> None:
    mine = [b for b in EXAMPLES if section(b) == heading]
    was = [b for b in mine if is_before(b)][before]
    file = tmp_path / f"config.{SUFFIX[was.info]}"
    file.write_text(was.text)
    says = ["--side", f"**/{file.name}={side}"] if side else []
    assert cli.main(["--write", *says, str(file)]) == 0
    want = [b for b in mine if not is_before(b)][after]
    assert list(yaml.safe_load_all(file.read_text())) == list(yaml.safe_load_all(want.text))


# --- log queries --------------------------------------------------------------------------------------------------------

NATIVE = next(b.text for b in docs.blocks(docs.GUIDE) if b.text.startswith("Using kv_role")).strip()
BACKPORT = home.warning(project.load()[0])
WARNS = [
    f"(EngineCore pid=87) WARNING 11-22 10:00:01 [connector.py:95] {NATIVE}",
    f"(Worker pid=91) WARNING 11-22 10:00:02 [nixl_connector.py:121] {BACKPORT}",
]
OTHER_LINES = [
    "INFO 11-22 10:00:00 [utils.py:233] non-default args: {'kv_transfer_config': KVTransferConfig(kv_role='kv_both')}",
    "WARNING 11-22 10:00:00 [arg_utils.py:9] The flag --task is deprecated and will be removed.",
    "INFO 11-22 10:00:03 [base_worker.py:12] Initializing NIXL worker kv_role='kv_producer'",
]
QUERIES = [b for b in docs.blocks(docs.GUIDE) if section(b) == "Log queries"]


def _query(word: str) -> docs.Block:
    (block,) = [b for b in QUERIES if word in b.text]
    return block


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``kubectl`` answers as for three pods: one warns natively, one by backport, one not."""
    logs = [f"[pod/llm-prefill-a/vllm] {line}" for line in (OTHER_LINES[0], WARNS[0], WARNS[0], OTHER_LINES[1])]
    logs += [f"[pod/llm-decode-b/vllm] {line}" for line in (WARNS[1], OTHER_LINES[2])]
    logs += [f"[pod/llm-decode-c/vllm] {line}" for line in OTHER_LINES]
    (tmp_path / "logs").write_text("\n".join(logs) + "\n")
    (tmp_path / "get").write_text(yaml.safe_dump({"kind": "List", "apiVersion": "v1", "items": list(_pods())}))
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\nexec cat "$(dirname "$0")/$1"\n')
    kubectl.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), terminal.PATH])
    return {**os.environ, "PATH": path}


def _pods() -> Iterator[dict[str, object]]:
    for side, role in (("prefill", "kv_both"), ("decode", "kv_consumer")):
        config = json.dumps({"kv_connector": "NixlConnector", "kv_role": role})
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"llm-{side}-a", "labels": {"app": "llm", "role": side}},
            "spec": {"containers": [{"name": "vllm", "args": ["--kv-transfer-config", config]}]},
        }


def test_kubectl_names_each_pod_that_warned_once(cluster: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", _query("kubectl logs").text], env=cluster, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n") == ["[pod/llm-decode-b/vllm", "[pod/llm-prefill-a/vllm", ""]


def test_live_pods_can_be_judged_without_their_logs(cluster: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", _query("kubectl get pods").text],
        env=cluster,
        cwd=docs.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "prefill instance: kv_both -> kv_producer" in done.stdout
    assert done.stdout.count("kv_both ->") == 1


def test_loki_asks_for_what_instances_log() -> None:
    (rule,) = yaml.safe_load(_query("groups:").text)["groups"][0]["rules"]
    expressions = [_query("[30d]").text, rule["expr"]]
    assert "[30d]" in expressions[0]  # logged at start-up alone: the last hour says nothing of an old instance
    for expression in expressions:
        (pattern,) = re.findall(r"\|~ `([^`]+)`", expression)
        assert pattern == terms.QUERY
        assert [bool(re.search(pattern, line)) for line in WARNS + OTHER_LINES] == [True] * 2 + [False] * 3
    # One and the same question, but for how far it looks back.
    assert re.sub(r"\[\w+\]", "", expressions[0]).strip() == re.sub(r"\[\w+\]", "", expressions[1]).strip()


def _matches(clause: dict[str, dict[str, str]], line: str) -> bool:
    """A ``match_phrase`` on an analysed text field: the standard analyser's words, in this order, side by side."""
    ((_, phrase),) = clause["match_phrase"].items()
    words, text = (re.findall(r"\w+", t.lower()) for t in (phrase, line))
    return any(text[i : i + len(words)] == words for i in range(len(text)))


def test_elasticsearch_asks_for_what_instances_log_and_counts_more_than_ten() -> None:
    query = json.loads(_query("match_phrase").text)
    clauses = [c for c in query["query"]["bool"]["filter"] if "match_phrase" in c]
    found = [all(_matches(c, line) for c in clauses) for line in WARNS + OTHER_LINES]
    assert found == [True] * 2 + [False] * 3
    assert {"range": {"@timestamp": {"gte": "now-30d"}}} in query["query"]["bool"]["filter"]
    assert query["size"] == 0
    assert query["aggs"]["pods"]["terms"]["size"] >= 1000  # it answers with ten unless told
