"""One shell text: its syntax tree, its commands' words, and where its variables are set and used."""

from __future__ import annotations

import re
from functools import cached_property
from typing import NamedTuple

from tree_sitter import Node

from kvroles.evidence import argv
from kvroles.evidence.data import Map, Scalar, path_to
from kvroles.evidence.frames import Scope
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import Text, occurrences
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import grammar
from kvroles.migrate.readers.base import MANY, File
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.shell import quoting as shell_words
from kvroles.migrate.readers.shell.variables import Variables, assigned, places
from kvroles.migrate.readers.template import actions as template

_CONDITIONAL = frozenset({"if_statement", "case_statement", "list", "while_statement"})
SERVER = regex(
    r"\bvllm\s+serve\b|--kv[-_]transfer[-_]config|\bkv_(?:both|producer|consumer)\b|-m\s+(?:vllm|dynamo)\.|api_server|dynamo\.vllm"
)
SAYS = frozenset(
    {"echo", "printf", "log", "info", "log_info", "print", "warn", "say", "banner", "header", "print_status", "step", "cecho"}
)  # fmt: skip


# Commands of two words that search for the rest: ``git grep``, ``gh search code``, ``xargs grep``.
_SEARCHES = regex(
    r"(?:git\s+(?:-[Cc]\s+\S+\s+|-\S+\s+)*(?:grep|log)|gh\s+search|hub\s+search"
    r"|(?:sudo|xargs(?:\s+-\S+(?:\s+\d+)?)*)\s+(?:[efz]?grep|rg))\b"
)
_PATTERN_COMMANDS = frozenset(
    {"grep", "egrep", "rg", "sed", "awk", "jq", "test", "[", "pgrep", "pkill", "perl", "yq"}
)  # fmt: skip
_READ_ONLY = frozenset({"grep", "egrep", "fgrep", "zgrep", "rg", "ag", "pgrep", "pkill", "test", "["})
# What a console shows before a command.
_PROMPTED = regex(r"[$%][ \t]+(\S+)")
_TO_STDERR = regex(r"1?>>?\s*(?:&2|/dev/(?:stderr|null|tty))")
_NEAR = 80  # characters before a name in which what takes its output stands
_SUBSTITUTED = regex(r"[$`]\(?\s*\Z")
_BEGINS = regex(r"(?m)(?:^|[;&|]\s*)\Z")
_REDIRECTED = regex(r"[^\n;(]*[|>]")
_PRINTS_INTO = regex(r"printf\s+-v\s+(\w+)\s")
_WRITES = regex(r"(?P<by>>>?|\btee\b)(?P<to>[^\n|&;<>()]*)")


_DEFINED = regex(r"(?m)^[ \t]*(?:function\s+)?([^\s(){}]+)\s*(?:\(\s*\)\s*)?\{")


def command_name(t: Text, node: Node) -> str:
    """The base name of the program or function that a command runs; empty without one."""
    name = node.child_by_field_name("name")
    if name is None:
        return ""
    m = _PROMPTED.match(t.s, name.start_byte, node.end_byte)
    said = m[1] if m is not None else t.s[name.start_byte : name.end_byte]
    return said.rsplit("/", 1)[-1]


def is_pattern(t: Text, node: Node) -> bool:
    """Whether a command takes its words as patterns or filters (grep, sed, test, jq) and so sets nothing by them."""
    name = command_name(t, node)
    if name in {"jq", "yq"} and re.search(r"\s(?:-\w*n\w*|--null-input)\s", t.s[node.start_byte : node.end_byte]):
        return False  # ``jq -n`` makes the object
    return _searches(t, node) or name in _PATTERN_COMMANDS


def looks_only(t: Text, node: Node) -> bool:
    """Whether a command only searches for its words: unlike sed and yq it cannot write them anywhere."""
    return _searches(t, node) or command_name(t, node) in _READ_ONLY


def _searches(t: Text, node: Node) -> bool:
    """Whether a command of two words searches for the rest."""
    m = _PROMPTED.match(t.s, node.start_byte, node.end_byte)
    return _SEARCHES.match(t.s, m.start(1) if m is not None else node.start_byte, node.end_byte) is not None


def variable_printed(t: Text, node: Node) -> str:
    """The variable that ``printf -v`` sets; empty for every other command."""
    m = _PRINTS_INTO.match(t.s, node.start_byte, node.end_byte)
    return m.group(1) if m is not None else ""


def says_only(t: Text, node: Node) -> bool:
    """Whether a command prints its words for a person: an echo whose output no pipe, file or ``$(...)`` takes."""
    if command_name(t, node) not in SAYS or variable_printed(t, node):
        return False
    for owner in grammar.owners(node):
        if owner.type in {"command_substitution", "pipeline"}:
            return False
        if owner.type == "redirected_statement" and not _to_a_person(t, owner):
            return False
        if owner.type == "function_definition":
            name = owner.child_by_field_name("name")
            word = grammar.text(t, name) if name else ""
            return not any(_is_taken(t.s, i, i + len(word)) for i in (occurrences(t.s, word) if word else ()))
    return True


