"""Who owns a word of a shell script: its command, variable, branch and function, and the comment or echo right before them."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property, partial
from itertools import islice

from tree_sitter import Node

from kvroles.evidence import argv, kinds, loops, pickers
from kvroles.evidence.frames import Cue, Scope, Side, Weight
from kvroles.evidence.names import PD, mentioned, own, side_word, twins
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences
from kvroles.migrate.readers import grammar, mentions
from kvroles.migrate.readers.base import MANY
from kvroles.migrate.readers.shell import additions
from kvroles.migrate.readers.shell import said as shell_said
from kvroles.migrate.readers.shell.conditionals import Conditionals
from kvroles.migrate.readers.shell.script import SERVER, command_name
from kvroles.migrate.readers.shell.variables import BLOCKS, assigned
from kvroles.migrate.readers.template import actions as template
from kvroles.migrate.readers.template import branches

_BARE = regex(r"[A-Za-z]{2,}(?:[-_]?\d+)?")
_LAUNCHERS = frozenset({"mpirun", "mpiexec", "orterun", "prterun", "srun"})
_ALIASED = regex(r"\b(?:declare|local|typeset)\s+-\w*n\w*\s+(\w+)=[\"']?(\w+)\b")
_ANEW = regex(r"kv_(?:role|producer|consumer)")
_TELLS = regex(r"(?:printf\s+-v|read(?:\s+-\w+)*)\s+(\w+)")  # a command that sets a variable to what it is given

_FED = 4000  # characters that a loop reads

# An action that sets a variable of a template.
_SET = regex(r"\{%-?\s*set\s+(\w+)\s*=|\{\{-?\s*(\$\w+)\s*:?=")


class Script(Conditionals):
    """One shell text. ``chain`` gives the owners of any node of it."""

    def chain(self, node: Node, *, follow: bool = True) -> Scope:
        """The scopes that own ``node``."""
        scope = self._in_template(node.start_byte)
        owners = list(grammar.owners(node))[::-1]
        for n, owner in enumerate(owners):
            inner = owners[n + 1] if n + 1 < len(owners) else None
            match owner.type:
                case "function_definition":
                    scope = self._function(owner, scope, follow)
                case "if_statement" | "elif_clause" | "else_clause":
                    scope = self._branch(owner, inner, scope)
                    scope.fork = self._fork(owner, inner)
                case "case_item":
                    scope = self._case(owner, scope)
                    scope.fork = self._fork(owner, inner)
                case "for_statement" | "c_style_for_statement":
                    scope = self._loop(owner, scope)
                case "while_statement":
                    scope = self._fed(owner, scope)
                case "list":
                    if (chosen := self._short_circuit(owner, inner, scope)) is not scope:
                        scope = chosen
                        scope.fork = self.t.at(owner.start_byte), inner.start_byte if inner is not None else 0
                case "variable_assignment":
                    if owner.parent is None or owner.parent.type != "command":
                        scope = self._variable(owner, additions.scope(self, owner, scope), follow)
                    elif inner is not None and inner.type != "variable_name":
                        scope = self._named(kinds.VARIABLE, assigned(self.t, owner), scope, owner)
                case "array":
                    scope = self._array(owner, node, scope)
                case "concatenation" if owner.parent is not None and owner.parent.type == "array":
                    if key := re.match(r"\[[\"']?([\w-]+)[\"']?\]=", grammar.text(self.t, owner)):  # ([prefill]=...)
                        scope = self._named(kinds.KEY, key.group(1), scope, owner)
                        side = scope.cues[0].side if len(scope.cues) == 1 else None
                        held = next((o for o in grammar.owners(owner) if o.type == "variable_assignment"), None)
                        if follow and side in PD and held is not None:
                            scope.find_handed_on = partial(
                                self._entry_handed_on, assigned(self.t, held), key.group(1), side.other
                            )
                case "command":
                    if owner.parent is None or owner.parent.type != "redirected_statement":
                        scope = self._command(owner, node, scope)
                case "redirected_statement":
                    scope = self._command(owner, node, scope)
                case _:
                    pass
            if owner.type in BLOCKS and inner is not None and inner.type not in {"else_clause", "elif_clause"}:
                otherwise = self._otherwise(owner, inner, owners[n + 1 :], scope)
                scope = shell_said.before(self, inner, node.start_byte, otherwise)
        return scope

    def owner_at(self, at: int) -> Scope:
        """The scopes that own index ``at``, also where nothing but an action of a template stands."""
        node = grammar.at(self.root, at)
        return self.chain(node) if node.parent is not None else self._in_template(at)

    def _in_template(self, at: int) -> Scope:
        """The scopes of the template's blocks round index ``at``. The innermost is made anew: it is told what it is a use of."""
        scope = self.up
        around = self.nest.around(at)
        for branch in around[:-1]:
            if branch.start not in self._around:
                self._around[branch.start] = branches.scope_of(branch, scope, self.t, self.ctx)
            scope = self._around[branch.start]
        return branches.scope_of(around[-1], scope, self.t, self.ctx) if around else scope

    # -- owners -------------------------------------------------------------------------------------------------------

    def _named(self, kind: kinds.Kind, name: str, up: Scope, node: Node) -> Scope:
        scope = Scope(kind.name, name, up)
        scope.cues += self.ctx.name_cues(kind, name, self.t.at(node.start_byte))
        return scope

    def _function(self, node: Node, up: Scope, follow: bool) -> Scope:
        name = node.child_by_field_name("name")
        word = grammar.text(self.t, name) if name else ""
        scope = self._named(kinds.FUNCTION, word, up, node)
        if follow and word:
            scope.find_uses = partial(self._calls, word, node)
        return scope

    def _calls(self, word: str, node: Node) -> list[Scope]:
        """The owners of every call of a function."""
        out: list[Scope] = []
        name = re.escape(word)
        for m in re.finditer(rf"{name}(?<![\w$/.-]{name})(?![\w.-])(?!\s*\()", self.t.s):
            if not node.start_byte <= m.start() < node.end_byte:
                call = grammar.at(self.root, m.start(), len(word))
                if any(o.type == "command_name" for o in grammar.owners(call)):
                    out.append(self._call(call))
                    out[-1].place = self.t.at(m.start())
        return out

    def _call(self, node: Node) -> Scope:
        """The owners of a call of a function, each argument that names a side being a cue."""
        scope = self.chain(node)
        for s in scope.chain():
            if s.kind == "command":
                own = next((o for o in grammar.owners(node) if o.type == "command"), None)
                if own is not None:
                    s.cues += self._arguments(own)
                break
        return scope

    def _arguments(self, call: Node) -> list[Cue]:
        """The cue of each argument of a function's call that names a side."""
        out: list[Cue] = []
        for w in self.words(call)[0][1:]:
            side = self.ctx.role_of(w.s) if len(w.s) > 1 else None
            side = side or self.ctx.side_of(w.s)
            if side is not None and not w.s.startswith("-"):
                out.append(kinds.CALL.cue(side, f"{command_name(self.t, call)} {w.s}", w.pos))
        return out

    def _told_by_call(self, call: Node, site: Node) -> list[Cue]:
        """The cue of the argument that is a side, beside the config ``site`` that a function of this script is given as well, if
        the function puts the config to use and speaks of no side itself."""
        words = self.words(call)[0] if call.type == "command" else []
        name = command_name(self.t, call) if words else ""
        if not name or not own(name) or pickers.many(w.s for w in words) or not (taken := self.passed(site)):
            return []
        plain = [
            n for n in range(1, len(words)) if not words[n].s.startswith("-") and not words[n - 1].s.startswith("-")
        ]
        named = (words[n] for n in plain if _BARE.fullmatch(words[n].s))
        said = [(side, w) for w in named if (side := side_word(w.s)) in PD]
        body = next((o for o in grammar.owners(taken[0]) if o.type == "function_definition"), None)
        if len(said) != 1 or body is None or {s for s in PD if s.value in grammar.text(self.t, body).lower()}:
            return []
        side, word = said[0]
        return [kinds.CALL.cue(side, f"{name} {word.s}", word.pos)] if side is not None else []

    def set_by_action(self, at: int, up: Scope) -> Scope:
        """The scope of the variable of a template that the action round index ``at`` sets; ``up`` if it sets none."""
        actions = template.actions(self.t.s) if self.templated else []
        n = bisect_right(actions, (at, len(self.t.s))) - 1
        own = actions[n] if n >= 0 and at < actions[n][1] else None
        m = _SET.match(self.t.s, *own) if own is not None else None
        if own is None or m is None:
            return up
        name = m[1] or m[2]
        scope = Scope("variable", name, up, self.ctx.name_cues(kinds.VARIABLE, name, self.t.at(own[0])))
        used = regex(rf"(?<![\w.$]){re.escape(name)}\b")

        def uses() -> list[Scope]:
            named = template.with_word(self.t.s, name)
            found = [(a, b) for a, b in named if (a, b) != own and used.search(self.t.s, a, b) is not None]
            out = [self.set_by_action(a, self.owner_at(a)) for a, _ in found]
            for scope, (a, _) in zip(out, found, strict=True):
                scope.place = self.t.at(a)
            return out

        scope.find_uses = uses
        return scope

    def read_back(self, target: str, writer: Node) -> list[Scope]:
        """The owners of every place outside ``writer`` that names the file ``target``, here and in the rest of the document."""
        name = target.rsplit("/", 1)[-1]
        if variable := re.fullmatch(r"\$\{?(\w+)\}?", name):
            found = [m.start() for m in islice(re.finditer(rf"\$\{{?{variable.group(1)}\b", self.t.s), MANY)]
        else:
            found = list(mentions.places(self.t.s, name))
        out = self.elsewhere(name) if self.elsewhere is not None and not variable else []
        for i in found:
            use = grammar.at(self.root, i, 2)
            if _within(writer, i) or use.type == "comment":
                continue
            out.append(self.chain(use))
            out[-1].place = self.t.at(i)
        return out if variable else out + self._made_of(name, writer)

    def _made_of(self, name: str, writer: Node) -> list[Scope]:
        """The owners of every command outside ``writer`` that writes what it reads in the file ``name`` to its twin, and sets no
        role in it: ``sed s/8100/8200/ prefill.yaml > decode.yaml``."""
        others = set(twins(name))
        if not any(other in self.t.s for other in others):
            return []
        out: list[Scope] = []
        for i in islice(occurrences(self.t.s, name), MANY):
            for owner in grammar.owners(grammar.at(self.root, i, 2)) if not _within(writer, i) else ():
                if owner.type not in {"command", "redirected_statement"}:
                    continue
                _, _, targets = self.words_and_targets(owner)
                made = [w for w in targets if w.s.rsplit("/", 1)[-1] in others]
                if made and _ANEW.search(grammar.text(self.t, owner)) is None:
                    cues = argv.redirect_cues(made, self.ctx)
                    out.append(Scope("command", "", None, cues, place=self.t.at(i)))
                    break
        return out

    def _loop(self, node: Node, up: Scope) -> Scope:
        head = self.t.s[node.start_byte : node.end_byte].split("\n", 1)[0].split(" do", 1)[0]
        return Scope("loop", head, up, loops.cues(head, head.strip()[:80], self.ctx, self.t.at(node.start_byte)))

    def _fed(self, node: Node, up: Scope) -> Scope:
        """The scope of a ``while`` that reads lines of both sides; ``up`` of any other."""
        top, given = node.parent, ""
        if top is not None and top.type == "redirected_statement":
            given = self.t.s[node.end_byte : top.end_byte]
            top = top.parent
        if top is not None and top.type == "pipeline":
            given += self.t.s[top.start_byte : node.start_byte]
        if len(given) > _FED or not {s for w in re.findall(r"[\w-]+", given) for s in mentioned(w)} >= set(PD):
            return up
        words = " ".join(given.split())[:80]
        return Scope("loop", words, up, [kinds.LOOP_OVER_BOTH.cue(Side.SHARED, words, self.t.at(node.start_byte))])

    def _variable(self, node: Node, up: Scope, follow: bool) -> Scope:
        name = assigned(self.t, node)
        key = re.match(r"\w+\[[\"']?([\w-]+)[\"']?\]", grammar.text(self.t, node))  # CMD[prefill]=...
        entry = key.group(1) if key and mentioned(key.group(1)) else ""
        scope = self._named(kinds.VARIABLE, entry or name, up, node)
        if said := shell_said.behind(self, node):
            scope = Scope("line", "", up, said)
            scope = self._named(kinds.VARIABLE, name, scope, node)
        if follow and name:
            scope.find_uses = partial(self._put_to_use, name, node)
        side = scope.cues[0].side if len(scope.cues) == 1 else None
        if side in PD:
            scope.find_handed_on = (
                partial(self._entry_handed_on, name, entry, side.other)
                if entry
                else partial(self._handed_on, name, node, side.other)
            )
        return scope

    def _handed_on(self, name: str, node: Node, other: Side) -> Cue | None:
        """The cue of a variable or function of side ``other`` that takes the value of ``name`` unchanged, or is its alias."""
        for alias, start in self._aliases.get(name, ()):
            if mentioned(alias) == {other}:
                return kinds.HANDED_ON.cue(other, alias, self.t.at(start))
        for use in self.uses(name, node):
            for owner in grammar.owners(use):
                if owner.type == "variable_assignment":
                    taker = assigned(self.t, owner)
                elif owner.type in {"command", "redirected_statement"} and (
                    told := _TELLS.match(grammar.text(self.t, owner))
                ):
                    taker = told[1]
                elif owner.type == "function_definition" and (named := owner.child_by_field_name("name")):
                    taker = grammar.text(self.t, named)
                else:
                    continue
                source = re.sub(rf"\b{re.escape(taker)}\b", "", grammar.text(self.t, owner))
                said = {s for w in re.findall(r"\w+", source) for s in mentioned(w)}
                if mentioned(taker) == {other} and other not in said:
                    return kinds.HANDED_ON.cue(other, taker, self.t.at(use.start_byte))
        return None

    def _entry_handed_on(self, table: str, key: str, other: Side) -> Cue | None:
        """The cue of what is of side ``other`` and set to the entry ``key`` of a ``table``: ``KV[decode]=${KV[prefill]}``."""
        entry = rf"{re.escape(table)}\[[\"']?{re.escape(key)}[\"']?\]"
        taken = rf"(?m)(?:^|[\s;])(?P<taker>\w+(?:\[[\w\"'-]+\])?)=[\"']?\$\{{{entry}"
        for m in re.finditer(taken, self.t.s) if table else ():
            if mentioned(m["taker"]) == {other}:
                return kinds.HANDED_ON.cue(other, m["taker"], self.t.at(m.start("taker")))
        return None

    @cached_property
    def _aliases(self) -> dict[str, list[tuple[str, int]]]:
        """The aliases that the text makes of each variable, with their places."""
        out: dict[str, list[tuple[str, int]]] = {}
        for m in _ALIASED.finditer(self.t.s):
            out.setdefault(m[2], []).append((m[1], m.start()))
        return out

    def _put_to_use(self, name: str, node: Node) -> list[Scope]:
        """The owners of every use of a variable; where it is passed to a function, of the argument's uses there.

        Uses in other parts of the document count if the name has an underscore: any other may be a common word.
        """
        out = self.elsewhere(name) if self.elsewhere is not None and "_" in name else []
        for use in self.uses(name, node):
            taken = [self.chain(n) for n in self.passed(use)]
            call = self.chain(use) if not taken or not any(_asks_inside(s) for s in taken) else None
            if taken and call is not None and not any(c.kind == kinds.CALL.name for s in call.chain() for c in s.cues):
                call = None
            for scope in [call] if call is not None else taken:
                out.append(scope)
                scope.place = self.t.at(use.start_byte)
        return out

    def _array(self, node: Node, site: Node, up: Scope) -> Scope:
        words, nodes = self.words(node)
        if not any(w.s.startswith("-") for w in words):
            return up
        index = next((i for i, w in enumerate(nodes) if w.start_byte <= site.start_byte < w.end_byte), -1)
        scope = Scope("list", "", up, argv.cues(words, self.ctx, skip=index))
        scope.flags = argv.flags_of(words)
        return scope

    def _command(self, node: Node, site: Node, up: Scope) -> Scope:
        words, nodes, targets = self.words_and_targets(node)
        if (held := self._held_by(node)) is not None:
            up = self._named(kinds.VARIABLE, assigned(self.t, held), up, held)
        scope = Scope("command", words[0].s if words else "", up)
        source = grammar.text(self.t, node)
        scope.launch = SERVER.search(source) is not None
        index = next((i for i, w in enumerate(nodes) if w.start_byte <= site.start_byte < w.end_byte), -1)
        if scope.name.rsplit("/", 1)[-1] in _LAUNCHERS and index >= 0:
            words, index = _of_one_program(words, index)
        scope.cues = argv.cues(words, self.ctx, skip=index) + argv.redirect_cues(targets, self.ctx)
        scope.flags = argv.flags_of(words)
        scope.cues += self._told_by_call(node, site)
        scope.cues += shell_said.after(self, node) + self._open_words(node, words) + self._role_given(node)
        if targets and re.match(r"(?:echo|printf|cat|tee|jq|yq|envsubst)\b", scope.name):
            scope = Scope("file", targets[-1].s, scope, argv.redirect_cues(targets, self.ctx))
            scope.find_uses, scope.only_doubts = partial(self.read_back, targets[-1].s, node), True
        return scope

    def _held_by(self, node: Node) -> Node | None:
        """The assignment that a whole line is the value of, in a file of variables, where no quotes are needed:
        ``PREFILL_ARGS=--port 8100 --kv-transfer-config {...}``. None if a command stands behind it."""
        command = node if node.type == "command" else next((c for c in node.children if c.type == "command"), node)
        held = next((c for c in reversed(command.children) if c.type == "variable_assignment"), None)
        if held is None:
            return None
        value = held.child_by_field_name("value")
        base = self.ctx.name.rsplit("/", 1)[-1]
        in_env_file = (base.endswith(".env") or base.startswith(".env")) and self.t is self.ctx.text
        return held if in_env_file or (value is not None and grammar.text(self.t, value).startswith("-")) else None


def _within(node: Node, i: int) -> bool:
    """Whether index ``i`` is in a node."""
    return node.start_byte <= i < node.end_byte


def _asks_inside(scope: Scope) -> bool:
    """Whether anything within the function that a place is in says a side."""
    for s in scope.chain():
        if s.kind == "function":
            return False
        if any(c.weight > Weight.HINT for c in s.cues):
            return True
    return False


def _of_one_program(words: list[argv.Word], index: int) -> tuple[list[argv.Word], int]:
    """Of the words of a launcher that starts several programs, with colons between, those of the one with word ``index``."""
    ends = [i for i, w in enumerate(words) if w.s == ":"]
    start = max((i + 1 for i in ends if i < index), default=0)
    end = min((i for i in ends if i > index), default=len(words))
    return (words[start:end], index - start) if ends else (words, index)
