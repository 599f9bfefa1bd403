"""What the playground asks of ``migrate``: the findings of one pasted text, and the change."""

from __future__ import annotations

import json
from typing import Any

from kvroles.errors import KvRolesError
from kvroles.migrate import run
from kvroles.migrate.report import json as form
from kvroles.migrate.report import text
from kvroles.migrate.search import Coverage
from kvroles.migrate.settings import Options, Settings


def migrate(name: str, source: str) -> str:
    """The report on ``source``, pasted as a file called ``name``, as JSON.

    ``unread``: the language that only the command line reads, or empty; ``findings``: those of ``migrate --json``; ``summary``:
    the last line of its report; ``diff``: the change.
    """
    out: dict[str, Any] = {"unread": "", "findings": [], "summary": "", "diff": ""}
    try:
        result = run.of_bytes(name, name, source.encode("utf-8"), Options(Settings()))
    except KvRolesError as e:  # a grammar that is not here
        missing = getattr(e.__context__, "name", None) or str(e)
        out["unread"] = missing.removeprefix("tree_sitter_")
        return json.dumps(out)
    results = [result] if result is not None else []
    coverage = Coverage()
    coverage.looked[""] = 1
    out["findings"] = form.as_json(results, coverage)["findings"]
    out["summary"] = text.text(results, coverage, quiet=True).replace(" (--write rewrites them)", "").strip()
    out["diff"] = "".join(r.patch for r in results)
    return json.dumps(out)
