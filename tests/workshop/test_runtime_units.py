"""How runs of upstream's tests are read, compared and kept."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kvroles.series import project
from kvworkshop.runtime import environments, models, unit_runs, upstream_tests
from kvworkshop.runtime.upstream_tests import Comparison, Run
from kvworkshop.verify import compat

DATA = Path(__file__).parents[2] / "docs" / "data"
JUNIT = b"""<testsuites><testsuite>
<testcase classname="tests.test_nixl" name="test_good" />
<testcase classname="tests.test_nixl.TestIt" name="test_bad[x]"><failure message="assert 1 ==\n 2">trace</failure></testcase>
<testcase classname="tests.test_nixl" name="test_off"><skipped message="needs a GPU" /></testcase>
<testcase classname="tests.test_nixl" name="test_both"><failure message="f" /><error message="teardown" /></testcase>
</testsuite></testsuites>"""


def run(**outcomes: str) -> Run:
    return Run(outcomes, {t: "why" for t, o in outcomes.items() if o != "passed"}, 1.0)


def test_a_junit_report_gives_outcomes_and_reasons() -> None:
    outcomes, reasons = upstream_tests.parse(JUNIT)
    assert outcomes == {
        "tests.test_nixl::test_good": "passed",
        "tests.test_nixl.TestIt::test_bad[x]": "failed",
        "tests.test_nixl::test_off": "skipped",
        "tests.test_nixl::test_both": "error",
    }
    assert reasons == {
        "tests.test_nixl.TestIt::test_bad[x]": "assert 1 == 2",
        "tests.test_nixl::test_off": "needs a GPU",
        "tests.test_nixl::test_both": "teardown",
    }


@pytest.mark.parametrize("after", [{"a": "failed"}, {"a": "error"}, {"a": "skipped"}, {}])
def test_a_test_that_no_longer_passes_is_lost(after: dict[str, str]) -> None:
    assert Comparison(run(a="passed"), run(**after)).lost == ["a"]


def test_a_failure_that_was_there_before_is_not_new() -> None:
    compared = Comparison(run(a="failed", b="skipped"), run(a="error", b="failed", c="error"))
    assert compared.lost == []
    assert compared.new_failures == ["b", "c"]


FILE = f"{upstream_tests.UNIT}/test_nixl.py"
OTHER = f"{upstream_tests.UNIT}/test_nixl_more.py"
TEST = FILE.removesuffix(".py").replace("/", ".") + "::test_it"


def compared(before: list[dict[str, str]], after: list[dict[str, str]]) -> tuple[Comparison, list[list[str]]]:
    """The comparison of runs that end so on either tree, the last as often as is asked; and the files of each run."""
    asked: list[list[str]] = []

    def pair(files: list[str]) -> tuple[Run, Run]:
        asked.append(files)
        turn = len(asked) - 1
        return tuple(run(**side[min(turn, len(side) - 1)]) for side in (before, after))  # type: ignore[return-value]

    return upstream_tests.compare(pair, [FILE, OTHER], lambda _: None), asked


def test_nothing_is_run_again_where_nothing_differs() -> None:
    result, asked = compared([{TEST: "failed", "x::a": "passed"}], [{TEST: "failed", "x::a": "passed"}])
    assert asked == [[FILE, OTHER]]
    assert result.lost == result.new_failures == result.unsteady == []


def test_only_the_file_of_what_differs_is_run_again() -> None:
    _, asked = compared([{TEST: "passed"}], [{TEST: "failed"}])
    assert asked == [[FILE, OTHER]] + upstream_tests.AGAIN * [[FILE]]


@pytest.mark.parametrize("outcome", ["failed", "error", "skipped"])
def test_what_differs_every_time_is_lost(outcome: str) -> None:
    result, _ = compared([{TEST: "passed"}], [{TEST: outcome}])
    assert result.lost == [TEST]
    assert result.unsteady == []


def test_what_differs_once_more_is_lost() -> None:
    good, bad = {TEST: "passed"}, {TEST: "failed"}
    result, _ = compared([good], [bad, good, good, bad])
    assert result.lost == result.new_failures == [TEST]


def test_what_fails_without_the_series_too_is_unsteady_and_told() -> None:
    good, bad = {TEST: "passed"}, {TEST: "failed"}
    result, _ = compared([good, good, bad, good], [bad])
    assert result.lost == result.new_failures == []
    outcomes = {"before": ["passed", "passed", "failed", "passed"], "after": 4 * ["failed"]}
    assert result.changing() == [{"test": TEST, **outcomes}]


def test_what_fails_once_only_is_unsteady_and_told() -> None:
    good, bad = {TEST: "passed"}, {TEST: "failed"}
    result, _ = compared([good], [bad, good])
    assert result.lost == result.new_failures == []
    assert result.changing() == [{"test": TEST, "before": 4 * ["passed"], "after": ["failed", *3 * ["passed"]]}]


def test_what_fails_once_before_the_series_is_told_too() -> None:
    good, bad = {TEST: "passed"}, {TEST: "failed"}
    result, asked = compared([bad, good], [good])
    assert len(asked) == 1 + upstream_tests.AGAIN
    assert result.changing() == [{"test": TEST, "before": ["failed", *3 * ["passed"]], "after": 4 * ["passed"]}]


def test_what_fails_as_an_error_after_the_series_is_no_new_failure() -> None:
    result, _ = compared([{TEST: "failed"}], [{TEST: "error"}])
    assert result.new_failures == result.lost == result.unsteady == []


@pytest.mark.parametrize("later", [{}, {TEST: "passed"}], ids=["gone", "passes"])
def test_a_test_that_only_the_series_has_must_pass_every_time(later: dict[str, str]) -> None:
    result, _ = compared([{}], [{TEST: "failed"}, later])
    assert result.new_failures == [TEST]
    assert result.changing() == []


@pytest.mark.parametrize(
    ("test", "held"),
    [
        ("tests.a.test_b::t", True),
        ("tests.a.test_b.TestIt::t[x]", True),
        ("tests.a.test_b", True),
        ("tests.a.test_bc::t", False),
    ],
)
def test_a_test_is_of_the_file_that_its_module_names(test: str, held: bool) -> None:
    assert upstream_tests.holds("tests/a/test_b.py", test) is held


def test_the_new_tests_are_known_by_name_with_parameters() -> None:
    after = run(**{"m::test_kv_both_deprecation_warning[fake]": "passed", "m::test_other": "passed"})
    assert Comparison(run(), after).new_tests == {"m::test_kv_both_deprecation_warning[fake]": "passed"}


def test_files_that_touch_nixl_are_chosen(tmp_path: Path) -> None:
    unit = tmp_path / upstream_tests.UNIT
    (unit / "sub").mkdir(parents=True)
    (unit / "test_a.py").write_text("import nixl")
    (unit / "sub" / "test_b.py").write_text("config = create_vllm_config()")
    (unit / "test_c.py").write_text("import mooncake")
    (unit / "utils.py").write_text("import nixl")
    assert upstream_tests.files(tmp_path) == [
        f"{upstream_tests.UNIT}/sub/test_b.py",
        f"{upstream_tests.UNIT}/test_a.py",
    ]


STAND_IN = """#!/bin/sh
for option; do case "$option" in --junitxml=*) report="${option#*=}" ;; esac; done
printf '<testsuite><testcase name="%s" /><testcase name="%s" /></testsuite>' "$TMPDIR" "$VLLM_NIXL_SIDE_CHANNEL_PORT" > "$report"
"""


def test_runs_side_by_side_share_neither_temporary_files_nor_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    folders, ports = zip(
        *(upstream_tests.run(environments.Interpreter(python), tmp_path, "0.22.1", []).outcomes for _ in range(2)),
        strict=True,
    )
    assert len(set(folders)) == len(set(ports)) == 2
    assert tempfile.gettempdir() not in folders


def test_what_others_may_be_reading_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    models.write_text(path, "old")
    with path.open() as reader:
        models.write_text(path, "new and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_a_hub_that_is_there_is_left_alone(tmp_path: Path) -> None:
    def files() -> dict[Path, int]:
        return {p: p.stat().st_ino for p in models.write_hub(tmp_path).rglob("*") if p.is_file()}

    first = files()
    assert {p.parts[-4] for p in first if p.name == "config.json"} == {
        "models--facebook--opt-125m",
        "models--facebook--opt-350m",
    }
    assert files() == first


COUNTS = {"passed": 1, "failed": 0, "error": 0, "skipped": 0}


def record(release: str, passed: int, patched: dict[str, str | None] | None = None) -> dict[str, Any]:
    patched = compat.patched_files(release, *project.load()) if patched is None else patched
    counts = {**COUNTS, "passed": passed}
    return {"release": release, "patched": patched, "before": counts, "after": {**counts, "passed": passed + 2}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a compat.json that knows a release and no runs."""
    data = tmp_path / "docs" / "data"
    data.mkdir(parents=True)
    (data / "compat.json").write_text(json.dumps({"schema": 1, "releases": {"0.22.1": {}}, "unit_runs": {}}))
    return tmp_path


