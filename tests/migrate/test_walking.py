"""What is read below a path and what is passed over: everything is read, or named, or counted by the reason it was not."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from kvroles.migrate import cli
from kvroles.migrate.files import globs, hits
from kvroles.said import shell
from support.docs import ROOT

CONFIG = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
GOOD = f"# prefill\nvllm serve m --kv-transfer-config '{CONFIG}'\n"


@pytest.fixture(autouse=True)
def _below(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests run in a folder of the test's own folder, so that there is a place beside it."""
    (here / "in").mkdir()
    monkeypatch.chdir(here / "in")


def _put(path: str, text: str = GOOD) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    code = cli.main(["--check", *args])
    out, err = capsys.readouterr()
    assert all(" decided: " in line for line in err.splitlines())  # what the settings of the tree did
    return code, out


@pytest.mark.parametrize("folder", ["vendor", "third_party", "venv", ".venv", "docs/.github", "a.b"])
def test_every_other_folder_is_read(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    _put(f"{folder}/run.sh")
    code, out = _run(capsys, ".")
    assert (code, f"{folder}/run.sh:2:79: KVR101" in out) == (1, True)


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        (".git", "version control"), ("node_modules", "environment"), ("a/site-packages", "environment"),
        ("b/__pycache__", "cache"), (".terraform", "cache"),
    ],
)  # fmt: skip
def test_environments_are_counted_and_named_if_asked_for(
    capsys: pytest.CaptureFixture[str], folder: str, reason: str
) -> None:
    _put(f"{folder}/deep/run.sh")
    assert _run(capsys, ".") == (0, f"nothing was looked at; passed over: 1 {reason}\n")
    assert f"{folder}: passed over: {reason}\n" in _run(capsys, "-v", ".")[1]


def test_a_virtual_environment_is_known_by_what_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    _put("py/bin/run.sh")
    _put("py/pyvenv.cfg", "home = /usr\n")
    assert _run(capsys, ".")[1].endswith("passed over: 1 environment\n")
    Path("py/pyvenv.cfg").unlink()
    assert _run(capsys, ".")[0] == 1


@pytest.mark.parametrize("named", ["node_modules", "node_modules/x", "node_modules/x/run.sh", "node_modules/x/run.bin"])
def test_a_path_that_is_named_is_read_whatever_its_name(capsys: pytest.CaptureFixture[str], named: str) -> None:
    _put("node_modules/x/run.sh")
    _put("node_modules/x/run.bin")
    code, out = _run(capsys, named)
    assert (code, "run.sh:2:79: KVR101" in out or "run.bin:2:79: KVR117" in out) == (1, True)


@pytest.mark.parametrize(("name", "code"), [("results", "KVR101"), ("results/run.sh", "KVR101"), ("run.log", "KVR118")])
def test_a_record_that_is_named_is_read(capsys: pytest.CaptureFixture[str], name: str, code: str) -> None:
    _put("results/run.sh")
    _put("run.log", "kv_both\n")
    assert "1 note;" in _run(capsys, ".")[1]
    assert code in _run(capsys, name)[1]


def test_a_script_in_a_folder_that_runs_write_to_is_asked_about_and_left(capsys: pytest.CaptureFixture[str]) -> None:
    _put("results/run.sh", GOOD)
    code, out = _run(capsys, "--write", ".")
    assert (code, "KVR117" in out, Path("results/run.sh").read_text()) == (1, True, GOOD)
    code, out = _run(capsys, "--write", "--side", "results/run.sh=prefill", ".")
    assert (code, "kv_producer" in Path("results/run.sh").read_text()) == (0, True)


def test_a_record_that_is_named_is_not_rewritten(capsys: pytest.CaptureFixture[str]) -> None:
    _put("run.sh.out", GOOD)
    code, out = _run(capsys, "--write", "run.sh.out")
    assert code == 1
    assert Path("run.sh.out").read_text() == GOOD
    assert "no NIXL role" not in out


