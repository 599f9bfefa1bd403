"""No verdict changes unseen: those over the corpus and the fuzzers' inputs are kept, and are written anew by a command."""

from __future__ import annotations

import pytest
from support import fuzz_inputs, verdicts


@pytest.mark.parametrize("folder", verdicts.folders())
def test_the_verdicts_are_those_that_are_kept(folder: str) -> None:
    found = verdicts.verdicts(folder)
    kept = {place: said for place, said in verdicts.kept().items() if place.startswith(f"{folder}/")}
    changed = [f"{p}: {kept.get(p)} -> {found.get(p)}" for p in sorted({*found, *kept}) if kept.get(p) != found.get(p)]
    assert not changed, "\n".join([*changed, "if all of that is meant: python tests/support/verdicts.py --write"])


def test_every_kept_verdict_is_of_a_folder_that_is_judged() -> None:
    assert {"/".join(place.split("/")[:2]) for place in verdicts.kept()} <= set(verdicts.folders())


def test_the_inputs_of_every_fuzzer_of_files_are_judged() -> None:
    kept = {path.stem.removeprefix("migrate-") for path in fuzz_inputs.ROOM.glob("migrate-*.txt")}
    assert kept - set(verdicts.NAMES) == set()
