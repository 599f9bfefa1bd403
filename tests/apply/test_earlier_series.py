"""A tree that an earlier series of ours patched is known as such: applying again brings it up to date."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kvroles.digest import sha256
from support import tiny as project
from support.driver import Driver, Ran
from support.files import contents
from support.tiny import Tiny

pytestmark = pytest.mark.slow

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


NOW, THEN = b"is deprecated: set ", b"is deprecated for NixlConnector: set "


@pytest.fixture
def later(tiny: Tiny, tmp_path: Path) -> Iterator[Apply]:
    """The next version of the project, which warns in other words and has another guide."""
    root = project.next_series(tiny, tmp_path / "later").root
    driver = Driver(root / "tools", root)
    yield lambda *argv: driver.run(*argv, "--cache-dir", tiny.cache, "--offline", cwd=tmp_path)
    driver.close()


@pytest.fixture(params=["with a receipt", "by git am", "a checkout", "a fork"])
def of_series_1(request: pytest.FixtureRequest, apply: Apply, tree: Path) -> Path:
    """A tree that series 1 patched."""
    if request.param in ("a checkout", "a fork"):
        (tree / "PKG-INFO").unlink()
    if request.param == "a fork":
        connector = tree / project.CONNECTOR
        connector.write_bytes(b"# A fork's own line.\n" + connector.read_bytes())
    apply("--into", tree).ok()
    if request.param in ("by git am", "a fork"):
        shutil.rmtree(tree / ".kv-roles")
    return tree


def test_a_changed_patch_of_an_earlier_series_is_named_and_replaced(later: Apply, of_series_1: Path) -> None:
    told = json.loads(later("--into", of_series_1, "--check", "--json").ok().out)
    states = {f["path"]: (f["state"], f.get("series")) for t in told["topics"] for f in t["files"]}
    assert states[project.CONNECTOR] == states[project.OVERLAY] == ("earlier", 1)
    assert states[project.SCRIPT] == ("applied", None)
    said = later("--into", of_series_1).ok().out
    assert "Patched by series 1" in said
    assert "series 2" in said
    assert NOW in (of_series_1 / project.CONNECTOR).read_bytes()
    assert json.loads((of_series_1 / ".kv-roles" / "receipt.json").read_bytes())["series"] == 2
    assert "nothing was changed" in later("--into", of_series_1).ok().out


def test_an_optional_topic_of_an_earlier_series_stays_and_is_brought_up_to_date(
    later: Apply, apply: Apply, tree: Path, tmp_path: Path
) -> None:
    apply("--into", tree, "--with", "louder").ok()
    later("--into", tree).ok()
    later("--vllm-rev", "0.22.1", "--output", tmp_path / "fresh", "--with", "louder").ok()
    shutil.rmtree(tree / ".kv-roles")
    shutil.rmtree(tmp_path / "fresh" / ".kv-roles")
    assert contents(tree) == contents(tmp_path / "fresh")


def test_reverse_takes_an_earlier_series_out_whole(later: Apply, of_series_1: Path) -> None:
    later("--into", of_series_1, "--reverse").ok()
    fork = b"# A fork's own line.\n" if b"fork" in (of_series_1 / project.CONNECTOR).read_bytes() else b""
    pristine = project.pristine("0.22.1") | {project.CONNECTOR: fork + project.pristine("0.22.1")[project.CONNECTOR]}
    have = contents(of_series_1)
    assert have == {p: d for p, d in pristine.items() if p in have}
    assert pristine.keys() - have.keys() <= {"PKG-INFO"}


def test_one_topic_is_not_taken_out_of_an_earlier_series(later: Apply, apply: Apply, tree: Path) -> None:
    apply("--into", tree, "--with", "fence").ok()
    moved = tree.rename(tree.with_name("a tree"))
    ran = later("--into", moved, "--reverse", "--only", "fence").refused(
        1, "earlier series", "Bring the tree up to date"
    )
    later(*shlex.split(ran.fix())[2:]).ok()
    later("--into", moved, "--reverse", "--only", "fence").ok()


def test_an_edit_on_an_earlier_series_is_still_an_edit(later: Apply, tree: Path, apply: Apply) -> None:
    apply("--into", tree).ok()
    connector = tree / project.CONNECTOR
    connector.write_bytes(connector.read_bytes() + b"# ours\n")
    later("--into", tree).refused(1, "is edited", "an earlier series of this project made")
    apply("--into", tree, "--reverse", "--3way").ok()  # the version that applied it
    later("--into", tree, "--3way").ok()
    assert b"# ours" in connector.read_bytes()


def test_a_tree_of_a_later_series_is_told_from_an_edit(later: Apply, apply: Apply, tree: Path) -> None:
    later("--into", tree).ok()
    apply("--into", tree).refused(1, "patched by series 2", "series 1")
    later("--into", tree).ok()  # the version that patched it