def test_a_link_inside_is_read_once_and_by_the_name_of_what_it_leads_to(capsys: pytest.CaptureFixture[str]) -> None:
    _put("real/run.sh")
    Path("link.sh").symlink_to("real/run.sh")
    Path("folder").symlink_to("real")
    Path("loop").symlink_to(".")
    Path("self").symlink_to("self")
    Path("gone").symlink_to("nowhere")
    code, out = _run(capsys, ".")
    assert (code, out.count("KVR101")) == (1, 1)
    assert "passed over: 2 link that leads nowhere" in out


def test_a_link_to_what_would_be_passed_over_is_followed_once(capsys: pytest.CaptureFixture[str]) -> None:
    _put("node_modules/x/run.sh")
    Path("a").symlink_to("node_modules/x")
    Path("b").symlink_to("node_modules/x")
    assert _run(capsys, ".")[1].count("KVR101") == 1


def test_a_link_that_leaves_is_named_and_fails_where_it_may_hide_a_role(capsys: pytest.CaptureFixture[str]) -> None:
    _put("../outside/run.sh")
    _put("../outside/other.sh", "echo\n")
    Path("other.sh").symlink_to("../outside/other.sh")
    code, out = _run(capsys, "-v", ".")
    assert (code, "other.sh: passed over: link to a file outside, without kv_both" in out) == (0, True)
    Path("run.sh").symlink_to("../outside/run.sh")
    Path("all").symlink_to("../outside")
    code, out = _run(capsys, ".")
    assert code == 1
    for name, end in (("run.sh", "/outside/run.sh, which holds kv_both"), ("all", "/outside, which is outside")):
        assert f"{name}:1:1: KVR190 skipped: a link to " in out
        assert end in out
    assert _run(capsys, ".", "../outside")[1].count("KVR101") == 1


