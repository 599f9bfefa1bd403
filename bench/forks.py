#!/usr/bin/env python3
"""What the series makes of forks' branches and of release candidates: docs/data/forks.json, which the site shows.

CLONES is a folder with a bare clone at OWNER+NAME/repo for each repository. The rows are those that the file has, and
those that --add names; each is judged as ``apply --upstream CLONE --range`` judges a commit. Exit code: 0, or 1 where a
clone or a branch is missing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import Any

from harness import ROOT
from kvroles.apply import many
from kvroles.apply.request import Request
from kvroles.errors import KvRolesError
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.sources import upstream
from kvroles.sources.history import Named

DATA = ROOT / "docs" / "data" / "forks.json"


def judged(clone: Path, repository: str, ref: str) -> dict[str, Any]:
    """The row of one branch or tag. Raises KvRolesError where the clone does not hold it."""
    commit = upstream.find(str(clone), ref, default_cache_dir(), offline=True)
    made = datetime.datetime.fromtimestamp(commit.time, datetime.UTC).date().isoformat()
    request = Request(upstream=str(clone), offline=True, cache_dir=default_cache_dir(), quiet=True)
    (row,) = many.judged(request, [Named(commit.sha, made)])
    return {
        "repository": repository,
        "ref": ref,
        "commit": row.commit,
        "date": row.date,
        "outcome": row.outcome,
        "nearest": row.release or row.nearest,
        "by_meaning": list(row.meant),
        "why": row.why,
        "unread": list(row.unread),
    }


def main() -> int:
    """Judge every row, print it, and keep it with --write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("clones", type=Path, metavar="CLONES")
    parser.add_argument("--add", nargs=2, action="append", default=[], metavar=("OWNER/NAME", "REF"))
    parser.add_argument("--write", action="store_true", help="keep the table in docs/data/forks.json")
    args = parser.parse_args()
    data = json.loads(DATA.read_bytes()) if DATA.exists() else {}
    known = data.get("rows", [])
    asked = dict.fromkeys([*((r["repository"], r["ref"]) for r in known), *map(tuple, args.add)])
    rows, lost = [], 0
    for repository, ref in sorted(asked):
        try:
            rows.append(judged(args.clones / repository.replace("/", "+") / "repo", repository, ref))
        except KvRolesError as e:
            print(f"{repository} {ref}: {e}", file=sys.stderr)
            lost += 1
            continue
        print(f"{repository} {ref}  {rows[-1]['outcome']}  {rows[-1]['why'] or ''}", flush=True)
    if args.write and not lost:
        told = {
            "schema": 1,
            "tried": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "series": project.load().series.earlier.number,
            **({"main": data["main"]} if "main" in data else {}),
            "rows": rows,
        }
        DATA.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
