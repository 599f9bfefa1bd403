"""``kubectl kv-roles``: what an API server answers that is no object."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from kvroles.migrate import run
from kvroles.migrate.cluster import read
from kvroles.migrate.cluster.kubectl import Kubectl, Unlisted
from kvroles.migrate.search import Coverage
from kvroles.migrate.settings import Options, Settings

ROLE = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
KIND = "widgets.example.com"


@pytest.fixture
def kubectl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kubectl:
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    made = Kubectl([], [])
    monkeypatch.setattr(made, "kinds", lambda: ([KIND], []))
    return made


def _read(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch, *items: Any) -> list[run.FileResult]:
    monkeypatch.setattr(kubectl, "objects", lambda *_: list(items))
    return read.cluster(kubectl, Options(Settings()), Coverage())


def test_an_item_that_is_no_object_and_holds_the_role_is_named_as_not_read(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = {"kind": "Widget", "metadata": {"name": "a"}, "spec": {"config": ROLE}}  # it says no apiVersion
    results = _read(kubectl, monkeypatch, {"spec": {}}, widget)
    assert [(f.code, f.path) for r in results for f in r.findings] == [("KVR190", KIND)]
    assert run.left(results)


def test_an_item_that_is_no_object_is_of_no_interest_without_the_role(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _read(kubectl, monkeypatch, {"spec": {"replicas": 1}}) == []


@pytest.mark.parametrize("answer", ['{"items": ["kv_both"]}', '{"items": {"a": 1}}', "[]", "{"])
def test_an_answer_that_is_no_list_of_objects_is_named_as_not_read(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    done = subprocess.CompletedProcess([], 0, answer.encode(), b"")
    monkeypatch.setattr(kubectl, "_run", lambda *_: done)
    assert isinstance(kubectl.objects(KIND), Unlisted)
