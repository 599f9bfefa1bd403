"""What is laid over a file whose settings say a side: a role's variables, a chart's own values, an overlay, another file.

``role: prefill`` in ``compose.yml`` is prefill's until ``compose.decode.yml`` says ``role: decode`` of the same service.
"""

from __future__ import annotations

import os
import re
from itertools import islice

from kvroles.evidence import kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.names import PD, holds_defaults, mentioned, name_sides
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences
from kvroles.migrate.beside import kustomized, near
from kvroles.migrate.connector import overlays, regions
from kvroles.migrate.files import neighbours
from kvroles.migrate.readers import registry
from kvroles.migrate.readers.template import actions as template

_DEFAULTS = regex(r"(?:^|/)roles/[^/]+/defaults/|(?:^|/)group_vars/all(?:[./]|$)")
_VALUES = regex(r"(?:^|/)values\.ya?ml$")
_VALUES_OF = regex(r"(?:values[-_.].*|.*[-_.]values)\.ya?ml$")
_CHART = frozenset({"Chart.yaml", "Chart.yml"})
_SAYS = {
    side: rf"[\"']?[\w.-]{{0,60}}{word}[\w.-]{{0,60}}[\"']?(?=[\s,}}\])]|$)"
    for side, word in ((Side.PREFILL, "(?i:prefill)"), (Side.DECODE, "(?i:decod)"))
}
_SAYS_IT = {side: regex(says) for side, says in _SAYS.items()}
# By which another object is made of the one whose name stands behind: it is spread, or taken by a call that merges or copies.
_TAKEN = regex(
    r"(?:(?:\*\*|\.\.\.?)\s*"
    r"|\b\w*(?:merge|assign|combine|replace|evolve|union|extend|override)\w*[ (][^()]{0,80}(?:\([^()]{0,80}\)[^()]{0,40})?)"
    r"(?<![\w-])(?:\$|local\.|self\.|this\.)?$"
)
_CHANGED = regex(
    r"\s*(?:\|(?!\|)|(?i:(?:\.PSObject)?\.(?:copy|deep_?copy|model_copy|update|_?replace|clone|merge)\())"
)  # of the one whose name stands before
_TAKER = regex(r"(\$?\w+)\s*(?::[^=\n]{1,60})?:?=(?!=)[^\n=]*\Z")  # what a line sets to what stands behind
_COPYING = frozenset({"python", "javascript", "typescript", "tsx", "go", "rust", "hcl", "powershell"})
_PAIRED = r"[\"']{0}[\"']\s+{1}"  # of a template's dict
_WORD = regex(r"[\w-]")
_MANY = 60  # copies of one name
_BEFORE = 240  # characters before a name
_NEAR = 4000  # characters round a value in which its release is given others
_HELM = regex(r"--set(?:-string)?[= ]")
_GIVES = regex(
    r"\b(?:parameters|fileParameters|valuesFrom|set|setString|set_list|set_sensitive|set_values|setValues|setValueTemplates)"
    r"[\"']?\s*[:={]|--set(?:-string)?[= ]"
)
# A key given by its name or path, and its value or the file that has it; a key given on a command line.
_ENTRY = (
    r"""(?:(?:name|targetPath)["']?\s*[:=]\s*["']?(?:[\w-]+\.)*{0}["']?(?![\w.-])(?:\s*,?\s*["']?(?:value|path)["']?\s*[:=]\s*"""
    r"""|)|(?:--set(?:-string)?[= ]|\bvalue["']?\s*[:=]\s*["']?)(?:[^\s=]*,)?(?:[\w-]+\.)*{0}="""
    r"""|\bset(?:Values|ValueTemplates)["']?\s*:[ \t]*\{{?(?:[^\n]*\n){{1,20}}?[ \t]+["']?(?:[\w-]+\.)*{0}["']?\s*:\s*)"""
    r"""(?P<value>[^\n,}}]*)"""
)
_CONFIG = regex(r"kv[-_]role|kv[-_]connector|kv-transfer-config|kvRole|kvConnector")


def by(ctx: FileCtx, side: Side, cues: list[Cue]) -> tuple[str, str] | None:
    """What may set another side than ``side``, which only the settings in ``cues`` say: its kind and name; None if nothing
    is seen that does."""
    keys = _keys(cues)
    if any(_given_anew(ctx, cue.pos, keys, side) for cue in cues):
        return "release", ctx.name
    if any(overlays.spread_behind(ctx.text.s, cue.pos) for cue in cues if cue.pos >= 0):
        return "object", ctx.name
    if ctx.path == "-":
        return None
    if _DEFAULTS.search(ctx.name):
        return "file", ctx.name
    if _VALUES.search(ctx.name):
        if not _CHART.isdisjoint(ctx.siblings) and not _sets(ctx.text.s, keys, side.other):
            return "chart", ctx.name
        if any(_VALUES_OF.match(n) and mentioned(n) & set(PD) for n in ctx.siblings):
            return "file", ctx.name
    if _patches(ctx.text.s, keys, side.other):
        return "file", ctx.name
    return _laid_over(ctx, keys, side) or kustomized.anew(ctx, kustomized.called(cues), keys, side)


def copied(ctx: FileCtx, side: Side, cues: list[Cue], names: set[str]) -> tuple[str, str] | None:
    """The one of ``names``, those of what holds the settings in ``cues``, of which the file makes an object whose settings say
    the other side than ``side``: its kind and name."""
    keys = _keys(cues)
    if registry.lang_of_name(ctx.name) not in _COPYING and not template.is_template(ctx.text):
        return None
    if ("prefill" if side is Side.DECODE else "decod") not in ctx.low:
        return None
    found = next((name for name in sorted(names) if _copied(ctx.text.s, name, keys, side.other)), None)
    return ("variable", found) if found is not None else None


