"""Whatever stands on a command line and in the environment, a tool ends with one of its exit codes and in words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kvroles.errors import Exit
from support.driver import Driver, Ran
from support.tiny import Tiny, make

pytestmark = pytest.mark.slow

Drivers = Mapping[str, Callable[..., Ran]]

_ODD = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), max_size=12)
_VALUES = st.one_of(
    st.sampled_from(
        ["", " ", "-", "--", ".", "vllm", "file", "pipe", "loop", "0.22.1", "v0.22.1", "latest", "main", "HEAD", "0", "1", "-1",
         "1/0", "9" * 400, "0." * 200, "a" * 300, "\x1b[2J", "a\nb", "::error::x", "\u202e", "\udcff", "\ud800"[:0] or "x",
         "http://[", "http://u:p@h:0/", "file://x", "file:///", "ext::x", "u:p@h:x", "https:/x", "louder", "fence", "a=b",
         "*=prefill", "**=decode", "[=prefill", "x:9=prefill", f"x:{'9' * 5000}=prefill", "image@sha256:" + "0" * 64, "image:tag", "x86_64", "python3"]
    ),
    _ODD,
    st.binary(max_size=6).map(lambda b: os.fsdecode(b.replace(b"\0", b"").replace(b"/", b""))),
)  # fmt: skip
_OPTIONS = {
    "apply": ["--vllm-rev", "--upstream", "--output", "--into", "--with", "--check", "--reverse", "--3way", "--list",
              "--export", "--json", "--index-url", "--cache-dir", "-q", "-v", "--help", "--nonsense", "-x"],
    "vendor": ["install", "uninstall", "verify", "wheel", "image", "--vllm-rev", "--python", "--site-packages", "--json", "-q",
               "--wheel", "--arch", "--output", "--build", "--force", "--offline", "--base", "--allow-tag", "--nonsense"],
    "migrate": ["--write", "--diff", "--check", "--target-vllm", "--side", "--config", "--json", "--sarif", "--github", "-v",
                "-q", "--help", "--nonsense", "--html", "--baseline", "--write-baseline", "--from-list", "-0", "--no-config", "--review",
                "-o", "csv", "markdown"],
    "cluster": ["-n", "-A", "--context", "--kubeconfig", "--check", "--target-vllm", "-o", "json", "--html", "-q", "-v", "--nonsense"],
    "verify": ["--release", "--lint", "--shard", "1/2", "--jobs", "--write", "--json", "-q", "--index-url", "--nonsense", "--help"],
    "port": ["--to", "--keep", "--export-upstream", "--as", "--from-tree", "--with", "--output", "--check", "--json", "--index-url",
             "--nonsense", "--help"],
}  # fmt: skip
_ENVIRONMENT = st.dictionaries(
    st.sampled_from(
        ["HOME", "XDG_CACHE_HOME", "TERM", "COLUMNS", "NO_COLOR", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "NETRC", "SSL_CERT_FILE",
         "PIP_CERT", "http_proxy", "no_proxy", "GIT_CONFIG_COUNT", "GIT_CONFIG_GLOBAL", "GIT_DIR", "SUDO_UID", "LANG", "TMPDIR_"]
    ),
    st.one_of(_ODD, st.sampled_from(["", "0", "-1", "9" * 40, "9" * 5000, "http://u:p@h:x", "dumb", "C"])),
    max_size=3,
)  # fmt: skip


def commands(tool: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.one_of(st.sampled_from(_OPTIONS[tool]), _VALUES), max_size=7)


@pytest.fixture(scope="module")
def place(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tree, a file, a pipe and a link in a circle, that each run may change."""
    folder = tmp_path_factory.mktemp("a place")
    tiny.unpack(folder / "vllm")
    (folder / "file").write_text('{"kv_connector": "NixlConnector", "kv_role": "kv_both"}\n')
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    return folder


