"""The languages that are read: who reads each, and the names by which files and code blocks give their language away.

A reader is named by its module and the name in it, and is loaded when a text of its language is met: to load them all
takes longer than to read a dozen files.
"""

from __future__ import annotations

from posixpath import splitext

# The languages that are source code.
CODE = frozenset({"python", "go", "rust", "javascript", "typescript", "tsx", "powershell"})
# language -> module below ``kvroles.migrate.readers``, and the ``Reader`` in it
READERS = {
    "shell": "shell.reader:SHELL",
    "yaml": "yaml.reader:YAML",
    "json": "mapping.reader:JSON",
    "python": "code.python:PYTHON",
    "go": "code.reader:GO",
    "rust": "code.reader:RUST",
    "javascript": "code.reader:JAVASCRIPT",
    "typescript": "code.reader:TYPESCRIPT",
    "tsx": "code.reader:TSX",
    "toml": "toml:TOML",
    "markdown": "document.reader:DOCUMENT",
    "notebook": "notebook:NOTEBOOK",
    "docker": "dockerfile:DOCKERFILE",
    "make": "recipes:MAKEFILE",
    "just": "recipes:JUSTFILE",
    "powershell": "powershell.reader:POWERSHELL",
    "unit": "ini:INI",
    "hcl": "hcl.reader:HCL",
    "log": "plain:LOG",
    "value": "plain:VALUE",
    "prose": "plain:PROSE",
    "unknown": "plain:UNKNOWN",
}
# Languages that most trees hold, and the grammars that reading them takes.
USUAL = (("markdown", ""), ("shell", "bash"), ("yaml", ""), ("python", "python"))

# The word behind a fence's back quotes, in a directive or a magic, in lower case. Empty: the text has to show it.
FENCES = {
    "sh": "shell", "bash": "shell", "shell": "shell", "console": "shell", "zsh": "shell", "shell-session": "shell",
    "ksh": "shell", "shellscript": "shell", "sh-session": "shell", "terminal": "shell", "cmd": "shell",
    "fish": "shell", "text": "", "env": "shell", "dotenv": "shell", "powershell": "powershell", "pwsh": "powershell",
    "ps1": "powershell", "yaml": "yaml", "yml": "yaml", "helm": "yaml", "json": "json", "json5": "json",
    "jsonc": "json", "python": "python", "py": "python", "python3": "python", "pycon": "python", "toml": "toml",
    "go": "go", "golang": "go", "rust": "rust", "rs": "rust", "dockerfile": "docker", "docker": "docker",
    "makefile": "make", "make": "make", "just": "just", "justfile": "just", "markdown": "markdown", "md": "markdown",
    "jinja": "yaml", "jinja2": "yaml", "gotemplate": "yaml", "log": "log", "logs": "log", "diff": "log", "hcl": "hcl",
    "javascript": "javascript", "js": "javascript", "jsx": "javascript", "typescript": "typescript",
    "ts": "typescript", "tsx": "tsx", "terraform": "hcl", "tf": "hcl", "nomad": "hcl", "patch": "log",
    "mermaid": "log", "output": "log", "ini": "unit", "systemd": "unit", "conf": "unit", "cfg": "unit",
    "properties": "unit",
}  # fmt: skip

# What stands behind a file's own suffix where it is a template, an example or a copy: the suffix before it says the language.
_WRAPS = frozenset(
    {".j2", ".jinja", ".jinja2", ".tpl", ".tmpl", ".gotmpl", ".tftpl", ".in", ".template", ".example", ".sample", ".dist", ".bak"}
)  # fmt: skip
_GO_TEMPLATES = frozenset({".tpl", ".gotmpl", ".tmpl"})  # without a suffix before it: a chart's helpers
_BY_BASE = {
    "makefile": "make", "gnumakefile": "make", "justfile": "just", ".justfile": "just", "dockerfile": "docker",
    "env.list": "shell",
}  # fmt: skip
_BY_SUFFIX = {
    ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".json5": "json", ".jsonc": "json", ".sh": "shell",
    ".bash": "shell", ".zsh": "shell", ".sbatch": "shell", ".slurm": "shell", ".ksh": "shell", ".bats": "shell",
    ".py": "python", ".pyi": "python", ".go": "go", ".rs": "rust", ".toml": "toml", ".md": "markdown",
    ".mdx": "markdown", ".markdown": "markdown", ".rst": "markdown", ".adoc": "markdown", ".asciidoc": "markdown",
    ".qmd": "markdown", ".ipynb": "notebook", ".mdc": "markdown", ".service": "unit", ".container": "unit",
    ".properties": "unit", ".ini": "unit", ".cfg": "unit", ".conf": "unit", ".mk": "make", ".make": "make",
    ".just": "just", ".env": "shell", ".envrc": "shell", ".js": "javascript", ".mjs": "javascript",
    ".cjs": "javascript", ".jsx": "javascript", ".ts": "typescript", ".mts": "typescript", ".cts": "typescript",
    ".tsx": "tsx", ".ps1": "powershell", ".psm1": "powershell", ".psd1": "powershell", ".tf": "hcl", ".tofu": "hcl",
    ".tfvars": "hcl", ".hcl": "hcl", ".nomad": "hcl", ".sls": "yaml",
    ".mmd": "log", ".mermaid": "log",
}  # fmt: skip


def lang_of_name(name: str) -> str:
    """The language a file's name says, or empty. ``x.yaml.j2`` and ``x.sh-tpl`` are what they are templates of."""
    base = _dotted(name.lower().rsplit("/", 1)[-1])
    stem, suffix = splitext(base)
    while suffix in _WRAPS:
        if not splitext(stem)[1]:
            return _BY_BASE.get(stem, "yaml" if suffix in _GO_TEMPLATES else "")
        base = stem
        stem, suffix = splitext(base)
    if base.startswith(("dockerfile", "containerfile")) or base.endswith((".dockerfile", ".containerfile")):
        return "docker"
    if base.startswith("makefile."):
        return "make"
    if base.startswith(".env"):
        return "shell"
    return _BY_BASE.get(base, "") or _BY_SUFFIX.get(suffix, "")


def _dotted(base: str) -> str:
    """A file's name with a dot before the word for a template that a dash or an underscore joins to its suffix:
    ``x.yaml-template``."""
    stem, suffix = splitext(base)
    cut = max(suffix.rfind("-"), suffix.rfind("_"))
    wraps = cut > 0 and suffix[:cut] in _BY_SUFFIX and f".{suffix[cut + 1 :]}" in _WRAPS
    return f"{stem}{suffix[:cut]}.{suffix[cut + 1 :]}" if wraps else base


def of_variables(name: str) -> bool:
    """Whether a file's name says that it holds variables, a line each: ``.env.decode``, ``prefill.env``."""
    base = name.lower().rsplit("/", 1)[-1]
    return base.startswith(".env") or base.endswith(".env") or base == "env.list"


def named_for_another(name: str) -> bool:
    """Whether a file's name says a language that no reader here knows: its last suffix, those of templates left out."""
    stem, suffix = splitext(_dotted(name.lower().rsplit("/", 1)[-1].lstrip(".")))
    while suffix in _WRAPS:
        stem, suffix = splitext(stem)
    return bool(suffix) and suffix != ".txt" and stem != "procfile"
