"""Shell: commands, variables, functions, branches, heredocs."""

from __future__ import annotations

import re
from functools import partial

from tree_sitter import Node

from kvroles.evidence import kinds, marks
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.text import TOKEN, Text, join
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import defaults, grammar, lines, registry, sniff
from kvroles.migrate.readers.base import File
from kvroles.migrate.readers.shell import quoting as shell_words
from kvroles.migrate.readers.shell import script as shell_script
from kvroles.migrate.readers.shell import variables
from kvroles.migrate.readers.shell.scopes import Script
from kvroles.migrate.readers.words import role_set

_WORDS = {"word", "string", "raw_string", "ansi_c_string", "translated_string", "concatenation"}
_CARRIES = {
    "command", "redirected_statement", "variable_assignment", "array", "file_redirect", "declaration_command", "test_command",
    "case_item", "for_statement", "herestring_redirect", "binary_expression", "unary_expression", "program", "ERROR", "subshell",
    "heredoc_redirect", "case_statement", "subscript",
}  # fmt: skip


class _Shell:
    def read(self, text: Text, owner: Scope, file: File) -> list[Site]:
        """The sites in shell text; in text that looks like a console's log, what was not typed there is a record."""
        if not sniff.looks_logged(text.s):
            return _read(text, owner, file)
        out: dict[int, Site] = {text.at(i): Site(text.at(i), owner, "log") for i in text.tokens()}
        for a, b in sniff.typed(text.s):
            if text.tokens_in(a, b):
                out |= {site.pos: site for site in _read(text.slice(a, b), owner, file)}
        return [*out.values()]

    def owner_at(self, text: Text, at: int, owner: Scope, file: File) -> Scope | None:
        """The owners of the word at ``at``; None in a comment."""
        script = file.kept("shell", text, owner, lambda: Script(text, owner, file))
        node = grammar.at(script.root, at, 2)
        if node.type == "comment":
            return None
        return script.chain(node)


def _read(t: Text, up: Scope, ctx: File) -> list[Site]:
    if t.s.lstrip().startswith("-"):  # arguments without their command
        t = join([Text("_ ", t.at(0)), t])
    if (s := marks.prompted(t.s)) != t.s:
        t = t.same_places(s)
    script = Script(t, up, ctx)
    out: list[Site] = []
    done = -1
    with ctx.knowing(script.value_of):
        for i in t.tokens():
            if i < done or not ctx.asked_for_at(t.at(i)):
                continue
            sites, end = _at(script, i)
            out += sites
            done = max(done, end)
    return out


def _at(script: Script, i: int) -> tuple[list[Site], int]:
    """The sites of the word that holds index ``i``, and the index after that word."""
    t, ctx = script.t, script.ctx
    for node in grammar.owners(grammar.at(script.root, i, len(TOKEN))):
        if node.type == "comment":
            if t.at(0) > 0 and all(n.type == "comment" for n in script.root.children):  # a listing of nothing else
                commands = marks.prompted_alone(t.s)
                if commands != t.s:
                    return _read(t.same_places(commands), script.up, ctx), len(t.s)
            kind = "value" if marks.sets_by_comment(grammar.text(t, node), "shell") else "comment"
            return [Site(t.at(k), script.up, kind) for k in t.tokens_in(node.start_byte, node.end_byte)], node.end_byte
        if node.type == "heredoc_body":
            return _heredoc(script, node), node.end_byte
        if node.type == "expansion" and node.parent is not None:
            return _default(script, node, i), node.end_byte
        parent = node.parent
        if parent is None:
            break
        if node.type in _WORDS and (parent.type in _CARRIES or parent.type not in _WORDS):
            if parent.type in {"concatenation", "string", "expansion"}:
                continue
            if parent.type == "command" and (printed := _printed(script, parent)) is not None:
                return printed, parent.end_byte
            return _word(script, node), node.end_byte
    line = t.s.find("\n", i)
    line = len(t.s) if line < 0 else line
    start = t.s.rfind("\n", 0, i) + 1
    return ctx.read(t.slice(start, line), script.set_by_action(i, script.owner_at(i)), "json"), line


