"""Any revision of a git upstream, on a repository made of real releases: each ends proven, or is refused by name."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kvroles.apply import fit
from kvroles.apply import plan as plans
from kvroles.apply.prove import prove_plan
from kvroles.contract import terms
from kvroles.errors import DoesNotApply, KvRolesError
from kvroles.places import default_cache_dir
from kvroles.series import patchfile, project
from kvroles.series.upstream_files import paths_of_interest
from kvroles.sources import release_files
from kvroles.sources.release_files import Options
from support.cost import slow_but
from support.files import contents, put

pytestmark = pytest.mark.upstream

ROOT = Path(__file__).resolve().parents[2]
TAGGED = ["0.18.1", "0.19.1", "0.20.2", "0.22.1", "0.23.0", "0.24.0"]
CONNECTOR = "vllm/distributed/kv_transfer/kv_connector/v1/nixl/connector.py"
SERIES, LOCK = project.load()
OPTIONS = Options(default_cache_dir())
RELEASES = [r for r, row in LOCK.releases.items() if row.archive]

Files = dict[str, bytes]


def pristine(release: str) -> Files:
    """The files of a release that the series is about, or that mention kv_both."""
    return dict(release_files.extract(LOCK.releases[release], SERIES, OPTIONS).files)


def patched(release: str) -> Files:
    files = pristine(release)
    plan = plans.plan(files.get, LOCK.releases[release], SERIES, SERIES.chosen())
    return files | {c.path: c.after for c in plan.changes if c.after is not None}


def fitted(files: Files, nearest: str | None = None, *, exact: bool = False) -> Files:
    """``files`` as a run by fit leaves them; raises KvRolesError where it refuses."""
    plan = fit.plan(files.get, SERIES, LOCK, SERIES.chosen(), nearest=nearest, exact=exact)
    prove_plan(files, plan, {f.path for t in plan.topics for f in t.files})
    return files | {c.path: c.after for c in plan.changes if c.after is not None}


def git(repository: Path, *args: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "core.autocrlf=false"]
    done = subprocess.run(["git", "-C", str(repository), *who, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def lay(repository: Path, files: Files) -> None:
    for path in git(repository, "ls-files").splitlines():
        (repository / path).unlink()
    for path, data in {**files, "vllm/__init__.py": b""}.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_bytes(data)
    git(repository, "add", "-Af", ".")
    git(repository, "commit", "-q", "--allow-empty", "-m", "x")


def tool(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "apply.py"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Consecutive releases as tagged commits, and between them commits that mix, move, rename and reformat."""
    folder = tmp_path_factory.mktemp("upstream")
    git(folder, "init", "-q", "-b", "main")
    rng = random.Random(7)
    for number, release in enumerate(TAGGED):
        files = pristine(release)
        lay(folder, files)
        git(folder, "tag", f"v{release}")
        if number + 1 == len(TAGGED):
            break
        other = pristine(TAGGED[number + 1])
        for kind in ("mixed", "moved", "reformatted"):
            lay(folder, changed(kind, files, other, rng))
            git(folder, "tag", f"{kind}-{release}")
    return folder


def changed(kind: str, files: Files, other: Files, rng: random.Random) -> Files:
    """A commit after ``files``: files of the next release mixed in, lines moved down, or every Python file re-indented."""
    if kind == "mixed":
        pick = {p: rng.choice((files, other)) for p in sorted({*files, *other})}
        return {p: side[p] for p, side in pick.items() if p in side}
    if kind == "moved":
        return {
            p: b"# moved\n" * rng.randrange(1, 40) + d if p.endswith((".py", ".sh")) else d for p, d in files.items()
        }
    return {p: d.replace(b"kv_role=", b"kv_role = ") if p.endswith(".py") else d for p, d in files.items()}


