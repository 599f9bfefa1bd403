"""The table of role effects, ``docs/data/role_effects.json``: its shape in Python, reading and writing.

The JSON Schema beside the file says what each key means; here is only what the checks need.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from kvroles.errors import UsageError
from kvroles.said import shell
from kvroles.series.release import version

from kvworkshop.effects.scan import Site

Evidence = Mapping[str, tuple[str, ...]]  # release -> "file:line", the deciding one first


@dataclass(frozen=True)
class Effect:
    """One way in which the role matters; ``ranges`` are the releases (first, last) that have it."""

    id: str
    ranges: tuple[tuple[str, str], ...]
    evidence: Evidence

    def releases(self, known: Iterable[str]) -> list[str]:
        """Those of ``known`` that have this effect, according to the table."""
        return [r for r in known if any(version(a) <= version(r) <= version(b) for a, b in self.ranges)]


@dataclass(frozen=True)
class Entry:
    """What explains some sites: the effects they belong to. One that belongs to none says why in the table (``neutral``).

    ``where`` and ``expr`` are None in a rule, which explains every site in its ``files`` (globs) that reads
    the role through its ``names`` only.
    """

    files: tuple[str, ...]
    where: str | None
    expr: str | None
    names: frozenset[str] | None
    effects: tuple[str, ...]

    def explains(self, site: Site) -> bool:
        if self.expr is not None:
            return site.file in self.files and (site.where, site.expr) == (self.where, self.expr)
        return matches(site.file, self.files) and (self.names is None or site.names <= self.names)

    def __str__(self) -> str:
        what = self.expr if self.expr is not None else ", ".join(sorted(self.names or ("any read",)))
        return f"{what!r} in {', '.join(self.files)}" + (f", {self.where}" if self.where else "")


@dataclass(frozen=True)
class Outside:
    """Files whose role reads a NIXL deployment never reaches; only ``importers`` may import them."""

    files: tuple[str, ...]
    importers: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The whole file; ``entries`` come in the order they are asked, exact sites before rules."""

    releases: tuple[str, ...]
    effects: tuple[Effect, ...]
    entries: tuple[Entry, ...]
    outside: tuple[Outside, ...]
    raw: dict[str, Any]

    def is_outside(self, path: str) -> bool:
        return any(matches(path, o.files) for o in self.outside)

    def proven(self, releases: tuple[str, ...], evidence: Mapping[str, Evidence]) -> Table:
        """The table with ``evidence`` (effect id -> release -> lines) of ``releases`` in the place of its own."""
        raw = json.loads(json.dumps(self.raw))
        raw["releases"] = list(releases)
        for effect in raw["effects"]:
            effect["evidence"] = {r: list(lines) for r, lines in evidence[effect["id"]].items()}
        effects = tuple(replace(e, evidence=evidence[e.id]) for e in self.effects)
        return replace(self, releases=releases, raw=raw, effects=effects)

    def to_json(self) -> str:
        """The file's text: two blanks of indent, and lists of plain strings on one line where they fit."""
        return _dump(self.raw, "") + "\n"


def matches(path: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(path, g) for g in globs)


def load(path: Path) -> Table:
    """The table in ``path``. Raises UsageError when the file is missing or is not such a table."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        effects = tuple(
            Effect(
                e["id"],
                tuple((first, last) for first, last in e["releases"]),
                {r: tuple(lines) for r, lines in e["evidence"].items()},
            )
            for e in raw["effects"]
        )
        entries = [_entry(s) for s in raw["sites"]] + [_entry(r) for r in raw["rules"]]
        outside = tuple(Outside(tuple(o["files"]), tuple(o["importers"])) for o in raw["outside"])
        table = Table(tuple(raw["releases"]), effects, tuple(entries), outside, raw)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise UsageError(
            f"The table of role effects {path} cannot be read: {type(e).__name__}: {e}",
            fix="Compare it with role_effects.schema.json beside it, or restore it with "
            f"`{shell('git', 'checkout', '--', path)}`",
        ) from None
    known = {e.id for e in effects}
    for entry in entries:
        if stray := set(entry.effects) - known:
            raise UsageError(
                f"The table of role effects {path} sends {entry} to an effect it does not have",
                expected=f"one of {', '.join(sorted(known))}",
                found=", ".join(sorted(stray)),
                fix="Add the effect, or mend the entry",
            )
    return table


def _entry(raw: dict[str, Any]) -> Entry:
    names = raw.get("names")
    return Entry(
        tuple(raw["files"]),
        raw.get("in"),
        raw.get("expr"),
        None if names is None else frozenset(names),
        tuple(raw.get("effects", ())),
    )


def _dump(value: Any, indent: str) -> str:
    inner = indent + "  "
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return flat
    simple = isinstance(value, list) and all(not isinstance(v, dict) for v in value)
    if simple and len(indent) + len(flat) <= 108:
        return flat
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(k)}: {_dump(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _dump(v, inner) for v in value) + f"\n{indent}]"
