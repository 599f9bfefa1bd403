"""The README's promise on real archives: a release in, a patched and proven tree out, the same everywhere and again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from kvroles.contract import terms
from kvroles.digest import sha256
from kvroles.series import project
from kvroles.series.lock import ReleaseRow
from kvroles.sources import archive as archive_module
from support.cost import slow_but
from support.driver import Ran, script
from support.files import contents, snapshot

pytestmark = pytest.mark.upstream

ROOT = Path(__file__).resolve().parents[2]
APPLY = ROOT / "tools" / "apply.py"
SERIES, LOCK = project.load()
OWN = {".kv-roles/.gitignore", ".kv-roles/receipt.json"}
DIGEST = "find . -path ./.kv-roles -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
Archive = Callable[[str], Path]


def run(*argv: str | Path, cwd: Path, **kw: object) -> Ran:
    return script(APPLY, *argv, "--offline", cwd=cwd, **kw)  # type: ignore[arg-type]


def members(archive: Archive, release: str) -> dict[str, bytes]:
    blob = archive(release).read_bytes()
    top = row_of(release).archive.top  # type: ignore[union-attr]
    return {m.path: m.data for m in archive_module.members(archive_module.inflate(blob, "a"), "a", top)}


def row_of(release: str) -> ReleaseRow:
    return LOCK.releases[release]


def digest_of(tree: Path) -> str:
    done = subprocess.run(["bash", "-c", DIGEST], cwd=tree, capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


@pytest.fixture(scope="module")
def built(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The patched 0.22.1 in build/ below a fresh folder, and what the run printed. Not to be changed."""
    archive("0.22.1")
    folder = tmp_path_factory.mktemp("release")
    ran = run("--vllm-rev", "0.22.1", cwd=folder)
    return folder / "build/vllm-0.22.1", ran.ok().out


