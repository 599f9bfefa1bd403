"""The contract of a patched tree, checked from bytes.

``terms.CLAUSES`` says what each clause asks; ``check`` asks it.

That nothing else in the tree changed is not checked here: ``apply.plan`` names every change, and the writer makes no other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kvroles.contract import terms
from kvroles.contract.terms import Breach, Verdict


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
    # lazy: a release whose key is in the lock is not checked, and needs no parser
    from kvroles.contract import clauses

    out: list[Breach] = []
    unchecked: dict[int, str] = {}
    wanted = terms.REFUSAL_TESTS if terms.REJECT in topics else terms.TESTS
    connector = next((p for p in terms.CONNECTORS if p in after), None)
    if connector is None:
        out.append(Breach(1, terms.CONNECTORS[0], 0, "there is no NixlConnector module"))
    else:
        why = (
            clauses.refuses(after[connector], after.get(terms.REFUSAL), after.get(terms.EARLY))
            if terms.REJECT in topics
            else clauses.warns(after[connector])
        )
        if why:
            out.append(Breach(1, connector, 0, why))
    if not tests:
        unchecked[2] = unchecked[3] = "tests and docs are not part of a wheel"
    elif terms.TEST_FILE in missing:
        unchecked[2] = f"{terms.TEST_FILE} cannot be had"
    elif terms.TEST_FILE not in after:
        out.append(Breach(2, terms.TEST_FILE, 0, "the file is missing"))
    elif not clauses.defines(after[terms.TEST_FILE], wanted):
        out.append(Breach(2, terms.TEST_FILE, 0, f"it does not define {' and '.join(wanted)}"))
    elif clauses.helper_takes_no_role(after[terms.TEST_FILE], after.get(terms.TEST_HELPERS)):
        out.append(Breach(2, terms.TEST_HELPERS, 0, "create_vllm_config takes no kv_role, which the tests of it give"))
    for path, data in {**mentions, **after}.items():
        out += [Breach(3, path, s.line, "a NIXL config says kv_both") for s in clauses.kv_both_left(path, data)]
    for path, data in after.items():
        if before.get(path) != data:
            for clause in clauses.OF_ONE_FILE:
                out += clause(path, before.get(path), data)
    scripts = {p: d for p, d in after.items() if p.endswith(".sh") and before.get(p) != d}
    breaches, why_not = clauses.shells_parse(scripts)
    out += breaches
    if why_not:
        unchecked[5] = why_not
    return Verdict(tuple(out), unchecked)
