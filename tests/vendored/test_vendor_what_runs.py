"""``verify`` and ``install`` speak of the vLLM that runs: every byte of it, and what Python makes of it as it will be run."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.vendored.installed import search, shadow
from kvroles.vendored.installed.interpreter import Interpreter
from support import wheels
from support.advice import commands, pasted
from support.driver import Ran
from support.files import put, put_odd, snapshot
from support.tiny import CONNECTOR, Tiny

pytestmark = pytest.mark.slow

Vendor = Callable[..., Ran]
WORKER = CONNECTOR.replace("connector.py", "worker.py")
INFO = "vllm-0.22.1.dist-info"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return wheels.with_worker(tmp_path / "in")


def python(site: Path) -> Path:
    return site.parents[2] / "bin" / "python"


def overlay(folder: Path, wheel: Path) -> Path:
    """An unpatched copy of the package at ``folder``, with its RECORD, as 'pip install --target' leaves it."""
    shutil.copytree(wheels.installed(folder.with_name("other"), wheel), folder)
    return folder


# What Python imports as it will run.


def test_a_copy_on_pythonpath_is_the_vllm_that_is_spoken_of(
    vendor: Vendor, patched: Path, wheel: Path, tmp_path: Path, tiny: Tiny
) -> None:
    first = overlay(tmp_path / "overlay", wheel)
    env = {"PYTHONPATH": str(first)}
    ask = ("--python", python(patched))
    vendor("verify", *ask, env=env).refused(3, str(first), "never patched")
    vendor("install", *ask, env=env).ok()
    assert (first / CONNECTOR).read_bytes() == tiny.applied()[CONNECTOR]
    assert str(first) in vendor("verify", *ask, env=env).ok().out
    assert str(patched) in vendor("verify", *ask, "--isolated", env=env).ok().out


def test_a_named_folder_that_another_shadows_is_refused(
    vendor: Vendor, site: Path, patched: Path, wheel: Path, tmp_path: Path
) -> None:
    first = overlay(tmp_path / "overlay", wheel)
    for how in ({"env": {"PYTHONPATH": str(first)}}, {"more": ("--env", f"PYTHONPATH={first}")}):
        ran = vendor("verify", "--site-packages", patched, *how.get("more", ()), env=how.get("env"))
        ran.refused(3, f"{first}/vllm/__init__.py", "PYTHONPATH puts it first", "`env -u PYTHONPATH ")
    vendor("verify", "--site-packages", patched, "--isolated", env={"PYTHONPATH": str(first)}).ok()


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_start_up_code_without_an_end_is_not_waited_for(vendor: Vendor, site: Path, kind: str) -> None:
    pth = site / "zz.pth"
    put_odd(pth, kind)
    ran = vendor("install", "--python", python(site))
    (command,) = commands(ran.refused(3, "cannot be started", str(pth)).said)
    pasted(command, site)
    vendor("install", "--python", python(site)).ok()


def test_a_copy_without_record_that_comes_first_on_the_path_is_named_and_not_patched(
    vendor: Vendor, site: Path, wheel: Path, tmp_path: Path
) -> None:
    first = overlay(tmp_path / "overlay", wheel)
    shutil.rmtree(first / INFO)
    before = snapshot(tmp_path)
    ran = vendor("install", "--python", python(site), env={"PYTHONPATH": str(first)})
    ran.refused(1, str(first), "no distribution there lists it", "--part runtime")
    assert snapshot(tmp_path) == before


def test_the_working_directory_is_looked_at(vendor: Vendor, patched: Path, tmp_path: Path) -> None:
    folder = put(tmp_path / "work space", {"vllm/__init__.py": b""})
    ask = ("verify", "--site-packages", patched)
    vendor(*ask, cwd=folder).refused(3, f"{folder}/vllm/__init__.py", "the working directory puts it first")
    vendor(*ask, "--workdir", folder).refused(3, f"{folder}/vllm/__init__.py", "the working directory")
    vendor(*ask, cwd=folder, env={"PYTHONSAFEPATH": "1"}).ok()
    vendor(*ask, "--workdir", tmp_path / "nowhere").refused(2, "--workdir", "is not a folder")


@pytest.mark.parametrize("where", ["a .pth", "sitecustomize", "a finder"])
def test_what_start_up_code_puts_first_is_seen_when_python_is_asked(
    vendor: Vendor, patched: Path, wheel: Path, tmp_path: Path, where: str
) -> None:
    first = overlay(tmp_path / "overlay", wheel)
    insert = f"import sys; sys.path.insert(0, {str(first)!r})\n".encode()
    finder = (
        "import sys, importlib.util\n"
        "class F:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {CONNECTOR[:-3].replace('/', '.')!r}:\n"
        f"            return importlib.util.spec_from_file_location(name, {str(first / CONNECTOR)!r})\n"
        "sys.meta_path.insert(0, F())\n"
    ).encode()
    put(patched, {"a .pth": {"zz.pth": insert}, "sitecustomize": {"sitecustomize.py": insert},
                  "a finder": {"finder.py": finder, "zz.pth": b"import finder\n"}}[where])  # fmt: skip
    ask = ("verify", "--python", python(patched))
    vendor(*ask).refused(3, str(first), "run as vLLM will be")
    start, *_ = json.loads(_isolated_less(vendor, patched, first, where).out)["read"]["startup_code"]
    assert (Path(start["path"]).parent, start["vouched_for_by"]) == (patched, None)


def _isolated_less(vendor: Vendor, patched: Path, first: Path, where: str) -> Ran:
    """The same start-up code, of which nothing is left to shadow: it is listed all the same."""
    shutil.rmtree(first)
    if where == "a finder":
        put(patched, {"finder.py": b""})
    return vendor("verify", "--python", python(patched), "--json").ok()


def test_an_entry_point_that_sets_the_path_is_asked_through(
    vendor: Vendor, patched: Path, wheel: Path, tmp_path: Path
) -> None:
    first = overlay(tmp_path / "overlay", wheel)
    entry = put(tmp_path, {"entry point.sh": f'#!/bin/sh\nexport PYTHONPATH={first}\nexec "$@"\n'.encode()})
    (entry / "entry point.sh").chmod(0o755)
    through = shlex.quote(str(entry / "entry point.sh"))
    vendor("verify", "--site-packages", patched, "--through", through).refused(3, str(first), "run as vLLM will be")
    vendor("verify", "--site-packages", patched, "--through", "'").refused(2, "is not a command")


def test_the_command_vllm_that_another_interpreter_runs_is_seen(
    vendor: Vendor, patched: Path, wheel: Path, tmp_path: Path, tiny: Tiny
) -> None:
    other = wheels.installed(tmp_path / "second", wheel)
    env = {"PATH": f"{other.parents[2] / 'bin'}:{os.environ['PATH']}"}
    command = [python(patched), "-I", tiny.root / "tools" / "vendor.py", "verify"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, cwd=tmp_path)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    ran.refused(3, "The command vllm is run by", str(other), "--python")
    named = commands(ran.said)[-1]
    done = subprocess.run(["bash", "-c", named], capture_output=True, text=True, cwd=tmp_path)
    Ran(done.returncode, done.stdout, done.stderr).refused(3, str(other), "never patched")


def test_the_users_packages_come_before_the_systems(tmp_path: Path) -> None:
    """site.main: the user's folder is added before the system's; a virtual environment's before both."""
    for name in ("user", "system", "venv"):
        put(tmp_path / name, {"vllm/__init__.py": b""})

    def first(*, venv: bool, **env: str) -> str:
        sites = ((str(tmp_path / "venv"),),) if venv else ()
        facts = Interpreter(
            Path(sys.executable), (3, 11), "cpython-311", (".so",), (), venv, (*sites, (str(tmp_path / "system"),)),
            str(tmp_path / "user"),
        )  # fmt: skip
        found = search.of(facts, search.Run(env, tmp_path)).first()
        assert found is not None
        return found[0].path.name

    assert first(venv=False) == "user"
    assert first(venv=False, PYTHONNOUSERSITE="1") == "system"
    assert first(venv=True) == "venv"


