"""A command that a message names stands between backticks, on one line, and runs as it stands there whatever a name holds."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Set
from pathlib import Path

import pytest
from kvroles import console
from kvroles.errors import Exit, UsageError
from kvroles.migrate import cli
from kvroles.said import shell
from support import terminal
from support.advice import commands
from support.docs import ROOT
from support.driver import Ran
from support.tiny import UTILS, Tiny, pristine

NAMES = [
    "a blank", "it's", 'a "quote"', "$HOME", "a `touch gone` b", "two  blanks", "back\\slash", "new\nline", "tab\t", "\x1b[1m",
    "a ::error::b", "::warning::", "##[group]", "\u202eturned", "no\u00a0break", "caf\u00e9", "-n", "~", "*", "a;b", "!", "",
    " ", "#a", "a\udcffb", "\u200bf1", "\x7f0", "'`'",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_command_copied_from_a_narrow_terminal_gives_the_program_the_very_name(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_columns", lambda: 40)
    words = ["printf", "%s\\0", name, f"{'a long folder/' * 4}{name}"]
    console._paragraph("apply.py", UsageError("There is no such thing", fix=f"Run `{shell(*words)}`, then again"))
    said = capsys.readouterr().err
    (command,) = re.findall("`([^`]*)`", said)
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(w) for w in words[2:]]
    assert max(len(line) for line in said.splitlines() if command not in line) <= 40


@pytest.mark.parametrize("name", ["it's $HOME", 'a  `b` "c"\n::error::'], ids=ascii)
def test_a_tree_of_any_name_is_finished_by_the_command_that_its_refusal_prints(
    tiny: Tiny, tmp_path: Path, name: str
) -> None:
    tree = tmp_path / name
    for path, data in pristine("0.22.1").items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)

    def asked(*argv: str) -> Ran:
        command = [sys.executable, "tools/apply.py", "--into", str(tree), *argv]
        done = subprocess.run(command, cwd=tiny.root, capture_output=True, text=True)
        return Ran(done.returncode, done.stdout, done.stderr)

    asked().ok()
    (tree / UTILS).write_bytes(pristine("0.22.1")[UTILS])
    command = commands(asked().refused(1, "partial").err)[-1]
    env = {**os.environ, "PATH": terminal.PATH}
    subprocess.run(["bash", "-c", command], cwd=tiny.root, env=env, capture_output=True, check=True)
    asked("--check").ok()


def test_the_answer_that_a_finding_advises_answers_for_a_file_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["it's.sh", "a[1].sh", "-a.sh", "a  b.sh", "sub/a[1] $b.sh"]
    text = 'vllm serve m --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'\n'
    Path("sub").mkdir()
    for name in names:
        Path(name).write_text(text)
    assert cli.main(["--check", "."]) == Exit.DOES_NOT_APPLY
    given = [c for c in commands(capsys.readouterr().out) if c.startswith("--side ")]
    script = f"exec {shell(sys.executable, ROOT / 'tools/migrate.py')} --write . {' '.join(given)}"
    subprocess.run(["bash", "-c", script], check=True, capture_output=True)
    assert [Path(n).read_text() for n in names] == [text.replace("kv_both", "kv_producer")] * len(names)


_PROGRAMS = "git|rm|cp|chmod|python3?|pip|uv|kv-roles|kubectl|helm|docker|podman|skopeo|tar|find|env|cosign|mv|cd|openssl|zensical"
_QUOTED = re.compile(rf"(?<![\w=(\[,])'(?=(?:{_PROGRAMS}) )[^'\n]*'")
_BARE = re.compile(rf"\b(?:{_PROGRAMS}) [\w -]*$")
_MAKERS = frozenset({"shell", "program", "command", "again", "merging"})


def test_no_message_puts_a_command_between_other_signs_than_backticks() -> None:
    wrong = [f"{path.relative_to(ROOT)}:{line}" for path in _sources() for line in _quoted_commands(path.read_text())]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "x = f\"Run '{shell('rm', name)}'\"",
        "x = f\"Run '{again.command('verify')}', then go on\"",
        "x = \"Restore it with 'git checkout -- docs'\"",
        "x = f\"Run '{command} && rm x'\"",
        "x = f'Run it: rm {shell(name)}'",
        "x = f'With `{one}` or git -C {shell(name)}'",
    ],
)
def test_a_command_between_quotes_or_between_no_signs_is_found(line: str) -> None:
    assert list(_quoted_commands(line)) == [1]


def test_a_command_between_backticks_is_none_of_them() -> None:
    assert list(_quoted_commands("x = f'With `{one}`, or `cd {shell(name)} && rm -r {shell(other)}`'")) == []


def _sources() -> Iterator[Path]:
    """The modules whose texts a user reads: not those that read the texts of others."""
    for path in sorted((ROOT / "tools").rglob("*.py")):
        if not {"readers", "evidence", "playground"} & set(path.parts):
            yield path


def _quoted_commands(source: str) -> Iterator[int]:
    """The lines on which a text has a command behind an opened quote, or one with a quoted name between no signs."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            before = ""
            for value in node.values:
                if isinstance(value, ast.Constant):
                    before += str(value.value)
                    continue
                bare = before.count("`") % 2 == 0 and _BARE.search(before) is not None
                if (bare and _makes_one(value, {"shell"})) or (before.endswith(("'", '"')) and _makes_one(value)):
                    yield node.lineno
                before += "VALUE"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _QUOTED.search(node.value):
            yield node.lineno


def _makes_one(value: ast.AST, makers: Set[str] = _MAKERS) -> bool:
    names = (n.id if isinstance(n, ast.Name) else getattr(n, "attr", "") for n in ast.walk(value))
    return not makers.isdisjoint(names)
