"""Find every place of a vLLM release where the KV role can decide something, by syntax tree.

A *site* is an expression that reads the role. What counts as reading it:

* the names ``kv_role``, ``is_kv_producer`` and ``is_kv_consumer``, as attribute, variable or ``getattr``
  string; also ``is_kv_transfer_instance``, which is true for every role, so that the data can say so;
* the string constants ``kv_both``, ``kv_producer`` and ``kv_consumer``, wherever code compares, stores or
  passes them;
* *derived names*: a variable, attribute, property or function that gets its value from such an expression,
  and an attribute that is assigned under a test of the role. Whoever reads a derived name reads the role.

A site is known by its file, the function it stands in and its whole condition as ``ast.unparse`` writes it:
it keeps its identity while lines move, and loses it when the condition changes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

SEEDS = frozenset({"kv_role", "is_kv_producer", "is_kv_consumer"})
PRESENCE = frozenset({"is_kv_transfer_instance"})  # the same for all three roles, so nothing derives from it
ROLES = frozenset({"kv_both", "kv_producer", "kv_consumer"})
_WORDS = SEEDS | PRESENCE | ROLES
_WORD_BYTES = tuple(sorted(w.encode() for w in _WORDS))

# A condition is taken whole; a call, a bracket or a statement ends it.
_CONDITION = (ast.Attribute, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.IfExp, ast.NamedExpr, ast.BinOp)
# Their value derives from the role when an argument does.
_TRANSPARENT_CALLS = frozenset({"bool", "any", "all", "getattr"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)
_Assignment = ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr


@dataclass(frozen=True, order=True)
class Site:
    """One place that reads the role.

    ``where`` is the dotted name of the enclosing function or class, empty at module level; ``names`` are the
    words through which the role is read (``kv_role``, a role's value, a derived name).
    """

    file: str
    line: int
    where: str
    expr: str
    names: frozenset[str] = field(compare=False)


@dataclass(frozen=True)
class Findings:
    """What a release holds: its sites in order, and each derived name with the files that derive it.

    A module-level function is listed as ``module:function``, everything else by its bare name.
    """

    sites: tuple[Site, ...]
    derived: Mapping[str, frozenset[str]]


def scan(files: Mapping[str, bytes], outside: Callable[[str], bool] = lambda _: False) -> Findings:
    """The role sites of a release, ``files`` being its Python files by path.

    Names derived in a file for which ``outside`` is true (another connector's, say) are not followed further,
    and such a file is searched for the role's own words only. Raises SyntaxError, with the path, for a file
    that does not parse.
    """
    readers: dict[str, _Reader] = {}
    derived: dict[str, frozenset[str]] = {}
    while True:
        known = frozenset(derived)
        sites: list[Site] = []
        found: dict[str, set[str]] = {}
        for path, data in files.items():
            skip = outside(path)
            names = frozenset(n for n in known if not skip and (path in derived[n] or _may_read(data, n)))
            if not names and not any(w in data for w in _WORD_BYTES):
                continue
            if path not in readers:
                readers[path] = _Reader(path, data)
            here, derives = readers[path].read(names)
            sites += here
            for name in () if skip else derives:
                found.setdefault(name, set()).add(path)
        derived = {name: frozenset(paths) for name, paths in sorted(found.items())}
        if frozenset(derived) == known:
            return Findings(tuple(sorted(sites)), derived)


def _may_read(data: bytes, name: str) -> bool:
    """Whether a file of these bytes can read the derived ``name``; spares most files the parser."""
    module, _, function = name.rpartition(":")
    if not module:
        return b"." + name.encode() in data
    imported = rb"\b%s(\s+import\b|\.)" % module.encode()
    return function.encode() in data and re.search(imported, data) is not None


class _Reader:
    """One file's syntax tree, with parents, read again whenever new derived names turn up."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.module = _module_name(path)
        self.tree = ast.parse(data, path)
        self.parent: dict[ast.AST, ast.AST] = {}
        self.imported: dict[str, str] = {}  # local name -> module:name
        self.result: tuple[frozenset[str], list[Site], set[str]] | None = None
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self.parent[child] = node
            if isinstance(node, ast.ImportFrom):
                module = (node.module or "").rsplit(".", 1)[-1]
                self.imported.update({a.asname or a.name: f"{module}:{a.name}" for a in node.names})

    def read(self, names: frozenset[str]) -> tuple[list[Site], set[str]]:
        """The sites, and the names this file derives, when ``names`` are known to derive from the role."""
        if self.result is not None and self.result[0] == names:
            return self.result[1:]
        self.attributes = frozenset(n for n in names if ":" not in n)
        own = {n.split(":")[1] for n in names if n.startswith(f"{self.module}:")}
        self.functions = own | {alias for alias, name in self.imported.items() if name in names}
        self.names = names
        self.hits: dict[ast.AST, tuple[str, int, set[str]]] = {}
        self.derives: set[str] = set()
        self._scope(self.tree, "", frozenset())
        sites = [
            Site(self.path, line, where, ast.unparse(top), frozenset(words))
            for top, (where, line, words) in self.hits.items()
        ]
        self.result = (names, sites, self.derives - _WORDS)
        return self.result[1:]

    def _scope(self, scope: ast.AST, where: str, seen: frozenset[str]) -> None:
        """Read one body; ``seen`` are the derived variables of the functions around it."""
        nodes = list(_own(scope))
        local = seen
        while more := {v for n in nodes for v in self._variables(n, local)} - local:
            local |= more  # a variable may derive from one that is assigned further down, in a loop
        for node in nodes:
            if (word := self._word(node, local)) is not None:
                self._hit(node, word, where)
            match node:
                case ast.Assign() | ast.AnnAssign() | ast.AugAssign() if node.value is not None:
                    attributes = [t.attr for t in _targets(node) if isinstance(t, ast.Attribute)]
                    if attributes and (self._mentions(node.value, local) or self._under_test(node, local)):
                        self.derives.update(attributes)
                case ast.Return(value=ast.expr() as value) if isinstance(scope, _FUNCTIONS):
                    if self._mentions(value, local):
                        method = isinstance(self.parent[scope], ast.ClassDef)
                        self.derives.add(scope.name if method else f"{self.module}:{scope.name}")
        for inner in _inner(scope):
            name = f"{where}.{inner.name}" if where else inner.name
            self._scope(inner, name, seen if isinstance(scope, ast.ClassDef) else local)

    def _word(self, node: ast.AST, local: frozenset[str]) -> str | None:
        """The word through which ``node`` itself reads (or, as an attribute, sets) the role."""
        match node:
            case ast.Attribute(attr=name, ctx=ast.Load()) if name in SEEDS | PRESENCE | self.attributes:
                return name
            case ast.Attribute(attr=name, ctx=ast.Store()) if name in SEEDS:
                return name
            case ast.Attribute(value=ast.Name(id=module), attr=name) if f"{module}:{name}" in self.names:
                return name
            case ast.Name(id=name, ctx=ast.Load()) if name in SEEDS | local | self.functions:
                return name
            case ast.Constant(value=str(text)) if text in _WORDS:
                return text
        return None

    def _hit(self, node: ast.AST, word: str, where: str) -> None:
        """Record the whole condition, or assignment to the role, that ``node`` is part of."""
        top, line = node, getattr(node, "lineno", 0)
        while isinstance(self.parent[top], _CONDITION):
            top = self.parent[top]
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            top = self.parent[node]
        where, first, words = self.hits.get(top, (where, line, set()))
        self.hits[top] = (where, min(first, line), words | {word})

    def _mentions(self, value: ast.AST, local: frozenset[str], *, control: bool = False) -> bool:
        """Whether the role decides ``value``; with ``control``, by its own words or a variable only.

        What a call makes of its arguments is not followed, and neither is a message that quotes the role.
        """
        word = self._word(value, local)
        if word is not None and not (control and (word in self.attributes or word in self.functions)):
            return word not in PRESENCE
        children: Iterable[ast.AST] = ast.iter_child_nodes(value)
        if isinstance(value, ast.JoinedStr):
            children = ()
        elif isinstance(value, ast.Call):
            transparent = isinstance(value.func, ast.Name) and value.func.id in _TRANSPARENT_CALLS
            children = [value.func, *(value.args if transparent else ())]
        return any(self._mentions(c, local, control=control) for c in children)

    def _variables(self, node: ast.AST, local: frozenset[str]) -> Iterator[str]:
        """The variables that ``node`` assigns from the role."""
        if isinstance(node, _Assignment) and node.value is not None:
            names = [t.id for t in _targets(node) if isinstance(t, ast.Name)]
            if names and self._mentions(node.value, local):
                yield from names

    def _under_test(self, node: ast.AST, local: frozenset[str]) -> bool:
        """Whether ``node`` runs for some roles only: inside an ``if`` on the role, or after one that leaves.

        A test that raises is a refusal; what comes after it is the same for every role that gets there.
        """
        while not isinstance(node, (*_SCOPES, ast.Module)):
            above = self.parent[node]
            tests = [above.test] if isinstance(above, ast.If) and node is not above.test else []
            for block in (getattr(above, f, None) for f in ("body", "orelse", "finalbody")):
                if isinstance(block, list) and node in block:
                    tests += [b.test for b in block[: block.index(node)] if _leaves_early(b)]
            if any(self._mentions(t, local, control=True) for t in tests):
                return True
            node = above
        return False


def _leaves_early(statement: ast.stmt) -> bool:
    early = ast.Return | ast.Continue | ast.Break
    return isinstance(statement, ast.If) and isinstance(statement.body[-1], early)


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a body, without those of the functions and classes in it."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, _SCOPES):
            yield child
            yield from _own(child)


def _inner(scope: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """The functions and classes directly inside a body, also those under an ``if`` or ``try``."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, _SCOPES):
            yield child
        else:
            yield from _inner(child)


def _targets(node: _Assignment) -> Iterator[ast.expr]:
    """What an assignment assigns to, with tuples taken apart and ``x[i] = ...`` counted as ``x``."""
    todo: list[ast.expr] = list(node.targets) if isinstance(node, ast.Assign) else [node.target]
    while todo:
        target = todo.pop()
        if isinstance(target, ast.Tuple | ast.List):
            todo += target.elts
        elif isinstance(target, ast.Subscript | ast.Starred):
            todo.append(target.value)
        else:
            yield target


def _module_name(path: str) -> str:
    """The last part of the name that ``path`` is imported by."""
    p = PurePosixPath(path)
    return p.parent.name if p.stem == "__init__" else p.stem
