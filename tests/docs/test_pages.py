"""The generated pages: what is written, from where, and the diagram script beside them."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from kvroles.errors import Exit, KvRolesError
from kvroles.series import project
from kvworkshop.pages import build, diagrams, matrix, results, text, topics
from kvworkshop.pages import text as text_pages
from kvworkshop.pages.text import front_matter
from support import docs

SERIES, LOCK = project.load()
PAGES = topics.pages(SERIES, LOCK)


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
        "query `kv_role='kv_both'.*deprecated` in `tests/v1/run_x.sh`, &#60;b&#62; <https://e.org/a_b> `x_y` 2 &#42; 3"
    )


def test_a_reference_in_brackets_is_a_link_without_them() -> None:
    assert topics._safe("Backport [https://e.org/1]") == "Backport <https://e.org/1>"
    assert (
        topics._safe("Inappropriate [done by https://e.org/1]") == "Inappropriate &#91;done by <https://e.org/1>&#93;"
    )


HOSTILE = [
    'scheduler: "><img src=x onerror=alert(1)>',
    "a <script>alert(1)</script> b",
    "[a](javascript:alert(1)) ![x](y){ onclick=alert(1) }",
    '<https://e.x/"onmouseover=alert(1)> https://e.x/"><img/onerror=alert(1)>',
    "`<img onerror=x>` name_<img src=x onerror=y>_z",
    '# head\n\n<div markdown>\n\n--8<-- "patches/lock.json"\n\n!!! note "x"\n    y',
]


class _Tags(HTMLParser):
    """The tags of a page, and their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_mail_cannot_bring_markup_of_its_own(text: str) -> None:
    """A subject, a body or a trailer of a patch may hold anything: it is shown, and neither run nor included."""
    markdown = pytest.importorskip("markdown", reason="the site's builder is missing: pip install -e '.[docs]'")
    extensions = ["admonition", "attr_list", "md_in_html", "tables", "pymdownx.superfences", "pymdownx.snippets"]
    seen = _Tags(markdown.markdown(topics._safe(text), extensions=extensions)).seen
    assert {tag for tag, _ in seen} <= {"p", "code", "a"}
    for _, attributes in seen:
        assert set(attributes) <= {"href"}
        assert all((address or "").startswith("https://") for address in attributes.values())


def _tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    markdown = pytest.importorskip("markdown", reason="the site's builder is missing: pip install -e '.[docs]'")
    extensions = ["admonition", "attr_list", "md_in_html", "tables", "pymdownx.superfences", "pymdownx.snippets"]
    return _Tags(markdown.markdown(text, extensions=extensions)).seen


def _safe_tags(seen: list[tuple[str, dict[str, str | None]]]) -> None:
    for tag, attributes in seen:
        assert tag not in {"img", "script", "iframe", "object", "form", "base", "meta", "link"}
        assert not [a for a in attributes if a.startswith("on") or a == "style"]
        assert all((attributes.get(a) or "").startswith(("https://", "..", "data/", "")) for a in ("href", "src"))
        assert not (attributes.get("href") or "").lower().strip().startswith(("javascript:", "data:"))


@pytest.mark.parametrize("text", [*HOSTILE, "`` ` ``<img src=x onerror=y>``` | a", "a | b\n\n<img src=x onerror=y>"])
def test_what_a_release_a_run_or_a_scan_brought_cannot_bring_markup(text: str) -> None:
    """Names of tests, versions, reasons, lines of an archive: each is shown in a cell, in code or in an attribute."""
    run = {"versions": {"torch": text, "nixl": text}, "before": {"passed": 1}, "after": {"passed": 1}, "not_passed": []}
    run |= {"lost": [f"x::{text}"], "new_tests": {f"x::{text}": text}}
    odd = {"test": f"x::{text}", "before": [text], "after": [text]}
    _safe_tags(_tags(matrix.unit_runs({"releases": {"0.1.0": {**run, "unsteady": [odd]}}})["unit-runs.md"]))
    topic = {"state": text, "variant": text, "files": {text: [1]}}
    row = {"commit": text, "topics": {"guides": topic}, "contract": {"holds": True, "unchecked": {"2": text}}}
    for page in matrix.fragments(
        {"releases": {"0.1.0": {**row, "topics": {"x": topic}}, "0.2.0": row}}, SERIES
    ).values():
        _safe_tags(_tags(page))
    found = {"machine": text, "command": text, text: {"wall_s": 1.0, "what": text}}
    for page in results.fragments({"apply": found, text: found}, docs.ROOT).values():
        _safe_tags(_tags(page))
    _safe_tags(_tags(_table([text_pages.code(text), text_pages.plain(text)])))


def _table(cells: list[str]) -> str:
    return text_pages.table(["a", "b"], [cells])


@pytest.mark.parametrize("text", HOSTILE)
def test_a_description_stays_within_its_attribute(text: str) -> None:
    (line,) = [x for x in front_matter("x", "x", description=text).split("\n") if x.startswith("description")]
    shown = yaml.safe_load(line)["description"]
    assert not set(shown) & set("<>\"'")


def test_a_bar_in_a_cell_is_escaped_but_not_in_code_where_the_backslash_would_be_shown() -> None:
    assert text.table(["a", "b"], [["`URL|DIR`", "x|y"]]).splitlines()[2] == r"| `URL|DIR` | x\|y |"


# --- the diagram script --------------------------------------------------------------------------------------------------


def test_another_diagram_script_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "mermaid.min.js"
    other.write_text("alert(1)")
    with pytest.raises(KvRolesError) as e:
        diagrams.provide(tmp_path / "docs", tmp_path / "cache", other)
    assert e.value.code is Exit.UNPROVEN
    assert not (tmp_path / "docs" / diagrams.SERVED).exists()


def test_without_npm_the_error_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(KvRolesError, match="--mermaid") as e:
        diagrams.provide(tmp_path / "docs", tmp_path / "cache")
    assert e.value.code is Exit.NO_SOURCE
