"""What the hand-written pages say can be done: commands the tools take, examples that parse, tests that exist."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from kvroles.errors import Exit
from kvroles.migrate.cluster import command as cluster
from kvroles.migrate.codes import CODES
from kvroles.series import project
from kvworkshop import lint
from kvworkshop.pages import reference
from support import docs


def _options(parser: argparse.ArgumentParser) -> set[str]:
    out = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            out |= {o for sub in action.choices.values() for o in _options(sub)}
        elif not isinstance(action, argparse._HelpAction) and action.help != argparse.SUPPRESS:
            out |= set(action.option_strings)
    return out


def test_the_reference_has_every_option_of_every_tool() -> None:
    page = reference.tools_page(docs.ROOT)
    for name, parser in reference.tool_parsers(docs.ROOT).items():
        section = page.split(f"\n## {name} ")[1].split("\n## ")[0]
        for option in _options(parser):
            assert re.search(rf"^\| `[^`]*{re.escape(option)}\b", section, re.MULTILINE), f"{name} {option}"


def test_every_page_and_every_topic_is_in_the_navigation() -> None:
    """A KVR code's page is reached from the list of codes instead."""
    listed = (docs.ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    pages = {p.relative_to(docs.ROOT / "docs").as_posix() for p in (docs.ROOT / "docs").rglob("*.md")}
    by_hand = {p for p in pages if not p.startswith(("kvr/", "patches/", "reference/"))}
    topics = {f"patches/{topic.name}/index.md" for topic in project.load().series.topics}
    assert {page for page in by_hand | topics if f" {page}\n" not in f"{listed}\n"} == set()


@pytest.fixture(scope="module")
def parsers() -> dict[str, argparse.ArgumentParser]:
    return reference.tool_parsers(docs.ROOT)


# The exit codes that a tool never ends with. A new code is told by the help of each other tool, or has its name here.
NEVER: dict[str, set[Exit]] = {
    "migrate.py": {Exit.UNPROVEN, Exit.NO_SOURCE},
    "kubectl kv-roles": {Exit.UNPROVEN},
    "effects.py": {Exit.DOES_NOT_APPLY},
    "pages.py": {Exit.DOES_NOT_APPLY},
    "unit_runs.py": {Exit.DOES_NOT_APPLY},
}


def test_the_help_of_each_tool_tells_the_exit_codes(parsers: dict[str, argparse.ArgumentParser]) -> None:
    told, wanted = {}, {}
    for name, parser in {**parsers, "kubectl kv-roles": cluster.parser()}.items():
        codes = " ".join(parser.format_help().split()).partition("Exit codes: ")[2]
        told[name] = [int(code) for code in re.findall(r"(?:^|; )(\d) ", codes)]
        wanted[name] = sorted(set(Exit) - NEVER.get(name, set()))
    assert told == wanted


WITH_COMMANDS = [b for b in docs.all_blocks("bash", "console") if any(docs.our_commands(b))]


@pytest.mark.parametrize("block", WITH_COMMANDS, ids=str)
def test_commands_in_the_docs_are_ones_the_tools_take(
    block: docs.Block, parsers: dict[str, argparse.ArgumentParser], capsys: pytest.CaptureFixture[str]
) -> None:
    for tool, *words in docs.our_commands(block):
        assert tool in parsers, f"{block}: there is no tools/{tool}"
        refusal = None
        try:
            parsers[tool].parse_args(words)
        except SystemExit as e:
            refusal = e.code  # 0 for --help
        assert not refusal, f"{block}: {capsys.readouterr().err}"


def test_every_finding_code_has_a_page_that_says_the_same() -> None:
    for code, says in {**lint.CODES, **{c.id: c.summary for c in CODES.values()}}.items():
        page = (docs.ROOT / "docs" / "kvr" / f"{code}.md").read_text()
        assert f"**{says.rstrip('.')}.**" in page, code
    for code in CODES.values():
        assert f"# {code.id}: {code.name}\n" in (docs.ROOT / "docs" / "kvr" / f"{code.id}.md").read_text()


def test_no_page_is_about_a_code_that_is_gone() -> None:
    known = set(lint.CODES) | set(CODES)
    assert {p.stem for p in (docs.ROOT / "docs" / "kvr").glob("*.md")} == known


def test_the_write_a_topic_page_shows_a_real_message() -> None:
    page = (docs.ROOT / "docs" / "howto" / "write-a-topic.md").read_text()
    topic = project.load()[0].topics[0]
    for name in topic.patch(topic.variants[-1]).trailers:
        assert f"\n{name}: " in page
        assert f"| `{name}` |" in page


def test_every_threat_names_its_guard_and_tests_that_exist() -> None:
    page = (docs.ROOT / "docs" / "explanation" / "threat-model.md").read_text()
    threats = [s for s in page.split("\n## ")[1:] if "**Could**" in s]
    assert len(threats) >= 10
    known = {
        name
        for path in (docs.ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    for threat in threats:
        named = set(re.findall(r"`(test_\w+)`", threat.partition("**Shown by**")[2]))
        assert "**In the way:**" in threat, threat
        assert named, threat
        assert named <= known, f"{threat.splitlines()[0]}: {named - known}"


def test_every_claim_of_the_security_page_names_attacks_that_exist() -> None:
    table = (docs.ROOT / "SECURITY.md").read_text().partition("| who | cannot | shown by |")[2].partition("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) >= 8
    named: set[Path] = set()
    for who, _, shown in rows:
        files = re.findall(r"`([\w/]+\.py)`", shown)
        assert files, who
        for file in files:
            path = docs.ROOT / (file if "/" in file else f"tests/faults/hostile/{file}")
            assert re.search(r"^def test_\w+", path.read_text(), re.MULTILINE), f"{who}: {file}"
            named.add(path)
    there = set((docs.ROOT / "tests/faults/hostile").glob("test_*.py"))
    assert there <= named, "an attack that no claim speaks of"


def test_every_attack_that_got_through_once_names_a_test_that_exists() -> None:
    table = (docs.ROOT / "SECURITY.md").read_text().partition("| of | attack | shown by |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines() if "test_" in line]
    known = {
        name
        for path in (docs.ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(rows) >= 66
    assert len({attack for _, attack, _ in rows}) == len(rows)
    assert {test.strip(" `") for _, _, test in rows} <= known


EXAMPLES = [b for b in docs.all_blocks("json", "yaml", "python", "toml", "bash", "shell") if "{{" not in b.text]


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_every_example_in_the_docs_parses(block: docs.Block) -> None:
    match block.info:
        case "json":
            json.loads(block.text)
        case "yaml":
            assert list(yaml.safe_load_all(block.text))
        case "toml":
            tomllib.loads(block.text)
        case "python":
            compile(block.text, str(block), "exec")
        case _:
            subprocess.run(["bash", "-n"], input=block.text, text=True, check=True, capture_output=True)


def test_no_block_is_without_a_language() -> None:
    known = {"bash", "console", "json", "yaml", "python", "toml", "text", "mermaid", "diff", "dockerfile", "yaml+jinja"}
    for page in docs.written_pages():
        for block in docs.blocks(page):
            assert block.info in known, str(block)
