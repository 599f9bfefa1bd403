"""An image layout made by somebody else: whatever its JSON and its layers' headers hold, it is used or refused in words."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kvroles.errors import KvRolesError
from kvroles.vendored.image import oci as command
from support import oci, wheels
from support.tiny import Tiny

pytestmark = pytest.mark.slow

AT = "opt/site-packages"
NAME = "org.opencontainers.image.ref.name"
VALUES: list[Any] = [
    None,
    True,
    -1,
    10**30,
    1.5,
    float("inf"),
    "",
    "x\n::error::y",
    "\ud800",
    [],
    ["a"],
    {},
    {"a": "b"},
    [{}],
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> oci.Files:
    room = tmp_path_factory.mktemp("env")
    return oci.folder(wheels.installed(room / "env", wheels.make(room / "in")), AT)


@pytest.fixture(scope="module")
def layer(files: oci.Files) -> bytes:
    return oci.tar(files)


def written(tiny: Tiny, base: Path, output: Path) -> str:
    """What ``oci`` answers: empty where the layout was written. Any other exception than a refusal ends the test."""
    wanted = command.Request("0.22.1", base, None, "", (), output, None, "whole", False, None, True)
    try:
        command.write(wanted, tiny.series(), tiny.lock())
    except KvRolesError as e:
        assert not output.exists()
        assert str(e).isprintable()
        return str(e)
    oci.Read.of(output)
    return ""


def spots(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value below ``value``, itself included."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from spots(one, (*at, key))


def changed(value: Any, at: tuple[Any, ...], to: Any) -> Any:
    if not at:
        return to
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = changed(value[at[0]], at[1:], to)
    return copy


CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "variant": "v1",
    "config": {"Env": ["PYTHONPATH=/x"], "Labels": {"a": "b"}, "WorkingDir": "/w"},
    "history": [{"created_by": "x"}],
}


@pytest.mark.parametrize("which", ["index.json", "manifest", "configuration"])
def test_json_of_another_shape_in_an_image_is_refused_in_words(
    tiny: Tiny, layer: bytes, tmp_path: Path, which: str
) -> None:
    made = oci.Layout(tmp_path / "base")
    good = made.image([layer], "amd64", CONFIG["config"])  # type: ignore[arg-type]
    blobs = tmp_path / "base/blobs/sha256"

    def blob(descriptor: Any) -> Any:
        return json.loads((blobs / descriptor["digest"][7:]).read_bytes())

    manifest = blob(good)
    config = {**CONFIG, "rootfs": blob(manifest["config"])["rootfs"]}
    platform = {"os": "linux", "architecture": "amd64", "variant": "v1"}
    index = {"schemaVersion": 2, "manifests": [{**good, "platform": platform, "annotations": {NAME: "a"}}]}
    whole = {"index.json": index, "manifest": manifest, "configuration": config}[which]
    ends: set[bool] = set()
    for n, at in enumerate(spots(whole)):
        for to in VALUES:
            text = json.dumps(changed(whole, at, to)).encode()
            if which == "configuration":
                manifest_ = {**manifest, "config": made.put(text, oci.CONFIG)}
                top: Any = made.put(json.dumps(manifest_).encode(), oci.MANIFEST)
            else:
                top = made.put(text, oci.MANIFEST)
            if which != "index.json":
                text = json.dumps({**index, "manifests": [{**index["manifests"][0], **top}]}).encode()  # type: ignore[index,dict-item]
            (tmp_path / "base/index.json").write_bytes(text)
            ends.add(written(tiny, tmp_path / "base", tmp_path / f"out{n}") == "")
            shutil.rmtree(tmp_path / f"out{n}", ignore_errors=True)
    assert ends == {True, False}


@pytest.mark.parametrize("digest", ["sha256:/dev/zero", "sha256:../../../base/pipe", "/dev/zero", "sha512:00"])
def test_a_digest_that_is_a_path_is_not_opened(tiny: Tiny, layer: bytes, tmp_path: Path, digest: str) -> None:
    made = oci.Layout(tmp_path / "base")
    os.mkfifo(tmp_path / "base/pipe")
    good = made.image([layer], "amd64", {})
    manifest = json.loads((tmp_path / "base/blobs/sha256" / good["digest"][7:]).read_bytes())
    manifest["layers"][0]["digest"] = digest
    base = made.name(made.put(json.dumps(manifest).encode(), oci.MANIFEST))
    assert "names a blob by" in written(tiny, base, tmp_path / "out")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "9" * 5000, "x", ""])
@pytest.mark.parametrize("key", ["mtime", "uid", "size", "path"])
def test_a_header_of_a_layer_that_holds_no_number_ends_in_a_traceback(
    tiny: Tiny, files: oci.Files, tmp_path: Path, key: str, value: str
) -> None:
    def odd(one: tarfile.TarInfo) -> None:
        if one.name.endswith("vllm/__init__.py"):
            one.pax_headers = {key: value}

    made = oci.Layout(tmp_path / "base")
    written(tiny, made.name(made.image([oci.tar(files, odd)], "amd64", {})), tmp_path / "out")
