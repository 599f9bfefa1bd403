"""Who owns a string in source code: its call, key, variable, function, branch, and the comment before it."""

from __future__ import annotations

import re
from functools import partial
from itertools import islice, takewhile

from tree_sitter import Node

from kvroles.evidence import argv, data_cues, kinds, loops, pickers
from kvroles.evidence.data import path_to
from kvroles.evidence.frames import Scope
from kvroles.evidence.names import mentioned, split_name, twins
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences
from kvroles.migrate.readers import grammar, lines
from kvroles.migrate.readers.code import additions, chained, role_set
from kvroles.migrate.readers.code.beside import Beside, holds
from kvroles.migrate.readers.code.conditionals import JOINED
from kvroles.migrate.readers.code.handed_on import ABOUT_A_SERVER, NAMES
from kvroles.migrate.readers.code.said import SAYS
from kvroles.migrate.readers.mapping.inherits import over
from kvroles.migrate.readers.words import REACH

_THEN = regex(r"(.{1,200}?)\s*\.then(?:_some)?", re.S)  # Rust's ``(role == "prefill").then(|| ...)``
_TEST_NAME = regex(r"^(?:test_|Test|test$|bench_|Benchmark|Example)")
# The twin without which a function called ``decode`` may decode anything: a function, a method, a lambda with a name.
_PREFILL_FUNCTION = regex(
    r"\b(?:def|func|fn|function)\s+prefill\b|\bprefill\s*(?:=\s*(?:async\s*)?\(|\([^()\n]*\)[^;\n]*\{)"
)
# A method that gives what it is called on a part of its config: ``prefillTask.addContainer(...)``.
_ADDS = regex(r"(?i)(?:add|set|with|put)_?(?:containers?|env(?:ironment)?|arg(?:ument)?s?|command|user_?data)$")
_LOG = regex(
    r"\b(?:stdout|stderr)\s*=\s*open\(\s*f?[\"']([^\"'\n]+)[\"']\s*,\s*[\"'][wa]"
)  # of a process that is started
_WRITES = regex(r"\.write(?:_text|_bytes|_all|lines)?$")
# A name that is no common word: where another cell or fence has it, the same variable is meant.
_IDENTIFIER = regex(r"_|[a-z][A-Z]|^[A-Z]+$")
_MANY = 60  # uses of one name: a name with more is a common word, and its uses say nothing
_DEEPEST = 12  # expressions round a name
_PAIR = 2  # words of an entry of a table: ("prefill", config)
_LONGEST = 2000  # characters of a string
# What puts a name into a string: an f-string, a template, ``+``, ``%``, the arguments of ``.format``.
_PUT_INTO = regex(
    r"interpolation|string|substitution|^binary_|^(?:argument_list|arguments|parenthesized_expression)$|^attribute$"
)
_PART = regex(r"[\w.\"'-]")  # before a word: the word is part of a longer one, a member, or inside a string
_SEVERAL = frozenset({"expression_list", "tuple", "list", "array", "tuple_expression"})  # what several names are set to
_UNQUOTED = r"(?<![\w\"'`-]){}(?![\w\"'`-])"  # a name, and no string that is the same word
_STARTED = regex(r"\btarget\s*=\s*\Z")  # before the function that a process or thread runs
_CALLED = regex(r"\b\s*\(")
_NOT_SET = regex(r"\b(?!\s*(?::[^=\n]*)?(?::=|=(?!=)))")
_UPDATED = regex(r"([\w.]+)\.(?:update|setdefault)$")


