"""``vendor.py oci``: from an image layout to a patched one without a container engine, for every platform, the same each time."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kvroles.vendored.image import layout as layout_of
from support import oci, wheels
from support.advice import commands
from support.driver import Ran
from support.files import contents
from support.tiny import CONNECTOR, Tiny

Vendor = Callable[..., Ran]
AT = "opt/venv/lib/python3.12/site-packages"
INFO = "vllm-0.22.1.dist-info"
CONFIG = {
    "User": "2000",
    "WorkingDir": "/vllm-workspace",
    "Env": ["PATH=/opt/venv/bin:/usr/bin", "LANG=C.UTF-8"],
    "Entrypoint": ["vllm", "serve"],
    "Labels": {
        "org.opencontainers.image.version": "base",
        "org.opencontainers.image.source": "https://example.org/base",
        "org.opencontainers.image.base.name": "docker.io/library/ubuntu",
        "maintainer": "somebody",
    },
}


def _modes(one: tarfile.TarInfo) -> None:
    """As OpenShift's images have it: everything belongs to group 0, which may write."""
    one.uid, one.gid = 1001, 0
    one.mode |= 0o020 if one.isfile() else 0o2020


@pytest.fixture
def files(site: Path) -> oci.Files:
    """The files of the installed package, at their place in an image."""
    bin_ = "opt/venv/bin"
    return {**oci.folder(site, AT), bin_: None, f"{bin_}/vllm": (site.parents[2] / "bin/vllm").read_bytes()}


def layout(
    path: Path, files: oci.Files, *, platforms: tuple[str, ...] = ("amd64",), upper: oci.Files | None = None
) -> Path:
    """A base of two layers (three with ``upper``), under an index where there is more than one platform."""
    made = oci.Layout(path)
    images = []
    for arch in platforms:
        below = oci.tar({"etc": None, "etc/arch": arch.encode(), "etc/gone": b""})
        layers = [below, oci.tar(files, _modes), *([oci.tar(upper)] if upper else [])]
        images.append(made.image(layers, arch, CONFIG))
    return made.name(*(images if len(images) == 1 else [made.index(images)]))


@pytest.fixture
def base(files: oci.Files, tmp_path: Path) -> Path:
    return layout(tmp_path / "the base", files)


def written(vendor: Vendor, base: Path, to: Path, *more: str | Path) -> dict[str, Any]:
    return said(vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", to, "--json", *more))


def said(ran: Ran) -> dict[str, Any]:
    """What a successful run printed as JSON."""
    found: dict[str, Any] = json.loads(ran.ok().out)
    return found


def test_the_result_is_the_base_and_one_layer_that_patches_it(
    vendor: Vendor, base: Path, files: oci.Files, tiny: Tiny, tmp_path: Path
) -> None:
    before = contents(base)
    told = written(vendor, base, tmp_path / "out")
    assert contents(base) == before
    was, now = oci.Read.of(base).images["amd64"], oci.Read.of(tmp_path / "out").images["amd64"]
    assert now[2][:-1] == was[2], "the base's layers are taken as they are"
    assert now[0]["layers"][:-1] == was[0]["layers"]
    root = oci.unpacked(now[2], tmp_path / "root")
    site = root / AT
    assert (site / CONNECTOR).read_bytes() == tiny.applied()[CONNECTOR]
    assert not list(site.rglob("connector.*.pyc")), "bytecode of the file that was replaced would be stale"
    changed = {p for p, d in contents(site).items() if d != files.get(f"{AT}/{p}")}
    assert {p for p in changed if "/kv-roles/" not in p} == {
        CONNECTOR, f"{INFO}/RECORD", f"{INFO}/sboms/vllm-kv-roles.cdx.json",
    }  # fmt: skip
    (platform,) = told["platforms"]
    assert (platform["did"], platform["files"], platform["changed_by_others"]) == ("patched", [CONNECTOR], [])
    assert platform["read"]["as_recorded"] == platform["read"]["files"] > 20


def test_what_it_leaves_is_proven_by_verify_and_taken_back_by_uninstall(
    vendor: Vendor, site: Path, base: Path, tmp_path: Path
) -> None:
    """The layer is laid over the very environment that the base was made of."""
    before = contents(site)
    written(vendor, base, tmp_path / "out")
    layer = oci.Read.of(tmp_path / "out").images["amd64"][2][-1]
    for path, member in oci.members(layer).items():
        there = site / path.removeprefix(f"{AT}/")
        if member.isdir() or not path.startswith(AT):
            continue
        if there.name.startswith(".wh."):
            there.with_name(there.name[4:]).unlink()
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(layer)) as t:
            there.write_bytes(t.extractfile(path).read())  # type: ignore[union-attr]
    proof = said(vendor("verify", "--site-packages", site, "--strict", "--require-construction", "--json"))
    assert (proof["did"], proof["how"]) == ("verified", "install")
    vendor("uninstall", "--site-packages", site).ok()
    pyc = {p for p in before if p.endswith(".pyc")}
    assert {p: d for p, d in contents(site).items() if p not in pyc} == {
        p: d for p, d in before.items() if p not in pyc
    }


