"""The files round one that is read are listed and read once a run, and anew in the next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kvroles.migrate import cli, neighbours


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _codes(capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert cli.main(["--json", "."]) == 0
    return [f["code"] for f in json.loads(capsys.readouterr().out)["findings"]]


def test_a_run_sees_what_was_written_beside_a_file_since_the_run_before(capsys: pytest.CaptureFixture[str]) -> None:
    Path("deploy").mkdir()
    Path("deploy/kv.yaml").write_text("kv:\n  kv_connector: LMCacheConnectorV1\n  kv_role: kv_both\n")
    script = Path("deploy/start.sh")
    script.write_text("cat kv.yaml  # the connector\n")
    assert _codes(capsys) == ["KVR121"]
    script.write_text("sed -i s/LMCacheConnectorV1/NixlConnector/ kv.yaml\n")
    assert _codes(capsys) == ["KVR118"]


def test_a_substitution_beside_the_folder_counts_for_each_file_below_the_same_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a", "b"):
        Path("deploy", name).mkdir(parents=True)
        Path("deploy", name, "kv.yaml").write_text("kv:\n  kv_connector: LMCacheConnectorV1\n  kv_role: kv_both\n")
    Path("deploy/start.sh").write_text("sed -i s/LMCacheConnectorV1/NixlConnector/ $1/kv.yaml\n")
    assert _codes(capsys) == ["KVR118", "KVR118"]


def test_a_folder_has_one_name_for_all_files_below_the_same_folder_unless_a_link_leads_elsewhere() -> None:
    Path("other/inner").mkdir(parents=True)
    Path("a/b").mkdir(parents=True)
    Path("a/link").symlink_to("../other/inner")
    assert neighbours.plain("a/b/../c") == "a/c"
    assert neighbours.plain("a/b/..") == "a"
    assert neighbours.plain("a/..") == ""
    assert neighbours.plain("/a/..") == "/"
    assert neighbours.plain("..") == ".."
    assert neighbours.plain("a/link/..") == "a/link/.."  # it is ``other``
