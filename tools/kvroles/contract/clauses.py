"""The clauses of the contract, each for the bytes of one file: what ``contract.check`` asks of a tree."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
import warnings
from collections.abc import Callable, Mapping

from kvroles.contract import roles_in_text, settled, sides, terms
from kvroles.contract.terms import Breach
from kvroles.digest import sha256
from kvroles.places import find_program


def warns(source: bytes) -> str | None:
    """None when the connector module ``source`` warns as clause 1 asks, else why it does not."""
    return _init_of_nixl(source, _init_warns, "warns once when kv_role == 'kv_both'")


# Every choice of topics is checked, and most files are the same in each: a verdict on one is kept.
_kept = functools.lru_cache(maxsize=256)


@_kept
def _parse(source: bytes) -> ast.Module:
    return ast.parse(source)


def _init_of_nixl(source: bytes, holds: Callable[[ast.FunctionDef], bool], what: str) -> str | None:
    """None when ``holds`` is true of NixlConnector's ``__init__`` or that of a base class in ``source``, else why not."""
    try:
        module = _parse(source)
    except (SyntaxError, ValueError) as e:
        return f"it does not parse ({e})"
    classes = {n.name: n for n in module.body if isinstance(n, ast.ClassDef)}
    # From 0.24.0 on NixlConnector is an alias of NixlPullConnector (nixl/connector.py, last lines).
    names = {t.id: n.value.id for n in module.body if isinstance(n, ast.Assign) and isinstance(n.value, ast.Name)
             for t in n.targets if isinstance(t, ast.Name)}  # fmt: skip
    cls = classes.get(names.get("NixlConnector", "NixlConnector"))
    if cls is None:
        return "it defines no class NixlConnector"
    queue = [cls]
    while queue:
        cls = queue.pop(0)
        for item in cls.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__" and holds(item):
                return None
        queue += [classes[b.id] for b in cls.bases if isinstance(b, ast.Name) and b.id in classes]
    return f"neither NixlConnector.__init__ nor a base class's {what}"


def _init_warns(init: ast.FunctionDef) -> bool:
    """Whether there is one warning in ``init``, under the test for kv_both."""
    guarded = []
    for node in ast.walk(init):
        if isinstance(node, ast.If) and _asks_for_kv_both(node.test):
            guarded += [c for stmt in node.body for c in _warning_calls(stmt)]
    everywhere = list(_warning_calls(init))
    return len(guarded) == 1 and len(everywhere) == 1


def refuses(connector: bytes, refusal: bytes | None, arguments: bytes | None) -> str | None:
    """None when ``kv_both`` is refused as clause 1 asks with ``reject-kv-both``, else why it is not.

    ``connector``, ``refusal`` and ``arguments`` are the connector module, REFUSAL and EARLY as they are now.
    """
    why = _init_of_nixl(connector, _init_refuses, "raises ValueError(KV_BOTH_REFUSED) when kv_role == 'kv_both'")
    if why:
        return why
    text = _constant(refusal or b"", "KV_BOTH_REFUSED")
    sides = [f"kv_role='{role}' on {side}" for role, side in terms.SIDES.items()]
    for part in ("kv_role='kv_both'", *sides, terms.GUIDE):
        if part not in text:
            return f"the refusal in {terms.REFUSAL} does not say {part!r}"
    if not re.search(rb"^        reject_kv_both\(config\.kv_transfer_config\)$", arguments or b"", re.MULTILINE):
        return f"{terms.EARLY} does not ask for the refusal before the engine starts"
    return None


def _constant(source: bytes, name: str) -> str:
    """The text that ``source`` assigns to ``name`` at its top level, or the empty string."""
    try:
        module = _parse(source)
    except (SyntaxError, ValueError):
        return ""
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            target = node.targets[0]
            if isinstance(target, ast.Name) and target.id == name:
                return str(node.value.value)
    return ""


