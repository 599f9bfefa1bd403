"""A tree that an earlier series of ours patched is known as such: applying again brings it up to date."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.digest import sha256
from support import tiny as project
from support.driver import Ran
from support.files import contents
from support.tiny import Tiny

Apply = Callable[..., Ran]
Untouched = Callable[..., None]
OLDER = b"# Explicit KV roles\n\nAn earlier guide.\n"


@pytest.fixture(params=["a release", "a fork"])
def patched_before(request: pytest.FixtureRequest, apply: Apply, tree: Path) -> Path:
    """A tree as an earlier version of the project left it: with its guide, and its receipt."""
    if request.param == "a fork":
        (tree / "PKG-INFO").unlink()
        script = tree / project.SCRIPT
        script.write_bytes(script.read_bytes().replace(b"set -e\n", b"set -ex\n"))
    apply("--into", tree).ok()
    (tree / project.OVERLAY).write_bytes(OLDER)
    receipt = tree / ".kv-roles" / "receipt.json"
    told = json.loads(receipt.read_bytes())
    told["files"][project.OVERLAY]["after"] = sha256(OLDER)
    receipt.write_text(json.dumps(told))
    return tree


def test_applying_again_replaces_the_guide_of_an_earlier_series(apply: Apply, patched_before: Path, tiny: Tiny) -> None:
    assert "earlier" in apply("--into", patched_before, "--check").ok().out
    apply("--into", patched_before).ok()
    assert contents(patched_before)[project.OVERLAY] == tiny.applied()[project.OVERLAY]
    assert "nothing was changed" in apply("--into", patched_before).ok().out


def test_reverse_takes_the_guide_of_an_earlier_series_out(apply: Apply, patched_before: Path) -> None:
    apply("--into", patched_before, "--reverse").ok()
    assert not (patched_before / project.OVERLAY).exists()
    assert b"kv_both" in (patched_before / project.SCRIPT).read_bytes()


def test_a_guide_edited_after_an_earlier_series_is_still_an_edit(
    apply: Apply, patched_before: Path, untouched: Untouched
) -> None:
    (patched_before / project.OVERLAY).write_bytes(OLDER + b"Ours.\n")
    untouched(lambda: apply("--into", patched_before), 1, f"{project.OVERLAY} in {patched_before} is edited")
