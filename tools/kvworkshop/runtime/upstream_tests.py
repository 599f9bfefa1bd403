"""Run upstream's own unit tests that touch NIXL on a tree, and compare the patched tree with the pristine one."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from kvroles.contract import terms
from kvroles.errors import Unproven

from kvworkshop.runtime.environments import Interpreter, Say
from kvworkshop.runtime.servers import free_ports
from kvworkshop.runtime.trees import variables

UNIT = Path("tests/v1/kv_connector/unit")
TOUCHES_NIXL = re.compile(r"nixl|create_vllm_config", re.IGNORECASE)
"""Says NIXL itself, or takes its configuration from the helper whose default connector it is."""

DRIVERS = Path(__file__).with_name("drivers")
TEST_TIMEOUT_S = 900
RUN_TIMEOUT_S = 7200.0
AGAIN = 3
"""How often the files of a test that differs between the trees are run again, on both."""

BAD = ("failed", "error")


@dataclass(frozen=True)
class Run:
    """One run: test id -> ``passed``, ``failed``, ``error`` or ``skipped``; and why, for all but the first."""

    outcomes: dict[str, str]
    reasons: dict[str, str]
    seconds: float

    def count(self) -> dict[str, int]:
        """How many tests had each outcome."""
        kinds = ("passed", "failed", "error", "skipped")
        return {kind: sum(o == kind for o in self.outcomes.values()) for kind in kinds}


@dataclass(frozen=True)
class Comparison:
    """The pristine tree's run beside the patched tree's, and such pairs of the files that were run again."""

    before: Run
    after: Run
    again: tuple[tuple[Run, Run], ...] = ()

    @property
    def differing(self) -> list[str]:
        """Tests whose outcome differs in the first pair, better or worse, and the failures among those that the series adds."""
        before, after = self.before.outcomes, self.after.outcomes
        changed = [test for test, outcome in before.items() if after.get(test) != outcome]
        return changed + [test for test, outcome in after.items() if outcome in BAD and test not in before]

    @property
    def unsteady(self) -> list[str]:
        """The tests of ``differing`` whose difference does not come from the series.

        Without the series their outcome changes from run to run, or every further run with the series ends as the first run
        without it did. A test that only the patched tree has is never one of them.
        """
        return [test for test in self.differing if test in self.before.outcomes and self._unsteady(test)]

    @property
    def lost(self) -> list[str]:
        """Tests that passed before the series and do not after it."""
        steady = set(self.differing) - set(self.unsteady)
        return [test for test, outcome in self.before.outcomes.items() if outcome == "passed" and test in steady]

    @property
    def new_failures(self) -> list[str]:
        """Tests that fail after the series and did not before it, those it adds included."""
        steady = set(self.differing) - set(self.unsteady)
        bad = [test for test, outcome in self.after.outcomes.items() if outcome in BAD and test in steady]
        return [test for test in bad if self.before.outcomes.get(test) not in BAD]

    @property
    def new_tests(self) -> dict[str, str]:
        """The two deprecation tests after the series, by id, with their outcome."""
        return {t: o for t, o in self.after.outcomes.items() if name_of(t).partition("[")[0] in terms.TESTS}

    def cannot_run(self) -> list[dict[str, str]]:
        """Every test that did not pass on the patched tree, with its outcome and the reason it gave."""
        wrong = {test: outcome for test, outcome in self.after.outcomes.items() if outcome != "passed"}
        return [{"test": t, "outcome": o, "reason": self.after.reasons[t]} for t, o in sorted(wrong.items())]

    def changing(self) -> list[dict[str, Any]]:
        """Every unsteady test, with its outcome in each run before the series and after it."""
        return [{"test": t, "before": self._of(t, 0), "after": self._of(t, 1)} for t in sorted(self.unsteady)]

    def _unsteady(self, test: str) -> bool:
        before, after = self._of(test, 0), self._of(test, 1)
        return len(set(before)) > 1 or (len(after) > 1 and set(after[1:]) == {before[0]})

    def _of(self, test: str, side: int) -> list[str]:
        pairs = ((self.before, self.after), *self.again)
        return [pair[side].outcomes.get(test, "absent") for pair in pairs]


def compare(pair: Callable[[list[str]], tuple[Run, Run]], selected: list[str], say: Say) -> Comparison:
    """Run ``selected`` files on both trees with ``pair``; what differs is run again to tell an unsteady test from a lost one.

    Again means the whole file that holds it, on both trees, since a test may depend on those before it.
    """
    first = Comparison(*pair(selected))
    wanted = [file for file in selected if any(holds(file, test) for test in first.differing)]
    if not wanted:
        return first
    say(f"{', '.join(map(name_of, first.differing))}: differ, so {len(wanted)} files are run again {AGAIN} times")
    return Comparison(first.before, first.after, tuple(pair(wanted) for _ in range(AGAIN)))


def holds(file: str, test: str) -> bool:
    """Whether a test id, whose module is dotted, is of ``file``."""
    module = file.removesuffix(".py").replace("/", ".")
    return re.match(rf"{re.escape(module)}(\.|::|$)", test) is not None


def name_of(test: str) -> str:
    """The function name of a test id, with its parameters."""
    return test.rpartition("::")[2]


def files(tree: Path) -> list[str]:
    """The unit test files of a tree that touch NIXL, below the tree."""
    found = sorted((tree / UNIT).rglob("test_*.py"))
    return [str(f.relative_to(tree)) for f in found if TOUCHES_NIXL.search(f.read_text(encoding="utf-8"))]


def run(interpreter: Interpreter, tree: Path, release: str, selected: list[str]) -> Run:
    """Run ``selected`` files of ``tree`` with the tree itself on the path.

    Raises :class:`kvroles.errors.Unproven` where pytest ends without a report, as it does when a test takes
    the interpreter down with it.
    """
    environ = variables(interpreter, tree, release)
    environ["PYTHONPATH"] += f":{DRIVERS}"
    # Two runs go on side by side: each listens on a port of its own.
    environ["VLLM_NIXL_SIDE_CHANNEL_PORT"] = str(free_ports(1)[0])
    with tempfile.TemporaryDirectory(prefix="kv-roles-units-") as work:
        # Each has a folder for temporary files: test_multi_connector.py removes and reads files under fixed names there.
        environ["TMPDIR"] = work
        report = Path(work, "junit.xml")
        options = ["-p", "no:cacheprovider", "-p", "on_cpu", "-o", "addopts=", "-o", "junit_family=xunit1"]
        options += ["-q", f"--timeout={TEST_TIMEOUT_S}", f"--junitxml={report}", f"--basetemp={work}/tmp"]
        started = time.monotonic()
        done = subprocess.run(
            [str(interpreter.python), "-m", "pytest", *options, *selected],
            cwd=tree,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
        )
        seconds = time.monotonic() - started
        if not report.exists():
            raise Unproven(
                f"Upstream's tests of {release} ended without a report, with exit code {done.returncode}",
                found=(done.stdout + done.stderr)[-2000:],
                fix="Run the same files on the pristine tree to see whether the machine is the reason",
            )
        outcomes, reasons = parse(report.read_bytes())
    return Run(outcomes, reasons, seconds)


def parse(junit: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """The outcomes and reasons in a JUnit report; a test that fails and errs as well counts as its worse half."""
    outcomes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for case in ElementTree.fromstring(junit).iter("testcase"):
        test = "::".join(part for part in (case.get("classname"), case.get("name")) if part)
        kinds = {"failure": "failed", "error": "error", "skipped": "skipped"}
        found = [(kinds[child.tag], child) for child in case if child.tag in kinds]
        outcomes[test] = found[-1][0] if found else "passed"
        if found:
            text = found[-1][1].get("message") or found[-1][1].text or ""
            reasons[test] = " ".join(text.split())[:300]
    return outcomes, reasons


def record(
    release: str,
    comparison: Comparison,
    selected: list[str],
    versions: dict[str, str],
    patched: dict[str, str | None],
) -> dict[str, Any]:
    """A comparison as the object that ``docs/data/unit_runs.json`` holds for a release.

    ``patched`` are the files of the series that it was run on, by path, with their SHA-256.
    """
    return {
        "release": release,
        "versions": versions,
        "patched": patched,
        "files": selected,
        "before": comparison.before.count(),
        "after": comparison.after.count(),
        "lost": comparison.lost,
        "unsteady": comparison.changing(),
        "new_tests": comparison.new_tests,
        "not_passed": comparison.cannot_run(),
    }
