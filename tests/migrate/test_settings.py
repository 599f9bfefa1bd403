"""What the user says of files: which row counts, which settings file holds where, and what no row may be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from kvroles.errors import UsageError
from kvroles.migrate import settings
from kvroles.migrate.answers import identity
from support.two_servers import SCRIPT, UNSAID, run

pytestmark = pytest.mark.usefixtures("here")
OPEN = "kv_both"


def lay(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            Path(name).mkdir(exist_ok=True)
        else:
            Path(name).write_text(text)


def role(name: str) -> str:
    m = re.search(r"kv_(?:both|producer|consumer)", Path(name).read_text())
    assert m is not None
    return m.group()


def answer(name: str, side: str, because: str = "", at: int = 0) -> str:
    key = identity.places(Path(name).read_text())[at].key
    return f'[[answer]]\nfile = "{name}"\nkey = "{key}"\nside = "{side}"\n' + (
        f'because = "{because}"\n' if because else ""
    )


@pytest.mark.parametrize("name", ["start.sh", "-start.sh", "a[1].sh", "sub/start.sh", "a*.sh", "sub/a?.sh"])
def test_advice_names_one_place_only_in_every_report(capsys: pytest.CaptureFixture[str], name: str) -> None:
    base = name.rsplit("/", 1)[-1]
    others = [f"sub/deep/{base}", "abc.sh", "sub/abc.sh", "sub/ab.sh", *([] if "/" in name else [f"sub/{base}"])]
    lay(dict.fromkeys([name, *others], UNSAID))
    for form in ("text", "json", "sarif", "github"):
        out = run(capsys, "-o", form, ".")[1]
        if form == "text":
            own = out[out.index(f"\n{name}:1:") if f"\n{name}:1:" in out else 0 :]
            m = re.search(r"to do: run again with `--side ([^`]+)`", own)
            assert m is not None
            given = m.group(1).strip("'")
        assert json.dumps(given)[1:-1].replace("\\", "\\") in out or given in out, form
    assert run(capsys, "--write", f"--side={given}", ".")[0] == 0
    assert role(name) == "kv_producer"
    assert [o for o in others if role(o) != OPEN] == []


def test_settings_of_one_repository_decide_in_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lay({"cw/.kv-roles.toml": '[side]\n"a.sh" = "prefill"\n', "cw/a.sh": UNSAID, "fleet/one/a.sh": UNSAID,
         "fleet/one/.git/": ""})  # fmt: skip
    monkeypatch.chdir("cw")
    assert run(capsys, "--write", "--check", "../fleet")[0] == 1
    assert role("../fleet/one/a.sh") == OPEN
    assert run(capsys, "--write", "--check", ".")[0] == 0


@pytest.mark.parametrize("row", ['[side]\n"{}" = "prefill"\n', '[both]\n"{}" = "why"\n', 'exclude = ["{}"]\n'])
@pytest.mark.parametrize("other", ["in/.git/", "in/.kv-roles.toml"])
def test_a_row_for_a_file_where_other_settings_hold_is_told(
    capsys: pytest.CaptureFixture[str], row: str, other: str
) -> None:
    """It named a file, and so was taken for one that may decide something."""
    lay({"a.sh": UNSAID, "in/c.sh": UNSAID, other: "", ".kv-roles.toml": row.format("in/c.sh")})
    code, _, err = run(capsys, ".")
    excludes = row.startswith("exclude")
    told = (
        "names no file" if excludes else "other settings hold for the file. Found in/c.sh. Write the row into in/.kv-"
    )
    assert (code, told in err) == (0 if excludes else 2, True), err
    lay({".kv-roles.toml": row.format("?.sh")})
    code, _, err = run(capsys, ".")
    assert (code, "no file" in err.replace("1 file not read", "")) == (0, False), err


def test_a_gate_says_the_same_from_every_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lay({"top/.kv-roles.toml": 'exclude = ["**"]\n', "top/sub/.git/": "", "top/sub/a.sh": UNSAID})
    assert run(capsys, "--check", "top")[0] == 1
    monkeypatch.chdir("top")
    assert run(capsys, "--check", "sub")[0] == 1
    assert run(capsys, "--check", ".")[0] == 1
    monkeypatch.chdir("sub")
    assert run(capsys, "--check", ".")[0] == 1


def test_without_a_repository_the_settings_of_the_named_path_and_of_the_current_folder_hold(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lay({".kv-roles.toml": 'exclude = ["**"]\n', "a/b/x.sh": UNSAID})
    assert run(capsys, "--check", "a/b")[0] == 0
    monkeypatch.chdir("a")
    assert run(capsys, "--check", "b")[0] == 1
    assert run(capsys, "--check", "..")[0] == 0


def test_an_answer_is_kept_where_the_next_run_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    lay({".kv-roles.toml": "", "sub/.git/": "", "sub/a.sh": UNSAID, "b/c.sh": UNSAID})
    known = settings.Known()
    assert known.home("sub/a.sh", ".") == "sub/.kv-roles.toml"
    assert known.home("b/c.sh", ".") == ".kv-roles.toml"
    lay({"sub/.kv-roles.toml": ""})
    assert settings.Known().of("sub/a.sh", ".").file == "sub/.kv-roles.toml"
    monkeypatch.chdir("sub")
    assert settings.Known().of("a.sh", ".").file == ".kv-roles.toml"


MORE_EXACT = {
    "a line before a file": ('[side]\n"a.sh" = "prefill"\n"a.sh:1" = "decode"\n', "kv_consumer"),
    "whichever comes first": ('[side]\n"a.sh:1" = "decode"\n"a.sh" = "prefill"\n', "kv_consumer"),
    "a file before a glob": ('[side]\n"*.sh" = "prefill"\n"a.sh" = "decode"\n', "kv_consumer"),
    "a path before a name": ('[side]\n"a.sh" = "prefill"\n"./a.sh" = "decode"\n', "kv_consumer"),
    "a line of a glob before a file": ('[side]\n"*.sh:1" = "decode"\n"a.sh" = "prefill"\n', "kv_consumer"),
    "both before a glob": ('[side]\n"*.sh" = "prefill"\n[both]\n"a.sh" = "the proxy"\n', OPEN),
    "a side before both of a glob": ('[side]\n"a.sh" = "prefill"\n[both]\n"*.sh" = "demos"\n', "kv_producer"),
    "both of a line": ('[side]\n"a.sh" = "prefill"\n[both]\n"a.sh:1" = "the proxy"\n', OPEN),
    "a side of a line": ('[side]\n"a.sh:1" = "prefill"\n[both]\n"a.sh" = "the proxy"\n', "kv_producer"),
}


@pytest.mark.parametrize("case", MORE_EXACT)
def test_the_more_exact_row_counts(capsys: pytest.CaptureFixture[str], case: str) -> None:
    text, wanted = MORE_EXACT[case]
    lay({"a.sh": UNSAID, ".kv-roles.toml": text})
    assert run(capsys, "--write", "--check", ".")[0] == 0
    assert role("a.sh") == wanted


EQUAL = {
    "two sides of a glob": ('"*.sh" = "prefill"\n"a*" = "decode"\n', "", [], "a* = decode", "*.sh = prefill"),
    "two spellings of a path": ('"./a.sh" = "prefill"\n"{here}/a.sh" = "decode"\n', "", [], "a.sh", "decode"),
    "a side and both": ('"a.sh" = "prefill"\n', '[both]\n"a.sh" = "why"\n', [], "[both] a.sh", "[side] a.sh"),
    "the command line": ("", "", ["--side", "a.sh=prefill", "--side", "a.sh=decode"], "--side a.sh=decode", "--side a.sh=prefill"),
    "lines of the command line": ("", "", ["--side", "./a.sh:1=prefill", "--side", "./a.sh:1=decode"], "a.sh:1=decode", "a.sh:1=prefill"),
}  # fmt: skip


@pytest.mark.parametrize("case", EQUAL)
def test_two_equally_exact_rows_that_contradict_are_an_error_that_names_both(
    capsys: pytest.CaptureFixture[str], case: str, here: Path
) -> None:
    side, more, args, *words = EQUAL[case]
    lay({"a.sh": UNSAID, ".kv-roles.toml": "[side]\n" + side.replace("{here}", str(here)) + more})
    code, out, err = run(capsys, "--write", *args, ".")
    assert (code, out) == (2, "")
    for word in words:
        assert word in err
    assert "a.sh:1" in err
    assert "Delete one of the two" in err
    assert role("a.sh") == OPEN
    lay({".kv-roles.toml": "[side]\n" + side.partition("\n")[0].replace("{here}", str(here)) + "\n"})
    assert run(capsys, "--write", "--check", *args[:2], ".")[0] == 0
    assert role("a.sh") == "kv_producer"


def test_a_line_s_row_and_its_answer_that_contradict_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    lay({"a.sh": UNSAID})
    lay({".kv-roles.toml": '[side]\n"./a.sh:1" = "decode"\n' + answer("a.sh", "prefill")})
    code, _, err = run(capsys, "--write", ".")
    assert (code, "[[answer]]" in err, "[side] ./a.sh:1" in err) == (2, True, True)
    assert role("a.sh") == OPEN


def test_the_command_line_counts_before_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    lay({"a.sh": UNSAID, ".kv-roles.toml": '[side]\n"a.sh" = "prefill"\n'})
    assert run(capsys, "--write", "--side", "a.sh=decode", ".")[0] == 0
    assert role("a.sh") == "kv_consumer"
    lay({"a.sh": UNSAID})
    lay({".kv-roles.toml": answer("a.sh", "both", "a proxy")})
    assert run(capsys, "--write", "--side", "./a.sh:1=decode", ".")[0] == 0
    assert role("a.sh") == "kv_consumer"


@pytest.mark.parametrize("kept", ["prefill", "both", "line", "line both"])
def test_a_more_exact_row_of_the_settings_against_the_command_line_is_told(
    capsys: pytest.CaptureFixture[str], kept: str
) -> None:
    lay({"a.sh": UNSAID})
    lay({".kv-roles.toml": {"line": '[side]\n"a.sh:1" = "prefill"\n', "line both": '[both]\n"a.sh:1" = "why"\n'}.get(
        kept) or answer("a.sh", kept, "why" if kept == "both" else "")})  # fmt: skip
    code, out, _ = run(capsys, "--write", "--check", "--side", "a.sh=decode", ".")
    assert (code, "KVR111" in out) == (1, True)
    assert "--side a.sh=decode" in out
    assert "--side ./a.sh:1=decode" in out
    assert ".kv-roles.toml: " in out
    assert role("a.sh") == OPEN


def test_rows_that_agree_are_no_contradiction(capsys: pytest.CaptureFixture[str]) -> None:
    lay({"a.sh": UNSAID, ".kv-roles.toml": '[side]\n"*.sh" = "prefill"\n"a*" = "prefill"\n'})
    assert run(capsys, "--write", "--side", "a.sh:1=prefill", "--side", "./a.sh:1=prefill", ".")[0] == 0
    assert role("a.sh") == "kv_producer"


@pytest.mark.parametrize("row", ['[side]\n"a.sh:{}" = "prefill"\n', '[both]\n"a.sh:{}" = "why"\n'])
def test_a_row_whose_line_holds_no_role_is_an_error(capsys: pytest.CaptureFixture[str], row: str) -> None:
    lay({"a.sh": f"#!/bin/sh\n{UNSAID}", ".kv-roles.toml": row.format(1)})
    code, out, err = run(capsys, "--write", ".")
    assert (code, out) == (2, "")
    assert "holds no role" in err
    assert "a.sh:1" in err
    assert run(capsys, "a.sh")[0] == 0, "a hook passes a few files"
    lay({".kv-roles.toml": row.format(2)})
    assert run(capsys, "--write", "--check", ".")[0] == 0
    assert run(capsys, "--write", "--check", ".")[0] == 0, "a role that was written is one"


def test_a_line_s_row_never_turns_round_what_the_file_says(capsys: pytest.CaptureFixture[str]) -> None:
    """As where a line was inserted above, and the row is about another role now."""
    lay({"a.sh": SCRIPT, ".kv-roles.toml": '[side]\n"a.sh:2" = "decode"\n'})
    code, out, _ = run(capsys, "--check", "--write", ".")
    assert (code, "a.sh:2:91: KVR111" in out) == (1, True)
    assert "[side] a.sh:2" in out
    assert "kv_both" in Path("a.sh").read_text().splitlines()[1]


WRONG = {
    "a zero byte": '[[answer]]\nfile = "a\\u0000b"\nkey = "k"\nside = "prefill"\n',
    "a number": '[[answer]]\nfile = 3\nkey = "k"\nside = "prefill"\n',
    "a date": '[side]\n"a.sh" = 1979-05-27\n',
    "a huge number": f'[side]\n"a.sh" = 0x{"f" * 5000}\n',
    "a huge number in a table": f'[side]\n"a.sh" = {{x = 0x{"f" * 5000}}}\n',
    "a huge number for both": f'[both]\n"a.sh" = 0x{"f" * 5000}\n',
    "two equals": '[side]\n"a" = "b=prefill"\n',
    "an empty glob": '[side]\n"" = "prefill"\n',
    "an empty glob for both": '[both]\n"" = "why"\n',
    "an empty glob of a line": '[side]\n":1" = "prefill"\n',
    "line zero": '[side]\n"a.sh:0" = "prefill"\n',
    "line zero for both": '[both]\n"a.sh:0" = "why"\n',
    "an empty exclude": 'exclude = [""]\n',
    "a zero byte in a glob": '[side]\n"a\\u0000b" = "prefill"\n',
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_that_means_nothing_is_an_error_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], case: str
) -> None:
    lay({"p.sh": f"# prefill\n{UNSAID}", "a.sh": UNSAID, ".kv-roles.toml": WRONG[case]})
    code, out, err = run(capsys, "--write", ".")
    assert (code, out) == (2, "")
    assert ".kv-roles.toml" in err
    assert len(err) < 600
    assert role("p.sh") == OPEN


@pytest.mark.parametrize(
    "file", ["/etc/passwd", ".", "../../a.sh", "x" * 5000, "a/" * 3000, "a.sh/", "/dev/zero", "/proc/self/mem"]
)
def test_an_answer_for_whatever_name_is_none_for_another_file(capsys: pytest.CaptureFixture[str], file: str) -> None:
    lay({"a.sh": UNSAID})
    lay({".kv-roles.toml": answer("a.sh", "prefill").replace('"a.sh"', f'"{file}"')})
    assert run(capsys, "--write", "--check", ".")[0] == 1
    for path in ("/", "/dev", "/etc/passwd"):
        settings.Known(config=".kv-roles.toml").of(path, path).answers_of(path)


def test_line_zero_of_the_command_line_is_no_whole_file(capsys: pytest.CaptureFixture[str]) -> None:
    lay({"a.sh": UNSAID})
    assert run(capsys, "--write", "--side", "a.sh:0=prefill", ".")[0] == 2
    assert role("a.sh") == OPEN


@pytest.mark.parametrize("table", ["side", "both"])
def test_a_key_without_quotes_is_told_as_such(capsys: pytest.CaptureFixture[str], table: str) -> None:
    lay({"x.sh": UNSAID, ".kv-roles.toml": f'[{table}]\ndeploy.x.sh = "prefill"\n'})
    code, _, err = run(capsys, ".")
    assert (code, '"deploy.x.sh" = "prefill"' in err, "quote" in err) == (2, True, True)


@pytest.mark.parametrize(("pattern", "told"), [("deep", True), ("deep/**", False), ("node_modules/**", False),
                                               ("gone/**", True), ("done/*", False), ("c.sh", False)])  # fmt: skip
def test_a_pattern_that_excludes_nothing_is_told(capsys: pytest.CaptureFixture[str], pattern: str, told: bool) -> None:
    lay({"deep/a.sh": UNSAID, "node_modules/b.sh": UNSAID, "done/x.sh": "echo\n", "c.sh": UNSAID,
         ".kv-roles.toml": f'exclude = ["{pattern}"]\n'})  # fmt: skip
    _, _, err = run(capsys, ".")
    assert (f'exclude "{pattern}" names no file' in err) is told
    assert "names no file" not in run(capsys, "c.sh")[2]
    if pattern == "deep":
        assert "deep/**" in err


def test_every_entry_of_a_baseline_stands_for_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    lay({"a.sh": UNSAID})
    base = ("--baseline", "known.json")
    assert run(capsys, *base, "--write-baseline", "--check", "a.sh")[0] == 0
    assert run(capsys, *base, "--check", "a.sh")[0] == 0
    for now in ("# prefill\n", "# prefill\n# decode\n"):
        lay({"a.sh": now + UNSAID})
        code, out, err = run(capsys, *base, "--check", "a.sh")
        assert (code, "kept by baseline" in out, "no finding any more" in err) == (1, False, True), now
    lay({"known.json": Path("known.json").read_text().replace("KVR110", "KVR111"), "a.sh": UNSAID})
    assert run(capsys, *base, "--check", "a.sh")[0] == 1


def test_a_role_that_could_not_be_written_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    lay({"a.sh": f"# prefill\n{UNSAID}"})
    Path("b.sh").hardlink_to("a.sh")
    code, out, _ = run(capsys, "--write", "a.sh")
    assert code == 1
    assert "a.sh:2:79: KVR190 skipped: not written, it has more than one name" in out
    assert "--write rewrites" not in out
    total = json.loads(run(capsys, "--write", "--json", "a.sh")[1])
    assert [f["code"] for f in total["findings"]] == ["KVR190"]


@pytest.mark.parametrize("names", [("real.sh", "link.sh"), ("link.sh", "real.sh"), ("here/link.sh", "real.sh"),
                                   ("prefill.sh", "decode.sh"), ("link.sh", "here")])  # fmt: skip
def test_two_names_of_one_file_are_one_file(capsys: pytest.CaptureFixture[str], names: tuple[str, str]) -> None:
    lay({"real.sh": f"# prefill\n{UNSAID}" if "prefill.sh" not in names else UNSAID})
    for link in ("link.sh", "prefill.sh", "decode.sh"):
        Path(link).symlink_to("real.sh")
    Path("here").symlink_to(".")
    code, out, _ = run(capsys, "--write", *names)
    assert (code, "not written, it changed" in out) == (0, False)
    assert role("real.sh") == (OPEN if "prefill.sh" in names else "kv_producer")
    assert "; 1 file looked at" in out or "here" in names


def test_a_row_of_the_settings_that_is_no_row_is_a_usage_error() -> None:
    lay({"s.toml": "[side]\n'a:1' = 'prefill'\n"})
    assert settings.load("s.toml").sides == [("a", 1, settings.Side.PREFILL)]
    with pytest.raises(UsageError):
        settings.parse_side("a.sh", "--side")
