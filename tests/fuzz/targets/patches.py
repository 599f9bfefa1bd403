"""The mails of the series."""

from __future__ import annotations

from kvroles.errors import Unproven
from kvroles.places import leaves
from kvroles.series import patchfile

from targets.target import Target, project


def patch(data: bytes) -> None:
    """A mail parses or is refused; what it says of a file that holds its old lines can be done and taken back."""
    try:
        parsed = patchfile.parse(data, "fuzzed")
    except Unproven:
        return
    for f in parsed.files:
        assert not leaves(f.path)
        for given in (None, b"", b"".join(b"".join(h.old) for h in f.hunks)):
            try:
                after, _ = patchfile.apply(given, f, unique=False)
                back, _ = patchfile.apply(after, f.reversed(), unique=False)
            except patchfile.HunkMismatch as e:
                assert all(isinstance(words, str) for words in e.describe())
                continue
            if len(f.hunks) == 1:
                assert back == given or not given


def _patches() -> list[bytes]:
    return [p.read_bytes() for p in sorted((project().root / "patches").rglob("*.patch"))]


TARGETS = {
    "patch": Target(
        patch, _patches, (b"diff --git a/", b"@@ -1 +1 @@", b"-- \n", b"/dev/null", b"new file mode 100644")
    ),
}
