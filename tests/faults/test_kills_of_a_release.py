"""Real vLLM 0.22.1, killed at moments spread over the whole run: what the small project of ``test_kills.py`` is too small for.

A new tree changes the file system some 10,000 times; 500 of these moments are tried, every one of ``--into`` and ``--reverse``.
Each time the whole tree's digest is compared with the lock's, which the archive itself gave.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kvroles.digest import sha256, tree_digest
from kvroles.series import project
from kvroles.series.lock import TreeRow
from support.driver import KILLED, Driver, How, Ran, Spoil
from support.files import contents

pytestmark = [pytest.mark.sweep, pytest.mark.upstream]

RELEASE, MOMENTS, PARTS = "0.22.1", 500, 10
TOOLS = Path(__file__).resolve().parents[2] / "tools"
COMMANDS = {
    "new tree": ("--vllm-rev", RELEASE, "--output", "vllm"),
    "into": ("--into", "vllm"),
    "reverse": ("--into", "vllm", "--reverse"),
}
Keep = Callable[[str, str, dict[str, Any]], None]


@pytest.fixture(scope="module")
def tool(shim: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    driver = Driver(TOOLS, tmp_path_factory.mktemp("apply"), shim=shim)
    yield driver
    driver.close()


def digest(tree: Path) -> str | None:
    """The digest of ``tree`` without what is ours; None when there is no such tree."""
    if not tree.exists():
        return None
    return tree_digest({p: sha256(d) for p, d in contents(tree).items() if not p.startswith(".kv-roles")})


def undo(name: str, tool: Driver, folder: Path) -> None:
    """From the state that ``name`` leads to back to the one it starts from."""
    if name == "new tree":
        shutil.rmtree(folder / "vllm")
    else:
        assert tool.run(*COMMANDS["reverse" if name == "into" else "into"], cwd=folder).code == 0


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", COMMANDS)
def test_500_kills(name: str, part: int, tool: Driver, tmp_path: Path, figures: Keep) -> None:
    """Each part is a tenth of the moments, spread over the whole run: minutes, where the whole takes an hour."""
    _, lock = project.load()
    row = lock.releases[RELEASE].tree
    assert isinstance(row, TreeRow)
    tree = tmp_path / "vllm"
    old: str | None
    old, new = {"new tree": (None, row.after), "into": (row.before, row.after), "reverse": (row.after, row.before)}[
        name
    ]

    if name != "new tree":
        assert tool.run(*COMMANDS["new tree"], cwd=tmp_path).code == 0
    if name == "into":
        undo(name, tool, tmp_path)
    assert digest(tree) == old
    points = tool.run(*COMMANDS[name], cwd=tmp_path, count=True).points
    assert digest(tree) == new
    step = max(1.0, points / MOMENTS)
    moments = sorted({points - int(i * step) for i in range(min(MOMENTS, points))})[part::PARTS]

    left: Counter[str] = Counter()
    for moment in moments:
        undo(name, tool, tmp_path)
        ran = tool.run(*COMMANDS[name], cwd=tmp_path, spoil=Spoil(How.KILL, moment))
        assert ran.code in (KILLED, 0), (moment, ran)
        left[state(digest(tree), old, new, tool, tmp_path)] += 1
        again = tool.run(*COMMANDS[name], cwd=tmp_path)
        assert again.code == 0, (moment, again)
        assert digest(tree) == new, moment
    found = {kind: left[kind] for kind in ("old", "new", "partial")}
    figures("kills", f"{name}, vLLM {RELEASE}", {"points": points, "runs": len(moments), **found, "lost_or_mixed": 0})


def state(now: str | None, old: str | None, new: str, tool: Driver, folder: Path) -> str:
    """Which state a kill left; a tree that is neither must be told from a whole one, by exit code 3."""
    if now == old:
        return "old"
    if now == new:
        return "new"
    asked: Ran = tool.run("--into", "vllm", "--check", cwd=folder)
    asked.refused(3, "interrupted")
    return "partial"