def _init_refuses(init: ast.FunctionDef) -> bool:
    """Whether ``init`` raises the refusal under the test for kv_both, and no longer warns."""
    raised = [
        stmt.exc.args[0].id
        for node in ast.walk(init)
        if isinstance(node, ast.If) and _asks_for_kv_both(node.test)
        for stmt in node.body
        if isinstance(stmt, ast.Raise)
        and isinstance(stmt.exc, ast.Call)
        and isinstance(stmt.exc.func, ast.Name)
        and stmt.exc.func.id == "ValueError"
        and len(stmt.exc.args) == 1
        and isinstance(stmt.exc.args[0], ast.Name)
    ]
    return raised == ["KV_BOTH_REFUSED"] and not _warning_calls(init)


def _asks_for_kv_both(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and len(test.ops) == 1
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.left, ast.Attribute)
        and test.left.attr == "kv_role"
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "kv_both"
    )


def _warning_calls(node: ast.AST) -> list[ast.Call]:
    """Calls of ``logger.warning_once`` (or, before it existed, a once-guarded ``warning``) with the deprecation's words."""
    return [
        call
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "warning_once"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        and re.search(terms.QUERY, call.args[0].value)
        and all(_says(call.args[0].value, role, side) for role, side in terms.SIDES.items())
    ]


def _says(text: str, role: str, side: str) -> bool:
    """Whether a message gives ``role`` to ``side``: "set kv_producer on prefill instances and ..."."""
    at = text.find(role)
    found = sides.of_clause(text, at) if at >= 0 else None
    return found is not None and found.value == side


def has_deprecation_tests(source: bytes) -> bool:
    """Whether ``source`` (test_nixl_connector.py) defines both deprecation tests."""
    return defines(source, terms.TESTS)


def defines(source: bytes, names: tuple[str, ...]) -> bool:
    """Whether ``source`` defines every function of ``names`` at its top level."""
    return all(re.search(rb"^def " + name.encode() + rb"\(", source, re.MULTILINE) for name in names)


_HELPER = re.compile(rb"(?m)^def create_vllm_config\((?P<head>(?:.*\n)*?)\)[^\n]*:$")


def helper_takes_no_role(tests: bytes, helpers: bytes | None) -> bool:
    """Whether the tests give ``create_vllm_config`` a ``kv_role``, and the helper in ``helpers`` has no such parameter."""
    if helpers is None or not re.search(rb"create_vllm_config\([^()]*\bkv_role=", tests):
        return False
    head = _HELPER.search(helpers)
    return head is not None and re.search(rb"\bkv_role\b|\*\*", head["head"]) is None


@_kept
def kv_both_left(path: str, data: bytes) -> tuple[roles_in_text.Site, ...]:
    """NIXL configs in ``data`` that still say ``kv_both`` where clause 3 forbids it."""
    if path.startswith("vllm/") or path == terms.GUIDE or b"kv_both" not in data:
        return ()
    allowed = _lines_about_kv_both(path, data)
    helper_default = path.startswith("tests/") and "nixl" in path.rpartition("/")[2] and path.endswith(".py")
    return tuple(
        s
        for s in roles_in_text.sites(data)
        if s.role == "kv_both"
        and s.line not in allowed
        and (s.is_nixl or (s.connector is None and (helper_default or may_be_nixl(path, data, s))))
    )


def may_be_nixl(path: str, data: bytes, site: roles_in_text.Site) -> bool:
    """Whether the connector of ``site`` is a name of a Python file that is given NIXL's in that file: by a call, a default, an
    assignment, or the values that a test is run with."""
    if site.given is None or not path.endswith(".py"):
        return False
    name = re.escape(site.given)
    return (
        re.search(
            rf"""\b{name}\s*(?::[^=\n]*)?=\s*["']Nixl|parametrize\(\s*["'][^"']*\b{name}\b[^"']*["'],[^@]*?["']Nixl""",
            data.decode("latin-1"),
        )
        is not None
    )


_TEST = re.compile(
    rb"^((?:@.*\n(?:[ )].*\n)*)*def (?:%s)\(.*\n(?:[ )].*\n|\n)*)"
    % b"|".join(t.encode() for t in (*terms.TESTS, *terms.REFUSAL_TESTS)),
    re.M,
)


