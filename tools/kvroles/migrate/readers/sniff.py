"""The language of a text without a name, by its content."""

from __future__ import annotations

import re

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN

KEYED = regex(r"([A-Za-z_][\w.\[\]-]*)=(?=[{\[])(?!\{\{|\[\[)")  # decode.kv={...}, as helm and docker take it
_FENCE = regex(r"^[ \t>]*(?:```|~~~)", re.M)
_HOLE = regex(r"^\s*\$\{\w+\}(?=\s*\{\s*[\"'])")  # what a program puts before an object
_YAML_HEAD = regex(r"^(?:---|apiVersion:|kind:|- op:|-\s+[\w./\"'-]+:(?:\s|$)|[\w./\"'-]+:(?:\s*$|\s+[^\s/]))")
_KEYED_OBJECT = regex(r"[\w./-]+:[ \t]+[\"']?\{[ \t]*[\"']")  # of one line: ``prefill: {"kv_connector": ...}``
_PYTHON_HEAD = regex(r"^(?:import \w|from [\w.]+ import |def \w+\(|class \w+[(:]|@\w|async def )")
_FLAGGED = regex(r"-{1,2}[\w.-]+[=\s]?\{(?!\{)")  # --kv-transfer-config={...}, the quotes being the object's own
_SHELL_SIGN = regex(
    r"(?:^|\s)--?[A-Za-z]|\bvllm serve\b|\\\s*$|^[ \t]*export |\$\{?\w|=|<<-?[ \t]*([\"']?)\w+\1[ \t]*(?:[|>&].*)?$",
    re.M,
)
_LOG_LINE = regex(
    r"""(?x)^\s*(?:\x1b\[[\d;]*m)*(?: \(?\w*(?:EngineCore|APIServer|Worker|Process)\w*[\s(]  | \[?\d{4}-\d\d-\d\d[T\s]\d\d:\d\d
    | (?:INFO|WARNING|ERROR|DEBUG)\s+\d\d-\d\d | \d\d:\d\d:\d\d[.,\s] | \[\d\d/\d\d
    | \{\s*"(?:ts|time|timestamp|@timestamp|asctime)"\s*:\s*"?\d[^{}]*"(?:level|severity|levelname)"\s*: )"""
)
_SHELL_LINE = regex(r"\b(?:ba|z|k|da)?sh\b")


def language(s: str) -> str:
    """The language of a string, by its content alone."""
    stripped = _HOLE.sub("", s, count=1).strip()
    if stripped == TOKEN:
        return "value"
    if stripped.startswith(("{", "[")) and not stripped.startswith(("{{", "{%", "[[ ")):
        return "json"
    if script := shebang(stripped):
        return script
    if _FENCE.search(s):
        return "markdown"
    if _FLAGGED.match(stripped):
        return "json"
    multiline = "\n" in stripped
    first = next((ln.strip() for ln in stripped.splitlines() if ln.strip() and not ln.lstrip().startswith("#")), "")
    if multiline and _PYTHON_HEAD.match(first):
        return "python"
    if multiline and _YAML_HEAD.match(first) and not first.endswith("\\"):
        return "yaml"
    if not multiline and _KEYED_OBJECT.match(first):
        return "yaml"
    if _SHELL_SIGN.search(s):
        return "shell"
    return "json" if "{" in s else "prose"


def shebang(s: str) -> str:
    """The language that a script's first line says, or empty."""
    first = s[:200].split("\n", 1)[0]
    if not first.startswith("#!"):
        return ""
    for lang in ("python", "just"):
        if lang in first:
            return lang
    return "shell" if _SHELL_LINE.search(first) else ""


def looks_logged(s: str) -> bool:
    """Whether most lines that hold something start like a log's."""
    lines = [ln for ln in s.splitlines() if ln.strip()]
    return len(lines) > 0 and sum(bool(_LOG_LINE.match(ln)) for ln in lines) * 2 >= len(lines)