def test_a_record_replaces_that_of_its_release_only(root: Path) -> None:
    for release, passed in (("0.33.0", 1), ("0.22.1", 2), ("0.33.0", 3)):
        unit_runs.write(root, record(release, passed))
    kept = json.loads((root / compat.UNIT_RUNS).read_text())
    assert [(r, run["before"]["passed"]) for r, run in kept["releases"].items()] == [("0.22.1", 2), ("0.33.0", 3)]


def test_the_counts_of_a_record_are_in_compat_json_too(root: Path) -> None:
    unit_runs.write(root, record("0.22.1", 5))
    written = compat.read(root)
    assert written["releases"] == {"0.22.1": {}}
    assert written["unit_runs"] == {
        "0.22.1": {"before": {**COUNTS, "passed": 5}, "after": {**COUNTS, "passed": 7}, "current": True}
    }
    assert compat.drift([], compat.unit_counts(root), written) == []


def test_counts_that_are_not_those_of_the_runs_are_drift(root: Path) -> None:
    unit_runs.write(root, record("0.22.1", 5))
    lie = compat.read(root)
    lie["unit_runs"]["0.22.1"]["after"]["passed"] += 1
    assert compat.drift([], compat.unit_counts(root), lie) == ["unit_runs"]


def test_runs_on_files_that_the_series_no_longer_makes_are_not_current(root: Path) -> None:
    patched = compat.patched_files("0.22.1", *project.load())
    assert any(path.startswith("vllm/") for path in patched)
    assert any(path.startswith("tests/") for path in patched)
    unit_runs.write(root, record("0.22.1", 5, {**patched, next(iter(patched)): "0" * 64}))
    assert compat.read(root)["unit_runs"]["0.22.1"]["current"] is False


def test_compat_json_says_of_unit_tests_what_their_runs_say() -> None:
    assert compat.read(DATA.parents[1])["unit_runs"] == compat.unit_counts(DATA.parents[1])


def test_the_kept_runs_fit_their_schema() -> None:
    schema = json.loads((DATA / "unit_runs.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    kept = json.loads((DATA / "unit_runs.json").read_text(encoding="utf-8"))
    jsonschema.validate(kept, schema)
    assert list(kept["releases"]) == list(unit_runs.ENVIRONMENTS)


def test_environments_are_built_free_of_the_callers_constraints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = tmp_path / "constraints.txt"
    bound.write_text("pip==0.1\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(bound))
    arguments = ["--dry-run", "--no-index", "pip"]  # there already, unless it has to be another one
    environments.pip(Path(sys.executable), arguments, tmp_path / "pip.log", "environment", print)
    assert "already satisfied: pip" in (tmp_path / "pip.log").read_text()
