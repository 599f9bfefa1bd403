"""What machines read (lock, receipt, ``--json``) is as its published schema says; and the schemas are strict."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from kvroles.series.lock import Lock
from support.cost import slow_but
from support.driver import Ran
from support.tiny import RELEASES, Tiny

Apply = Callable[..., Ran]
ROOT = Path(__file__).resolve().parents[2]


def schema(name: str) -> Draft202012Validator:
    data = json.loads((ROOT / f"docs/data/{name}.schema.json").read_text())
    Draft202012Validator.check_schema(data)
    return Draft202012Validator(data)


@pytest.mark.parametrize("name", ["lock", "receipt", "apply"])
def test_schemas_are_draft_2020_12_and_closed(name: str) -> None:
    data = schema(name).schema
    assert data["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for part in walk(data):
        if part.get("type") == "object":
            assert "additionalProperties" in part, part


def walk(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        yield data
        for value in data.values():
            yield from walk(value)
    elif isinstance(data, list):
        for value in data:
            yield from walk(value)


def test_the_projects_lock_is_as_its_schema_says() -> None:
    data = json.loads((ROOT / "patches/lock.json").read_text())
    schema("lock").validate(data)
    assert len(data["releases"]) >= 43


def test_the_lock_is_written_as_it_is_read() -> None:
    assert Lock.load().dumps() == (ROOT / "patches/lock.json").read_bytes()


def damages(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lock, damaged in one way each time."""
    release = "0.22.1"

    def damaged(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        out = copy.deepcopy(data)
        change(out["releases"][release])
        return out

    yield "a hash cut short", damaged(lambda r: r["archive"].update(sha256="ab"))
    yield (
        "a path above the tree",
        damaged(lambda r: r["topics"]["guides"]["files"].update({"../x": {"before": None, "after": None}})),
    )
    yield (
        "an absolute path",
        damaged(lambda r: r["topics"]["guides"]["files"].update({"/x": {"before": None, "after": None}})),
    )
    yield "an unknown state", damaged(lambda r: r["topics"]["guides"].update(state="edited"))
    yield "a variant without a name", damaged(lambda r: r["topics"]["guides"].pop("variant"))
    yield "a native topic with a variant", damaged(lambda r: r["topics"]["guides"].update(state="native"))
    yield "an archive that is a path", damaged(lambda r: r["archive"].update(name="a/b.tar.gz"))
    yield "no topics", damaged(lambda r: r.pop("topics"))
    yield "another schema", {**data, "schema": 2}
    yield "no overlay", {k: v for k, v in data.items() if k != "overlay"}


@pytest.mark.parametrize("name", [name for name, _ in damages({"releases": {"0.22.1": {"topics": {"guides": {"files": {}, "variant": ""}}, "archive": {}}}})])  # fmt: skip
def test_schema_and_reader_refuse_the_same_locks(tiny: Tiny, name: str) -> None:
    damaged = dict(damages(tiny.lock().to_json()))[name]
    with pytest.raises(ValidationError):
        schema("lock").validate(damaged)
    with pytest.raises((ValueError, KeyError, TypeError)):
        Lock.from_json(damaged)


@pytest.mark.parametrize("release", slow_but(["0.22.1"], RELEASES))
def test_results_and_receipts_are_as_their_schemas_say(apply: Apply, tiny: Tiny, tmp_path: Path, release: str) -> None:
    runs = [
        ("--vllm-rev", release, "--output", "new", "--check"),
        ("--vllm-rev", release, "--output", "new"),
        ("--vllm-rev", release, "--output", "new"),
        ("--into", "new", "--with", "louder"),
        ("--into", "new", "--reverse", "--check"),
        ("--into", "new", "--reverse"),
        ("--into", "new", "--reverse"),
        ("--into", "new"),
    ]
    did = []
    for argv in runs:
        result = json.loads(apply(*argv, "--json").ok().out)
        schema("apply").validate(result)
        did.append(result["did"])
        receipt = tmp_path / "new/.kv-roles/receipt.json"
        if receipt.exists():
            schema("receipt").validate(json.loads(receipt.read_text()))
    assert did == ["would-apply", "applied", "nothing", "applied", "would-reverse", "reversed", "nothing", "applied"]


def test_lists_and_errors_are_as_their_schema_says(apply: Apply) -> None:
    schema("apply").validate(json.loads(apply("--list", "--json").ok().out))
    schema("apply").validate(json.loads(apply("--vllm-rev", "0.8.5", "--json").out))
    with pytest.raises(ValidationError):
        schema("apply").validate({"error": ""})


def test_a_tree_that_is_no_release_is_reported_as_the_schema_says(apply: Apply, tree: Path) -> None:
    (tree / "PKG-INFO").unlink()
    readme = tree / "docs/features/nixl_connector_usage.md"
    readme.write_bytes(b"A fork's own first line.\n" + readme.read_bytes())
    result = json.loads(apply("--into", tree, "--json").ok().out)
    schema("apply").validate(result)
    assert result["release"] is None
    schema("receipt").validate(json.loads((tree / ".kv-roles/receipt.json").read_text()))
