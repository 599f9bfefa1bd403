"""``--target-vllm``: what a release does with the role, and the settings with which the move needs care."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvroles.migrate.verdict import hazards
from kvroles.series import project
from kvroles.series.release import version
from support.two_servers import NIXL, SCRIPT, UNSAID, run

pytestmark = pytest.mark.usefixtures("here")


def test_target_release_says_what_it_does_with_the_role(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.sh").write_text(SCRIPT)
    _, out, _ = run(capsys, "--target-vllm", "0.22.1", "-v", "run.sh")
    assert "the move changes nothing there" in out
    _, out, _ = run(capsys, "--target-vllm", "v0.33.0", "-v", "run.sh")
    assert "warns of kv_both" in out
    assert "KVR136" in out


def test_a_release_newer_than_any_known_is_not_answered_from_the_newest(capsys: pytest.CaptureFixture[str]) -> None:
    newest = list(project.load()[1].releases)[-1]
    assert version(hazards.NEWEST) <= version(newest), "NEWEST is the last release whose effects were read"
    Path("run.sh").write_text(SCRIPT)
    for release in ("0.99.0", f"{newest}.post1", f"{newest.rsplit('.', 1)[0]}.9"):
        code, out, err = run(capsys, "--write", "--target-vllm", release, "run.sh")
        assert (code, out) == (2, "")
        assert f"{release} is newer than any release known here" in err
        assert f"--target-vllm {hazards.NEWEST}" in err
    assert Path("run.sh").read_text() == SCRIPT
    assert run(capsys, "--target-vllm", hazards.NEWEST, "run.sh")[0] == 0


CHILDREN = f'{{"connectors":[{NIXL}]}}'
MULTI = f'{{"kv_connector":"MultiConnector","kv_role":"kv_producer","kv_connector_extra_config":{CHILDREN}}}'
EFFECTS = {
    # what is started, since which release, what is said
    "prefill -pcp 2": ("0.29.0", "KVR133", "prefill context parallelism becomes allowed on a kv_producer"),
    "decode --prefill-context-parallel-size 4": (
        "0.29.0",
        "KVR133",
        "is refused on a kv_consumer, as it was with kv_both",
    ),
    "prefill --limit-mm-per-prompt 1": ("0.28.0", "KVR134", "leave out the embedding tensor become errors"),
    "prefill --limit-mm-per-prompt 2": ("0.30.0", "KVR134", "embedding inputs need --enable-mm-embeds"),
    "prefill MULTI": ("0.24.0", "KVR135", "follow MultiConnector's own role, which stays as it is"),
}


@pytest.mark.parametrize("started", EFFECTS)
def test_what_changes_with_a_role_is_said_from_the_release_on_in_which_it_does(
    capsys: pytest.CaptureFixture[str], started: str
) -> None:
    since, code, words = EFFECTS[started]
    side, flags = started.split(" ", 1)
    config, flags = (MULTI, "") if flags == "MULTI" else (NIXL, flags)
    Path(f"{side}.sh").write_text(
        f"# {side}\n# the other: prefill, decode\nvllm serve m {flags} --kv-transfer-config '{config}'\n"
    )
    known = list(project.load()[1].releases)
    for release, said in ((since, True), (known[known.index(since) - 1], False)):
        _, out, _ = run(capsys, "-v", "--target-vllm", release, f"{side}.sh")
        assert (code in out and words in " ".join(out.split())) == said, (release, out)


AROUND = {
    # a config of NIXL's, in what names the class that it is of
    "prefill.yaml": "# P/D\nprefill: {class: NixlConnector, config: {kv_connector: NixlConnector, kv_role: kv_both}}\n",
    "prefill.py": f'# P/D\ndef prefill():\n    return {{"class": "NixlConnector", "config": {NIXL}}}\n',
    "prefill.sh": f"""# P/D prefill\nserve '{{"class":"NixlConnector","config":{NIXL}}}'\n""",
    "prefill.ps1": '# P/D\nfunction Prefill { $c = @{ class = "NixlConnector"; config = @{ kv_connector = "NixlConnector"; '
    'kv_role = "kv_both" } } }\n',
}


@pytest.mark.parametrize("name", AROUND)
def test_nixl_named_again_round_its_config_is_no_wrapper(capsys: pytest.CaptureFixture[str], name: str) -> None:
    Path(name).write_text(AROUND[name])
    out = run(capsys, "-v", "--target-vllm", "0.24.0", name)[1]
    assert ("KVR101" in out, "KVR135" in out) == (True, False)


@pytest.mark.parametrize(
    "flags", ['--ec-transfer-config \'{"ec_role":"ec_consumer"}\'', "--limit-mm-per-prompt 1 --enable-mm-embeds"]
)
def test_a_server_that_is_fed_its_embeddings_is_told_of_no_error(
    capsys: pytest.CaptureFixture[str], flags: str
) -> None:
    Path("prefill.sh").write_text(f"# prefill\nvllm serve m {flags} --kv-transfer-config '{NIXL}'\n")
    assert "KVR134" not in run(capsys, "-v", "--target-vllm", "0.30.0", "prefill.sh")[1]


@pytest.mark.parametrize(("release", "code"), [(None, "KVR131"), ("0.23.0", "KVR101"), ("0.24.0", "KVR131")])
def test_bidirectional_prefill_waits_for_a_safe_release(
    capsys: pytest.CaptureFixture[str], release: str | None, code: str
) -> None:
    extra = ',"kv_connector_extra_config":{"bidirectional_kv_xfer":true}}'
    Path("prefill.sh").write_text("# prefill\n" + UNSAID.replace('"kv_both"}', '"kv_both"' + extra))
    _, out, _ = run(capsys, *(["--target-vllm", release] if release else []), "-v", "prefill.sh")
    assert code in out
    assert ("KVR137" in out) == (release == "0.23.0")


@pytest.mark.parametrize("release", [None, "0.23.0", "0.33.0"])
def test_bidirectional_prefill_without_two_steps_in_flight_moves(
    capsys: pytest.CaptureFixture[str], release: str | None
) -> None:
    extra = ',"kv_connector_extra_config":{"bidirectional_kv_xfer":true}}'
    command = UNSAID.replace('"kv_both"}', '"kv_both"' + extra).replace("serve m", "serve m --no-async-scheduling")
    Path("prefill.sh").write_text("# prefill\n" + command)
    _, out, _ = run(capsys, *(["--target-vllm", release] if release else []), "-v", "prefill.sh")
    assert ("KVR101" in out, "KVR131" in out, "KVR137" in out) == (True, False, False)


@pytest.mark.parametrize(("release", "code"), [(None, "KVR132"), ("0.25.1", "KVR102"), ("0.26.0", "KVR132")])
def test_pipeline_parallel_decode_waits(capsys: pytest.CaptureFixture[str], release: str | None, code: str) -> None:
    Path("d.sh").write_text("# decode node\n" + UNSAID.replace("serve m", "serve m --pipeline-parallel-size=4"))
    _, out, _ = run(capsys, *(["--target-vllm", release] if release else []), "-v", "d.sh")
    assert code in out
