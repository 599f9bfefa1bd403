"""The command that a refusal of ``vendor.py wheel`` names fetches a wheel that can be built from.

All happens in a folder with a blank in its name. Each case is named for the place that makes its refusal, as refusals.tsv does.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support import tiny as project
from support import wheels
from support.advice import commands, pasted
from support.driver import Driver, Ran
from support.refusals import place_of
from support.tiny import Tiny

pytestmark = pytest.mark.slow

Vendor = Callable[..., Ran]
BUILD = ("wheel", "--vllm-rev", "0.22.1", "--output", "a shelf", "--wheel")


class Case(NamedTuple):
    """``bad`` makes, below a folder, the wheel that ``place`` refuses, from a good one; ``says`` is in the message."""

    place: str
    says: str
    bad: Callable[[Path, Path], object]


def without_a_date(folder: Path, good: Path) -> None:
    """METADATA was made in month 0: what a zip file says that was written without a date."""
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(folder / good.name, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith("/METADATA"):
                info.date_time = (1980, 0, 0, 0, 0, 0)
            new.writestr(info, data)


CASES = [
    Case("wheel.build.run.3", "holds the receipt of a vendored build",
         lambda f, _: wheels.make(f, change={"{info}/kv-roles/receipt.json": b"{}"})),
    Case("wheel.rawzip._damaged.1", "leading out of it", lambda f, _: wheels.make(f, change={"../x": b""})),
    Case("wheel.wheel._check_record.1", "is not what its RECORD says", lambda f, _: wheels.make(f, unrecorded={wheels.LIBRARY: b"x"})),
    Case("wheel.wheel._check_record.2", "which its RECORD lists", lambda f, _: wheels.make(f, unrecorded={wheels.LIBRARY: None})),
    Case("wheel.wheel._date.1", "has no date", without_a_date),
    Case("wheel.wheel._field.1", "has no Version", lambda f, _: wheels.make(f, change={"{info}/METADATA": b"Name: vllm\n\n"})),
    Case("wheel.wheel._named_alike.1", "two versions of itself",
         lambda f, good: wheels.make(f, "0.21.0").rename(f / good.name)),
    Case("wheel.wheel._read.1", "is not a wheel of vLLM", lambda f, _: wheels.make(f, change={"vllm/__init__.py": None})),
    Case("wheel.wheel._read.2", "no signature survives a change", lambda f, _: wheels.make(f, unrecorded={"{info}/RECORD.jws": b"{}"})),
    Case("wheel.wheel.read.2", "is damaged", lambda f, good: (f / good.name).write_bytes(good.read_bytes()[:-2000])),
]  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a blank in its name."""
    home = tmp_path / "my work"
    (home / "a wheel").mkdir(parents=True)
    return home


def fetched(vendor: Vendor, case: Case, wheel: Path, home: Path) -> Path:
    """Pasted as it is printed; pip's environment names a folder in place of the index."""
    case.bad(home / "a wheel", wheel)
    (bad,) = (home / "a wheel").iterdir()
    refused = vendor(*BUILD, bad, cwd=home, note=True)
    assert refused.code in (1, 2, 3), refused
    assert place_of(refused.made[-1]) == case.place, (refused.err, refused.made)
    assert case.says in refused.said
    (way,) = commands(refused.said)
    pasted(way, home, PIP_NO_INDEX="1", PIP_FIND_LINKS=wheel.parent.as_uri())
    return home / "fetched" / wheel.name


@pytest.mark.parametrize("case", CASES, ids=[c.place for c in CASES])
def test_the_command_that_fetches_a_wheel_again_gets_one_that_can_be_built_from(
    vendor: Vendor, wheel: Path, home: Path, case: Case
) -> None:
    vendor(*BUILD, fetched(vendor, case, wheel, home), cwd=home).ok()


def test_in_place_of_a_wheel_that_an_earlier_series_patched_the_official_one_is_fetched(
    vendor: Vendor, tiny: Tiny, wheel: Path, home: Path, tmp_path: Path
) -> None:
    later = project.next_series(tiny, tmp_path / "later").root
    driver = Driver(later / "tools", later, "vendor")

    def patched(folder: Path, good: Path) -> None:
        vendor("wheel", "--vllm-rev", "0.22.1", "--wheel", good, "--output", tmp_path / "out").ok()
        (made,) = (tmp_path / "out").glob("*.whl")
        made.rename(folder / made.name)

    try:
        case = Case("wheel.build.run.2", "was patched by an earlier series of this project", patched)
        driver.run(*BUILD, fetched(driver.run, case, wheel, home), cwd=home).ok()
    finally:
        driver.close()
