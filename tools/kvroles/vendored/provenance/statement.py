"""An in-toto statement (v1) with a SLSA provenance predicate (v1): output, inputs, and how the one came of the others.

Formats: in-toto Attestation Framework, "Statement v1"; SLSA "Provenance v1". It holds no time and no machine, so that
everyone who builds from the same inputs makes the same statement and can compare it byte for byte before signing.
"""

from __future__ import annotations

import json
from typing import Any

from kvroles.digest import sha256
from kvroles.places import project_root
from kvroles.series.lock import ReleaseRow
from kvroles.vendored import bill, part, purl
from kvroles.vendored.provenance import source as checkout
from kvroles.vendored.wheel.wheel import Built, Source, of_wheel

_BUILD = "urn:vllm-kv-roles:vendor:{}:v1"


def for_wheel(source: Source, built: Built, bom: bytes) -> bytes:
    """The statement for a vendored wheel; ``bom`` is its SBOM."""
    row = source.part.row
    inputs = [
        _resource(source.path.name, source.sha256, of_wheel(source)),
        *_inputs(part.patches(source.part, source.planned.topics)),
    ]
    return _statement(
        "wheel",
        [_resource(built.path.name, built.sha256)],
        {"release": row.release, "version": built.version, "official": source.official is not None},
        inputs,
        [_resource(f"{built.path.name}.cdx.json", sha256(bom))],
    )


def for_image(files: dict[str, bytes], row: ReleaseRow, base: str, mails: dict[str, str]) -> bytes:
    """The statement for a build context: every file in it, and the base image it starts from."""
    inputs = _inputs(mails)
    reference, _, digest = base.partition("@sha256:")
    if digest:
        inputs.insert(0, _resource(reference, digest, purl.oci(reference, f"sha256:{digest}")))
    return _statement(
        "image-context",
        [_resource(name, sha256(data)) for name, data in sorted(files.items())],
        {"release": row.release, "base": base},
        inputs,
        [],
    )


def for_oci(subjects: dict[str, str], release: str, base: str, inputs: dict[str, str], mails: dict[str, str]) -> bytes:
    """The statement for an OCI layout: ``subjects`` and ``inputs`` are name -> ``sha256:...`` of images made and taken."""
    taken = [
        _resource(n, d.removeprefix("sha256:"), purl.oci(base, d) if base else None) for n, d in sorted(inputs.items())
    ]
    return _statement(
        "oci-layout",
        [_resource(name, digest.removeprefix("sha256:")) for name, digest in sorted(subjects.items())],
        {"release": release, "base": base},
        [*taken, *_inputs(mails)],
        [],
    )


def _inputs(mails: dict[str, str]) -> list[dict[str, Any]]:
    """What was opened: the patches, the lock, and the program itself, by its files and, in a clean checkout, its commit."""
    found = checkout.checkout()
    digest = {"sha256": checkout.digest()} | ({"gitCommit": found.commit} if found and found.clean else {})
    program = {
        "name": bill.PROGRAM,
        "digest": digest,
        "annotations": {"sha256": "of the lines that 'sha256sum' gives for tools, patches and vllm_overlay, sorted"},
    }
    return [
        program,
        *(_resource(f"patches/{name}", digest) for name, digest in sorted(mails.items())),
        _resource("patches/lock.json", sha256((project_root() / "patches" / "lock.json").read_bytes())),
    ]


def _statement(
    kind: str,
    subject: list[dict[str, Any]],
    parameters: dict[str, Any],
    inputs: list[dict[str, Any]],
    byproducts: list[dict[str, Any]],
) -> bytes:
    data = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD.format(kind),
                "externalParameters": parameters,
                "internalParameters": {},
                "resolvedDependencies": inputs,
            },
            "runDetails": {
                "builder": {"id": "urn:vllm-kv-roles:vendor"},
                "metadata": {},
                "byproducts": byproducts,
            },
        },
    }
    return (json.dumps(data, indent=1) + "\n").encode()


def _resource(name: str, digest: str, uri: str | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {"name": name, "digest": {"sha256": digest}}
    return {"uri": uri, **out} if uri else out
