"""migrate and the patches answer alike: on every release's pristine files, what migrate would write is what the series writes.

The other direction has limits that are stated here: where one variable feeds both sides the series splits it, migrate
says so and how; where a unit test's side was chosen by its patch rather than said by its text, migrate leaves it open.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter

import pytest
from kvroles.apply import plan as plans
from kvroles.migrate import run
from kvroles.migrate.model import Finding
from kvroles.migrate.settings import Options, Settings
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.sources import release_files
from kvroles.sources.release_files import Options as SourceOptions
from support.cost import slow_but

pytestmark = pytest.mark.upstream

SERIES, LOCK = project.load()
RELEASES = [r for r, row in LOCK.releases.items() if row.archive]
ROLES = re.compile("kv_both|kv_producer|kv_consumer")
# Snippets that stand for either side, whose role the patch chose: migrate has nothing to go by.
UNSAID = {
    "docs/features/disagg_prefill.md",
    "docs/features/nixl_connector_usage.md",
    "docs/design/nixl_kv_cache_lease.md",
}


def _lines(before: str, after: str) -> dict[int, str | None]:
    """For each line of ``before`` (from 1) what became of it; None where one line became several or none."""
    a, b = before.split("\n"), after.split("\n")
    out: dict[int, str | None] = dict.fromkeys(range(1, len(a) + 1))
    for op, i1, i2, j1, j2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if op == "equal" or (op == "replace" and i2 - i1 == j2 - j1):
            out.update({i1 + k + 1: b[j1 + k] for k in range(i2 - i1)})
    return out


def _settled(f: Finding, old: str, new: str | None) -> str | None:
    """The role the series gives to the place of a finding, or None if it did not change it in place."""
    if new is None or ROLES.sub("", new) != ROLES.sub("", old):
        return None
    return ROLES.findall(new)[len(ROLES.findall(old[: f.column - 1]))]


@pytest.mark.parametrize("release", slow_but((RELEASES[0], RELEASES[-1]), RELEASES))
def test_migrate_reaches_the_answers_of_the_series(release: str) -> None:
    row = LOCK.releases[release]
    files = dict(release_files.extract(row, SERIES, SourceOptions(default_cache_dir())).files)
    plan = plans.plan(files.get, row, SERIES, SERIES.chosen())
    patched = files | {c.path: c.after for c in plan.changes if c.after is not None}
    count: Counter[str] = Counter()
    for path, data in files.items():
        if data is None or b"kv_both" not in data:
            continue
        result = run.of_bytes(path, path, data, Options(Settings()))
        if result is None:
            continue
        lines = _lines(data.decode(), (patched[path] or b"").decode())
        for f in result.findings:
            old = data.decode().split("\n")[f.line - 1]
            settled = _settled(f, old, lines[f.line])
            if f.role is not None:
                assert settled == f.role, f"{path}:{f.line} {f.message}: the series says {settled}"
                count["same"] += 1
            elif f.code in {"KVR120", "KVR121"}:
                # A wrapper's and another connector's role is what it was, unless its whole line was split for two sides.
                assert settled in (None, "kv_both"), f"{path}:{f.line} {f.message}: the series says {settled}"
            elif f.code == "KVR113":
                assert settled != "kv_both", f"{path}:{f.line} is shared and the series left it"
                count["shared"] += 1
            elif f.code in {"KVR110", "KVR111", "KVR112"} and not path.endswith(".py") and path not in UNSAID:
                count["missed"] += 1
    assert count["same"] + count["shared"] > 0
    assert not count["missed"], count
