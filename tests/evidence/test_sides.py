"""Which side a config is of: every kind of evidence in files of its own, and what must not be taken for it.

A case file holds cases under ``### what it shows``. Each file of a case stands under ``=== path  labels``, one label for
each ``kv_both`` in it, in order: prefill, decode, - for what must not be written, or one of the two halves of that: ask for what
``--check`` fails on, no for what is harmless. ``@J`` is a NIXL config, ``@Q`` the same with its quotes escaped. Cases under ``### later: ...`` are known to be refused where they could be decided.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kvroles.migrate import run
from kvroles.migrate.codes import CODES
from kvroles.migrate.settings import Options, Settings

CASES = Path(__file__).parent / "cases"
NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
ROLES = {"KVR101": "prefill", "KVR102": "decode"}


def cases() -> dict[str, dict[str, tuple[list[str], str]]]:
    """Every case by name: its files by path, each with its labels and its text."""
    out: dict[str, dict[str, tuple[list[str], str]]] = {}
    for source in sorted(CASES.glob("*.txt")):
        for case in source.read_text(encoding="utf-8").split("\n### ")[1:]:
            title, _, rest = case.partition("\n")
            files: dict[str, tuple[list[str], str]] = {}
            for part in re.split(r"(?m)^=== ", rest)[1:]:
                head, _, body = part.partition("\n")
                path, *labels = head.split()
                text = body.replace("@J", NIXL).replace("@Q", NIXL.replace('"', '\\"')).rstrip("\n") + "\n"
                files[path] = labels, text
            out[f"{source.stem}: {title}"] = files
    return out


def read(files: dict[str, tuple[list[str], str]]) -> dict[str, list[str]]:
    """What is said of each ``kv_both`` of a case, its files standing in the working directory."""
    for path, (_, text) in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
    out: dict[str, list[str]] = {}
    for path, (_, text) in files.items():
        if "kv_both" not in text:
            continue
        result = run.of_bytes(path, path, text.encode(), Options(Settings()))
        seen: dict[int, str] = {}
        for f in result.findings if result is not None else []:
            seen.setdefault(f.pos, ROLES.get(f.code) or ("ask" if CODES[f.code].actionable else "no"))
        out[path] = [seen[p] for p in sorted(seen)]
    return out


def agrees(said: list[str], labels: list[str]) -> bool:
    return len(said) == len(labels) and all(
        a == b or (b == "-" and a in {"ask", "no"}) for a, b in zip(said, labels, strict=True)
    )


@pytest.mark.parametrize("name", cases())
def test_each_config_is_of_the_side_that_a_careful_reader_would_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = cases()[name]
    said = read(files)
    wanted = {path: labels for path, (labels, text) in files.items() if "kv_both" in text}
    assert said == {path: said[path] if agrees(said[path], labels) else labels for path, labels in wanted.items()}
