"""Each refusal outside ``vendor`` has a row in refusals.tsv: the test that causes it and takes the way out of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kvcommand import main
from kvroles.errors import Exit
from support.docs import ROOT
from support.refusals import TABLE, Table


def test_every_refusal_has_one_row_and_each_row_a_test() -> None:
    assert TABLE.check() == []


def test_a_refusal_without_a_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("def run():\n    raise UsageError('No', fix=f'Run {x}')\n")
    (tmp_path / "rows.tsv").write_text("# place\tway\tby\n")
    assert Table(tmp_path / "rows.tsv", [tmp_path]).check() == ["module.run.1: no row in rows.tsv"]


def test_one_helper_quotes_what_a_fix_line_names() -> None:
    """Whatever else puts words together for a shell leaves a blank in a name to break the command."""
    for path in [*(ROOT / "tools/kvroles").rglob("*.py"), *(ROOT / "tools/kvcommand").rglob("*.py")]:
        if path.name != "said.py":
            assert not re.search(r"shlex\.(quote|join)|from shlex", path.read_text()), path


def test_no_fix_line_puts_a_path_into_a_command_by_itself() -> None:
    """A command in quotes begins with the name of a program; a name in braces in it has gone through the helper."""
    command = re.compile(r"[`'](?:git|rm|cp|chmod|python3?|pip|kv-roles|kubectl|docker|skopeo|mv) [^`']*\{(?!shell)")
    assert [r.place for r in TABLE.refusals() if command.search(r.fix)] == []


def test_a_command_that_the_wheel_lacks_is_run_in_a_clone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "_HOME", tmp_path / "an installation")
    with pytest.raises(SystemExit) as e:
        main.main(["verify", "--help"])
    assert e.value.code == Exit.USAGE
    assert "Run it in a clone of the project." in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(main, "_HOME", ROOT / "tools")
    assert main.main(["verify", "--help"]) == Exit.DONE


def test_a_shell_that_nothing_completes_for_is_answered_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["--print-completion", "fish"]) == Exit.USAGE
    assert "name one shell of bash, zsh." in capsys.readouterr().err
    assert main.main(["--print-completion", "bash"]) == Exit.DONE
