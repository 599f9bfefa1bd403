"""Damage to the project's own data (patches, lock, overlay, series) is found out; it never reaches a tree."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.apply import run
from kvroles.apply.request import Request
from kvroles.errors import Exit, KvRolesError, Unproven
from kvroles.series import patchfile
from kvroles.series import project as own
from kvroles.series import topics as series_module
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from support import tiny as project
from support.driver import Ran, script
from support.files import series_of, snapshot
from support.tiny import Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]


@pytest.fixture
def damaged(tiny: Tiny, tmp_path: Path) -> Tiny:
    """A copy of the small project for a test to damage."""
    return tiny.copy(tmp_path / "project")


def both_ways(damaged: Tiny, tmp_path: Path, *phrases: str) -> None:
    """Assert that a new tree and an existing one are both refused with exit code 3, and that nothing is written."""
    tree = damaged.unpack(tmp_path / "vllm")
    before = snapshot(tmp_path / "vllm", times=True)
    for argv in (("--into", tree), ("--vllm-rev", "0.22.1", "--output", "new"), ("--into", tree, "--check")):
        ran = script(damaged.apply, *argv, "--offline", "--cache-dir", damaged.cache, cwd=tmp_path)
        ran.refused(3, "Unpack the project afresh", *phrases)
    assert snapshot(tree, times=True) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["project", "vllm"]


def change(file: Path, old: bytes, new: bytes) -> None:
    data = file.read_bytes()
    assert old in data, (file, old)
    file.write_bytes(data.replace(old, new, 1))


def test_a_patch_that_is_missing(damaged: Tiny, tmp_path: Path) -> None:
    (damaged.root / "patches/guides/0.22.1.patch").unlink()
    both_ways(damaged, tmp_path, "patches/guides/0.22.1.patch is missing, though the lock names it")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"+++ b/docs", b"+++ b/../docs", "leaves the tree"),
        (b"+++ b/docs", b"+++ b//docs", "leaves the tree"),
        (b"+++ b/docs", b"+++ docs", "---/+++"),
        (b"@@ -", b"@@ ~", "patches/guides/0.22.1.patch is damaged"),
        (b"From 0", b"Form 0", "not a git format-patch mail"),
        (b"Subject:", b"Sbject:", "no Subject line"),
        (b"\n-Roles", b"\n~Roles", "patches/guides/0.22.1.patch is damaged"),
        (b"kv_producer", b"kv_producing", "what the lock says"),
        (b'"kv_connector":"NixlConnector"', b'"kv_connector":"NixlConector"', "what the lock says"),
    ],
)
def test_a_patch_that_is_damaged(damaged: Tiny, tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    change(damaged.root / "patches/guides/0.22.1.patch", old, new)
    both_ways(damaged, tmp_path, "guides", words)


def test_a_patch_that_is_cut_short(damaged: Tiny, tmp_path: Path) -> None:
    file = damaged.root / "patches/guides/0.22.1.patch"
    file.write_bytes(file.read_bytes()[:-60])
    both_ways(damaged, tmp_path, "patches/guides/0.22.1.patch is damaged")
    file.write_bytes(b"")
    ran = script(damaged.apply, "--into", "vllm", cwd=tmp_path)
    ran.refused(3, "patches/guides/0.22.1.patch is damaged")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "releases": {}}', "\xff"])
def test_a_lock_file_that_is_no_lock_is_named(damaged: Tiny, tmp_path: Path, text: str) -> None:
    (damaged.root / "patches/lock.json").write_text(text, encoding="latin-1")
    both_ways(damaged, tmp_path, "patches/lock.json is damaged")


def test_a_lock_that_is_missing(damaged: Tiny, tmp_path: Path) -> None:
    (damaged.root / "patches/lock.json").unlink()
    both_ways(damaged, tmp_path, "patches/lock.json is damaged: it is missing")


def test_a_lock_that_names_a_path_above_the_tree(damaged: Tiny, tmp_path: Path) -> None:
    change(damaged.root / "patches/lock.json", b'"vllm/distributed', b'"../distributed')
    both_ways(damaged, tmp_path, "patches/lock.json is damaged", "leaves the tree")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"variant": "', b'"variant": "../../'),
        (b'"variant": "', b'"variant": "", "was": "'),
        (b'"name": "', b'"name": "../'),
        (b'"name": "', b'"name": "\\u0000'),
        (b'"docs/features', b'"\\ud800docs/features'),
    ],
)
def test_a_lock_that_names_what_can_be_no_file(damaged: Tiny, tmp_path: Path, old: bytes, new: bytes) -> None:
    change(damaged.root / "patches/lock.json", old, new)
    both_ways(damaged, tmp_path, "patches/lock.json is damaged")


def test_a_migration_guide_that_is_not_the_locks(damaged: Tiny, tmp_path: Path) -> None:
    change(damaged.root / "vllm_overlay" / project.OVERLAY, b"Say", b"Don't say")
    both_ways(damaged, tmp_path, f"vllm_overlay/{project.OVERLAY}")


def test_a_migration_guide_that_is_missing(damaged: Tiny, tmp_path: Path) -> None:
    (damaged.root / "vllm_overlay" / project.OVERLAY).unlink()
    both_ways(damaged, tmp_path, f"vllm_overlay/{project.OVERLAY}")


@pytest.mark.parametrize("line", ["../evil", "guides sometimes", "Guides", "a b c"])
def test_a_series_with_a_line_that_is_no_topic(damaged: Tiny, tmp_path: Path, line: str) -> None:
    with (damaged.root / "patches/series").open("a") as f:
        f.write(line + "\n")
    both_ways(damaged, tmp_path, "patches/series holds a line that is no topic", line)


def test_a_series_that_is_missing_or_lacks_a_topic(damaged: Tiny, tmp_path: Path) -> None:
    change(damaged.root / "patches/series", b"guides\n", b"")
    both_ways(damaged, tmp_path, "guides")
    (damaged.root / "patches/series").unlink()
    script(damaged.apply, "--into", "vllm", cwd=tmp_path).refused(3, "patches/series cannot be read")


def test_the_lock_and_the_archive_do_not_agree(damaged: Tiny, tmp_path: Path) -> None:
    file = damaged.root / "patches/lock.json"
    data = json.loads(file.read_bytes())
    row = data["releases"]["0.22.1"]["topics"]["guides"]["files"][project.GUIDE]
    row["before"] = "0" * 64
    file.write_text(json.dumps(data))
    ran = script(damaged.apply, "--vllm-rev", "0.22.1", "--offline", "--cache-dir", damaged.cache, cwd=tmp_path)
    ran.refused(3, project.GUIDE, "Unpack the project afresh")


def _outcome(request: Request, tree: Path) -> dict[str, bytes] | KvRolesError:
    try:
        run.run(request)
    except KvRolesError as e:
        return e
    return series_of(tree)


def _damage(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    match dice.randrange(4):
        case 0:
            return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[at + 1 :]
        case 2:
            line = data.rfind(b"\n", 0, at) + 1
            return data[:line] + data[data.find(b"\n", at) + 1 :]
        case _:
            return data[:at]


def _fuzz(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], times: int) -> int:
    """Damage one of ``files`` at random, ``times`` over; returns how often the tool noticed."""
    project_copy = tiny.copy(tmp_path / "project")
    monkeypatch.setattr(own, "load", lambda: own.checked(Series.load(project_copy.root), Lock.load(project_copy.root)))
    noticed = 0
    for seed in range(times):
        dice = random.Random(seed)
        file = project_copy.root / dice.choice(files)
        whole = file.read_bytes()
        file.write_bytes(_damage(whole, dice))
        series_module._patch.cache_clear()
        tree = tmp_path / f"new-{seed}"
        result = _outcome(Request("0.22.1", output=tree, offline=True, cache_dir=tiny.cache, check=False), tree)
        file.write_bytes(whole)
        if isinstance(result, KvRolesError):
            noticed += 1
            assert not tree.exists()
            assert result.code in (Exit.UNPROVEN, Exit.NO_SOURCE, Exit.USAGE), (seed, str(result))
        else:
            assert result == tiny.applied(), seed
    series_module._patch.cache_clear()
    return noticed


PATCHES = [f"patches/{t}/0.22.1.patch" for t in ("connector-warning", "unit-tests", "guides", "integration-scripts")]
LOCK = ["patches/lock.json"]


@pytest.mark.parametrize("files", [PATCHES, LOCK], ids=["patches", "lock"])
def test_random_damage_is_noticed_or_harmless(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str]
) -> None:
    assert _fuzz(tiny, tmp_path, monkeypatch, files, 60) > 20


@pytest.mark.sweep
@pytest.mark.parametrize("files", [PATCHES, LOCK], ids=["patches", "lock"])
def test_much_random_damage_is_noticed_or_harmless(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str]
) -> None:
    assert _fuzz(tiny, tmp_path, monkeypatch, files, 1000) > 300


def test_every_cut_of_a_patch_is_refused() -> None:
    raw = (Path(project.TOOLS).parent / "patches/connector-warning/0.20.0.patch").read_bytes()
    end = raw.index(b"\n-- \n") + 1
    for cut in range(end - 1):
        with pytest.raises(Unproven):
            patchfile.parse(raw[:cut], "cut")
