"""What Helm keeps of a release in the cluster: the values it was given, those of its chart, and what it made of them.

A release is a Secret of type ``helm.sh/release.v1``; its ``release`` is JSON, compressed by gzip, in base64, and once more in
base64 as every Secret's value (Helm: ``pkg/storage/driver/util.go``).
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from kvroles.migrate.cluster.objects import Name

TYPE = "helm.sh/release.v1"
_MAX_BYTES = 64 << 20  # of a release, unpacked; Helm itself cannot store more than 1 MB packed


class Release(NamedTuple):
    """A release: its values by where they stand, and the objects of its manifest as YAML."""

    name: str
    namespace: str
    values: dict[str, Any]
    manifest: str


class BrokenReleaseError(Exception):
    """A Secret that says it is a Helm release and is none; the message says why."""


def deployed(secrets: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Name, Release | BrokenReleaseError]]:
    """The releases among ``secrets`` that are in force, each with its Secret."""
    for secret in secrets:
        metadata = _table(secret.get("metadata"))
        labels = _table(metadata.get("labels"))
        if secret.get("type") == TYPE and labels.get("status", "deployed") == "deployed":
            name = Name("Secret", str(metadata.get("namespace", "")), str(metadata.get("name", "?")))
            try:
                yield name, read(_table(secret.get("data")).get("release", ""))
            except BrokenReleaseError as e:
                yield name, e


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def read(text: str) -> Release:
    """The release that a Secret's ``release`` holds; raises ``BrokenReleaseError``."""
    try:
        packed = base64.b64decode(base64.b64decode(text, validate=True), validate=True)
        if packed[:2] == b"\x1f\x8b":
            unpack = zlib.decompressobj(31)
            packed = unpack.decompress(packed, _MAX_BYTES)
            if unpack.unconsumed_tail:
                raise BrokenReleaseError(f"unpacked it is larger than {_MAX_BYTES >> 20} MB")
        data = json.loads(packed)
        chart = data.get("chart") or {}
        values = {"values": data.get("config") or {}, "values of the chart": chart.get("values") or {}}
        return Release(str(data["name"]), str(data.get("namespace", "")), values, str(data.get("manifest") or ""))
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise BrokenReleaseError(f"it cannot be read ({type(e).__name__})") from None
