"""Every release, the real class: vLLM imported from the patched tree, NixlConnector constructed in every role.

Each release takes an import of vLLM (10 to 30 s) and one process per construction; releases run side by
side, one per core, so the first test waits longest.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from kvroles.series import project
from kvworkshop.runtime import construct
from kvworkshop.runtime.construct import Outcome
from kvworkshop.runtime.environments import Say, for_source, interpreter
from support.vllm_runs import QUERY, TESTS_OF, patched, patched_from_wheel, pristine

pytestmark = pytest.mark.behaviour

_, LOCK = project.load()
Constructions = dict[str, "Future[list[Outcome]]"]


@pytest.fixture(scope="module")
def constructions(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, say: Say
) -> Iterator[Constructions]:
    """What each selected release did, as futures that are worked on from the first test on."""
    chosen = dict.fromkeys(
        item.callspec.params["release"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    )
    interpreters = {name: interpreter(name, say) for name in dict.fromkeys(map(for_source, chosen))}
    home = tmp_path_factory.mktemp("trees")

    def one(release: str) -> list[Outcome]:
        folder = home / release
        try:
            if release in TESTS_OF:
                patched_from_wheel(LOCK.releases[release], folder, say)
            else:
                patched(release, folder)
            outcomes = construct.construct(interpreters[for_source(release)], folder, release)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        say(f"vLLM {release}: {len(outcomes)} constructions")
        return outcomes

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {release: pool.submit(one, release) for release in chosen}


@pytest.fixture
def outcomes(constructions: Constructions, release: str) -> list[Outcome]:
    return constructions[release].result()


def about_roles(outcome: Outcome) -> list[str]:
    return [w for w in outcome.warnings if "kv_role" in w or "kv_both" in w]


every_release = pytest.mark.parametrize("release", LOCK.releases)


@every_release
def test_every_case_constructs_the_class_it_names(outcomes: list[Outcome], release: str) -> None:
    assert [o.case for o in outcomes] == construct.cases(release)
    assert [(o.case, o.error) for o in outcomes if o.error] == []
    for outcome in outcomes:
        alias = "NixlPullConnector" if outcome.made == "NixlPullConnector" else "NixlConnector"
        own = alias if outcome.case.connector == "NixlConnector" else outcome.case.connector
        assert outcome.made == ("MultiConnector" if outcome.case.parent_role else own)


@every_release
def test_both_warns_once_and_names_the_replacements(outcomes: list[Outcome]) -> None:
    of_both = [o for o in outcomes if o.case.kv_role == "kv_both"]
    assert len(of_both) * 3 == len(outcomes)
    for outcome in of_both:
        (warning,) = about_roles(outcome)
        assert re.search(QUERY, warning), (outcome.case, warning)
        assert "kv_role='kv_producer'" in warning
        assert "kv_role='kv_consumer'" in warning


@every_release
def test_explicit_roles_are_silent(outcomes: list[Outcome]) -> None:
    explicit = [o for o in outcomes if o.case.kv_role != "kv_both"]
    assert explicit
    assert [(o.case, about_roles(o)) for o in explicit if about_roles(o)] == []


def test_an_unpatched_tree_does_not_warn(tmp_path: Path, say: Say) -> None:
    """What the tests above see is the series' doing: without it the same run says nothing."""
    tree = pristine("0.22.1", tmp_path / "tree")
    seen = construct.construct(interpreter(for_source("0.22.1"), say), tree, "0.22.1")
    assert seen
    assert [o for o in seen if about_roles(o) or o.error] == []
