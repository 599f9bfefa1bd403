"""``vendor.py oci``: which images are refused, and the way out that a refusal names."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import oci
from support.advice import commands
from support.driver import Ran
from support.files import contents
from support.tiny import CONNECTOR, Tiny

Vendor = Callable[..., Ran]


def test_packages_that_no_record_vouches_for_want_the_runtime_part(
    vendor: Vendor, files: oci.Files, tmp_path: Path
) -> None:
    """As llm-d's image has it: a source tree that an editable install points to."""
    editable = {
        p.replace(oci.AT, "opt/vllm-source"): d for p, d in files.items() if p == oci.AT or f"{oci.AT}/vllm/" in f"{p}/"
    }
    base = oci.layout(tmp_path / "base", {"opt": None} | editable)
    command = ("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "out")
    vendor(*command).refused(1, "No RECORD in /opt/vllm-source", "--part runtime")
    told = oci.said(vendor(*command, "--part", "runtime", "--json"))
    assert (told["platforms"][0]["did"], told["platforms"][0]["site_packages"]) == ("patched", "/opt/vllm-source")
    assert told["platforms"][0]["read"]["unvouched"] > 5


@pytest.mark.parametrize("env", ["PYTHONPATH=/opt/overlay", "PYTHONPATH=/x:/opt/overlay:/y"])
def test_another_vllm_that_python_would_find_first_is_named(
    vendor: Vendor, files: oci.Files, tmp_path: Path, env: str
) -> None:
    made = oci.Layout(tmp_path / "base")
    shadow: oci.Files = {"opt/overlay": None, "opt/overlay/vllm": None, "opt/overlay/vllm/__init__.py": b""}
    image = made.image([oci.tar({**files, **shadow})], "amd64", {**oci.SETTINGS, "Env": [env]})
    vendor("oci", "--vllm-rev", "0.22.1", "--base", made.name(image)).refused(
        3, "Python would import /opt/overlay/vllm/__init__.py", "PYTHONPATH"
    )


@pytest.mark.parametrize("name", ["vllm.py", "vllm.pyc", "vllm.abi3.so", "vllm/__init__.pyc", "vllm/__init__.py"])
def test_what_python_would_take_for_it_goes_by_the_line_that_is_printed(
    vendor: Vendor, files: oci.Files, tmp_path: Path, name: str
) -> None:
    """In the working directory; the line's path is what a further layer takes away."""
    folder = {"srv": None, "srv/vllm": None} if "/" in name else {"srv": None}
    config = {**oci.SETTINGS, "WorkingDir": "/srv"}
    image = oci.Layout(tmp_path / "base")
    base = image.name(image.image([oci.tar({**files, **folder, f"srv/{name}": b""})], "amd64", config))
    refused = vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(3, f"would import /srv/{name}", "directory")
    gone = re.findall(r"`RUN rm -r -- /(\S+?)`", refused.said)[0]
    clean = oci.Layout(tmp_path / "clean")
    layers = [oci.tar({**files, **folder, f"srv/{name}": b""}), oci.tar({"srv": None, f"srv/.wh.{gone[4:]}": b""})]
    command = ("oci", "--vllm-rev", "0.22.1", "--output", tmp_path / "out", "--base")
    vendor(*command, clean.name(clean.image(layers, "amd64", config))).ok()


def test_an_archive_on_the_path_is_said_to_be_unread(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    made = oci.Layout(tmp_path / "base")
    image = made.image([oci.tar({**files, "a.zip": b"PK"})], "amd64", {**oci.SETTINGS, "Env": ["PYTHONPATH=/a.zip"]})
    vendor("oci", "--vllm-rev", "0.22.1", "--base", made.name(image)).refused(3, "/a.zip", "not looked into")


def test_more_than_one_vllm_is_not_chosen_from(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    two = {p.replace("opt/venv", "opt/other"): d for p, d in files.items()}
    base = oci.layout(tmp_path / "base", {**files, **two})
    command = ("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "out")
    vendor(*command).refused(1, "more than one vLLM", "/opt/other", "/opt/venv", "--site-packages")
    told = oci.said(vendor(*command, "--site-packages", f"/{oci.AT}", "--json"))
    assert told["platforms"][0]["site_packages"] == f"/{oci.AT}"


def test_a_link_on_the_way_to_the_package_is_not_followed(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    def linked(one: tarfile.TarInfo) -> None:
        if one.name == "opt/venv":
            one.type, one.linkname = tarfile.SYMTYPE, "/usr"

    made = oci.Layout(tmp_path / "base")
    base = made.name(made.image([oci.tar(files, linked)], "amd64", oci.SETTINGS))
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(1, "/opt/venv", "is a link", "vendor.py image")


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _other(data: bytes) -> bytes:
    return gzip.compress(b"other" + gzip.decompress(data), mtime=0)


@pytest.mark.parametrize(("spoil", "named"), [(_cut, ""), (_other, ""), (_cut, "new"), (_other, "new")])
def test_a_layer_that_is_not_what_it_is_named_for_is_refused(
    vendor: Vendor, base: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], named: str
) -> None:
    """Also where the manifest names the other bytes by their own digest: the configuration knows the layer unpacked."""
    index = json.loads((base / "index.json").read_text())
    manifest_path = base / "blobs/sha256" / index["manifests"][0]["digest"][7:]
    manifest = json.loads(manifest_path.read_text())
    layer = manifest["layers"][-1]
    data = spoil((base / "blobs/sha256" / layer["digest"][7:]).read_bytes())
    if named:
        made = oci.Layout(tmp_path / "scratch")
        layer |= made.put(data, layer["mediaType"])
        top = made.put(json.dumps(manifest).encode(), oci.MANIFEST)
        for blob in (made.path / "blobs/sha256").iterdir():
            blob.rename(base / "blobs/sha256" / blob.name)
        (base / "index.json").write_text(json.dumps({**index, "manifests": [top]}))
    else:
        (base / "blobs/sha256" / layer["digest"][7:]).write_bytes(data)
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "out").refused(3, layer["digest"][:19])
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("name", ["../../etc/x", f"{oci.AT}/vllm/../../../../../../../x", "/../x"])
def test_a_member_that_leads_out_of_the_image_is_refused(vendor: Vendor, tmp_path: Path, name: str) -> None:
    made = oci.Layout(tmp_path / "base")
    base = made.name(made.image([oci.tar({name: b""})], "amd64", oci.SETTINGS))
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(3, "leads out of it")


@pytest.mark.parametrize(
    ("files", "code", "says"),
    [
        ({}, 4, "holds no oci-layout"),
        ({"manifest.json": "[]"}, 4, "docker-archive"),
        ({"oci-layout": '{"imageLayoutVersion": "2"}', "index.json": "{}"}, 3, "version 1"),
        ({"oci-layout": '{"imageLayoutVersion": "1.0.0"}', "index.json": "[" * 100_000}, 3, "index.json"),
        ({"oci-layout": '{"imageLayoutVersion": "1.0.0"}', "index.json": '{"manifests": 7}'}, 3, "manifests is missing, or of another kind"),
        ({"oci-layout": '{"imageLayoutVersion": "1.0.0"}', "index.json": '{"manifests": []}'}, 2, "holds no image"),
        ({"oci-layout": '{"imageLayoutVersion": "1.0.0"}',
          "index.json": json.dumps({"manifests": [{"mediaType": oci.MANIFEST, "digest": "sha256:../../../../etc/passwd", "size": 1}]})},
         3, "names a blob by"),
        ({"oci-layout": '{"imageLayoutVersion": "1.0.0"}',
          "index.json": json.dumps({"manifests": [{"mediaType": oci.MANIFEST, "digest": f"sha256:{'0' * 64}", "size": 1}]})},
         4, "lacks the blob"),
        ({"oci-layout": '{"imageLayoutVersion": "1.0.0"}',
          "index.json": json.dumps({"manifests": [{"mediaType": oci.MANIFEST, "digest": f"sha256:{'0' * 64}"}]})},
         3, "manifests[0].size is missing, or of another kind"),
    ],
)  # fmt: skip
def test_what_is_no_layout_is_refused_by_name(
    vendor: Vendor, tmp_path: Path, files: dict[str, str], code: int, says: str
) -> None:
    (tmp_path / "a base").mkdir()
    for name, text in files.items():
        (tmp_path / "a base" / name).write_text(text)
    vendor("oci", "--vllm-rev", "0.22.1", "--base", tmp_path / "a base").refused(code, says)
    if files:
        archive = oci.archive(tmp_path / "a base", tmp_path / "a.tar")
        vendor("oci", "--vllm-rev", "0.22.1", "--base", archive).refused(code, says)


def test_a_folder_with_other_things_is_not_replaced(vendor: Vendor, base: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    for output, says in ((tmp_path / "mine", "holds other things"), (base, "is the base itself")):
        before = contents(output)
        vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", output).refused(2, says)
        assert contents(output) == before


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_blob_that_is_no_file_of_the_layout_is_not_read(
    vendor: Vendor, base: Path, tmp_path: Path, kind: str
) -> None:
    digest = json.loads((base / "index.json").read_text())["manifests"][0]["digest"][7:]
    path = base / "blobs/sha256" / digest
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere") if kind == "link" else os.mkfifo(path)
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(4, "lacks the blob")


def test_a_header_larger_than_any_name_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    def huge(one: tarfile.TarInfo) -> None:
        one.pax_headers = {"comment": "x" * (2 << 20)}

    made = oci.Layout(tmp_path / "base")
    base = made.name(made.image([oci.tar({"a": b""}, huge)], "amd64", oci.SETTINGS))
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(3, "larger than 1 MiB")


@pytest.mark.parametrize("kind", ["edited", "pythonpath", "unvouched", "compressed"])
def test_the_way_out_that_a_refusal_names_leads_out(
    vendor: Vendor, files: oci.Files, tiny: Tiny, tmp_path: Path, kind: str
) -> None:
    """The options between the quotes, pasted behind the command that was refused; in a folder with a blank in its name."""
    config: dict[str, Any] = oci.SETTINGS
    members = dict(files)
    tail = b""
    if kind == "edited":
        tail = b"\n\ndef added_by_the_image():\n    return 1\n"
        members[f"{oci.AT}/{CONNECTOR}"] = (files[f"{oci.AT}/{CONNECTOR}"] or b"") + tail
    elif kind == "pythonpath":
        config = {**oci.SETTINGS, "Env": ["PYTHONPATH=/opt/overlay"]}
        overlay = {p.replace(oci.AT, "opt/overlay"): d for p, d in files.items() if p.startswith(oci.AT)}
        members |= {"opt/overlay": None} | overlay
    elif kind == "unvouched":
        del members[f"{oci.AT}/{oci.INFO}/RECORD"]
    made = oci.Layout(tmp_path / "a base")
    base = made.name(made.image([oci.tar(members)], "amd64", config))
    command: tuple[str | Path, ...] = ("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "an image")
    if kind == "compressed":
        packed = tmp_path / "a base.tar.gz"
        packed.write_bytes(gzip.compress(oci.archive(base, tmp_path / "b.tar").read_bytes()))
        refused = vendor(*command[:4], packed, *command[5:])
        (way,) = commands(refused.refused(4, "compressed archive").said)
        (tmp_path / "DIR").mkdir()
        way = way.replace("ARCHIVE", f"'{packed}'")
        subprocess.run(["sh", "-euc", way], cwd=tmp_path, check=True)
        command, options = (*command[:4], tmp_path / "DIR", *command[5:]), []
    else:
        if kind == "edited":
            command = (*command, "--no-strict")
        refused = vendor(*command)
        assert refused.code in (1, 3)
        options = shlex.split(commands(refused.said)[-1])
    told = oci.said(vendor(*command, *options, "--json"))
    assert told["platforms"][0]["did"] == "patched"
    layer = oci.regular(oci.Read.of(tmp_path / "an image").layers()[-1])
    (patched,) = (d for p, d in layer.items() if p.endswith(CONNECTOR) and "originals" not in p)
    assert patched == tiny.applied()[CONNECTOR] + tail
