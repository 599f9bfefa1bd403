"""Where no NIXL role is set nothing is unread: a gate that cries there is switched off. What is unread all the same has its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvroles.apply import plan as plans
from kvroles.migrate import run
from kvroles.migrate.codes import CODES, Means
from kvroles.migrate.settings import Options, Settings
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.sources import release_files
from kvroles.sources.release_files import Options as SourceOptions
from support import release_verdicts
from support.cost import slow_but

ROOT = Path(__file__).parents[2]
PASSED = "the connector is an argument of a helper, and callers of both kinds pass it"
WARNS = "it starts NIXL with kv_both on purpose: it tests the warning"
ROWS = "a row of a table of cases, given by its position"
# Release, file: how many of its kv_both are unread, and why.
UNREAD = {
    ("0.9.0", "tests/v1/kv_connector/unit/test_nixl_connector.py"): (1, WARNS),
    ("0.22.1", "tests/v1/core/utils.py"): (1, PASSED),
    ("0.22.1", "tests/v1/kv_connector/unit/test_multi_connector.py"): (1, PASSED),
    ("0.22.1", "tests/v1/kv_connector/unit/test_nixl_connector.py"): (1, WARNS),
    ("0.33.0", "tests/config/test_aux_output_config.py"): (2, PASSED),
    ("0.33.0", "tests/models/kimi_k3/amd_specialized_decode/test_runtime.py"): (1, ROWS),
    ("0.33.0", "tests/v1/core/test_async_scheduler.py"): (1, ROWS),
    ("0.33.0", "tests/v1/core/utils.py"): (1, PASSED),
    ("0.33.0", "tests/v1/kv_connector/unit/test_multi_connector.py"): (1, PASSED),
    ("0.33.0", "tests/v1/kv_connector/unit/test_nixl_connector.py"): (1, WARNS),
}
READS = "the migrator's own word to look for, or a text it prints"
TELLS = "text that is quoted: a log line, a pattern, a drawing"
# Our own sources hold inputs on purpose below tests/; the rest says kv_both only in code that reads or describes it.
OWN_UNREAD = {
    "bench/commits.py": READS,
    "bench/migrate.py": READS,
    "docs/data/claims.toml": TELLS,
    "docs/howto/rewrite-configs.md": TELLS,
    "docs/symptoms.md": TELLS,
    "tools/kvroles/apply/in_place.py": READS,
    "tools/kvroles/apply/roles.py": READS,
    "tools/kvroles/contract/clauses.py": READS,
    "tools/kvroles/evidence/entries.py": READS,
    "tools/kvroles/evidence/text.py": READS,
    "tools/kvroles/migrate/findings.py": READS,
    "tools/kvroles/migrate/verdict/hazards.py": READS,
    "tools/kvroles/migrate/files/hits.py": READS,
    "tools/kvroles/migrate/readers/defaults.py": READS,
    "tools/kvroles/migrate/readers/notebook.py": READS,
    "tools/kvroles/migrate/readers/of_file.py": READS,
    "tools/kvroles/migrate/redact.py": READS,
    "tools/kvroles/migrate/run.py": READS,
    "tools/kvroles/migrate/sample.py": "an input that is read on purpose",
    "tools/kvroles/vendored/installed/construction.py": "a case that is started on purpose",
    "tools/kvworkshop/pages/effects.py": READS,
    "tools/kvworkshop/pages/home.py": TELLS,
    "tools/kvworkshop/runtime/construct.py": "a case that is started on purpose",
    "tools/kvworkshop/pages/summary.py": TELLS,
}


def _unread(path: str, data: bytes) -> int:
    result = run.of_bytes(path, path, data, Options(Settings()))
    found = result.findings if result is not None else []
    return sum(CODES[f.code].means is Means.UNREAD for f in found)


@pytest.mark.upstream
@pytest.mark.parametrize("release", slow_but(["0.9.0", "0.33.0"], ["0.9.0", "0.22.1", "0.33.0"]))
def test_nothing_in_a_patched_tree_is_unread_without_a_reason(release: str) -> None:
    series, lock = project.load()
    row = lock.releases[release]
    files = dict(release_files.extract(row, series, SourceOptions(default_cache_dir())).files)
    plan = plans.plan(files.get, row, series, series.chosen())
    patched = release_verdicts.saying_both(release) | {c.path: c.after for c in plan.changes if c.after is not None}
    found = {p: n for p, data in patched.items() if (n := _unread(p, data))}
    assert found == {path: n for (r, path), (n, _) in UNREAD.items() if r == release}


def test_nothing_in_this_projects_own_sources_is_unread_without_a_reason() -> None:
    found: set[str] = set()
    for folder in ("tools", "docs", "vllm_overlay", "bench"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".sh"} and "__pycache__" not in path.parts:
                name = str(path.relative_to(ROOT))
                if _unread(name, path.read_bytes()):
                    found.add(name)
    assert not found - set(OWN_UNREAD)