def test_a_pipe_or_a_socket_is_unread(capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("pipe.sh")
    code, out = _run(capsys, ".")
    assert (code, "pipe.sh:1:1: KVR190 skipped: not a regular file" in out) == (1, True)
    Path("pipe.sh").unlink()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("sock")
        assert "sock:1:1: KVR190 skipped: not a regular file" in _run(capsys, ".")[1]


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self", "/proc/self/maps", "/sys"])
def test_a_device_or_a_folder_of_the_kernel_is_one_finding(capsys: pytest.CaptureFixture[str], path: str) -> None:
    if not os.path.lexists(path):
        pytest.skip(f"no {path} on this system")
    code, out = _run(capsys, path)
    assert (code, out.count("KVR190"), out.count("\n") < 10) == (1, 1, True)


def test_a_pipe_that_is_named_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.sh")
    command = [sys.executable, ROOT / "tools/migrate.py", "--check", "pipe.sh"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, "pipe.sh:1:1: KVR190 skipped: not a regular file" in ran.stdout) == (1, True)


def test_a_sparse_file_is_not_read_where_it_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("sparse.img").open("wb") as f:
        f.truncate(200 << 30)
    assert _run(capsys, ".")[0] == 0
    with Path("sparse.img").open("r+b") as f:
        f.seek(100 << 30)
        f.write(b"kv_both")
    assert "sparse.img:1:1: KVR190 skipped: larger than 8 MB, and it holds kv_both once" in _run(capsys, ".")[1]


def test_a_large_file_without_the_word_is_not_spoken_of(capsys: pytest.CaptureFixture[str]) -> None:
    Path("big.json").write_bytes(b'"x",\n' * (hits.MAX_BYTES // 4))
    assert _run(capsys, ".") == (0, "no NIXL role says kv_both; 1 file looked at\n")
    with Path("big.json").open("ab") as f:
        f.write(b"kv_both\nkv_both\n")
    code, out = _run(capsys, ".")
    lines = hits.MAX_BYTES // 4 + 1
    assert (code, f"it holds kv_both 2 times, first in line {lines}" in out) == (1, True)


DUMP = f"""\
apiVersion: v1
kind: Pod
metadata:
  name: vllm-prefill-0
  uid: 8f1c
spec: {{containers: [{{args: ["--kv-transfer-config", '{CONFIG}']}}]}}
"""


@pytest.mark.parametrize(
    "text",
    [
        DUMP,
        DUMP.replace("uid: 8f1c", 'resourceVersion: "12"'),
        DUMP.replace("  uid: 8f1c\n", "") + "status: {phase: Running}\n",
        DUMP.replace("uid: 8f1c", "managedFields: [{manager: helm}]"),
        "apiVersion: v1\nkind: List\nitems:\n- " + DUMP.replace("\n", "\n  ").rstrip() + "\n",
    ],
    ids=["uid", "resourceVersion", "status", "managedFields", "list"],
)
def test_a_dump_of_a_live_object_is_never_rewritten(capsys: pytest.CaptureFixture[str], text: str) -> None:
    _put("live/pod.yaml", text)
    code, out = _run(capsys, "--write", ".")
    assert (code, "1 note" in out) == (0, True)
    code, out = _run(capsys, "--write", "live/pod.yaml")
    assert (code, "KVR119 in a dump of a live object" in out) == (1, True)
    assert Path("live/pod.yaml").read_text() == text


def test_a_manifest_with_an_empty_status_is_no_dump(capsys: pytest.CaptureFixture[str]) -> None:
    _put("pod.yaml", DUMP.replace("  uid: 8f1c\n", "") + "status: {}\n")
    assert "KVR101" in _run(capsys, ".")[1]


# --- settings -----------------------------------------------------------------------------------------------------------

UNSAID = GOOD.split("\n", 1)[1]


@pytest.mark.parametrize("how", ["run.sh", "./run.sh", "../in/run.sh", "absolute", "link/run.sh", "."])
def test_globs_of_the_settings_match_however_a_path_is_written(capsys: pytest.CaptureFixture[str], how: str) -> None:
    _put("run.sh", UNSAID)
    _put(".kv-roles.toml", '[side]\n"./run.sh" = "decode"\n')
    Path("../link").symlink_to("in")
    Path("link").symlink_to("../link")
    path = {"absolute": str(Path("run.sh").absolute())}.get(how, how)
    assert "KVR102" in _run(capsys, path)[1]


def test_each_repository_has_its_own_settings(capsys: pytest.CaptureFixture[str]) -> None:
    for repo, side in (("one", "prefill"), ("two", "decode")):
        _put(f"../{repo}/.git/HEAD", "ref: x\n")
        _put(f"../{repo}/.kv-roles.toml", f'exclude = ["old/**"]\n[side]\n"deploy/run.sh" = "{side}"\n')
        _put(f"../{repo}/deploy/run.sh", UNSAID)
        _put(f"../{repo}/old/run.sh", UNSAID)
    code, out = _run(capsys, "../one", "../two/deploy")
    assert (code, "../one/deploy/run.sh:1:79: KVR101" in out, "../two/deploy/run.sh:1:79: KVR102" in out) == (
        1,
        True,
        True,
    )
    assert "KVR110" not in out
    assert "passed over: 1 excluded by the settings" in out
    assert "KVR102" in _run(capsys, "../two/deploy/run.sh")[1]
    _put("../two/deploy/.kv-roles.toml", '[side]\n"run.sh" = "prefill"\n')
    assert "KVR101" in _run(capsys, "../two/deploy/run.sh")[1], "the nearest counts"


def test_settings_above_what_was_named_count_only_inside_a_repository(capsys: pytest.CaptureFixture[str]) -> None:
    _put("../.kv-roles.toml", 'exclude = ["**"]\n')
    _put("run.sh")
    assert _run(capsys, ".")[0] == 1
    _put("../.git/HEAD", "ref: x\n")
    assert _run(capsys, ".")[0] == 0


@pytest.mark.parametrize(
    ("glob", "path", "yes"),
    [
        ("a/*.sh", "a/b.sh", True), ("a/*.sh", "a/b/c.sh", False), ("**/c.sh", "a/b/c.sh", True), ("**/c.sh", "c.sh", True),
        ("**/c.sh", "a/xc.sh", False), ("a/**", "a/b/c", True), ("a/**", "b/a/c", False), ("a/**/d", "a/d", True),
        ("a/**/d", "a/b/c/d", True), ("a/**/d", "a/bd", False), ("./a/?.sh", "a/b.sh", True), ("a/?", "a//", False),
        ("a/", "a/b/c", True), ("*.sh", "x/y.sh", True), ("a/[b].sh", "a/b.sh", False), ("a/[b].sh", "a/[b].sh", True),
        ("a/**b", "a/x/yb", True), ("**/**/x", "x", True),
    ],
)  # fmt: skip
def test_a_glob_of_the_settings_matches_these_paths_and_not_those(glob: str, path: str, yes: bool) -> None:
    assert globs.matches(path, glob) is yes


def test_a_glob_takes_time_in_proportion_to_its_length() -> None:
    assert not globs.matches("a/" * 1000 + "b", "**/" * 12 + "c" + "*a" * 20)


# --- answers on the command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ("nope.sh=prefill", "names no file that was looked at"),
        ("nope/**=prefill", "names no file that was looked at"),
        ("nope.sh:1=prefill", "names no file that was looked at"),
        (
            "run.sh:9=prefill",
            "has no effect there. Expected a line with a role whose side is to decide. Found no kv_both",
        ),
        ("run.sh:2=decode", "has no effect there. Expected a line with a role whose side is to decide. Found KVR101"),
    ],
)
def test_an_answer_without_effect_is_an_error_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], side: str, words: str
) -> None:
    _put("run.sh")
    code = cli.main(["--write", "--side", side, "."])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert f"kv-roles: `{shell('--side', side)}` {words}" in " ".join(err.split())
    assert Path("run.sh").read_text() == GOOD