def test_reading_starts_without_the_start_up_code_of_what_is_read(patched: Path, tiny: Tiny, tmp_path: Path) -> None:
    """A .pth that replaces hashlib would answer for every byte; the reader never runs it."""
    put(
        patched,
        {"zz.pth": f"import os; open({str(tmp_path / 'ran')!r}, 'a').write(str(os.getpid()) + '\\n')\n".encode()},
    )
    put(patched, {WORKER: b"import os\n"})
    done = subprocess.run(
        [python(patched), "-I", "-S", tiny.root / "tools" / "vendor.py", "verify", "--json"], capture_output=True, text=True,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(set((tmp_path / "ran").read_text().split())) == 2, "asked once, constructed once"
    (tmp_path / "ran").unlink()
    started = subprocess.run(
        [python(patched), tiny.root / "tools" / "vendor.py", "verify", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert started.stdout == done.stdout
    assert len(set((tmp_path / "ran").read_text().split())) == 3, "the start itself, before it starts again without"


# Every byte.


def test_all_that_record_names_and_all_beside_it_is_read_and_counted(vendor: Vendor, patched: Path) -> None:
    ran = vendor("verify", "--site-packages", patched, "--json").ok()
    told = json.loads(ran.out)
    files = [
        p for folder in ("vllm", INFO) for p in (patched / folder).rglob("*") if p.is_file() and p.suffix != ".pyc"
    ]
    assert told["did"] == "verified"
    assert told["read"]["files"] == told["read"]["as_recorded"] == len(files) + 1  # and the command in bin
    compiled = list((patched / "vllm").rglob("*.pyc"))
    assert told["read"]["bytecode"] == {"as_compiled": len(compiled), "unused": 0, "of_another_python": 0}
    assert told["changed_by_others"] == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({WORKER: b"class NixlConnectorWorker:\n    pass\nimport os\n"}, f"{WORKER} is not what RECORD says"),
        ({"vllm/extra.py": b""}, "vllm/extra.py is not in RECORD"),
        ({"vllm/extra.pyc": b"x"}, "vllm/extra.pyc is not in RECORD"),
        ({f"{INFO}/entry_points.txt": b""}, f"{INFO}/entry_points.txt is not what RECORD says"),
        ({"planted.pth": b"import os\n"}, "planted.pth (.pth) is code that runs before vLLM"),
        ({"sitecustomize.py": b""}, "sitecustomize.py (sitecustomize) is code that runs before vLLM"),
    ],
)
def test_what_others_changed_is_listed_under_another_word(
    vendor: Vendor, patched: Path, files: dict[str, bytes], said: str
) -> None:
    put(patched, files)
    ran = vendor("verify", "--site-packages", patched).ok()
    assert ": patch proven, patched in place" in ran.out
    assert said in ran.out
    vendor("verify", "--site-packages", patched, "--strict").refused(3, "--strict refuses that", said)


def test_start_up_code_of_an_installed_distribution_is_listed_and_vouched_for(vendor: Vendor, patched: Path) -> None:
    line = {"tool.pth": b"import os\n"}
    put(patched, {**line, "tool-1.0.dist-info/RECORD": wheels.record(line, "tool-1.0.dist-info/RECORD")})
    put(patched, {"tool-1.0.dist-info/METADATA": b"Name: tool\nVersion: 1.0\n"})
    ran = vendor("verify", "--site-packages", patched, "--strict").ok()
    assert "tool.pth (tool-1.0)" in ran.out
    assert ": verified, " in ran.out


@pytest.mark.parametrize("name", ["connector/__init__.py", f"connector{importlib.machinery.EXTENSION_SUFFIXES[0]}"])
@pytest.mark.parametrize("of", [CONNECTOR, WORKER])
def test_a_file_that_python_prefers_to_a_module_is_refused(vendor: Vendor, patched: Path, name: str, of: str) -> None:
    shadow = of.replace("connector.py" if of == CONNECTOR else "worker.py", name)
    if of == WORKER:
        shadow = shadow.replace("connector/__init__", "worker/__init__").replace("/connector.c", "/worker.c")
    put(patched, {shadow: (patched / of).read_bytes()})
    vendor("verify", "--site-packages", patched).refused(3, f"would import {patched / shadow} in place of {of}")


@pytest.mark.parametrize("how", ["timestamp", "unchecked", "checked"])
@pytest.mark.parametrize("of", [CONNECTOR, WORKER])
def test_bytecode_of_another_source_that_python_would_run_is_refused(
    vendor: Vendor, patched: Path, tmp_path: Path, how: str, of: str
) -> None:
    source = patched / of
    pyc = Path(importlib.util.cache_from_source(str(source)))
    pyc.unlink(missing_ok=True)
    evil = put(tmp_path, {"evil.py": source.read_bytes() + b"import os\n"}) / "evil.py"
    mode = {"timestamp": py_compile.PycInvalidationMode.TIMESTAMP, "unchecked": py_compile.PycInvalidationMode.UNCHECKED_HASH,
            "checked": py_compile.PycInvalidationMode.CHECKED_HASH}[how]  # fmt: skip
    py_compile.compile(str(evil), cfile=str(pyc), invalidation_mode=mode)
    data = bytearray(pyc.read_bytes())
    st = source.stat()
    if how == "timestamp":
        data[8:16] = int(st.st_mtime).to_bytes(4, "little") + st.st_size.to_bytes(4, "little")
    elif how == "checked":
        data[8:16] = importlib.util.source_hash(source.read_bytes())
    pyc.write_bytes(data)
    ran = vendor("verify", "--site-packages", patched)
    ran.refused(3, str(pyc), "is not what its source compiles to", f"`rm -- {pyc}`")
    subprocess.run(["bash", "-c", commands(ran.said)[-1]], check=True)
    vendor("verify", "--site-packages", patched).ok()


def test_bytecode_kept_elsewhere_is_compared_too(vendor: Vendor, patched: Path, tmp_path: Path) -> None:
    source = patched / CONNECTOR
    evil = put(tmp_path, {"evil.py": b"import os\n"}) / "evil.py"
    cache = tmp_path / "cache" / str(source.parent).lstrip("/") / f"connector.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(str(evil), cfile=str(cache), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    env = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}
    vendor("verify", "--site-packages", patched, env=env).refused(3, str(cache), "is not what its source compiles to")
    vendor("verify", "--site-packages", patched).ok()


# Construction.


def test_construction_can_be_required(vendor: Vendor, patched: Path) -> None:
    ask = ("verify", "--site-packages", patched, "--require-construction")
    assert ": verified, " in vendor(*ask).ok().out
    put(patched, {"vllm/config/__init__.py": b"import a_module_that_is_not_there\n"})
    vendor(*ask).refused(3, "was not constructed", "a_module_that_is_not_there")


def test_install_can_require_it_before_a_byte_is_written(vendor: Vendor, site: Path) -> None:
    config = (site / "vllm/config/__init__.py").read_bytes()
    put(site, {"vllm/config/__init__.py": b"import a_module_that_is_not_there\n"})
    before = snapshot(site)
    ask = ("install", "--site-packages", site, "--require-construction")
    vendor(*ask).refused(3, "was not constructed", "nothing was changed")
    assert snapshot(site) == before
    put(site, {"vllm/config/__init__.py": config})
    assert "connector constructed in every role" in vendor(*ask).ok().out
    receipt = json.loads((site / INFO / "kv-roles/receipt.json").read_bytes())
    assert receipt["construction"] == "constructed in every role"


def test_a_construction_that_loads_other_files_is_refused(vendor: Vendor, patched: Path, tmp_path: Path) -> None:
    put(tmp_path, {"other.py": b"class KVConnectorRole:\n    SCHEDULER = 1\n"})
    base = patched / "vllm/distributed/kv_transfer/kv_connector/v1/base.py"
    base.write_bytes(
        b"import sys, importlib.util\n"
        b"s = importlib.util.spec_from_file_location('vllm.other', '%s')\n"
        b"m = sys.modules['vllm.other'] = importlib.util.module_from_spec(s)\ns.loader.exec_module(m)\n"
        b"KVConnectorRole = m.KVConnectorRole\n" % str(tmp_path / "other.py").encode()
    )
    vendor("verify", "--site-packages", patched).refused(3, "Python imported vllm.other from", "no file of it")


@pytest.mark.parametrize("where", ["user", "library"])
def test_a_copy_in_a_folder_of_the_interpreters_has_a_way_out_that_blames_no_one_else(
    tmp_path: Path, where: str
) -> None:
    """Start-up code that nobody vouches for lies beside it, and is not what puts it first."""
    for name in ("user", "library", "system"):
        put(tmp_path / name, {"vllm/__init__.py": b""} if name in (where, "system") else {"x.py": b""})
    put(tmp_path / "system", {"other.pth": b"import os\n"})
    facts = Interpreter(
        Path(sys.executable), (3, 11), "cpython-311", (".so",), (str(tmp_path / "library"),), False,
        ((str(tmp_path / "system"),),), str(tmp_path / "user"),
    )  # fmt: skip
    found = search.of(facts, search.Run({}, put(tmp_path / "work", {"x": b""})))
    place, file = found.first() or pytest.fail("nothing was found")
    assert (place.path.name, [s.path.name for s in found.startup]) == (where, ["other.pth"])
    way = shadow.way_out(found, file, "verify")
    assert ("`PYTHONNOUSERSITE=1 " if where == "user" else f"`rm -r -- {tmp_path / 'library/vllm'}`") in way
