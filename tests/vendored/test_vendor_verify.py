"""``vendor.py verify``: the last word on an installation, from its bytes and from a construction of its connector."""

from __future__ import annotations

import importlib.util
import json
import py_compile
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import wheels
from support.driver import Ran
from support.files import put, snapshot
from support.tiny import CONNECTOR

Vendor = Callable[..., Ran]
INFO = "vllm-0.22.1.dist-info"


def test_a_patched_installation_is_proven_and_its_connector_constructed(vendor: Vendor, patched: Path) -> None:
    before = snapshot(patched.parents[2])
    told = json.loads(vendor("verify", "--site-packages", patched, "--json").ok().out)
    assert told["how"] == "install"
    assert told["construction"] == {
        "warned": {"kv_producer": 0, "kv_consumer": 0, "kv_both": 1},
        "unchecked": None,
    }
    assert snapshot(patched.parents[2]) == before


def test_a_vendored_wheel_is_proven(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out").ok()
    site = wheels.installed(tmp_path / "vendored", next((tmp_path / "out").glob("*.whl")))
    told = json.loads(vendor("verify", "--site-packages", site, "--json").ok().out)
    assert (told["how"], told["version"]) == ("wheel", "0.22.1+kvroles.1")
    assert told["construction"]["warned"]["kv_both"] == 1


def test_a_native_release_is_proven_without_a_receipt(vendor: Vendor, tmp_path: Path) -> None:
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in", "0.33.0"))
    told = json.loads(vendor("verify", "--site-packages", site, "--json").ok().out)
    assert (told["how"], told["construction"]["warned"]["kv_both"]) == ("native", 1)


def test_reinstalling_over_the_patch_is_seen(vendor: Vendor, patched: Path, tmp_path: Path) -> None:
    fresh = wheels.installed(tmp_path / "again", wheels.make(tmp_path / "in"))
    put(patched, {CONNECTOR: (fresh / CONNECTOR).read_bytes()})
    vendor("verify", "--site-packages", patched).refused(3, CONNECTOR, "ships it", "its receipt says it is patched")
    vendor("verify", "--site-packages", fresh).refused(3, CONNECTOR, "reinstalled over the patch")


def _receipt(site: Path, change: Callable[[dict[str, object]], None]) -> None:
    path = site / INFO / "kv-roles/receipt.json"
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))


def _no_receipt(site: Path) -> None:
    (site / INFO / "kv-roles/receipt.json").unlink()


def _edited(site: Path) -> None:
    with (site / CONNECTOR).open("ab") as f:
        f.write(b"# more\n")


def _record(site: Path) -> None:
    path = site / INFO / "RECORD"
    path.write_bytes(re.sub(rb"(nixl/connector.py,sha256=)[^,]{8}", rb"\1AAAAAAAA", path.read_bytes(), count=1))


def _stale_bytecode(site: Path) -> None:
    source = site / "other.py"
    source.write_bytes(b"x = 1\n")
    py_compile.compile(
        str(source),
        cfile=importlib.util.cache_from_source(str(site / CONNECTOR)),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _mute_logger(site: Path) -> None:
    put(site, {"vllm/logger.py": wheels.package("0.22.1")["vllm/logger.py"].replace(b"self.warning(text)", b"pass")})


def _noisy_logger(site: Path) -> None:
    put(site, {"vllm/logger.py": b"import logging\nclass L(logging.Logger):\n    def warning_once(self, t):\n"
               b"        self.warning(t); self.warning(t)\ninit_logger = L\n"})  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "phrases"),
    [
        (_no_receipt, ["is patched, but there is no receipt"]),
        (_edited, [CONNECTOR, "is edited"]),
        (_record, ["RECORD", CONNECTOR, "disagree"]),
        (lambda s: _receipt(s, lambda r: r.update(files={})), ["leaves out what was patched"]),
        (lambda s: _receipt(s, lambda r: r.update(release="0.9.0")), ["about another release"]),
        (lambda s: _receipt(s, lambda r: r.update(schema=9)), ["receipt", "is damaged"]),
        (lambda s: _receipt(s, lambda r: r.update(distribution="x")), ["receipt.json", "disagree"]),
        (_stale_bytecode, ["connector.cpython", "is not what its source compiles to"]),
        (_mute_logger, ["constructed with kv_both it logged the deprecation 0 times"]),
        (_noisy_logger, ["constructed with kv_both it logged the deprecation 2 times"]),
    ],
)
def test_verify_sees_a_damaged_file_receipt_bytecode_or_warning(
    vendor: Vendor, patched: Path, damage: Callable[[Path], None], phrases: list[str]
) -> None:
    damage(patched)
    before = snapshot(patched)
    vendor("verify", "--site-packages", patched).refused(3, *phrases)
    assert snapshot(patched) == before


def test_where_vllm_does_not_import_the_construction_is_said_to_be_unchecked(vendor: Vendor, patched: Path) -> None:
    (patched / "vllm/config/__init__.py").unlink()
    put(patched, {"vllm/config/__init__.py": b"import a_module_that_is_not_there\n"})
    ran = vendor("verify", "--site-packages", patched).ok()
    assert ": patch proven, patched in place" in ran.out
    assert "construction  not checked: vLLM does not import here (ModuleNotFoundError" in ran.out


def test_no_vllm_is_no_source(vendor: Vendor, tmp_path: Path) -> None:
    vendor("verify", "--site-packages", wheels.environment(tmp_path / "empty")).refused(4, "There is no vLLM")
    vendor("verify", "--python", tmp_path / "nothing").refused(2, "is not an interpreter")
    (tmp_path / "sh").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "sh").chmod(0o755)
    vendor("verify", "--python", tmp_path / "sh").refused(2, "does not run as a Python interpreter")


def test_the_running_interpreter_is_the_default(vendor: Vendor) -> None:
    vendor("verify").refused(4, sys.executable)


@pytest.mark.slow
def test_a_folder_outside_any_environment_is_run_by_the_interpreter_named(
    vendor: Vendor, patched: Path, tmp_path: Path
) -> None:
    folder = patched.rename(tmp_path / "packages")
    assert "no interpreter for these packages" in vendor("verify", "--site-packages", folder).ok().out
    told = vendor("verify", "--site-packages", folder, "--python", sys.executable).ok().out
    assert "kv_both: warns once" in told


def test_an_interpreter_may_be_named_from_here(vendor: Vendor, patched: Path) -> None:
    environment = patched.parents[2]
    told = vendor("verify", "--python", "bin/python", cwd=environment).ok().out
    assert "kv_both: warns once" in told


def test_an_import_that_ends_the_interpreter_is_said_to_be_unchecked(vendor: Vendor, patched: Path) -> None:
    put(
        patched, {"vllm/config/__init__.py": b"import os, sys\nprint('no such device', file=sys.stderr)\nos._exit(9)\n"}
    )
    told = vendor("verify", "--site-packages", patched).ok().out
    assert "construction  not checked: the import of vLLM ended with code 9: no such device" in told


@pytest.mark.parametrize("program", ["_CENSUS", "_BYTECODE"])
def test_the_programs_that_the_benchmark_times_run(site: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.syspath_prepend(root / "bench")
    text = runpy.run_path(str(root / "bench/vendor.py"))[program]
    subprocess.run([sys.executable, "-I", "-S", "-c", text, str(root / "tools"), str(site)], check=True)
