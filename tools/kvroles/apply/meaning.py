"""The series' change by meaning, for a file that no variant's text fits: what is there is read, and given its role.

Only for trees that no lock row vouches for, and only for files that the series is about. The evidence is the contract's own
(``contract.sides``), and the contract proves the result; what it cannot prove is refused with its line.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping, Sequence

from kvroles.apply.state import BY_MEANING
from kvroles.contract import clauses, roles_in_text, sides, terms
from kvroles.contract.roles_in_text import Site
from kvroles.evidence.frames import Side
from kvroles.evidence.prose import prose_sides
from kvroles.series import mail, patchfile
from kvroles.series.patchfile import FilePatch, Hunk, HunkMismatch
from kvroles.tree.change import Change

_ROLES = {Side.PREFILL: "kv_producer", Side.DECODE: "kv_consumer"}
_TESTS = {*terms.TESTS, "role_warnings"}  # what the variants bring to the test file
_WARNING = """\
if {config}.kv_role == "kv_both":
    logger.warning_once(
        "kv_role='kv_both' is deprecated for NixlConnector: set "
        "kv_role='kv_producer' on prefill instances and "
        "kv_role='kv_consumer' on decode instances."
    )
"""


class Unclear(Exception):  # noqa: N818 - an outcome; callers turn it into words
    """The change cannot be made from what is there: ``line`` (1-based, 0: the whole file) and why."""

    def __init__(self, line: int, why: str) -> None:
        self.line = line
        self.why = why
        super().__init__(f"line {line}: {why}")


def change(path: str, data: bytes, patches: Sequence[FilePatch] = ()) -> bytes:
    """``data`` with explicit roles, and with the warning or the tests of it where ``path`` is their file.

    ``patches`` are the variants' changes to the file, nearest first: those of their hunks that fit a test file or a guide are
    taken, for the tests and the words they bring. Raises Unclear where the contract would not hold of the result.
    """
    if path in terms.CONNECTORS:
        made = warning(data)
    elif path == terms.TEST_FILE or path.endswith(".md"):
        # the nearest variant's hunks first; a file that none of them leaves provable is read as it is
        tried = [_hunks(data, patch) for patch in patches[:3] if not patch.creates]
        starts = [t for t in tried if t is not None]
        if path == terms.TEST_FILE:
            starts += [whole for t in starts if (whole := _with_pytest(t)) is not None]
        made = _first_proven(path, data, [*starts, data])
    elif path.endswith(".sh"):
        tried = [_hunks(data, patch) for patch in patches[:3] if not patch.creates]
        made = _first_proven(path, data, [data, *(renamed(path, data, t) for t in tried if t is not None)])
    else:
        made = explicit(path, data)
    _prove(path, data, made)
    return made


def _first_proven(path: str, data: bytes, starts: Sequence[bytes]) -> bytes:
    last: Unclear | None = None
    for start in starts:
        try:
            made = explicit(path, start)
            _prove(path, data, made)
        except Unclear as e:
            last = e
            continue
        return made
    assert last is not None
    raise last  # of the last start: what the variants' own hunks leave


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


def loosely(data: bytes, patch: FilePatch) -> bytes | None:
    """``data`` with ``patch``, each hunk with as much of its context as stands in the file once; None where that is too little.

    For a port, which a person reviews: what a hunk takes out has to be there in full, and what it adds needs a neighbour.
    """
    for hunk in patch.hunks:
        made = next((m for m in (_placed(data, patch.path, h) for h in _narrower(hunk)) if m is not None), None)
        if made is None:
            return None
        data = made
    return data


def _narrower(hunk: Hunk) -> list[Hunk]:
    """``hunk``, and it with less and less context before and behind."""
    same = [a == b for a, b in zip(hunk.old, hunk.new, strict=False)]
    before = same.index(False) if False in same else len(same)
    tail = [a == b for a, b in zip(reversed(hunk.old), reversed(hunk.new), strict=False)]
    behind = tail.index(False) if False in tail else len(tail)
    behind = min(behind, len(hunk.old) - before, len(hunk.new) - before)
    cuts = sorted(
        ((i, j) for i in range(before + 1) for j in range(behind + 1)), key=lambda c: (c[0] + c[1], abs(c[0] - c[1]))
    )
    out = []
    for i, j in cuts:
        old, new = hunk.old[i : len(hunk.old) - j], hunk.new[i : len(hunk.new) - j]
        if any(line.strip() for line in old):
            out.append(Hunk(hunk.old_start + i, hunk.new_start + i, old, new, hunk.at_end and not j))
    return out


def _placed(data: bytes, path: str, hunk: Hunk) -> bytes | None:
    try:
        return patchfile.apply(data, FilePatch(path, (hunk,)), unique=True)[0]
    except HunkMismatch:
        return None


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


# --- the connector ---------------------------------------------------------------------------------------------------


def warning(data: bytes) -> bytes:
    """The warning at the head of NixlConnector's ``__init__``, or of the base class's that takes the config."""
    try:
        module = ast.parse(data)
    except (SyntaxError, ValueError) as e:
        raise Unclear(getattr(e, "lineno", 0) or 0, f"it does not parse ({e})") from None
    if not any(isinstance(n, ast.Assign) and _named(n.targets[0], "logger") for n in module.body):
        raise Unclear(0, "it has no logger to warn with")
    classes = {n.name: n for n in module.body if isinstance(n, ast.ClassDef)}
    alias = {t.id: n.value.id for n in module.body if isinstance(n, ast.Assign) and isinstance(n.value, ast.Name)
             for t in n.targets if isinstance(t, ast.Name)}  # fmt: skip
    first = classes.get(alias.get("NixlConnector", "NixlConnector"))
    if first is None:
        raise Unclear(0, "it defines no class NixlConnector")
    queue, found = [first], None
    while queue:
        cls = queue.pop(0)
        for item in cls.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__" and _takes_config(item):
                found = item  # of the outermost base class: what lies below it warns with it
        queue += [classes[b.id] for b in cls.bases if isinstance(b, ast.Name) and b.id in classes]
    if found is None:
        raise Unclear(first.lineno, "no __init__ of NixlConnector takes a vllm_config")
    calls = [n for n in found.body if isinstance(n, ast.Expr) and "super" in ast.dump(n)]
    asserts = [n for n in found.body if isinstance(n, ast.Assert) and "kv_transfer_config" in ast.dump(n)]
    last = [found.body[0], *calls, *asserts][-1]
    lines = data.split(b"\n")
    at = last.end_lineno or last.lineno
    text = "".join(
        " " * last.col_offset + line + "\n" for line in _WARNING.format(config=_CONFIG).rstrip("\n").split("\n")
    )
    return b"\n".join(lines[:at]) + b"\n" + text.encode() + b"\n".join(lines[at:])


_CONFIG = "vllm_config.kv_transfer_config"


_IMPORT = b"from vllm.distributed.kv_transfer.nixl_roles import KV_BOTH_REFUSED\n"
_REFUSE = b"raise ValueError(KV_BOTH_REFUSED)\n"


def refuses(data: bytes | None) -> bool:
    """Whether the connector ``data`` holds the refusal of the topic ``reject-kv-both``."""
    return data is not None and _REFUSE.strip() in data


def refusing(data: bytes) -> bytes:
    """The connector ``data``, which warns, with the refusal of the topic ``reject-kv-both`` in the place of its warning.

    Raises Unclear where it does not ask for kv_both once, in one ``__init__``, or imports nothing beside which the refusal's
    text could be imported.
    """
    try:
        module = ast.parse(data)
    except (SyntaxError, ValueError) as e:
        raise Unclear(getattr(e, "lineno", 0) or 0, f"it does not parse ({e})") from None
    found = [
        node
        for cls in module.body
        if isinstance(cls, ast.ClassDef)
        for init in cls.body
        if isinstance(init, ast.FunctionDef) and init.name == "__init__"
        for node in ast.walk(init)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith(".kv_role == 'kv_both'") and not node.orelse
    ]
    imports = [
        node
        for node in module.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vllm.distributed.kv_transfer.")
    ]
    if len(found) != 1:
        raise Unclear(
            found[1].lineno if found else 0, f"it asks for kv_role == 'kv_both' in {len(found)} places, not in one"
        )
    if not imports:
        raise Unclear(
            0, "it imports nothing of vllm.distributed.kv_transfer, beside which the refusal could be imported"
        )
    body = found[0].body
    lines = data.splitlines(keepends=True)
    lines[body[0].lineno - 1 : body[-1].end_lineno] = [b" " * body[0].col_offset + _REFUSE]
    lines.insert(imports[-1].end_lineno or imports[-1].lineno, _IMPORT)
    return b"".join(lines)


def _takes_config(init: ast.FunctionDef) -> bool:
    return any(a.arg == "vllm_config" for a in init.args.args)


def _named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


# --- roles -----------------------------------------------------------------------------------------------------------


def explicit(path: str, data: bytes) -> bytes:
    """``data`` with a side's role in the place of each ``kv_both`` that the contract forbids."""
    for _ in range(1000):  # each turn takes at least one kv_both away
        left = clauses.kv_both_left(path, data)
        if not left:
            return data
        text = data.decode("latin-1")
        data = _role(path, text, left[0]).encode("latin-1")
    raise Unclear(0, "there are more than 1000 roles in it")


