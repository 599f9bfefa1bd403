"""The optional topics on real releases: applied, proven, told apart from the default series, and taken out again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from kvroles.apply import connector as connector_by_meaning
from kvroles.apply import fit
from kvroles.apply import plan as plans
from kvroles.apply.prove import prove_plan
from kvroles.apply.state import State, touched_paths, with_present
from kvroles.apply.unclear import Unclear
from kvroles.contract import check, clauses, terms
from kvroles.errors import DoesNotApply, Unproven
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.series.upstream_files import COMPLETED
from kvroles.sources import release_files
from kvroles.sources.release_files import Options
from support.cost import slow_but
from support.driver import Ran, script
from support.files import contents, put

pytestmark = pytest.mark.upstream

ROOT = Path(__file__).resolve().parents[2]
SERIES, LOCK = project.load()
OPTIONS = Options(default_cache_dir())
RELEASES = [r for r, row in LOCK.releases.items() if row.archive]
SOME = ["0.9.0", "0.22.1", "0.23.0", "0.24.0", RELEASES[-1]]
REJECT, FENCE = "reject-kv-both", "bidirectional-fence"
CHOICES = [(REJECT,), (FENCE,), (REJECT, FENCE)]

Files = dict[str, bytes]

of_releases = pytest.mark.parametrize("release", slow_but(SOME, RELEASES))
with_topics = pytest.mark.parametrize("extra", CHOICES, ids="+".join)


def pristine(release: str) -> Files:
    return dict(release_files.extract(LOCK.releases[release], SERIES, OPTIONS).files)


def run(files: Files, release: str, *extra: str, reverse: bool = False) -> tuple[plans.Plan, Files]:
    """The plan for a tree as ``apply.py --into`` makes it, and the tree after it; the contract is proven."""
    row = LOCK.releases[release]
    topics = with_present(files.get, row, SERIES, SERIES.chosen(extra))
    plan = plans.plan(files.get, row, SERIES, topics, reverse=reverse)
    if not reverse:
        prove_plan(files, plan, set(touched_paths(row, SERIES)))
    after = {**files, **{c.path: c.after for c in plan.changes}}
    return plan, {p: d for p, d in after.items() if d is not None}


def connector(files: Files) -> str:
    return next(p for p in terms.CONNECTORS if p in files)


def states(plan: plans.Plan) -> dict[str, State]:
    return {t.topic: t.state for t in plan.topics}


@of_releases
@with_topics
def test_topics_apply_are_proven_and_leave_no_trace(release: str, extra: tuple[str, ...]) -> None:
    files = pristine(release)
    _, after = run(files, release, *extra)
    again, same = run(after, release, *extra)
    assert again.changes == []
    assert same == after
    _, back = run(after, release, reverse=True)
    assert back == files


@of_releases
def test_the_default_series_does_not_hold_an_optional_topic(release: str) -> None:
    plan, after = run(pristine(release), release)
    assert not {REJECT, FENCE} & set(states(plan))
    assert terms.REFUSAL not in after
    assert clauses.warns(after[connector(after)]) is None


@of_releases
def test_a_run_without_the_topic_keeps_it_and_says_so(release: str) -> None:
    _, after = run(pristine(release), release, REJECT)
    plan, _ = run(after, release)
    assert plan.changes == []
    assert states(plan)[REJECT] is State.APPLIED
    assert set(states(plan).values()) <= {State.APPLIED, State.NATIVE}


@of_releases
def test_an_optional_topic_gives_the_same_tree_at_once_or_later(release: str) -> None:
    files = pristine(release)
    _, default = run(files, release)
    _, later = run(default, release, REJECT, FENCE)
    _, at_once = run(files, release, REJECT, FENCE)
    assert later == at_once


@of_releases
def test_no_nixl_config_of_upstreams_tests_stays_refused(release: str) -> None:
    """Where the default series leaves kv_both to a NIXL config, that test would fail from now on."""
    _, after = run(pristine(release), release, REJECT)
    left = {p: s for p, d in after.items() if (s := clauses.kv_both_left(p, d))}
    assert left == {}


def refusal_of(release: str) -> Any:
    """The names that the topic's own module defines: it needs nothing of vLLM to run."""
    _, after = run(pristine(release), release, REJECT)
    names: dict[str, Any] = {}
    exec(compile(after[terms.REFUSAL], terms.REFUSAL, "exec"), names)
    return SimpleNamespace(**names)