def _keys(cues: list[Cue]) -> set[str]:
    """The keys of the settings in ``cues``."""
    return {key for cue in cues if (key := kinds.key_of(cue))}


def _copied(s: str, name: str, keys: set[str], side: Side) -> bool:
    """Whether a text makes another object of the one called ``name``, in which one of ``keys`` is of ``side``."""
    name = name.lstrip("$")
    for i in islice(occurrences(s, name), _MANY):
        end = i + len(name)
        taker = None if _WORD.match(s, end) else _TAKER.search(s, s.rfind("\n", 0, i) + 1, i)
        if taker is not None and any(
            re.search(rf"{re.escape(taker[1])}(?:\.|\[[\"'`]){re.escape(key)}[\"'`]?\]?\s*=\s*{_SAYS[side]}", s, re.M)
            for key in keys
        ):
            return True
        behind = None if _WORD.match(s, end) else _CHANGED.match(s, end)
        if behind is None and (_WORD.match(s, end) or _TAKEN.search(s, max(0, i - _BEFORE), i) is None):
            continue
        at = behind.end() if behind is not None and s[behind.end() - 1] == "(" else i
        line = i, max(end, s.find("\n", end))
        a, b = next(regions.near(s, at, _NEAR), line)
        if _sets(s[a:b], keys, side):
            return True
        if any(re.search(_PAIRED.format(re.escape(key), _SAYS[side]), s[a:b]) for key in keys):
            return True
    return False


def _given_anew(ctx: FileCtx, place: int, keys: set[str], side: Side) -> bool:
    """Whether the release whose values set one of ``keys`` at index ``place`` is given the key once more, beside its values, and
    not for the same side: Argo CD's ``parameters``, Flux's ``valuesFrom``, ``set`` of Helmfile and Terraform, ``--set``."""
    s = ctx.text.s
    if place < 0 or _GIVES.search(s) is None:
        return False
    near = max(0, place - _NEAR), min(len(s), place + _NEAR)
    around = regions.blocks(s, place) if ctx.name.endswith((".yaml", ".yml", "-")) else regions.around(s, place, *near)
    own = next((r for r in around if _GIVES.search(s, *r)), None)
    a, b = own if own is not None else near if _HELM.search(s, *near) is not None else (0, 0)
    return any(
        _SAYS_IT[side].match(m["value"] or "") is None
        for key in keys
        for m in re.compile(_ENTRY.format(re.escape(key.rsplit(".", 1)[-1]))).finditer(s, a, b)
    )


def _laid_over(ctx: FileCtx, keys: set[str], side: Side) -> tuple[str, str] | None:
    """A file beside the one at hand, or an overlay of its folder, that sets one of ``keys`` to the other side and has no config
    of its own."""
    folder, name = os.path.split(ctx.path)
    for path in near.files_in(folder) if any(_of(name, n) for n in ctx.siblings) else ():
        other = os.path.basename(path)
        if _of(name, other) and _sets(text := neighbours.text(path), keys, side.other) and _CONFIG.search(text) is None:
            return "file", other
    if f"{name}.d" in ctx.siblings:  # systemd's drop-ins
        for path in near.files_in(os.path.join(folder, f"{name}.d")):
            if _sets(text := neighbours.text(path), keys, side.other) and _CONFIG.search(text) is None:
                return "file", f"{name}.d/{os.path.basename(path)}"
    if "kustomization.yaml" not in ctx.siblings or "/" not in ctx.name:
        return None
    own = os.path.basename(os.path.abspath(folder))
    parent = os.path.join(folder, "..")
    for overlay in (*neighbours.folders(parent), *neighbours.folders(os.path.join(parent, "overlays"))):
        if os.path.basename(overlay) == own:
            continue
        texts = [neighbours.text(path) for path in near.files_in(overlay)]
        if not any(re.search(rf"\.\./{re.escape(own)}(?![\w.-])", t) for t in texts):
            continue
        named = name_sides(os.path.basename(overlay)) == {side.other}
        if any(_patches(t, keys, side.other) or (named and _sets(t, keys, side.other)) for t in texts):
            return "folder", os.path.basename(overlay)
    return None


def _of(name: str, other: str) -> bool:
    """Whether the file ``other`` is laid over the one called ``name`` beside it, by their names: ``compose.decode.yml`` over
    ``compose.yml``, ``.env.decode`` over ``.env``, any file of the kind over ``base.yaml``."""
    stem, suffix = os.path.splitext(name)
    if other == name or not other.endswith(suffix):
        return False
    if other.endswith(name):
        return other[-len(name) - 1] in "-_."
    return (other.startswith(stem) and other[len(stem) : len(stem) + 1] in {"-", "_", "."}) or holds_defaults(stem)


def _sets(text: str, keys: set[str], side: Side) -> bool:
    """Whether a text sets one of ``keys`` to ``side``: as a pair, or as a name with its value."""
    return any(
        re.search(
            rf"(?<![\w.-]){re.escape(key)}[\"']?\s*(?:[:=]|,?\s*[\"']?value[\"']?\s*[:=])\s*{_SAYS[side]}", text, re.M
        )
        for key in keys
    )


def _patches(text: str, keys: set[str], side: Side) -> bool:
    """Whether a text holds a patch that sets one of ``keys`` to ``side``, by its path."""
    return any(
        re.search(
            rf"path[\"']?:\s*[\"']?[\w./~-]{{0,200}}(?:/|~1){re.escape(key.rsplit('/', 1)[-1])}[\"']?\s*,?\s*"
            rf"(?:[\"']?op[\"']?:\s*\S+\s+)?[\"']?value[\"']?:\s*{_SAYS[side]}",
            text,
            re.M,
        )
        for key in keys
    )
