"""A wheel, an image or a vendored environment made by somebody else: what is checked is what is used, and nothing in it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.digest import sha256
from kvroles.errors import Unproven
from kvroles.series.lock import ArchiveRow
from kvroles.sources import cache
from kvroles.vendored.wheel import wheel as wheels_of
from support import oci, wheels
from support.driver import Ran, script
from support.files import put_odd
from support.tiny import CONNECTOR, Tiny

pytestmark = pytest.mark.slow

Vendor = Callable[..., Ran]


@pytest.fixture
def vendor(tiny: Tiny, tmp_path: Path) -> Vendor:
    def run(*argv: str | Path) -> Ran:
        return script(tiny.root / "tools" / "vendor.py", *argv, cwd=tmp_path)

    return run


def test_a_cached_wheel_swapped_after_its_hash_is_not_built(tiny: Tiny, tmp_path: Path) -> None:
    good = wheels.make(tmp_path / "good")
    evil = wheels.make(tmp_path / "evil", change={"vllm/config/__init__.py": b"evil = True\n"})
    row = ArchiveRow(good.name, sha256(good.read_bytes()), good.stat().st_size)
    (tmp_path / "cache/wheels").mkdir(parents=True)
    kept = tmp_path / "cache/wheels" / row.name
    kept.write_bytes(good.read_bytes())
    held = cache.archive_file(row, tmp_path / "cache", offline=True)
    os.replace(evil, kept)
    source = wheels_of.read(held.path, tiny.series(), tiny.lock(), "0.22.1", row, held.file)
    os.symlink("/dev/null", tmp_path / "link")
    os.replace(tmp_path / "link", kept)
    wheels_of.build(source, tmp_path / "built.whl", 1)
    assert b"evil" not in wheels.members(tmp_path / "built.whl")["vllm/config/__init__.py"]


def test_a_wheel_swapped_after_its_check_is_not_built(tiny: Tiny, tmp_path: Path) -> None:
    path = wheels.make(tmp_path / "in")
    evil = wheels.make(tmp_path / "evil", change={"vllm/config/__init__.py": b"evil = True\n"})
    source = wheels_of.read(path, tiny.series(), tiny.lock(), "0.22.1")
    os.replace(evil, path)
    wheels_of.build(source, tmp_path / "built.whl", 1)
    assert b"evil" not in wheels.members(tmp_path / "built.whl")["vllm/config/__init__.py"]


@pytest.mark.parametrize("hides", [False, True], ids=["openly", "times-set-back"])
def test_a_wheel_written_to_after_its_check_is_not_built(
    vendor: Vendor, tiny: Tiny, tmp_path: Path, hides: bool
) -> None:
    """Run again once nobody writes to it, as the refusal says, the wheel is built."""
    path = wheels.make(tmp_path / "in a folder")
    whole = path.read_bytes()
    source = wheels_of.read(path, tiny.series(), tiny.lock(), "0.22.1")
    st = path.stat()
    with path.open("r+b") as f:
        f.seek(st.st_size // 2)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 1]))
    if hides:
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    with pytest.raises(Unproven, match="written to while"):
        wheels_of.build(source, tmp_path / "built.whl", 1)
    assert not (tmp_path / "built.whl").exists()
    path.write_bytes(whole)
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", path, "--output", tmp_path / "out").ok()


@pytest.mark.parametrize("version", ["9" * 5000, f"0.22.1.post{'9' * 5000}", f"0.22.1+{'9' * 5000}", f"{'9' * 5000}!1"])
def test_a_version_of_thousands_of_digits_in_a_wheel_ends_in_a_traceback(
    vendor: Vendor, tmp_path: Path, version: str
) -> None:
    text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n\n".encode()
    path = wheels.make(tmp_path / "in", change={"{info}/METADATA": text})
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", path).refused(3, "gives two versions of itself")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_something_else_in_place_of_a_wheel_is_not_waited_for(vendor: Vendor, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "vllm-0.22.1-py3-none-any.whl"
    put_odd(path, kind)
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", path).refused(2, "path of a wheel")


@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
def test_something_else_in_place_of_an_image_s_base_is_not_waited_for(
    vendor: Vendor, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "base.tar"
    put_odd(path, kind)
    vendor("oci", "--vllm-rev", "0.22.1", "--base", path).refused(4)


def test_no_code_of_an_image_is_run_on_the_build_machine(vendor: Vendor, tmp_path: Path) -> None:
    """Start-up code, an interpreter, and a vllm that leave a mark when they run."""
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in"))
    mark = tmp_path / "ran"
    touch = f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n".encode()
    at = "usr/lib/python3/dist-packages"
    files = {
        **oci.folder(site, at),
        f"{at}/evil.pth": touch,
        f"{at}/sitecustomize.py": touch,
        "usr/bin/python3": b"#!/bin/sh\ntouch " + bytes(mark) + b"\n",
    }
    made = oci.Layout(tmp_path / "base")
    config = {"Env": ["PATH=/usr/bin", f"PYTHONSTARTUP=/{at}/sitecustomize.py"], "Entrypoint": ["/usr/bin/python3"]}
    base = made.name(made.image([oci.tar(files)], "amd64", config))
    told = vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--no-strict", "--json").ok().out
    assert json.loads(told)["platforms"][0]["read"]["startup_code"] == [f"/{at}/evil.pth", f"/{at}/sitecustomize.py"]
    assert not mark.exists()


def test_a_blob_linked_from_an_output_is_not_written_through(vendor: Vendor, tmp_path: Path) -> None:
    """Blobs are hard links to the base's: a second run over the output must not write into them."""
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in"))
    made = oci.Layout(tmp_path / "base")
    base = made.name(made.image([oci.tar(oci.folder(site, "opt/site-packages"))], "amd64", {}))
    before = {p.name: p.read_bytes() for p in (base / "blobs/sha256").iterdir()}
    for name in ("one", "two"):
        vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--no-strict", "--base-name", name).ok()
    assert {p.name: p.read_bytes() for p in (base / "blobs/sha256").iterdir()} == before


