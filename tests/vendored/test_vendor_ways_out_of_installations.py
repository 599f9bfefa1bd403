"""The commands that a refusal of an installation names are pasted, and the installation is then patched and proven.

All happens in a folder with a blank in its name. Each case is named for the place that makes its refusal, as refusals.tsv does.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import wheels
from support.advice import commands, pasted
from support.driver import Ran
from support.files import put
from support.refusals import place_of
from support.tiny import CONNECTOR, Tiny

pytestmark = pytest.mark.slow

Vendor = Callable[..., Ran]
INFO = "vllm-0.22.1.dist-info"
RECEIPT = f"{INFO}/kv-roles/receipt.json"
RECORD = f"{INFO}/RECORD"
# The lock's hash or the fit by context vouches for the files before the contract is asked: nothing outside makes it break.
BROKEN = """
from kvroles.vendored import part
part.broken = lambda *args: "one breach"
"""
MUTE = wheels.package("0.22.1")["vllm/logger.py"].replace(b"self.warning(text)", b"pass")


def receipt(site: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Another receipt, which RECORD does not know."""
    told = json.loads((site / RECEIPT).read_bytes())
    change(told)
    put(site, {RECEIPT: json.dumps(told).encode()})


def recorded(site: Path, path: str, hashed: str) -> None:
    """Another row of ``path`` in RECORD."""
    row = re.compile(rf"^{re.escape(path)},.*$".encode(), re.MULTILINE)
    put(site, {RECORD: row.sub(f"{path},{hashed},1".encode(), (site / RECORD).read_bytes())})


def edit(site: Path) -> None:
    put(site, {CONNECTOR: (site / CONNECTOR).read_bytes() + b"# ours\n"})


def folder(site: Path) -> None:
    (site / CONNECTOR).unlink()
    put(site / CONNECTOR, {"x": b""})


class Case(NamedTuple):
    """How a patched installation is damaged so that ``place`` refuses it, and what the message says."""

    place: str
    says: str
    damage: Callable[[Path], object]
    line: str = "verify"
    first: str = ""  # a fault of the run itself