class Unit(Beside):
    """One source text. ``chain`` gives the owners of any node of it."""

    def chain(self, node: Node, *, follow: bool = True) -> Scope:
        """The scopes that own ``node``."""
        key = (node.start_byte, node.end_byte, node.type)
        if (known := self.scopes.get(key)) is not None:
            return known
        scope = self.up
        spec = self.spec
        owners = list(grammar.owners(node))[::-1]
        outermost = follow
        for n, owner in enumerate(owners[:-1]):
            inner = owners[n + 1]
            kind = owner.type
            if kind in spec.function:
                scope = self._function(owner, scope, follow)
            elif kind in spec.class_:
                scope = self._named(kinds.CLASS, self.name_of(owner), scope, owner)
                scope.cues += self._decorated(owner)
                self.may_be_handed_on(scope, scope.name, owner)
                if follow and scope.name:
                    taken = self._attributes if scope.cues else self._subclasses
                    scope.find_uses, scope.only_doubts = partial(taken, scope.name, owner), True
            elif kind in spec.branch | spec.case | spec.else_:
                scope = self._branch(owner, inner, scope)
                scope.fork = self._fork(owner, inner)
            elif kind in JOINED:
                scope = self._and(owner, inner, scope)
            elif kind in spec.loop:
                scope = self._loop(owner, scope) if inner.type not in spec.else_ else scope
            elif kind in spec.assign:
                scope = self._assign(owner, inner, scope, follow, node)
            elif kind in spec.call:
                scope = self._call(owner, inner, scope, node)
            elif kind in spec.pair:
                scope = self._pair(owner, scope)
            elif kind == "with_statement" and inner.type == "block":
                scope = self._open(owner, inner, scope)
            if kind in spec.mapping and any(c.type in spec.pair for c in owner.named_children) and kind != "parameters":
                through = self.key_of(inner) if inner.type in spec.pair else None
                scope = self._taken_over(owner, node, scope) if outermost else scope
                outermost = False
                scope = data_cues.map_scope(self.mapping(owner), scope, self.ctx, through)
            elif kind in spec.sequence and kind not in {"arguments", "argument_list"}:
                scope = self._list(owner, inner, scope)
            if kind in spec.block and inner.type not in spec.block:
                scope = role_set.scope(self, owner, inner, scope)
                scope = self._otherwise(owner, inner, owners[n + 1 :], scope)
                scope = additions.scope(self, inner, self._before(owner, inner, scope))
            elif kind in spec.sequence | spec.mapping | spec.group:
                scope = self._before(owner, inner, scope)
        self.scopes[key] = scope
        return scope

    def _taken_over(self, mapping: Node, node: Node, up: Scope) -> Scope:
        """The scope of what an object holds for a part of it that sets its role anew; ``up`` if none does."""
        held = grammar.text(self.t, mapping).lower()
        if "decod" not in held or "prefill" not in held:
            return up
        root = self.mapping(mapping)
        return over(root, path_to(root, node.start_byte), up, self.ctx)

    def _named(self, kind: kinds.Kind, name: str, up: Scope, node: Node) -> Scope:
        scope = Scope(kind.name, name, up)
        if kind is not kinds.VARIABLE and _TEST_NAME.match(name):  # a test is named for what it tests
            return scope
        scope.cues += self.ctx.name_cues(kind, name, self.t.at(node.start_byte))
        return scope

    def _function(self, node: Node, up: Scope, follow: bool) -> Scope:
        name = self.name_of(node)
        bare = split_name(name) == ("decode",) and _PREFILL_FUNCTION.search(self.t.s) is None
        scope = Scope("function", name, up) if bare else self._named(kinds.FUNCTION, name, up, node)
        scope.cues += self._decorated(node)
        scope.span = self.t.at(node.start_byte), self.t.at(node.end_byte)
        if follow and name and not _TEST_NAME.match(name):
            scope.find_uses = partial(self._uses, name, node, call=True)
            scope.only_doubts = self._is_method(node)  # whoever else has one of that name may be called
        self.may_be_handed_on(scope, name, node)
        return scope

    def _is_method(self, node: Node) -> bool:
        """Whether a function is one of a class: what it is called on says whose."""
        if node.type.startswith("method_"):
            return True
        ends = self.spec.function | self.spec.class_
        owner = next((o for o in grammar.owners(node) if o != node and o.type in ends), None)
        return owner is not None and owner.type in self.spec.class_ and owner.type != "mod_item"

    def _assign(self, node: Node, inner: Node, up: Scope, follow: bool, site: Node) -> Scope:
        left = self.left_of(node)
        if left is None or left.start_byte <= inner.start_byte < left.end_byte:
            return up
        if (other := node.child_by_field_name("alternative")) is not None and holds(
            other, inner
        ):  # Rust's ``let Role::Prefill = role else { ... }``
            return Scope("branch", "else", up)
        names = self.targets(node)
        if len(names) != 1:
            values = inner.named_children if inner.type in _SEVERAL else []
            given = next((n for n, v in zip(names, values, strict=False) if holds(v, site)), "")
            one_each = given and len(values) == len(names) and all(re.fullmatch(r"[\w.]+", n) for n in names)
            return self._named(kinds.VARIABLE, given, up, node) if one_each else Scope("variable", "", up)
        whole = grammar.text(self.t, left)
        scope = self._named(kinds.VARIABLE, names[0] if len(self.ctx.sides_of(whole)) != 1 else whole, up, node)
        if follow and re.fullmatch(r"[A-Za-z_]\w*", whole):
            scope.find_uses = partial(self._uses, whole, node, call=False)
        if follow and mentioned(names[0]) and (whole != names[0] or (up.kind == "class")):
            scope.find_uses = partial(self._member_uses, names[0].rpartition(".")[2], node)
        if whole.startswith(("os.environ[", "env[")):
            scope.find_uses, scope.only_doubts = partial(self._mentions, names[0], node), True
        self.may_be_handed_on(scope, scope.name if scope.name == whole else names[0], node)
        return scope

    def _is_known_beyond(self, name: str) -> bool:
        """Whether another cell or fence that has a name means the same variable: any cell of a notebook, which is one program."""
        return self.ctx.name.endswith(".ipynb") or _IDENTIFIER.search(name) is not None

    def _uses(self, name: str, node: Node, *, call: bool) -> list[Scope]:
        """The owners of every use of the variable ``name`` that ``node`` sets, or with ``call`` of every call of that function.

        A variable that is local to a function is looked for in that function only.
        """
        home = None if call else next((o for o in grammar.owners(node) if o.type in self.spec.function), None)
        a, b = (home.start_byte, home.end_byte) if home is not None else (0, len(self.t.s))
        found = self.kept((name, call, a, b), None, partial(self._found, name, a, b, _CALLED if call else _NOT_SET))
        if call and self._is_method(node):
            found = sorted([*found, *self.kept((name, "method"), None, partial(self._called_on, name))])
        if call and "target" in self.t.s:
            found = sorted([*found, *self.kept((name, "run", a, b), None, partial(self._run, name, a, b))])
        if len(found) > _MANY:
            return [Scope("uses", name, None)]  # a common word: where it stands says nothing
        beyond = self.elsewhere if not call and self._is_known_beyond(name) else None
        out: list[Scope] = beyond(name) if beyond is not None else []
        told: list[Scope] = []  # a scope for each call whose arguments name a side
        for i in found:
            if node.start_byte <= i < node.end_byte:
                continue
            use = self.at(i, len(name))
            if use.type not in NAMES or (home is None and not call and self._shadowed(use, name)):
                continue
            if use.parent is not None and use.parent.type in self.spec.function:
                continue
            if not call and (additions.made_at(self, use, name) or (mentioned(name) and self._by_its_side(use, name))):
                continue
            out.append(self._in_string(use, name) if mentioned(name) and not call else self.chain(use))
            out[-1].place = self.t.at(i)
            if call and (given := self._given(use)) is not None and (cues := self._words(name, given)):
                told.append(Scope("call", name, out[-1], cues, place=out[-1].place))
        if mentioned(name) or len({c.side for scope in told for c in scope.cues}) > 1:
            # Arguments of one side count only for a function that is named for a side: a caller in another file may give
            # any other function the other side.
            out += told
        return out

    def _member_uses(self, name: str, node: Node) -> list[Scope]:
        """The owners of every use of the attribute ``name``, named for a side, that ``node`` sets: ``self.prefill_kv``."""
        s = self.t.s
        found = (i for i in occurrences(s, name) if s[i - 1 : i] == "." and _NOT_SET.match(s, i + len(name)))
        out: list[Scope] = []
        for i in islice(found, _MANY):
            use = self.at(i, len(name))
            if use.type in NAMES and not node.start_byte <= i < node.end_byte and not self._by_its_side(use, name):
                out.append(self._in_string(use, name))
                out[-1].place = self.t.at(i)
        return out

    def _in_string(self, use: Node, name: str) -> Scope:
        """The owners of a use of ``name``; where it is put into a string, with what the words of that say."""
        scope, top = self.chain(use), use
        for owner in islice(grammar.owners(use), 1, _DEEPEST):
            formats = owner.type in self.spec.call and self.called(owner).endswith(".format")
            if not formats and _PUT_INTO.search(owner.type) is None:
                break
            top = owner if owner.type not in {"argument_list", "arguments"} or top != use else top
        source = grammar.text(self.t, top)
        if not any(quote in source for quote in "\"'`") or len(source) > _LONGEST:
            return scope
        place = self.t.at(use.start_byte)
        words = [argv.Word(w, place) for w in re.split(r"[\s\"'`]+", source) if name not in w]
        return Scope("command", "", scope, argv.cues(words, self.ctx), place=place)

    def _by_its_side(self, use: Node, name: str) -> bool:
        """Whether a use of a value that is named for a side is judged by other rules, or is none: what takes it has a side in
        its name (see ``may_be_handed_on``), its line has the twin of ``name`` as well, or its function has and says of
        the use no other side: each for its own side; or it is only told of."""
        twin = re.compile("|".join(_UNQUOTED.format(re.escape(twin)) for twin in twins(name)) or "(?!)")
        if twin.search(lines.line_at(self.t.s, use.start_byte)):
            return True
        home = next((o for o in grammar.owners(use) if o.type in self.spec.function), None)
        if home is not None and twin.search(self.t.s, home.start_byte, home.end_byte):
            inside = takewhile(lambda s: s.kind != "function", self.chain(use).chain())
            if all(c.side in mentioned(name) for s in inside for c in s.cues):
                return True
        ends = self.spec.assign | self.spec.pair | self.spec.call
        owner = next((o for o in grammar.owners(use) if o.type in ends and o != use), None)
        if owner is None or owner.type in self.spec.call:
            return owner is not None and SAYS.match(self.called(owner)) is not None
        takers = self.targets(owner) if owner.type in self.spec.assign else [self.key_of(owner)]
        return any(mentioned(taker) for taker in takers)

    def _found(self, name: str, a: int, b: int, tail: re.Pattern[str]) -> list[int]:
        """The indices between ``a`` and ``b`` where ``name`` is a word of its own and ``tail`` matches behind it."""
        s = self.t.s
        found = (i for i in occurrences(s, name, a, b) if not _PART.match(s[i - 1 : i]))
        return list(islice((i for i in found if tail.match(s, i + len(name), b)), _MANY + 1))

    def _called_on(self, name: str) -> list[int]:
        """The indices where a method ``name`` is called."""
        s = self.t.s
        found = (i for i in occurrences(s, name) if s[i - 1 : i] == "." and _CALLED.match(s, i + len(name)))
        return list(islice(found, _MANY + 1))

    def _run(self, name: str, a: int, b: int) -> list[int]:
        """The indices between ``a`` and ``b`` where the function ``name`` is what a process or thread runs."""
        found = self._found(name, a, b, _NOT_SET)
        return [i for i in found if _STARTED.search(self.t.s, max(a, i - 40), i)]

    def uses_within(self, name: str, node: Node) -> list[Node]:
        """The nodes that read ``name``, in the function round ``node``, or in the whole text if there is none."""
        home = next((o for o in grammar.owners(node) if o.type in self.spec.function), self.root)
        found = self.kept((name, "within"), home, partial(self._found, name, home.start_byte, home.end_byte, _NOT_SET))
        uses = (self.at(i, len(name)) for i in found if not node.start_byte <= i < node.end_byte)
        return [use for use in uses if use.type in NAMES]

    def _attributes(self, name: str, node: Node) -> list[Scope]:
        """The owners of every use of a config that the class ``name`` holds: ``DecodeConfig.kv``."""
        held = re.findall(r"(?m)^[ \t]*(\w+)[ \t]*(?::[^=\n]+)?=.*kv_both", grammar.text(self.t, node))
        used = re.finditer(rf"\b{re.escape(name)}\.(?:{'|'.join(held)})\b", self.t.s) if held else ()
        return [self.chain(self.at(m.start(), len(name))) for m in used]

    def _subclasses(self, name: str, _node: Node) -> list[Scope]:
        """The scopes of the classes that inherit from the class ``name``."""
        found = re.finditer(rf"(?m)^[ \t]*class (\w+)\([^()\n]*\b{re.escape(name)}\b", self.t.s)
        return [self._named(kinds.CLASS, m.group(1), self.up, self.at(m.start(1), len(m.group(1)))) for m in found]

    def _given(self, use: Node) -> Node | None:
        """The arguments of the call whose function is ``use``; None if ``use`` is not what is called."""
        caller = next((o for o in grammar.owners(use) if o.type in self.spec.call), None)
        given = caller.child_by_field_name("arguments") if caller is not None else None
        return given if given is not None and not given.start_byte <= use.start_byte < given.end_byte else None

    def _shadowed(self, use: Node, name: str) -> bool:
        """Whether the function round ``use`` has a local variable of that name."""
        away = next((o for o in grammar.owners(use) if o.type in self.spec.function), None)
        if away is None:
            return False
        local = rf"{re.escape(name)}(?<![\w.]{re.escape(name)})\s*(?::[^=\n,)]*)?:?=(?!=)"
        return re.search(local, grammar.text(self.t, away)) is not None

    def _call(self, node: Node, inner: Node, up: Scope, site: Node) -> Scope:
        name = self.called(node)
        if (
            inner.type not in {"argument_list", "arguments", "token_tree"} or name == "vec"
        ):  # Rust's ``vec![...]`` is a list
            return up
        if self.spec.grammar == "rust" and (asked := _THEN.fullmatch(name)) is not None:
            words, place = asked[1].strip(), self.t.at(node.start_byte)
            scope = Scope("branch", words[:80], up, pickers.holding(words, words[:80], self.ctx, place))
            scope.fork = place, inner.start_byte
            return scope
        scope = Scope("call", re.sub(r"\s+", "", name)[-80:], up)
        if ABOUT_A_SERVER.search("_".join(split_name(scope.name.rsplit(".", 1)[-1]))):
            scope = self._named(kinds.CALL, scope.name, up, node)
        receiver, _, method = name.rpartition(".")
        if not scope.cues and _ADDS.match(method):
            sides = {s for part in receiver.split(".") for s in self.ctx.sides_of(part)}
            words, place = scope.name, self.t.at(node.start_byte)
            scope.cues += [kinds.CALL.cue(next(iter(sides)), words, place)] if len(sides) == 1 else []
        if m := _WRITES.search(name):
            files = re.findall(r"[\"']([\w./-]+)[\"']", name[: m.start()])
            sides = {s for text in files for s in self.ctx.sides_of(text)}
            scope.cues += [kinds.FILE_OPENED.cue(s, name[-60:], self.t.at(node.start_byte)) for s in sides]
            if files:
                scope.kind, scope.name, scope.only_doubts = "file", files[-1], True
                scope.find_uses = partial(self._mentions, files[-1], node)
        log = self.kept("log", inner, partial(_LOG.search, self.t.s, inner.start_byte, inner.end_byte))
        if log is not None:
            scope.cues += self.ctx.name_cues(kinds.LOG_FILE, log[1], self.t.at(log.start()))
        if name.endswith(".add_argument") and (flag := re.match(r"\(\s*[\"']--([\w-]+)", grammar.text(self.t, inner))):
            scope = self._named(kinds.OPTION, flag.group(1).replace("-", "_"), scope, node)
            self.may_be_handed_on(scope, scope.name, node)
        if (updated := _UPDATED.match(name)) is not None:
            scope = self._named(kinds.VARIABLE, updated[1].rsplit(".", 1)[-1], scope, node)
            self.may_be_handed_on(scope, updated[1], node)
        if additions.CALL.search(name) and any(w.s.startswith("-") for w in self.words_of(inner, inner)[0]):
            return self._list(inner, site, scope)
        picks = (pickers.by_name(name) and inner.named_child_count == 3) or self._picks(inner)
        scope.cues += self._picked(name, inner, site) if picks else self._words(name, inner, site)
        if picks:
            scope.fork = self.t.at(node.start_byte), site.start_byte
        return chained.scope(self, node, scope)

    def _pair(self, node: Node, up: Scope) -> Scope:
        key = self.key_of(node)
        if node.type.endswith("parameter"):
            return up
        scope = self._named(kinds.KEY, key, up, node)
        self.part_may_be_handed_on(scope, key, node)
        return scope

    def _list(self, node: Node, inner: Node, up: Scope) -> Scope:
        words, index = self.words_of(node, inner)
        first = max(0, index - REACH)
        words, index = words[first : index + REACH], index - first if index >= 0 else -1
        arguments = any(w.s.startswith("-") for w in words)
        if not arguments and len(words) > 1 and inner.type in self.spec.call and up.kind == "variable":
            # One of several items of a list: a use of the whole list says nothing of one item, so no uses are followed.
            up = Scope(up.kind, up.name, up.up, up.cues)
        scope = Scope("list", "", up)
        if arguments:
            scope.launch = True
            scope.cues = argv.cues(words, self.ctx, skip=index)
            scope.flags = argv.flags_of(words)
        else:
            scope.cues = self._beside(words, index, up.name if up.kind == "call" else "")
            if scope.cues and len(words) == _PAIR and index == 1:
                scope.kind, scope.name = "key", words[0].s
        return scope

    def _open(self, node: Node, body: Node, up: Scope) -> Scope:
        """The scope of the body of ``with open("prefill.yaml", "w") as f``: what it writes is for the side in the file's name."""
        opened = re.findall(
            r"open\(\s*[\"']([^\"'\n]+)[\"']\s*,\s*[\"'][wax]", self.t.s[node.start_byte : body.start_byte]
        )
        sides = {s for name in opened for s in self.ctx.sides_of(name)}
        scope = Scope("with", "", up)
        if len(sides) == 1:
            scope.cues.append(kinds.FILE_OPENED.cue(sides.pop(), opened[0], self.t.at(node.start_byte)))
        if len(opened) == 1:
            scope.kind, scope.name, scope.only_doubts = "file", opened[0], True
            scope.find_uses = partial(self._mentions, opened[0], node)
        return scope

    def _mentions(self, path: str, writer: Node) -> list[Scope]:
        """The owners of every string outside ``writer`` that names the file ``path``, with the words beside the name in it."""
        name = path.rsplit("/", 1)[-1]
        word = re.escape(name)
        out = self.elsewhere(name) if self.elsewhere is not None else []
        for m in islice(re.finditer(rf"{word}(?<![\w.-]{word})(?![\w-])", self.t.s), _MANY):
            use = self.at(m.start(), len(name))
            if writer.start_byte <= m.start() < writer.end_byte or use.type in self.spec.comment:
                continue
            place = self.t.at(m.start())
            words = [argv.Word(w, place) for w in re.split(r"[\s\"'`]+", grammar.text(self.t, use)) if name not in w]
            out.append(Scope("command", "", self.chain(use), argv.cues(words, self.ctx), place=place))
        return out

    def _loop(self, node: Node, up: Scope) -> Scope:
        over = node.child_by_field_name("right") or node.child_by_field_name("value")
        body = node.child_by_field_name("body")
        end = body.start_byte if body is not None and body.type in self.spec.block else node.end_byte
        words = grammar.text(self.t, over) if over is not None else self.t.s[node.start_byte : end]
        scope = Scope("loop", words[:60], up, loops.cues(words, words[:80], self.ctx, self.t.at(node.start_byte)))
        if over is not None and over.type in NAMES:
            self.may_be_handed_on(scope, words, node)
        return scope
