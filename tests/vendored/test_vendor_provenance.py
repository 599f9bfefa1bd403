"""Provenance: an SBOM that names the patches and a statement that names every input, in the formats they claim."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from support.driver import Ran
from support.tiny import Tiny

Vendor = Callable[..., Ran]
SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "data"


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def built(vendor: Vendor, wheel: Path, tmp_path: Path) -> Path:
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out").ok()
    return next((tmp_path / "out").glob("*.whl"))


def statement(path: Path) -> dict[str, Any]:
    """The statement, once both layers of it are what the formats say; unknown fields are errors."""
    data: dict[str, Any] = json.loads(path.read_bytes())
    Statement.copy_from_pb(ParseDict(data, Statement([], "", {}).pb)).validate()
    ParseDict(data["predicate"], Provenance())
    assert data["predicateType"] == "https://slsa.dev/provenance/v1"
    return data


def test_the_sbom_is_valid_and_says_what_was_patched(built: Path, wheel: Path, tiny: Tiny) -> None:
    text = Path(f"{built}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    made = json.loads(text)["metadata"]["component"]
    assert made["hashes"] == [{"alg": "SHA-256", "content": sha(built)}]
    assert made["purl"].startswith("pkg:pypi/vllm@0.22.1%2Bkvroles.1")
    (ancestor,) = made["pedigree"]["ancestors"]
    assert ancestor["hashes"] == [{"alg": "SHA-256", "content": sha(wheel)}]
    (patch,) = made["pedigree"]["patches"]
    topic = tiny.series().topic("connector-warning")
    variant = tiny.row().topics["connector-warning"].variant
    assert variant is not None
    assert patch["diff"]["text"]["content"] == topic.raw(variant).decode()


def test_a_backport_names_its_upstream_address() -> None:
    from kvroles.apply.plan import State, TopicStatus
    from kvroles.series import project
    from kvroles.vendored import part
    from kvroles.vendored.provenance import sbom

    series, lock = project.load()
    whole = part.of(lock.releases["0.22.1"], series)
    variant = whole.row.topics["connector-warning"].variant
    (patch,) = sbom.patches(whole, (TopicStatus("connector-warning", variant, State.APPLIED, ()),))
    assert patch.type.value == "backport"
    assert patch.diff is not None
    assert str(patch.diff.url) == "https://github.com/vllm-project/vllm/pull/43874"


def test_the_statement_is_valid_and_names_every_input(built: Path, wheel: Path, tiny: Tiny) -> None:
    data = statement(Path(f"{built}.intoto.json"))
    assert data["subject"] == [{"name": built.name, "digest": {"sha256": sha(built)}}]
    inputs = {r["name"]: r["digest"]["sha256"] for r in data["predicate"]["buildDefinition"]["resolvedDependencies"]}
    variant = tiny.row().topics["connector-warning"].variant
    archive = tiny.row().archive
    assert archive is not None
    mail = f"patches/connector-warning/{variant}.patch"
    assert inputs == {
        wheel.name: sha(wheel),
        archive.name: archive.sha256,
        mail: sha(tiny.root / mail),
        "patches/lock.json": sha(tiny.root / "patches/lock.json"),
    }
    (bom,) = data["predicate"]["runDetails"]["byproducts"]
    assert bom["digest"]["sha256"] == sha(Path(f"{built}.cdx.json"))


def test_the_statement_is_handed_to_the_signing_command(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    signer = f"{sys.executable} -c 'import sys,shutil; shutil.copy(sys.argv[1], sys.argv[2])' {{}} {{}}.sig"
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out", "--sign-with", signer).ok()
    (signature,) = (tmp_path / "out").glob("*.intoto.json.sig")
    assert signature.read_bytes() == signature.with_suffix("").read_bytes()


@pytest.mark.parametrize(
    ("command", "code", "phrase"),
    [
        (f"{sys.executable} -c 'import sys; sys.exit(\"no key\")'", 3, "no key"),
        ("a-command-that-is-not-there", 2, "could not be run"),
        ("'unbalanced", 2, "is not a command"),
        (" ", 2, "is empty"),
    ],
)
def test_what_could_not_be_signed_is_not_left_behind(
    vendor: Vendor, wheel: Path, tmp_path: Path, command: str, code: int, phrase: str
) -> None:
    out = tmp_path / "out"
    ran = vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", out, "--sign-with", command)
    ran.refused(code, phrase)
    assert list(out.iterdir()) == []


def test_results_and_receipts_are_as_their_schemas_say(vendor: Vendor, wheel: Path, site: Path, tmp_path: Path) -> None:
    results = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "vendor.schema.json").read_text()))
    receipts = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "vendor-receipt.schema.json").read_text()))
    base = f"example/vllm@sha256:{'0' * 64}"
    for argv in (
        ("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out"),
        ("install", "--site-packages", site),
        ("install", "--site-packages", site),
        ("verify", "--site-packages", site),
        ("uninstall", "--site-packages", site),
        ("image", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "image"),
    ):
        results.validate(json.loads(vendor(*argv, "--json").ok().out))
        for path in site.glob("*/kv-roles/receipt.json"):
            receipts.validate(json.loads(path.read_bytes()))
    ran = vendor("install", "--site-packages", tmp_path / "nowhere", "--json")
    results.validate(json.loads(ran.out))
    with pytest.raises(jsonschema.ValidationError):
        receipts.validate({"schema": 1})
