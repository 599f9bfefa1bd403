"""The command line: what may be said, what is answered to what may not, and in which form."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvroles.apply import command
from kvroles.console import EVERYWHERE
from kvroles.contract import terms
from kvroles.errors import Exit, KvRolesError, UsageError
from kvroles.series.lock import Lock
from kvroles.series.release import Version, in_range, resolve, version
from support import tiny as project
from support.advice import commands
from support.cost import slow_but
from support.driver import Ran, script
from support.tiny import Tiny

Apply = Callable[..., Ran]
ROOT = Path(__file__).resolve().parents[2]
RELEASES = list(Lock.load().releases)


# Which release.


@pytest.mark.parametrize("word", ["0.22.1", "v0.22.1", "V0.22.1", " 0.22.1 ", "0.22.1.0", "0.22.1+cu130"])
def test_ways_to_name_a_release(word: str) -> None:
    assert resolve(word, RELEASES) == "0.22.1"


def test_latest_is_the_newest_in_the_lock() -> None:
    assert resolve("latest", RELEASES) == max(RELEASES, key=version)


@pytest.mark.parametrize(
    ("word", "near"),
    [("0.22.2", ("0.22.0", "0.22.1", "0.23.0", "0.24.0")), ("0.9.3", ("0.9.1", "0.9.2", "0.10.0", "0.10.1")),
     ("0.10.1.2", ("0.10.1", "0.10.1.1", "0.10.2", "0.11.0")), ("9.9.9", tuple(RELEASES[-2:])), ("0.22.1rc1", ("0.22.0", "0.22.1"))],
)  # fmt: skip
def test_an_unknown_release_names_the_nearest(word: str, near: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"is not in the lock") as e:
        resolve(word, RELEASES)
    named = re.search(r"one of the nearest, (.*?)\. Run", str(e.value))
    assert named
    assert set(near) <= set(named[1].split(", "))


def test_a_number_longer_than_any_release_s_is_none() -> None:
    with pytest.raises(UsageError):
        resolve("9" * 5000, RELEASES)


@pytest.mark.parametrize("word", ["0.8.5", "v0.8.5.post1", "0.1", "0.9.0rc1"])
def test_a_release_before_nixl_says_so(word: str) -> None:
    with pytest.raises(UsageError, match="has no NixlConnector, so there is nothing to deprecate") as e:
        resolve(word, RELEASES)
    assert "from 0.9.0 on" in str(e.value)


@pytest.mark.parametrize(("word", "near"), [("0.22.1x", "0.22.1"), ("0,22,1", "0.22.1"), ("02.1", "")])
def test_a_slip_of_the_finger_is_answered_with_what_was_meant(word: str, near: str) -> None:
    with pytest.raises(UsageError) as e:
        resolve(word, RELEASES)
    assert near in str(e.value)


@settings(max_examples=60)
@given(st.text(max_size=30) | st.from_regex(r"v?[0-9]{1,40}(\.[0-9]{1,50}){0,4}(rc|a|b|\.dev|\.post)?[0-9]{0,30}"))
def test_no_word_whatever_makes_it_crash(word: str) -> None:
    try:
        assert resolve(word, RELEASES) in RELEASES
    except UsageError as e:
        assert e.fix


def test_releases_sort_as_pep_440_says() -> None:
    ordered = ["0.9.0.dev1", "0.9.0a1", "0.9.0rc1.dev2", "0.9.0rc1", "0.9.0rc2", "0.9.0", "0.9.0.post1", "0.9.0.1", "0.9.1", "0.10.0",
               "0.10.1", "0.10.1.1", "0.10.2", "1.0"]  # fmt: skip
    assert sorted(ordered, key=version) == ordered
    assert version("0.9") == version("0.9.0") == version("v0.9.0.0")
    assert Version.parse("0.9.x") is None


@settings(max_examples=80)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from(["", "rc1", ".post2", ".dev3", "a2"])),
        min_size=2,
    )
)
def test_order_agrees_with_packaging(parts: list[tuple[int, int, str]]) -> None:
    packaging = pytest.importorskip("packaging.version")
    texts = [f"0.{a}.{b}{tail}" for a, b, tail in parts]
    assert sorted(texts, key=version) == sorted(texts, key=packaging.Version)
    specifiers = pytest.importorskip("packaging.specifiers")
    spec = f">={texts[0]},<{texts[1]}"
    for text in texts:
        if not re.search("[a-z]", text + texts[1]):
            assert in_range(text, spec) == specifiers.SpecifierSet(spec).contains(text)


@pytest.mark.parametrize("bad", ["", "~=1.0", ">=", ">=1.0,,<2", ">=x"])
def test_a_range_that_is_none_is_an_error(bad: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        in_range("0.9.0", bad)


# What may not be said.


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "Name a revision with --vllm-rev or a tree with --into"),
        (("--export", "x"), "Give --export with --list"),
        (("--vllm-rev", "0.22.2"), "vLLM 0.22.2 is not in the lock"),
        (("--vllm-rev", "0.8.5"), "vLLM 0.8.5 has no NixlConnector"),
        (("--vllm-rev", "0.22.1", "--with", "nonsense"), "There is no topic 'nonsense'"),
        (("--list", "--export", "x", "--vllm-rev", "0.22.2"), "vLLM 0.22.2 is not in the lock"),
        (("--list", "--vllm-rev", "0.22.2"), "vLLM 0.22.2 is not in the lock"),
        (("--vllm-rev", "0.22.1", "--reverse"), "does not exist, so there is nothing to reverse"),
        (("--into", "tree", "--upstream", "clone"), "--upstream makes a new tree, and --into names one that is there"),
        (
            ("--upstream", "clone", "--vllm-rev", "main"),
            "is neither a folder nor the address of a repository",
        ),
    ],
)
def test_wrong_usage_is_exit_2_in_words(apply: Apply, tmp_path: Path, argv: tuple[str, ...], words: str) -> None:
    apply(*argv).refused(2, words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "argv",
    [("--into", "a", "--output", "b"), ("-q", "-v"), ("--vllm", "0.22.1"), ("--nonsense",), ("0.22.1",), ("--into",)],
)
def test_wrong_arguments_are_exit_2_with_the_usage(apply: Apply, argv: tuple[str, ...]) -> None:
    ran = apply(*argv)
    assert ran.code == 2
    assert ran.err.startswith("usage: apply.py")
    assert ran.out == ""


@pytest.mark.parametrize("revision", ["main", "a1b2c3d"])
def test_a_revision_that_only_a_network_has_says_how_to_get_it(apply: Apply, revision: str) -> None:
    apply("--vllm-rev", revision).refused(4, f"{revision} of", "Run once without --offline", "--upstream")


def test_an_upstream_s_credentials_are_in_no_message(apply: Apply) -> None:
    upstream = "http://me:secret@127.0.0.1:9/vllm.git"
    for ran in (apply("--upstream", upstream, "--vllm-rev", "main", online=how) for how in (False, True)):
        ran.refused(4, "main", "http://127.0.0.1:9/vllm.git")
        assert "secret" not in ran.err


def test_an_upstream_that_is_no_repository_says_what_one_is(apply: Apply, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    apply("--upstream", "folder", "--vllm-rev", "main").refused(4, "folder is not a git repository", "Give --upstream")


def test_an_error_reads_the_same_for_machines(apply: Apply) -> None:
    ran = apply("--vllm-rev", "0.22.2", "--json")
    error = json.loads(ran.out)
    assert (ran.code, error["code"]) == (2, 2)
    assert ran.said == f"apply.py: {error['error']}"


def test_an_error_is_what_where_expected_found_and_the_way_out() -> None:
    e = KvRolesError(Exit.UNPROVEN, "A\n thing", expected="x", found="y.", fix="Do z")
    assert str(e) == "A thing. Expected x. Found y. Do z."
    assert str(KvRolesError(Exit.USAGE, "No image", expected="NAME@sha256:...")).endswith("Expected NAME@sha256:...")


BARE = "-S"  # as on a Python with nothing installed


@pytest.mark.parametrize("tool", ["apply.py", "effects.py", "migrate.py", "port.py", "vendor.py"])
def test_a_tool_tells_its_options_on_a_bare_python(tool: str) -> None:
    done = subprocess.run([sys.executable, BARE, ROOT / "tools" / tool, "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert tool.removesuffix(".py") in done.stdout or tool == "migrate.py"


@pytest.mark.parametrize("argv", [("verify.py", "--all"), ("pages.py",), ("unit_runs.py", "0.22.1")])
def test_a_tool_without_its_libraries_says_how_to_get_them(argv: tuple[str, ...], tmp_path: Path) -> None:
    tool, *rest = argv
    command = [sys.executable, BARE, ROOT / "tools" / tool, *rest]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    said = " ".join(done.stderr.split())  # a long path breaks the line
    assert re.match(rf"{tool}: It needs the library '\w+', which \S+ lacks\. ", said)
    assert f"Run `{shlex.join([sys.executable, '-m', 'pip', 'install', '-e', str(ROOT)])}`; apply.py" in said


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["verify.py", "migrate.py"])
def test_the_command_that_gets_the_libraries_can_be_pasted(tool: str, tmp_path: Path) -> None:
    copy = tmp_path / "my project"
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"):
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "tools", copy / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "a.go").write_text('package a\n\nvar kv = `{"kv_connector":"NixlConnector","kv_role":"kv_both"}`\n')
    argv = [str(copy / "tools" / tool), "--all" if tool == "verify.py" else str(copy / "a.go")]
    done = subprocess.run([sys.executable, BARE, *argv], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    (command,) = commands(done.stderr)
    assert shlex.split(command)[-2:] == ["-e", str(copy)]
    offline = "--dry-run --no-index --no-deps --no-build-isolation"  # as far as it comes without an index
    subprocess.run(f"{command} {offline}", shell=True, cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize(("tool", "say"), [("apply", "--upstream"), ("vendor", "wheel")])
def test_a_release_without_an_archive_names_commands_that_go_to_its_tag_or_its_wheel(
    tool: str, say: str, tmp_path: Path
) -> None:
    (tmp_path / "my work").mkdir()
    asked = ("--vllm-rev", "0.15.0", "--output", "a new one", "--offline")
    said = script(ROOT / "tools/apply.py", *asked, cwd=tmp_path / "my work").refused(4, "without a source archive").err
    (command,) = [c for c in commands(said) if f"tools/{tool}.py" in c and say in c]
    where = ("--cache-dir", "a cache", "--output", "a new one", "--offline")
    ran = script(ROOT / shlex.split(command)[1], *shlex.split(command)[2:], *where, cwd=tmp_path / "my work")
    ran.refused(4, "--offline forbids fetching it")


# What is printed.


def test_help_names_every_option_and_exit_code_2_never_hides_it(apply: Apply) -> None:
    out = apply("--help").ok().out
    for option in ("--vllm-rev", "--output", "--into", "--check", "--reverse", "--list", "--with", "--json", "--offline",
                   "--cache-dir", "--index-url", "--export", "-q", "-v"):  # fmt: skip
        assert option in out


def test_every_option_of_apply_says_in_which_runs_it_has_an_effect() -> None:
    """What is not in the table is about places and about how much is printed, and has its effect everywhere."""
    options = {action.dest for action in command.parser()._actions} - {"help"}
    assert options == EVERYWHERE.union(*command.EFFECT.values())


def test_quiet_prints_nothing_and_verbose_names_the_clauses(apply: Apply, tree: Path) -> None:
    assert apply("--into", tree, "-q").ok().out == ""
    apply("--into", tree, "--reverse", "-q").ok()
    out = apply("--into", tree, "-v").ok().out
    assert [line.split()[0] for line in out.splitlines()[-len(terms.CLAUSES) :]] == [str(n) for n in terms.CLAUSES]


def test_the_list_names_every_release_with_its_variants(apply: Apply) -> None:
    lines = apply("--list").ok().out.splitlines()
    assert lines[0].split()[:6] == ["release", *[line.split()[0] for line in project.SERIES[:5]]]
    assert [line.split()[0] for line in lines[1:4]] == list(project.RELEASES)
    assert lines[1].split()[1:6] == ["0.9.0", "0.9.0", "-", "-", "-"]
    assert lines[3].split()[1:6] == ["native", "native", "native", "native", "0.22.1"]
    assert "* optional" in lines[-1]


def test_the_list_of_one_release(apply: Apply) -> None:
    lines = apply("--list", "--vllm-rev", "v0.22.1").ok().out.splitlines()
    assert [line.split()[0] for line in lines] == ["release", "0.22.1", "*"]
    assert list(json.loads(apply("--list", "--vllm-rev", "latest", "--json").ok().out)["releases"]) == ["0.33.0"]


def test_no_colours_and_no_progress_off_a_terminal(apply: Apply, tree: Path) -> None:
    ran = apply("--into", tree).ok()
    assert "\033" not in ran.out + ran.err


def on_a_terminal(tiny: Tiny, tree: Path, **env: str) -> str:
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, tiny.apply, "--into", tree, "--check"], stdout=side, stderr=side, stdin=side,
        env={k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | env,
    )  # fmt: skip
    os.close(side)
    out = b""
    while True:
        try:
            piece = os.read(main, 4096)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(main)
    assert process.wait(30) == 0
    return out.decode()


def test_colours_on_a_terminal_unless_told_not_to(tiny: Tiny, tree: Path) -> None:
    assert "\033[36mpristine " in on_a_terminal(tiny, tree)
    assert "\033" not in on_a_terminal(tiny, tree, NO_COLOR="1")
    assert "\033" not in on_a_terminal(tiny, tree, TERM="dumb")


# Mails for git am.


@pytest.mark.parametrize("release", slow_but(["0.22.1"], project.RELEASES))
def test_git_am_of_the_exported_mails_gives_the_bytes_of_a_run(
    apply: Apply, tiny: Tiny, tmp_path: Path, release: str
) -> None:
    out = apply("--list", "--export", "mails", "--vllm-rev", release).ok().out
    mails = sorted((tmp_path / "mails").iterdir())
    assert [str(m) for m in mails] == [str(tmp_path / line) for line in out.splitlines()]
    tree = tiny.unpack(tmp_path / "vllm", release)
    for argv in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "pristine"), ("am", "-q", *mails)):
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *argv],
            cwd=tree, check=True, capture_output=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
        )  # fmt: skip
    made = {str(p.relative_to(tree)): p.read_bytes() for p in tree.rglob("*") if p.is_file() and ".git/" not in str(p)}
    assert made == tiny.applied(release)
    assert "applied already" in apply("--into", tree).ok().out


def test_export_takes_optional_topics_too(apply: Apply, tmp_path: Path) -> None:
    apply("--list", "--export", "mails", "--vllm-rev", "0.22.1", "--with", "fence").ok()
    assert [p.name for p in sorted((tmp_path / "mails").iterdir())] == [
        "0001-connector-warning.patch", "0002-unit-tests.patch", "0003-integration-scripts.patch", "0004-guides.patch",
        "0005-stragglers.patch", "0006-fence.patch", "0007-overlay.patch",
    ]  # fmt: skip


def test_a_shorter_series_does_not_leave_an_older_export_s_mails_behind(apply: Apply, tmp_path: Path) -> None:
    apply("--list", "--export", "mails", "--vllm-rev", "0.22.1").ok()
    ran = apply("--list", "--export", "mails", "--vllm-rev", "0.9.0")
    ran.refused(2, "mails holds other files", "empty folder")


def test_export_into_what_is_no_folder(apply: Apply, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    apply("--list", "--export", "file").refused(1, "file", "Choose another folder with --export")


def test_the_script_runs_from_anywhere(tiny: Tiny, tree: Path) -> None:
    script(tiny.apply, "--into", tree, "--check", cwd="/").ok()