def _role(path: str, text: str, site: Site) -> str:
    named = sides.of_role(path, text, site.start)
    role = _ROLES[named.side] if named is not None else clauses.settled_role(path, text, site.start)
    if path.endswith("/utils.py") and (helper := _helper(text, site)) is not None:
        return helper
    if role is not None and site.given is not None and clauses.may_be_nixl(path, text.encode("latin-1"), site):
        quote = text[site.end]
        return f'{text[: site.start]}{role}{quote} if str({site.given}).startswith("Nixl") else {quote}kv_both{text[site.end :]}'
    if role is not None:
        return text[: site.start] + role + text[site.end :]
    if path.endswith(".sh"):
        return _split(path, text, site)
    if path.endswith((".md", ".yaml", ".yml")):
        return _in_guide(text, site)
    raise Unclear(site.line, "nothing around kv_both says whether it is prefill's or decode's")


def _helper(text: str, site: Site) -> str | None:
    """``create_vllm_config`` with a parameter for the role that stands at ``site``, if it has none: the tests of the warning
    pass it one."""
    if sides.owner(text, site.start) != "create_vllm_config" or re.search(r"(?m)^    kv_role\b", text):
        return None
    head = re.search(r"(?m)^def create_vllm_config\((?:\n.*?)*?\n\)", text)
    own = text.rfind('kv_role="', 0, site.start)
    if head is None or own != site.start - len('kv_role="'):
        return None
    body = text[head.start() : head.end() - 2]
    comma = "" if body.rstrip().endswith(",") else ","
    at = head.end() - 2
    made = text[:own] + "kv_role=kv_role" + text[site.end + 1 :]
    return made[:at] + comma + '\n    kv_role: str = "kv_consumer",' + made[at:]


