"""What a string holds: an object, a command, YAML, Markdown, Python; and the sites in it."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib import import_module
from posixpath import splitext

from kvroles.evidence.context import MAX_NESTING, FileCtx
from kvroles.evidence.data_cues import one_side
from kvroles.evidence.frames import Cue, Scope, Site, Weight
from kvroles.evidence.text import TOKEN, TOKEN_RE, Text
from kvroles.migrate.readers.mapping import objects
from kvroles.migrate.readers.mapping.tree import Tree

_FENCE = re.compile(r"^[ \t>]*(?:```|~~~)", re.M)
_HOLE = re.compile(r"^\s*\$\{\w+\}(?=\s*\{\s*[\"'])")  # what a program puts before an object
_YAML_HEAD = re.compile(r"^(?:---|apiVersion:|kind:|- op:|-\s+[\w./\"'-]+:(?:\s|$)|[\w./\"'-]+:(?:\s*$|\s+[^\s/]))")
_PYTHON_HEAD = re.compile(r"^(?:import \w|from [\w.]+ import |def \w+\(|class \w+[(:]|@\w|async def )")
_FLAGGED = re.compile(r"-{1,2}[\w.-]+[=\s]?\{(?!\{)")  # --kv-transfer-config={...}, the quotes being the object's own
_KEYED = re.compile(r"([A-Za-z_][\w.\[\]-]*)=(?=[{\[])(?!\{\{|\[\[)")  # decode.kv={...}, as helm and docker take it
_ROLE_BEFORE = re.compile(r"kv_role\\*[\"']\s*:\s*\\*[\"']$")  # part of an object whose rest stands elsewhere
_SHELL_SIGN = re.compile(r"(?:^|\s)--?[A-Za-z]|\bvllm serve\b|\\\s*$|^\s*export |\$\{?\w|=", re.M)
_LOG_LINE = re.compile(
    r"""(?x)^\s*(?: \(?\w*(?:EngineCore|APIServer|Worker|Process)\w*[\s(]  | \[?\d{4}-\d\d-\d\d[T\s]\d\d:\d\d
    | (?:INFO|WARNING|ERROR|DEBUG)\s+\d\d-\d\d | \d\d:\d\d:\d\d[.,\s] | \[\d\d/\d\d )"""
)

_USUAL = (
    ("document.carrier",),
    ("shell.carrier", "bash"),
    ("yaml.carrier",),
    ("code.python", "python"),
)  # readers, and the grammars they take
LANGS = {
    "sh": "shell", "bash": "shell", "shell": "shell", "console": "shell", "zsh": "shell", "shell-session": "shell",
    "ksh": "shell",
    "shellscript": "shell", "sh-session": "shell", "terminal": "shell", "cmd": "shell", "fish": "shell", "text": "",
    "env": "shell",
    "dotenv": "shell", "powershell": "shell", "yaml": "yaml", "yml": "yaml", "helm": "yaml", "json": "json",
    "json5": "json",
    "jsonc": "json", "python": "python", "py": "python", "python3": "python", "pycon": "python", "toml": "toml",
    "go": "go",
    "golang": "go", "rust": "rust", "rs": "rust", "dockerfile": "docker", "docker": "docker", "makefile": "make",
    "make": "make",
    "just": "just", "justfile": "just", "markdown": "markdown", "md": "markdown", "jinja": "yaml", "jinja2": "yaml",
    "gotemplate": "yaml",
    "log": "log", "logs": "log", "diff": "log", "patch": "log", "mermaid": "log", "output": "log",
}  # fmt: skip


def scan(t: Text, scope: Scope, ctx: FileCtx) -> list[Site]:
    """The sites in the string ``t``, whose owner is ``scope``."""
    if not TOKEN_RE.search(t.s):
        return []
    if ctx.depth >= MAX_NESTING:
        return [Site(t.at(i), scope, "value") for i in t.tokens()]
    ctx.depth += 1
    try:
        if m := _KEYED.match(t.s):
            side = one_side(m.group(1), ctx)
            cues = [] if side is None else [Cue(side, Weight.NAMED, "key", m.group(1), t.at(0))]
            return scan_objects(t.slice(m.end(), len(t.s)), Scope("key", m.group(1), scope, cues), ctx)
        return scan_as(sniff(t.s), t, scope, ctx)
    finally:
        ctx.depth -= 1


def sniff(s: str) -> str:
    """The language of a string that says no more of itself."""
    stripped = _HOLE.sub("", s, count=1).strip()
    if stripped == TOKEN:
        return "value"
    if stripped.startswith(("{", "[")) and not stripped.startswith(("{{", "{%", "[[ ")):
        return "json"
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
    if _SHELL_SIGN.search(s):
        return "shell"
    return "json" if "{" in s else "prose"


def scan_as(lang: str, t: Text, scope: Scope, ctx: FileCtx) -> list[Site]:
    """The sites in ``t``, read as ``lang`` (one of ``LANGS``' values, or empty for: find out)."""
    if not lang:
        lang = sniff(t.s)
    match lang:
        case "shell":
            from kvroles.migrate.readers.shell import carrier as shell

            if looks_logged(t.s):
                return [Site(t.at(i), scope, "log") for i in t.tokens()]
            return shell.scan(t, scope, ctx)
        case "yaml":
            from kvroles.migrate.readers.yaml import carrier as yaml_carrier

            return yaml_carrier.scan(t, scope, ctx)
        case "json":
            return scan_objects(t, scope, ctx)
        case "python":
            from kvroles.migrate.readers.code import python

            return python.scan(t, scope, ctx)
        case "go" | "rust":
            from kvroles.migrate.readers.code import carrier as code

            return code.scan(t, scope, ctx, lang)
        case "toml":
            from kvroles.migrate.readers import toml

            return toml.scan(t, scope, ctx)
        case "markdown":
            from kvroles.migrate.readers.document import carrier as markdown

            return markdown.scan(t, scope, ctx)
        case "docker" | "make" | "just":
            from kvroles.migrate.readers import recipes as build

            return build.scan(t, scope, ctx, lang)
        case "unit":
            from kvroles.migrate.readers import ini as unit

            return unit.scan(t, scope, ctx)
        case "log":
            return [Site(t.at(i), scope, "log") for i in t.tokens()]
        case "value":
            return [Site(t.at(i), scope, "value") for i in t.tokens()]
        case _:
            return [_loose(t, i, scope) for i in t.tokens()]


def load() -> None:
    """Load the readers that most trees need, before the process forks: else each process loads them for itself."""
    for module, *grammars in _USUAL:
        with suppress(ImportError):  # what is not installed the first file that takes it speaks of
            import_module(f"kvroles.migrate.readers.{module}")
            for grammar in grammars:
                import_module("kvroles.migrate.readers.grammar").parser(grammar)


def _loose(t: Text, i: int, scope: Scope) -> Site:
    """A token in no object: the role of one whose rest stands elsewhere, or else a mention."""
    if _ROLE_BEFORE.search(t.s[max(0, i - 40) : i]):
        return Site(t.at(i), scope, "role", None, exact=False)
    return Site(t.at(i), scope, "prose")


def scan_objects(t: Text, scope: Scope, ctx: FileCtx) -> list[Site]:
    """The sites in the objects of ``t``; what stands in no object is a mention."""
    out: list[Site] = []
    done = -1
    for i in t.tokens():
        if i < done:
            continue
        found = objects.enclosing(t, i)
        if found is None:
            out.append(_loose(t, i, scope))
            continue
        done = found.end
        out += Tree(found, t, scope, ctx, scan).sites()
    return out


def looks_logged(s: str) -> bool:
    """Whether most lines that hold something start like a log's."""
    lines = [ln for ln in s.splitlines() if ln.strip()]
    return len(lines) > 0 and sum(bool(_LOG_LINE.match(ln)) for ln in lines) * 2 >= len(lines)


def lang_of_name(name: str) -> str:
    """The language a file's name says, or empty. ``x.yaml.j2`` and ``x.sh.tpl`` are what they are templates of."""
    base = name.lower().rsplit("/", 1)[-1]
    stem, suffix = splitext(base)
    while suffix in _WRAPS:
        if not splitext(stem)[1]:
            return "yaml" if suffix in {".tpl", ".gotmpl", ".tmpl"} else _BY_BASE.get(stem, "")
        base = stem
        stem, suffix = splitext(base)
    if base.startswith(("dockerfile", "containerfile")) or base.endswith((".dockerfile", ".containerfile")):
        return "docker"
    if base.startswith("makefile."):
        return "make"
    if base.startswith(".env"):
        return "shell"
    return _BY_BASE.get(base, "") or _BY_SUFFIX.get(suffix, "")


_WRAPS = frozenset(
    {".j2", ".jinja", ".jinja2", ".tpl", ".tmpl", ".gotmpl", ".in", ".template", ".example", ".sample", ".dist", ".bak"}
)
_BY_BASE = {"makefile": "make", "gnumakefile": "make", "justfile": "just", ".justfile": "just", "dockerfile": "docker"}


_BY_SUFFIX = {
    ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".json5": "json", ".jsonc": "json", ".sh": "shell", ".bash":
    "shell",
    ".zsh": "shell", ".sbatch": "shell", ".slurm": "shell", ".ksh": "shell", ".bats": "shell", ".py": "python",
    ".pyi": "python",
    ".go": "go", ".rs": "rust", ".toml": "toml", ".md": "markdown", ".mdx": "markdown", ".markdown": "markdown",
    ".rst": "markdown",
    ".adoc": "markdown", ".asciidoc": "markdown", ".qmd": "markdown", ".ipynb": "notebook", ".mdc": "markdown",
    ".service": "unit", ".ini": "unit", ".cfg": "unit",
    ".conf": "unit", ".mk": "make", ".make": "make", ".just": "just", ".env": "shell", ".envrc": "shell",
}  # fmt: skip


__all__ = ["LANGS", "lang_of_name", "looks_logged", "scan", "scan_as", "scan_objects", "sniff"]