def test_the_same_base_gives_the_same_digest(vendor: Vendor, base: Path, tmp_path: Path) -> None:
    one = written(vendor, base, tmp_path / "one")
    two = written(vendor, oci.archive(base, tmp_path / "base.tar"), tmp_path / "two")
    assert one["digest"] == two["digest"]
    assert contents(tmp_path / "one") == contents(tmp_path / "two"), "from a folder and from an archive"
    written(vendor, base, tmp_path / "one")
    assert contents(tmp_path / "one") == contents(tmp_path / "two"), "and over what is there"


def test_every_platform_is_patched_under_one_index(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    base = layout(tmp_path / "base", files, platforms=("amd64", "arm64"))
    told = written(vendor, base, tmp_path / "out")
    assert [p["platform"] for p in told["platforms"]] == ["linux/amd64", "linux/arm64"]
    read = oci.Read.of(tmp_path / "out")
    assert read.index["manifests"][0]["digest"] == told["digest"]
    for arch, (_, config, layers) in read.images.items():
        assert (config["architecture"], len(layers)) == (arch, 3)
    only = written(vendor, base, tmp_path / "one", "--platform", "linux/arm64")
    assert [p["manifest"] for p in only["platforms"]] == [told["platforms"][1]["manifest"]]
    assert only["passed_over"] == ["linux/amd64: not asked for"]


def test_labels_are_those_of_the_result_and_the_rest_of_the_configuration_stays(
    vendor: Vendor, base: Path, tmp_path: Path
) -> None:
    written(vendor, base, tmp_path / "out", "--base-name", "docker.io/vllm/vllm-openai:v0.22.1")
    was, now = oci.Read.of(base), oci.Read.of(tmp_path / "out")
    manifest, config, _ = now.images["amd64"]
    told = config["config"]["Labels"]
    assert told["maintainer"] == "somebody"
    assert {k.removeprefix("org.opencontainers.image."): v for k, v in told.items() if "opencontainers" in k} | {
        "revision": ""
    } == {
        "title": "vLLM 0.22.1: kv_role='kv_both' deprecated for NixlConnector",
        "description": "NixlConnector warns once when kv_role is kv_both",
        "version": "0.22.1", "licenses": "Apache-2.0", "source": "", "revision": "", "created": "1980-01-01T00:00:00Z",
        "base.name": "docker.io/vllm/vllm-openai:v0.22.1", "base.digest": was.index["manifests"][0]["digest"],
    }  # fmt: skip
    assert {k.removeprefix("vllm-kv-roles."): v for k, v in told.items() if k.startswith("vllm-kv-roles.")} == {
        "state": "patched", "proof": "files read, not run", "construction": "not constructed",
        "patches": "connector-warning/0.22.1.patch",
    }  # fmt: skip
    kept = {k: v for k, v in config["config"].items() if k != "Labels"}
    assert kept == {k: v for k, v in CONFIG.items() if k != "Labels"}
    assert manifest["annotations"]["example.team"] == "kept"
    assert manifest["annotations"]["org.opencontainers.image.base.digest"] == was.index["manifests"][0]["digest"]
    assert "of the base" not in manifest["annotations"].values()


def test_folders_and_files_keep_mode_and_owner(vendor: Vendor, base: Path, tmp_path: Path) -> None:
    """A runtime gives a folder of the image the mode of the layer's; group 0 may go on writing (OpenShift)."""
    written(vendor, base, tmp_path / "out")
    _, _, layers = oci.Read.of(tmp_path / "out").images["amd64"]
    below, layer = oci.members(layers[1]), oci.members(layers[2])
    assert layer
    for path, member in layer.items():
        assert (member.uid, member.gid) == (1001, 0)
        if path in below:
            assert (member.mode, member.type) == (below[path].mode, below[path].type), path
        assert member.mode & 0o020 or "/.wh." in path
        for parent in Path(path).parents[:-1]:
            assert layer[parent.as_posix()].isdir(), "else the runtime makes it, with a mode of its own"


def test_a_file_that_a_later_layer_replaced_or_took_away_counts_as_it_is(
    vendor: Vendor, files: oci.Files, tmp_path: Path
) -> None:
    upper: oci.Files = {f"{AT}/vllm/config/__init__.py": b"# theirs\n", f"{AT}/vllm/.wh.logger.py": b""}
    base = layout(tmp_path / "base", files, upper=upper)
    command = ("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "out")
    vendor(*command).refused(1, "2 files", "vllm/config/__init__.py", "--no-strict")
    assert not (tmp_path / "out").exists()
    told = said(vendor(*command, "--no-strict", "--json"))
    assert told["platforms"][0]["changed_by_others"] == [
        "vllm/config/__init__.py is not what RECORD says",
        "vllm/logger.py is missing",
    ]
    edited: oci.Files = {f"{AT}/{CONNECTOR}": (files[f"{AT}/{CONNECTOR}"] or b"") + b"# theirs\n"}
    base = layout(tmp_path / "two", files, upper=edited)
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--no-strict").refused(1, CONNECTOR)


def test_an_emptied_folder_is_empty(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    base = layout(tmp_path / "base", files, upper={f"{AT}/.wh..wh..opq": b""})
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(4, "There is no vllm/__init__.py")


def test_a_release_that_warns_by_itself_gets_labels_and_no_layer(vendor: Vendor, tmp_path: Path) -> None:
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in", "0.33.0"))
    base = layout(tmp_path / "base", oci.folder(site, AT))
    told = said(vendor("oci", "--vllm-rev", "0.33.0", "--base", base, "--output", tmp_path / "out", "--json"))
    assert (told["platforms"][0]["did"], told["platforms"][0]["layer"]) == ("native", None)
    labels = oci.Read.of(tmp_path / "out").images["amd64"][1]["config"]["Labels"]
    assert labels["vllm-kv-roles.state"] == "native: no file was changed"


def test_a_patched_image_is_left_as_it_is(vendor: Vendor, base: Path, tmp_path: Path) -> None:
    written(vendor, base, tmp_path / "out")
    again = written(vendor, tmp_path / "out", tmp_path / "again")
    assert (again["platforms"][0]["did"], again["platforms"][0]["layer"]) == ("patched already", None)


def test_packages_that_no_record_vouches_for_want_the_runtime_part(
    vendor: Vendor, files: oci.Files, tmp_path: Path
) -> None:
    """As llm-d's image has it: a source tree that an editable install points to."""
    editable = {p.replace(AT, "opt/vllm-source"): d for p, d in files.items() if p == AT or f"{AT}/vllm/" in f"{p}/"}
    base = layout(tmp_path / "base", {"opt": None} | editable)
    command = ("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "out")
    vendor(*command).refused(1, "No RECORD in /opt/vllm-source", "--part runtime")
    told = said(vendor(*command, "--part", "runtime", "--json"))
    assert (told["platforms"][0]["did"], told["platforms"][0]["site_packages"]) == ("patched", "/opt/vllm-source")
    assert told["platforms"][0]["read"]["unvouched"] > 5


@pytest.mark.parametrize("env", ["PYTHONPATH=/opt/overlay", "PYTHONPATH=/x:/opt/overlay:/y"])
def test_another_vllm_that_python_would_find_first_is_named(
    vendor: Vendor, files: oci.Files, tmp_path: Path, env: str
) -> None:
    made = oci.Layout(tmp_path / "base")
    shadow: oci.Files = {"opt/overlay": None, "opt/overlay/vllm": None, "opt/overlay/vllm/__init__.py": b""}
    image = made.image([oci.tar({**files, **shadow})], "amd64", {**CONFIG, "Env": [env]})
    vendor("oci", "--vllm-rev", "0.22.1", "--base", made.name(image)).refused(
        3, "Python would import /opt/overlay/vllm/__init__.py", "PYTHONPATH"
    )


@pytest.mark.parametrize("name", ["vllm.py", "vllm.pyc", "vllm.abi3.so", "vllm/__init__.pyc", "vllm/__init__.py"])
def test_what_python_would_take_for_it_goes_by_the_line_that_is_printed(
    vendor: Vendor, files: oci.Files, tmp_path: Path, name: str
) -> None:
    """In the working directory; the line's path is what a further layer takes away."""
    folder = {"srv": None, "srv/vllm": None} if "/" in name else {"srv": None}
    config = {**CONFIG, "WorkingDir": "/srv"}
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
    image = made.image([oci.tar({**files, "a.zip": b"PK"})], "amd64", {**CONFIG, "Env": ["PYTHONPATH=/a.zip"]})
    vendor("oci", "--vllm-rev", "0.22.1", "--base", made.name(image)).refused(3, "/a.zip", "not looked into")


def test_more_than_one_vllm_is_not_chosen_from(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    two = {p.replace("opt/venv", "opt/other"): d for p, d in files.items()}
    base = layout(tmp_path / "base", {**files, **two})
    command = ("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "out")
    vendor(*command).refused(1, "more than one vLLM", "/opt/other", "/opt/venv", "--site-packages")
    told = said(vendor(*command, "--site-packages", f"/{AT}", "--json"))
    assert told["platforms"][0]["site_packages"] == f"/{AT}"


def test_a_link_on_the_way_to_the_package_is_not_followed(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    def linked(one: tarfile.TarInfo) -> None:
        if one.name == "opt/venv":
            one.type, one.linkname = tarfile.SYMTYPE, "/usr"

    made = oci.Layout(tmp_path / "base")
    base = made.name(made.image([oci.tar(files, linked)], "amd64", CONFIG))
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


@pytest.mark.parametrize("name", ["../../etc/x", f"{AT}/vllm/../../../../../../../x", "/../x"])
def test_a_member_that_leads_out_of_the_image_is_refused(vendor: Vendor, tmp_path: Path, name: str) -> None:
    made = oci.Layout(tmp_path / "base")
    base = made.name(made.image([oci.tar({name: b""})], "amd64", CONFIG))
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


def test_the_statement_names_what_was_made_and_taken(vendor: Vendor, base: Path, tmp_path: Path) -> None:
    told = written(vendor, base, tmp_path / "out", "--sign-with", "cp {} {}.sig")
    statement = json.loads(Path(told["statement"]).read_text())
    made = {s["digest"]["sha256"] for s in statement["subject"]}
    assert made == {told["digest"][7:], told["platforms"][0]["manifest"][7:]}
    taken = {d["digest"].get("sha256") for d in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert oci.Read.of(base).index["manifests"][0]["digest"][7:] in taken
    assert Path(told["statement"] + ".sig").read_bytes() == Path(told["statement"]).read_bytes()
    before = contents(tmp_path / "out")
    vendor(
        "oci", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "out", "--sign-with", "false"
    ).refused(3, "failed with code 1")  # fmt: skip
    assert contents(tmp_path / "out") == before


def docker_s(data: dict[str, Any]) -> dict[str, Any]:
    """The same manifest under Docker's media types, which know no annotations."""
    kinds = {oci.CONFIG: "application/vnd.docker.container.image.v1+json", oci.MANIFEST: layout_of.DOCKER_MANIFEST}
    layers = [{**d, "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"} for d in data["layers"]]
    config = {**data["config"], "mediaType": kinds[oci.CONFIG]}
    return {"schemaVersion": 2, "mediaType": layout_of.DOCKER_MANIFEST, "config": config, "layers": layers}


def test_a_manifest_of_docker_stays_one(vendor: Vendor, base: Path, tmp_path: Path) -> None:
    manifest, _, _ = oci.Read.of(base).images["amd64"]
    made = oci.Layout(tmp_path / "docker")
    for blob in (base / "blobs/sha256").iterdir():
        blob.rename(made.path / "blobs/sha256" / blob.name)
    path = made.name(made.put(json.dumps(docker_s(manifest)).encode(), layout_of.DOCKER_MANIFEST))
    written(vendor, path, tmp_path / "out")
    (top,) = json.loads((tmp_path / "out/index.json").read_text())["manifests"]
    assert top["mediaType"] == layout_of.DOCKER_MANIFEST
    now = json.loads((tmp_path / "out/blobs/sha256" / top["digest"][7:]).read_text())
    assert {d["mediaType"] for d in now["layers"]} == {"application/vnd.docker.image.rootfs.diff.tar.gzip"}
    assert "annotations" not in now


@pytest.mark.parametrize("packed", ["zstd", "plain"])
def test_a_layer_in_another_compression_is_read(vendor: Vendor, files: oci.Files, tmp_path: Path, packed: str) -> None:
    def zstd(data: bytes) -> bytes:
        return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout

    if packed == "zstd" and shutil.which("zstd") is None:
        pytest.skip("needs the program zstd")
    made = oci.Layout(tmp_path / "base")
    image = made.image([oci.tar(files)], "amd64", CONFIG, zstd if packed == "zstd" else bytes)
    told = written(vendor, made.name(image), tmp_path / "out")
    assert told["platforms"][0]["did"] == "patched"


def test_attestations_of_the_base_are_left_out_and_named(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    made = oci.Layout(tmp_path / "base")
    image = made.image([oci.tar(files)], "amd64", CONFIG)
    beside = made.put(b"{}", oci.MANIFEST) | {
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    told = written(vendor, made.name(made.index([image, beside])), tmp_path / "out")
    assert len(told["platforms"]) == 1
    assert "it speaks of the base" in told["passed_over"][0]


def test_an_image_is_named_where_there_are_more(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    made = oci.Layout(tmp_path / "base")
    one = made.image([oci.tar(files)], "amd64", CONFIG)
    two = {**made.image([oci.tar(files)], "amd64", {}), "annotations": {"org.opencontainers.image.ref.name": "two"}}
    base = made.name(one, two, ref="one")
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(2, "2 images", "one, two", "--ref")
    written(vendor, base, tmp_path / "out", "--ref", "two")
    assert "User" not in oci.Read.of(tmp_path / "out").images["amd64"][1]["config"]


def test_layers_by_platform_without_an_index_of_their_own_are_one_image(
    vendor: Vendor, files: oci.Files, tmp_path: Path
) -> None:
    made = oci.Layout(tmp_path / "base")
    images = [made.image([oci.tar(files)], arch, CONFIG) for arch in ("amd64", "arm64")]
    told = written(vendor, made.name(*images, ref=None), tmp_path / "out")
    assert [p["platform"] for p in told["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert told["base_digest"] is None


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_blob_that_is_no_file_of_the_layout_is_not_read(
    vendor: Vendor, base: Path, tmp_path: Path, kind: str
) -> None:
    digest = json.loads((base / "index.json").read_text())["manifests"][0]["digest"][7:]
    path = base / "blobs/sha256" / digest
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere") if kind == "link" else os.mkfifo(path)
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(4, "lacks the blob")


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_an_image_that_is_damaged_is_copied_anew_as_it_is_said(
    vendor: Vendor, files: oci.Files, tmp_path: Path
) -> None:
    """The command pasted, with another copy of the image in place of the registry's."""
    made = oci.Layout(tmp_path / "good")
    base = made.name(made.image([oci.tar(files)], "amd64", CONFIG))
    shutil.copytree(base, tmp_path / "DIR")
    layer = max((tmp_path / "DIR" / "blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    layer.write_bytes(layer.read_bytes()[:-1] + b"x")
    command = ("oci", "--vllm-rev", "0.22.1", "--output", tmp_path / "image", "--base", tmp_path / "DIR")
    (way,) = commands(vendor(*command).refused(3, "is damaged").said)
    shutil.rmtree(tmp_path / "DIR")
    ran = subprocess.run(
        ["sh", "-euc", way.replace("docker://IMAGE", f"oci:{base}")], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    vendor(*command).ok()


def test_a_header_larger_than_any_name_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    def huge(one: tarfile.TarInfo) -> None:
        one.pax_headers = {"comment": "x" * (2 << 20)}

    made = oci.Layout(tmp_path / "base")
    base = made.name(made.image([oci.tar({"a": b""}, huge)], "amd64", CONFIG))
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(3, "larger than 1 MiB")


@pytest.mark.parametrize("kind", ["edited", "pythonpath", "unvouched", "compressed"])
def test_the_way_out_that_a_refusal_names_leads_out(
    vendor: Vendor, files: oci.Files, tiny: Tiny, tmp_path: Path, kind: str
) -> None:
    """The options between the quotes, pasted behind the command that was refused; in a folder with a blank in its name."""
    config: dict[str, Any] = CONFIG
    members = dict(files)
    tail = b""
    if kind == "edited":
        tail = b"\n\ndef added_by_the_image():\n    return 1\n"
        members[f"{AT}/{CONNECTOR}"] = (files[f"{AT}/{CONNECTOR}"] or b"") + tail
    elif kind == "pythonpath":
        config = {**CONFIG, "Env": ["PYTHONPATH=/opt/overlay"]}
        overlay = {p.replace(AT, "opt/overlay"): d for p, d in files.items() if p.startswith(AT)}
        members |= {"opt/overlay": None} | overlay
    elif kind == "unvouched":
        del members[f"{AT}/{INFO}/RECORD"]
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
    told = said(vendor(*command, *options, "--json"))
    assert told["platforms"][0]["did"] == "patched"
    layer = oci.regular(oci.Read.of(tmp_path / "an image").layers()[-1])
    (patched,) = (d for p, d in layer.items() if p.endswith(CONNECTOR) and "originals" not in p)
    assert patched == tiny.applied()[CONNECTOR] + tail
