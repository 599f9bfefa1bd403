"""The scan finds each way of reading the role, and the check fails by name on what nobody explained."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from kvroles.digest import sha256
from kvroles.errors import NoSource, Unproven, UsageError
from kvroles.series.lock import ArchiveRow, Lock, ReleaseRow
from kvroles.sources.release_files import Options
from kvworkshop.effects import run
from kvworkshop.effects.check import problems, read
from kvworkshop.effects.scan import Findings, scan
from kvworkshop.effects.source import release_files
from kvworkshop.effects.table import Table, load

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "vllm_overlay" / "docs" / "features" / "nixl_kv_role_migration.md"
CORE = "vllm/core.py"


def found(**files: str) -> Findings:
    """Scan files given as name=source; ``core`` stands for ``vllm/core.py``."""
    return scan({f"vllm/{name}.py": dedent(source).encode() for name, source in files.items()})


def exprs(findings: Findings) -> list[str]:
    return [site.expr for site in findings.sites]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("if config.kv_role == 'kv_both': warn()", ["config.kv_role == 'kv_both'"]),
        ("if cfg.is_kv_producer and n > 1: pass", ["cfg.is_kv_producer and n > 1"]),
        ("if not cfg.is_kv_consumer: pass", ["not cfg.is_kv_consumer"]),
        ("x = cfg.is_kv_transfer_instance", ["cfg.is_kv_transfer_instance"]),
        ("f(cfg.kv_role)", ["cfg.kv_role"]),
        ("def f(kv_role):\n    return kv_role in ROLES", ["kv_role in ROLES"]),
        ("x = getattr(cfg, 'kv_role', None)", ["'kv_role'"]),
        ("y = {'kv_producer': 1, 'kv_consumer': 2}[r]", ["'kv_producer'", "'kv_consumer'"]),
        ("match r:\n    case 'kv_consumer': pass", ["'kv_consumer'"]),
        ("cfg.kv_role = 'kv_both'", ["'kv_both'", "cfg.kv_role = 'kv_both'"]),
        ("x = 1 if cfg.is_kv_producer else 2", ["1 if cfg.is_kv_producer else 2"]),
    ],
)
def test_each_way_of_reading_the_role_is_a_site(source: str, expected: list[str]) -> None:
    assert sorted(exprs(found(core=source))) == sorted(expected)


@pytest.mark.parametrize(
    "source",
    [
        "'''A docstring about kv_role and kv_both.'''",
        "# is_kv_producer",
        "log('kv_both is deprecated')",
        "is_kv_replicated = cfg.is_kv_layout_blocks_first",
        "class C:\n    kv_role: str | None = None",
    ],
)
def test_words_about_the_role_are_no_sites(source: str) -> None:
    assert exprs(found(core=source)) == []


def test_an_attribute_assigned_under_a_test_of_the_role_is_followed_into_other_files() -> None:
    findings = found(
        core="""
            class Scheduler:
                def __init__(self, cfg):
                    self.defer = False
                    if cfg.overlap and cfg.is_kv_consumer:
                        self.defer = True
        """,
        worker="""
            def free(scheduler):
                return scheduler.defer
        """,
    )
    assert exprs(findings) == ["cfg.overlap and cfg.is_kv_consumer", "scheduler.defer"]
    assert findings.derived == {
        "defer": frozenset({CORE}),
        "worker:free": frozenset({"vllm/worker.py"}),
    }


def test_properties_and_functions_that_return_the_role_are_followed() -> None:
    findings = found(
        core="""
            class Base:
                @property
                def delivers(self):
                    return self.config.is_kv_producer
            class Multi:
                @property
                def delivers_any(self):
                    return any(c.delivers for c in self.children)
            def on_decode(cfg):
                consumer = cfg.kv_role == 'kv_consumer'
                return consumer
        """,
        user="""
            from vllm.core import on_decode as decode
            def use(cfg, base, multi):
                if decode(cfg):
                    drop(base.delivers)
                keep(multi.delivers_any)
        """,
        stranger="def on_decode(): pass\non_decode()",
    )
    users = [s for s in findings.sites if s.file == "vllm/user.py"]
    assert [s.expr for s in users] == ["decode", "base.delivers", "multi.delivers_any"]
    assert all(s.where == "use" for s in users)
    assert not [s for s in findings.sites if s.file == "vllm/stranger.py"]


def test_what_follows_an_early_return_on_the_role_derives_and_what_follows_a_refusal_does_not() -> None:
    returns = found(core="def f(self, c):\n    if not c.is_kv_consumer:\n        return\n    self.late = 1")
    raises = found(core="def f(self, c):\n    if c.is_kv_consumer:\n        raise ValueError\n    self.late = 1")
    assert list(returns.derived) == ["late"]
    assert list(raises.derived) == []


def test_what_a_call_or_a_message_makes_of_the_role_is_not_followed() -> None:
    findings = found(core="def f(self, c):\n    self.w = Worker(c.kv_role)\n    self.text = f'role {c.kv_role}'")
    assert exprs(findings) == ["c.kv_role", "c.kv_role"]
    assert list(findings.derived) == []


def test_nothing_derives_from_the_question_that_is_true_for_every_role() -> None:
    findings = found(core="def f(self, c):\n    self.on = c.is_kv_transfer_instance\n    return self.on")
    assert len(findings.sites) == 1
    assert list(findings.derived) == []


def test_a_site_keeps_its_identity_while_lines_move_and_loses_it_when_the_condition_changes() -> None:
    def identity(source: str) -> tuple[str, str]:
        (site,) = found(core=source).sites
        return site.where, site.expr

    before = identity("class C:\n    def f(self):\n        if a and self.cfg.is_kv_consumer: pass")
    moved = identity(
        "x = 1\nclass C:\n    def f(self):\n        y = 1\n        if (a\n and self.cfg.is_kv_consumer): pass"
    )
    changed = identity("class C:\n    def f(self):\n        if (a or b) and self.cfg.is_kv_consumer: pass")
    assert before == moved == ("C.f", "a and self.cfg.is_kv_consumer")
    assert changed != before


def test_names_derived_outside_are_not_followed() -> None:
    files = {
        "vllm/other.py": b"class C:\n    def f(self, c):\n        self.sends = c.is_kv_producer\n",
        CORE: b"def g(x):\n    return x.sends\n",
    }
    assert [s.file for s in scan(files, lambda p: p == "vllm/other.py").sites] == ["vllm/other.py"]
    assert [s.file for s in scan(files).sites] == [CORE, "vllm/other.py"]


# The table

FENCE = "def f(self, c):\n    if c.is_kv_consumer:\n        self.defer = True\n"


def raw_table(**changes: Any) -> dict[str, Any]:
    table = {
        "$schema": "role_effects.schema.json",
        "releases": ["0.9.0"],
        "effects": [
            {
                "id": "fence",
                "title": "Fence",
                "releases": [["0.9.0", "0.9.0"]],
                "reads": "instance",
                "features": [],
                "what": "x",
                "prefill": "x",
                "decode": "x",
                "action": {"needed": False},
                "evidence": {"0.9.0": [f"{CORE}:2"]},
            }
        ],
        "sites": [{"files": [CORE], "in": "f", "expr": "c.is_kv_consumer", "effects": ["fence"]}],
        "rules": [],
        "outside": [],
    }
    return {**table, **changes}


def table_of(tmp_path: Path, raw: dict[str, Any]) -> Table:
    path = tmp_path / "role_effects.json"
    path.write_text(json.dumps(raw))
    return load(path)


def complaints(tmp_path: Path, files: dict[str, str], **changes: Any) -> list[str]:
    table = table_of(tmp_path, raw_table(**changes))
    reading = read("0.9.0", {p: s.encode() for p, s in files.items()}, table)
    return problems(table, {"0.9.0": reading}, ["0.9.0"], complete=True)


def test_a_table_that_holds_raises_no_complaint(tmp_path: Path) -> None:
    assert complaints(tmp_path, {CORE: FENCE}) == []


def test_an_unexplained_site_fails_by_name(tmp_path: Path) -> None:
    (complaint,) = complaints(tmp_path, {CORE: FENCE + "def new(x):\n    return x.defer and x.ready\n"})
    assert "0.9.0: vllm/core.py:5, in new" in complaint
    assert "'x.defer and x.ready' (through defer)" in complaint


def test_evidence_at_another_line_fails(tmp_path: Path) -> None:
    (complaint,) = complaints(tmp_path, {CORE: "import a\n" + FENCE})
    assert complaint == "Effect fence has its evidence in 0.9.0 at vllm/core.py:3, not at vllm/core.py:2."


def test_a_range_that_the_sites_do_not_bear_out_fails(tmp_path: Path) -> None:
    got = complaints(tmp_path, {CORE: "x = 1\n"}, sites=[])
    assert "Effect fence is said to be in 0.9.0, but its sites are in no release." in got


def test_an_entry_that_no_release_needs_fails(tmp_path: Path) -> None:
    stale = [*raw_table()["sites"], {"files": [CORE], "in": "g", "expr": "c.kv_role", "neutral": "Gone."}]
    assert complaints(tmp_path, {CORE: FENCE}, sites=stale) == [
        "No release has the site 'c.kv_role' in vllm/core.py, g; drop the entry."
    ]


def test_a_rule_explains_reads_through_its_names_only(tmp_path: Path) -> None:
    more = FENCE + dedent("""
        def g(x):
            return x.is_kv_transfer_instance
        def h(x):
            return x.is_kv_transfer_instance and x.defer
    """)
    rules = [{"files": ["vllm/*"], "names": ["is_kv_transfer_instance"], "neutral": "Same for all."}]
    (complaint,) = complaints(tmp_path, {CORE: more}, rules=rules)
    assert "in h" in complaint


def test_files_outside_are_left_out_as_long_as_only_the_allowed_ones_import_them(tmp_path: Path) -> None:
    other = {"vllm/c/other.py": "def f(c):\n    return c.kv_role\n", CORE: FENCE}
    outside = [{"files": ["vllm/c/other.py"], "reason": "Other.", "importers": ["vllm/c/__init__.py"]}]
    allowed = {"vllm/c/__init__.py": "from .other import f\n"}
    assert complaints(tmp_path, other | allowed, outside=outside) == []
    (complaint,) = complaints(
        tmp_path, {**other, **allowed, "vllm/user.py": "from vllm.c import other\n"}, outside=outside
    )
    assert complaint == "0.9.0: vllm/user.py imports vllm.c.other, which the table says NIXL does not reach."


# The tool


def archived(cache: Path, files: dict[str, str], release: str = "0.9.0") -> ReleaseRow:
    """A source archive of ``files`` in ``cache``, and the lock's row of it."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"vllm-{release}/{name}")
            info.size = len(text.encode())
            tar.addfile(info, BytesIO(text.encode()))
    row = ArchiveRow(f"vllm-{release}.tar.gz", sha256(out.getvalue()), len(out.getvalue()))
    (cache / "archives").mkdir(exist_ok=True)
    (cache / "archives" / row.name).write_bytes(out.getvalue())
    return ReleaseRow(release, row, None, {})