def config(connector: str, role: str, *children: dict[str, Any]) -> Any:
    extra = {"connectors": list(children)} if children else {}
    return SimpleNamespace(kv_connector=connector, kv_role=role, kv_connector_extra_config=extra)


def test_the_refusal_names_both_roles_their_sides_and_the_guide() -> None:
    with pytest.raises(ValueError, match="refuses") as caught:
        refusal_of("0.22.1").reject_kv_both(config("NixlConnector", "kv_both"))
    text = str(caught.value)
    assert "kv_role='kv_producer' on prefill instances" in text
    assert "kv_role='kv_consumer' on decode instances" in text
    assert terms.GUIDE in text
    assert terms.GUIDE in SERIES.overlay
    assert re.search(terms.QUERY, text), "the log query of the warning finds the refusal too"
    assert "\n" not in text


@pytest.mark.parametrize("name", ["NixlConnector", "NixlPullConnector", "NixlPushConnector"])
@pytest.mark.parametrize("wrapper", ["kv_both", "kv_producer", "kv_consumer"])
def test_a_nested_child_is_refused_in_every_wrapper(name: str, wrapper: str) -> None:
    child = {"kv_connector": name, "kv_role": "kv_both"}
    reject = refusal_of("0.22.1").reject_kv_both
    with pytest.raises(ValueError, match="kv_role='kv_both'"):
        reject(config("MultiConnector", wrapper, {"kv_connector": "OtherConnector", "kv_role": "kv_both"}, child))
    inner = {"kv_connector": "MultiConnector", "kv_role": wrapper, "kv_connector_extra_config": {"connectors": [child]}}
    with pytest.raises(ValueError, match="kv_role='kv_both'"):
        reject(config("PdConnector", wrapper, inner))


@pytest.mark.parametrize("role", ["kv_producer", "kv_consumer"])
def test_wrappers_and_other_connectors_keep_kv_both(role: str) -> None:
    reject = refusal_of("0.22.1").reject_kv_both
    reject(None)
    reject(config("NixlConnector", role))
    reject(config("OffloadingConnector", "kv_both"))
    other = {"kv_connector": "OffloadingConnector", "kv_role": "kv_both"}
    reject(config("MultiConnector", "kv_both", {"kv_connector": "NixlConnector", "kv_role": role}, other))


BREAKS = {
    "the connector lets kv_both pass": (1, None, b"raise ValueError(KV_BOTH_REFUSED)", b"pass"),
    "it refuses another role": (1, None, b'kv_role == "kv_both"', b'kv_role == "kv_consumer"'),
    "nobody asks before the engine starts": (
        1,
        terms.EARLY,
        b"        reject_kv_both(config.kv_transfer_config)\n",
        b"",
    ),
    "the text sends to the wrong side": (1, terms.REFUSAL, b"'kv_producer' on prefill", b"'kv_producer' on decode"),
    "the text names no guide": (1, terms.REFUSAL, terms.GUIDE.encode(), b"the release notes"),
    "a test is gone": (2, terms.TEST_FILE, b"def test_kv_both_is_refused_below_a_wrapper(", b"def unused("),
}


@pytest.mark.parametrize("release", ["0.22.1", "0.24.0"])
@pytest.mark.parametrize("broken", BREAKS)
def test_a_refusal_that_is_not_whole_breaks_the_contract(broken: str, release: str) -> None:
    clause, path, old, new = BREAKS[broken]
    files = pristine(release)
    _, after = run(files, release, REJECT)
    path = path or connector(after)
    assert after[path].count(old) >= 1
    after[path] = after[path].replace(old, new)
    touched = touched_paths(LOCK.releases[release], SERIES)
    verdict = check.check({p: after[p] for p in touched if p in after}, files, {}, topics=[REJECT])
    assert min(b.clause for b in verdict.breaches) == clause, [str(b) for b in verdict.breaches]


