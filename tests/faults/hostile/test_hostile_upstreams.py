"""Whose a clone and a cache are, and what an address of a repository may answer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kvroles.errors import NoSource
from kvroles.sources import address, clone, git, upstream
from support.advice import commands
from support.clones import Making, in_, nothing_left, right, set_everything
from support.driver import Ran, script
from support.tiny import CONNECTOR, Tiny

pytestmark = pytest.mark.slow

Apply = Callable[..., Ran]


# Whose clone, whose cache.


def test_somebody_else_s_clone_is_not_trusted(making: Making, repository: Path, tiny: Tiny, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a folder to somebody else needs root")
    os.chown(repository, 4711, 4711)
    ran = making(repository).refused(4, "dubious ownership", f"git config --global --add safe.directory '{repository}'")
    assert "4711" in ran.said
    nothing_left(tmp_path)
    env = {"GIT_CONFIG_GLOBAL": str(tmp_path / "config")}
    (fix,) = commands(ran.err)
    subprocess.run(["sh", "-c", fix], env={**os.environ, **env}, check=True)
    making(repository, env=env).ok()
    right(tmp_path / "new", tiny)


def _listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def served(repository: Path, tmp_path: Path) -> Iterator[str]:
    """The repository at an address of the git protocol."""
    home = tmp_path / "served"
    home.mkdir()
    in_(repository, "clone", "-q", "--bare", ".", str(home / "vllm.git"))
    in_(home / "vllm.git", "config", "uploadpack.allowAnySHA1InWant", "true")
    in_(home / "vllm.git", "config", "uploadpack.allowFilter", "true")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        "git",
        "daemon",
        "--export-all",
        f"--base-path={home}",
        "--listen=127.0.0.1",
        f"--port={port}",
        "--reuseaddr",
    ]
    daemon = subprocess.Popen([*command, "--verbose"], stderr=open(tmp_path / "asked", "wb"))  # noqa: SIM115
    while not _listens(port):  # however long a busy machine takes
        assert daemon.poll() is None, (tmp_path / "asked").read_text()
        time.sleep(0.01)
    yield f"git://127.0.0.1:{port}/vllm.git"
    daemon.terminate()
    daemon.wait()


def test_a_planted_repository_in_a_cache_runs_no_command(
    making: Making, repository: Path, served: str, tiny: Tiny, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    making(served, online=True).ok()
    shutil.rmtree(tmp_path / "new")
    kept = next((tmp_path / "cache/upstream").iterdir())
    for name in (kept.name, kept.with_suffix(".git").name):
        planted = kept.with_name(name)
        in_(repository, "clone", "-q", ".", str(tmp_path / "planted"))
        set_everything(tmp_path / "planted", canary)
        shutil.copytree(tmp_path / "planted/.git", planted, dirs_exist_ok=True)
        shutil.rmtree(tmp_path / "planted")
    making(served, online=True).ok()
    assert not canary.exists()
    right(tmp_path / "new", tiny)


def test_a_planted_repository_in_a_cache_leads_to_no_other_address(
    making: Making, repository: Path, served: str, tiny: Tiny, tmp_path: Path
) -> None:
    making(served, online=True).ok()
    shutil.rmtree(tmp_path / "new")
    evil = tmp_path / "evil"
    in_(repository, "clone", "-q", ".", str(evil))
    (evil / "README.md").write_text("evil\n")
    in_(evil, "commit", "-qam", "evil")
    in_(evil, "tag", "-f", "v0.22.1")
    in_(evil, "config", f"url.{evil}.insteadOf", served)
    kept = next((tmp_path / "cache/upstream").iterdir())
    for name in (kept.name, kept.with_suffix(".git").name):
        shutil.copytree(evil / ".git", kept.with_name(name), dirs_exist_ok=True)
    making(served, online=True).ok()
    right(tmp_path / "new", tiny)


def test_an_address_is_fetched_once_and_served_offline_by_its_commit(
    making: Making, repository: Path, served: str, tiny: Tiny, tmp_path: Path
) -> None:
    making(served, online=True).ok()
    shutil.rmtree(tmp_path / "new")
    making(served, rev=in_(repository, "rev-parse", "HEAD")).ok()
    right(tmp_path / "new", tiny)


def test_a_failed_fetch_leaves_no_repository_in_the_cache(making: Making, served: str, tmp_path: Path) -> None:
    making(served, rev="nosuch", online=True).refused(4, "could not be fetched")
    assert list((tmp_path / "cache/upstream").iterdir()) == []
    nothing_left(tmp_path)


def test_a_blobless_clone_is_fetched_in_one_request(
    making: Making, repository: Path, served: str, tiny: Tiny, tmp_path: Path
) -> None:
    partial = tmp_path / "partial"
    in_(repository, "clone", "-q", "--no-checkout", "--filter=blob:none", served, str(partial))
    before = (tmp_path / "asked").read_text().count("Request upload-pack")
    making(partial, online=True).ok()
    right(tmp_path / "new", tiny)
    assert (tmp_path / "asked").read_text().count("Request upload-pack") == before + 1
    shutil.rmtree(tmp_path / "new")
    making(partial).refused(4, "lacks", "could not be fetched", "--filter=blob:limit")
    nothing_left(tmp_path)


def test_a_partial_clone_of_a_clone_here_is_read_from_that(
    making: Making, repository: Path, tiny: Tiny, tmp_path: Path
) -> None:
    in_(repository, "config", "uploadpack.allowFilter", "true")
    in_(
        repository,
        "clone",
        "-q",
        "--no-checkout",
        "--filter=blob:none",
        f"file://{repository}",
        str(tmp_path / "partial"),
    )
    making(tmp_path / "partial").ok()
    right(tmp_path / "new", tiny)


def test_the_user_s_own_mirror_is_used(making: Making, served: str, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f'[url "{served}"]\n\tinsteadOf = https://git.invalid/vllm\n')
    making("https://git.invalid/vllm", online=True, env={"GIT_CONFIG_GLOBAL": str(tmp_path / "config")}).ok()
    right(tmp_path / "new", tiny)


def test_no_credential_reaches_a_process_list_or_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("git")
    fake = tmp_path / "bin/git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/lines"\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    for user in ("me:s3cret@", "s3cret@", "s3cret:x@"):
        with pytest.raises(NoSource) as e:
            upstream.find(f"http://{user}127.0.0.1:{port}/x", "main", tmp_path / "cache")
        assert "s3cret" not in str(e.value)
        assert "127.0.0.1" in str(e.value)
    assert "fetch" in (tmp_path / "lines").read_text()
    assert "s3cret" not in (tmp_path / "lines").read_text()


@pytest.mark.parametrize(
    "url",
    [
        "HTTPS://u:s3cret@",
        "u:s3cret@host:path",
        "https:/u:s3cret@host/x",
        "https://u:s3/cret@host/x",
        "u:s3cret@host",
        "https://host/x?token=s3cret",
        "ext::sh -c 's3cret'",
        "ftp://u:s3cret@h/x",
        "https://u:s3cret@h:0/x",
        "https://u:s3cret@h /x",
        "-s3cret@h:x",
        "file://u:s3cret@h/x",
    ],
)
def test_an_address_that_is_none_keeps_its_password(tiny: Tiny, tmp_path: Path, url: str) -> None:
    ran = script(tiny.apply, f"--upstream={url}", "--vllm-rev=main", cwd=tmp_path)
    assert ran.code in (2, 4)
    assert "Traceback" not in ran.err
    assert "s3" not in ran.out + ran.err.replace("user's", "")
    assert "cret" not in ran.out + ran.err
    assert address.of_repository(url) is None


def test_a_git_of_the_current_folder_is_not_run(repository: Path, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "git").write_text(f"#!/bin/sh\ntouch '{tmp_path}/canary'\n")
    (tmp_path / "git").chmod(0o755)
    env = {**os.environ, "PATH": f":.:{os.environ['PATH']}"}
    argv = ("--upstream", repository, "--vllm-rev", "v0.22.1", "--output", "new")
    script(tiny.apply, *argv, cwd=tmp_path, env=env).ok()
    assert not (tmp_path / "canary").exists()
    assert clone.at(repository).private == repository / ".git"


@pytest.mark.parametrize("way", ["named", "named in turn", "in a circle", "in quotes"])
def test_a_pipe_among_the_objects_that_a_clone_borrows_is_waited_for_without_end(
    making: Making, repository: Path, tmp_path: Path, way: str
) -> None:
    lent, between = tmp_path / "lent", tmp_path / "between"
    id_ = in_(repository, "rev-parse", f"HEAD:{CONNECTOR}")
    own = repository / ".git/objects"
    (own / id_[:2] / id_[2:]).unlink()
    for folder in (lent / id_[:2], lent / "info", between / "info"):
        folder.mkdir(parents=True)
    os.mkfifo(lent / id_[:2] / id_[2:])
    (between / "info/alternates").write_text(f"# a note\n{lent}\n")
    if way == "in a circle":
        (lent / "info/alternates").write_text(f"{between}\n")
    named = {"named": f"{lent}", "in quotes": f'"{lent}"'}.get(way, os.path.relpath(between, own))
    (own / "info/alternates").write_text(f"{named}\n")
    making(repository).refused(4, "in quotes" if way == "in quotes" else "is a device or a pipe")
    nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["SUDO_UID", "GIT_CONFIG_COUNT"])
@pytest.mark.parametrize("value", ["9" * 5000, "\u00b2", "-1", "x"])
def test_a_number_of_the_environment_that_is_none_is_no_traceback(
    repository: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert clone.at(repository).objects.is_dir()
    git.need_git()
    git.fetching({})


def test_a_tag_of_a_thousand_digits_is_no_traceback(repository: Path) -> None:
    with (repository / ".git/packed-refs").open("a") as f:
        f.write(f"{'0' * 40} refs/tags/v0.22.{'9' * 5000}\n")
    assert len(clone.at(repository).tags_like("0.22.7")) > 0
