"""``vendor.py oci``: from an image layout to a patched one without a container engine, for every platform, the same each time."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kvroles.vendored.image import layout as layout_of
from support import oci, wheels
from support.driver import Ran
from support.files import contents
from support.tiny import CONNECTOR, Tiny

Vendor = Callable[..., Ran]


def written(vendor: Vendor, base: Path, to: Path, *more: str | Path) -> dict[str, Any]:
    return oci.said(vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", to, "--json", *more))


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
    site = root / oci.AT
    assert (site / CONNECTOR).read_bytes() == tiny.applied()[CONNECTOR]
    assert not list(site.rglob("connector.*.pyc")), "bytecode of the file that was replaced would be stale"
    changed = {p for p, d in contents(site).items() if d != files.get(f"{oci.AT}/{p}")}
    assert {p for p in changed if "/kv-roles/" not in p} == {
        CONNECTOR, f"{oci.INFO}/RECORD", f"{oci.INFO}/sboms/vllm-kv-roles.cdx.json",
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
        there = site / path.removeprefix(f"{oci.AT}/")
        if member.isdir() or not path.startswith(oci.AT):
            continue
        if there.name.startswith(".wh."):
            there.with_name(there.name[4:]).unlink()
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(layer)) as t:
            there.write_bytes(t.extractfile(path).read())  # type: ignore[union-attr]
    proof = oci.said(vendor("verify", "--site-packages", site, "--strict", "--require-construction", "--json"))
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
    base = oci.layout(tmp_path / "base", files, platforms=("amd64", "arm64"))
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
    assert kept == {k: v for k, v in oci.SETTINGS.items() if k != "Labels"}
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
    upper: oci.Files = {f"{oci.AT}/vllm/config/__init__.py": b"# theirs\n", f"{oci.AT}/vllm/.wh.logger.py": b""}
    base = oci.layout(tmp_path / "base", files, upper=upper)
    command = ("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "out")
    vendor(*command).refused(1, "2 files", "vllm/config/__init__.py", "--no-strict")
    assert not (tmp_path / "out").exists()
    told = oci.said(vendor(*command, "--no-strict", "--json"))
    assert told["platforms"][0]["changed_by_others"] == [
        "vllm/config/__init__.py is not what RECORD says",
        "vllm/logger.py is missing",
    ]
    edited: oci.Files = {f"{oci.AT}/{CONNECTOR}": (files[f"{oci.AT}/{CONNECTOR}"] or b"") + b"# theirs\n"}
    base = oci.layout(tmp_path / "two", files, upper=edited)
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--no-strict").refused(1, CONNECTOR)


def test_a_folder_that_a_layer_emptied_holds_no_vllm(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    base = oci.layout(tmp_path / "base", files, upper={f"{oci.AT}/.wh..wh..opq": b""})
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(4, "There is no vllm/__init__.py")


def test_a_release_that_warns_by_itself_gets_labels_and_no_layer(vendor: Vendor, tmp_path: Path) -> None:
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in", "0.33.0"))
    base = oci.layout(tmp_path / "base", oci.folder(site, oci.AT))
    told = oci.said(vendor("oci", "--vllm-rev", "0.33.0", "--base", base, "--output", tmp_path / "out", "--json"))
    assert (told["platforms"][0]["did"], told["platforms"][0]["layer"]) == ("native", None)
    labels = oci.Read.of(tmp_path / "out").images["amd64"][1]["config"]["Labels"]
    assert labels["vllm-kv-roles.state"] == "native: no file was changed"


def test_a_patched_image_is_left_as_it_is(vendor: Vendor, base: Path, tmp_path: Path) -> None:
    written(vendor, base, tmp_path / "out")
    again = written(vendor, tmp_path / "out", tmp_path / "again")
    assert (again["platforms"][0]["did"], again["platforms"][0]["layer"]) == ("patched already", None)


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
    image = made.image([oci.tar(files)], "amd64", oci.SETTINGS, zstd if packed == "zstd" else bytes)
    told = written(vendor, made.name(image), tmp_path / "out")
    assert told["platforms"][0]["did"] == "patched"


def test_attestations_of_the_base_are_left_out_and_named(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    made = oci.Layout(tmp_path / "base")
    image = made.image([oci.tar(files)], "amd64", oci.SETTINGS)
    beside = made.put(b"{}", oci.MANIFEST) | {
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    told = written(vendor, made.name(made.index([image, beside])), tmp_path / "out")
    assert len(told["platforms"]) == 1
    assert "it speaks of the base" in told["passed_over"][0]


def test_an_image_is_named_where_there_are_more(vendor: Vendor, files: oci.Files, tmp_path: Path) -> None:
    made = oci.Layout(tmp_path / "base")
    one = made.image([oci.tar(files)], "amd64", oci.SETTINGS)
    two = {**made.image([oci.tar(files)], "amd64", {}), "annotations": {"org.opencontainers.image.ref.name": "two"}}
    base = made.name(one, two, ref="one")
    vendor("oci", "--vllm-rev", "0.22.1", "--base", base).refused(2, "2 images", "one, two", "--ref")
    written(vendor, base, tmp_path / "out", "--ref", "two")
    assert "User" not in oci.Read.of(tmp_path / "out").images["amd64"][1]["config"]


def test_layers_by_platform_without_an_index_of_their_own_are_one_image(
    vendor: Vendor, files: oci.Files, tmp_path: Path
) -> None:
    made = oci.Layout(tmp_path / "base")
    images = [made.image([oci.tar(files)], arch, oci.SETTINGS) for arch in ("amd64", "arm64")]
    told = written(vendor, made.name(*images, ref=None), tmp_path / "out")
    assert [p["platform"] for p in told["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert told["base_digest"] is None
