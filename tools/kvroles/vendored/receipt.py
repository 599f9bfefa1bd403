"""The receipt of a vendored build, ``<dist-info>/kv-roles/receipt.json``; its schema: ``docs/data/vendor-receipt.schema.json``.

It holds no time and no path of the machine, so that equal inputs give equal bytes. RECORD lists it, so that pip takes it away
with the rest of the distribution: reinstalling vLLM over a patch leaves no receipt that would claim otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from kvroles.apply.state import State
from kvroles.digest import sha256
from kvroles.errors import Unproven
from kvroles.places import leaves
from kvroles.vendored import part
from kvroles.vendored.part import Part, Planned

SCHEMA = 1
FOLDER = "kv-roles"  # below dist-info
NAME = f"{FOLDER}/receipt.json"
ORIGINALS = f"{FOLDER}/originals"
CONSTRUCTED = "constructed in every role"
NOT_ASKED = "not constructed"
PACKAGE = "package"  # the part is files that RECORD vouches for
RUNTIME = "runtime"  # the part is files of any origin, fitted by context if need be


@dataclass(frozen=True)
class Receipt:
    """What was done; ``how`` is ``wheel`` (built so) or ``install`` (in place), ``files`` path -> SHA-256 (before, after)."""

    how: str
    release: str
    distribution: str
    version: str
    patches: Mapping[str, str]
    files: Mapping[str, tuple[str, str]]
    native: tuple[str, ...]
    left_out: tuple[str, ...]
    wheel: tuple[str, str] | None = None  # name and SHA-256 of the wheel that was patched
    read: str = ""  # what was read, and against what it was held
    construction: str = NOT_ASKED
    part: str = PACKAGE

    def dumps(self) -> bytes:
        """The receipt's bytes."""
        data = {
            "schema": SCHEMA,
            "how": self.how,
            "release": self.release,
            "distribution": self.distribution,
            "version": self.version,
            "wheel": None if self.wheel is None else {"name": self.wheel[0], "sha256": self.wheel[1]},
            "patches": dict(sorted(self.patches.items())),
            "files": {path: {"before": b, "after": a} for path, (b, a) in sorted(self.files.items())},
            "native": sorted(self.native),
            "not_in_a_wheel": list(self.left_out),
            "read": self.read,
            "construction": self.construction,
            "part": self.part,
        }
        return (json.dumps(data, indent=1) + "\n").encode()

    @classmethod
    def loads(cls, data: bytes, where: str, fix: str) -> Receipt:
        """The receipt in ``data``; raises Unproven, naming ``where`` and ``fix``, when it is none of ours or damaged."""
        try:
            raw = json.loads(data)
            if raw["schema"] != SCHEMA or raw["how"] not in ("wheel", "install"):
                raise ValueError(f"schema {raw['schema']!r}, how {raw['how']!r}")
            wheel = raw["wheel"]
            for path in raw["files"]:  # uninstall writes and deletes below these names
                if leaves(str(path)) or not str(path).startswith("vllm/"):
                    raise ValueError(f"it names {str(path)[:100]!r}, which is no file of the package")
            return cls(
                raw["how"],
                str(raw["release"]),
                str(raw["distribution"]),
                str(raw["version"]),
                {str(k): str(v) for k, v in raw["patches"].items()},
                {str(p): (str(f["before"]), str(f["after"])) for p, f in raw["files"].items()},
                tuple(map(str, raw["native"])),
                tuple(map(str, raw["not_in_a_wheel"])),
                None if wheel is None else (str(wheel["name"]), str(wheel["sha256"])),
                str(raw.get("read", "")),
                str(raw.get("construction", NOT_ASKED)),
                str(raw.get("part", PACKAGE)),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            raise Unproven(
                f"The receipt {where} is damaged ({type(e).__name__}: {e})",
                fix=fix,
            ) from None


def make(
    how: str,
    whole: Part,
    planned: Planned,
    distribution: str,
    version: str,
    wheel: tuple[str, str] | None = None,
    read: str = "",
    construction: str = NOT_ASKED,
    kind: str = PACKAGE,
) -> Receipt:
    """The receipt for a plan that is about to be carried out."""
    return Receipt(
        how,
        whole.row.release,
        distribution,
        version,
        part.patches(whole, planned.topics),
        {c.path: (sha256(c.before or b""), sha256(c.after or b"")) for c in planned.changes},
        tuple(f.path for t in planned.topics for f in t.files if f.state is State.NATIVE),
        whole.left_out,
        wheel,
        read,
        construction,
        kind,
    )
