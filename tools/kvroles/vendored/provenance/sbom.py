"""A CycloneDX SBOM that says: this wheel is that wheel, plus these backported patches (``pedigree``)."""

from __future__ import annotations

import uuid
from datetime import datetime

from cyclonedx.model import AttachedText, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Diff, Patch, PatchClassification, Pedigree
from cyclonedx.model.issue import IssueClassification, IssueType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from kvroles.apply.plan import TopicStatus
from kvroles.digest import sha256
from kvroles.vendored.part import Part
from kvroles.vendored.wheel.wheel import Built, Source

_SPACE = uuid.UUID("6f0f4a3e-6f2c-5d19-9d1b-5a8e3f6b7c10")  # ours; serial numbers are named in it by content


def for_wheel(source: Source, built: Built) -> bytes:
    """The SBOM of a vendored wheel, JSON (CycloneDX 1.6); the same inputs give the same bytes."""
    ancestor = _wheel(source.distribution, source.version, source.sha256, source.path.name)
    made = _wheel(source.distribution, built.version, built.sha256, built.path.name)
    made.pedigree = Pedigree(
        ancestors=[ancestor],
        patches=patches(source.part, source.planned.topics),
        notes=f"vLLM {source.part.row.release} with the deprecation of kv_role='kv_both' for NixlConnector",
    )
    return dumps(made, source.date, built.sha256)


def patches(whole: Part, topics: tuple[TopicStatus, ...]) -> list[Patch]:
    """Each topic's mail as a ``backport`` with its text and its upstream address."""
    out = []
    for status in topics:
        if status.variant is None:
            continue
        topic = whole.series.topic(status.topic)
        origin = topic.patch(status.variant).trailers.get("Origin", "")
        url = XsUri(origin) if origin.startswith("https://") else None
        resolves = [IssueType(type=IssueClassification.ENHANCEMENT, id=topic.name, references=[url] if url else None)]
        text = AttachedText(content=topic.raw(status.variant).decode("utf-8"), content_type="text/x-diff")
        kind = PatchClassification.BACKPORT if url else PatchClassification.UNOFFICIAL
        out.append(Patch(type=kind, diff=Diff(text=text, url=url), resolves=resolves))
    return out


def payload(
    name: str, data: bytes, release: str, whole: Part, topics: tuple[TopicStatus, ...], date: datetime
) -> bytes:
    """The SBOM of an image's payload: the program that patches, with the patches it holds for ``release``."""
    made = Component(
        name=name,
        type=ComponentType.APPLICATION,
        version=release,
        bom_ref=name,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256(data))],
        pedigree=Pedigree(patches=patches(whole, topics), notes=f"Patches vLLM {release} in an image"),
    )
    return dumps(made, date, sha256(data))


def dumps(component: Component, date: datetime, digest: str) -> bytes:
    """The SBOM of one component."""
    bom = Bom(
        serial_number=uuid.uuid5(_SPACE, digest), metadata=BomMetaData(component=component, timestamp=date), version=1
    )
    return JsonV1Dot6(bom).output_as_string(indent=1).encode() + b"\n"


def _wheel(name: str, version: str, digest: str, file: str) -> Component:
    return Component(
        name=name,
        type=ComponentType.LIBRARY,
        version=version,
        bom_ref=file,
        purl=PackageURL("pypi", None, name.lower().replace("_", "-"), version, {"file_name": file}),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )
