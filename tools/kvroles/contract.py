"""The contract of a patched tree, checked from bytes.

1. ``NixlConnector.__init__`` (or the base class it moved to) warns once for ``kv_both`` and not for explicit roles.
   With topic ``reject-kv-both`` it refuses ``kv_both`` instead, and the engine arguments do before it.
2. The two deprecation tests exist, in ``test_nixl_connector.py``; with ``reject-kv-both``, the tests of the refusal.
3. No NIXL config in tests, scripts, guides or recipes says ``kv_both``, save in those tests and in the migration guide.
4. Prefill instances say ``kv_producer``, decode instances ``kv_consumer``; wrappers and other connectors are as before.
5. Python compiles, shell passes ``bash -n``, JSON snippets in Markdown parse.

That nothing else in the tree changed is the writer's to show: see ``engine.py``.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from . import scan

QUERY = r"kv_role='kv_both'.*deprecated"  # the log query that finds patched and native instances alike
CONNECTORS = (
    "vllm/distributed/kv_transfer/kv_connector/v1/nixl/connector.py",  # from 0.20.0
    "vllm/distributed/kv_transfer/kv_connector/v1/nixl_connector.py",  # up to 0.19.1
)
TEST_FILE = "tests/v1/kv_connector/unit/test_nixl_connector.py"
GUIDE = "docs/features/nixl_kv_role_migration.md"  # the overlay's page: its "before" examples say kv_both
TESTS = ("test_kv_both_deprecation_warning", "test_explicit_kv_role_no_deprecation_warning")

REJECT = "reject-kv-both"  # the topic that replaces the warning by a refusal
REFUSAL = "vllm/distributed/kv_transfer/nixl_roles.py"  # the file of its own it brings
EARLY = "vllm/engine/arg_utils.py"  # asked before any process of the engine starts
REFUSAL_TESTS = (
    "test_kv_both_is_refused",
    "test_kv_both_is_refused_below_a_wrapper",
    "test_kv_both_is_refused_before_any_process_starts",
    "test_kv_both_stays_with_other_connectors",
)
_SIDES = {"kv_producer": "prefill", "kv_consumer": "decode"}


@dataclass(frozen=True)
class Breach:
    """One broken clause: ``clause`` is its number above; ``line`` is 0 where the whole file is meant."""

    clause: int
    path: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.why} (clause {self.clause})"


def warns(source: bytes) -> str | None:
    """None when the connector module ``source`` warns as clause 1 asks, else why it does not."""
    return _init_of_nixl(source, _init_warns, "warns once when kv_role == 'kv_both'")


def _init_of_nixl(source: bytes, holds: Callable[[ast.FunctionDef], bool], what: str) -> str | None:
    """None when ``holds`` is true of NixlConnector's ``__init__`` or that of a base class in ``source``, else why not."""
    try:
        module = ast.parse(source)
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
    sides = [f"kv_role='{role}' on {side}" for role, side in _SIDES.items()]
    for part in ("kv_role='kv_both'", *sides, GUIDE):
        if part not in text:
            return f"the refusal in {REFUSAL} does not say {part!r}"
    if not re.search(rb"^        reject_kv_both\(config\.kv_transfer_config\)$", arguments or b"", re.MULTILINE):
        return f"{EARLY} does not ask for the refusal before the engine starts"
    return None


def _constant(source: bytes, name: str) -> str:
    """The text that ``source`` assigns to ``name`` at its top level, or the empty string."""
    try:
        module = ast.parse(source)
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
        and re.search(QUERY, call.args[0].value)
        and all(role in call.args[0].value for role in _SIDES)
    ]


def has_deprecation_tests(source: bytes) -> bool:
    """Whether ``source`` (test_nixl_connector.py) defines both deprecation tests."""
    return _defines(source, TESTS)


def _defines(source: bytes, names: tuple[str, ...]) -> bool:
    return all(re.search(rb"^def " + name.encode() + rb"\(", source, re.MULTILINE) for name in names)