@_kept
def _lines_about_kv_both(path: str, data: bytes) -> frozenset[int]:
    """The lines (1-based) of the tests of the warning or refusal, decorators included, if ``path`` is their file.

    Read as text: parsing 5,000 lines takes 50 ms.
    """
    if path != terms.TEST_FILE:
        return frozenset()
    lines: set[int] = set()
    for m in _TEST.finditer(data):
        first = data.count(b"\n", 0, m.start()) + 1
        lines.update(range(first, first + m[0].count(b"\n")))
    return frozenset(lines)


@_kept
def roles_kept(path: str, before: bytes | None, after: bytes) -> tuple[Breach, ...]:
    """Clause 4: other connectors' roles are as before."""
    out = []
    was = {(s.connector, s.role) for s in roles_in_text.sites(before or b"") if s.connector and not s.is_nixl}
    about = _lines_about_kv_both(path, after)
    now = [s for s in roles_in_text.sites(after) if s.line not in about]
    for s in now:
        if s.connector and not s.is_nixl and before is not None and (s.connector, s.role) not in was:
            out.append(Breach(4, path, s.line, f"{s.connector} became {s.role}, but only NIXL's own role may change"))
    missing = was - {(s.connector, s.role) for s in now}
    out += [Breach(4, path, 0, f"{connector} is no longer {role}") for connector, role in sorted(missing)]
    return tuple(out)


@_kept
def sides_named(path: str, before: bytes | None, after: bytes) -> tuple[Breach, ...]:
    """Clause 4: every NIXL role that ``before`` does not have in the same place is that of the side its surroundings name.

    Where they name none, ``settled`` says what is set; a role that it does not know of either is a breach.
    """
    if path == terms.GUIDE or path.startswith("vllm/"):
        return ()
    about = _lines_about_kv_both(path, after)
    text, was = after.decode("latin-1"), (before or b"").decode("latin-1")
    lines = text.split("\n")
    out = []
    for s in roles_in_text.sites(after):
        other = s.connector is not None and not s.is_nixl
        if s.role not in terms.SIDES or other or s.line in about:
            continue
        named = sides.of_role(path, text, s.start)
        if _among(lines, named.line if named else s.line, s.line, was):
            continue
        if named is not None:
            if terms.SIDES[s.role] != named.side.value:
                why = f"{s.role} where {' '.join(named.words.split())[:60]!r} (line {named.line}) speaks of {named.side.value}"
                out.append(Breach(4, path, s.line, why))
            continue
        want = settled_role(path, text, s.start)
        if want is None:
            out.append(Breach(4, path, s.line, f"nothing around {s.role} says whether it is prefill's or decode's"))
        elif want != s.role:
            out.append(Breach(4, path, s.line, f"{s.role} where {want} is set: its surroundings name no side"))
    about = _lines_about_kv_both(path, before or b"")
    left = (_up_to(text, s) for s in roles_in_text.sites(after) if s.role in terms.SIDES)
    for s in roles_in_text.sites(before or b""):
        # ``left`` is read on from where the last role was found: upstream's roles have to follow each other as they did.
        if s.role in terms.SIDES and s.line not in about and _up_to(was, s) not in left:
            out.append(Breach(4, path, 0, f"upstream's own role is gone: {_up_to(was, s).strip()[-60:]}"))
            break
    for line, old, new, side in sides.handed_on(text):
        if terms.SIDES.get(new) not in (None, side.value) or terms.SIDES.get(old) not in (None, side.other.value):
            out.append(Breach(4, path, line, f"{old} is made {new} for {side.value}"))
    return tuple(out)


def _among(lines: list[str], first: int, line: int, was: str) -> bool:
    """Whether ``line`` (1-based) stands in the text ``was`` with the same lines from ``first`` on, and two around it."""
    return "\n".join(lines[max(min(first - 1, line - 3), 0) : line + 2]) in was


def _up_to(text: str, site: roles_in_text.Site) -> str:
    """The line of a role up to its end: what stands behind it the series may have changed as well."""
    return text[text.rfind("\n", 0, site.start) + 1 : site.end]


