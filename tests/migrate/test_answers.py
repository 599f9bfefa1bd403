"""Answers that last: both with a reason, in a comment and in the settings, by what a line is and not by its number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kvroles.errors import KvRolesError
from kvroles.evidence.frames import Side
from kvroles.migrate import cli, settings
from kvroles.migrate.answers import identity, settings_file
from kvroles.migrate.answers.answer import Answer

pytestmark = pytest.mark.usefixtures("here")

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
UNSAID = f"vllm serve m --kv-transfer-config '{NIXL}'\n"
UNREAD = "kv_role = kv_both\n"


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = cli.main(list(args))
    out, err = capsys.readouterr()
    return code, out, " ".join(err.split())


def _key(path: str, number: int = 0) -> str:
    return [p.key for p in identity.places(Path(path).read_text())][number]


def _answer(path: str, side: str, because: str = "", number: int = 0) -> str:
    reason = f"because = {json.dumps(because)}\n" if because else ""
    return f'[[answer]]\nfile = "{path}"\nkey = "{_key(path, number)}"\nside = "{side}"\nline = "x"\n{reason}\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.sh", f"# kv-roles: keep both because it is\n{UNSAID}"),
        ("b.sh", f"{UNSAID.rstrip()}  # kv-roles: keep both because it is\n"),
        ("a.yaml", f"prefill:\n  # kv-roles: keep both because it is\n  args: ['{NIXL}']\n"),
        ("a.go", f"package a\n\n// kv-roles: keep both because it is\nvar prefillCfg = `{NIXL}`\n"),
        ("a.json", f'{{"prefill": {{\n  "_comment": "kv-roles: keep both because it is",\n  "kv": {NIXL}\n}}}}\n'),
        ("a.md", f"# Prefill\n\n<!-- kv-roles: keep both because it is -->\n\n```json\n{NIXL}\n```\n"),
        (
            "a.tpl",
            f"prefill:\n  {{{{- /* kv-roles: keep both because it is */}}}}\n  args: ['{NIXL}']\n  x: {{{{ .x }}}}\n",
        ),
        ("a.lua", f"-- kv-roles: keep both because it is\n{UNREAD}"),
    ],
    ids=lambda v: v if len(v) < 12 else "",
)
def test_a_comment_keeps_both_and_says_why(capsys: pytest.CaptureFixture[str], name: str, text: str) -> None:
    Path(name).write_text(text)
    code, out, _ = _run(capsys, "--check", "-v", "--write", name)
    assert (code, Path(name).read_text()) == (0, text)
    assert "(kept by answer: it is)" in out
    assert "; 1 kept by answer;" in out
    assert "no NIXL role says kv_both" not in out


@pytest.mark.parametrize("comment", ["keep both", "keep both because", "keep both because ...", "keep both: it is"])
def test_a_comment_without_a_reason_keeps_nothing_and_is_told(capsys: pytest.CaptureFixture[str], comment: str) -> None:
    Path("a.sh").write_text(f"# kv-roles: {comment}\n{UNSAID}")
    code, out, _ = _run(capsys, "--check", "a.sh")
    assert code == 1
    assert "the comment to keep both does not say why" in out
    assert "to do: write the reason into the comment: kv-roles: keep both because ..." in out


def test_the_settings_keep_both_by_glob_and_line_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    Path("docs").mkdir()
    Path("docs/a.sh").write_text(UNSAID)
    Path("docs/b.lua").write_text(UNREAD)
    Path("prefill.sh").write_text(f"# prefill\n{UNSAID}")
    Path(".kv-roles.toml").write_text('[both]\n"docs/**" = "for both"\n"prefill.sh:2" = "a fence"\n')
    code, out, err = _run(capsys, "--check", ".")
    assert code == 0
    assert "3 kept by answer" in out
    assert ".kv-roles.toml decided: [both] docs/**: 2 lines kept; [both] prefill.sh:2: 1 line kept" in err
    Path(".kv-roles.toml").write_text('[both]\n"**" = "all of it"\n')
    assert _run(capsys, "--check", ".")[0] == 1  # what is certain is only overruled for the very line


def test_an_answer_finds_its_line_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.sh").write_text(UNSAID)
    Path(".kv-roles.toml").write_text(_answer("a.sh", "prefill"))
    Path("a.sh").write_text("#!/bin/bash\nset -e\n\nexport X=1\n" + UNSAID + "echo done\n")
    code, out, err = _run(capsys, "-v", "--check", "--write", ".")
    assert code == 0, out
    assert "kv_producer" in Path("a.sh").read_text()
    assert "answer: .kv-roles.toml: [[answer]] -> prefill" in out
    assert ".kv-roles.toml decided: [[answer]]: 1 line prefill" in err
    assert _run(capsys, "--check", ".") == (0, "no NIXL role says kv_both; 2 files looked at\n", "")


def test_an_answer_whose_line_is_gone_is_reported_and_decides_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.sh").write_text(UNSAID)
    Path("b.sh").write_text(UNSAID)
    Path("c.sh").write_text(UNSAID)
    Path(".kv-roles.toml").write_text(
        _answer("a.sh", "both", "x") + _answer("b.sh", "prefill") + _answer("c.sh", "both", "y")
    )
    Path("a.sh").write_text(UNSAID.replace("serve m", "serve other"))
    Path("b.sh").unlink()
    code, out, err = _run(capsys, "--check", ".")
    assert code == 1
    assert "1 kept by answer" in out
    assert "the answer both for a.sh decides nothing, its line is gone: x" in err
    assert "the answer prefill for b.sh decides nothing, the file is gone: x" in err
    assert "c.sh" not in err
    assert _run(capsys, "--check", "c.sh")[2].count("decides nothing") == 0  # of files that the run does not cover


@pytest.mark.parametrize(
    "text",
    [
        UNSAID.replace("kv_both", "kv_producer"),  # no kv_both in the file
        f"echo first\n{UNSAID.replace('serve m', 'serve m --port 1')}",  # one elsewhere in it
        "",
    ],
    ids=["rewritten", "moved away", "deleted"],
)
def test_a_comment_to_keep_both_that_stands_at_nothing_is_reported(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    Path("a.sh").write_text(f"#!/bin/bash\n# kv-roles: keep both because it is\n\n{text}")
    Path("b.sh").write_text(f"# kv-roles: keep both because it is\n{UNSAID}")
    Path("a.md").write_text("Write `kv-roles: keep both because it is` above the line.\n")
    _, out, err = _run(capsys, ".")
    assert "1 kept by answer" in out
    assert err == "a.sh:2: the comment to keep both stands at no kv_both and decides nothing. Delete it."
    Path(".kv-roles.toml").write_text('exclude = ["a.sh"]\n')
    assert "the comment" not in _run(capsys, ".")[2]


def test_of_lines_that_are_alike_none_takes_the_answer_of_another(capsys: pytest.CaptureFixture[str]) -> None:
    block = f"start() {{\n  vllm serve m \\\n    --kv-transfer-config '{NIXL}'\n}}\n"
    other = block.replace("start()", "stop()")
    Path("a.sh").write_text(f"echo one\n{UNSAID}echo two\n{UNSAID}{block}{other}")
    first, second, third, fourth = (_key("a.sh", n) for n in range(4))
    assert len({first, second, third, fourth}) == 4
    Path("b.sh").write_text(f"{other}echo two\n{UNSAID}{block}echo one\n{UNSAID}")
    for n, own in enumerate([fourth, second, third, first]):  # its own, or one that nobody answered yet
        assert _key("b.sh", n) not in {first, second, third, fourth} - {own}
    assert (_key("b.sh", 0), _key("b.sh", 2)) == (fourth, third)  # told apart by what they stand under


def test_a_line_keeps_its_identity_when_its_role_is_written() -> None:
    before = f"{UNSAID}{UNSAID}"
    after = before.replace("kv_both", "kv_producer", 1)
    assert [p.key for p in identity.places(before)] == [p.key for p in identity.places(after)]


def test_an_answer_against_the_file_s_own_words_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.sh").write_text(f"# prefill\n{UNSAID}")
    Path(".kv-roles.toml").write_text(_answer("a.sh", "decode"))
    code, out, _ = _run(capsys, "--check", "--write", "a.sh")
    assert code == 1
    assert "KVR111 it was answered for one side, and the file says the other" in out
    assert "kv_both" in Path("a.sh").read_text()


@pytest.mark.parametrize("data", [b"\xff kv_both\n", b"x\n" + b"kv_both\n" * 3000])
def test_a_file_that_cannot_be_read_can_be_answered(capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    Path("a.sh").write_bytes(data)
    Path(".kv-roles.toml").write_text('[both]\n"a.sh" = "an old log"\n')
    code, out, _ = _run(capsys, "--check", ".")
    assert code == 0
    assert "1 kept by answer" in out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("answer = 1", "no list of tables"),
        ("[[answer]]\nfile = 'a'\n", "key is no text"),
        ("[[answer]]\nfile = 'a'\nkey = 'b'\nside = 'up'\n", "side is 'up'"),
        ("[[answer]]\nfile = 'a'\nkey = 'b'\nside = 'both'\n", "gives no reason"),
        ("[[answer]]\nfile = 'a'\nkey = 'b'\nside = 'both'\nwhy = 'x'\n", "means nothing"),
        ("[[answer]]\nfile='a'\nkey='b'\nside='decode'\n[[answer]]\nfile='a'\nkey='b'\nside='prefill'\n", "twice"),
        ("[both]\n'a' = ''\n", "gives no reason"),
        ("both = 1\n", "[both] is no table"),
        ("[side]\n'a' = 'both'\n", "no answer without a reason"),
    ],
)
def test_broken_answers_are_one_paragraph(capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    Path(".kv-roles.toml").write_text(text)
    Path("a.sh").write_text(UNSAID)
    code, out, err = _run(capsys, "--write", ".")
    assert (code, out) == (2, "")
    assert words in err


def test_machines_read_what_is_kept_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.sh").write_text(f"# kv-roles: keep both because it is\n{UNSAID}")
    Path("b.sh").write_text(UNSAID)
    Path(".kv-roles.toml").write_text(_answer("b.sh", "both", "a proxy decides"))
    found = json.loads(_run(capsys, "--json", ".")[1])["findings"]
    assert [(f["suppressed"], f["kept"]["because"], f["kept"]["rule"]) for f in found] == [
        (True, "it is", "comment"), (True, "a proxy decides", ".kv-roles.toml: [[answer]]"),
    ]  # fmt: skip
    results = json.loads(_run(capsys, "--sarif", ".")[1])["runs"][0]["results"]
    assert [r["suppressions"] for r in results] == [
        [{"kind": "inSource", "status": "accepted", "justification": "it is"}],
        [{"kind": "external", "status": "accepted", "justification": "a proxy decides"}],
    ]


def test_what_the_settings_of_a_tree_left_out_is_said_row_by_row(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.sh", "b.sh", "old/c.sh"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(UNSAID)
    Path(".kv-roles.toml").write_text('exclude = ["old/**", "b.sh"]\nignore = ["KVR110"]\n')
    code, out, err = _run(capsys, "--check", ".")
    assert code == 0
    assert "no NIXL role says kv_both" not in out
    assert (
        ".kv-roles.toml decided: exclude b.sh: 1 file not read; exclude old/**: 1 file not read; ignore KVR110: 1 finding silenced"
        in err
    )


@pytest.mark.parametrize(
    "before",
    ["", "# mine", "# x\r\nexclude = []\r\n", "[[answer]]\nfile = 'a'\nkey = 'k'\nside = 'decode' # sure\n\n[both]\n# why\n'y' = 'r'\n"],
    ids=["empty", "no end", "crlf", "answers"],
)  # fmt: skip
def test_answers_go_into_the_settings_and_all_else_stays(before: str) -> None:
    file = Path(".kv-roles.toml")
    file.write_bytes(before.encode())
    kept = settings_file.SettingsFile(str(file))
    new = [Answer("b", "k", Side.PREFILL, "", "a line"), Answer("c", "k", None, "because \x01\"'\n", "#")]
    for answer in new:
        kept.put(answer)
    assert file.read_bytes().startswith(before.encode())
    assert set(new) <= {a for of in settings.load(str(file)).answers.values() for a in of.values()}
    assert (b"\r\n" in file.read_bytes()) == ("\r\n" in before)
    assert kept.put(Answer("b", "k", None, "after all", "a line")) == new[0]
    if "sure" in before:
        kept.put(Answer("a", "k", None, "z"))
        assert "# sure" in file.read_text()
        assert "# why" in file.read_text()
        kept.take_back()
    for _ in range(3):
        kept.take_back()
    assert file.read_bytes() == before.encode()


def test_an_answer_that_cannot_be_kept_leaves_the_settings_as_they_were(tmp_path: Path) -> None:
    file = Path(".kv-roles.toml")
    file.write_text("[broken\n")
    with pytest.raises(KvRolesError, match="cannot be kept"):
        settings_file.SettingsFile(str(file)).put(Answer("b", "k", Side.PREFILL))
    assert file.read_text() == "[broken\n"
    with pytest.raises(KvRolesError, match="cannot be kept"):
        settings_file.SettingsFile("no/where.toml").put(Answer("b", "k", Side.PREFILL))
    assert [p.name for p in Path().iterdir()] == [".kv-roles.toml"]


@pytest.mark.parametrize("text", ["kv_both " * 2_000, "{kv_both," + "x" * 4_000_000 + "}", "a: kv_both\n" * 2_000])
def test_to_know_a_place_takes_time_in_proportion_to_its_file(text: str) -> None:
    found = identity.places(text)  # minutes, where each place goes through its whole line
    assert len({p.key for p in found}) == len(found)
    assert all(len(p.excerpt) <= 100 for p in found)


def test_what_is_cut_off_a_long_line_is_marked() -> None:
    """``line`` of an answer began in the middle of a word."""
    text = "vllm serve MODEL " + "--a-long-option " * 6 + "--kv-transfer-config.kv_role kv_both"
    (end,) = identity.places(text)
    (start,) = identity.places("kv_both " + text.replace("kv_both", "x"))
    (middle,) = identity.places(text + " --another-option" * 6)
    assert (end.excerpt[:4], start.excerpt[:4]) == ("... ", "kv_*")
    assert end.excerpt.endswith(" kv_*")
    assert start.excerpt.endswith(" ...")
    assert (middle.excerpt[:4], middle.excerpt[-4:]) == ("... ", " ...")


def test_a_key_is_the_same_in_every_version() -> None:
    """Answers and baselines are kept for years: a change of these keys would open all of them again."""
    text = f"start() {{\n  {UNSAID}}}\n{UNSAID}{UNSAID}"
    assert [p.key for p in identity.places(text)] == ["3be8612e3f4bac21", "70d47d424c429303", "d513b38ef42fb14e"]
    assert identity.of_file("KVR190 skipped: not UTF-8") == "a6b76b87c6eba624"
