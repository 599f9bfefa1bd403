"""Package URLs, the one place where they are made: https://github.com/package-url/purl-spec ("Package URL specification")."""

from __future__ import annotations

import re
from urllib.parse import quote


def pypi(name: str, version: str, file: str | None = None) -> str:
    """A file of the package index: only for what is known, by hash, to be the index's."""
    return _purl("pypi", re.sub(r"[-_.]+", "-", name).lower(), version, {"file_name": file})


def generic(name: str, version: str, digest: str | None = None, file: str | None = None) -> str:
    """Anything that no index offers: an own wheel, this program."""
    return _purl("generic", name, version, {"checksum": f"sha256:{digest}" if digest else None, "file_name": file})


def oci(reference: str, digest: str) -> str:
    """An image: ``reference`` is its name with registry and perhaps tag, ``digest`` ``sha256:...``."""
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = reference, ""
    name = repository.rpartition("/")[2].lower()
    return _purl("oci", name, digest, {"repository_url": repository, "tag": tag or None})


def _purl(kind: str, name: str, version: str, qualifiers: dict[str, str | None]) -> str:
    pairs = sorted((k, v) for k, v in qualifiers.items() if v)
    query = "&".join(f"{k}={quote(v, safe=':/')}" for k, v in pairs)
    return f"pkg:{kind}/{quote(name, safe='')}@{quote(version, safe=':')}" + (f"?{query}" if query else "")
