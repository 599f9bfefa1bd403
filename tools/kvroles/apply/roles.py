"""Roles given by meaning: each ``kv_both`` of a file becomes the role of the side that the file's own words say it is of."""

from __future__ import annotations

import re

from kvroles.apply.unclear import Unclear
from kvroles.contract import clauses, roles_in_text, sides
from kvroles.contract.roles_in_text import Site
from kvroles.evidence.frames import Side
from kvroles.evidence.prose import prose_sides

_ROLES = {Side.PREFILL: "kv_producer", Side.DECODE: "kv_consumer"}


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
    """``text`` with the ``kv_both`` at ``site`` replaced: by its side's role, or in a way that gives each side its own."""
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
    """``after``, in which some variables of ``before`` are set no more: each use of one is of its side's variable now."""
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
    """A statement that sets ``name``, as the one that sets ``new`` to the same config with ``role`` in it."""
    block = re.sub(rf"\b{re.escape(name)}(?=\+?=)", new, block, count=1)
    block = used.sub(lambda m: m[1] + new, block)
    data = block.encode("latin-1")
    for site in reversed(roles_in_text.sites(data)):
        if site.role == "kv_both" and (site.is_nixl or site.connector is None):
            data = data[: site.start] + role.encode() + data[site.end :]
    return data.decode("latin-1")


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
