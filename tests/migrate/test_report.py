"""What people and programs are told: what needs them first, one table last, forms that other programs read, a page to send."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import resource
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from kvroles.migrate import cli, run
from kvroles.migrate.settings import Options, Settings

pytestmark = pytest.mark.usefixtures("here")

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools/migrate.py"
NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
UNSAID = f"vllm serve m --kv-transfer-config '{NIXL}'\n"
CERTAIN = f"# prefill\n{UNSAID}"
UNREAD = UNSAID.replace("NixlConnector", "$CONNECTOR_OF_OURS")
OURS = '<!doctype html>\n<meta name="generator" content="kv-roles">old'


def _put(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def _said(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    cli.main(list(args))
    return capsys.readouterr().out


def test_what_needs_a_person_comes_first_by_folder_and_a_table_last(capsys: pytest.CaptureFixture[str]) -> None:
    _put({f"a/prefill/{n}.sh": CERTAIN for n in range(30)})
    _put({"a/one/x.sh": UNSAID, "a/two/y.sh": UNSAID, "a/two/z.sh": UNREAD})
    lines = _said(capsys, "a").splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "a/one: 1 to decide",
        next(line for line in lines if line.startswith("a/one/x.sh:1:79: KVR11")),
        "a/two: 1 unread, 1 to decide",
        next(line for line in lines if line.startswith("a/two/z.sh:1:") and " KVR118 " in line),
        next(line for line in lines if line.startswith("a/two/y.sh:1:79: KVR11")),
        "repository  files  rewritten  left  to decide  unread  kept  passed over",
        "a              33          0    30          2       1     0            0",
        "30 roles certain in 30 files (--write rewrites them), 2 to look at, 1 unread; 33 files looked at",
    ]
    assert _said(capsys, "-v", "a").count("line 1: comment: prefill -> prefill") == 30
    assert _said(capsys, "-q", "a").count("\n") == 1


def test_a_gate_lists_all_that_it_fails_on(capsys: pytest.CaptureFixture[str]) -> None:
    _put({"a.sh": CERTAIN, "b.sh": UNSAID})
    out = _said(capsys, "--check", ".")
    assert out.startswith(".: 1 to decide, 1 left\nb.sh:1:79: KVR110")
    assert "a.sh:2:79: KVR101" in out


def test_each_repository_has_its_row_and_those_in_which_nothing_was_found_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("one", "two", "two/below", "clean", "none"):
        Path("fleet", name, ".git").mkdir(parents=True)
    _put(
        {"fleet/one/a.sh": CERTAIN, "fleet/two/d/a.sh": UNSAID, "fleet/two/below/a.sh": CERTAIN, "fleet/clean/x": "x\n"}
    )
    table = [re.split(" {2,}", line) for line in _said(capsys, "--write", "fleet").splitlines()]
    assert ["fleet/one", "1", "1", "0", "0", "0", "0", "1"] in table
    assert ["fleet/two", "1", "0", "0", "1", "0", "0", "1"] in table
    assert ["fleet/two/below", "1", "1", "0", "0", "0", "0", "1"] in table
    assert ["total", "4", "2", "0", "1", "0", "0", "5"] in table
    assert ["fleet/none", "0", "0", "0", "0", "0", "0", "1"] in table  # nothing was looked at in it
    assert ["and 1 repository in which nothing was found"] in table
    rows = json.loads(_said(capsys, "--json", "fleet"))["repositories"]
    assert [row["repository"] for row in rows] == [
        "fleet/clean", "fleet/none", "fleet/one", "fleet/two", "fleet/two/below"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", 'a,"b"', "%2B", "＝1"])
def test_csv_gives_a_spreadsheet_nothing_to_calculate(capsys: pytest.CaptureFixture[str], name: str) -> None:
    Path("fleet", name, ".git").mkdir(parents=True)
    _put({f"fleet/{name}/a.sh": CERTAIN})
    os.chdir("fleet")
    (head, row) = csv.reader(io.StringIO(_said(capsys, "-o", "csv", "--", name)))
    assert head == ["repository", "files", "rewritten", "left", "to decide", "unread", "kept", "passed over"]
    assert row[1:] == ["1", "0", "1", "0", "0", "0", "1"]
    assert row[0].lstrip("'") == name.replace("\t", "\\t")
    assert row[0][0] not in "=+-@|%\t\r＝"


def test_markdown_shows_a_name_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a|b`<b>_x_[y](http:z)"
    Path("fleet", name, ".git").mkdir(parents=True)
    _put({f"fleet/{name}/a.sh": CERTAIN})
    out = _said(capsys, "-o", "markdown", "fleet")
    markdown = pytest.importorskip("markdown", reason="the docs extra is not installed: pip install -e '.[docs]'")
    html = markdown.markdown(out, extensions=["tables"])
    assert f"<td>fleet/{name.replace('<', '&lt;').replace('>', '&gt;')}</td>" in html.replace("&#124;", "|").replace(
        "&#96;", "`"
    ).replace("&#95;", "_").replace("&#91;", "[").replace("&#93;", "]").replace("&#40;", "(").replace(
        "&#41;", ")"
    ).replace("&#58;", ":").replace("&#60;", "&lt;").replace("&#62;", "&gt;")


def test_the_comment_cited_is_the_one_that_spoke() -> None:
    quoted = {"comment", "comment behind", "heading", "echo", "tab", "text above", "branch", "label", "key", "name"}
    wrong, seen = [], 0
    for path in sorted((ROOT / "tests/corpus").rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(ROOT / "tests/corpus").as_posix()
        data = path.read_bytes()
        result = run.of_bytes(name, name, data, Options(Settings(), proof=False))
        lines = data.decode("utf-8", "replace").split("\n")
        for f in result.findings if result is not None else []:
            for c in f.cues:
                if c.kind in quoted and (line := result.line(c) if result is not None else 0):
                    seen += 1
                    words = re.findall(r"[A-Za-z]{3,}", c.words)
                    there = " ".join(lines[line - 1 : line + 3]).lower()
                    if not all(w.lower() in there for w in words):
                        wrong.append((name, f.line, line, c.kind, c.words))
    assert seen > 200
    assert wrong == []


def test_a_note_beside_the_comment_that_spoke_is_not_cited(capsys: pytest.CaptureFixture[str]) -> None:
    note = "# NOTE: remove --enforce-eager for production\n"
    _put({"a.sh": f"# Start the prefill worker\n{note}{UNSAID}", "b.sh": f"{note}# Decode server\n{UNSAID}"})
    _put({"c.yaml": f"{note}# Prefill worker\nargs: ['{NIXL}']\n", "d.py": f"# Prefill worker\n{note}CMD = '{NIXL}'\n"})
    out = _said(capsys, "-v", ".")
    assert out.count("comment: ") == 4
    assert "NOTE" not in out


class _Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self._at = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._at = tag

    def handle_endtag(self, tag: str) -> None:
        self._at = ""

    def handle_data(self, data: str) -> None:
        if self._at in self.inside:
            self.inside[self._at].append(data)
        else:
            self.text += data


def _page(*args: str) -> _Page:
    cli.main(["-q", "--html", "report.html", *args])
    return _Page(Path("report.html").read_text())


def test_the_page_tells_each_case_with_its_change_evidence_and_what_to_do() -> None:
    _put({"a/run.sh": CERTAIN, "b/run.sh": UNSAID})
    page = _page("a", "b")
    assert [a["data-state"] for t, a in page.tags if t == "article"] == ["left", "to decide"]
    for words in (
        "a/run.sh:2:79", '"kv_role":"kv_producer"', "line 1: comment: prefill -> prefill",
        "b/run.sh:1:79", "To do: run again with --side b/run.sh:1=prefill (or", "By repository", "By folder",
    ):  # fmt: skip
        assert words in page.text
    assert "<code>--side b/run.sh:1=prefill</code>" in Path("report.html").read_text()


def test_the_page_asks_nobody_for_anything_and_its_policy_allows_its_own_style_and_script_only() -> None:
    _put({"a/run.sh": CERTAIN})
    page = _page("a")
    for tag, attrs in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "base"}
        for name, value in attrs.items():
            assert not name.startswith("on")
            assert name != "style"
            assert name not in {"src", "href", "action"} or (value or "").startswith("#")
    policy = next(a["content"] or "" for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    for kind in ("style", "script"):
        (text,) = page.inside[kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "url(" not in page.inside["style"][0]


def test_nothing_from_a_name_or_a_text_is_markup_of_the_page() -> None:
    evil = "<img src=x onerror=alert(1)>\"'&<!--"
    _put({f"{evil.replace('/', '')}.sh": f"{UNSAID.strip()} # </pre><script>alert(1)</script> {evil}\n"})
    _put({"b.yaml": f"# decode {evil}\nx: {UNREAD}"})
    page = _page(".")
    assert [t for t, _ in page.tags].count("script") == 1
    assert "img" not in [t for t, _ in page.tags]
    assert "<script>alert(1)</script>" in page.text


def test_a_page_is_no_finding_of_the_next_run(capsys: pytest.CaptureFixture[str]) -> None:
    _put({"a/run.sh": CERTAIN})
    _page("a")
    assert b"kv_both" not in Path("report.html").read_bytes()
    assert "1 role certain in 1 file" in _said(capsys, "-q", ".")


def test_a_full_disk_leaves_the_page_that_was_there_and_the_report_is_printed() -> None:
    _put({"a.sh": CERTAIN, "report.html": OURS})
    ran = subprocess.run(
        [sys.executable, "-B", TOOL, "--html", "report.html", "a.sh"],  # no bytecode: the limit would cut it short
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)),
    )
    assert ran.returncode == 1
    assert ran.stderr == "kv-roles: report.html cannot be written: File too large. What was there is as it was.\n"
    assert "1 role certain" in ran.stdout
    assert Path("report.html").read_text() == OURS
    assert sorted(os.listdir()) == ["a.sh", "report.html"]


@pytest.mark.parametrize("place", ["folder", "missing/report.html", "/dev/null"])
def test_a_place_where_no_page_can_be_is_an_error_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], place: str
) -> None:
    Path("folder").mkdir()
    _put({"a.sh": CERTAIN})
    assert cli.main(["--write", "--html", place, "a.sh"]) == 2
    assert "--html" in capsys.readouterr().err
    assert Path("a.sh").read_text() == CERTAIN


@pytest.mark.parametrize("text", ["<!doctype html>\n<title>Home</title>", "<!DOCTYPE HTML>", "# no page"])
def test_a_page_of_somebody_else_is_not_replaced(capsys: pytest.CaptureFixture[str], text: str) -> None:
    _put({"a.sh": CERTAIN, "index.html": text})
    assert cli.main(["--html", "index.html", "a.sh"]) == 2
    assert "is no page of kv-roles" in " ".join(capsys.readouterr().err.split())
    assert Path("index.html").read_text() == text


@pytest.mark.parametrize("title", [OURS, "<!doctype html>\n<title>NIXL roles: report of kv-roles migrate</title>", ""])
def test_a_page_of_an_earlier_run_is_replaced(title: str) -> None:
    _put({"a.sh": CERTAIN, "report.html": title})
    _page("a.sh")
    _page("a.sh")
    assert 'name="generator"' in Path("report.html").read_text()


@pytest.mark.parametrize("other", ["x", "./x", "folder/../x", "link"])
@pytest.mark.parametrize("option", ["--baseline", "--from-list"])
def test_one_file_named_for_two_things_is_an_error(capsys: pytest.CaptureFixture[str], option: str, other: str) -> None:
    _put({"a.sh": CERTAIN, "folder/b.sh": CERTAIN})
    Path("link").symlink_to("x")
    also = ["--write-baseline"] if option == "--baseline" else []
    assert cli.main(["--html", "x", option, other, *also, "a.sh"]) == 2
    assert "are one file" in " ".join(capsys.readouterr().err.split())
    assert not Path("x").exists()
    if also:
        assert cli.main(["--html", "page.html", option, "x", *also, "a.sh"]) == 0


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "link to a descriptor", "link to a link to a descriptor"])
def test_what_is_no_file_is_not_replaced_by_a_page(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    _put({"a.sh": CERTAIN, "opened": ""})
    page = Path("page.html")
    with Path("opened").open("w") as opened:
        if kind == "pipe":
            os.mkfifo(page)
        elif kind == "link to a pipe":
            os.mkfifo("pipe")
            page.symlink_to("pipe")
        elif kind == "link to a descriptor":
            page.symlink_to(f"/proc/self/fd/{opened.fileno()}")
        else:
            Path("between").symlink_to(f"/proc/self/fd/{opened.fileno()}")
            page.symlink_to("between")
        before = page.lstat()
        assert cli.main(["--html", "page.html", "a.sh"]) == 2
        assert "is no regular file" in " ".join(capsys.readouterr().err.split())
        assert page.lstat().st_ino == before.st_ino