@pytest.fixture
def copy(built: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the patched 0.22.1 for a test to change."""
    subprocess.run(["cp", "-a", "--reflink=auto", built[0], tmp_path / "vllm"], check=True)
    return tmp_path / "vllm"


@pytest.fixture
def pristine(archive: Archive, tmp_path: Path) -> Path:
    """The pristine 0.22.1, as tar unpacks it."""
    subprocess.run(["tar", "xzf", archive("0.22.1"), "-C", tmp_path, "--no-same-owner"], check=True)
    return tmp_path / "vllm-0.22.1"


def test_the_summary_says_what_was_done_to_every_topic_and_file(built: tuple[Path, str]) -> None:
    _tree, out = built
    row = row_of("0.22.1")
    assert row.tree is not None
    assert out.startswith("vLLM 0.22.1 in build/vllm-0.22.1: applied, ")
    for topic in SERIES.chosen():
        entry = row.topics[topic.name]
        assert re.search(rf"^  applied   {topic.name} \(variant {entry.variant}\)$", out, re.MULTILINE)
        for path in entry.files:
            assert f"    applied   {path}\n" in out
    assert f"    applied   {terms.GUIDE}\n" in out
    assert "contract  holds\n" in out
    assert f"tree      sha256 {row.tree.after}" in out
    assert "receipt   build/vllm-0.22.1/.kv-roles/receipt.json" in out


def test_the_tree_is_the_archive_with_the_series_files_changed_and_nothing_else(
    built: tuple[Path, str], archive: Archive
) -> None:
    before = members(archive, "0.22.1")
    after = {p: d for p, d in contents(built[0]).items() if p not in OWN}
    row = row_of("0.22.1")
    series = {p: f for name in (t.name for t in SERIES.chosen()) for p, f in row.topics[name].files.items()}
    assert after.keys() - before.keys() == {terms.GUIDE}
    assert before.keys() <= after.keys()
    assert {p for p in before if before[p] != after[p]} == set(series)
    for path, f in series.items():
        assert sha256(after[path]) == f.after
    assert after[terms.GUIDE] == SERIES.overlay[terms.GUIDE]


def test_coreutils_make_the_same_digest(built: tuple[Path, str]) -> None:
    tree = row_of("0.22.1").tree
    assert tree is not None
    assert digest_of(built[0]) == tree.after


def test_the_second_run_says_applied_already_and_touches_nothing(built: tuple[Path, str]) -> None:
    before = snapshot(built[0].parent, times=True)
    ran = run("--vllm-rev", "0.22.1", cwd=built[0].parents[1])
    assert "vLLM 0.22.1 in" in ran.ok().out
    assert "applied already, nothing was changed" in ran.out
    assert snapshot(built[0].parent, times=True) == before


def test_the_receipt_is_as_its_schema_says_and_tells_the_truth(built: tuple[Path, str]) -> None:
    receipt = json.loads((built[0] / ".kv-roles/receipt.json").read_text())
    Draft202012Validator(json.loads((ROOT / "docs/data/receipt.schema.json").read_text())).validate(receipt)
    row = row_of("0.22.1")
    assert row.tree is not None
    assert (receipt["release"], receipt["tree"]) == ("0.22.1", row.tree.after)
    assert receipt["archive"] == row.archive._asdict()
    for path, change in receipt["files"].items():
        assert sha256((built[0] / path).read_bytes()) == change["after"]
    for name, topic in receipt["topics"].items():
        assert topic["state"] == "applied"
        if topic["variant"]:
            assert topic["patch"] == sha256((ROOT / f"patches/{name}/{topic['variant']}.patch").read_bytes())


@pytest.mark.parametrize(
    ("umask", "env"),
    [("077", {"TZ": "Pacific/Auckland", "LC_ALL": "C"}), ("000", {"TZ": "America/Lima", "PYTHONHASHSEED": "7"})],
)
@pytest.mark.slow
def test_the_tree_is_the_same_whatever_umask_zone_and_locale(
    built: tuple[Path, str], tmp_path: Path, umask: str, env: dict[str, str]
) -> None:
    prefix = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
    run("--vllm-rev", "0.22.1", "--output", "other", "-q", cwd=tmp_path, prefix=prefix, env={**os.environ, **env}).ok()
    theirs, ours = (snapshot(tree, times=True) for tree in (tmp_path / "other", built[0]))
    assert {p: e[:-1] for p, e in theirs.items()} == {p: e[:-1] for p, e in ours.items()}  # all but the inode


@pytest.mark.slow
def test_reverse_gives_back_the_archives_bytes(copy: Path, archive: Archive) -> None:
    assert "reversed" in run("--into", copy, "--reverse", cwd=copy.parent).ok().out
    tree = row_of("0.22.1").tree
    assert tree is not None
    assert digest_of(copy) == tree.before
    assert contents(copy) == members(archive, "0.22.1")


@pytest.mark.slow
def test_into_an_unpacked_archive_gives_the_same_tree(pristine: Path, built: tuple[Path, str]) -> None:
    run("--into", pristine, cwd=pristine.parent).ok()
    ours, theirs = contents(built[0]), contents(pristine)
    assert {p: d for p, d in theirs.items() if p not in OWN} == {p: d for p, d in ours.items() if p not in OWN}
    assert [p.name for p in pristine.parent.iterdir()] == ["vllm-0.22.1"]


@pytest.mark.slow
def test_git_am_of_the_exported_series_gives_the_same_bytes(
    pristine: Path, built: tuple[Path, str], tmp_path: Path
) -> None:
    out = run("--list", "--export", tmp_path / "mails", "--vllm-rev", "0.22.1", cwd=tmp_path).ok().out
    mails = out.split()
    assert len(mails) == len(SERIES.chosen()) + 1
    for argv in (("init", "-q"), ("add", "-Af"), ("commit", "-qm", "pristine"), ("am", "-q", *mails)):
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "gc.auto=0", *argv],
            cwd=pristine, check=True, capture_output=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
        )  # fmt: skip
    shutil.rmtree(pristine / ".git")
    assert contents(pristine) == {p: d for p, d in contents(built[0]).items() if p not in OWN}


@pytest.mark.slow
def test_check_writes_nothing(pristine: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path, times=True)
    would = json.loads(run("--into", pristine, "--check", "--json", cwd=tmp_path).ok().out)
    assert would["did"] == "would-apply"
    again = json.loads(run("--vllm-rev", "0.22.1", "--check", "--json", cwd=tmp_path).ok().out)
    assert (again["did"], again["changed"], again["topics"]) == (would["did"], would["changed"], would["topics"])
    assert snapshot(tmp_path, times=True) == before


USUAL = ("0.9.0", "0.15.0", "0.24.0")


@pytest.mark.parametrize("release", slow_but(USUAL, LOCK.releases))
def test_every_release_is_served_as_the_lock_says(archive: Archive, tmp_path: Path, release: str) -> None:
    row = row_of(release)
    if row.archive is None:
        run("--vllm-rev", release, "--check", cwd=tmp_path).refused(4, "without a source archive", "--upstream")
        return
    archive(release)
    result = json.loads(run("--vllm-rev", release, "--check", "--json", cwd=tmp_path).ok().out)
    Draft202012Validator(json.loads((ROOT / "docs/data/apply.schema.json").read_text())).validate(result)
    states = {t["topic"]: (t["state"], t["variant"]) for t in result["topics"]}
    for topic in SERIES.chosen():
        entry = row.topics[topic.name]
        if entry.state == "absent":
            assert topic.name not in states
        else:
            assert states[topic.name] == ("pristine" if entry.state == "variant" else "native", entry.variant)
    native = release in ("0.23.0", "0.33.0")
    if native:
        assert states["connector-warning"] == ("native", None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_native_release_keeps_upstreams_own_connector(archive: Archive, tmp_path: Path) -> None:
    archive("0.33.0")
    result = json.loads(run("--vllm-rev", "0.33.0", "--output", "new", "--json", cwd=tmp_path).ok().out)
    states = {t["topic"]: t["state"] for t in result["topics"]}
    assert states["connector-warning"] == "native"
    assert states["stragglers"] == "applied"
    connector = terms.CONNECTORS[0]
    blob = archive("0.33.0").read_bytes()
    found = archive_module.members(
        archive_module.ahead(archive_module.inflate(blob, "a")), "a", "vllm-0.33.0", lambda p: p == connector
    )
    assert (tmp_path / "new" / connector).read_bytes() == next(m.data for m in found)
    tree = row_of("0.33.0").tree
    assert tree is not None
    assert digest_of(tmp_path / "new") == tree.after == result["tree"]
