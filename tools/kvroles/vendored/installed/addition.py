"""What a patched installation holds beside its patched files: receipt, bill, the originals, and a RECORD that lists them."""

from __future__ import annotations

from dataclasses import dataclass

from kvroles.vendored import bill, purl, receipt
from kvroles.vendored.installed.distribution import Installed
from kvroles.vendored.part import Part, Planned
from kvroles.vendored.record import Record


@dataclass(frozen=True)
class Addition:
    """``files`` is path -> bytes of new files; ``record`` is RECORD as it is to be, None where no dist-info vouches."""

    files: dict[str, bytes]
    record: bytes | None


def of(
    found: Installed,
    whole: Part,
    planned: Planned,
    record: bytes | None,
    *,
    read: str,
    construction: str,
    runtime: bool,
    first: bytes | None = None,
) -> Addition:
    """What is stored beside the files that ``planned`` changes.

    ``record`` is RECORD as it is; ``first`` is RECORD as it was before an earlier run, if there was one. ``read`` and
    ``construction`` are sentences for the receipt.
    """
    made = receipt.make(
        "install",
        whole,
        planned,
        found.name,
        found.version,
        read=read,
        construction=construction,
        kind=receipt.RUNTIME if runtime else receipt.PACKAGE,
    )
    files = {found.receipt: made.dumps()}
    files[found.bill] = bill.distribution(
        whole, planned.topics, found.name, found.version, made.files, (purl.generic(found.name, found.version), None)
    )
    for c in planned.changes:
        assert c.before is not None  # the lock's topics create nothing below vllm/
        files[f"{found.originals}/{c.path}"] = c.before
    if record is None:
        return Addition(files, None)
    files[f"{found.originals}/RECORD"] = record if first is None else first
    changed = {c.path: c.after or b"" for c in planned.changes}
    new = Record.parse(record, str(found.site / found.info), found.reinstall).replaced({**changed, **files}).dumps()
    return Addition(files, new)
