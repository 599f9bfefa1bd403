"""The migration guide in vLLM's own documentation: its configuration takes the page, and its navigation shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kvroles.apply import plan
from kvroles.apply.state import touched_paths
from kvroles.contract import terms
from kvroles.series import project
from kvroles.sources.archive import inflate, members

from .conftest import tool

RELEASES = ["0.9.0", "0.13.0", "0.16.0", "0.22.1", "0.24.0", "0.33.0"]
# What needs vLLM itself, its notebooks of examples, or the network; the rest of the release's configuration is kept.
LEFT_OUT = {
    "gen-files",
    "api-autonav",
    "mkdocstrings",
    "autorefs",
    "glightbox",
    "git-revision-date-localized",
    "redirects",
}
LEFT_OUT |= {"minify", "meta"}


class _Tolerant(yaml.SafeLoader):
    """Keeps ``!ENV`` and ``!!python`` values out of the way; the extensions that need them are set below."""


_Tolerant.add_multi_constructor("!", lambda _loader, _suffix, _node: None)
_Tolerant.add_multi_constructor("tag:yaml.org,2002:python/", lambda _loader, suffix, _node: suffix)


def _patched_docs(release: str, archive: Path) -> dict[str, bytes]:
    """The release's ``docs/``, ``mkdocs.yaml`` and navigation, as the series leaves them."""
    series, lock = project.load()
    row = lock.releases[release]
    assert row.archive is not None
    touched = set(touched_paths(row, series))
    blob = archive.read_bytes()
    files = {
        m.path: m.data
        for m in members(inflate(blob, row.archive.name), row.archive.name, row.archive.top)
        if m.path.startswith(("docs/", "mkdocs.y")) or m.path in touched
    }
    for change in plan.plan(files.get, row, series, series.chosen()).changes:
        assert change.after is not None
        files[change.path] = change.after
    return {p: d for p, d in files.items() if p.startswith(("docs/", "mkdocs.y"))}


@pytest.mark.parametrize("release", RELEASES)
def test_the_release_builds_the_guide_into_its_own_docs(
    release: str, archive: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("mkdocs_awesome_nav", reason="the navigation vLLM uses is missing: pip install -e '.[site]'")
    files = _patched_docs(release, archive(release))
    config: dict[str, Any] = yaml.load(files["mkdocs.yaml"], _Tolerant)
    nav = yaml.safe_load(files["docs/.nav.yml"])
    # Only the pages round the guide are built; the navigation keeps the entries that lead to them.
    kept = {p: d for p, d in files.items() if p.startswith("docs/features/") and p.count("/") == 2}
    for path, data in kept.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    entries = _leading_to_features(nav["nav"])
    assert entries, f"nothing in the navigation of {release} leads to docs/features"
    (tmp_path / "docs" / ".nav.yml").write_text(yaml.safe_dump({"nav": entries}))
    (tmp_path / "mkdocs.yml").write_text(
        yaml.safe_dump(
            {
                "site_name": release,
                "theme": {"name": "material", "font": False},
                "exclude_docs": config.get("exclude_docs") or "",
                "plugins": [p for p in config["plugins"] if next(iter(p), p) not in LEFT_OUT and p not in LEFT_OUT],
                "markdown_extensions": list(_extensions(config["markdown_extensions"])),
                "validation": {"anchors": "warn", "not_found": "warn"},
            }
        )
    )
    said = tool("mkdocs", "build", cwd=tmp_path)
    guide = Path(terms.GUIDE).relative_to("docs")
    assert str(guide) not in _warnings(said)
    page = tmp_path / "site" / guide.with_suffix("") / "index.html"
    assert "Moving NIXL off" in page.read_text()
    assert "md-nav__link--active" in page.read_text(), "the navigation does not show it"
    assert 'class="admonition' in page.read_text()
    assert 'class="tabbed-set' in page.read_text()


def _warnings(said: str) -> str:
    return "\n".join(line for line in said.splitlines() if "WARNING" in line)


def _extensions(entries: list[Any]) -> Iterator[Any]:
    """The release's Markdown extensions; where their options need Python objects, the extension's own defaults."""
    for entry in entries:
        name = next(iter(entry)) if isinstance(entry, dict) else entry
        if name == "mdx_math":
            continue  # mathematics is drawn in the browser, and the guide has none
        plain = {"alternate_style": True} if name == "pymdownx.tabbed" else {}
        yield entry if name not in ("pymdownx.superfences", "pymdownx.tabbed", "pymdownx.emoji") else {name: plain}


def _leading_to_features(entries: list[Any]) -> list[Any]:
    """The part of an awesome-nav navigation that leads to ``features``, with its sections."""
    out: list[Any] = []
    for entry in entries:
        target = next(iter(entry.values())) if isinstance(entry, dict) else entry
        if isinstance(target, list):
            below = _leading_to_features(target)
            if below:
                out.append({next(iter(entry)): below})
        elif isinstance(target, str) and re.fullmatch(r"features(/\*)?", target):
            out.append(entry)
    return out
