"""What CI installs: every file by its hash, from no named place, in versions that pyproject.toml allows."""

from __future__ import annotations

import importlib.metadata
import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.docs import ROOT

CI = ROOT / ".ci"
SETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = runpy.run_path(str(CI / "lock.py"))["SETS"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SELF = canonicalize_name(PROJECT["name"])
NEEDS_PROJECT = sorted(SETS.keys() - {"pip", "release"})


class Pin(NamedTuple):
    requirement: Requirement
    hashes: list[str]

    @property
    def version(self) -> str:
        (only,) = self.requirement.specifier
        assert only.operator == "=="
        return only.version


def pins(path: Path) -> dict[str, Pin]:
    """The packages of a requirements file by name; one that is named twice fails."""
    out: dict[str, Pin] = {}
    for entry in path.read_text().replace("\\\n", " ").splitlines():
        words, *hashes = entry.partition("#")[0].split(" --hash=")
        if not words.strip():
            continue
        pin = Pin(Requirement(words.strip()), [h.strip() for h in hashes])
        name = canonicalize_name(pin.requirement.name)
        assert name not in out, f"{path.name} names {name} twice"
        out[name] = pin
    return out


def asked_for(extras: tuple[str, ...]) -> list[Requirement]:
    """What pyproject.toml wants for ``extras``, those of the project itself followed."""
    found = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra in extras:
        for line in PROJECT["optional-dependencies"][extra]:
            requirement = Requirement(line)
            own = canonicalize_name(requirement.name) == SELF
            found += asked_for(tuple(requirement.extras)) if own else [requirement]
    return found


@pytest.mark.parametrize("name", sorted(SETS))
def test_every_package_is_pinned_and_its_files_are_known_by_hash(name: str) -> None:
    found = pins(CI / "lock" / f"{name}.txt")
    assert found
    for package, pin in found.items():
        assert pin.version, package
        assert pin.hashes, f"{package} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in pin.hashes), package


@pytest.mark.parametrize("name", NEEDS_PROJECT)
def test_a_lock_gives_what_pyproject_asks_for(name: str) -> None:
    found = pins(CI / "lock" / f"{name}.txt")
    extras, beside = SETS[name]
    for requirement in [*asked_for(extras), *map(Requirement, beside)]:
        package = canonicalize_name(requirement.name)
        assert package in found, f"{package} is in pyproject.toml and not in the lock: run python .ci/lock.py"
        assert requirement.specifier.contains(found[package].version, prereleases=True), (
            f"{requirement}: run .ci/lock.py"
        )


@pytest.mark.parametrize("name", sorted(SETS.keys() - {"pip"}))
def test_a_lock_holds_what_its_packages_need_in_turn(name: str) -> None:
    """Looked at where a package is installed here in the locked version; at least one is."""
    found = pins(CI / "lock" / f"{name}.txt")
    looked_at = []
    for package, pin in found.items():
        try:
            here = importlib.metadata.distribution(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        if here.version != pin.version:
            continue
        looked_at.append(package)
        for line in here.requires or []:
            need = Requirement(line)
            extra = [*pin.requirement.extras, ""]
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in extra):
                assert canonicalize_name(need.name) in found, f"{package} needs {need}"
    if not looked_at:
        pytest.skip(f"no package of {name}.txt is installed here in its locked version")


def test_the_sets_and_the_constraints_name_the_same_versions() -> None:
    constraints = pins(CI / "constraints.txt")
    for name in SETS:
        for package, pin in pins(CI / "lock" / f"{name}.txt").items():
            assert constraints[package].version == pin.version, f"{package} in {name}.txt: run python .ci/lock.py"


def test_no_lock_names_an_address_or_an_option_of_an_index() -> None:
    for path in [CI / "constraints.txt", *(CI / "lock").iterdir()]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.name}:{number}: {line}"
            assert "://" not in line, where
            assert "@" not in line, where
            assert not line.startswith("-"), where


def test_there_is_no_lock_that_no_set_makes() -> None:
    assert {p.stem for p in (CI / "lock").iterdir()} == set(SETS)


def test_a_file_of_another_hash_is_refused(tmp_path: Path) -> None:
    """pip's own check, on a file of ours under the name that a lock gives the hash of: installing ends before it."""
    pin = pins(CI / "lock" / "pip.txt")["pip"]
    (tmp_path / f"pip-{pin.version}-py3-none-any.whl").write_bytes(b"not the wheel")
    words = [
        "install",
        "--require-hashes",
        "--no-index",
        "--find-links",
        str(tmp_path),
        "--target",
        str(tmp_path / "to"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, "-r", CI / "lock" / "pip.txt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("name", sorted(SETS.keys() - {"pip"}))
def test_what_ci_installs_is_checked_by_hash(tmp_path: Path, name: str) -> None:
    """The script that all of CI installs with: pip first, then the set, both by hash; the project last and alone."""
    python = tmp_path / "a python"
    python.write_text(
        f'#!/bin/sh\nprintf "%s " "$@" "constraint=$PIP_CONSTRAINT$PIP_BUILD_CONSTRAINT" >> "{tmp_path}/asked"\necho >> "{tmp_path}/asked"\n'
    )
    python.chmod(0o755)
    env = {**os.environ, "PIP_CONSTRAINT": "x", "PIP_BUILD_CONSTRAINT": "x"}
    subprocess.run([CI / "install", name, python], check=True, cwd=tmp_path, env=env)
    first, second, *project = (tmp_path / "asked").read_text().splitlines()
    for line, lock in ((first, "pip"), (second, name)):
        assert line.startswith("-P -m pip "), "a pip.py in the current folder would be run"
        assert "--require-hashes --only-binary :all:" in line
        assert f"-r {CI}/lock/{lock}.txt constraint= " in line
    if name == "release":
        assert project == []
    else:
        assert ["--no-index --no-deps --no-build-isolation" in line for line in project] == [True]