CASES = [
    Case("installed.census._inside.1", "outside of the environment",
         lambda s: put(s, {RECORD: (s / RECORD).read_bytes() + b"../../../../outside,,\n"})),
    Case("installed.change._back.1", "was changed since it was patched", edit, "uninstall"),
    Case("installed.change._original.1", "missing or damaged", lambda s: put(s, {f"{INFO}/kv-roles/originals/{CONNECTOR}": b"x"}), "uninstall"),
    Case("installed.proof._contract_holds.1", "The contract does not hold", lambda _: None, first=BROKEN),
    Case("installed.proof._disagree.1", "disagree", lambda s: recorded(s, CONNECTOR, "sha256=" + "A" * 43)),
    Case("installed.proof._how.1", "its receipt says it is patched", lambda s: put(s, {CONNECTOR: wheels.package("0.22.1")[CONNECTOR]})),
    Case("installed.proof._how.2", "there is no receipt", lambda s: (s / RECEIPT).unlink()),
    Case("installed.proof._how.3", "about another release", lambda s: receipt(s, lambda r: r.update(release="0.9.0"))),
    Case("installed.proof._how.4", "is not what the receipt says",
         lambda s: receipt(s, lambda r: r["files"][CONNECTOR].update(after="0" * 64))),
    Case("installed.proof._how.5", "leaves out what was patched", lambda s: receipt(s, lambda r: r.update(files={}))),
    Case("installed.proof._states.2", "is edited", edit),
    Case("installed.proof.read.1", "cannot be read", folder),
    Case("installed.proof.refuse.1", "--strict refuses that", lambda s: put(s, {"vllm/logger.py": b"# ours\n"
         + wheels.package("0.22.1")["vllm/logger.py"]}), "verify --strict"),
    Case("installed.proof.verify.2", "is not what its bytes promise", lambda s: put(s, {"vllm/logger.py": MUTE})),
    Case("receipt.loads.1", "is damaged", lambda s: put(s, {RECEIPT: b"["})),
    Case("record._damaged.1", "is damaged", lambda s: put(s, {RECORD: b"vllm/__init__.py,md5=AAAA,1\n"})),
]  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a blank in its name."""
    home = tmp_path / "my work"
    home.mkdir()
    return home


def taken(refused: Ran, wheel: Path, home: Path) -> None:
    """Run each command of the message. pip gets the wheel from a folder in place of an index, and runs from here."""
    ways = commands(refused.said)
    assert ways, refused.said
    for way in ways:
        if " -m pip " in way:
            python, _, words = way.partition(" -m pip ")
            to = shlex.join(["--python", *shlex.split(python)])
            index = shlex.join(["--no-index", "--find-links", str(wheel.parent), "--no-compile"])
            way = f"{shlex.quote(sys.executable)} -m pip {to} {words} {index}"
        pasted(way, home)


@pytest.mark.parametrize("case", CASES, ids=[c.place for c in CASES])
def test_a_fix_line_of_verify_leads_to_a_proven_installation(
    vendor: Vendor, wheel: Path, home: Path, case: Case
) -> None:
    """Where the line ends at a reinstalled vLLM, ``verify`` then says that it is not patched, and names ``install``."""
    site = wheels.installed(home / "an env", wheel)
    put(home, {"outside": b"theirs\n"})
    vendor("install", "--site-packages", site).ok()
    case.damage(site)
    refused = vendor(*case.line.split(), "--site-packages", site, note=True, first=case.first)
    assert refused.code in (1, 3), refused
    assert place_of(refused.made[-1]) == case.place, (refused.err, refused.made)
    assert case.says in refused.said, refused.said
    taken(refused, wheel, home)
    if not any("vendor.py install" in way for way in commands(refused.said)):
        never = vendor("verify", "--site-packages", site).refused(3, "as vLLM 0.22.1 ships it")
        taken(never, wheel, home)
    vendor("verify", "--site-packages", site, "--strict").ok()
    assert (home / "outside").read_bytes() == b"theirs\n"


def a_link(home: Path) -> tuple[Path, Path]:
    tree = put(home / "src", wheels.package("0.22.1"))
    site = wheels.environment(home / "an env")
    (site / "vllm").symlink_to(tree / "vllm")
    return tree, site.parents[2] / "bin/python"


def editable(home: Path) -> tuple[Path, Path]:
    tree = put(home / "src", wheels.package("0.22.1"))
    site = wheels.environment(home / "an env")
    direct = json.dumps({"url": tree.as_uri(), "dir_info": {"editable": True}}).encode()
    info = {
        "__editable__.vllm.pth": f"{tree}\n".encode(),
        f"{INFO}/METADATA": b"Name: vllm\nVersion: 0.22.1\n",
        f"{INFO}/direct_url.json": direct,
    }
    put(site, info | {RECORD: wheels.record(info, RECORD)})
    return tree, site.parents[2] / "bin/python"


def copied(home: Path) -> tuple[Path, Path]:
    site = wheels.environment(home / "an env")
    put(site, wheels.package("0.22.1"))
    return site, site.parents[2] / "bin/python"


NOT_INSTALLED = {
    "installed.distribution._not_in_place.1": (a_link, "is a link to"),
    "installed.distribution._not_in_place.2": (editable, "an editable install of"),
    "installed.distribution._not_in_place.3": (copied, "no distribution there lists it in a RECORD"),
}


@pytest.mark.parametrize("place", NOT_INSTALLED)
def test_a_package_that_no_record_vouches_for_is_patched_by_the_line_that_is_printed(
    vendor: Vendor, tiny: Tiny, home: Path, place: str
) -> None:
    lay, says = NOT_INSTALLED[place]
    tree, python = lay(home)
    where = ("--python", python)
    refused = vendor("install", *where, note=True).refused(1, says)
    assert place_of(refused.made[-1]) == place
    pasted(commands(refused.said)[0], home)
    assert (tree / CONNECTOR).read_bytes() == tiny.applied()[CONNECTOR]
    assert "kv_both: warns once" in vendor("verify", *where).ok().out
    vendor("uninstall", *where).ok()
    assert (tree / CONNECTOR).read_bytes() == wheels.package("0.22.1")[CONNECTOR]
