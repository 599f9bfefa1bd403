"""An OCI image layout, read: a folder, or the same as a tar archive, with its blobs checked against their digests.

Formats: https://github.com/opencontainers/image-spec, "image-layout.md", "image-index.md", "manifest.md". The media types of
Docker's own manifests (distribution/distribution, "manifest-v2-2.md") are read too, as ``docker save`` writes them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kvroles.digest import sha256
from kvroles.errors import NoSource, Unproven, UsageError
from kvroles.said import counted, shell
from kvroles.tree import handles
from kvroles.vendored.image import shape

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", DOCKER_MANIFEST)
NAME = "org.opencontainers.image.ref.name"
_OTHER_NAME = "io.containerd.image.name"
_MAX_JSON = 16 << 20  # manifests and configurations; registries take 4 MiB
_MAX_DEPTH = 3  # of an index in an index
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK = 1 << 20
_COPY = "skopeo copy --all docker://IMAGE oci:DIR:NAME"
_BY_SKOPEO = f"Write one with skopeo, into a new folder DIR: `{_COPY}`"
ANEW = f"Copy the image anew, into a new folder DIR (skopeo keeps a blob that is there): `{_COPY}`"
Descriptor = dict[str, Any]


@dataclass(frozen=True)
class Image:
    """One platform's manifest: its ``descriptor`` where it was found, the ``manifest``, and its ``config``."""

    descriptor: Descriptor
    manifest: dict[str, Any]
    config: dict[str, Any]

    @property
    def platform(self) -> str:
        """``linux/arm64``, or ``linux/arm/v7``."""
        said = self.descriptor.get("platform") or self.config
        parts = (said.get("os", "linux"), said.get("architecture", "unknown"), said.get("variant"))
        return "/".join(str(p) for p in parts if p)


@dataclass(frozen=True)
class Base:
    """What a name in a layout stands for: its ``descriptor``, the ``images`` that were chosen, and why others were not."""

    descriptor: Descriptor
    images: tuple[Image, ...]
    passed: tuple[str, ...]

    @property
    def is_index(self) -> bool:
        return self.descriptor.get("mediaType") in INDEXES


