"""What a file beside another, or a folder beside its folder, takes over of it whole: an image that is built upon, a folder, a
role of Ansible's, a service of a compose file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from kvroles.evidence import kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.marks import commented
from kvroles.evidence.names import PD, name_sides, twins
from kvroles.evidence.patterns import regex
from kvroles.migrate.beside.near import OWN_CONFIG, files_in, language_of, shown_path
from kvroles.migrate.files import neighbours

_EXTENDS = (  # of a service that sets no command of its own
    r"(?m)^(?P<in>[ \t]+)extends:[ \t]*(?P<how>\{[^}\n]*\}|(?:\r?\n(?P=in)[ \t]+[^\n]*)+)[ \t]*\r?$"
    r"(?!(?:\n(?P=in)[^\n]*)*\n(?P=in)(?:command|entrypoint|args):)"
)
_IMAGE = regex(r"(?im)^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(?P<image>\S+)")


def by_image(ctx: FileCtx) -> Iterator[tuple[Side, Cue]]:
    """The other side, with the cue for it, where its Dockerfile beside this one is built upon an image that is named for this
    one's side, and has no config of its own."""
    own = os.path.basename(ctx.path)
    sides = name_sides(own)
    if len(sides) != 1 or not sides <= set(PD) or language_of(own) != "docker":
        return
    side, folder = next(iter(sides)), os.path.dirname(ctx.path)
    for twin in sorted(ctx.siblings & set(twins(own))):
        text = neighbours.text(os.path.join(folder, twin))
        upon = [m for m in _IMAGE.finditer(text) if name_sides(m["image"].split(":")[0].rsplit("/", 1)[-1]) == sides]
        if upon and OWN_CONFIG.search(text) is None:
            yield side.other, kinds.BUILT_UPON.cue(Side.SHARED, f"{twin}: {upon[0].group().strip()}")


# How one of Ansible's roles takes another whole, and how a play does.
_ROLE_TAKEN = (
    r"(?:(?:include|import)_role:\s*(?:\{{[^}}\n]{{0,80}}\b)?name:\s*"
    r"|\bdependencies:(?:\s*\[[^\]\n]{{0,80}}|(?:\n[^\n]*){{0,20}}?\n[ \t]*-)\s*\{{?\s*(?:role:\s*)?)"
    r"[\"']?{}[\"']?(?![\w.-])"
)


def by_folder(ctx: FileCtx) -> Iterator[tuple[Side, Cue]]:
    """The other side, with the cue for it, where the folder beside that of the file, named for that side, takes this folder or
    the file by its path, or as a role of Ansible's, and the file that does so has no config of its own."""
    path, shown, inside = os.path.dirname(ctx.path), os.path.dirname(ctx.name), os.path.basename(ctx.path)
    while shown:
        own = os.path.basename(shown)
        sides = name_sides(own)
        if len(sides) == 1 and sides <= set(PD):
            break
        path, shown, inside = os.path.dirname(path), os.path.dirname(shown), f"{own}/{inside}"
    else:
        return
    side, above = next(iter(sides)), os.path.dirname(path)
    taken = re.compile(rf"\.\./{re.escape(own)}(?:/(?:[\w.-]+/)*{re.escape(os.path.basename(inside))}|/?)(?![\w./-])")
    role = re.compile(_ROLE_TAKEN.format(re.escape(own))) if os.path.basename(above) == "roles" else None
    for beside in neighbours.folders(above):
        if name_sides(os.path.basename(beside)) != {side.other}:
            continue
        for found in [p for where in (beside, *neighbours.folders(beside)) for p in files_in(where)]:
            text = neighbours.text(found)
            m = taken.search(text) or (role.search(text) if role is not None else None)
            if m is not None and OWN_CONFIG.search(text) is None and not commented(text, m.start(), language_of(found)):
                words = " ".join(m.group().split())[-80:]
                yield (
                    side.other,
                    kinds.EXTENDED.cue(Side.SHARED, f"{shown_path(os.path.dirname(shown), above, found)}: {words}"),
                )
                return


def taken_over(ctx: FileCtx) -> dict[str, tuple[Side, Cue]]:
    """The services of a compose file that another file beside it extends as they are, with the side they serve there."""
    folder, name = os.path.split(ctx.path)
    out: dict[str, tuple[Side, Cue]] = {}
    if ctx.path == "-" or "services:" not in ctx.text.s:
        return out
    for path in files_in(folder):
        if os.path.basename(path) == name or language_of(os.path.basename(path)) != "yaml":
            continue
        text = neighbours.text(path)
        for m in re.finditer(_EXTENDS, text) if name in text else ():
            taken = dict(re.findall(r"(file|service):[ \t]*[\"']?(?:\./)?([\w./-]+)", m.group("how")))
            taker = re.findall(rf"(?m)^(?!{m.group('in')})[ \t]+([\w.-]+):[ \t]*(?:#.*)?\r?$", text[: m.start()])[-1:]
            sides = name_sides(taker[0]) if taker else frozenset()
            if taken.get("file") == name and "service" in taken and len(sides) == 1:
                side, words = next(iter(sides)), f"{os.path.basename(path)}: {taker[0]} extends {taken['service']}"
                out.setdefault(taken["service"], (side, kinds.EXTENDED.cue(Side.SHARED, words)))
    return out