@pytest.mark.parametrize("release", ["0.22.1", "0.33.0"])
def test_warning_and_refusal_are_not_taken_for_each_other(release: str) -> None:
    files = pristine(release)
    for extra, asked in (((), [REJECT]), ((REJECT,), [])):
        _, after = run(files, release, *extra)
        verdict = check.check(after, files, {}, topics=asked)
        assert {1, 2} <= {b.clause for b in verdict.breaches}


def test_a_damaged_topic_is_refused_by_name() -> None:
    release = "0.22.1"
    _, after = run(pristine(release), release, REJECT)
    del after[terms.REFUSAL]
    with pytest.raises(DoesNotApply, match=f"Topic {REJECT} is partial"):
        run(after, release)


def test_edits_in_files_of_optional_topics_alone_are_ignored() -> None:
    release = "0.30.0"
    files = pristine(release)
    files["vllm/v1/core/sched/scheduler.py"] += b"# our own\n"
    _, after = run(files, release)
    _, back = run(after, release, reverse=True)
    assert back == files
    with pytest.raises(DoesNotApply, match=r"scheduler\.py"):
        run(files, release, FENCE)


def fitted(files: Files, *extra: str, nearest: str, reverse: bool = False) -> tuple[plans.Plan, Files]:
    """The same for a fork: no lock row vouches for it."""
    plan = fit.plan(files.get, SERIES, LOCK, SERIES.chosen(extra), nearest=nearest, reverse=reverse)
    if not reverse:
        prove_plan(files, plan, {f.path for t in plan.topics for f in t.files})
    after = {**files, **{c.path: c.after for c in plan.changes}}
    return plan, {p: d for p, d in after.items() if d is not None}


def fork_of(release: str) -> Files:
    files = pristine(release)
    for path in (connector(files), terms.EARLY, terms.TEST_FILE):
        files[path] = b"# A fork's own line.\n" + files[path]
    return files


@pytest.mark.parametrize("release", slow_but([], ["0.18.1", "0.22.1"]))
def test_a_fork_takes_the_topic_keeps_it_and_gives_it_back(release: str) -> None:
    files = fork_of(release)
    _, after = fitted(files, REJECT, nearest=release)
    assert terms.REFUSAL in after
    for extra in ((REJECT,), ()):
        plan, same = fitted(after, *extra, nearest=release)
        assert plan.changes == []
        assert same == after
        assert states(plan)[REJECT] is State.APPLIED
    _, back = fitted(after, nearest=release, reverse=True)
    assert back == files


@pytest.mark.slow
def test_a_fork_of_a_native_release_takes_both_and_keeps_them() -> None:
    _, after = fitted(fork_of("0.30.0"), REJECT, FENCE, nearest="0.30.0")
    plan, same = fitted(after, nearest="0.30.0")
    assert same == after
    assert states(plan)[REJECT] is states(plan)[FENCE] is State.APPLIED


@pytest.mark.parametrize("release", slow_but([], ["0.9.0", "0.22.1", "0.23.0"]))
def test_a_fork_older_than_what_a_topic_completes_is_told_so(release: str) -> None:
    """Every release that has nothing for the topic is one whose scheduler lacks the code: the sign is the same."""
    assert LOCK.releases[release].topics[FENCE].variant is None
    files = fork_of(release)
    with pytest.raises(DoesNotApply, match="has nothing to complete") as refused:
        fitted(files, FENCE, nearest=release)
    assert "has no defer_block_free" in refused.value.what
    assert f"Run without --with {FENCE}, and start bidirectional prefill instances with --no-async-scheduling" in str(
        refused.value
    )
    fitted(files, nearest=release)


SCHEDULER = COMPLETED[FENCE].path
LINES = b"if multiple_inflight_batches and kv_transfer_config.is_kv_consumer:"
MADE = b"if multiple_inflight_batches and self.connector.loads_kv:"


def of_a_release(files: Files, *extra: str, reverse: bool = False) -> Files:
    return run(files, "0.30.0", *extra, reverse=reverse)[1]


