"""What a refusal of ``kv-roles PATH`` advises is done, in a folder with a blank in its name, and the run then goes on.

Each case names the place that makes the refusal, as tests/command/refusals.tsv does.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from kvroles.errors import Exit
from kvroles.migrate import cli
from kvroles.migrate.cluster import command as cluster
from kvroles.migrate.files import paths as paths_module
from kvroles.migrate.review import terminal
from kvroles.migrate.review.terminal import ClosedError, Terminal
from support.refusals import made, slow_but_some

ROLE = 'vllm serve m --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'\n'
PREFILL = f"# prefill\n{ROLE}"
ANSWER = "[[answer]]\nfile = 'a b.sh'\nkey = 'k'\nside = '{}'\n"


class Case(NamedTuple):
    """A command line that is refused, what the fix line says, and what is done: files that change, another command line."""

    place: str
    wrong: str
    says: str
    right: str = ""  # the same once more
    files: Mapping[str, str] = MappingProxyType({})
    mended: Mapping[str, str | None] = MappingProxyType({})  # None: the file is taken away
    code: int = Exit.USAGE
    stdin: str | None = ""


def settings(place: str, wrong: str, says: str, right: str) -> Case:
    """A case of the settings of the folder, which are mended."""
    return Case(f"migrate.{place}", ".", says, "", {".kv-roles.toml": wrong}, {".kv-roles.toml": right})


def known(place: str, wrong: str) -> Case:
    """A case of a baseline that is written anew."""
    text = {"known entries.json": wrong}
    named = "--baseline 'known entries.json' ."
    gone = {"known entries.json": None}
    return Case(
        f"migrate.answers.baseline.{place}",
        named,
        "Write it anew with --write-baseline",
        f"--write-baseline {named}",
        text,
        gone,
    )


CASES = [
    Case("migrate.cli._run.1", "--config 'no such.toml' .", "is no file", "."),
    Case("migrate.cli._names_standard_input.2", "- 'a b.sh'", "goes with no other path", "'a b.sh'"),
    Case("migrate.files.paths.given.3", "'no such.sh'", "does not exist", "'a b.sh'"),
    Case("migrate.files.paths._read.2", "--from-list /proc/self/mem", "Found Input/output error", "--from-list 'a list'", {"a list": "a b.sh\n"}),
    Case("migrate.answers.baseline.load.3", "--baseline /proc/self/mem .", "Found Input/output error",
         "--baseline 'k n.json' --write-baseline ."),
    settings("answers.answer.parse.1", "answer = 1\n", "Expected [[answer]] with file, key and side", ANSWER.format("decode")),
    settings("settings._codes.2", "ignore = ['KVR999']\n", "which is no code. Expected one of", "ignore = ['KVR118']\n"),
    settings("settings._strings.1", "ignore = 'KVR118'\n", "ignore is no list of strings", "ignore = ['KVR118']\n"),
    settings("settings.load.2", "ignored = ['KVR118']\n", "has a key that means nothing. Expected", "ignore = ['KVR118']\n"),
    settings("settings._sides.1", "side = 1\n", "[side] is no table", "[side]\n'a b.sh' = 'prefill'\n"),
    settings("settings._reasons.1", "both = 1\n", "[both] is no table", "[both]\n'a b.sh' = 'why'\n"),
    settings("settings._reasons.2", "[both]\n'a b.sh' = ''\n", "gives no reason", "[both]\n'a b.sh' = 'why'\n"),
    Case("migrate.cli._run.2", "--write-baseline .", "--baseline FILE --write-baseline", "--baseline 'k n.json' --write-baseline ."),
    Case("migrate.cli._names_standard_input.1", "-", "Name the file ./-", "./-", {"-": PREFILL}),
    Case("migrate.cli._holds_something.1", "-", "Look at the command before the pipe", "'a b.sh'"),
    Case("migrate.cli._standard_input.1", "-", "or name a path", "'a b.sh'", stdin=None),
    Case("migrate.cli._terminal.1", "--review --diff .", "Run it by itself", "--diff ."),
    Case("migrate.cli._terminal.2", "--review --no-config .", "Leave that out", "--no-config ."),
    Case("migrate.cli._terminal.3", "--review -", "Name a file", "'a b.sh'"),
    Case("migrate.review.terminal.__init__.1", "--review .", "answer in .kv-roles.toml: a row of [side]", ".",
         mended={".kv-roles.toml": "[side]\n'a b.sh' = 'prefill'\n"}),
    Case("migrate.verdict.hazards.target.1", "--target-vllm x .", "Give one such as 0.22.1", "--target-vllm 0.22.1 ."),
    Case("migrate.verdict.hazards.target.2", "--target-vllm 0.8.5 .", "Leave the option out", "."),
    Case("migrate.verdict.hazards.target.3", "--target-vllm 99.0 .", "or --target-vllm 0.33.0", "--target-vllm 0.33.0 ."),
    Case("migrate.files.paths.given.1", "-0 .", "Add --from-list FILE, or leave -0 out", "."),
    Case("migrate.files.paths.given.2", "", "Name files or folders", "."),
    Case("migrate.files.paths.given.4", "--from-list 'a list' -", "Leave - or --from-list out", "--from-list 'a list'", {"a list": "a b.sh\n"}),
    Case("migrate.files.paths.given.5", "--from-list 'a list'", "Leave the run out where nothing is listed", ".", {"a list": ""}),
    Case("migrate.files.paths.given.6", "--from-list 'a list'", "Take them out of the list", "", {"a list": "no\na b.sh\n"}, {"a list": "a b.sh\n"}),
    Case("migrate.files.paths._read.1", "--from-list -", "or name a file", "--from-list 'a list'", {"a list": "a b.sh\n"}, stdin=None),
    Case("migrate.files.paths._read.3", "--from-list 'a list'", "Divide it", "--from-list half",
         {"a list": "a b.sh\n" * 20, "half": "a b.sh\n" * 10}),
    Case("migrate.files.paths._divided.1", "--from-list 'a list'", "Add -0 for a list", "-0 --from-list 'a list'", {"a list": "a b.sh\0"}),
    Case("migrate.report.html.check_place.1", "--html 'a folder' .", "or a new one", "--html 'a page.html' .", {"a folder/x": ""}),
    Case("migrate.report.html.check_place.2", "--html 'no/a page.html' .", "Make the folder first", "", mended={"no/x": ""}),
    Case("migrate.report.html.check_place.3", "--html 'a b.sh' .", "Name a new file", "--html 'a page.html' ."),
    Case("migrate.run.check_sides.1", "--side 'gone.sh=prefill' .", "Name the file as the findings do", "--side 'a b.sh=prefill' ."),
    Case("migrate.run.check_sides.2", "--side 'a b.sh:1=prefill' .", "or name another line", "--side 'a b.sh:2=prefill' .",
         {"a b.sh": f"# a server\n{ROLE}"}),
    Case("migrate.settings.parse_side.1", "--side 'a b.sh' .", "`--side deploy/worker-a.yaml=prefill`", "--side 'a b.sh=prefill' ."),
    Case("migrate.settings.load.1", "--config 's t.toml' .", "Mend it, or name another with --config", "--config 'o k.toml' .",
         {"s t.toml": "not toml", "o k.toml": "exclude = []\n"}),
    settings("settings._sides.2", "[side]\n'a b.sh' = 'both'\n", "Write it in the table [both], with the reason", "[both]\n'a b.sh' = 'why'\n"),
    settings("settings._sides.3", "[side]\n'a b.sh' = 1\n", 'Expected "a b.sh" = "prefill" or "decode"', "[side]\n'a b.sh' = 'prefill'\n"),
    settings("settings._quoted.1", "[side]\na.sh = 'prefill'\n", 'Quote the key: "a.sh" = "prefill"', "[side]\n'a b.sh' = 'prefill'\n"),
    settings("settings._place.1", "[side]\n'a b.sh:0' = 'prefill'\n", "GLOB:LINE with a line from 1 on", "[side]\n'a b.sh:1' = 'prefill'\n"),
    settings("settings.load.3", "exclude = ['']\n", "Delete it, or name what is to be left out", "exclude = []\n"),
    settings("settings._codes.1", "ignore = ['KVR122']\n", "Write KVR118 if it is to be silent", "ignore = ['KVR118']\n"),
    settings("answers.rows._check.1", "[side]\n'a b.sh:7' = 'prefill'\n", "Name the line as the findings do", "[side]\n'a b.sh:1' = 'prefill'\n"),
    Case("migrate.answers.rows._check.2", ".", "Write the row into in/.kv-roles.toml",
         files={".kv-roles.toml": "[side]\n'in/c.sh' = 'prefill'\n", "in/c.sh": ROLE, "in/.kv-roles.toml": ""},
         mended={".kv-roles.toml": "", "in/.kv-roles.toml": "[side]\n'c.sh' = 'prefill'\n"}),
    settings("answers.rows._check.3", "[side]\n'old.sh' = 'prefill'\n", "Name the file as it is called now", "[side]\n'a b.sh' = 'prefill'\n"),
    settings("answers.answer.parse.2", ANSWER.format("prefill") + ANSWER.format("decode"), "Delete one of the two", ANSWER.format("decode")),
    settings("answers.answer._parse.1", ANSWER.format("decode") + "why = 'x'\n", "Delete it", ANSWER.format("decode")),
    settings("answers.answer._parse.2", "[[answer]]\nfile = 'a b.sh'\n", "Delete the table", ""),
    settings("answers.answer._parse.3", ANSWER.format("decode").replace("'a b.sh'", r'"a\u0000b"'), "Delete the table", ""),
    settings("answers.answer._parse.4", ANSWER.format("up"), "Delete the table", ""),
    settings("answers.answer._parse.5", ANSWER.format("both"), 'because = "..."', ANSWER.format("both") + "because = 'why'\n"),
    Case("migrate.answers.baseline.load.1", "--baseline 'k n.json' .", "Write it with --write-baseline", "--baseline 'k n.json' --write-baseline ."),
    Case("migrate.answers.baseline.load.2", "--baseline 'a folder' .", "Name the file that was written", "--baseline 'a folder/k.json' .",
         {"a folder/k.json": '{"kv-roles-baseline": 1, "findings": {}}'}),
    known("load.4", '{"kv-roles-baseline": 2, "findings": {}}'),
    known("_broken.1", "{"),
    Case("migrate.answers.baseline._refused.1", "--baseline 'no/k.json' --write-baseline .", "Name another file",
         "--baseline 'k n.json' --write-baseline .", code=Exit.DOES_NOT_APPLY),
]  # fmt: skip
QUICK = {"migrate.cli._names_standard_input.1", "migrate.files.paths.given.5", "migrate.files.paths.given.6", "migrate.run.check_sides.1", "migrate.settings._sides.2",
         "migrate.answers.baseline.load.1"}  # fmt: skip


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The places of the refusals that are made, in a folder with a blank in its name."""
    (tmp_path / "my work").mkdir()
    monkeypatch.chdir(tmp_path / "my work")
    return made(monkeypatch)


