"""``oci``: a patched image as an OCI image layout, written from one of its base. No daemon, and no code of the base is run."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvroles.digest import sha256
from kvroles.errors import DoesNotApply, UsageError, os_error
from kvroles.progress import Progress
from kvroles.said import counted, said, shell
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from kvroles.tree import handles, stage
from kvroles.tree.writer import one_writer
from kvroles.vendored import part, receipt
from kvroles.vendored.image import contents, labels, layer, layout, packages
from kvroles.vendored.image.layout import Descriptor, Image
from kvroles.vendored.installed import addition
from kvroles.vendored.installed.report import SCHEMA
from kvroles.vendored.installed.search import same
from kvroles.vendored.provenance import files as provenance
from kvroles.vendored.provenance import statement

PROOF = "files read, not run"  # every byte of the package was held against RECORD; no Python of the image was asked
STATEMENT = "image.intoto.json"
_LAYER = {
    layout.DOCKER_MANIFEST: "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "": "application/vnd.oci.image.layer.v1.tar+gzip",
}
_MAX_LISTED = 20


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    revision: str
    base: Path
    ref: str | None
    base_name: str
    platforms: tuple[str, ...]
    output: Path | None
    site: str | None
    part: str
    strict: bool
    sign_with: str | None
    quiet: bool


@dataclass(frozen=True)
class Patched:
    """One platform of the result. ``layer`` is the digest of the layer that was added, None where no file had to change."""

    platform: str
    release: str
    distribution: str
    version: str
    site: str
    state: str  # patched, native, or patched already
    census: packages.Census
    files: tuple[str, ...]
    layer: str | None
    layer_size: int
    manifest: Descriptor
    patches: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """A written layout: ``digest`` is that of its index, or of its one manifest."""

    path: Path
    name: str
    digest: str
    base_digest: str
    platforms: tuple[Patched, ...]
    passed: tuple[str, ...]
    statement: Path


def write(request: Request, series: Series, lock: Lock) -> Outcome:
    """Patch every platform of the base and write the layout; one at that place is replaced in one step.

    Raises NoSource (no layout, no vLLM), Unproven (a blob, or a file of vLLM, is not what it should be), DoesNotApply.
    """
    source = layout.Layout(request.base)
    try:
        base = source.base(request.ref, request.platforms)
        output = request.output or Path("build") / f"oci-{request.revision}"
        _free(output, request.base)
        staging = output.with_name(f".{output.name}.kv-roles-new")
        with one_writer(output):
            stage.discard(staging)
            blobs = staging / "blobs" / "sha256"
            blobs.mkdir(parents=True)
            try:
                done = [_patch(image, source, blobs, request, series, lock) for image in base.images]
                return _finish(request, base, done, staging, output)
            finally:
                stage.discard(staging)
    except OSError as e:
        raise os_error(
            f"{request.output or 'build'} could not be written", e, "Choose another place with --output"
        ) from None
    finally:
        source.close()


def _free(output: Path, base: Path) -> None:
    if not os.path.lexists(output):
        return
    if output.is_symlink() or not output.is_dir():
        raise UsageError(f"{output} is no folder", fix="Choose another with --output")
    if same(output, base):
        raise UsageError(f"{output} is the base itself", fix="Choose another folder with --output")
    known = {"oci-layout", "index.json", "blobs"}
    if any(p.name not in known and not p.name.startswith(STATEMENT) for p in output.iterdir()):
        raise UsageError(f"{output} holds other things than an image layout", fix="Choose another with --output")


def _patch(image: Image, source: layout.Layout, blobs: Path, request: Request, series: Series, lock: Lock) -> Patched:
    entries = _entries(image, source, blobs, lock, request)
    runtime = request.part == receipt.RUNTIME
    found = packages.find(image, entries, request.site, runtime=runtime)
    where = f"/{found.top} of the image for {image.platform}"
    read = packages.census(found)
    if request.strict and read.odd:
        raise DoesNotApply(
            f"{where} has {counted(len(read.odd), 'file')} not as RECORD says, and --strict asks for all",
            found="; ".join(read.odd[:3]),
            fix="List them and go on with `--no-strict`",
        )
    whole = part.choose(found.installed.version, request.revision, series, lock, found.read, where, by_context=runtime)
    planned = part.plan(whole, found.read, where, "--part runtime --no-strict")
    if planned.shipped:
        raise DoesNotApply(
            f"{where} was patched by an earlier series of this project",
            found=f"{planned.changes[0].path} as that series left it",
            fix="Name the image that it was made from, and make it anew from that",
        )
    upper = _upper_layer(found, whole, planned, read.sentence, runtime=runtime) if planned.changes else None
    mails = part.patches(whole, planned.topics)
    facts = labels.Facts(
        whole.row.release,
        planned.native,
        request.base_name,
        str(image.descriptor["digest"]),
        tuple(sorted(mails)),
        PROOF,
        receipt.NOT_ASKED,
    )
    return Patched(
        image.platform,
        whole.row.release,
        found.installed.name,
        found.installed.version,
        f"/{found.top}",
        "native" if planned.native else "patched" if upper else "patched already",
        read,
        tuple(c.path for c in planned.changes),
        *_image(image, upper, labels.of(facts), blobs),
        mails,
    )


def _entries(
    image: Image, source: layout.Layout, blobs: Path, lock: Lock, request: Request
) -> dict[str, contents.Entry]:
    """Take the base's layers into ``blobs``, and list what their files come to, one layer over the other."""
    layers = image.manifest["layers"]
    size = sum(d.get("size") or 0 for d in layers)
    with Progress(f"Reading {image.platform}", size, quiet=request.quiet) as bar:
        have = 0
        for descriptor in layers:
            source.take(descriptor, blobs)
            have += descriptor.get("size") or 0
            bar.at(have)
        return contents.read(image, blobs, _kept(lock))