class Layout:
    """The layout at ``path``. Raises NoSource when there is none, Unproven when what it holds is not what it says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: tarfile.TarFile | None = None
        self._members: dict[str, tarfile.TarInfo] = {}
        if not path.is_dir():
            self._archive = _archive(handles.given(path), path)
            with _readable(path):
                self._members = {m.name.removeprefix("./"): m for m in self._archive if m.isreg()}
        try:
            marker = json.loads(self._read("oci-layout", _MAX_JSON))
            if not str(marker["imageLayoutVersion"]).startswith("1."):
                raise ValueError
            index = self._object("index.json", self._read("index.json", _MAX_JSON))
            self.index = self._shaped(index, shape.INDEX, "index.json")
        except FileNotFoundError as e:
            raise self._none(str(e.filename)) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Unproven(
                f"{path} is not an OCI image layout of version 1: its oci-layout says otherwise", fix=ANEW
            ) from None

    def _none(self, lacks: str) -> NoSource:
        way = f"{_BY_SKOPEO}, or the same from docker-daemon:IMAGE"
        if "manifest.json" in self._members:
            way = f"It is what docker saves. Convert it: `{_converted(self.path)}`"
        elif (self.path / "manifest.json").is_file():
            pack = shell("tar", "-C", self.path, "-cf", "docker.tar", ".")
            way = f"It is what docker saves, unpacked. Convert it: `{pack} && {_converted(Path('docker.tar'))}`"
        return NoSource(f"{self.path} is no OCI image layout: it holds no {Path(lacks).name}", fix=way)

    def open(self, name: str) -> IO[bytes]:
        """The file ``name``, opened once. Raises FileNotFoundError."""
        if self._archive is None:
            return handles.regular(self.path / name)
        member = self._members.get(name)
        if member is None:
            raise FileNotFoundError(2, "not in the archive", name)
        found = self._archive.extractfile(member)
        assert found is not None  # a regular file
        return found

    def _read(self, name: str, most: int) -> bytes:
        with self.open(name) as f, _readable(self.path):
            data = f.read(most + 1)
        if len(data) > most:
            raise Unproven(f"{name} in {self.path} is larger than {most >> 20} MiB, which no manifest is", fix=ANEW)
        return data

    def _object(self, name: str, data: bytes) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(data)
            json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # it is written again: no half characters
        except (ValueError, RecursionError):
            raise Unproven(f"{name} in {self.path} is damaged: it is no JSON object", fix=ANEW) from None
        return self._shaped(found, dict, name)

    def _shaped(self, found: dict[str, Any], wanted: shape.Shape, name: str) -> dict[str, Any]:
        if other := shape.wrong(found, wanted):
            raise Unproven(
                f"{name} in {self.path} is not as image-spec has it",
                found=f"{other} is missing, or of another kind",
                fix=ANEW,
            )
        return found

    def json(self, descriptor: Descriptor, wanted: shape.Shape = dict) -> dict[str, Any]:
        """The JSON object that ``descriptor`` names, its digest, size and shape checked."""
        name = blob(descriptor, self.path)
        try:
            data = self._read(name, _MAX_JSON)
        except OSError:
            raise self._lacks(descriptor) from None
        if f"sha256:{sha256(data)}" != descriptor["digest"] or len(data) != descriptor.get("size", len(data)):
            raise Unproven(
                f"{name} in {self.path} is not what it is named for",
                expected=f"{descriptor['digest']}, {descriptor.get('size')} bytes",
                found=f"sha256:{sha256(data)}, {len(data)} bytes",
                fix=ANEW,
            )
        return self._shaped(self._object(name, data), wanted, name)

    def _lacks(self, descriptor: Descriptor) -> NoSource:
        return NoSource(
            f"{self.path} lacks the blob {descriptor['digest']}",
            fix=f"Copy the whole image, into a new folder DIR: `{_COPY}`, or name the platform that is there with --platform",
        )

    def base(self, ref: str | None, platforms: tuple[str, ...]) -> Base:
        """What ``ref`` names (None: the one image there is), cut down to ``platforms`` where any are named."""
        descriptor = self._named(ref)
        passed: list[str] = []
        found: list[Image] = []
        for one in self._flat(descriptor, 0):
            image = self._image(one)
            if image is None:
                passed.append(f"an attestation or artifact ({str(one.get('digest'))[:19]}): it speaks of the base")
            elif platforms and not any(_fits(image.platform, p) for p in platforms):
                passed.append(f"{image.platform}: not asked for")
            else:
                found.append(image)
        if not found:
            there = ", ".join(p.partition(":")[0] for p in passed) or "nothing"
            raise UsageError(
                f"{self.path} holds no image for {', '.join(platforms) or 'any platform'}",
                found=there,
                fix="Give --platform one of these",
            )
        return Base(descriptor, tuple(found), tuple(passed))

    def _named(self, ref: str | None) -> Descriptor:
        listed: list[Descriptor] = [
            d for d in _list(self.index, "manifests") if d.get("mediaType") in (*INDEXES, *MANIFESTS)
        ]
        names = {str(n) for d in listed for n in _names(d)}
        if ref is not None:
            listed = [d for d in listed if ref in _names(d)]
        if len(listed) > 1 and (ref or len(names) < 2) and all(d.get("platform") for d in listed):
            return {"mediaType": INDEXES[0], "": {"manifests": listed}}  # index.json is the image's own index
        if len(listed) != 1:
            raise UsageError(
                f"{self.path} holds {'no image' if not listed else counted(len(listed), 'image')}"
                + (f" by the name {ref}" if ref else ""),
                expected="one",
                found=", ".join(sorted(names)) or "none with a name",
                fix="Name one with --ref",
            )
        return listed[0]

    def _flat(self, descriptor: Descriptor, depth: int) -> Iterator[Descriptor]:
        if descriptor.get("mediaType") not in INDEXES:
            yield descriptor
            return
        if depth > _MAX_DEPTH:
            raise Unproven(f"{self.path} holds an index in an index, deeper than {_MAX_DEPTH}", fix=ANEW)
        index: dict[str, Any] = descriptor[""] if "" in descriptor else self.json(descriptor, shape.INDEX)
        for one in _list(index, "manifests"):
            yield from self._flat(one, depth + 1)

    def _image(self, descriptor: Descriptor) -> Image | None:
        """The image, or None for what lies beside images (attestations, artifacts)."""
        annotations = descriptor.get("annotations") or {}
        if "vnd.docker.reference.type" in annotations or descriptor.get("artifactType"):
            return None
        if descriptor.get("mediaType") not in MANIFESTS:
            return None
        manifest = self.json(descriptor, shape.MANIFEST)
        described = manifest.get("config") or {}
        config = self.json(described)
        if "rootfs" not in config or manifest.get("artifactType"):
            return None
        self._shaped(config, shape.CONFIGURATION, blob(described, self.path))
        ids = _list(config["rootfs"] or {}, "diff_ids")
        if len(ids) != len(_list(manifest, "layers")):
            raise Unproven(
                f"The image {descriptor['digest']} in {self.path} has not as many layers as its configuration says",
                expected=counted(len(ids), "layer"),
                found=f"{len(manifest['layers'])}",
                fix=ANEW,
            )
        return Image(descriptor, manifest, config)

    def take(self, descriptor: Descriptor, folder: Path) -> Path:
        """The blob as a file in ``folder``: linked where the file system can, else copied; not checked yet."""
        name = blob(descriptor, self.path)
        target = folder / Path(name).name
        if target.exists():
            return target
        try:
            if self._archive is None:
                with contextlib.suppress(OSError):
                    os.link(self.path / name, target, follow_symlinks=False)
                    if target.is_file() and not target.is_symlink():
                        return target
                    target.unlink()
            source = self.open(name)
        except OSError:
            raise self._lacks(descriptor) from None
        with source, target.open("xb") as t, _readable(self.path):
            shutil.copyfileobj(source, t, _CHUNK)
        return target

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()


def blob(descriptor: Descriptor, where: Path) -> str:
    """Where the blob of ``descriptor`` lies in a layout. Raises Unproven for any digest but SHA-256."""
    digest = descriptor.get("digest")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise Unproven(f"{where} names a blob by {str(digest)[:100]!r}", expected="sha256: and 64 digits", fix=ANEW)
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def wrong(descriptor: Descriptor, found: str) -> Unproven:
    """A blob that is not what it is named for."""
    return Unproven(
        "A blob of the base image is not what it is named for",
        expected=descriptor["digest"],
        found=found,
        fix=ANEW,
    )


def _converted(archive: Path) -> str:
    """The command that makes a layout of what ``docker save`` wrote to ``archive``."""
    return f"{shell('skopeo', 'copy', f'docker-archive:{archive}')} oci:DIR:NAME"


def _names(descriptor: Descriptor) -> list[str]:
    annotations = descriptor.get("annotations")
    if not isinstance(annotations, dict):
        return []
    return [str(annotations[k]) for k in (NAME, _OTHER_NAME) if k in annotations]


def _fits(platform: str, asked: str) -> bool:
    return platform == asked or platform.startswith(f"{asked}/")


def _list(found: dict[str, Any], key: str) -> list[Any]:
    value = found.get(key)
    if not isinstance(value, list) or not all(isinstance(v, dict | str) for v in value):
        raise Unproven(f"The base image is damaged: {key} is no list", fix=ANEW)
    return [v for v in value if isinstance(v, dict)] if key != "diff_ids" else value


def _archive(file: IO[bytes], path: Path) -> tarfile.TarFile:
    start = file.read(6)
    file.seek(0)
    if start.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh")):
        raise NoSource(
            f"{path} is a compressed archive, in which no blob can be found without unpacking all",
            fix="Unpack it into a folder (`tar -xf ARCHIVE -C DIR`) and name that folder with --base",
        )
    with _readable(path):
        return tarfile.open(fileobj=file, mode="r:")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as e:
        raise NoSource(
            f"{path} is no OCI image layout, neither a folder nor an archive of one: {e}",
            fix=_BY_SKOPEO,
        ) from None