def job(cache: Path, *rows: ReleaseRow, say: Callable[[str], None] = lambda _: None) -> run.Job:
    return run.Job(Lock({}, {r.release: r for r in rows}), Options(cache, offline=True), say=say)


def test_only_the_packages_release_files_are_read(tmp_path: Path) -> None:
    row = archived(tmp_path, {CORE: "a", "tests/t.py": "b", "vllm/data.json": "c"})
    assert release_files(row, Options(tmp_path, offline=True)) == {CORE: b"a"}


def test_write_makes_check_pass(tmp_path: Path) -> None:
    row = archived(tmp_path, {CORE: "import a\n" + FENCE})
    path = tmp_path / "role_effects.json"
    path.write_text(json.dumps(raw_table()))
    said: list[str] = []
    with pytest.raises(Unproven, match=r"in 1 place, first: Effect fence"):
        run.check(job(tmp_path, row, say=said.append), path)
    assert said[0] == "Reading vLLM 0.9.0"
    assert "vllm/core.py:3" in said[1]
    run.write(job(tmp_path, row), path)
    assert run.check(job(tmp_path, row), path) == "1 release read, 1 effect of the role."


def test_a_release_the_table_does_not_list_fails_until_it_is_written(tmp_path: Path) -> None:
    rows = archived(tmp_path, {CORE: FENCE}), archived(tmp_path, {CORE: FENCE}, "0.9.1")
    path = tmp_path / "role_effects.json"
    path.write_text(json.dumps(raw_table()))
    with pytest.raises(Unproven, match=r"disagree on the releases there are: 0\.9\.1"):
        run.check(job(tmp_path, *rows), path)
    run.write(job(tmp_path, *rows), path)
    with pytest.raises(Unproven, match=r"said to be in 0\.9\.0, but its sites are in 0\.9\.0, 0\.9\.1"):
        run.check(job(tmp_path, *rows), path)


