#!/usr/bin/env python3
"""The verdicts over every file of every release that says ``kv_both``, as a file that is kept: its diff in a commit is what the
commit changes of them.

    python tests/support/release_verdicts.py --write

writes tests/migrate/release_verdicts.tsv anew from the archives of the cache, in some minutes. A row is a path, each
``kv_both`` in it with its line and the code that tells of it, and the releases in which that is so. The two releases that
have no archive are not among them: their files are those of the release before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
KEPT = TESTS / "migrate/release_verdicts.tsv"
sys.path.insert(0, str(TESTS.parent / "tools"))

from kvroles.evidence.text import TOKEN  # noqa: E402 - the path comes first
from kvroles.migrate import run  # noqa: E402
from kvroles.migrate.settings import Options, Settings  # noqa: E402
from kvroles.places import default_cache_dir  # noqa: E402
from kvroles.series import project  # noqa: E402
from kvroles.sources import archive, cache  # noqa: E402

_, LOCK = project.load()
RELEASES = [release for release, row in LOCK.releases.items() if row.archive]


def saying_both(release: str) -> dict[str, bytes]:
    """The files of a release's archive that hold ``kv_both``."""
    row = LOCK.releases[release].archive
    assert row is not None
    members = archive.unpacked(
        cache.archive_bytes(row, default_cache_dir()), row.name, row.name.removesuffix(".tar.gz")
    )
    return {member.path: member.data for member in members if TOKEN.encode() in member.data}


def verdicts(release: str) -> dict[str, str]:
    """What is said of each of them."""
    out: dict[str, str] = {}
    for path, data in saying_both(release).items():
        result = run.of_bytes(path, path, data, Options(Settings()))
        assert result is not None
        out[path] = " ".join(f"{f.line}:{f.code}" for f in result.findings)
    return out


def kept() -> dict[str, dict[str, str]]:
    """The verdicts that are kept, by release."""
    out: dict[str, dict[str, str]] = {release: {} for release in RELEASES}
    for line in KEPT.read_text(encoding="utf-8").splitlines():
        path, said, releases = line.split("\t")
        for release in releases.split():
            out[release][path] = said
    return out


def rows(found: dict[str, dict[str, str]]) -> Iterable[str]:
    """The rows of ``found``, which holds the verdicts by release."""
    alike: dict[tuple[str, str], list[str]] = {}
    for release, said in found.items():
        for path, verdict in said.items():
            alike.setdefault((path, verdict), []).append(release)
    for (path, verdict), releases in sorted(alike.items()):
        yield f"{path}\t{verdict}\t{' '.join(releases)}\n"


def main() -> int:
    if sys.argv[1:] != ["--write"]:
        print(__doc__)
        return 2
    KEPT.write_text("".join(rows({release: verdicts(release) for release in RELEASES})), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