def _word(script: Script, node: Node) -> list[Site]:
    t, ctx = script.t, script.ctx
    parent = node.parent
    assert parent is not None
    scope = Scope.deferred(partial(script.chain, node))
    word = shell_words.unquote(t, node)
    if TOKEN not in word.s:  # the token stood across a quote or an escape
        return []
    if parent.type in {"binary_expression", "unary_expression", "test_command", "case_item"}:
        asked = any(o.type == "test_command" and t.s[o.end_byte - 1] == "]" for o in grammar.owners(parent))
        return [Site(word.at(k), scope, "comparison" if asked else "value") for k in word.tokens()]
    if parent.type == "command" and shell_script.is_pattern(t, parent):
        return [
            Site(word.at(k), scope, "pattern" if shell_script.looks_only(t, parent) else "value") for k in word.tokens()
        ]
    if parent.type == "command" and shell_script.says_only(t, parent) and not word.s.lstrip().startswith("{"):
        return [Site(word.at(k), scope, "prose") for k in word.tokens()]
    if (sites := _role(script, node, parent, word, scope)) is not None:
        return sites
    return ctx.read(word, scope)


def _printed(script: Script, command: Node) -> list[Site] | None:
    """The roles in the text that ``printf`` or ``jq`` makes of its format and arguments; None for any other command."""
    name = shell_script.command_name(script.t, command)
    if name not in {"printf", "jq"} or shell_script.says_only(script.t, command):
        return None
    variable = shell_script.variable_printed(script.t, command)
    nodes = script.words(command)[1][3 if variable else 1 :]
    words = [shell_words.unquote(script.t, n) for n in nodes]
    parts: list[Text] = []
    start = 0
    if name == "printf":
        form = words[0] if words else Text("")
        filled = list(zip(re.finditer("%s", form.s), words[1:], strict=False))
    else:
        form = next((w for w in words if "{" in w.s), Text(""))
        flags = [n for n, w in enumerate(words) if w.s == "--arg" and n + 2 < len(words)]
        given = {words[n + 1].s: join([Text('"'), words[n + 2], Text('"')]) for n in flags}
        filled = [(m, given[m[1]]) for m in re.finditer(r"\$(\w+)", form.s) if m[1] in given]
    if not nodes or not (filled or variable):
        return None
    for m, value in filled:
        parts += [form.slice(start, m.start()), value]
        start = m.end()
    made = join([*parts, form.slice(start, len(form.s))])
    scope = Scope.deferred(partial(script.chain, nodes[0]))
    scope = lines.keyed(variable, script.t.at(command.start_byte), scope, script.ctx) if variable else scope
    return [s for s in script.ctx.read(made, scope, "json") if s.kind == "role"]


def _role(script: Script, node: Node, parent: Node, word: Text, scope: Scope) -> list[Site] | None:
    """The site of a word that is a role, or that sets one by a flag or variable; None if the word holds more than that."""
    k = word.s.index(TOKEN)
    pos, exact = word.at(k), word.exact(k, len(TOKEN))
    alone = word.s.strip() == TOKEN
    variable = defaults.variable_of(word.s)
    if parent.type == "variable_assignment" and (alone or variable is not None):
        name = variables.assigned(script.t, parent)
        if not connectors.is_role_key(name):
            return [Site(pos, scope, "value")]
        own = script.set_for(parent)
        wrapped: tuple[str, ...] = ()
        connector = script.ctx.named(connectors.beside(name, own))
        if connector is None:
            connector, wrapped = script.connector_of_role(name)
        return [Site(pos, scope, "role", connector, wrapped, exact=exact)]
    words, nodes = script.words_of(node)
    index = next((n for n, w in enumerate(nodes) if w.start_byte <= node.start_byte < w.end_byte), -1)
    found = role_set(words, index, script.ctx) if index >= 0 else None
    if found is None:
        return [Site(pos, scope, "word" if script.t is script.ctx.text else "value")] if alone else None
    scope = lines.keyed(found.key, word.at(0), scope, script.ctx)
    connector, wrapped = found.connector, tuple[str, ...]()
    if connector is None and re.fullmatch(r"\w+", found.key):  # a variable, which the script may set the rest of
        connector, wrapped = script.connector_of_role(found.key)
    return [Site(pos, scope, "role", connector, wrapped, found.extra, exact)]


