"""The construction that ``vendor.py verify`` makes, with the real vLLM: it warns patched and native, and not pristine."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvroles.series import project
from kvroles.vendored.installed.construction import construct
from kvroles.vendored.installed.distribution import Installed
from kvworkshop.runtime.environments import Say, for_source, interpreter
from kvworkshop.runtime.trees import variables
from support.vllm_runs import connector_path, patched, pristine

pytestmark = pytest.mark.behaviour

_, LOCK = project.load()


@pytest.mark.parametrize(
    ("release", "warns"), [("0.14.1", True), ("0.22.1", True), ("0.33.0", True), ("0.22.1", False)]
)
def test_the_real_connector_is_constructed_in_every_role(
    release: str, warns: bool, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = interpreter(for_source(release), say)
    tree = (patched if warns else pristine)(release, tmp_path / "vllm")
    for name, value in variables(python, tree, release).items():
        monkeypatch.setenv(name, value)
    built = construct(Installed(tree, "", "vllm", release, python.python), connector_path(LOCK.releases[release]))
    assert built.unchecked is None
    assert built.warned == {"kv_producer": 0, "kv_consumer": 0, "kv_both": 1 if warns else 0}
    assert (built.wrong is None) is warns