def _upper_layer(found: packages.Found, whole: part.Part, planned: part.Planned, read: str, *, runtime: bool) -> bytes:
    """The layer with the patched files, what stands beside them, and RECORD where the package has one."""
    record = None if found.record is None else found.read(found.installed.record)
    added = addition.of(
        found.installed, whole, planned, record, read=read, construction=receipt.NOT_ASKED, runtime=runtime
    )
    replaced = {c.path: c.after or b"" for c in planned.changes}
    if added.record is not None:
        replaced[found.installed.record] = added.record
    return layer.archive(found, replaced, added.files)


def _kept(lock: Lock) -> frozenset[str]:
    """The files whose bytes a patch may need, from ``/vllm/`` on."""
    paths = {p for row in lock.releases.values() for t in row.topics.values() for p in t.files}
    return frozenset(
        {f"/{p}" for p in paths if p.startswith(part.PACKAGE)} | {"/vllm/__init__.py", "/vllm/_version.py"}
    )


def _image(image: Image, upper: bytes | None, told: dict[str, str], blobs: Path) -> tuple[str | None, int, Descriptor]:
    """Write layer, configuration and manifest; returns the layer's digest and size, and the manifest's descriptor."""
    config = dict(image.config)
    manifest = dict(image.manifest)
    digest, size = None, 0
    if upper is not None:
        packed = gzip.compress(upper, 9, mtime=0)
        kind = _LAYER.get(str(image.manifest.get("mediaType", image.descriptor.get("mediaType"))), _LAYER[""])
        described = _put(blobs, packed, kind)
        digest, size = described["digest"], len(packed)
        manifest["layers"] = [*manifest["layers"], described]
        ids = [*config["rootfs"]["diff_ids"], f"sha256:{sha256(upper)}"]
        config["rootfs"] = {**config["rootfs"], "diff_ids": ids}
        line = {"created": labels.DATE, "created_by": "kv-roles vendor oci", "comment": told[f"{labels.OCI}.title"]}
        config["history"] = [*(config.get("history") or []), line]
    config["created"] = labels.DATE
    inner = dict(config.get("config") or {})
    inner["Labels"] = {**(inner.get("Labels") or {}), **told}
    config["config"] = inner
    manifest["config"] = {**manifest["config"], **_put(blobs, _json(config), str(manifest["config"].get("mediaType")))}
    manifest.pop("subject", None)
    media = str(image.descriptor["mediaType"])
    if media != layout.DOCKER_MANIFEST:  # Docker's manifests have none
        kept = {k: v for k, v in (manifest.get("annotations") or {}).items() if not k.startswith(labels.OCI)}
        manifest["annotations"] = kept | {k: v for k, v in told.items() if k.startswith(labels.OCI) and v}
    described = _put(blobs, _json(manifest), media)
    platform = image.descriptor.get("platform")
    return digest, size, described | ({"platform": platform} if platform else {})


def _put(blobs: Path, data: bytes, media: str) -> Descriptor:
    digest = sha256(data)
    _file(blobs / digest, data)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}


