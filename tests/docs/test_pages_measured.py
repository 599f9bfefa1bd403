"""The page of what was measured: every figure of ``bench/results.json``, under its name, with its unit and goal."""

from __future__ import annotations

import json
import re

from kvworkshop.pages import results, summary
from support import docs


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


def test_what_the_runs_wrote_is_shown_under_its_title_and_nothing_is_called_missing() -> None:
    found = json.loads((docs.ROOT / "bench" / "results.json").read_bytes())
    assert set(found) == set(results.SUBJECTS)


def test_every_benchmark_is_named_with_what_it_does() -> None:
    assert {c for c, _ in results.benches(docs.ROOT / "bench")} >= {
        f"`python bench/{name}.py`" for name in ("apply", "vendor", "verify")
    }
    assert all(says.endswith(".") for _, says in results.benches(docs.ROOT / "bench"))


# --- the first screen -----------------------------------------------------------------------------------------------------


def test_the_summary_says_in_words_what_the_picture_shows() -> None:
    found = json.loads((docs.ROOT / "bench" / "results.json").read_bytes())
    shown = list(summary.bars(found))
    page = summary.fragments(found)["summary.md"]
    assert len(shown) >= 4
    picture, _, sentences = page.partition("</figure>")
    for bar in shown:
        assert f"{bar.ratio:.2f}" in picture
        assert bar.says in sentences
    assert "left a damaged target" in sentences


def test_a_summary_of_nothing_measured_is_empty() -> None:
    assert summary.fragments({}) == {"summary.md": "\n"}
