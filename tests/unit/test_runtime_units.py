"""How runs of upstream's tests are read, compared and kept."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from kvroles.runtime import unit_runs, upstream_tests
from kvroles.runtime.upstream_tests import Comparison, Run

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


def test_a_record_replaces_that_of_its_release_only(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    unit_runs.write(file, {"release": "0.33.0", "before": 1})
    unit_runs.write(file, {"release": "0.22.1", "before": 2})
    unit_runs.write(file, {"release": "0.33.0", "before": 3})
    kept = json.loads(file.read_text())
    assert list(kept["releases"].items()) == [("0.22.1", {"before": 2}), ("0.33.0", {"before": 3})]


def test_the_kept_runs_fit_their_schema() -> None:
    schema = json.loads((DATA / "unit_runs.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    kept = json.loads((DATA / "unit_runs.json").read_text(encoding="utf-8"))
    jsonschema.validate(kept, schema)
    assert set(kept["releases"]) <= set(unit_runs.ENVIRONMENTS)