def _to_a_person(t: Text, statement: Node) -> bool:
    """Whether a statement's output goes to standard error, or nowhere."""
    redirects = [c for c in statement.children if c.type == "file_redirect"]
    return bool(redirects) and all(_TO_STDERR.fullmatch(grammar.text(t, c)) for c in redirects)


def _is_taken(s: str, a: int, b: int) -> bool:
    """Whether the output of a function that is named between two indices is taken: by ``$(...)``, a pipe, a file."""
    near = max(0, a - _NEAR)
    if s[b : b + 1].isalnum() or s[b : b + 1] == "_":
        return False
    return _SUBSTITUTED.search(s, near, a) is not None or (
        _BEGINS.search(s, near, a) is not None and _REDIRECTED.match(s, b) is not None
    )


class Held(NamedTuple):
    """A mapping with a value at an index: the mapping, the key of the value, and the connectors round the mapping."""

    config: Map
    key: str
    wrappers: tuple[str, ...]


def object_at(text: Text, k: int) -> Held | None:
    """The mapping in ``text`` that has a scalar value at index ``k``; None if there is none."""
    root = objects.enclosing(text, k)
    path = path_to(root, k) if root else []
    if len(path) < 2 or not isinstance(path[-1], Scalar) or not isinstance(config := path[-2], Map):
        return None
    key = next((key.value for key, value in config.pairs if value is path[-1]), "")
    return Held(config, key, connectors.wrappers(reversed(path[:-2])))