def of_a_fork(files: Files, *extra: str, reverse: bool = False) -> Files:
    return fitted(files, *extra, nearest="0.30.0", reverse=reverse)[1]


both = pytest.mark.parametrize(
    ("files", "ran"),
    slow_but([(pristine, of_a_release)], [(pristine, of_a_release), (fork_of, of_a_fork)]),
    ids=["release", "fork"],
)


@both
def test_what_a_topic_s_lines_do_not_fit_is_not_sent_to_a_merge(files: Any, ran: Any) -> None:
    """No merge lays an optional topic: the way out is another than for a default one."""
    tree = files("0.30.0")
    assert tree[SCHEDULER].count(LINES) == 1
    tree[SCHEDULER] = tree[SCHEDULER].replace(LINES, LINES + b"  # ours")
    with pytest.raises(DoesNotApply, match=r"scheduler\.py") as refused:
        ran(tree, FENCE)
    assert f"or run without --with {FENCE}" in str(refused.value)
    assert "3way" not in str(refused.value)
    ran(tree)


@pytest.mark.parametrize(
    ("files", "ran", "path", "old"),
    slow_but(
        [(pristine, of_a_release, SCHEDULER, MADE)],
        [
            (pristine, of_a_release, SCHEDULER, MADE),
            (pristine, of_a_release, "tests/v1/kv_connector/unit/test_bidirectional_fence.py", b"NUM_BLOCKS = 3"),
            (fork_of, of_a_fork, SCHEDULER, MADE),
        ],
    ),
    ids=["release", "release, its test", "fork"],
)
def test_a_topic_that_somebody_edited_is_neither_overlooked_nor_left_behind(
    files: Any, ran: Any, path: str, old: bytes
) -> None:
    """A run that took the rest out, and the receipt with it, would leave a part of the topic in the tree."""
    tree = ran(files("0.30.0"), FENCE)
    assert tree[path].count(old) == 1
    whole = dict(tree)
    tree[path] = tree[path].replace(old, old + b"  # ours")
    for extra, reverse in (((), False), ((FENCE,), False), ((), True)):
        with pytest.raises(
            DoesNotApply, match=rf"Topic {FENCE} is partial in .*, and {re.escape(path)} no longer holds"
        ):
            ran(tree, *extra, reverse=reverse)
        assert ran(whole, *extra, reverse=reverse)  # once the topic's lines are given back


@pytest.mark.slow
def test_a_fork_whose_topic_is_damaged_is_not_taken_for_patched() -> None:
    _, after = fitted(fork_of("0.22.1"), REJECT, nearest="0.22.1")
    after[terms.REFUSAL] = b"KV_BOTH_REFUSED = ''\n"
    with pytest.raises((DoesNotApply, Unproven)):
        fitted(after, REJECT, nearest="0.22.1")


@pytest.mark.parametrize("release", [r for r, row in LOCK.releases.items() if row.topics[FENCE].variant])
def test_the_usage_guide_s_warning_holds_with_the_fence_and_without(release: str) -> None:
    for extra in ((), (FENCE,)):
        _, after = run(pristine(release), release, *extra)
        guide = (after["docs/features/nixl_connector_usage.md"] or b"").decode()
        (warning,) = [line for line in guide.splitlines() if "With bidirectional transfer the prefill instance" in line]
        assert f"Unless the optional topic `{FENCE}` is applied to this tree, the scheduler keeps loads away" in warning
        assert 'leave it on `kv_role="kv_both"`' in warning


# Where no variant's text stands in the connector: the refusal takes the warning's place, whatever stands around it.


@of_releases
def test_the_refusal_made_by_meaning_is_the_variant_s(release: str) -> None:
    """On every release the change made without its text is, byte for byte, the one that is made with it."""
    files = pristine(release)
    _, default = run(files, release)
    _, refusing = run(files, release, REJECT)
    assert connector_by_meaning.refusing(default[connector(files)]) == refusing[connector(files)]


