"""No sentence of the guide, and no row of the table of effects, says something of a release without evidence."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest
from kvroles.errors import UsageError
from kvroles.places import default_cache_dir
from kvroles.series.lock import Lock
from kvroles.sources.release_files import Options
from kvworkshop.effects import claims, elsewhere, run
from kvworkshop.effects.source import release_files
from support import docs
from support.cost import slow_but

CLAIMS = claims.load(run.CLAIMS)
KNOWN = tuple(Lock.load().releases)
PAGES = [docs.GUIDE, *(docs.ROOT / "docs" / p for p in ("symptoms.md", "howto/handshake.md", "howto/platforms.md"))]
SAMPLE = slow_but(["0.22.1"], ["0.9.0", "0.18.1", "0.22.1", "0.26.0", "0.33.0"])


def used_by_effects() -> set[str]:
    return {i for e in json.loads(run.TABLE.read_text())["effects"] for i in e["claims"]}


# --- the project's own claims ---------------------------------------------------------------------------------------------


def test_every_sentence_of_the_guide_names_its_claims_or_says_that_it_makes_none() -> None:
    """The guide, and the pages on log lines, handshakes and platforms."""
    pages = {p.name: p.read_text() for p in PAGES}
    assert claims.problems_of_pages(CLAIMS, pages, used_by_effects()) == []


def test_every_row_of_the_table_of_effects_names_its_claims() -> None:
    for effect in json.loads(run.TABLE.read_text())["effects"]:
        assert effect["claims"], effect["id"]


def test_every_claim_has_evidence_for_every_release_it_is_about() -> None:
    assert claims.problems_of_evidence(CLAIMS, docs.ROOT, KNOWN) == []


@pytest.mark.upstream
@pytest.mark.parametrize("release", SAMPLE)
def test_a_release_bears_out_every_claim_about_it(release: str) -> None:
    """A sample; ``tools/effects.py --check`` reads them all."""
    row = Lock.load().releases[release]
    files = release_files(row, Options(default_cache_dir()), lambda path: claims.is_read(CLAIMS, path))
    assert claims.problems_of_release(CLAIMS, release, files) == []
    kept = json.loads(run.LINES.read_text())
    assert claims.lines(CLAIMS, release, files) == {c: w[release] for c, w in kept.items() if release in w}


# --- what the checker finds -----------------------------------------------------------------------------------------------

ONE = """
[[claim]]
id = "warns"
says = "It warns."
releases = ["0.23.0..0.24.0"]
[[claim.evidence]]
file = "vllm/nixl*"
pattern = '''warning_once'''
"""


def made(tmp_path: Path, text: str = ONE) -> tuple[claims.Claim, ...]:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    return claims.load(path)


@pytest.mark.parametrize(
    ("page", "uncovered"),
    [
        ("It warns. <!-- c: warns -->", []),
        ("It warns. <!-- c: warns --> It is safe.", ["It is safe."]),
        ("It is safe.\n\nIt warns. <!-- c: warns -->", ["It is safe."]),
        ("- It warns. <!-- c: warns -->\n- It is safe.", ["- It is safe."]),
        ("| A | B |\n| --- | --- |\n| it warns | no <!-- c: warns --> |\n| it is safe | no |", ["it is safe | no"]),
        ("# It is safe\n\nIt warns. <!-- c: warns -->\n\n```text\nIt is safe.\n```", []),
        ('!!! note "Safe"\n    It is safe.\n\nIt warns. <!-- c: warns -->', ["It is safe."]),
        ("Before, on both sides:\n\n```json\n{}\n```\n\nIt warns. <!-- c: warns -->", []),
        ("It is safe:\n\n```json\n{}\n```\n\nIt warns. <!-- c: warns -->", ["It is safe:"]),
        ("It is hot. <!-- no-claim --> It warns.\nIndeed. <!-- c: warns -->", []),
    ],
)
def test_a_sentence_without_a_claim_is_found(page: str, uncovered: list[str], tmp_path: Path) -> None:
    found = claims.problems_of_pages(made(tmp_path), {"guide.md": page})
    assert [f.partition("'no-claim': ")[2].strip("'.") for f in found] == [u.strip(".") for u in uncovered]


def test_an_unknown_claim_and_one_that_nothing_uses_are_found(tmp_path: Path) -> None:
    found = claims.problems_of_pages(made(tmp_path), {"guide.md": "It works. <!-- c: works -->"})
    assert found == [
        "The claim works is named but not in the file of claims.",
        "The claim warns is used nowhere; drop it.",
    ]


def test_a_release_that_contradicts_a_claim_is_found(tmp_path: Path) -> None:
    one = made(tmp_path)
    assert claims.problems_of_release(one, "0.23.0", {"vllm/nixl.py": b"logger.warning_once()"}) == []
    assert claims.problems_of_release(one, "0.25.0", {}) == []
    (found,) = claims.problems_of_release(one, "0.24.0", {"vllm/other.py": b"logger.warning_once()"})
    assert found == "0.24.0: claim warns: no file vllm/nixl* holds 'warning_once'."


def test_a_pattern_that_must_not_be_there_is_found(tmp_path: Path) -> None:
    absent = made(tmp_path, ONE + "absent = true\n")
    assert claims.problems_of_release(absent, "0.23.0", {"vllm/nixl.py": b"x"}) == []
    (found,) = claims.problems_of_release(absent, "0.23.0", {"vllm/nixl.py": b"x\nwarning_once"})
    assert "vllm/nixl.py:2 holds it" in found


def test_a_test_that_is_gone_and_a_release_without_evidence_are_found(tmp_path: Path) -> None:
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    (tmp_path / "tests" / "unit" / "test_a.py").write_text(
        "def test_one(): pass\nclass TestB:\n    def test_two(self): pass\n"
    )
    with_tests = ONE.partition("[[claim.evidence]]")[0] + 'tests = ["test_a.py::{}"]\n'
    for name, there in (("test_one", True), ("TestB::test_two", True), ("test_two", False), ("test_gone", False)):
        found = claims.problems_of_evidence(made(tmp_path, with_tests.format(name)), tmp_path, ["0.23.0"])
        assert (found == []) is there, name
    later = ONE.replace('file = "vllm', 'releases = ["0.24.0"]\nfile = "vllm')
    found = claims.problems_of_evidence(made(tmp_path, later), tmp_path, ["0.23.0", "0.24.0"])
    assert found == ["Claim warns has no evidence for 0.23.0."]


def test_a_page_that_no_machine_reads_is_no_evidence(tmp_path: Path) -> None:
    only = ONE.partition("[[claim.evidence]]")[0] + 'sources = ["https://github.com/a/b"]\n'
    found = claims.problems_of_evidence(made(tmp_path, only), tmp_path, ["0.23.0"])
    assert found[0] == "Claim warns has no evidence that a machine reads."


def test_what_is_said_of_another_project_is_read_in_a_clone_of_it(tmp_path: Path) -> None:
    """At its commit, whatever came later; a clone that is not there is named, and so is a pattern that is or is not there."""
    clone = tmp_path / "clones" / "acme" / "x"
    clone.mkdir(parents=True)
    git = ["git", "-C", str(clone), "-c", "user.name=a", "-c", "user.email=a@example.invalid"]
    subprocess.run([*git, "init", "-q"], check=True)
    commits = []
    for text in ("role = both\n", "role = gone\n"):
        (clone / "a.py").write_text(text)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
        commits.append(subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip())
    shape = {"repository": "acme/x", "commit": commits[0], "file": "a.py", "pattern": "^role = both$"}
    holds = elsewhere.load(shape)
    wrong = [
        elsewhere.load({**shape, "commit": commits[1]}),
        elsewhere.load({**shape, "absent": True}),
        elsewhere.load({**shape, "file": "b.py"}),
    ]
    absent = elsewhere.load({**shape, "commit": commits[1], "absent": True})
    other = elsewhere.load({**shape, "repository": "acme/y"})
    found, missing = elsewhere.problems([holds, absent, *wrong, other], tmp_path / "clones")
    assert [f.rpartition(" at ")[2].partition(" ")[2].partition(" ")[0] for f in found] == ["does", "holds", "is"]
    assert missing == ["acme/y"]
    for bad in ({"commit": "main"}, {"repository": "x"}):
        with pytest.raises(ValueError, match="40 hexadecimal"):
            elsewhere.load({**shape, **bad})


def test_a_check_names_the_claims_that_it_did_not_look_at_for_want_of_clones() -> None:
    others = [c for c in CLAIMS if c.elsewhere]
    text = run.of_others(CLAIMS, None, ())
    assert f"Not looked at: {len(others)} claims" in text
    assert all(c.id in text for c in others)
    (one,) = {e.repository for e in others[0].elsewhere}
    text = run.of_others(CLAIMS, Path("clones"), [one])
    assert one in text
    assert [c.id for c in others if c.id in text] == [
        c.id for c in others if any(e.repository == one for e in c.elsewhere)
    ]
    assert run.of_others(CLAIMS, Path("clones"), []).endswith("places in other projects hold.")


def test_the_summary_of_a_check_says_how_many_claims_are_about_releases_that_it_did_not_read() -> None:
    held = [c for c in CLAIMS if c.evidence]
    read = [c for c in held if any(e.covers("0.9.0") for e in c.evidence)]
    said = claims.rests(CLAIMS, "held against these releases", "by tests alone", read=["0.9.0"])
    assert said.startswith(
        f"{len(read)} held against these releases, {len(held) - len(read)} about releases not read, "
    )
    assert "not read" not in claims.rests(CLAIMS, "held against these releases", "by tests alone", read=KNOWN)
    assert claims.rests(held, "held", "tested", read=[]) == f"{len(held)} about releases not read"


def test_a_file_of_claims_of_another_shape_is_said_in_one_paragraph(tmp_path: Path) -> None:
    for text, says in (
        (ONE + "hot = 1\n", None),
        ("claim = 1\n", "the file"),
        (ONE.replace('says = "It warns."', ""), "claim warns"),
    ):
        if says is None:
            continue
        with pytest.raises(UsageError, match=says):
            made(tmp_path, dedent(text))
    with pytest.raises(UsageError, match="unknown keys side_of"):
        made(tmp_path, ONE.replace("says =", "side_of = 1\nsays ="))
