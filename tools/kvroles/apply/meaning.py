"""The series' change by meaning, for a file that no variant's text fits: what is there is read, and given its role.

Only for trees that no lock row vouches for, and only for files that the series is about. The evidence is the contract's own
(``contract.sides``), and the contract proves the result; what it cannot prove is refused with its line.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping, Sequence

from kvroles.apply import connector, roles
from kvroles.apply.state import BY_MEANING
from kvroles.apply.unclear import Unclear
from kvroles.contract import clauses, terms
from kvroles.series import mail, patchfile
from kvroles.series.patchfile import FilePatch, HunkMismatch
from kvroles.tree.change import Change

_TESTS = {*terms.TESTS, "role_warnings"}  # what the variants bring to the test file


def change(path: str, data: bytes, patches: Sequence[FilePatch] = ()) -> bytes:
    """``data`` with explicit roles, and with the warning or the tests of it where ``path`` is their file.

    ``patches`` are the variants' changes to the file, nearest first: those of their hunks that fit a test file or a guide are
    taken, for the tests and the words they bring. Raises Unclear where the contract would not hold of the result.
    """
    if path in terms.CONNECTORS:
        made = connector.warning(data)
    elif path == terms.TEST_FILE or path.endswith(".md"):
        # With the hunks of the nearest variant first; last as it is, where none of them leaves a file that can be proven.
        tried = [_hunks(data, patch) for patch in patches[:3] if not patch.creates]
        starts = [t for t in tried if t is not None]
        if path == terms.TEST_FILE:
            starts += [whole for t in starts if (whole := _with_pytest(t)) is not None]
        made = _first_proven(path, data, [*starts, data])
    elif path.endswith(".sh"):
        tried = [_hunks(data, patch) for patch in patches[:3] if not patch.creates]
        made = _first_proven(path, data, [data, *(roles.renamed(path, data, t) for t in tried if t is not None)])
    else:
        made = roles.explicit(path, data)
    _prove(path, data, made)
    return made


def _first_proven(path: str, data: bytes, starts: Sequence[bytes]) -> bytes:
    """The first of ``starts`` that can be given explicit roles and then proven; raises the last one's Unclear if none can."""
    last: Unclear | None = None
    for start in starts:
        try:
            made = roles.explicit(path, start)
            _prove(path, data, made)
        except Unclear as e:
            last = e
            continue
        return made
    assert last is not None
    raise last


def mails(meant: Mapping[str, Sequence[Change]]) -> dict[str, dict[str, str]]:
    """topic -> path -> the change made to it by meaning, as a mail; bytes that are no UTF-8 are escaped."""
    return {topic: {c.path: _mail(c) for c in changes} for topic, changes in meant.items()}


def _mail(c: Change) -> str:
    raw = mail.plain_mail(
        BY_MEANING, f"{c.path} given explicit roles by what it says", {c.path: c.before}, {c.path: c.after}
    )
    return raw.decode("utf-8", "surrogateescape")


def holds(path: str, before: bytes, after: bytes) -> bool:
    """Whether the clauses that are about one file hold of ``after``."""
    try:
        _prove(path, before, after)
    except Unclear:
        return False
    return True


def _prove(path: str, before: bytes, after: bytes) -> None:
    """Raise Unclear, with the line, for the first clause about one file that does not hold of ``after``."""
    if path in terms.CONNECTORS:
        why = clauses.warns(after)
        if why:
            raise Unclear(0, why)
        return
    if path == terms.TEST_FILE and not clauses.has_deprecation_tests(after):
        raise Unclear(0, f"it does not define {' and '.join(terms.TESTS)}")
    if path == terms.TEST_FILE and (unbound := _unbound(after, _TESTS)):
        raise Unclear(0, f"the tests of the deprecation use {', '.join(unbound)}, which nothing in the file defines")
    for site in clauses.kv_both_left(path, after):
        raise Unclear(site.line, "a NIXL config says kv_both")
    for clause in clauses.OF_ONE_FILE:
        for breach in clause(path, before, after):
            raise Unclear(breach.line, breach.why)
    if path.endswith(".sh"):
        odd = _unpaired(before.decode("latin-1"), after.decode("latin-1"))
        if odd:
            raise Unclear(0, f"it would use {', '.join(odd)} without setting it, or set it without a use")
        for breach in clauses.shells_parse({path: after})[0]:
            raise Unclear(breach.line, breach.why)


def _unpaired(before: str, after: str) -> list[str]:
    """The variables new in a script that it only sets, or only uses: a part of a change was left out."""
    sets = {m[1] for line in after.split("\n") if (m := re.match(r"\s*(?:(?:local|export|readonly)\s+)*(\w+)=", line))}
    used = set(re.findall(r"\$\{?([A-Za-z_]\w*)", after))
    return sorted(name for name in sets ^ used if re.search(rf"\b{name}\b", before) is None)


def _unbound(source: bytes, names: set[str]) -> list[str]:
    """The names that the functions ``names`` of a module read, and that neither they nor the module bind."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        return []  # said by the clause that asks whether it compiles
    missing: set[str] = set()
    bound = {n for statement in module.body for n in _bound(statement)} | set(dir(builtins))
    for f in module.body:
        if isinstance(f, ast.FunctionDef) and f.name in names:
            own = {n for part in ast.walk(f) for n in _bound(part)}
            read = {n.id for n in ast.walk(f) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
            missing |= read - own - bound
    return sorted(missing)


def _with_pytest(source: bytes) -> bytes | None:
    """``source``, a test file, with the import of pytest that alone lacks; None where another name lacks, or none."""
    if _unbound(source, _TESTS) != ["pytest"]:
        return None
    imports = [n for n in ast.parse(source).body if isinstance(n, ast.ImportFrom)]
    first = next((n for n in imports if n.level or (n.module or "").startswith("vllm")), None)
    if first is None:
        return None
    lines = source.splitlines(keepends=True)
    return b"".join([*lines[: first.lineno - 1], b"import pytest\n\n", *lines[first.lineno - 1 :]])


def _bound(node: ast.AST) -> set[str]:
    """The names that a node itself binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        args = node.args if not isinstance(node, ast.ClassDef) else None
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg] if args else []
        return {node.name, *(a.arg for a in every if a is not None)}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(a.asname or a.name).split(".")[0] for a in node.names}
    if isinstance(node, ast.Lambda):
        return {a.arg for a in [*node.args.args, node.args.vararg, node.args.kwarg] if a is not None}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    if isinstance(node, ast.If | ast.Try | ast.With | ast.Assign | ast.AnnAssign | ast.For):
        return {n for child in ast.iter_child_nodes(node) for n in _bound(child)}
    return set()


def _hunks(data: bytes, patch: FilePatch) -> bytes | None:
    """``data`` with those hunks of ``patch`` that stand in it once; None when there are none."""
    out: bytes | None = None
    for hunk in patch.hunks:
        try:
            made, _ = patchfile.apply(out if out is not None else data, FilePatch(patch.path, (hunk,)), unique=True)
        except HunkMismatch:
            continue
        out = made
    return out
