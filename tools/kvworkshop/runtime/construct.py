"""Construct the real NixlConnector of a tree in every role, in an environment of its own (see ``drivers``)."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kvroles.errors import Unproven
from packaging.version import Version

from kvworkshop.runtime.environments import Interpreter
from kvworkshop.runtime.trees import variables

DRIVER = Path(__file__).with_name("drivers") / "construct.py"
ROLES = ("kv_both", "kv_producer", "kv_consumer")
DEADLINE_S = 900.0

Side = Literal["SCHEDULER", "WORKER"]
SIDES: tuple[Side, ...] = ("SCHEDULER", "WORKER")


@dataclass(frozen=True)
class Case:
    """One construction: which class, on which side, in which role.

    ``wrapper`` says whether the release's fake NIXL wrapper or the real library stands behind it;
    ``parent_role``, if given, makes the connector the child of a MultiConnector with that role.
    """

    connector: str
    side: Side
    kv_role: str
    wrapper: Literal["fake", "real"] = "fake"
    parent_role: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a construction did: the class made (of the parent, if any), the warnings logged, a traceback or None."""

    case: Case
    made: str | None
    warnings: tuple[str, ...]
    error: str | None


def cases(release: str) -> list[Case]:
    """The constructions that ``release`` knows: plain, as a child, on the real library, pull and push since 0.24.0."""
    names = ["NixlConnector"]
    if Version(release) >= Version("0.24.0"):
        names += ["NixlPullConnector", "NixlPushConnector"]
    plain = [Case(name, side, role) for name in names for side in SIDES for role in ROLES]
    child = [Case("NixlConnector", side, role, parent_role="kv_both") for side in SIDES for role in ROLES]
    real = [Case("NixlConnector", "WORKER", role, wrapper="real") for role in ROLES]
    return plain + child + real


def construct(interpreter: Interpreter, tree: Path, release: str) -> list[Outcome]:
    """Run every case of ``release`` on ``tree``, one process each, and return what each did.

    Raises :class:`kvroles.errors.Unproven` where vLLM itself cannot be imported from the tree.
    """
    with tempfile.TemporaryDirectory(prefix="kv-roles-construct-") as work:
        asked = Path(work, "cases.json")
        report = Path(work, "report.json")
        asked.write_text(json.dumps([asdict(case) for case in cases(release)]), encoding="utf-8")
        done = subprocess.run(
            [interpreter.python, DRIVER, asked, report],
            cwd=work,
            env=variables(interpreter, tree, release),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        if done.returncode != 0 or not report.exists():
            raise Unproven(
                f"vLLM {release} cannot be imported from {tree} with {interpreter.python}",
                expected="exit code 0 and a report",
                found=f"exit code {done.returncode} and: {done.stderr[-2000:]}",
                fix="Compare with the same run on the unpatched tree",
            )
        reports = json.loads(report.read_text(encoding="utf-8"))
    outcomes = []
    for given in reports:
        made, warnings, error = given.pop("class"), given.pop("warnings"), given.pop("error")
        outcomes.append(Outcome(Case(**given), made, tuple(warnings), error))
    return outcomes
