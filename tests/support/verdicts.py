#!/usr/bin/env python3
"""The verdicts over the corpus and the fuzzers' inputs, as a file that is kept: its diff in a commit is what the commit changes.

    python tests/support/verdicts.py --write

writes tests/migrate/verdicts.tsv anew. A row is a file, and each ``kv_both`` in it with its line and the code that tells of it;
an input that takes an answer from the command line or from files beside it is not among them.
"""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
KEPT = TESTS / "migrate/verdicts.tsv"
sys.path[:0] = [str(TESTS.parent / "tools"), str(TESTS)]

from kvroles.migrate import run  # noqa: E402 - the path comes first
from kvroles.migrate.settings import Options, Settings  # noqa: E402

from support import fuzz_inputs  # noqa: E402

# Of a fuzzer's input the first byte chooses among names: tests/fuzz/targets/carriers.py.
NAMES = {
    "yaml": "a.yaml", "template": "a.yml.j2", "shell": "a.sh", "python": "a.py", "json": "a.json", "toml": "a.toml",
    "markdown": "a.md", "code": "a.go", "web": "a.js", "hcl": "a.tf", "unit": "a.service", "powershell": "a.ps1",
    "recipe": "Dockerfile", "notebook": "a.ipynb",
}  # fmt: skip


def folders() -> list[str]:
    """The folders of the corpus, and one for each fuzzer's inputs: ``corpus/shell``, ``fuzz/migrate-shell``."""
    corpus = sorted(path.name for path in (TESTS / "corpus").iterdir() if path.is_dir())
    return [*(f"corpus/{name}" for name in corpus), *(f"fuzz/migrate-{kind}" for kind in NAMES)]


def inputs(folder: str = "") -> dict[str, tuple[str, bytes]]:
    """Every input that is judged, or those of one folder: its place, the name it is judged by, its bytes."""
    out: dict[str, tuple[str, bytes]] = {}
    for held in [folder] if folder else folders():
        where, _, name = held.partition("/")
        if where == "corpus":
            for path in sorted(path for path in (TESTS / held).rglob("*") if path.is_file()):
                out[str(path.relative_to(TESTS))] = str(path.relative_to(TESTS / "corpus")), path.read_bytes()
        else:
            for data in fuzz_inputs.kept(name):
                out[f"{held}/{fuzz_inputs.name_of(data)}"] = NAMES[name.removeprefix("migrate-")], data[1:]
    return out


def verdicts(folder: str = "") -> dict[str, str]:
    """What is said of each input, or of those of one folder, that holds ``kv_both``."""
    out: dict[str, str] = {}
    for place, (name, data) in inputs(folder).items():
        result = run.of_bytes(str(TESTS / "corpus" / name), name, data, Options(Settings()))
        if result is not None:
            out[place] = " ".join(f"{f.line}:{f.code}" for f in result.findings)
    return out


def kept() -> dict[str, str]:
    """The verdicts that are kept."""
    rows = (line.split("\t") for line in KEPT.read_text(encoding="utf-8").splitlines())
    return {place: said for place, said in rows}  # noqa: C416 - a row of two


def main() -> int:
    if sys.argv[1:] != ["--write"]:
        print(__doc__)
        return 2
    KEPT.write_text("".join(f"{place}\t{said}\n" for place, said in verdicts().items()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