class Source(Variables):
    """The syntax tree of a shell text ``t`` with the owner ``up`` in the file ``ctx``, and what is known of it without scopes."""

    def __init__(self, t: Text, up: Scope, ctx: File) -> None:
        self.t = t
        self.up = up
        self.ctx = ctx
        self.elsewhere = ctx.elsewhere
        self.templated = templated = template.is_template(t)
        self.nest = template.nest(t.s) if templated else template.Nest()
        self._around: dict[int, Scope] = {}  # of a branch of the template: its scope
        self._values: list[tuple[str, str]] | None = None
        self._perhaps: set[str] = set()  # the variables that are set where a condition holds
        self._words: dict[tuple[int, int, str], tuple[list[argv.Word], list[Node], list[argv.Word]]] = {}
        self._naming: list[tuple[str, str]] | None = None
        self._left: dict[tuple[int, int], list[Node]] = {}
        self._of_role: dict[str, tuple[str | None, tuple[str, ...]]] = {}
        source = t.ascii()
        if templated:  # an action's quotes are its own
            source = template.mask(source.decode("ascii")).encode("ascii")
        self.root = grammar.parse("bash", t, shell_words.mask_placeholders(source))

    # -- words --------------------------------------------------------------------------------------------------------

    def words_of(self, node: Node) -> tuple[list[argv.Word], list[Node]]:
        """The words of the command or array that holds ``node``, and their nodes."""
        for owner in grammar.owners(node):
            if owner.type in {"command", "redirected_statement", "array"}:
                parent = owner.parent
                return self.words(parent if parent is not None and parent.type == "redirected_statement" else owner)
        return [], []

    def words(self, node: Node) -> tuple[list[argv.Word], list[Node]]:
        """A command's or array's words in order, and their nodes."""
        words, nodes, _ = self.words_and_targets(node)
        return words, nodes

    def words_and_targets(self, node: Node) -> tuple[list[argv.Word], list[Node], list[argv.Word]]:
        """A command's words in order, their nodes, and the files it writes to (pipes into tee included)."""
        key = (node.start_byte, node.end_byte, node.type)
        if key not in self._words:
            self._words[key] = self._find_words(node)
        return self._words[key]

    def _find_words(self, node: Node) -> tuple[list[argv.Word], list[Node], list[argv.Word]]:
        nodes: list[Node] = []
        targets: list[argv.Word] = []
        parts = [node] if node.type != "redirected_statement" else list(node.children)
        for part in parts:
            if part.type == "file_redirect":
                dest = [c for c in part.children if c.is_named and c.type not in {"file_descriptor", "comment"}]
                if dest and ">" in grammar.text(self.t, part)[:4]:
                    targets.append(self.word(dest[0]))
                nodes += dest[1:]
            elif part.type in {"command", "array"}:
                nodes += [c for c in part.children if c.is_named and c.type not in {"comment", "herestring_redirect"}]
            elif part.type == "pipeline":
                for c in part.children:
                    if c.type == "command":
                        nodes += [k for k in c.children if k.is_named and k.type != "comment"]
        for owner in grammar.owners(node):
            if owner.type == "pipeline" and owner.child_count <= MANY:
                for c in owner.children:
                    if c.type == "command" and command_name(self.t, c) == "tee":
                        targets += [self.word(k) for k in c.children[1:] if k.is_named]
            elif owner is not node and owner.type not in {"redirected_statement"}:
                break
        return [self.word(n) for n in nodes], nodes, targets

    def word(self, node: Node) -> argv.Word:
        """A word node as a word without its quotes, with its place in the file."""
        return argv.Word(shell_words.unquote(self.t, node).s, self.t.at(node.start_byte))

    def heredoc_targets(self, node: Node) -> list[str]:
        """The files that a heredoc's command writes to."""
        owner = next((o for o in grammar.owners(node) if o.type == "redirected_statement"), None)
        source = self.t.s[owner.start_byte : node.start_byte] if owner is not None else ""
        out: list[str] = []
        for m in _WRITES.finditer(source):
            words = [w.strip("\"'") for w in m["to"].split()]
            out += [w for w in words if not w.startswith("-")] if m["by"] == "tee" else words[:1]
        return [w for w in out if w and not w.startswith("/dev/")]

    def passed(self, use: Node) -> list[Node]:
        """The uses, in a function of this script, of the argument that ``use`` is in its call; empty if there is no such call."""
        call = next((o for o in grammar.owners(use) if o.type == "command"), None)
        if call is None:
            return []
        nodes = self.words(call)[1]
        index = next((i for i, n in enumerate(nodes) if n.start_byte <= use.start_byte < n.end_byte), 0)
        at = self._functions.get(command_name(self.t, call)) if index else None
        if at is None:
            return []
        function = next((o for o in grammar.owners(grammar.at(self.root, at)) if o.type == "function_definition"), None)
        if function is None:
            return []
        body = self.t.s[function.start_byte : function.end_byte]
        found = re.finditer(rf"\$(?:{index}(?!\d)|\{{{index}(?=[}}:]))", body)
        return [grammar.at(self.root, function.start_byte + f.start(), 2) for f in found]

    @cached_property
    def _functions(self) -> dict[str, int]:
        """Where the name of each function stands in its first definition."""
        return {name: starts[0] for name, starts in places(_DEFINED, self.t.s).items()}

    def connector_of_role(self, name: str) -> tuple[str | None, tuple[str, ...]]:
        """The connector, and the connectors round it, of the objects that have ``$name`` as their role.

        Without such an object it is the connector that another variable of the script names; None if objects disagree.
        """
        if name not in self._of_role:
            self._of_role[name] = self._used_as_role(name)
        return self._of_role[name]

    def _used_as_role(self, name: str) -> tuple[str | None, tuple[str, ...]]:
        found: set[tuple[str | None, tuple[str, ...]]] = set()
        for start in self._mentions.get(name, [])[:MANY]:
            node = grammar.at(self.root, start, 2)
            word = None
            for owner in grammar.owners(node):
                if owner.type in {"string", "concatenation", "heredoc_body", "raw_string"}:
                    word = owner
                elif word is not None:
                    break
            if word is None:
                continue
            text = (
                self.t.slice(word.start_byte, word.end_byte)
                if word.type == "heredoc_body"
                else shell_words.unquote(self.t, word)
            )
            k = next((i for i in range(len(text.s)) if text.at(i) == self.t.at(start)), -1)
            if k >= 0 and (held := object_at(text, k)) is not None:
                found.add((self.ctx.named(connectors.connector_of(held.config)), held.wrappers))
        if len(found) == 1:
            return next(iter(found))
        return (None if found else self.ctx.connector_beside(name, self._connectors())), ()

    def _connectors(self) -> list[tuple[str, str]]:
        """The first ``MANY`` of the script's variables that name a connector."""
        if self._naming is None:
            self._naming = [(key, value) for key, value in self.values() if connectors.is_connector_key(key)][:MANY]
        return self._naming

    def set_for(self, assignment: Node) -> list[tuple[str, str]]:
        """The variables set for one command with ``assignment`` among them (``A=1 B=2 command``); empty if it stands alone."""
        command = assignment.parent
        if command is None or command.type != "command":
            return []
        given = [c for c in command.named_children if c.type == "variable_assignment"]
        values = [(c, c.child_by_field_name("value")) for c in given]
        return [(assigned(self.t, c), shell_words.unquote(self.t, v).s) for c, v in values if v is not None]

    def values(self) -> list[tuple[str, str]]:
        """Every assignment of the script: the variable, and its value without quotes."""
        if self._values is None:
            self._values = []
            todo = [(self.root, False)]
            while todo:
                node, perhaps = todo.pop()
                value = node.child_by_field_name("value") if node.type == "variable_assignment" else None
                if value is not None:
                    self._values.append((assigned(self.t, node), shell_words.unquote(self.t, value).s))
                    if perhaps:
                        self._perhaps.add(self._values[-1][0])
                todo += [(c, perhaps or node.type in _CONDITIONAL) for c in node.named_children]
        return self._values

    def value_of(self, name: str) -> str | None:
        """The one value that variable ``name`` is set to, or None. ``${X:-NixlConnector}`` counts as its default. What is set
        under a condition may have another value too: that counts only if it is NIXL's connector."""
        found = {connectors.named(value) for key, value in self.values() if key == name}
        value = next(iter(found)) if len(found) == 1 else None
        perhaps = name in self._perhaps and connectors.kind_of(value, self.ctx.nixl) is not connectors.Kind.NIXL
        return None if perhaps else value