def test_names_in_an_image_put_nothing_into_a_terminal(vendor: Vendor, tmp_path: Path) -> None:
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in"))
    evil = "x\x1b[2J\n::error::y\u202e"
    files = {
        **oci.folder(site, "opt/site-packages"),
        f"opt/site-packages/vllm/{evil}.py": b"",
        f"opt/site-packages/{evil}.pth": b"import x",
    }
    made = oci.Layout(tmp_path / "base")
    base = made.name(made.image([oci.tar(files)], "amd64", {}))
    ran = vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--no-strict").ok()
    assert "changed by others" in ran.out
    assert "start-up code" in ran.out
    for bad in ("\x1b", "\n::error", "\u202e"):
        assert bad not in ran.out
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", "b").refused(1, "not as RECORD says")


def test_a_connector_in_an_image_that_is_a_link_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in"))
    files = oci.folder(site, "opt/site-packages")

    def linked(one: object) -> None:
        if getattr(one, "name", "").endswith(CONNECTOR):
            one.type, one.linkname, one.size = b"2", "/etc/passwd", 0  # type: ignore[attr-defined]

    made = oci.Layout(tmp_path / "base")
    base = made.name(made.image([oci.tar(files, linked)], "amd64", {}))
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--no-strict").refused(3, "is a link")


@pytest.mark.parametrize("name", ["METADATA", "direct_url.json", "RECORD", "INSTALLER"])
@pytest.mark.parametrize("kind", ["bytes", "escapes", "pipe", "device", "loop"])
def test_a_file_that_describes_an_installation_crashes_nothing_and_is_not_waited_for(
    vendor: Vendor, tmp_path: Path, name: str, kind: str
) -> None:
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in"))
    file = next(site.glob("vllm-*.dist-info")) / name
    file.unlink(missing_ok=True)
    if kind in ("pipe", "device", "loop"):
        put_odd(file, kind)
    else:
        file.write_bytes(
            b"Name: \xff\nVersion: \xfe\n\n" if kind == "bytes" else b"Name: vllm\x1b[2J\nVersion: ::error::x\n\n"
        )
    ran = vendor("verify", "--site-packages", site)
    assert ran.code in (0, 1, 3, 4), ran
    assert "Traceback" not in ran.err
    assert "\x1b" not in ran.out + ran.err
    assert not any(line.startswith("::") for line in (ran.out + ran.err).splitlines())
