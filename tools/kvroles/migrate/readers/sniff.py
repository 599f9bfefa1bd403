"""The language of a text without a name, by its content."""

from __future__ import annotations

import re

from kvroles.evidence import marks
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN

# decode.kv={...}, as helm and docker take it; --from-literal=kv={...}
KEYED = regex(r"(?:--?[A-Za-z][\w-]*=)?([A-Za-z_][\w.\[\]-]*)=(?=[{\[])(?!\{\{|\[\[)")
_BARE_OBJECT = regex(r"(?m)^[ \t]*\w+=\{[^'\n]*[:,{][ \t]+\S")
_FENCE = regex(r"^[ \t>]*(?:```|~~~)", re.M)
_UNDERLINED = regex(r"(?m)^[A-Z\d][^\n:={}<>|;$]{1,60}\n(?:={4,}|~{4,}|-{4,})[ \t]*\r?$")  # a document's title
_HOLE = regex(r"^\s*\$\{\w+\}(?=\s*\{\s*[\"'])")  # what a program puts before an object
_YAML_HEAD = regex(r"^(?:---|apiVersion:|kind:|- op:|-\s+[\w./\"'-]+:(?:\s|$)|[\w./\"'-]+:(?:\s*$|\s+[^\s/]))")
_KEYED_OBJECT = regex(r"[\w./-]+:[ \t]+[\"']?\{[ \t]*[\"']")  # of one line: ``prefill: {"kv_connector": ...}``
# The first line of code or settings, its comments left out, by language: what no command of a shell begins with.
_HEADS = (
    (
        "python",
        regex(
            r"""(?x)import\ \w | from\ [\w.]+\ import\  | (?:async\ )?def\ \w+\( | class\ \w+[(:] | @\w
            | [rfbu]{0,2}(?:\"{3}|'{3})"""
        ),
    ),
    ("go", regex(r"package \w+\s*$")),
    (
        "rust",
        regex(
            r"""(?x)use\ [\w:{]+ | impl[ <] | let\ (?:mut\ )?\w+(?::\ [^=]+)?\ =\ .*;\s*$
            | (?:pub(?:\(\w+\))?\ )?(?:async\ )?(?:fn|struct|enum|mod|const|static)\ \w+\s*[(<{;:]"""
        ),
    ),
    (
        "typescript",
        regex(
            r"""(?x)import\ [\w{*\"'].*[\"'];?\s*$ | (?:const|let|var)\ [\w{] | (?:async\ )?function\ \w+\ ?\(
            | export\ (?:const|default|async|function|class|interface|type|let)\b"""
        ),
    ),
    (
        "hcl",
        regex(
            r"(?:resource|variable|locals|module|provider|terraform|data|output|job|group|task)(?: +\"[^\"]*\")* *\{\s*$"
        ),
    ),
    ("powershell", regex(r"param ?\(|\$\w+ = |function \w+-\w+ ?\{|Set-StrictMode|\$\w+:\w+ = ")),
    ("make", regex(r"[A-Z_]+ [:?]= |\.PHONY:")),
    ("docker", regex(r"FROM [\w./:${}@-]+(?: AS [\w-]+)?\s*$")),
)
_SECTION = regex(r"(?m)^[ \t]*\[{1,2}[\w.\"':/@ -]+\]{1,2}[ \t]*$")
# ``name = value`` is no command either: of Python where more of it shows, else of settings.
_SET = regex(r"[\w.-]+(?:\[[^\]\n]*\])?(?:: \w[\w. \[\],|]*)? = ")
_PYTHON = regex(r"(?m)^(?:import |from \w|def |class |(?:if|for|with|while|try)\b.*:$|[\w.]+\()")
_BARE_VALUE = regex(r"(?m)^[\w.-]+[ \t]*=[ \t]*(?![\"'\[{\d+-]|true\b|false\b)\S")  # no value of TOML
_FLAGGED = regex(
    r"(?:--?[A-Za-z][\w-]*=)?-{1,2}[\w.-]+[=\s]?\{(?!\{)"
)  # --kv-transfer-config={...}, the quotes being the object's own
_SHELL_SIGN = regex(
    r"(?:^|\s)--?[A-Za-z]|\bvllm serve\b|\\\s*$|^[ \t]*export |\$\{?\w|=|<<-?[ \t]*([\"']?)\w+\1[ \t]*(?:[|>&].*)?$",
    re.M,
)
_LOG_LINE = regex(
    r"""(?x)^\s*(?:\x1b\[[\d;]*m)*(?: \(?\w*(?:EngineCore|APIServer|Worker|Process)\w*\spid=\d  | \[?\d{4}-\d\d-\d\d[T\s]\d\d:\d\d
    | (?:INFO|WARNING|ERROR|DEBUG)\s+\d\d-\d\d | \d\d:\d\d:\d\d[.,\s] | \[\d\d/\d\d
    | \{\s*"(?:ts|time|timestamp|@timestamp|asctime)"\s*:\s*"?\d[^{}]*"(?:level|severity|levelname)"\s*: )"""
)
_PATCH = regex(r"(?:diff --git |From [0-9a-f]{40} |Index: |--- \S+.*\n\+\+\+ \S)")
_SHELL_LINE = regex(r"\b(?:ba|z|k|da)?sh\b")


