"""CycloneDX 1.6 bills of materials (JSON), written with the standard library because images get one too.

Source of the format: https://github.com/CycloneDX/specification (``schema/bom-1.6.schema.json``); the tests hold every bill to
it. PEP 770 says where one lies in an installed distribution: ``<dist-info>/sboms/``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from kvroles.apply.state import TopicStatus
from kvroles.digest import sha256
from kvroles.vendored import purl
from kvroles.vendored.part import Part

NAME = "sboms/vllm-kv-roles.cdx.json"  # below dist-info
_SPACE = uuid.UUID(
    "6f0f4a3e-6f2c-5d19-9d1b-5a8e3f6b7c10"
)  # our name space: a serial number is the UUID of the bill's content
_LICENCE = [{"license": {"id": "Apache-2.0"}}]  # vLLM's, and this program's
_VLLM = {"name": "vLLM project", "url": ["https://github.com/vllm-project/vllm"]}
PROGRAM = "vllm-kv-roles"


def distribution(
    whole: Part,
    topics: tuple[TopicStatus, ...],
    name: str,
    version: str,
    files: Mapping[str, tuple[str, str]],
    ancestor: tuple[str, str | None],
) -> bytes:
    """The bill that lies in dist-info: the patched distribution, and each patched file (path -> SHA-256 before and after).

    It cannot hold the digest of the wheel it lies in. ``ancestor``: (purl, SHA-256 or None) of what was patched.
    """
    made = _patched(whole, topics, name, version, purl.generic(name, version), ancestor, None)
    parts = [
        {
            "type": "file",
            "bom-ref": path,
            "name": path,
            "hashes": _hashes(after),
            "licenses": _LICENCE,
            "supplier": {"name": PROGRAM},
            "pedigree": {"ancestors": [{"type": "file", "name": path, "hashes": _hashes(before), "supplier": _VLLM}]},
        }
        for path, (before, after) in sorted(files.items())
    ]
    return dumps(made, parts, None)


def wheel(
    whole: Part,
    topics: tuple[TopicStatus, ...],
    name: str,
    version: str,
    file: tuple[str, str],
    ancestor: tuple[str, str],
    date: str,
) -> bytes:
    """The bill beside a vendored wheel: ``file`` is its name and SHA-256, ``ancestor`` (purl, SHA-256) what it was made from."""
    url = purl.generic(name, version, file[1], file[0])
    return dumps(_patched(whole, topics, name, version, url, ancestor, file[1]), [], date)


def payload(file: str, data: bytes, whole: Part, topics: tuple[TopicStatus, ...], date: str) -> bytes:
    """The bill of an image's payload: the program that patches, with the patches it holds for the release."""
    release = whole.row.release
    made: dict[str, Any] = {
        "type": "application",
        "bom-ref": file,
        "name": file,
        "version": release,
        "purl": purl.generic(PROGRAM, sha256(data)[:12], sha256(data), file),
        "hashes": _hashes(sha256(data)),
        "licenses": _LICENCE,
        "supplier": {"name": PROGRAM},
        "pedigree": {"patches": patches(whole, topics), "notes": f"Patches vLLM {release} in an image"},
    }
    return dumps(made, [], date)


def patches(whole: Part, topics: tuple[TopicStatus, ...]) -> list[dict[str, Any]]:
    """Each topic's mail, a ``backport`` with its text and its upstream address where it has one."""
    out = []
    for status in topics:
        if status.variant is None:
            continue
        topic = whole.series.topic(status.topic)
        origin = topic.patch(status.variant).trailers.get("Origin", "")
        url = {"url": origin} if origin.startswith("https://") else {}
        issue: dict[str, Any] = {"type": "enhancement", "id": topic.name}
        if url:
            issue["references"] = [origin]
        text = {"contentType": "text/x-diff", "content": topic.raw(status.variant).decode("utf-8")}
        kind = "backport" if url else "unofficial"
        diff: dict[str, Any] = {"text": text, **url}
        out.append({"type": kind, "diff": diff, "resolves": [issue]})
    return out


def _patched(
    whole: Part,
    topics: tuple[TopicStatus, ...],
    name: str,
    version: str,
    url: str,
    ancestor: tuple[str, str | None],
    digest: str | None,
) -> dict[str, Any]:
    pedigree: dict[str, Any] = {
        "patches": patches(whole, topics),
        "notes": f"vLLM {whole.row.release} with the deprecation of kv_role='kv_both' for NixlConnector",
    }
    origin = {"type": "library", "name": name, "purl": ancestor[0], "licenses": _LICENCE, "supplier": _VLLM}
    pedigree["ancestors"] = [origin | ({"hashes": _hashes(ancestor[1])} if ancestor[1] else {})]
    return {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
        **({"hashes": _hashes(digest)} if digest else {}),
        "licenses": _LICENCE,
        "supplier": {"name": PROGRAM},
        "pedigree": pedigree,
    }


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def dumps(made: dict[str, Any], parts: Iterable[dict[str, Any]], date: str | None) -> bytes:
    """The bill of the component ``made``, its ``parts`` among the components; equal inputs give equal bytes."""
    listed = [made, *parts]
    serial = uuid.uuid5(_SPACE, sha256(json.dumps(listed, sort_keys=True).encode()))
    subject = {k: v for k, v in made.items() if k != "bom-ref"}
    data = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            **({"timestamp": date} if date else {}),
            "tools": {"components": [{"type": "application", "name": PROGRAM, "licenses": _LICENCE}]},
            "component": subject,
            "licenses": _LICENCE,
            "supplier": {"name": PROGRAM},
        },
        "components": listed,
        "dependencies": [{"ref": made["bom-ref"], "dependsOn": [p["bom-ref"] for p in listed[1:]]}],
    }
    return (json.dumps(data, indent=1) + "\n").encode()
