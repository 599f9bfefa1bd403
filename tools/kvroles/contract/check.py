"""The contract of a patched tree, checked from bytes.

1. ``NixlConnector.__init__`` (or the base class it moved to) warns once for ``kv_both`` and not for explicit roles.
   With topic ``reject-kv-both`` it refuses ``kv_both`` instead, and the engine arguments do before it.
2. The two deprecation tests exist, in ``test_nixl_connector.py``; with ``reject-kv-both``, the tests of the refusal.
3. No NIXL config in tests, scripts, guides or recipes says ``kv_both``, save in those tests and in the migration guide.
4. Prefill instances say ``kv_producer``, decode instances ``kv_consumer``; wrappers and other connectors are as before.
5. Python compiles, shell passes ``bash -n``, JSON snippets in Markdown parse.

That nothing else in the tree changed is the writer's to show: see ``engine.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import NamedTuple

# The number of this checker: part of every key in the lock. Raise it with any change to what the checker does;
# 'verify.py --lint' fails while its code has changed and the number has not (KVR011).
CHECKER = 1

QUERY = r"kv_role='kv_both'.*deprecated"  # the log query that finds patched and native instances alike
CONNECTORS = (
    "vllm/distributed/kv_transfer/kv_connector/v1/nixl/connector.py",  # from 0.20.0
    "vllm/distributed/kv_transfer/kv_connector/v1/nixl_connector.py",  # up to 0.19.1
)
TEST_FILE = "tests/v1/kv_connector/unit/test_nixl_connector.py"
GUIDE = "docs/features/nixl_kv_role_migration.md"  # the overlay's page: its "before" examples say kv_both
TESTS = ("test_kv_both_deprecation_warning", "test_explicit_kv_role_no_deprecation_warning")

REJECT = "reject-kv-both"  # the topic that replaces the warning by a refusal
REFUSAL = "vllm/distributed/kv_transfer/nixl_roles.py"  # the file of its own it brings
EARLY = "vllm/engine/arg_utils.py"  # asked before any process of the engine starts
REFUSAL_TESTS = (
    "test_kv_both_is_refused",
    "test_kv_both_is_refused_below_a_wrapper",
    "test_kv_both_is_refused_before_any_process_starts",
    "test_kv_both_stays_with_other_connectors",
)
SIDES = {"kv_producer": "prefill", "kv_consumer": "decode"}


class Breach(NamedTuple):
    """One broken clause: ``clause`` is its number above; ``line`` is 0 where the whole file is meant."""

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


def check(
    after: Mapping[str, bytes],
    before: Mapping[str, bytes | None],
    mentions: Mapping[str, bytes],
    *,
    topics: Collection[str] = (),
    tests: bool = True,
    missing: frozenset[str] = frozenset(),
) -> Verdict:
    """Check the contract.

    ``after`` holds the files the series is about as they are now, ``before`` the same as upstream ships them, and
    ``mentions`` the other files of the tree that hold ``kv_both``. ``topics`` are the names of those applied: REJECT
    among them changes clauses 1 and 2. ``tests`` is False where no tests are shipped (wheels);
    ``missing`` are files that exist but cannot be had.
    """
    from kvroles.contract import clauses  # parsers and all: where the key is known, nothing is checked

    out: list[Breach] = []
    unchecked: dict[int, str] = {}
    wanted = REFUSAL_TESTS if REJECT in topics else TESTS
    connector = next((p for p in CONNECTORS if p in after), None)
    if connector is None:
        out.append(Breach(1, CONNECTORS[0], 0, "there is no NixlConnector module"))
    else:
        why = (
            clauses.refuses(after[connector], after.get(REFUSAL), after.get(EARLY))
            if REJECT in topics
            else clauses.warns(after[connector])
        )
        if why:
            out.append(Breach(1, connector, 0, why))
    if not tests:
        unchecked[2] = unchecked[3] = "tests and docs are not part of a wheel"
    elif TEST_FILE in missing:
        unchecked[2] = f"{TEST_FILE} cannot be had"
    elif TEST_FILE not in after:
        out.append(Breach(2, TEST_FILE, 0, "the file is missing"))
    elif not clauses.defines(after[TEST_FILE], wanted):
        out.append(Breach(2, TEST_FILE, 0, f"it does not define {' and '.join(wanted)}"))
    for path, data in {**mentions, **after}.items():
        out += [Breach(3, path, s.line, "a NIXL config says kv_both") for s in clauses.kv_both_left(path, data)]
    for path, data in after.items():
        if before.get(path) != data:
            out += clauses.roles_kept(path, before.get(path), data)
            out += clauses.well_formed(path, before.get(path), data)
    scripts = {p: d for p, d in after.items() if p.endswith(".sh") and before.get(p) != d}
    breaches, why_not = clauses.shells_parse(scripts)
    out += breaches
    if why_not:
        unchecked[5] = why_not
    return Verdict(tuple(out), unchecked)
