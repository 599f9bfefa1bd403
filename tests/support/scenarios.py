"""Every command that writes, as a scenario that a test can spoil: what lies there before, what after, and what a user may see.

``spoilt`` runs one once, with one moment of it spoilt, and asserts the promise: whatever happens, the target is the old state
or the new, or one that a journal decides and the next run finishes; nothing else is touched; and nothing is a traceback.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import tiny, wheels
from .driver import KILLED, How, Ran, Spoil, is_a_paragraph
from .files import put, snapshot

Snapshot = dict[str, tuple[object, ...]]
Tool = Callable[..., Ran]
SITE = f"env/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
NAMES = ("new tree", "into", "reverse", "add a topic", "vendor wheel", "vendor install", "vendor uninstall", "migrate")


@dataclass
class Scenario:
    """A command on a workshop folder: the folder before it and after it, and the number of its moments."""

    name: str
    tool: Tool
    argv: tuple[str, ...]
    template: Path  # the folder before, to be copied
    before: Snapshot = field(default_factory=dict)
    after: Snapshot = field(default_factory=dict)
    points: int = 0
    undo: tuple[str, ...] | None = None  # the command that leads back

    def run(self, shop: Path, spoil: Spoil | None = None, *more: str) -> Ran:
        return self.tool(*self.argv, *more, cwd=shop, spoil=spoil)

    def fresh(self, shop: Path) -> Path:
        """The folder before, at ``shop``."""
        shutil.rmtree(shop, ignore_errors=True)
        return shutil.copytree(self.template, shop, symlinks=True)

    def moments(self, at_most: int) -> Iterator[int]:
        """Moments from the last to the first: all of them, or ``at_most`` spread over the whole run."""
        step = max(1.0, self.points / at_most)
        yield from sorted({self.points - int(i * step) for i in range(min(at_most, self.points))}, reverse=True)


def make(name: str, tools: dict[str, Tool], project: tiny.Tiny, folder: Path) -> Scenario:
    """The scenario ``name``, run once unspoilt below ``folder`` to learn its states and moments."""
    template = folder / "before"
    template.mkdir(parents=True)
    site = ("--site-packages", SITE)
    match name:
        case "new tree":
            tool, argv, undo = "apply", ("--vllm-rev", "0.22.1", "--output", "vllm"), ("--into", "vllm", "--reverse")
        case "into" | "reverse" | "add a topic":
            project.unpack(template / "vllm")
            if name != "into":
                tools["apply"]("--into", "vllm", cwd=template).ok()
            tool, argv, undo = "apply", ("--into", "vllm"), ("--into", "vllm", "--reverse")
            argv += {"into": (), "reverse": ("--reverse",), "add a topic": ("--with", "louder")}[name]
        case "vendor wheel":
            wheel = wheels.make(template / "in")
            tool, undo = "vendor", None
            argv = ("wheel", "--vllm-rev", "0.22.1", "--wheel", f"in/{wheel.name}", "--output", "out")
        case "vendor install" | "vendor uninstall":
            wheels.installed(template / "env", wheels.make(folder / "in"))
            if name == "vendor uninstall":
                tools["vendor"]("install", *site, cwd=template).ok()
            tool, argv, undo = "vendor", (name.split()[1], *site), ("uninstall", *site)
        case _:
            put(template, _CONFIGS)
            tool, argv, undo = "migrate", ("--write", "."), None
    out = Scenario(name, tools[tool], argv, template, snapshot(template), undo=undo)
    model = out.fresh(folder / "model")
    ran = out.run(model, Spoil(How.COUNT, 0))
    assert ran.code == 0, ran
    out.after, out.points = snapshot(model), ran.points
    assert out.after != out.before
    assert out.points > 10
    shutil.rmtree(model)
    return out


_JSON = b'\'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\''
_CONFIGS = {
    "prefill.sh": b"vllm serve m --kv-transfer-config " + _JSON + b"\n",
    "decode.sh": b"vllm serve m --kv-transfer-config " + _JSON + b"\n",
    "k8s/prefill.yaml": b"args: [serve, m, --kv-transfer-config, " + _JSON + b"]\n",
    "k8s/notes.md": b"nothing to see\n",
}


def core(now: Snapshot) -> Snapshot:
    """What a user reads: all but what lies under a name of ours (journal, stage, lock, unfinished files) and bytecode."""
    return {
        p: e
        for p, e in now.items()
        if not any(
            part.startswith(".kv-roles") or ".kv-roles." in part or part.endswith(".part") for part in p.split("/")
        )
        and not p.endswith(".pyc")
    }


def state(scenario: Scenario, shop: Path) -> str:
    """``old``, ``new``, or ``partial`` where the next run is told so; AssertionError for anything else."""
    now, old, new = (core(s) for s in (snapshot(shop), scenario.before, scenario.after))
    if now == old:
        return "old"
    if now == new:
        return "new"
    for path in now.keys() | old.keys() | new.keys():  # every file is old or new, whole, or not there yet
        assert now.get(path) in (old.get(path), new.get(path)), (path, now.get(path))
    journals = [p for p in snapshot(shop) if p.endswith(".kv-roles/journal.json")]
    if scenario.name == "migrate":  # file by file; what is left is found by the next run
        return "partial"
    if scenario.name == "vendor wheel" and not [p for p in now if p.startswith("out/") and p.endswith(".whl")]:
        return "old"  # the wheel comes last
    assert journals, sorted(now.keys() ^ old.keys())
    return "partial"


def spoilt(scenario: Scenario, spoil: Spoil, shop: Path) -> str:
    """Run ``scenario`` with ``spoil``, assert what must hold then and after another run; the state that was left."""
    scenario.fresh(shop)
    ran = scenario.run(shop, spoil)
    left = state(scenario, shop)
    if spoil.how is How.KILL:
        assert ran.code in (KILLED, 0), (spoil, ran)
    elif ran.code == 0:
        assert left == "new", (spoil, ran)
    else:
        assert ran.code in (1, 3, 4), (spoil, ran)
        if scenario.name != "migrate":
            is_a_paragraph(ran.err)
        if left == "partial" and scenario.name != "migrate":
            assert "run again" in ran.said, ran
    if left == "partial" and scenario.argv[0] in ("--into", "--vllm-rev"):
        scenario.run(shop, None, "--check").refused(3, "interrupted", "Run again without --check")
    if scenario.undo and scenario.name.startswith("vendor"):
        verified(scenario, shop, left)
    if scenario.undo and left != "old" and scenario.name not in ("reverse", "vendor uninstall"):
        undo(scenario, shop, spoil)
    again = scenario.run(shop)
    assert again.code == 0, (spoil, again)
    assert snapshot(shop) == scenario.after, (spoil, _difference(snapshot(shop), scenario.after))
    return left


def verified(scenario: Scenario, shop: Path, left: str) -> None:
    """``vendor.py verify`` knows which state was left."""
    proof = scenario.tool("verify", "--site-packages", SITE, cwd=shop)
    if left == "partial":
        proof.refused(3, "is partial")
    elif proof.code and (shop / SITE / ".kv-roles").exists():  # what could not be cleared away may be taken for more
        assert proof.code == 3
    elif (left == "new") is (scenario.argv[0] == "install"):
        assert proof.code == 0, proof
    else:
        proof.refused(3, "is as vLLM 0.22.1 ships it")


def undo(scenario: Scenario, shop: Path, spoil: Spoil) -> None:
    """From the state that was left, the command that takes the patch out leads to the files as they were."""
    assert scenario.undo is not None
    other = shutil.copytree(shop, shop.with_name("other"), symlinks=True)
    scenario.tool(*scenario.undo, cwd=other).ok()
    now = {p: e for p, e in core(snapshot(other)).items() if e[0] == "file"}
    if scenario.name in ("into", "vendor install"):
        assert now == {p: e for p, e in core(scenario.before).items() if e[0] == "file"}, spoil
    else:
        assert {p.removeprefix("vllm/"): e[2] for p, e in now.items()} == tiny.pristine("0.22.1"), spoil
    assert not [p for p in snapshot(other) if p.endswith(("journal.json", "stage"))], spoil
    shutil.rmtree(other)


def _difference(a: Snapshot, b: Snapshot) -> list[str]:
    return sorted(p for p in a.keys() | b.keys() if a.get(p) != b.get(p))


def sweep(scenario: Scenario, spoils: Sequence[Spoil], folder: Path) -> dict[str, int]:
    """Spoil ``scenario`` in each way; how many runs left which state."""
    left = Counter(spoilt(scenario, spoil, folder / "shop") for spoil in spoils)
    return {"points": scenario.points, "runs": len(spoils), **{kind: left[kind] for kind in ("old", "new", "partial")}}
