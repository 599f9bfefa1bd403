"""The files round one that is read are listed and read once a run, and anew in the next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kvroles.migrate import cli
from kvroles.migrate.files import neighbours


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


COMPOSE = """services:
  prefill: {env_file: prefill.env, environment: {ROLE: prefill}, command: vllm serve m}
  decode: {env_file: prefill.env, environment: {ROLE: decode}, command: vllm serve m}
"""


@pytest.mark.parametrize(
    ("compose", "before", "code"),
    [
        (COMPOSE.encode(), 0, "KVR113"),
        (COMPOSE.encode() + b"# a long file\n" * 20_000, 0, "KVR112"),
        (b"services: {}\n" + b"# a long old-prefill.env\n" * 20_000, 0, "KVR101"),
        (COMPOSE.encode("utf-16"), 0, "KVR113"),
        (COMPOSE.encode("utf-16") + "# a long file\n".encode("utf-16-le") * 20_000, 0, "KVR112"),
        (b"# \0\n" + COMPOSE.encode(), 0, "KVR113"),
        (COMPOSE.encode().replace(b"decode: {", b"decode: {labels: [\xe9], "), 0, "KVR113"),
        (COMPOSE.encode(), neighbours.MANY + 10, "KVR113"),
    ],
    ids=["as it is", "large", "large without the name", "UTF-16", "large UTF-16", "a zero", "Latin-1", "far back"],
)
def test_a_file_that_names_another_is_heard_however_it_is_written_or_asked_for(
    compose: bytes, before: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("prefill.env").write_text('KV_TRANSFER_CONFIG={"kv_connector":"NixlConnector","kv_role":"kv_both"}\n')
    Path("decode.env").write_text("X=1\n")
    Path("compose.yaml").write_bytes(compose)
    for n in range(before):
        Path(f"a{n}.yaml").write_text("a: 1\n")
    assert _codes(capsys) == [code]


def test_a_file_beside_that_cannot_be_opened_leaves_what_only_a_name_says_undecided(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("prefill.env").write_text('KV_TRANSFER_CONFIG={"kv_connector":"NixlConnector","kv_role":"kv_both"}\n')
    Path("decode.env").write_text("X=1\n")
    Path("compose.yaml").write_text("services: {}\n")
    assert _codes(capsys) == ["KVR101"]
    monkeypatch.setattr("os.access", lambda path, _mode: not str(path).endswith("compose.yaml"))
    assert _codes(capsys) == ["KVR112"]


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


def test_a_file_whose_pair_is_not_decided_is_written_once_either_of_the_two_is_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = 'args: [--kv-transfer-config, \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\']\n'
    Path("prefill.yaml").write_text(config)
    Path("decode.yaml").write_text(f"prefill-worker: x\n{config}")

    def said(*args: str) -> dict[str, str]:
        assert cli.main(["--json", *args]) == 0
        return {f["path"]: f["code"] for f in json.loads(capsys.readouterr().out)["findings"]}

    left = {"decode.yaml": "KVR112", "prefill.yaml": "KVR127"}
    assert said(".") == left
    assert said("prefill.yaml") == {"prefill.yaml": "KVR127"}
    assert said(".", "--side", "decode.yaml=decode") == {"decode.yaml": "KVR102", "prefill.yaml": "KVR101"}
    assert said(".", "--side", "prefill.yaml:1=prefill") == left | {"prefill.yaml": "KVR101"}


def test_one_side_of_a_pair_is_written_alone_once_it_is_answered_for_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("a.yaml").write_text(
        'prefill: {kv_connector: "{{ .Values.c }}", kv_role: kv_both}\n'
        "decode: {kv_connector: NixlConnector, kv_role: kv_both}\n"
    )
    assert _codes(capsys) == ["KVR118", "KVR127"]
    assert cli.main(["--json", ".", "--side", "a.yaml:2=decode"]) == 0
    assert [f["code"] for f in json.loads(capsys.readouterr().out)["findings"]] == ["KVR118", "KVR102"]
