"""Hold the table of role effects against a release's source: every role site explained, every claim true."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kvworkshop.effects.scan import Site, scan
from kvworkshop.effects.table import Entry, Evidence, Table, matches


@dataclass(frozen=True)
class Reading:
    """One release compared with the table: the lines of each effect, the sites without an entry, the entries that were used."""

    release: str
    evidence: Mapping[str, tuple[str, ...]]  # effect id -> "file:line", in the table's order
    unexplained: tuple[Site, ...]
    used: frozenset[Entry]
    outside: frozenset[str]  # files that were left out because NIXL does not reach them
    importers: tuple[str, ...]  # "FILE imports MODULE", for each import by which it would reach one of them


def read(release: str, files: Mapping[str, bytes], table: Table) -> Reading:
    """Scan ``files``, the Python files of ``release``. Raises SyntaxError for a file that does not parse."""
    found = scan(files, table.is_outside)
    lines: dict[str, dict[str, None]] = {e.id: {} for e in table.effects}
    unexplained = []
    by_entry: dict[Entry, list[Site]] = {}
    for site in found.sites:
        if table.is_outside(site.file):
            continue
        entry = next((e for e in table.entries if e.explains(site)), None)
        if entry is None:
            unexplained.append(site)
        else:
            by_entry.setdefault(entry, []).append(site)
    for entry in table.entries:
        for effect in entry.effects if entry.expr is not None else ():
            lines[effect].update(dict.fromkeys(f"{s.file}:{s.line}" for s in by_entry.get(entry, ())))
    return Reading(
        release,
        {effect: tuple(where) for effect, where in lines.items()},
        tuple(unexplained),
        frozenset(by_entry),
        frozenset(s.file for s in found.sites if table.is_outside(s.file)),
        tuple(_importers(files, table)),
    )


def evidence(table: Table, readings: Mapping[str, Reading], releases: Sequence[str]) -> dict[str, Evidence]:
    """Effect id -> release -> lines, from ``readings``; for other releases as the table has it."""
    out: dict[str, Evidence] = {}
    for effect in table.effects:
        per_release = {}
        for release in releases:
            if release in readings:
                per_release[release] = readings[release].evidence[effect.id]
            else:
                per_release[release] = effect.evidence.get(release, ())
        out[effect.id] = {release: lines for release, lines in per_release.items() if lines}
    return out


def problems(table: Table, readings: Mapping[str, Reading], releases: Sequence[str], *, complete: bool) -> list[str]:
    """What the table leaves unexplained or says wrongly, a sentence each. ``releases`` are all there are, in order.

    With ``complete``, when every release that can be had was read, entries that none of them needs are wrong too.
    """
    out = []
    if table.releases != tuple(releases):
        strange = ", ".join(sorted(set(table.releases) ^ set(releases))) or "their order"
        out.append(f"The table and the lock disagree on the releases there are: {strange}.")
    for release, reading in readings.items():
        out += [
            f"{release}: {s.file}:{s.line}, in {s.where or 'the module'}, reads the role as {s.expr!r} "
            f"(through {', '.join(sorted(s.names))}), which the table does not explain."
            for s in reading.unexplained
        ]
        out += [f"{release}: {i}, which the table says NIXL does not reach." for i in reading.importers]
    proven = evidence(table, readings, releases)
    for effect in table.effects:
        says, has = effect.releases(releases), list(proven[effect.id])
        if says != has:
            out.append(
                f"Effect {effect.id} is said to be in {', '.join(says) or 'no release'}, "
                f"but its sites are in {', '.join(has) or 'no release'}."
            )
        for release in readings:
            lines, wanted = effect.evidence.get(release, ()), proven[effect.id].get(release, ())
            if lines != wanted:
                out.append(
                    f"Effect {effect.id} has its evidence in {release} at {', '.join(wanted) or 'no place'}, "
                    f"not at {', '.join(lines) or 'no place'}."
                )
    if complete:
        used = frozenset[Entry]().union(*(r.used for r in readings.values()))
        out += [f"No release has the site {e}; drop the entry." for e in table.entries if e not in used]
        left = frozenset[str]().union(*(r.outside for r in readings.values()))
        for o in table.outside:
            for glob in o.files:
                if not any(matches(f, (glob,)) for f in left):
                    out.append(f"No release has a role site in {glob}; drop it from the files outside.")
    return out


def _importers(files: Mapping[str, bytes], table: Table) -> list[str]:
    """The imports, forbidden by the table, of a file that NIXL does not reach by one that it does reach.

    Without an import such a file is not reached: the factory loads a connector by the name in the configuration.
    """
    out = []
    for rule in table.outside:
        targets = {p.removesuffix(".py").removesuffix("/__init__") for p in files if matches(p, rule.files)}
        words = {glob.rstrip("/*").rsplit("/", 1)[-1].split(".")[0].split("*")[0].encode() for glob in rule.files}
        for path, data in files.items():
            if table.is_outside(path) or path in rule.importers or not any(w in data for w in words):
                continue
            out += [f"{path} imports {m.replace('/', '.')}" for m in _imported(path, data) if m in targets]
    return out


def _imported(path: str, data: bytes) -> set[str]:
    """Every module, as a path without suffix, that the file's imports can mean."""
    modules = set()
    for node in ast.walk(ast.parse(data, path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.replace(".", "/") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.split("/")[: -node.level] if node.level else []
            module = "/".join([*package, *(node.module or "").split(".")]).rstrip("/")
            modules |= {module} | {f"{module}/{alias.name}" for alias in node.names}
    return modules