@pytest.fixture
def reworded(tmp_path: Path) -> Path:
    """A fork of 0.22.1 with lines of its own where the topic's hunks would go."""
    files = pristine("0.22.1")
    path = connector(files)
    for old, new in (
        (
            b"from vllm.forward_context",
            b"from vllm.distributed.kv_transfer.ours import mine\nfrom vllm.forward_context",
        ),
        (
            b"        self.kv_cache_config = kv_cache_config\n",
            b"        self.kv_cache_config = mine(kv_cache_config)\n",
        ),
    ):
        assert files[path].count(old) >= 1
        files[path] = files[path].replace(old, new, 1)
    put(tmp_path / "fork", {**files, "vllm/__init__.py": b""})
    return tmp_path / "fork"


def apply(tree: Path, *argv: str) -> Ran:
    return script(ROOT / "tools" / "apply.py", "--into", tree, *argv, "--offline", cwd=tree.parent)


def series_of(tree: Path) -> dict[str, bytes]:
    return {p: d for p, d in contents(tree).items() if not p.startswith(".kv-roles/")}


@pytest.mark.slow
@pytest.mark.parametrize("steps", [[("--with", REJECT)], [(), ("--with", REJECT)]], ids=["at once", "later"])
def test_a_fork_s_own_text_is_given_the_refusal_by_meaning_and_given_back(
    reworded: Path, steps: list[tuple[str, ...]]
) -> None:
    before = contents(reworded)
    for step in steps:
        said = apply(reworded, *step).ok().out
    path = connector(before)
    assert f"{path} (by meaning)" in said
    assert "+            raise ValueError(KV_BOTH_REFUSED)" in said
    after = series_of(reworded)
    assert clauses.refuses(after[path], after[terms.REFUSAL], after[terms.EARLY]) is None
    receipt = json.loads((reworded / ".kv-roles" / "receipt.json").read_bytes())
    jsonschema.validate(receipt, json.loads((ROOT / "docs" / "data" / "receipt.schema.json").read_bytes()))
    assert list(receipt["optional_by_meaning"][REJECT]) == [path]
    for again in ((), ("--with", REJECT), ("--check",)):
        assert "applied already" in apply(reworded, *again).ok().out
        assert series_of(reworded) == after
    apply(reworded, "--reverse").ok()
    assert contents(reworded) == before


@pytest.mark.slow
def test_without_a_topic_that_has_nothing_to_complete_the_run_goes_on(reworded: Path) -> None:
    apply(reworded, "--with", FENCE).refused(1, "has nothing to complete", f"Run without --with {FENCE}")
    apply(reworded).ok()


@pytest.mark.slow
def test_exact_refuses_the_refusal_that_no_variant_s_text_fits(reworded: Path) -> None:
    before = contents(reworded)
    apply(reworded, "--with", REJECT, "--exact").refused(1, "does not apply")
    assert contents(reworded) == before


@pytest.mark.slow
def test_a_refusal_that_no_receipt_knows_is_not_given_a_warning_too(reworded: Path) -> None:
    before = contents(reworded)
    apply(reworded, "--with", REJECT).ok()
    receipt = (reworded / ".kv-roles" / "receipt.json").rename(reworded.parent / "receipt.json")
    left = series_of(reworded)
    for argv in ((), ("--reverse",)):
        apply(reworded, *argv).refused(1, "Topic reject-kv-both is in", "Put back the receipt")
    assert series_of(reworded) == left
    (reworded / ".kv-roles").mkdir(exist_ok=True)
    receipt.rename(reworded / ".kv-roles" / "receipt.json")
    apply(reworded, "--reverse").ok()
    assert contents(reworded) == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"def f(:\n", "does not parse"),
        (
            b"from vllm.distributed.kv_transfer.a import b\nclass C:\n    def __init__(self):\n        pass\n",
            "in 0 places",
        ),
        (
            b"class C:\n    def __init__(self, c):\n        if c.kv_role == 'kv_both':\n            w()\n",
            "imports nothing",
        ),
    ],
)
def test_a_connector_that_is_not_understood_is_not_changed(text: bytes, why: str) -> None:
    with pytest.raises(Unclear, match=why):
        connector_by_meaning.refusing(text)
