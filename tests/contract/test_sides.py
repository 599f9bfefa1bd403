"""Clause 4 sees a role that was exchanged: in every patched file of every release, each role in turn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kvroles.contract import clauses, roles_in_text, sides
from kvroles.evidence.frames import Side
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.series.topics import Series
from kvroles.sources import release_files
from kvroles.sources.release_files import Options
from kvworkshop.port import lock_rows

SERIES, LOCK = project.load()
OTHER = {"kv_producer": b"kv_consumer", "kv_consumer": b"kv_producer"}
SYMMETRIC = [
    line.split("\t") for line in (Path(__file__).parent / "symmetric.tsv").read_text(encoding="utf-8").splitlines()[1:]
]


@pytest.fixture(scope="module")
def patched() -> list[tuple[str, bytes, bytes]]:
    """The files outside of vllm/ that the default series changes in any release, each text once: path, before, after."""
    default = Series(SERIES.chosen(), SERIES.overlay)
    found: dict[tuple[str, bytes], bytes] = {}
    for release, row in LOCK.releases.items():
        shipped = release_files.files_of(row, SERIES, LOCK, Options(default_cache_dir()))
        after = lock_rows.topic_rows(shipped, release, default, release_files.WITHOUT_ARCHIVE.get(release))[1]
        for path, data in after.items():
            if data is not None and path in shipped and shipped[path] != data and not path.startswith("vllm/"):
                found[path, data] = shipped[path]
    return [(path, before, after) for (path, after), before in found.items()]


@pytest.mark.upstream
def test_each_role_that_the_series_sets_is_of_the_side_its_surroundings_name(
    patched: list[tuple[str, bytes, bytes]],
) -> None:
    for path, before, after in patched:
        assert clauses.sides_named(path, before, after) == ()


def exchangeable(path: str, after: bytes) -> list[roles_in_text.Site]:
    """The roles of NIXL in a file, but for those that are listed as symmetric."""
    symmetric = [owner for where, owner, _ in SYMMETRIC if where == path]
    text = after.decode("latin-1")
    return [
        s
        for s in roles_in_text.sites(after)
        if s.role in OTHER and (s.connector is None or s.is_nixl) and sides.owner(text, s.start) not in symmetric
    ]


@pytest.mark.upstream
@pytest.mark.slow
def test_each_role_exchanged_in_turn_is_a_breach(patched: list[tuple[str, bytes, bytes]]) -> None:
    missed = []
    for path, before, after in patched:
        for site in exchangeable(path, after):
            swapped = after[: site.start] + OTHER[site.role] + after[site.end :]
            if not clauses.sides_named(path, before, swapped):
                missed.append(f"{path}:{site.line}")
    assert missed == []


@pytest.mark.upstream
def test_producer_and_consumer_exchanged_in_a_whole_file_are_a_breach(patched: list[tuple[str, bytes, bytes]]) -> None:
    missed = []
    for path, before, after in patched:
        swapped = re.sub(rb"kv_(?:producer|consumer)", lambda m: OTHER[m[0].decode()], after)
        if exchangeable(path, after) and not clauses.sides_named(path, before, swapped):
            missed.append(path)
    assert missed == []


def side(path: str, text: str) -> Side | None:
    """The side of the role in ``text`` that is written as ROLE."""
    named = sides.of_role(path, text.replace("ROLE", "kv_both"), text.index("ROLE"))
    return named.side if named else None


NAMED = {
    "a variable": ("a.sh", "PREFILL_KV_CONFIG='{\"kv_role\":\"ROLE\"}'\n", Side.PREFILL),
    "a letter with its twin": ("a.sh", "CONFIG_D='{\"kv_role\":\"ROLE\"}'\nCONFIG_P='{}'\n", Side.DECODE),
    "a letter alone": ("a.sh", "CONFIG_D='{\"kv_role\":\"ROLE\"}'\n", None),
    "a function": ("a.sh", "start_decode() {\n  vllm serve X --c '{\"kv_role\":\"ROLE\"}'\n}\n", Side.DECODE),
    "another function": ("a.sh", "start_decode() {\n  x\n}\nvllm serve --c '{\"kv_role\":\"ROLE\"}'\n", None),
    "a loop": ("a.sh", "for i in $(seq $NUM_PREFILL); do\n  vllm --c '{\"kv_role\":\"ROLE\"}'\ndone\n", Side.PREFILL),
    "a comment above": ("a.sh", "# Decode instance\nvllm serve X \\\n  --c '{\"kv_role\":\"ROLE\"}'\n", Side.DECODE),
    "a comment above a block that ended": (
        "a.sh",
        "# Decode instance\nif x; then\n  y\nfi\nvllm serve X --c '{\"kv_role\":\"ROLE\"}'\n",
        None,
    ),
    "a port": ("a.sh", "CMD=\"vllm serve --port $DECODE_PORT \\\n  --c '{\\\"kv_role\\\":\\\"ROLE\\\"}'\"\n", Side.DECODE),
    "what the other side is made from": (
        "a.sh",
        "KV='{\"kv_role\":\"ROLE\"}'\ndecode_kv=${KV/kv_both/kv_consumer}\n",
        Side.PREFILL,
    ),
    "a sentence": ("a.md", "Set `\"kv_role\":\"ROLE\"` on prefill instances and nothing on decode instances.\n", Side.PREFILL),
    "the second of two": ("a.md", "Set `a` on prefill instances and `\"kv_role\":\"ROLE\"` on decode ones.\n", Side.DECODE),
    "a sentence about both": ("a.md", "Give both prefill and decode instances `\"kv_role\":\"ROLE\"`.\n", None),
    "a heading": ("a.md", "## Decoder\n\nText.\n\n```bash\nvllm '{\"kv_role\":\"ROLE\"}'\n```\n", Side.DECODE),
    "a heading of a sister": (
        "a.md",
        "## Decoder\n\n## Options\n\n```bash\nvllm '{\"kv_role\":\"ROLE\"}'\n```\n",
        None,
    ),
    "a test's name": ("a.py", "def test_prefill():\n    f(kv_role=\"ROLE\")\n", Side.PREFILL),
    "a test's docstring": ("a.py", "def test_it():\n    \"\"\"Of a decode instance.\"\"\"\n    f(kv_role=\"ROLE\")\n", Side.DECODE),
    "a key": ("a.yaml", "decode:\n  args:\n    kv_role: ROLE\n", Side.DECODE),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_a_side_is_named_by_the_nearest_owner(name: str) -> None:
    path, text, want = NAMED[name]
    assert side(path, text) is want


def test_a_config_made_for_the_wrong_side_is_a_breach() -> None:
    text = b"decode_kv_config=${prefill_kv_config/kv_consumer/kv_producer}\n"
    assert clauses.sides_named("a.sh", b"", text)
    assert not clauses.sides_named("a.sh", b"", text.replace(b"kv_consumer/kv_producer", b"kv_producer/kv_consumer"))