def lay(files: Mapping[str, str | None]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        if text is None:
            Path(name).unlink()
        else:
            Path(name).write_text(text)


def given(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    """``text`` on standard input, or none at all."""
    monkeypatch.setattr(sys, "stdin", None if text is None else io.TextIOWrapper(io.BytesIO(text.encode())))


@pytest.mark.parametrize("case", slow_but_some(CASES, QUICK))
def test_what_is_advised_in_place_of_a_wrong_command_line_or_file_is_taken(
    case: Case, places: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lay({"a b.sh": ROLE, **case.files})
    given(monkeypatch, case.stdin)
    monkeypatch.setattr(paths_module, "_MOST", 100)  # bytes of a list
    assert cli.main(shlex.split(case.wrong)) == case.code
    assert places == [case.place]
    assert case.says in " ".join(capsys.readouterr().err.split())
    lay(case.mended)
    given(monkeypatch, "")
    assert cli.main(shlex.split(case.right or case.wrong)) == Exit.DONE
    assert places == [case.place]


def test_without_kubectl_its_objects_are_piped_in(
    places: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert cluster.main([]) == Exit.NO_SOURCE
    assert places == ["migrate.cluster.kubectl.__init__.1"]
    assert "kubectl get ... -o yaml | kv-roles migrate -" in " ".join(capsys.readouterr().err.split())
    container = {"args": ["--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']}
    given(monkeypatch, json.dumps({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}))
    assert cli.main(["-"]) == Exit.DONE
    assert "KVR110" in capsys.readouterr().out


@pytest.mark.slow
def test_where_kubectl_lists_nothing_its_own_words_are_shown_and_it_is_asked_again(
    places: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl = Path("bin/kubectl")
    lay({"bin/kubectl": "#!/bin/sh\necho no cluster >&2\nexit 1\n"})
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path('bin').absolute()}:/usr/bin:/bin")
    assert cluster.main([]) == Exit.NO_SOURCE
    assert places == ["migrate.cluster.kubectl.kinds.1"]
    err = " ".join(capsys.readouterr().err.split())
    assert "Found no cluster." in err
    assert "`kubectl get pods`" in err
    assert os.system("kubectl get pods 2>/dev/null") != 0
    kubectl.write_text("#!/bin/sh\ncase $1 in api-resources) echo pods;; *) echo '{\"items\": []}';; esac\n")
    assert os.system("kubectl get pods >/dev/null") == 0
    assert cluster.main([]) == Exit.DONE


class Typed(Terminal):
    """A terminal at which ``typed`` is typed, and which is then closed."""

    typed = ""

    def __init__(self) -> None:
        self._left = list(self.typed)
        self.colours = False

    def keys(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def drop(self, quiet: float = 0) -> None:
        """Nothing is typed ahead."""

    def key(self) -> str:
        if not self._left:
            raise ClosedError
        return self._left.pop(0)


def test_a_review_whose_terminal_was_closed_is_run_again_for_the_rest(
    places: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lay({"a b.sh": ROLE, "b c.sh": ROLE})
    monkeypatch.setattr(terminal, "Terminal", Typed)
    monkeypatch.setattr(Typed, "typed", "p")
    assert cli.main(["--review", "--write", "."]) == Exit.DOES_NOT_APPLY
    assert places == ["migrate.review.review._closed.1"]
    assert "Run it again for the rest" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(Typed, "typed", "d")
    assert cli.main(["--review", "--write", "."]) == Exit.DONE
    assert "(1 of 1)" in capsys.readouterr().out
    assert "kv_producer" in Path("a b.sh").read_text()
    assert "kv_consumer" in Path("b c.sh").read_text()