def test_an_answer_for_a_file_that_needs_none_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    _put("run.sh")
    assert "KVR101" in _run(capsys, "--side", "*.sh=decode", ".")[1]
    _put("run.sh", "echo\n")
    assert _run(capsys, "--side", "*.sh=decode", ".")[0] == 0


def test_a_submodule_that_is_not_checked_out_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    _put("a.sh", "true\n")
    _put("there/b.sh", "true\n")
    _put(
        ".gitmodules",
        "".join(
            f'[submodule "{p}"]\n\tpath = {p}\n\turl = u\n'
            for p in ("gone", "empty of all", "there", "/gone", "../gone")
        ),
    )
    Path("empty of all").mkdir()
    code, out = _run(capsys, ".")
    assert (code, out) == (
        0,
        "no NIXL role says kv_both; 3 files looked at; passed over: 2 not checked out (submodule)\n",
    )
    shown = _run(capsys, "-v", ".")[1]
    assert "gone: passed over: not checked out (submodule)\n" in shown
    assert "empty of all: passed over: not checked out (submodule)\n" in shown


def test_a_path_that_is_named_twice_or_lies_below_another_one_is_looked_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _put("a/b/one.sh")
    _put("a/two.sh")
    Path("link").symlink_to("a")
    for paths in (
        ["a"],
        ["a", "./a/", str(Path("a").absolute()), "link"],
        ["a/b/../b/one.sh", "a", "a/b", "./a/two.sh", "link/b"],
    ):
        cli.main(paths)
        out = capsys.readouterr().out
        assert "2 files looked at" in out, (paths, out)


@pytest.mark.parametrize("paths", [["run.log"], ["run.log", "."], [".", "./run.log"], ["sub/../run.log", "."]])
def test_a_file_that_is_named_is_judged_as_such_also_beside_the_folder_it_is_in(
    capsys: pytest.CaptureFixture[str], paths: list[str]
) -> None:
    _put("run.log")
    _put("sub/other.log")
    cli.main(["-v", *paths])
    out = capsys.readouterr().out
    assert re.findall(r"run\.log:\d+:\d+: (\w+)", out) == ["KVR117"], "a record that is found below a folder is KVR125"


def test_a_path_below_another_one_that_the_walk_passes_over_is_read_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _put("a/two.sh")
    _put("a/node_modules/one.sh")
    _put("a/env/pyvenv.cfg", "home = /usr/bin\n")
    Path("a/env/bin").mkdir(parents=True)
    _put("a/env/three.sh")
    for path in ("a/node_modules", "a/node_modules/one.sh", "a/env", "a/env/three.sh"):
        cli.main(["a", path])
        assert "2 roles certain in 2 files" in capsys.readouterr().out, path