@pytest.mark.parametrize("release", slow_but(["0.22.1"], TAGGED))
def test_a_tag_gives_the_same_bytes_as_the_archive(repository: Path, tmp_path: Path, release: str) -> None:
    out = tmp_path / release
    done = tool("--upstream", repository, "--vllm-rev", f"v{release}", "--output", out, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["release"] == release
    for path, data in patched(release).items():
        assert (out / path).read_bytes() == data, path


@pytest.mark.slow
@pytest.mark.long
def test_every_commit_ends_proven_or_refused_by_name(repository: Path, tmp_path: Path) -> None:
    outcomes = {}
    for name in git(repository, "tag", "--list").splitlines():
        out = tmp_path / name
        done = tool("--upstream", repository, "--vllm-rev", name, "--output", out, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        outcomes[name] = done.returncode
        if done.returncode == 0:
            meant = json.loads((out / ".kv-roles/receipt.json").read_text()).get("by_meaning", {})
            left = subprocess.run(
                ["git", "-C", str(repository), "ls-tree", "-r", "--name-only", name],
                capture_output=True,
                text=True,
                check=True,
            )
            for path in left.stdout.splitlines():
                was = subprocess.run(
                    ["git", "-C", str(repository), "show", f"{name}:{path}"], capture_output=True, check=True
                ).stdout
                now = (out / path).read_bytes()
                if was != now and path not in meant:
                    assert_only_ours(path, was, now)
        else:
            assert done.returncode in (1, 3)
            assert not out.exists()
            assert any(word in done.stderr for word in ("hunk", "clause")), done.stderr
    assert all(code == 0 for name, code in outcomes.items() if name.startswith(("v", "moved"))), outcomes
    assert 1 in outcomes.values() or 3 in outcomes.values(), "no commit was hard enough to be refused"


def assert_only_ours(path: str, was: bytes, now: bytes) -> None:
    """What went and came are whole hunks of one variant: nothing was put together from two, or misplaced in part."""
    for topic in SERIES.topics:
        for variant in topic.variants:
            for f in topic.patch(variant).files:
                if f.path != path:
                    continue
                try:
                    back, _ = patchfile.apply(now, f.reversed(), unique=True)
                except patchfile.HunkMismatch:
                    continue
                if back == was:
                    return
    raise AssertionError(f"{path} is no variant's result")


@pytest.mark.slow
def test_mixed_neighbours_never_give_a_wrong_tree() -> None:
    rng = random.Random(11)
    wrong, refused, good = [], 0, 0
    for one, other in zip(RELEASES[::3], RELEASES[1::3], strict=False):
        a, b, after_a, after_b = pristine(one), pristine(other), patched(one), patched(other)
        files = changed("mixed", a, b, rng)
        try:
            result = fitted(files)
        except KvRolesError:
            refused += 1
            continue
        good += 1
        wrong += [(one, other, p) for p, d in result.items() if d not in (after_a.get(p), after_b.get(p))]
    assert not wrong
    assert good > refused


def test_what_does_not_fit_is_refused_with_the_hunk() -> None:
    files = pristine("0.22.1")
    files[CONNECTOR] = files[CONNECTOR].replace(
        b"assert vllm_config.kv_transfer_config.engine_id is not None", b"check(vllm_config)"
    )
    with pytest.raises(DoesNotApply, match="hunk 1 does not fit") as e:
        fitted(files, "0.22.1", exact=True)
    assert CONNECTOR in str(e.value)
    assert "engine_id is not None" in (e.value.expected or "")


@pytest.mark.slow
def test_three_way_merges_what_exact_context_refuses(tmp_path: Path) -> None:
    files = pristine("0.22.1")
    # The context line is reworded two lines above the insertion: no exact fit, yet no conflict either.
    files[CONNECTOR] = files[CONNECTOR].replace(
        b"        self.kv_cache_config = kv_cache_config\n        self.engine_id", b"        self.engine_id", 1
    )
    tree = fork(tmp_path, files)
    refused = tool("--into", tree, "--exact", cwd=tmp_path)
    assert refused.returncode == 1
    assert "--3way" in refused.stderr
    assert (tree / CONNECTOR).read_bytes() == files[CONNECTOR]
    done = tool("--into", tree, "--3way", cwd=tmp_path)
    if done.returncode:  # git sees the reworded line and the insertion as neighbours: a conflict, kept beside the tree
        assert done.returncode == 1
        beside = tmp_path / "fork.kv-roles-conflicts" / CONNECTOR
        assert b"<<<<<<< the tree" in beside.read_bytes()
        assert (tree / CONNECTOR).read_bytes() == files[CONNECTOR]
    else:
        assert b"kv_role='kv_both' is deprecated" in (tree / CONNECTOR).read_bytes()


@pytest.mark.slow
def test_three_way_keeps_an_edit_elsewhere_in_the_file(tmp_path: Path) -> None:
    files = pristine("0.22.1")
    files[CONNECTOR] += b"\n# our own addition\n"
    tree = fork(tmp_path, files)
    (tree / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: vllm\nVersion: 0.22.1\n")
    refused = tool("--into", tree, cwd=tmp_path)
    assert refused.returncode == 1
    assert "edited" in refused.stderr
    done = tool("--into", tree, "--3way", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tree / CONNECTOR).read_bytes()
    assert text.endswith(b"# our own addition\n")
    assert b"is deprecated for NixlConnector" in text


@pytest.mark.slow
def test_a_conflict_is_left_beside_the_target_and_the_tree_untouched(tmp_path: Path) -> None:
    files = pristine("0.22.1")
    line = b"        assert vllm_config.kv_transfer_config.engine_id is not None\n"
    files[CONNECTOR] = files[CONNECTOR].replace(line, line.replace(b"assert", b"require") + b"        mine()\n")
    tree = fork(tmp_path, files)
    before = {p: p.read_bytes() for p in tree.rglob("*") if p.is_file()}
    done = tool("--into", tree, "--3way", cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "fork.kv-roles-conflicts" in done.stderr.replace("\n", "")
    assert b"<<<<<<< the tree" in (tmp_path / "fork.kv-roles-conflicts" / CONNECTOR).read_bytes()
    assert {p: p.read_bytes() for p in tree.rglob("*") if p.is_file()} == before


def fork(folder: Path, files: Files) -> Path:
    tree = folder / "fork"
    for path, data in {**files, "vllm/__init__.py": b""}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    return tree


def test_native_is_decided_from_content_not_from_a_version(tmp_path: Path) -> None:
    """A fork that calls itself nothing, with 0.23.0's connector: the warning is upstream's, and stays as it is."""
    tree = fork(tmp_path, pristine("0.23.0"))
    done = tool("--into", tree, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    states = {t["topic"]: t["state"] for t in json.loads(done.stdout)["topics"]}
    assert states["connector-warning"] == "native"
    assert (tree / CONNECTOR).read_bytes() == pristine("0.23.0")[CONNECTOR]


@pytest.mark.slow
def test_reverse_of_a_fork_restores_its_bytes(tmp_path: Path) -> None:
    files = {p: b"# moved\n" + d if p.endswith(".py") else d for p, d in pristine("0.20.2").items()}
    tree = fork(tmp_path, files)
    assert tool("--into", tree, cwd=tmp_path).returncode == 0
    again = tool("--into", tree, cwd=tmp_path)
    assert again.returncode == 0
    assert "nothing was changed" in again.stdout
    assert tool("--into", tree, "--reverse", cwd=tmp_path).returncode == 0
    for path, data in files.items():
        assert (tree / path).read_bytes() == data


@pytest.mark.slow
def test_a_release_of_which_a_file_could_not_be_had_is_fitted_not_guessed(tmp_path: Path) -> None:
    """0.15.1 has no archive; at its tag the guide's configs hold a key that the variant for it does not know."""
    assert [r for r, row in LOCK.releases.items() if not row.whole] == ["0.15.0", "0.15.1"]
    guide = "docs/features/nixl_connector_usage.md"
    told = pristine("0.14.1")[guide].replace(
        b'"kv_role":"kv_both"}', b'"kv_role":"kv_both","kv_load_failure_policy":"fail"}'
    )
    files = {
        **pristine("0.14.1"),
        **release_files.files_of(LOCK.releases["0.15.1"], SERIES, LOCK, OPTIONS),
        guide: told,
    }
    tree = fork(tmp_path, files)
    done = tool("--into", tree, "--vllm-rev", "0.15.1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b'"kv_role":"kv_producer","kv_load_failure_policy":"fail"' in (tree / guide).read_bytes()
    assert "nothing was changed" in tool("--into", tree, "--vllm-rev", "0.15.1", cwd=tmp_path).stdout
    assert tool("--into", tree, "--vllm-rev", "0.15.1", "--reverse", cwd=tmp_path).returncode == 0
    assert (tree / guide).read_bytes() == told


@pytest.mark.parametrize(("revision", "code", "says"), [("nosuch", 2, "no tag, branch or commit"), ("--help", 2, "")])
def test_unknown_revisions(repository: Path, tmp_path: Path, revision: str, code: int, says: str) -> None:
    done = tool("--upstream", repository, f"--vllm-rev={revision}", cwd=tmp_path)
    assert done.returncode == code
    assert says in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_without_git_a_revision_is_refused_and_says_so(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "apply.py"), "--upstream", str(repository), "--vllm-rev", "main"]
    env = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, check=False)
    assert done.returncode == 4
    assert "no git on this machine" in done.stderr.replace("\n", " ")


def test_an_old_git_is_refused_and_says_so(repository: Path, tmp_path: Path) -> None:
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 1.8.3\n")
    old.chmod(0o755)
    command = [sys.executable, str(ROOT / "tools" / "apply.py"), "--upstream", str(repository), "--vllm-rev", "main"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PATH": str(tmp_path)}, check=False
    )
    assert done.returncode == 4
    assert "1.8.3" in done.stderr


def test_paths_of_interest_are_those_the_lock_knows() -> None:
    known = {p for row in LOCK.releases.values() for t in row.topics.values() for p in t.files}
    assert known <= paths_of_interest(SERIES)


SCRIPT = "tests/v1/kv_connector/nixl_integration/run_tpu_edge_case_test.sh"
REWORDED = (
    b"kv_role='kv_both' is deprecated for NixlConnector: set ",
    b"kv_role='kv_both' is deprecated with NIXL, so set ",
)


@pytest.mark.slow
def test_a_reworded_backport_is_kept_and_what_lacks_is_added() -> None:
    """A fork that cherry-picked the warning in words of its own: it stays, and tests, scripts and guides follow."""
    files, whole = pristine("0.22.1"), patched("0.22.1")
    files[CONNECTOR] = whole[CONNECTOR].replace(*REWORDED)
    assert files[CONNECTOR] != whole[CONNECTOR]
    result = fitted(files, "0.22.1")
    assert result[CONNECTOR] == files[CONNECTOR]
    assert {p for p in whole if result.get(p) != whole[p]} == {CONNECTOR}


@pytest.mark.slow
def test_one_side_of_a_script_that_is_there_already_is_kept_and_the_other_added() -> None:
    files = pristine("0.14.1")
    before = files[SCRIPT]
    half = before.replace(b"kv_both", b"kv_producer", 1)
    files[SCRIPT] = half
    result = fitted(files, "0.14.1")[SCRIPT]
    assert result == half.replace(b"kv_both", b"kv_consumer")
    assert result == patched("0.14.1")[SCRIPT]


@pytest.mark.slow
def test_a_test_file_that_lacks_nothing_but_pytest_is_given_it() -> None:
    """Commits of June 2025, between 0.9.1 and 0.9.2: the tests' text fits, and no test used pytest yet."""
    path = terms.TEST_FILE
    files = pristine("0.9.2")
    files[path] = re.sub(rb"    @pytest.*\n(?:      .*\n)*    \]\)\n", b"", files[path]).replace(
        b"import pytest\n\n", b""
    )
    assert b"pytest" not in files[path]
    after = fitted(files, "0.9.2")[path]
    assert after.count(b"import pytest") == after.count(b"\nimport pytest\n\nfrom vllm") == 1
    assert b"def test_kv_both_deprecation_warning(" in after


@pytest.mark.slow
@pytest.mark.parametrize("merging", [[], ["--3way"]], ids=["", "3way"])
def test_what_a_run_added_to_upstream_s_own_change_is_taken_out_again(tmp_path: Path, merging: list[str]) -> None:
    """A commit between releases: upstream has given roles to some scripts of a topic, the series to the others."""
    others = [
        f"tests/v1/kv_connector/nixl_integration/run_multi_connector_{name}_test.sh"
        for name in ("accuracy", "edge_case")
    ]
    between = pristine("0.25.0") | {path: pristine("0.24.0")[path] for path in others}
    tree = tmp_path / "tree"
    put(tree, {**between, "vllm/__init__.py": b"", "PKG-INFO": b""})
    before = contents(tree)
    ran = tool("--into", tree, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    receipt = json.loads((tree / ".kv-roles" / "receipt.json").read_bytes())
    scripts = receipt["topics"]["integration-scripts"]["files"]
    assert [scripts[path] for path in others] == ["applied", "applied"]
    assert "native" in scripts.values()
    assert tool("--into", tree, "--reverse", *merging, cwd=tmp_path).returncode == 0
    assert contents(tree) == before


def test_a_commit_of_a_clone_is_patched_without_what_fetches_releases() -> None:
    """HTTP, TLS and mail parsers would take a third of the time that a run needs to start."""
    asked = "from kvroles.apply import command, commit, fit, meaning; import sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); {asked}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "kvroles.sources.objects" in loaded
    assert not {"http.client", "ssl", "email", "zipfile", "kvroles.sources.release_files"} & set(loaded)
