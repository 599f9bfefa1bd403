"""NixlConnector changed by meaning: given the warning, or the refusal of the topic ``reject-kv-both`` in its place."""

from __future__ import annotations

import ast

from kvroles.apply.unclear import Unclear

_WARNING = """\
if {config}.kv_role == "kv_both":
    logger.warning_once(
        "kv_role='kv_both' is deprecated for NixlConnector: set "
        "kv_role='kv_producer' on prefill instances and "
        "kv_role='kv_consumer' on decode instances."
    )
"""
_CONFIG = "vllm_config.kv_transfer_config"
_IMPORT = b"from vllm.distributed.kv_transfer.nixl_roles import KV_BOTH_REFUSED\n"
_REFUSE = b"raise ValueError(KV_BOTH_REFUSED)\n"


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
