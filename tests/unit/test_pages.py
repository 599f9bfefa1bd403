"""What the site says comes from the code, the lock and the data; these tests fail when they part."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from kvroles import contract, engine, lint
from kvroles.errors import Exit, KvRolesError
from kvroles.migrate.codes import CODES
from kvroles.pages import build, diagrams, effects, home, matrix, reference, results, text, topics
from support import docs

SERIES, LOCK = engine.load()
PAGES = topics.pages(SERIES, LOCK)


def _data(name: str) -> dict[str, object]:
    return json.loads((docs.ROOT / "docs" / "data" / name).read_bytes())


# --- generated pages ---------------------------------------------------------------------------------------------------


def test_every_topic_and_every_variant_has_a_page_and_a_download() -> None:
    for topic in SERIES.topics:
        assert f"patches/{topic.name}/index.md" in PAGES
        for variant in topic.variants:
            assert f"patches/{topic.name}/{variant}.md" in PAGES
            assert topics.downloads(SERIES)[f"patches/{topic.name}/{variant}.patch"] == topic.raw(variant)


def test_a_variant_page_says_why_whence_until_when_and_whom_it_serves() -> None:
    page = PAGES["patches/connector-warning/0.20.0.md"]
    patch = SERIES.topic("connector-warning").patch("0.20.0")
    assert "https://github.com/vllm-project/vllm/pull/43874" in page
    assert patch.trailers["Remove-When"] in page
    assert "0.20.0 to 0.22.1" in page
    assert "known once a request brings" in " ".join(page.split())


def test_diffs_are_included_from_their_source_and_never_copied() -> None:
    for path, page in PAGES.items():
        assert "\n@@ " not in page, path
    assert '--8<-- "patches/guides/0.22.0.patch"' in PAGES["patches/guides/0.22.0.md"]


def test_a_diff_with_fences_in_it_stands_in_a_longer_fence() -> None:
    assert text.include("p", "diff", "a\n````\n").startswith("`````diff\n")


def test_the_guide_is_included_and_not_copied() -> None:
    stub = (docs.ROOT / "docs" / "migration.md").read_text()
    assert '--8<-- "vllm_overlay/docs/features/nixl_kv_role_migration.md"' in stub
    assert "## " not in stub


def test_writing_twice_changes_nothing_and_removes_what_is_no_longer_generated(tmp_path: Path) -> None:
    root = docs.checkout(tmp_path)
    count, changed = build.write(root)
    assert count == changed
    stale = root / "docs" / "patches" / "connector-warning" / "0.1.0.md"
    stale.write_text("gone")
    assert build.write(root) == (count, 1)
    assert not stale.exists()


def test_a_missing_data_file_is_one_paragraph(tmp_path: Path) -> None:
    root = docs.checkout(tmp_path)
    (root / "docs" / "data" / "compat.json").unlink()
    with pytest.raises(KvRolesError, match=r"compat\.json is missing") as e:
        build.write(root)
    assert e.value.code is Exit.NO_SOURCE


def test_spans_name_runs_of_neighbours() -> None:
    known = ["1", "2", "3", "4", "5", "6"]
    assert text.spans(["1", "2", "3", "5"], known) == "1 to 3, 5"
    assert text.spans([], known) == ""


def test_what_looks_like_code_in_a_mail_becomes_code_and_nothing_becomes_markup() -> None:
    says = topics._safe("query kv_role='kv_both'.*deprecated in tests/v1/run_x.sh, <b> https://e.org/a_b `x_y` 2 * 3")
    assert says == (
        "query `kv_role='kv_both'.*deprecated` in `tests/v1/run_x.sh`, \\<b> https://e.org/a_b `x_y` 2 \\* 3"
    )


def test_a_reference_in_brackets_is_a_link_without_them() -> None:
    assert topics._linked("Backport [https://e.org/1]") == "Backport <https://e.org/1>"
    assert topics._linked("Inappropriate [finishes https://e.org/1]") == "Inappropriate [finishes <https://e.org/1>]"


def test_a_bar_in_a_cell_is_escaped_but_not_in_code_where_the_backslash_would_be_shown() -> None:
    assert text.table(["a", "b"], [["`URL|DIR`", "x|y"]]).splitlines()[2] == r"| `URL|DIR` | x\|y |"


# --- what was measured -------------------------------------------------------------------------------------------------


def _measured(found: dict[str, object]) -> str:
    return results.fragments(found, docs.ROOT)["results.md"]


def test_every_figure_of_the_results_is_on_the_page() -> None:
    def numbers(value: object) -> list[str]:
        if isinstance(value, dict | list):
            return [n for v in (value.values() if isinstance(value, dict) else value) for n in numbers(v)]
        return [f"{value:,}".replace(",", " ")] if type(value) in (int, float) else []

    found = json.loads((docs.ROOT / "bench" / "results.json").read_bytes())
    page = _measured(found)
    assert numbers(found)
    for number in numbers(found):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.]*\d)", page), number
    for subject in found:
        assert f"{{ #{subject.replace('_', '-')} }}" in page


def test_a_goal_stands_beside_its_figures_and_units_beside_the_numbers() -> None:
    page = _measured({"apply": {"again_s": 0.2, "peak_mb": 1234.5, "goals": {"again_s": 0.1}}})
    assert "| again | 0.2 s |" in page
    assert "| peak | 1 234.5 MB |" in page
    assert "Goals: again 0.1 s." in page


def test_objects_with_the_same_figures_are_the_columns_of_one_table() -> None:
    runs = {"into": {"points": 500, "lost": 0}, "reverse": {"points": 400, "lost": 0}}
    page = _measured({"faults": {**runs, "seed": 1}})
    assert "| Figure | into | reverse |" in page
    assert "| points | 500 | 400 |" in page
    assert "| seed | 1 |" in page


def test_many_objects_are_the_rows_of_one_table_and_one_may_lack_a_figure() -> None:
    runs = {f"run {n}": {"points": n, "lost": 0} | ({"partial": 7} if n == 3 else {}) for n in range(6)}
    page = _measured({"faults": runs})
    assert "| What | points | lost | partial |" in page
    assert "| run 2 | 2 | 0 | – |" in page
    assert "| run 3 | 3 | 0 | 7 |" in page


def test_a_unit_reaches_every_figure_below_it() -> None:
    ways = {"ours": {"cpu": 0.4, "wall": 1.2}, "theirs": {"cpu": 0.1, "wall": 0.2}}
    page = _measured({"migrate": {"median_s": ways, "peak_mb": {"tree": 25.1, "growth": 1.2}}})
    assert "| wall | 1.2 s | 0.2 s |" in page
    assert "| peak, tree | 25.1 MB |" in page
    assert "| peak, growth | 1.2 |" in page


def test_a_subject_nobody_measured_is_said_to_be_missing_and_an_unknown_one_is_shown() -> None:
    page = _measured({"moonlight": {"lux": 0.3}})
    assert "## Moonlight" in page
    assert "| lux | 0.3 |" in page
    missing = page.split("## Not measured yet")[1]
    for title, _ in results.SUBJECTS.values():
        assert title.lower() in missing
    assert "Not measured yet" not in _measured({k: {"x": 1} for k in results.SUBJECTS})


def test_every_benchmark_is_named_with_what_it_does() -> None:
    assert {c for c, _ in results.benches(docs.ROOT / "bench")} >= {
        f"`python bench/{name}.py`" for name in ("apply", "vendor", "verify")
    }
    assert all(says.endswith(".") for _, says in results.benches(docs.ROOT / "bench"))


# --- numbers and words --------------------------------------------------------------------------------------------------


def test_home_counts_what_the_lock_says() -> None:
    table = home.fragments(SERIES, LOCK)["state-of-the-world.md"]
    states = [row.topics["connector-warning"].state for row in LOCK.releases.values()]
    assert f"({states.count('variant')} releases)" in table
    assert f"({states.count('native')} releases)" in table
    assert f"in {len(LOCK.releases['0.33.0'].topics['stragglers'].files)} files" in table


def test_readme_counts_what_the_lock_says() -> None:
    readme = " ".join((docs.ROOT / "README.md").read_text().split())
    states = [row.topics["connector-warning"].state for row in LOCK.releases.values()]
    assert f"the {states.count('variant')} before it" in readme
    releases = list(LOCK.releases)
    assert f"{releases[0]} to {releases[-1]}" in readme


def test_the_picker_counts_the_releases_that_were_scanned() -> None:
    page = (docs.ROOT / "docs" / "does-my-release-care.md").read_text()
    assert f"a scan of all {len(_data('role_effects.json')['releases'])}\nreleases" in page


def test_the_warning_is_quoted_as_the_patches_write_it() -> None:
    warning = home.warning(SERIES)
    assert re.search(contract.QUERY, warning)
    for path in (docs.GUIDE, docs.ROOT / "README.md"):
        assert warning in path.read_text(), path
    assert contract.QUERY in docs.GUIDE.read_text()


def test_the_contract_page_has_every_clause_of_the_checker() -> None:
    assert len(home.clauses()) == 5
    page = (docs.ROOT / "docs" / "explanation" / "design.md").read_text()
    assert "\n## The contract\n" in page  # an error message sends readers there
    assert re.findall(r"^\| (\d) \|", page, re.MULTILINE) == [str(n) for n in range(1, len(home.clauses()) + 1)]


def test_the_states_page_has_every_state() -> None:
    assert [s for s, _ in home.states()] == [s.value for s in engine.State]
    page = (docs.ROOT / "docs" / "explanation" / "states.md").read_text()
    for state in engine.State:
        assert re.search(rf"^\| {state.value} \|", page, re.MULTILINE)


def test_every_exit_code_has_a_meaning() -> None:
    assert [n for n, _ in reference.exit_codes()] == [int(e) for e in Exit]


# --- matrix and effects -------------------------------------------------------------------------------------------------


def test_the_matrix_has_a_row_a_release_and_a_link_a_variant() -> None:
    compat = _data("compat.json")
    page = matrix.fragments(compat, SERIES)["matrix.md"]
    assert re.findall(r'<tr id="v([^"]+)">', page) == list(reversed(LOCK.releases))
    for release, row in compat["releases"].items():
        html = page.split(f'<tr id="v{release}">')[1].split("</tr>")[0]
        assert (f'href="{matrix.COMMIT}{row["commit"]}"' in html) is (row["commit"] is not None)
        for topic in SERIES.topics:
            variant = row["topics"].get(topic.name, {}).get("variant")
            if variant:
                assert f'href="../patches/{topic.name}/{variant}/"' in html


def test_a_moved_hunk_shows_the_largest_offset_with_its_sign() -> None:
    assert matrix.furthest({"a": [0, 3], "b": [-70, 1]}) == -70
    assert matrix.furthest({}) == 0


def test_upstreams_own_tests_show_what_passed_before_and_after() -> None:
    run = {
        "versions": {"torch": "2.11.0", "nixl": "1.1.0"},
        "before": {"passed": 90},
        "after": {"passed": 92},
        "not_passed": [{}],
        "unsteady": [
            {"test": "m::test_now_and_then[a]", "before": ["passed", "failed"], "after": ["failed", "passed"]}
        ],
    }
    page = matrix.unit_runs({"releases": {"0.22.1": run}})["unit-runs.md"]
    assert "| 0.22.1 | torch 2.11.0, nixl 1.1.0 | 90 | 92 | 1 |" in page
    assert "| 0.22.1 | `test_now_and_then[a]` | passed, failed | failed, passed |" in page
    steady = matrix.unit_runs({"releases": {"0.22.1": {**run, "unsteady": []}}})["unit-runs.md"]
    assert "run again" not in steady
    assert matrix.unit_runs(None) == matrix.unit_runs({"releases": {}}) == {"unit-runs.md": ""}


def test_a_breach_and_an_unchecked_clause_show_in_the_matrix() -> None:
    row = {"commit": None, "topics": {}, "contract": {"holds": False, "unchecked": {}}}
    assert "broken" in matrix.fragments({"releases": {"0.1.0": row}}, SERIES)["matrix.md"]
    row = {"commit": None, "topics": {}, "contract": {"holds": True, "unchecked": {"2": "no tests"}}}
    assert (
        "holds in part</span> <small>clause 2: no tests"
        in matrix.fragments({"releases": {"0.1.0": row}}, SERIES)["matrix.md"]
    )


def test_the_effects_table_shows_every_effect_and_all_of_its_evidence() -> None:
    data = _data("role_effects.json")
    page = effects.fragments(data)["effects.md"]
    assert data["releases"] == list(LOCK.releases)
    for effect in data["effects"]:
        row = page.split(f'<tr id="{effect["id"]}"')[1].split("</tr>")[0]
        assert f'data-releases="{" ".join(effects.releases_of(effect, data["releases"]))}"' in row
        for release, lines in effect["evidence"].items():
            for line in lines:
                assert f'{effects.BLOB}{release}/{line.replace(":", "#L")}"' in row


def test_every_feature_of_the_data_has_a_word_for_readers() -> None:
    assert {f for e in _data("role_effects.json")["effects"] for f in e["features"]} <= set(effects.FEATURES)


# --- command line -------------------------------------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def parsers() -> dict[str, argparse.ArgumentParser]:
    return reference.tool_parsers(docs.ROOT)


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
    for name in SERIES.topics[0].patch(SERIES.topics[0].variants[-1]).trailers:
        assert f"\n{name}: " in page
        assert f"| `{name}` |" in page


# --- the threat model ----------------------------------------------------------------------------------------------------


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


# --- examples -----------------------------------------------------------------------------------------------------------

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
    known = {"bash", "console", "json", "yaml", "python", "toml", "text", "mermaid", "diff", "yaml+jinja"}
    for page in docs.written_pages():
        for block in docs.blocks(page):
            assert block.info in known, str(block)


# --- the diagram script --------------------------------------------------------------------------------------------------


def test_another_diagram_script_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "mermaid.min.js"
    other.write_text("alert(1)")
    with pytest.raises(KvRolesError) as e:
        diagrams.provide(tmp_path / "docs", tmp_path / "cache", other)
    assert e.value.code is Exit.UNPROVEN
    assert not (tmp_path / "docs" / diagrams.SERVED).exists()


def test_without_npm_the_error_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(KvRolesError, match="--mermaid") as e:
        diagrams.provide(tmp_path / "docs", tmp_path / "cache")
    assert e.value.code is Exit.NO_SOURCE
