"""What comments, echoes and role variables say right before and right after a statement of a script."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from kvroles.evidence import argv, comments, given, kinds
from kvroles.evidence.frames import Cue, Scope, Side, Weight
from kvroles.evidence.patterns import regex
from kvroles.evidence.phrases import past, starts_something, without_past
from kvroles.evidence.prose import sides_for_values
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.shell import quoting as shell_words
from kvroles.migrate.readers.shell.script import SAYS, SERVER, Source, command_name, variable_printed
from kvroles.migrate.readers.shell.variables import assigned

REACH = 40  # lines; a comment further up counts only in a script with one ``kv_both``
_MANY = 500  # statements and comments before it: to step back over each takes as long as there are others
MOST = 16  # servers that one comment with a number may be about
_BANNER = regex(r"[-=─━═*~_#]{4,}")
_INSTANCE = regex(
    r"(?i)\b(?:start|launch|run|bring|spin|deploy|boot|serv|instance|worker|node|server|pod|engine|terminal)\w*\b|节点|实例|ノード"
)
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight")
_COUNT = regex(
    rf"(?i)^\W*(?:(?:start|launch|run)\w*\s+)?(\d{{1,2}}|{'|'.join(_NUMBERS)})\s+(?:\w+\s+)?(?:prefill|decod)\w*\s+"
    r"(?:worker|instance|server|node|engine|replica)s\b"
)
_HEAD = 200  # characters
_SET = regex(r"(?:(?:^|\s)(?=\w+\+?=)|>\s*[\"']?\$?\{?)(\w+)")
_PID = regex(r"^\s*(?:local\s+|export\s+)?(\w+)=\"?\$!")


def before(source: Source, inner: Node, site: int, up: Scope) -> Scope:
    """The scope of the nearest comment, echo or role variable before ``inner``, in which the index ``site`` is, with no other
    server started in between.

    A role variable, a line right above, or one about an instance ("prefill worker") decides at once. A looser title ("decode
    settings") counts only if no title for the other side stands further up: a list of settings of both announces neither.
    A title for both sides that does not stand right above counts neither for a branch that names both sides, nor for a name
    that has a twin.
    """
    scope = Scope("block", "", up)
    held: Cue | None = None
    within = (
        _told_in(source, inner)
        if inner.type in {"for_statement", "while_statement", "c_style_for_statement"}
        else set()
    )
    for cue, row in _titles(source, inner, site):
        if cue.side.other in within:
            return scope  # the loop starts the other as well
        if (
            cue.side is Side.SHARED
            and inner.start_point[0] - row > 1
            and (_parts(source, inner) or _twin(source, inner))
        ):
            continue
        if held is None:
            held = cue
            if cue.kind == "variable" or inner.start_point[0] - row <= 1 or _INSTANCE.search(cue.words):
                break
        elif cue.side is not held.side:
            return scope
    if held is None:
        held = _counted(source, inner)
    if held is not None:
        scope.cues.append(held)
    return scope


def _parts(source: Source, inner: Node) -> bool:
    """Whether ``inner`` is a branch that names both sides."""
    if inner.type not in {"if_statement", "case_statement"}:
        return False
    text = grammar.text(source.t, inner).lower()
    return "prefill" in text and "decode" in text


def _twin(source: Source, inner: Node) -> bool:
    """Whether ``inner`` sets a variable, or writes a file, whose name has a twin in this file: each side has its own."""
    head = grammar.text(source.t, inner).split("\n", 1)[0][:_HEAD]
    return any(source.ctx.sides_of(name) and source.ctx.has_twin(name) for name in _SET.findall(head))


def _counted(source: Source, inner: Node) -> Cue | None:
    """The cue of a comment about a number of servers ("two decode workers") that ``inner`` is one of; None without one."""
    started, first, node = 1, inner, inner.prev_sibling
    while node is not None and node.type != "comment":
        if node.is_named and not _PID.match(text := grammar.text(source.t, node)):
            if not SERVER.search(text) or started > MOST:
                return None
            started, first = started + 1, node
        node = node.prev_sibling
    if node is None or started == 1 or node.end_point[0] + 1 < first.start_point[0]:
        return None
    group = [node]
    while (up := group[0].prev_sibling) is not None and up.type == "comment":
        if up.end_point[0] + 1 < group[0].start_point[0]:
            break
        group.insert(0, up)
    cue = _comment(source, group)
    for line in (grammar.text(source.t, c).lstrip("# ") for c in group):
        if cue is not None and source.ctx.title_side(line) is cue.side and (m := _COUNT.match(line)):
            count = int(m[1]) if m[1].isdecimal() else _NUMBERS.index(m[1].lower()) + 2
            return cue if started <= count else None
    return None


def _told_in(source: Source, loop: Node) -> set[Side]:
    """The sides that a loop's own comments and echoes announce."""
    lines = re.findall(r"(?:#|\becho\b)([^\n]*)", grammar.text(source.t, loop))
    return {side for ln in lines if (side := source.ctx.title_side(ln.strip(" \"'")))}


def _titles(source: Source, inner: Node, site: int) -> Iterator[tuple[Cue, int]]:
    """The cues before ``inner``, nearest first, each with the row it ends on; they end at the last server started before it."""
    node = inner.prev_sibling
    group: list[Node] = []
    run: set[str] = set()  # the variables whose commands ``inner`` runs
    row = inner.start_point[0]
    for _ in range(_MANY):
        if node is None:
            return
        if inner.type == "function_definition" and (node.type != "comment" or node.end_point[0] + 1 < row):
            return  # only the comment right above is about the function
        far = inner.start_point[0] - node.end_point[0] > REACH
        if far and (node.type != "comment" or len(source.t.tokens()) > 1):
            return
        row = node.start_point[0]
        if node.type == "comment":
            group.insert(0, node)
            previous = node.prev_sibling
            if previous is not None and previous.type == "comment" and previous.end_point[0] + 1 >= node.start_point[0]:
                node = previous
                continue
            if cue := _comment(source, group):
                yield cue, group[-1].end_point[0]
            elif any(_BANNER.search(grammar.text(source.t, c)) for c in group):
                return  # another section begins here
            group = []
        elif node.is_named:
            text = grammar.text(source.t, node)
            if (words := _echoed(source, node)) is not None:
                side = None if past(words) else source.ctx.title_side(words)
                if side is not None and (starts_something(words) or side.other not in _echoed_before(source, node)):
                    yield kinds.ECHO.cue(side, words.strip()[:80], source.t.at(node.start_byte)), row
                elif side is not None:
                    return
            elif cue := _statement(source, node, inner.start_byte, site):
                yield cue, row
            if node.type != "function_definition" and SERVER.search(text):
                name = assigned(source.t, node) if _puts_to_use(source, node, inner) else ""
                if not name or name in run:
                    return  # another server, also where the same variable held its command
                run.add(name)
        node = node.prev_sibling


def _comment(source: Source, group: list[Node]) -> Cue | None:
    """The first cue of a group of comment lines; None if they start a server themselves, as commented-out code."""
    if group and group[0].prev_sibling is not None and group[0].prev_sibling.end_point[0] == group[0].start_point[0]:
        group = group[1:]  # a comment at the end of a statement's line
    lines = [(source.t.at(c.start_byte), grammar.text(source.t, c).lstrip("#! ").strip()) for c in group]
    if group and grammar.text(source.t, group[0]).startswith("#!"):
        lines = lines[1:]
    if any(SERVER.search(sides_for_values(text)) for _, text in lines):
        return None
    return next(iter(comments.said(lines, source.ctx)), None)


def behind(source: Source, node: Node) -> list[Cue]:
    """The cues of the comment at the end of a statement's line."""
    follow = node.next_named_sibling
    if follow is None or follow.type != "comment" or follow.start_point[0] != node.end_point[0]:
        return []
    return comments.said([(source.t.at(follow.start_byte), grammar.text(source.t, follow).lstrip("# "))], source.ctx)


# A variable that is set or read again: its first value is replaced, or was only a default.
_SET_AGAIN = (
    r"(?<![\w$]){0}=|\b(?:read|mapfile|readarray|getopts|unset|for|select|printf\s+-v)\b[^\n;|]*(?<![$\w]){0}\b"
)


def _statement(source: Source, node: Node, end: int, site: int) -> Cue | None:
    """The cue of an assignment of a role variable, if the variable still has that value at index ``end``, and nothing up to the
    index ``site`` may set any; else None."""
    pos = source.t.at(node.start_byte)
    assignments = [node] if node.type == "variable_assignment" else []
    if node.type == "declaration_command":
        assignments = [c for c in node.children if c.type == "variable_assignment"]
    for a in assignments:
        name = assigned(source.t, a)
        value = a.child_by_field_name("value")
        word = shell_words.unquote(source.t, value).s if value is not None else ""
        if re.match(r"^\$\{\w+:?-(.*)\}$", word):
            continue  # a default says nothing: whoever starts the script may set another value
        cues = [c for c in argv.env_cues(name, word, pos, source.ctx) if c.weight == Weight.FLAG]
        if not cues or given.may_set_any(source.t.s, node.end_byte, site):
            continue
        if not re.search(_SET_AGAIN.format(re.escape(name)), source.t.s[node.end_byte : end]):
            return kinds.ROLE_ASSIGNED.cue(cues[0].side, f"{name}={word}"[:80], pos)
    return None


def _echoed(source: Source, node: Node) -> str | None:
    """The text that a command prints for a person, without its variables; None if it prints nothing."""
    if node.type == "redirected_statement":
        node = next((c for c in node.children if c.type == "command"), node)
    if node.type != "command" or command_name(source.t, node) not in SAYS or variable_printed(source.t, node):
        return None
    return re.sub(r"\$\{?\w+\}?", " ", " ".join(w.s for w in source.words(node)[0][1:]))


def _echoed_before(source: Source, node: Node) -> set[Side]:
    """The sides that the echoes right before ``node`` announce: with both sides, they are a plan and no title."""
    out: set[Side] = set()
    row = node.start_point[0]
    previous = node.prev_named_sibling
    while (
        previous is not None and previous.end_point[0] + 1 >= row and (words := _echoed(source, previous)) is not None
    ):
        if side := source.ctx.title_side(words):
            out.add(side)
        row = previous.start_point[0]
        previous = previous.prev_named_sibling
    return out


def _puts_to_use(source: Source, node: Node, inner: Node) -> bool:
    """Whether ``inner`` runs the command in the variable that ``node`` sets: a title before ``node`` is then about both."""
    if node.type != "variable_assignment":
        return False
    return re.search(rf"\$\{{?{re.escape(assigned(source.t, node))}\b", grammar.text(source.t, inner)) is not None


def after(source: Source, node: Node) -> list[Cue]:
    """The cues right after a command: a comment at the end of its line, ``DECODE_PID=$!``, an echo that it was started."""
    out: list[Cue] = []
    statement = node
    while statement.parent is not None and statement.parent.type in {
        "pipeline",
        "redirected_statement",
        "list",
        "negated_command",
    }:
        statement = statement.parent
    follow = statement.next_named_sibling
    out += behind(source, statement)
    while follow is not None and follow.type == "comment" and follow.start_point[0] <= statement.end_point[0] + 1:
        follow = follow.next_named_sibling
    if follow is not None and follow.start_point[0] <= statement.end_point[0] + 3:
        m = _PID.match(grammar.text(source.t, follow))
        if m:
            place = source.t.at(follow.start_byte)
            out += source.ctx.name_cues(kinds.PID, m.group(1), place, m.group(0).strip())
            follow = follow.next_named_sibling
        words = _echoed(source, follow) if follow is not None else None
        if (
            follow is not None
            and words is not None
            and past(words)
            and (side := source.ctx.title_side(without_past(words)))
        ):
            out.append(kinds.ECHO.cue(side, words.strip()[:80], source.t.at(follow.start_byte)))
    return out
