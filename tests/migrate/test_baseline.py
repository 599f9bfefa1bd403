"""``--baseline``: what is open is written down once, and from then on only what is new fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kvroles.migrate import cli

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
UNSAID = f"vllm serve m --kv-transfer-config '{NIXL}'\n"
BASE = ("--baseline", "known.json")


@pytest.fixture(autouse=True)
def _files(here: Path) -> None:
    Path("a.sh").write_text(UNSAID)
    Path("x.lua").write_text("role = kv_both\n")
    Path("p.sh").write_text(f"# prefill\n{UNSAID}")


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = cli.main(list(args))
    out, err = capsys.readouterr()
    return code, out, " ".join(err.split())


def test_only_what_is_new_fails_wherever_the_old_lines_move(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, *BASE, "--write-baseline", "--check", ".")
    assert (code, err) == (0, "known.json: entries: 3 written, 0 taken out")
    assert "3 kept by baseline" in out
    assert "no NIXL role says kv_both" not in out
    kept = Path("known.json").read_text()
    Path("a.sh").write_text("#!/bin/sh\n\n" + UNSAID)
    assert _run(capsys, *BASE, "--check", ".")[0] == 0
    Path("a.sh").write_text("#!/bin/sh\n\n" + UNSAID + UNSAID.replace("serve m", "serve new"))
    code, out, _ = _run(capsys, *BASE, "--check", "a.sh")
    assert (code, "a.sh:4:" in out, "a.sh:3:" in out) == (1, True, False)
    Path("a.sh").write_text("#!/bin/sh\n\n" + UNSAID)
    Path("kv_both.sh").write_text(UNSAID.replace("serve m", "serve n"))
    code, out, _ = _run(capsys, *BASE, "--check", ".")
    assert code == 1
    assert "kv_both.sh:1" in out
    assert "a.sh" not in out
    assert Path("known.json").read_text() == kept
    _run(capsys, *BASE, "--write-baseline", ".")
    assert _run(capsys, *BASE, "--check", ".")[0] == 0  # the baseline's own text is none
    written = Path("known.json").read_text()
    _run(capsys, *BASE, "--write-baseline", ".")
    assert Path("known.json").read_text() == written


def test_an_entry_that_is_no_finding_any_more_is_reported_and_taken_out(capsys: pytest.CaptureFixture[str]) -> None:
    _run(capsys, *BASE, "--write-baseline", ".")
    code, _, err = _run(capsys, *BASE, "--write", "--check", ".")
    assert code == 0
    assert "kv_producer" in Path("p.sh").read_text()  # a baseline keeps nothing from being written
    assert (
        "known.json: entries that are no finding any more (written, answered, of another code, or the line is gone): 1, the first p.sh: vllm serve"
        in err
    )
    assert "no finding any more" not in _run(capsys, *BASE, "--check", "a.sh")[2]  # of files that the run covers
    Path("a.sh").unlink()
    assert _run(capsys, *BASE, "--write-baseline", "--check", ".")[2] == "known.json: entries: 1 written, 2 taken out"
    assert list(json.loads(Path("known.json").read_text())["findings"]) == ["x.lua"]


def test_an_entry_whose_line_is_told_otherwise_now_is_one_entry(capsys: pytest.CaptureFixture[str]) -> None:
    _run(capsys, *BASE, "--write-baseline", ".")
    before = Path("known.json").read_text()
    Path("known.json").write_text(before.replace('"line": "vllm', '"line": "lm'))
    _run(capsys, *BASE, "--write-baseline", ".")
    assert Path("known.json").read_text() == before


def test_what_is_kept_is_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    _run(capsys, *BASE, "--write-baseline", ".")
    out = _run(capsys, *BASE, "-v", ".")[1]
    assert ("kept by baseline" in out, "to do" in out) == (True, False)


def test_a_run_over_some_files_leaves_the_entries_of_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    _run(capsys, *BASE, "--write-baseline", ".")
    before = Path("known.json").read_text()
    _run(capsys, *BASE, "--write-baseline", "a.sh")
    assert Path("known.json").read_text() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no baseline"),
        ("[]", "no baseline"),
        ("{", "no JSON"),
        ("[" * 100_000, "no baseline"),
        ('{"kv-roles-baseline": 2, "findings": {}}', "another version. Expected 1. Found 2"),
        ('{"kv-roles-baseline": 1, "findings": []}', "findings that are no object"),
        ('{"kv-roles-baseline": 1, "findings": {"a": [{"key": "x"}]}}', "not made of code, key and line"),
        ("\xff", "no baseline"),
    ],
)
def test_a_baseline_that_is_none_is_an_error(capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    Path("known.json").write_text(text, encoding="latin-1")
    for more in ([], ["--write-baseline"]):
        code, out, err = _run(capsys, *BASE, *more, "--write", ".")
        assert (code, out) == (2, "")
        assert words in err
    assert Path("known.json").read_text(encoding="latin-1") == text
    assert "kv_both" in Path("p.sh").read_text()


def test_a_baseline_that_is_missing_or_cannot_be_written_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Write it with --write-baseline" in _run(capsys, *BASE, ".")[2]
    assert _run(capsys, "--write-baseline", ".")[0] == 2
    code, _, err = _run(capsys, "--baseline", "no/where.json", "--write-baseline", ".")
    assert code == 1
    assert "cannot be written to no/where.json" in err


def test_settings_of_the_tree_can_be_left_out_of_account(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".kv-roles.toml").write_text('exclude = ["**"]\n')
    code, _, err = _run(capsys, "--check", ".")
    assert code == 0
    assert ".kv-roles.toml decided: exclude **: 3 files not read" in err
    code, _, err = _run(capsys, "--check", "--no-config", ".")
    assert code == 1
    assert err == "--no-config: 1 settings file not read, such as .kv-roles.toml"
    Path("trusted.toml").write_text('exclude = ["x.lua", "a.sh", "p.sh"]\n')
    assert _run(capsys, "--check", "--config", "trusted.toml", ".")[0] == 0
    assert _run(capsys, "--no-config", "--config", "trusted.toml", ".")[0] == 2
