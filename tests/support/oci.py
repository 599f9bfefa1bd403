"""OCI image layouts made here: layers from dictionaries, and a base that holds an installed vLLM."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.driver import Ran

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
Files = dict[str, bytes | None]  # None: a folder


def tar(files: Files, change: Callable[[tarfile.TarInfo], None] = lambda _: None) -> bytes:
    """A layer of ``files`` in their order; ``change`` may alter each member's header."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for path, data in files.items():
            one = tarfile.TarInfo(path)
            one.mtime, one.mode = 1_700_000_000, 0o644
            if data is None:
                one.type, one.mode = tarfile.DIRTYPE, 0o755
            one.size = len(data or b"")
            change(one)
            t.addfile(one, io.BytesIO(data or b""))
    return out.getvalue()


def folder(root: Path, at: str) -> Files:
    """What lies below ``root``, as files and folders below ``at``; parents first."""
    parts = at.split("/")
    files: Files = {"/".join(parts[: i + 1]): None for i in range(len(parts))}
    for path in sorted(root.rglob("*")):
        files[f"{at}/{path.relative_to(root).as_posix()}"] = None if path.is_dir() else path.read_bytes()
    return files


@dataclass
class Layout:
    """A layout in the making."""

    path: Path

    def __post_init__(self) -> None:
        (self.path / "blobs/sha256").mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def put(self, data: bytes, media: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    def read(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        """The JSON that ``descriptor`` names."""
        found: dict[str, Any] = json.loads((self.path / "blobs/sha256" / descriptor["digest"][7:]).read_bytes())
        return found

    def image(
        self, layers: list[bytes], arch: str, config: dict[str, Any], pack: Callable[[bytes], bytes] | None = None
    ) -> dict[str, Any]:
        """The descriptor of an image; its layers are packed by ``pack`` (default: gzip)."""
        blobs = []
        for data in layers:
            blob = pack(data) if pack else gzip.compress(data, 1, mtime=0)
            blobs.append(self.put(blob, LAYER if pack else f"{LAYER}+gzip"))
        made = {
            "architecture": arch,
            "os": "linux",
            "created": "2026-05-30T12:00:00Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(d).hexdigest()}" for d in layers]},
            "history": [{"created_by": "the base"} for _ in layers],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.put(json.dumps(made).encode(), CONFIG),
            "layers": blobs,
            "annotations": {"org.opencontainers.image.revision": "of the base", "example.team": "kept"},
        }
        found = self.put(json.dumps(manifest).encode(), MANIFEST)
        return found | {"platform": {"os": "linux", "architecture": arch}}

    def index(self, images: list[dict[str, Any]]) -> dict[str, Any]:
        return self.put(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}).encode(), INDEX)

    def name(self, *tops: dict[str, Any], ref: str | None = "base:1") -> Path:
        """Write index.json; the first of ``tops`` is called ``ref``. Returns the layout's path."""
        listed = [dict(t) for t in tops]
        if ref:
            listed[0]["annotations"] = {"org.opencontainers.image.ref.name": ref}
        text = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
        (self.path / "index.json").write_text(json.dumps(text))
        return self.path


def archive(layout: Path, at: Path) -> Path:
    """The layout as a tar archive."""
    with tarfile.open(at, "w") as t:
        for path in sorted(layout.rglob("*")):
            t.add(path, path.relative_to(layout).as_posix(), recursive=False)
    return at


@dataclass(frozen=True)
class Read:
    """A layout as another program reads it: each image's configuration, and the files that its layers leave."""

    index: dict[str, Any]
    images: dict[str, tuple[dict[str, Any], dict[str, Any], list[bytes]]]  # architecture -> manifest, config, layers

    @classmethod
    def of(cls, path: Path) -> Read:
        def blob(descriptor: dict[str, Any]) -> bytes:
            data = (path / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == descriptor["digest"]
            assert len(data) == descriptor["size"]
            return data

        index = json.loads((path / "index.json").read_text())
        (top,) = index["manifests"]
        found = [top] if top["mediaType"] == MANIFEST else json.loads(blob(top))["manifests"]
        images = {}
        for descriptor in found:
            manifest = json.loads(blob(descriptor))
            config = json.loads(blob(manifest["config"]))
            layers = [blob(d) for d in manifest["layers"]]
            layers = [gzip.decompress(d) if d.startswith(b"\x1f\x8b") else d for d in layers]
            assert [f"sha256:{hashlib.sha256(d).hexdigest()}" for d in layers] == config["rootfs"]["diff_ids"]
            images[config.get("architecture", "")] = (manifest, config, layers)
        return cls(index, images)

    def layers(self) -> list[bytes]:
        """Those of the only image."""
        ((_, _, found),) = self.images.values()
        return found


def regular(layer: bytes) -> dict[str, bytes]:
    """path -> bytes of the regular files."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as t:
        return {m.name.removeprefix("./"): t.extractfile(m).read() for m in t if m.isreg()}  # type: ignore[union-attr]


def members(layer: bytes) -> dict[str, tarfile.TarInfo]:
    """path -> header, in the layer's order."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as t:
        return {m.name: m for m in t}


def unpacked(layers: list[bytes], to: Path, *, whiteouts: bool = True) -> Path:
    """The layers laid one over the other, whiteouts obeyed or passed over."""
    to.mkdir()
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as t:
            for member in t:
                folder, _, name = member.name.rpartition("/")
                if name.startswith(".wh."):
                    if whiteouts:
                        (to / folder / name[4:]).unlink()
                    continue
                t.extract(member, to, filter="fully_trusted", set_attrs=False)
    return to


AT = "opt/venv/lib/python3.12/site-packages"
INFO = "vllm-0.22.1.dist-info"
SETTINGS = {
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


def group_0(one: tarfile.TarInfo) -> None:
    """As OpenShift's images have it: everything belongs to group 0, which may write."""
    one.uid, one.gid = 1001, 0
    one.mode |= 0o020 if one.isfile() else 0o2020


def layout(path: Path, files: Files, *, platforms: tuple[str, ...] = ("amd64",), upper: Files | None = None) -> Path:
    """A base of two layers (three with ``upper``), under an index where there is more than one platform."""
    made = Layout(path)
    images = []
    for arch in platforms:
        below = tar({"etc": None, "etc/arch": arch.encode(), "etc/gone": b""})
        layers = [below, tar(files, group_0), *([tar(upper)] if upper else [])]
        images.append(made.image(layers, arch, SETTINGS))
    return made.name(*(images if len(images) == 1 else [made.index(images)]))


def said(ran: Ran) -> dict[str, Any]:
    """What a successful run printed as JSON."""
    found: dict[str, Any] = json.loads(ran.ok().out)
    return found
