"""What a user names as an input, or has around: a pipe, a device, a neighbour's file, no home. Nothing is waited for, read without
end, or deleted that is not ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kvroles import places
from kvroles.errors import UsageError
from kvroles.migrate import cli
from kvroles.migrate.files import rewrite
from kvroles.sources import address, credentials
from support.files import put_odd

pytestmark = pytest.mark.slow

TOOLS = Path(__file__).resolve().parents[3] / "tools"


@pytest.mark.parametrize("write", [[], ["--write-baseline"]], ids=["read", "written"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "sparse file of a terabyte", "loop"])
def test_something_else_in_place_of_a_baseline_is_not_read_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], kind: str, write: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("kv_role: kv_both\n")
    baseline = tmp_path / "baseline"
    if kind == "sparse file of a terabyte":
        with baseline.open("wb") as f:
            f.truncate(1 << 40)
    else:
        put_odd(baseline, kind)
    assert cli.main(["--baseline", "baseline", *write, "x.yaml"]) == 2
    assert "no regular file" in capfd.readouterr().err


def test_no_file_beside_a_new_baseline_is_deleted(tmp_path: Path) -> None:
    for name in (f"b.{os.getpid()}", "b.tmp", "b~"):
        (tmp_path / name).write_bytes(b"mine")
    rewrite.create(str(tmp_path / "b"), b"new")
    assert {p.name for p in tmp_path.iterdir()} == {f"b.{os.getpid()}", "b.tmp", "b~", "b"}
    assert (tmp_path / f"b.{os.getpid()}").read_bytes() == b"mine"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_no_exit_code_of_a_command_that_starts_again(tmp_path: Path, closed: str) -> None:
    command = f"'{sys.executable}' '{TOOLS / 'vendor.py'}' verify --site-packages '{tmp_path}' {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_something_else_in_place_of_netrc_is_not_read_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file = tmp_path / "netrc"
    put_odd(file, kind)
    monkeypatch.setenv("NETRC", str(file))
    asked = address.parsed("http://host.invalid/", ("http",))
    assert asked is not None
    assert credentials.authorization(asked) is None


def test_a_user_without_a_home_gets_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("nobody")))
    with pytest.raises(UsageError, match="no home folder"):
        places.default_cache_dir()