def _file(path: Path, data: bytes) -> None:
    handles.write(path, data)
    path.chmod(0o644)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _finish(request: Request, base: layout.Base, done: list[Patched], staging: Path, output: Path) -> Outcome:
    releases = sorted({p.release for p in done})
    if len(releases) > 1:
        raise DoesNotApply(
            "The platforms of the base hold different releases of vLLM",
            expected="one",
            found=", ".join(f"{p.platform}: {p.release}" for p in done),
            fix="Write a layout for each, with --platform",
        )
    name = f"vllm-kv-roles:{releases[0]}"
    blobs = staging / "blobs" / "sha256"
    if base.is_index:
        index = {"schemaVersion": 2, "mediaType": layout.INDEXES[0], "manifests": [p.manifest for p in done]}
        top = _put(blobs, _json(index), layout.INDEXES[0])
    else:
        (only,) = done
        top = dict(only.manifest)
    base_digest = str(base.descriptor.get("digest", ""))
    top["annotations"] = {layout.NAME: name, "io.containerd.image.name": f"docker.io/library/{name}"}
    _file(staging / "index.json", _json({"schemaVersion": 2, "mediaType": layout.INDEXES[0], "manifests": [top]}))
    _file(staging / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    subjects = {name: top["digest"]} | {f"{name} {p.platform}": p.manifest["digest"] for p in done}
    inputs = {request.base_name or "base image": base_digest} if base_digest else {}
    inputs |= {f"base image {i.platform}": str(i.descriptor["digest"]) for i in base.images}
    mails = {k: v for p in done for k, v in p.patches.items()}
    text = statement.for_oci(subjects, releases[0], request.base_name, inputs, mails)
    _file(staging / STATEMENT, text)
    if request.sign_with:
        provenance.sign(staging / STATEMENT, request.sign_with)
    stage.exchange(staging, output)
    return Outcome(output, name, top["digest"], base_digest, tuple(done), base.passed, output / STATEMENT)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "schema": SCHEMA,
        "did": "oci",
        "path": str(outcome.path),
        "name": outcome.name,
        "digest": outcome.digest,
        "base_digest": outcome.base_digest or None,
        "statement": str(outcome.statement),
        "passed_over": list(outcome.passed),
        "platforms": [
            {
                "platform": p.platform,
                "release": p.release,
                "distribution": p.distribution,
                "version": p.version,
                "site_packages": p.site,
                "did": p.state,
                "files": list(p.files),
                "manifest": p.manifest["digest"],
                "layer": None if p.layer is None else {"digest": p.layer, "size": p.layer_size},
                "proof": PROOF,
                "read": {
                    "files": p.census.read,
                    "as_recorded": p.census.as_recorded,
                    "unvouched": p.census.unvouched,
                    "bytecode_not_compared": p.census.bytecode,
                    "elsewhere_not_read": p.census.elsewhere,
                    "startup_code": list(p.census.startup),
                },
                "changed_by_others": list(p.census.odd),
            }
            for p in outcome.platforms
        ],
    }


def text(outcome: Outcome) -> str:
    """For people."""
    lines = [f"{outcome.name}: OCI image layout in {said(outcome.path)}", f"  digest    {outcome.digest}"]
    for p in outcome.platforms:
        lines.append(f"  {said(p.platform)}: {p.state}, {said(p.distribution)} {said(p.version)} in {said(p.site)}")
        layer = "no layer was added" if p.layer is None else f"one layer of {p.layer_size:,} bytes"
        lines.append(f"    manifest  {p.manifest['digest']}, {layer}")
        lines.append(
            f"    {PROOF}: {p.census.sentence}; not read: bytecode ({p.census.bytecode}), "
            f"scripts and data elsewhere ({p.census.elsewhere})"
        )
        lines += [f"    start-up code: {said(path)}" for path in p.census.startup]
        lines += [f"    changed by others: {said(one)}" for one in p.census.odd[:_MAX_LISTED]]
        if len(p.census.odd) > _MAX_LISTED:
            lines.append(f"    ... and {len(p.census.odd) - _MAX_LISTED} more, which --json lists")
    lines += [f"  passed over: {said(one)}" for one in outcome.passed]
    folder = shell(outcome.path)
    lines.append(
        f"  load it with `skopeo copy --all oci:{folder}:{outcome.name} docker://...`, or `podman load`; then run `verify` in "
        "it: only that asks its Python"
    )
    return "\n".join(lines) + "\n"