def kv_both_left(path: str, data: bytes) -> list[scan.Site]:
    """NIXL configs in ``data`` that still say ``kv_both`` where clause 3 forbids it."""
    if path.startswith("vllm/") or path == GUIDE or b"kv_both" not in data:
        return []
    allowed = _lines_about_kv_both(path, data)
    helper_default = path.startswith("tests/") and "nixl" in path.rpartition("/")[2] and path.endswith(".py")
    return [
        s
        for s in scan.sites(data)
        if s.role == "kv_both" and s.line not in allowed and (s.is_nixl or (helper_default and s.connector is None))
    ]


_TEST = re.compile(
    rb"^((?:@.*\n(?:[ )].*\n)*)*def (?:%s)\(.*\n(?:[ )].*\n|\n)*)"
    % b"|".join(t.encode() for t in (*TESTS, *REFUSAL_TESTS)),
    re.M,
)


def _lines_about_kv_both(path: str, data: bytes) -> set[int]:
    """The lines (1-based) of the tests of the warning or refusal, decorators included, if ``path`` is their file.

    Read as text: parsing 5,000 lines takes 50 ms.
    """
    lines: set[int] = set()
    if path != TEST_FILE:
        return lines
    for m in _TEST.finditer(data):
        first = data.count(b"\n", 0, m.start()) + 1
        lines.update(range(first, first + m[0].count(b"\n")))
    return lines


def roles_kept(path: str, before: bytes | None, after: bytes) -> list[Breach]:
    """Clause 4: other connectors' roles as before, and a side named on a config's own line agrees with its role."""
    out = []
    was = {(s.connector, s.role) for s in scan.sites(before or b"") if s.connector and not s.is_nixl}
    about = _lines_about_kv_both(path, after)
    now = [s for s in scan.sites(after) if s.line not in about]
    for s in now:
        if s.connector and not s.is_nixl and before is not None and (s.connector, s.role) not in was:
            out.append(Breach(4, path, s.line, f"{s.connector} became {s.role}, but only NIXL's own role may change"))
    missing = was - {(s.connector, s.role) for s in now}
    out += [Breach(4, path, 0, f"{connector} is no longer {role}") for connector, role in sorted(missing)]
    lines = after.decode("latin-1").split("\n")
    for s in now:
        text = lines[s.line - 1].lower()
        cues = {side for side in _SIDES.values() if side in text}
        if s.is_nixl and s.role in _SIDES and len(cues) == 1 and _SIDES[s.role] not in cues:
            out.append(Breach(4, path, s.line, f"{s.role} on a line that speaks of {cues.pop()}"))
    return out