def language(s: str) -> str:
    """The language of a string, by its content alone."""
    stripped = _HOLE.sub("", s, count=1).strip()
    if stripped == TOKEN:
        return "value"
    multiline = "\n" in stripped
    if stripped.startswith("{") and not stripped.startswith(("{{", "{%")):
        return _of_object(s)
    first = next((ln for line in stripped.splitlines() if (ln := line.strip()) and not ln.startswith(("#", "//"))), "")
    if multiline and (_SECTION.match(first) or _SET.match(first)):
        return _of_settings(s)
    if stripped.startswith("[") and not stripped.startswith("[[ "):
        return _of_object(s)
    if looks_patched(s):
        return "log"
    if script := shebang(stripped):
        return script
    if _FENCE.search(s) or _UNDERLINED.search(s):
        return "markdown"
    if _FLAGGED.match(stripped):
        return "json"
    if multiline and (head := next((lang for lang, pattern in _HEADS if pattern.match(first)), "")):
        return head
    if multiline and _YAML_HEAD.match(first) and not first.endswith("\\"):
        return "yaml"
    if not multiline and _KEYED_OBJECT.match(first):
        return "yaml"
    if _SHELL_SIGN.search(s):
        return "shell"
    return "json" if "{" in s else "prose"


def _of_object(s: str) -> str:
    """The language of a text that begins as JSON does."""
    return "notebook" if '"nbformat"' in s and '"cells"' in s else "json"


def _of_settings(s: str) -> str:
    """The language of a text that begins with a section or with what a name is set to."""
    if _SECTION.search(s):
        return "unit" if _BARE_VALUE.search(s) else "toml"
    return "python" if _PYTHON.search(s) else "unknown"


def shebang(s: str) -> str:
    """The language that a script's first line says, or empty."""
    first = s[:200].split("\n", 1)[0]
    if not first.startswith("#!"):
        return ""
    for lang in ("python", "just"):
        if lang in first:
            return lang
    return "shell" if _SHELL_LINE.search(first) else ""


def looks_patched(s: str) -> bool:
    """Whether a text begins as a patch does."""
    return _PATCH.match(s) is not None


def looks_logged(s: str) -> bool:
    """Whether most lines that hold something start like a log's."""
    lines = [ln for ln in s.splitlines() if ln.strip()]
    return len(lines) > 0 and sum(bool(_LOG_LINE.match(ln)) for ln in lines) * 2 >= len(lines)


_PROMPTED = regex(r"\s*\$[ \t]+\S")


def typed(s: str) -> list[tuple[int, int]]:
    """The parts of a console's text that were typed: what stands before the first line of a log, and what is behind a prompt, up
    to the next such line."""
    out: list[tuple[int, int]] = []
    at, own = 0, True
    for line in s.splitlines(keepends=True):
        shown = _PROMPTED.match(line) is not None or marks.prompted(line) != line
        own = not _LOG_LINE.match(line) and (own or shown)
        if own and line.strip():
            joined = out.pop()[0] if out and out[-1][1] == at else at
            out.append((joined, at + len(line)))
        at += len(line)
    return out


def holds_bare_objects(s: str) -> bool:
    """Whether a line of variables sets one to an object with blanks and without quotes round it, which no shell would take as a
    whole: Docker's ``--env-file`` and Compose's ``env_file`` do."""
    return _BARE_OBJECT.search(s) is not None
