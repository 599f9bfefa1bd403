"""Whether a file near another makes the other side's file from it."""

from __future__ import annotations

import os
from functools import lru_cache

from kvroles.evidence import kinds
from kvroles.evidence.context import FileCtx
from kvroles.evidence.deployment import Deployment
from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.names import mentioned, name_sides, twins
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, occurrences
from kvroles.migrate.beside import kustomized
from kvroles.migrate.beside.across import candidates, in_file
from kvroles.migrate.files import neighbours
from kvroles.migrate.readers import lines, mentions

# A filter or a copy that reads one file and writes another.
_MAKES = (
    b"copy",
    b'"w',
    b"'w",
    b"write_text",
    b"tee ",
    b"s/",
    b"s|",
    b"s#",
    b"s,",
    b"s@",
    b"s!",
    b"replace(",
    b"//",
    b"cp ",
    b"ln -s",
    b"install ",
    b"> ",
    b"yq",
    b"jq",
    b"envsubst",
    b"kubectl ",
)
_SENT = regex(
    r"(?:^|[\s;&|(@])(?:(?:sed|yq|jq|awk|perl|tr|m4|cat|envsubst|ytt|gomplate|jinja2?)\s(?P<read>.*?)"
    r"(?:>|\btee\b)\s*[\"']?(?P<to>[\w./${}-]+)"
    r"|(?:cp|install|ln\s+-s\w*)\s(?P<read2>.*)\s[\"']?(?P<copy>[\w./${}-]+)[\"']?\s*(?:$|[;&|#]))"
    r"|\b(?:copy\w*|rename|replace|symlink)\(\s*(?P<read3>[^,\n]+),\s*[\"'](?P<given>[\w./-]+)[\"']"
)
# A filter that sets what it reads in one file anew and hands it on, or a command that changes what the file makes.
_CHANGED = regex(
    r"(?:^|[\s;&|(@=])(?:(?:go)?[yj]q|dasel|envsubst|sed|perl|ytt|gomplate|jinja2?)\s"
    r"|\bkubectl\s+(?:\S+\s+){0,4}?(?:patch|set|label|annotate)\s"
)
_CHANGES = regex(r"=|\b(?:g?sub|set|put|with|arg\w*)\b|\bs[/|#,@!]")
_SIDES_WORD = regex(r"[A-Za-z][\w-]*")
# A side's word that a variable takes the place of: ``sed "s/prefill/$role/"``.
_VARIED = regex(r"\bs([/|#,@!])[^\n/|#,@!]*(?:prefill|decode)[^\n/|#,@!]*\1[^\n/|#,@!]*\$")
_SAVED = regex(r"\bopen\(\s*[rf]?[\"']([\w./-]+)[\"']\s*,\s*[\"'][wx]|\bPath\([\"']([\w./-]+)[\"']\)\.write_")


def made_into(ctx: FileCtx, side: Side) -> Cue | None:
    """The cue that a file round this one, which is of ``side``, makes the other side's from it: by putting one side's words in
    the place of the other's, or by writing what it reads here to a file named for the other side. None if none is seen to.

    A file that changes words of its own is not meant where the other side's file stands beside this one.
    """
    own = os.path.basename(ctx.path)
    alone = ctx.siblings.isdisjoint(twins(own))
    for candidate in candidates(ctx) if ctx.path != "-" else ():
        if os.path.basename(candidate.path) in kustomized.FILES:
            folder = os.path.basename(os.path.dirname(os.path.abspath(candidate.path)))
            if name_sides(folder) != {side.other}:
                continue  # it lists what there is
            if taken := next((cue for other, cue in in_file(candidate) if other is side.other), None):
                return kinds.MADE_FROM_OTHER.cue(Side.SHARED, f"{candidate.shown}: {taken.words}")
            continue
        s, words = _made(candidate.path, *neighbours.state(candidate.path))
        named = [i for i in occurrences(s, own) if not (s[i - 1 : i].isalnum() or s[i - 1 : i] in {"-", "_"})]
        line = next((ln for i in named if _written(ln := lines.line_at(s, i), own, side)), "")
        if named and not line:
            saved = (m for m in _SAVED.finditer(s) if _of_other(m[1] or m[2], own, side))
            line = next((m.group() for m in saved if s.count(os.path.basename(m[1] or m[2])) == 1), "")
        if line or (words and named and alone):
            return kinds.MADE_FROM_OTHER.cue(Side.SHARED, f"{candidate.shown}: {line.strip()[:80] or words}")
    return None


def _written(line: str, own: str, side: Side) -> bool:
    """Whether a line writes what it reads in ``own``, a file of ``side``, to a file that is named for the other side."""
    if _VARIED.search(line):
        return True
    if _changed(line, own, side):
        return True
    m = _SENT.search(line)
    if m is None or own not in (m["read"] or m["read2"] or m["read3"] or ""):
        return False
    return _of_other(m["to"] or m["copy"] or m["given"] or "", own, side)


def _changed(line: str, own: str, side: Side) -> bool:
    """Whether a line puts the other side into what it reads in ``own``, a file of ``side``: ``yq '.metadata.name = "decode"'``.
    Not where it names the other side's file too: each may be handed on for its own side."""
    if own not in line or _CHANGED.search(line) is None or any(mentions.names(line, twin) for twin in twins(own)):
        return False
    words = line.replace(own, " ")
    return _CHANGES.search(words) is not None and any(mentioned(w) == {side.other} for w in _SIDES_WORD.findall(words))


def _of_other(path: str, own: str, side: Side) -> bool:
    """Whether a path is that of a file of the other side than ``own``, a file of ``side``, and of the same kind."""
    to = os.path.basename(path)
    return os.path.splitext(to)[1] == os.path.splitext(own)[1] and name_sides(to) == {side.other}


@lru_cache(maxsize=512)
def _made(path: str, _written: int, size: int) -> tuple[str, str]:
    """The text of a file that may make one side's file from the other's, and the words by which it changes one side into the
    other; both are empty for any other file."""
    data = neighbours.data(path, size)
    low = data.lower()
    if b"prefill" not in low or b"decode" not in low or not any(sign in low for sign in _MAKES):
        return "", ""
    text = Text(data.decode("utf-8", "replace"))
    words = Deployment(text).substituted
    return text.s, words[0] if words is not None else ""