def test_a_missing_archive_is_an_error_and_a_missing_wheel_is_said(tmp_path: Path) -> None:
    row = archived(tmp_path, {CORE: FENCE})
    wheels = ReleaseRow("0.15.0", None, None, {}, (ArchiveRow("vllm-0.15.0-any.whl", "0" * 64, 1),))
    path = tmp_path / "role_effects.json"
    path.write_text(json.dumps(raw_table(releases=["0.9.0", "0.15.0"])))
    assert run.check(job(tmp_path, row, wheels), path).splitlines()[1].startswith("0.15.0 not read: The Python files")
    (tmp_path / "archives" / "vllm-0.9.0.tar.gz").unlink()
    with pytest.raises(NoSource, match=r"vllm-0\.9\.0\.tar\.gz is not in the cache"):
        run.check(job(tmp_path, row, wheels), path)


def test_a_table_that_is_none_is_said_in_one_paragraph(tmp_path: Path) -> None:
    path = tmp_path / "role_effects.json"
    path.write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        run.check(job(tmp_path), path)
    path.write_text(json.dumps(raw_table(effects=[])))
    with pytest.raises(UsageError, match="an effect it does not have"):
        run.check(job(tmp_path), path)


# The project's own table


def test_the_table_fits_its_schema_and_its_own_layout() -> None:
    raw = json.loads(run.TABLE.read_text())
    schema = json.loads(run.TABLE.with_name("role_effects.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(raw)
    table = load(run.TABLE)
    assert table.to_json() == run.TABLE.read_text()
    assert table.releases == tuple(Lock.load().releases)[: len(table.releases)]  # effects.py --check wants them all
    assert len({e.id for e in table.effects}) == len(table.effects)
    assert [e.id for e in table.effects if e.releases(table.releases) != list(e.evidence)] == []
    keys = [(e.files, e.where, e.expr) for e in table.entries if e.expr is not None]
    assert len(set(keys)) == len(keys)


GUIDE_ROWS = {  # effect -> words of its row in the migration guide
    "warning": "the warning",
    "block-fence": "delay before freed blocks",
    "pp-guard": "check of pipeline parallelism",
    "kv-delivery": "when a request is preempted",
    "partial-tail": "partly filled last block",
    "mm-missing-embeddings": "leave out the embedding tensor",
    "pcp-guard": "check of prefill context parallelism",
    "mm-embeds": "embedding inputs switched on",
    "kv-fetch-metric": "num_requests_kv_fetch_by_stage",
}


def test_the_guides_table_says_what_the_data_says() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in GUIDE.read_text().splitlines()
        if line.startswith("| 0.") and line.count("|") == 6
    ]
    raw = json.loads(run.TABLE.read_text())
    known = load(run.TABLE).releases
    assert set(GUIDE_ROWS) == {e["id"] for e in raw["effects"]}
    for effect in raw["effects"]:
        (row,) = [r for r in rows if GUIDE_ROWS[effect["id"]] in r[1]]
        assert stated(row[0], known) == [r for r in known if r in effect["evidence"]], effect["id"]
        assert row[4].startswith("yes") is effect["action"]["needed"], effect["id"]
        assert (row[2].startswith("same")) is (effect["prefill"].startswith("Same")), effect["id"]
    (neutral,) = [r for r in rows if r[1] == "nothing"]
    first = min(known.index(r) for e in raw["effects"] for r in e["evidence"])
    assert stated(neutral[0], known) == list(known[:first])


def stated(cell: str, known: tuple[str, ...]) -> list[str]:
    """The releases that words like ``0.27.0, 0.27.1 and 0.30.0 to 0.33.0`` name."""
    out = []
    for part in cell.replace(" and ", ", ").split(", "):
        first, _, last = part.partition(" to ")
        out += known[known.index(first) : known.index(last or first) + 1]
    return out