def ends_in_words(tool: str, argv: list[str], env: dict[str, str], drivers: Drivers, place: Path) -> None:
    if tool == "vendor":
        argv = [*argv, "--offline"] if "wheel" in argv else argv
    if tool in ("verify", "port"):
        argv = [*argv, "--offline"]
    ran = drivers[tool](*argv, cwd=place, env=env)
    assert ran.code in set(Exit), (argv, env, ran)
    assert "Traceback" not in ran.err, (argv, env, ran.err)
    assert "u:p" not in ran.out + ran.err, (argv, env, ran)
    if not (place / "vllm").is_dir():
        shutil.copytree(place.parent / "vllm", place / "vllm")


@pytest.fixture(scope="module")
def every(drivers: Drivers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    """``drivers``, and those of a project of their own: it may change under ``port``."""
    own = make(tmp_path_factory.mktemp("project"))
    modules = {"cluster": "kvroles.migrate.cluster.command", "verify": "verify", "port": "port"}
    made = {name: Driver(own.root / "tools", tmp_path_factory.mktemp(name), module) for name, module in modules.items()}
    yield {**drivers, **{name: driver.run for name, driver in made.items()}}
    for driver in made.values():
        driver.close()


def figures_of(count: int) -> settings:
    """As many examples, the same in every run; ``KV_ROLES_EXAMPLES`` asks for another number of others (``--hypothesis-seed``)."""
    asked = os.environ.get("KV_ROLES_EXAMPLES")
    return settings(
        max_examples=int(asked or count),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=asked is None,
        database=None,
    )


@figures_of(60)
@given(st.data())
@pytest.mark.parametrize("tool", list(_OPTIONS))
def test_no_command_line_ends_in_a_traceback(tool: str, every: Drivers, place: Path, data: st.DataObject) -> None:
    ends_in_words(tool, data.draw(commands(tool)), data.draw(_ENVIRONMENT), every, place)


@pytest.mark.sweep
@figures_of(200)
@given(st.data())
@pytest.mark.parametrize("tool", list(_OPTIONS))
def test_no_random_command_line_ends_in_a_traceback(
    tool: str, every: Drivers, place: Path, data: st.DataObject
) -> None:
    ends_in_words(tool, data.draw(commands(tool)), data.draw(_ENVIRONMENT), every, place)


@pytest.mark.parametrize(
    ("tool", "argv"),
    [
        ("apply", ["--list", "--vllm-rev", ""]),
        ("apply", ["--upstream=", "--vllm-rev", "main"]),
        ("apply", ["--into", ""]),
        ("vendor", ["install", "--vllm-rev", ""]),
        ("migrate", ["--check", ""]),
        ("migrate", ["--check", "--", ""]),
        ("port", ["--keep", ""]),
        ("port", ["--export-upstream="]),
    ],
)
def test_a_variable_that_is_not_set_is_taken_for_an_option_that_nobody_gave(
    tool: str, argv: list[str], every: Drivers, place: Path
) -> None:
    """`--vllm-rev "$RELEASE"`: without the variable any release would do."""
    ran = every[tool](*argv, cwd=place)
    assert (ran.code, ran.out) == (2, "")
    assert "is empty; name a value or leave it out" in ran.said


@pytest.mark.slow
@pytest.mark.parametrize("tool", list(_OPTIONS))
def test_a_width_of_the_terminal_that_is_no_number_is_not_believed(tool: str, every: Drivers, place: Path) -> None:
    for width in ("9" * 5000, "-1", "\u00b2", "x"):
        ends_in_words(tool, [], {"COLUMNS": width, "LINES": width}, every, place)


@pytest.mark.slow
@pytest.mark.parametrize(
    "argv", [["apply.py", "--list"], ["apply.py", "--vllm-rev", "0.8.5"], ["migrate.py", "--check", "."]]
)
def test_a_user_who_looks_into_programs_sees_no_traceback_of_an_exit(
    argv: list[str], tiny: Tiny, tmp_path: Path
) -> None:
    """Python prints one of SystemExit where PYTHONINSPECT is set, and ends with 1 whatever the program said."""
    tools = tiny.root / "tools"
    run = [sys.executable, str(tools / argv[0]), *argv[1:]]
    plain, inspected = (
        subprocess.run(
            run, cwd=tmp_path, env={**os.environ, **more}, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        for more in ({}, {"PYTHONINSPECT": "1"})
    )
    assert (inspected.returncode, inspected.stdout, inspected.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert b"Traceback" not in inspected.stderr