# --- shell: one variable for both sides ------------------------------------------------------------------------------


def _split(path: str, text: str, site: Site) -> str:
    """The variable that holds the config at ``site`` made two, one a side, each used where its side's command is."""
    lines = text.split("\n")
    name = sides.assigned(lines, site.line - 1)
    if name is None:
        raise Unclear(site.line, "nothing around kv_both says whether it is prefill's or decode's")
    of = {Side.PREFILL: f"PREFILL_{name}", Side.DECODE: f"DECODE_{name}"}
    if name != name.upper():
        of = {side: f"{side.value}_{name}" for side in of}
    if any(re.search(rf"\b{new}\b", text) for new in of.values()):
        raise Unclear(site.line, f"${name} serves both sides, and {' or '.join(of.values())} is there already")
    spans: list[tuple[int, int]] = []  # the statements that set the variable
    for row, line in enumerate(lines):
        sets = re.search(rf"\b{re.escape(name)}\+?=", line) is not None
        if sets and (not spans or row > spans[-1][1]) and sides.assigned(lines, row) == name:
            spans.append(sides.statement(lines, row))
    used = re.compile(r"(\$\{?)" + re.escape(name) + r"\b")
    out: list[str] = []
    row = at = 0
    while row < len(lines):
        span = next((s for s in spans if s[0] == row), None)
        if span is not None:
            block = lines[span[0] : span[1] + 1]
            for side, new in of.items():
                out += _of_side("\n".join(block), name, new, _ROLES[side], used).split("\n")
            at += sum(len(line) + 1 for line in block)
            row = span[1] + 1
            continue
        line = lines[row]
        if used.search(line):
            named = sides.of_role(path, text, at)
            if named is None:
                raise Unclear(row + 1, f"${name} serves both sides, and nothing says which of them this use is of")
            line = used.sub(lambda m, new=of[named.side]: m[1] + new, line)  # type: ignore[misc]
        elif re.search(rf"\b{re.escape(name)}\b", line):
            raise Unclear(row + 1, f"${name} serves both sides, and this line uses it in a way that is not read")
        out.append(line)
        at += len(lines[row]) + 1
        row += 1
    return "\n".join(out)