def _default(script: Script, node: Node, i: int) -> list[Site]:
    """The sites in the default of ``${VAR:-kv_both}`` or ``${CONFIG:-{...}}``; ``i`` is the token's index."""
    t = script.t
    inner = t.slice(node.start_byte + 2, node.end_byte - 1)
    around = node.parent
    if "{" in inner.s and around is not None and around.type == "string":
        # To a shell the first closing brace ends ${VAR:-{...}} and the second is text behind it. The result is one object.
        inner = t.slice(node.start_byte + 2, around.end_byte - 1)
    m = re.match(r"(\w+):?[-=]", inner.s)
    scope = Scope.deferred(partial(script.chain, node))
    if m is None:
        return [Site(t.at(i), scope, "value")]
    name = m.group(1)
    body = inner.slice(m.end(), len(inner.s))
    scope = Scope("variable", name, scope)
    scope.cues += script.ctx.name_cues(kinds.VARIABLE, name, t.at(node.start_byte))
    quoted = body.s.strip("\"' ")
    if quoted == TOKEN:
        k = body.s.index(TOKEN)
        holder = node.parent
        while holder is not None and holder.type not in {"variable_assignment", "command"}:
            holder = holder.parent
        if not connectors.is_role_key(name):
            return [Site(body.at(k), scope, "value")]
        target = variables.assigned(t, holder) if holder is not None and holder.type == "variable_assignment" else name
        connector, wrapped = script.connector_of_role(target or name)
        if connector is None:
            inside = _object_around(script, node)
            if inside is not None:
                return inside
        return [Site(body.at(k), scope, "role", connector, wrapped, exact=body.exact(k, len(TOKEN)))]
    return script.ctx.read(body, scope)


def _object_around(script: Script, node: Node) -> list[Site] | None:
    """The site of a default that is a role inside an object: ``{"kv_role":"${ROLE:-kv_both}"}``; None if it is in no object."""
    for owner in grammar.owners(node):
        if owner.type in {"string", "heredoc_body", "concatenation"}:
            t = (
                shell_words.unquote(script.t, owner)
                if owner.type != "heredoc_body"
                else script.t.slice(owner.start_byte, owner.end_byte)
            )
            for k in t.tokens():
                if not script.t.at(node.start_byte) <= t.at(k) < script.t.at(node.end_byte):
                    continue
                held = shell_script.object_at(t, k)
                if held is not None and connectors.is_role_key(held.key):
                    connector = script.ctx.named(connectors.connector_of(held.config))
                    extra, exact = connectors.settings(held.config), t.exact(k, len(TOKEN))
                    return [Site(t.at(k), script.chain(node), "role", connector, held.wrappers, extra, exact)]
    return None


def _heredoc(script: Script, node: Node) -> list[Site]:
    """The sites in a heredoc, read in the language of the file that it is written to."""
    t = script.t
    body = t.slice(node.start_byte, node.end_byte)
    scope = Scope.deferred(partial(script.chain, node))
    targets = script.heredoc_targets(node)
    lang = registry.lang_of_name(targets[-1]) if targets else ""
    if targets:
        target = targets[-1]
        writer = next((o for o in grammar.owners(node) if o.type == "redirected_statement"), node)
        scope = Scope("file", target, scope, find_uses=partial(script.read_back, target, writer), only_doubts=True)
        for name in targets:
            scope.cues += script.ctx.name_cues(kinds.FILE_WRITTEN, name, t.at(node.start_byte))
    return script.ctx.read(body, scope, lang if lang != "notebook" else "")


SHELL = _Shell()
