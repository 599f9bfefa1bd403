"""Who puts a file to use: the owners of each place of a text that names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from kvroles.evidence import argv
from kvroles.evidence.context import FileCtx
from kvroles.evidence.data import Scalar, path_to
from kvroles.evidence.frames import Cue, Scope, Side, Weight
from kvroles.evidence.text import Text, occurrences
from kvroles.evidence.words import name_sides, title_side
from kvroles.migrate.readers.mapping.tree import MANY, Tree

_TARGET = (
    r"(?m)^(?:FROM[ \t]+\S+[ \t]+AS[ \t]+(?P<stage>\S+)|\[(?P<section>[^\]\n]+)\]"
    r"|(?P<target>[\w.-]+)[ \t]*[^\n:=]*:(?![=:]))"
)


def twin(name: str) -> str:
    """The name a file of the other side has where both are named alike; empty for a name of no side."""
    swapped = re.sub("(?i)prefill|decode", lambda m: "decode" if m.group().lower() == "prefill" else "prefill", name)
    return swapped if swapped != name else ""


def places(s: str, name: str) -> Iterator[int]:
    """Where ``s`` names the file ``name`` (a base name), but for lines that name its twin as well: those are of both, each
    for its own side."""
    other = twin(name)
    for i in islice(occurrences(s, name), MANY):
        before, after = s[i - 1 : i], s[i + len(name) : i + len(name) + 1]
        if before.isalnum() or after.isalnum() or before in {"_", "-", "."} or after in {"_", "-"}:
            continue  # part of a longer name
        if not other or other not in line_at(s, i):
            yield i


def line_at(s: str, i: int) -> str:
    """The line that index ``i`` is on, with those that a backslash joins to it."""
    start, end = s.rfind("\n", 0, i) + 1, s.find("\n", i)
    end = len(s) if end < 0 else end
    while start > 1 and s[:start].rstrip("\r\n").endswith("\\"):
        start = s.rfind("\n", 0, start - 1) + 1
    while end < len(s) and s[start:end].rstrip("\r").endswith("\\"):
        below = s.find("\n", end + 1)
        end = len(s) if below < 0 else below
    return s[start:end]


def owners(lang: str, t: Text, name: str, up: Scope, ctx: FileCtx) -> list[Scope]:
    """The owners, in text of language ``lang``, of every place that names the file ``name``."""
    found = list(places(t.s, name))
    if not found:
        return []
    match lang:
        case "shell":
            out = _shell(t, found, up, ctx)
        case "yaml":
            out = _yaml(t, found, name, up, ctx)
        case "python" | "go" | "rust":
            out = _code(lang, t, found, name, up, ctx)
        case "docker" | "make" | "just" | "unit":
            out = [_line(t, i, name, _headed(t, i, up), ctx) for i in found]
        case _:
            out = [_line(t, i, name, up, ctx) for i in found]
    return out


def _shell(t: Text, found: list[int], up: Scope, ctx: FileCtx) -> list[Scope]:
    from kvroles.migrate.readers import grammar
    from kvroles.migrate.readers.shell.scopes import Script

    script = Script(t, up, ctx)
    out: list[Scope] = []
    for i in found:
        node = grammar.at(script.root, i, 2)
        if node.type != "comment":
            out.append(script.chain(node))
            out[-1].place = t.at(i)
    return out


def _yaml(t: Text, found: list[int], name: str, up: Scope, ctx: FileCtx) -> list[Scope]:
    from kvroles.migrate.readers import values
    from kvroles.migrate.readers.template import actions as template
    from kvroles.migrate.readers.yaml import carrier as yaml_carrier

    source = t.same_places(template.mask(t.s)) if template.is_template(t.s) else t
    trees = [Tree(root, source, up, ctx, values.scan, True) for root in yaml_carrier.roots(source)]
    out: list[Scope] = []
    for i in found:
        for tree in trees:
            if tree.root.start <= i < tree.root.end:
                path = path_to(tree.root, i)
                owner = tree.scopes(path, follow=False)
                if isinstance(path[-1], Scalar):
                    out.append(_line(t, i, name, owner, ctx))
                elif source.s[i : i + len(name)] != name:  # in an action of a template
                    out.append(owner)
                    out[-1].place = t.at(i)
                break
    return out


def _code(lang: str, t: Text, found: list[int], name: str, up: Scope, ctx: FileCtx) -> list[Scope]:
    from kvroles.migrate.readers.code.langs import SPECS
    from kvroles.migrate.readers.code.scopes import Unit

    unit = Unit(t, up, ctx, SPECS[lang])
    anew = _set_anew(t.s, name) if lang == "python" else len(t.s)
    nodes = [(i, unit.at(i, len(name))) for i in found if i < anew]
    return [_line(t, i, name, unit.chain(node), ctx) for i, node in nodes if node.type not in unit.spec.comment]


def _set_anew(s: str, name: str) -> int:
    """Where Python text sets a variable, whatever else happens, to something that is not made of what it was: from there on
    the name means another value. The text's length if it does not."""
    m = re.search(rf"(?m)^{re.escape(name)}[ \t]*(?::[^=\n]+)?=(?!=)", s)
    if m is None:
        return len(s)
    below = re.compile(r"\n(?=[^\s)\]}#])").search(s, m.end())
    value = s[m.end() : below.start() if below else len(s)]
    return len(s) if any(True for _ in occurrences(value, name)) else m.start()


def _line(t: Text, i: int, name: str, up: Scope, ctx: FileCtx) -> Scope:
    """What the line at ``i`` says beside the name, and the target, stage or section it stands in."""
    line = line_at(t.s, i)
    if line.lstrip().startswith("#"):
        side = title_side(line)
        return Scope(
            "comment", "", up, [Cue(side, Weight.SAID, "comment", line.strip("# ")[:80], t.at(i))] if side else []
        )
    words = [argv.Word(w, t.at(i)) for w in re.split(r"[\s\"'`,]+", line) if w and name not in w]
    return Scope("command", "", up, argv.cues(words, ctx), place=t.at(i))


def _headed(t: Text, i: int, up: Scope) -> Scope:
    """The target of a Makefile, the stage of a Dockerfile or the section of a unit that ``i`` stands in."""
    last: re.Match[str] | None = None
    for m in re.finditer(_TARGET, t.s[:i]):
        last = m
    if last is None:
        return up
    title = next(g for g in last.groups() if g)
    sides = name_sides(title) & {Side.PREFILL, Side.DECODE}
    cues = [Cue(s, Weight.NAMED, "target", title, t.at(last.start())) for s in sides if len(sides) == 1]
    return Scope("target", title, up, cues)
