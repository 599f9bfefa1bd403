"""No verdict over a release's own files changes unseen: those of every release are kept, and are written anew by a command."""

from __future__ import annotations

import pytest
from support import release_verdicts
from support.cost import slow_but

pytestmark = pytest.mark.upstream


@pytest.mark.parametrize("release", slow_but(("0.9.0",), release_verdicts.RELEASES))
def test_the_verdicts_over_a_release_are_those_that_are_kept(release: str) -> None:
    found, kept = release_verdicts.verdicts(release), release_verdicts.kept()[release]
    if not kept:
        pytest.skip(f"nothing is kept of {release} yet: python tests/support/release_verdicts.py --write")
    changed = [f"{p}: {kept.get(p)} -> {found.get(p)}" for p in sorted({*found, *kept}) if kept.get(p) != found.get(p)]
    assert found
    assert not changed, "\n".join(
        [*changed, "if all of that is meant: python tests/support/release_verdicts.py --write"]
    )