def well_formed(path: str, before: bytes | None, after: bytes) -> list[Breach]:
    """Clause 5 for one file: Python compiles, shell sets the variables it uses, JSON configs in Markdown parse.

    JSON that did not parse before need not afterwards.
    """
    if path.endswith(".py"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compile(after, path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as e:
            return [Breach(5, path, getattr(e, "lineno", 0) or 0, f"it does not compile ({e})")]
    if path.endswith(".sh"):
        return [
            Breach(5, path, 0, f"it still uses ${name}, which it no longer sets")
            for name in _orphans(before or b"", after)
        ]
    if path.endswith(".md"):
        known_bad = {text for _, text in _broken_json(before or b"")}
        return [
            Breach(5, path, line, "a JSON config in it does not parse")
            for line, text in _broken_json(after)
            if text not in known_bad
        ]
    return []


_SETS = re.compile(rb"^\s*(?:local |export |readonly )*([A-Za-z_]\w*)=", re.MULTILINE)


def _orphans(before: bytes, after: bytes) -> list[str]:
    """Shell variables that ``before`` sets and ``after`` only uses: a variable was split, and one use was missed."""
    gone = set(_SETS.findall(before)) - set(_SETS.findall(after))
    return sorted(n.decode() for n in gone if re.search(rb"\$\{?" + n + rb"\b", after))


_QUOTED_JSON = re.compile(r"'(\{[^']*\"kv_connector\"[^']*)'")


def _broken_json(data: bytes) -> list[tuple[int, str]]:
    text = data.decode("latin-1")
    out = []
    for m in _QUOTED_JSON.finditer(text):
        if "{{" in m[1] or "${" in m[1]:
            continue  # a template; what it expands to is not here to be parsed
        try:
            json.loads(m[1])
        except ValueError:
            out.append((text.count("\n", 0, m.start()) + 1, m[1]))
    return out


def shells_parse(scripts: Mapping[str, bytes]) -> tuple[list[Breach], str | None]:
    """Clause 5 for shell: breaches, and why the check could not be made (no bash on this machine), or None."""
    if not scripts:
        return [], None
    bash = shutil.which("bash")
    if bash is None:
        return [], "no bash on this machine"
    running = [
        (
            path,
            data,
            subprocess.Popen([bash, "-n"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE),
        )
        for path, data in scripts.items()
    ]
    out = []
    for path, data, process in running:
        _, stderr = process.communicate(data)
        if process.returncode:
            first = stderr.decode("utf-8", "replace").strip().partition("\n")[0]
            out.append(Breach(5, path, 0, f"bash -n refuses it ({first})"))
    return out, None


@dataclass(frozen=True)
class Verdict:
    """The outcome of a whole check. ``unchecked`` says which clause could not be checked here, and why."""

    breaches: tuple[Breach, ...]
    unchecked: dict[int, str]


def key(hashes: Mapping[str, str]) -> str:
    """What a verdict follows from: the text of this checker, and the files' SHA-256 (path -> hash).

    Equal keys have equal verdicts. The lock keeps the key of each release's patched files once ``verify.py`` has proven
    them, so that the same bytes under the same checker need no second proof.
    """
    whole = hashlib.sha256()
    for module in (scan, sys.modules[__name__]):
        whole.update(module.__loader__.get_data(module.__file__))  # type: ignore[union-attr]
    for path, sha in sorted(hashes.items()):
        whole.update(f"{sha}  {path}\n".encode())
    return whole.hexdigest()


def check(
    after: Mapping[str, bytes],
    before: Mapping[str, bytes | None],
    mentions: Mapping[str, bytes],
    *,
    topics: Collection[str] = (),
    tests: bool = True,
    missing: frozenset[str] = frozenset(),
) -> Verdict:
    """Check the contract.

    ``after`` holds the files the series is about as they are now, ``before`` the same as upstream ships them, and
    ``mentions`` the other files of the tree that hold ``kv_both``. ``topics`` are the names of those applied: REJECT
    among them changes clauses 1 and 2. ``tests`` is False where no tests are shipped (wheels);
    ``missing`` are files that exist but cannot be had.
    """
    out: list[Breach] = []
    unchecked: dict[int, str] = {}
    wanted = REFUSAL_TESTS if REJECT in topics else TESTS
    connector = next((p for p in CONNECTORS if p in after), None)
    if connector is None:
        out.append(Breach(1, CONNECTORS[0], 0, "there is no NixlConnector module"))
    else:
        why = (
            refuses(after[connector], after.get(REFUSAL), after.get(EARLY))
            if REJECT in topics
            else warns(after[connector])
        )
        if why:
            out.append(Breach(1, connector, 0, why))
    if not tests:
        unchecked[2] = unchecked[3] = "tests and docs are not part of a wheel"
    elif TEST_FILE in missing:
        unchecked[2] = f"{TEST_FILE} cannot be had"
    elif TEST_FILE not in after:
        out.append(Breach(2, TEST_FILE, 0, "the file is missing"))
    elif not _defines(after[TEST_FILE], wanted):
        out.append(Breach(2, TEST_FILE, 0, f"it does not define {' and '.join(wanted)}"))
    for path, data in {**mentions, **after}.items():
        out += [Breach(3, path, s.line, "a NIXL config says kv_both") for s in kv_both_left(path, data)]
    for path, data in after.items():
        if before.get(path) != data:
            out += roles_kept(path, before.get(path), data)
            out += well_formed(path, before.get(path), data)
    scripts = {p: d for p, d in after.items() if p.endswith(".sh") and before.get(p) != d}
    breaches, why_not = shells_parse(scripts)
    out += breaches
    if why_not:
        unchecked[5] = why_not
    return Verdict(tuple(out), unchecked)
