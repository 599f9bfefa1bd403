"""What the contract speaks of: its clauses, names, files, roles, a breach, a verdict, and the key that a verdict follows from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

# The number of this checker: part of every key in the lock. Raise it with any change to what the checker does;
# 'verify.py --lint' fails while its code has changed and the number has not (KVR011).
CHECKER = 11

QUERY = r"kv_role='kv_both'.*deprecated"  # the log query that finds patched and native instances alike

CONNECTORS = (
    "vllm/distributed/kv_transfer/kv_connector/v1/nixl/connector.py",  # from 0.20.0
    "vllm/distributed/kv_transfer/kv_connector/v1/nixl_connector.py",  # up to 0.19.1
)

TEST_FILE = "tests/v1/kv_connector/unit/test_nixl_connector.py"
TEST_HELPERS = "tests/v1/kv_connector/unit/utils.py"  # where create_vllm_config is

GUIDE = "docs/features/nixl_kv_role_migration.md"  # the overlay's page: its "before" examples say kv_both

TESTS = ("test_kv_both_deprecation_warning", "test_explicit_kv_role_no_deprecation_warning")

REJECT = "reject-kv-both"  # the topic that replaces the warning by a refusal
REFUSAL = "vllm/distributed/kv_transfer/nixl_roles.py"  # the new file that REJECT brings
EARLY = "vllm/engine/arg_utils.py"  # its engine arguments ask for the refusal before any process of the engine starts

REFUSAL_TESTS = (
    "test_kv_both_is_refused",
    "test_kv_both_is_refused_below_a_wrapper",
    "test_kv_both_is_refused_before_any_process_starts",
    "test_kv_both_stays_with_other_connectors",
)

SIDES = {"kv_producer": "prefill", "kv_consumer": "decode"}


class Clause(NamedTuple):
    """One clause: its ``name`` for a report, its ``text`` for a page, and the files it is ``about``.

    ``about`` is "tree": every file of the tree; "change": the files that the series changes; or the one part of the tree
    ("runtime", "tests") that shows whether the clause holds.
    """

    name: str
    text: str
    about: str = "tree"


# By number. Reports and pages list what stands here; ``contract.check`` asks it.
CLAUSES = {
    1: Clause(
        "the connector warns",
        "`NixlConnector.__init__` (or the base class it moved to) warns once for `kv_both` and not for explicit roles. "
        "With topic `reject-kv-both` it refuses `kv_both` instead, and the engine arguments do before it.",
        "runtime",
    ),
    2: Clause(
        "the tests exist",
        "The two deprecation tests exist, in `test_nixl_connector.py`, and their helper takes a role; with "
        "`reject-kv-both`, the tests of the refusal.",
        "tests",
    ),
    3: Clause(
        "no kv_both is left",
        "No NIXL config in tests, scripts, guides or recipes says `kv_both`, save in those tests and in the migration guide.",
    ),
    4: Clause(
        "roles are right",
        "Prefill instances say `kv_producer`, decode instances `kv_consumer`: each role that the series set is that of the "
        "side its surroundings name, or that `contract/settled.py` gives it. Wrappers and other connectors are as before.",
    ),
    5: Clause(
        "all files parse",
        "Python compiles, shell passes `bash -n`, JSON snippets in Markdown parse.",
        "change",
    ),
}
NAMES_WITH_REJECT = {1: "the connector refuses"}  # of the clauses that topic REJECT changes


class Breach(NamedTuple):
    """One broken clause: ``clause`` is its number in CLAUSES; ``line`` is 0 where the whole file is meant."""

    clause: int
    path: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.why} (clause {self.clause})"


class Verdict(NamedTuple):
    """The outcome of a whole check. ``unchecked`` says which clause could not be checked here, and why."""

    breaches: tuple[Breach, ...]
    unchecked: dict[int, str]


def key(hashes: Mapping[str, str]) -> str:
    """What a verdict follows from: the number of this checker, and the files' SHA-256 (path -> hash).

    Equal keys have equal verdicts. The lock keeps the key of each release's patched files once ``verify.py`` has proven
    them, so that the same bytes under the same checker need no second proof.
    """
    whole = hashlib.sha256(f"checker {CHECKER}\n".encode())
    for path, sha in sorted(hashes.items()):
        whole.update(f"{sha}  {path}\n".encode())
    return whole.hexdigest()