def settled_role(path: str, text: str, at: int) -> str | None:
    """The role that ``settled`` gives to the config at index ``at``, where nothing around it names a side."""
    where = sides.owner(text, at) if path.endswith(".py") else text[max(at - 200, 0) : at + 200]
    for row in settled.ROWS:
        if row.path == path and (row.owner == where if path.endswith(".py") else f'"{row.owner}"' in where):
            return row.role
    return settled.UNIT_TESTS if path.startswith("tests/") and path.endswith(".py") else None


# BASHOPTS and SHELLOPTS would change what bash takes for a script, BASH_ENV and exported functions what it runs.
_BASH = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
_refused: dict[str, str | None] = {}  # a script's SHA-256 -> what bash -n says against it, if anything


@functools.cache  # the same module stands in many releases
def _compile(path: str, source: bytes) -> tuple[Breach, ...]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as e:
        return (Breach(5, path, getattr(e, "lineno", 0) or 0, f"it does not compile ({e})"),)
    return ()


@_kept
def well_formed(path: str, before: bytes | None, after: bytes) -> tuple[Breach, ...]:
    """Clause 5 for one file: Python compiles, shell sets the variables it uses, JSON configs in Markdown parse.

    JSON that did not parse before need not afterwards.
    """
    if path.endswith(".py"):
        return _compile(path, after)
    if path.endswith(".sh"):
        return tuple(
            Breach(5, path, 0, f"it still uses ${name}, which it no longer sets")
            for name in orphans(before or b"", after)
        )
    if path.endswith(".md"):
        known_bad = {_without_roles(text) for _, text in _broken_json(before or b"")}
        return tuple(
            Breach(5, path, line, "a JSON config in it does not parse")
            for line, text in _broken_json(after)
            if _without_roles(text) not in known_bad
        )
    return ()


def _without_roles(text: str) -> str:
    return re.sub(r"kv_(?:both|producer|consumer)", "", text)


_SETS = re.compile(rb"^\s*(?:local |export |readonly )*([A-Za-z_]\w*)=", re.MULTILINE)


def orphans(before: bytes, after: bytes) -> list[str]:
    """Shell variables that ``before`` sets and ``after`` only uses: a variable was split, and one use was missed."""
    gone = set(_SETS.findall(before)) - set(_SETS.findall(after))
    return sorted(n.decode() for n in gone if re.search(rb"\$\{?" + n + rb"\b", after))


# A backtick ends a config too: upstream has left out the quote before one.
_QUOTED_JSON = re.compile(r"'(\{[^'`]*\"kv_connector\"[^'`]*)['`]")


def _broken_json(data: bytes) -> list[tuple[int, str]]:
    text = data.decode("latin-1")
    out = []
    for m in _QUOTED_JSON.finditer(text):
        if "{{" in m[1] or "${" in m[1]:
            continue  # a template; what it expands to is not here to be parsed
        try:
            json.loads(m[1])
        except (ValueError, RecursionError):
            out.append((text.count("\n", 0, m.start()) + 1, m[1]))
    return out


def shells_parse(scripts: Mapping[str, bytes]) -> tuple[list[Breach], str | None]:
    """Clause 5 for shell: breaches, and why the check could not be made (no bash on this machine), or None."""
    if not scripts:
        return [], None
    bash = find_program("bash")
    if bash is None:
        return [], "no bash on this machine"
    hashes = {path: sha256(data) for path, data in scripts.items()}
    new = {hashes[path]: data for path, data in scripts.items() if hashes[path] not in _refused}
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    running = {
        sha: subprocess.Popen([bash, "--norc", "-n"], stdin=pipe, stdout=nowhere, stderr=pipe, env=_BASH, cwd="/")
        for sha in new
    }
    for sha, process in running.items():
        _, stderr = process.communicate(new[sha])
        first = stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        _refused[sha] = first if process.returncode else None
    refused = [(path, _refused[sha]) for path, sha in hashes.items()]
    return [Breach(5, path, 0, f"bash -n refuses it ({why})") for path, why in refused if why is not None], None


# What is asked of each changed file by itself: its path, its bytes before (None for a new file) and after.
OF_ONE_FILE: tuple[Callable[[str, bytes | None, bytes], tuple[Breach, ...]], ...] = (
    roles_kept,
    sides_named,
    well_formed,
)
