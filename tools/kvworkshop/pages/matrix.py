"""The compatibility matrix, from ``docs/data/compat.json``: what is proven of every release."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from kvroles.said import counted
from kvroles.series.topics import Series, Topic

from kvworkshop.pages.text import badge, code, plain, table

TAG = "https://github.com/vllm-project/vllm/tree/v"
COMMIT = "https://github.com/vllm-project/vllm/commit/"


def fragments(compat: Mapping[str, Any], series: Series) -> dict[str, str]:
    """Name below ``build/pages`` -> Markdown: the matrix, newest release first, and the offsets behind it."""
    releases = list(reversed(compat["releases"].items()))
    return {"matrix.md": _matrix(releases, series), "offsets.md": _offsets(releases)}


def unit_runs(data: Mapping[str, Any] | None) -> dict[str, str]:
    """The counts of upstream's own unit tests (``unit_runs.json``), as a section; empty where they were not run yet."""
    if data is None or not data["releases"]:
        return {"unit-runs.md": ""}
    rows = [
        [
            release,
            plain(f"torch {run['versions']['torch']}, nixl {run['versions']['nixl']}"),
            str(run["before"]["passed"]),
            str(run["after"]["passed"]),
            str(len(run["not_passed"])),
        ]
        for release, run in data["releases"].items()
    ]
    changing = [
        [release, code(t["test"].rpartition("::")[2]), plain(", ".join(t["before"])), plain(", ".join(t["after"]))]
        for release, run in data["releases"].items()
        for t in run["unsteady"]
    ]
    unsteady = (
        "\nA file in which a test differed between the trees was run again on both. These tests change from run to run, "
        "without the series too, or failed once only:\n\n"
        + table(["vLLM", "Test", "Runs before", "Runs after"], changing)
        if changing
        else ""
    )
    return {
        "unit-runs.md": "## Upstream's own unit tests\n\nThe files of `tests/v1/kv_connector/unit` that touch NIXL, "
        f"run on a CPU on the pristine and on the patched tree. {_survived(data['releases'])}\n\n"
        + table(["vLLM", "With", "Passed before", "Passed after", "Cannot run on a CPU, or fail either way"], rows)
        + unsteady
        + "\nEach test that did not pass, and why: [unit_runs.json](data/unit_runs.json).\n"
    }


def _survived(runs: Mapping[str, Any]) -> str:
    """Whether each run lost no test and passed the tests of the deprecation; else which of them did not, by release."""
    wrong = {}
    for release, run in runs.items():
        failing = [test for test, outcome in run["new_tests"].items() if outcome != "passed"]
        names = [code(test.rpartition("::")[2]) for test in dict.fromkeys([*run["lost"], *failing])]
        if not run["new_tests"] and not names:
            names = ["no test of the deprecation"]
        if names:
            wrong[release] = ", ".join(names)
    if not wrong:
        return "No test that passed fails; the tests of the deprecation pass."
    return f"Lost, or failing after the series: {'; '.join(f'{release}: {names}' for release, names in wrong.items())}."


def _matrix(releases: list[tuple[str, Any]], series: Series) -> str:
    head = "".join(_heading(t) for t in series.topics) + '<th scope="col">Contract</th>'
    rows = []
    for release, row in releases:
        cells = "".join(_cell(t.name, row["topics"].get(t.name)) for t in series.topics)
        rows.append(
            f'<tr id="v{release}"><th scope="row"><a href="{TAG}{release}">{release}</a></th>{_commit(row)}'
            f"{cells}{_proof(row)}</tr>"
        )
    return (
        '<div class="matrix" role="region" aria-label="Compatibility matrix" tabindex="0" markdown="0">\n<table class="compat">\n'
        f'<thead><tr><th scope="col">vLLM</th><th scope="col">Commit</th>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody>\n</table>\n</div>\n"
    )


def _heading(topic: Topic) -> str:
    origin = topic.patch(topic.variants[-1]).trailers["Origin"]
    upstream = (
        f'<a href="{escape(origin)}">#{escape(origin.rpartition("/")[2])}</a>'
        if origin.startswith("https://")
        else escape(origin)
    )
    kind = ", optional" if topic.optional else ""
    return (
        f'<th scope="col"><a href="../patches/{topic.name}/">{topic.name}</a><br><small>{upstream}{kind}</small></th>'
    )


def _commit(row: Mapping[str, Any]) -> str:
    sha = escape(row["commit"] or "")
    return f'<td><a href="{COMMIT}{sha}"><code>{sha}</code></a></td>' if sha else f"<td>{badge('absent', '–')}</td>"


def _cell(topic: str, entry: Mapping[str, Any] | None) -> str:
    if entry is None or entry["state"] == "absent":
        return f"<td>{badge('absent', '–')}</td>"
    if entry["state"] == "native":
        return f"<td>{badge('native')}</td>"
    moved = furthest(entry["files"])
    shift = f' <small title="largest hunk offset, in lines">{moved:+d}</small>' if moved else ""
    link = f'<a href="../patches/{topic}/{escape(entry["variant"])}/">{escape(entry["variant"])}</a>'
    return f'<td><span class="state state-applied">{link}</span>{shift}</td>'


def furthest(files: Mapping[str, list[int]]) -> int:
    """The hunk offset furthest from 0 among those of a topic's files."""
    return max((offset for offsets in files.values() for offset in offsets), key=abs, default=0)


def _proof(row: Mapping[str, Any]) -> str:
    contract = row["contract"]
    if not contract["holds"]:
        return f"<td>{badge('edited', 'broken')}</td>"
    why = "; ".join(f"clause {n}: {reason}" for n, reason in sorted(contract["unchecked"].items()))
    return (
        f"<td>{badge('pristine', 'holds in part')} <small>{escape(why)}</small></td>"
        if why
        else f"<td>{badge('applied', 'holds')}</td>"
    )


def _offsets(releases: list[tuple[str, Any]]) -> str:
    out = []
    for release, row in releases:
        moved = [
            f"<li>{escape(topic)}: <code>{escape(path)}</code> {' '.join(f'{o:+d}' if o else '0' for o in offsets)}</li>"
            for topic, entry in row["topics"].items()
            for path, offsets in entry["files"].items()
            if any(offsets)
        ]
        if moved:
            out.append(
                f"<details>\n<summary>{release}: {counted(len(moved), 'file')}</summary>\n"
                f"<ul>{''.join(moved)}</ul>\n</details>"
            )
    return "\n".join(out) + "\n"