def renamed(path: str, before: bytes, after: bytes) -> bytes:
    """``after``, where a variable of ``before`` is set no more, with each use of it made one of its side's variable."""
    text = after.decode("latin-1")
    for name in clauses.orphans(before, after):
        of = {side: f"{side.value}_{name}" for side in _ROLES}
        if any(re.search(rf"\b{new}=", text) is None for new in of.values()):
            continue
        used = re.compile(r"(\$\{?)" + re.escape(name) + r"\b")
        for m in reversed(list(used.finditer(text))):
            named = sides.of_role(path, text, m.start())
            if named is not None:
                text = text[: m.start()] + m[1] + of[named.side] + text[m.end() :]
    return text.encode("latin-1")


def _of_side(block: str, name: str, new: str, role: str, used: re.Pattern[str]) -> str:
    block = re.sub(rf"\b{re.escape(name)}(?=\+?=)", new, block, count=1)
    block = used.sub(lambda m: m[1] + new, block)
    data = block.encode("latin-1")
    for site in reversed(roles_in_text.sites(data)):
        if site.role == "kv_both" and (site.is_nixl or site.connector is None):
            data = data[: site.start] + role.encode() + data[site.end :]
    return data.decode("latin-1")


# --- guides ----------------------------------------------------------------------------------------------------------


def _in_guide(text: str, site: Site) -> str:
    """An example that stands for both sides: it becomes prefill's, under a comment that says what decode's takes."""
    lines = text.split("\n")
    row = site.line - 1
    fence = sides.fence(lines, row)
    if fence is None:
        return _in_sentence(text, site)
    language = lines[fence].strip().lstrip("`~").strip().lower()
    if language not in ("", "bash", "sh", "shell", "console", "yaml", "python"):
        raise Unclear(site.line, f"the example serves both sides, and a {language} block takes no comment that says so")
    top, _ = sides.statement(lines, row, fence + 1)
    indent = lines[top][: len(lines[top]) - len(lines[top].lstrip())]
    nested = re.search(r'kv_connector"?\s*:\s*"(?!Nixl)\w', "\n".join(lines[top : row + 1])) is not None
    decode = "on a decode instance NixlConnector, and it alone, takes" if nested else "a decode instance takes"
    note = f'{indent}# On a prefill instance; {decode} "kv_role":"kv_consumer"'
    made = text[: site.start] + "kv_producer" + text[site.end :]
    lines = made.split("\n")
    return "\n".join([*lines[:top], note, *lines[top:]])


def _in_sentence(text: str, site: Site) -> str:
    """A config in a sentence that stands for both sides: it is given for each of them."""
    start = text.rfind("`", text.rfind("\n", 0, site.start) + 1, site.start)
    end = text.find("`", site.end)
    line_end = text.find("\n", site.end)
    if start < 0 or end < 0 or (0 <= line_end < end):
        raise Unclear(site.line, "nothing around kv_both says whether it is prefill's or decode's")
    span = text[start : end + 1]
    if span.count("'") % 2 and span.endswith("}`"):
        span = span[:-1] + "'`"  # upstream's own slip, in the sentences of expert_parallel_deployment.md
    at = site.start - start
    prefill, decode = (span[:at] + role + span[at + len("kv_both") :] for role in _ROLES.values())
    line = text[text.rfind("\n", 0, start) + 1 : start]
    if prose_sides(line):  # the sentence speaks of both already: each config stands beside its side
        return text[:start] + f"(on prefill instances {prefill}, on decode instances {decode})" + text[end + 1 :]
    return text[:start] + f"{prefill} on prefill instances and {decode} on decode instances" + text[end + 1 :]
