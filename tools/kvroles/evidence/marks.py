"""Which characters begin a comment, and whether a place of a text stands in one: by language, or by a file's suffix."""

from __future__ import annotations

from kvroles.evidence.patterns import regex

# What begins a comment to the end of the line, by language or suffix. A language that is not here has no comments we know.
_HASH, _SLASH, _DASH, _SEMI = ("#",), ("//",), ("--",), (";",)
_COMMENT_MARKS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("shell", "yaml", "python", "toml", "make", "docker", "just"), _HASH),
    **dict.fromkeys(
        ("nix", "bzl", "bazel", "star", "tiltfile", "rb", "pl", "pm", "r", "ps1", "psm1", "psd1", "ex", "exs", "jl", "rego",
         "graphql", "gql", "cmake", "fish", "tcl", "awk", "nu", "rake", "gemfile", "vagrantfile", "snakefile", "sub", "condor",
         "gradle.properties", "coffee", "cr", "elv"), _HASH),
    **dict.fromkeys(
        ("go", "rust", "js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "java", "kt", "kts", "scala", "groovy", "gradle",
         "jenkinsfile", "c", "h", "cc", "cpp", "hpp", "cu", "cuh", "hip", "cs", "swift", "dart", "json", "json5", "jsonc", "cue",
         "proto", "zig", "bicep", "v", "d", "pkl"), _SLASH),
    **dict.fromkeys(("tf", "tfvars", "hcl", "nomad", "jsonnet", "libsonnet", "php", "pkr"), ("#", "//")),
    **dict.fromkeys(("lua", "sql", "hs", "elm", "dhall", "adb", "ads"), _DASH),
    **dict.fromkeys(("unit", "ini", "cfg", "conf"), ("#", ";")),
    **dict.fromkeys(("el", "lisp", "clj", "edn", "scm"), _SEMI),
    "properties": ("#", "!"),
    "bat": ("rem ", "::"),
    "cmd": ("rem ", "::"),
    "vim": ('"',),
    "tex": ("%",),
    "erl": ("%",),
}  # fmt: skip
# Comments that a tool reads: ``// +kubebuilder:default=kv_both``, ``//go:generate ...``, ytt's ``#@ kv = {}``.
_MARKERS = {
    "yaml": regex(r"#@(?:[ \t]|\w+/)"),
    "shell": regex(r"(?i)#(?:sbatch|PBS|BSUB|COBALT|FLUX:?|\$)[ \t]"),
    "go": regex(r"//(?:go:|\s*\+(?:[\w:]*:)?default\b)"),
}
_DEFINITION = regex(r"#define[ \t]+\w+[ \t]")  # in a file that a preprocessor makes another of
# What a console shows before a command: ``root@prefill:~# ``, ``(base) [me@node1 work]$ ``; and root's, which look like comments:
# ``prefill# ``, ``/ # ``, ``node1:/work # ``. Behind a word no comment begins.
_PROMPT = regex(
    r"""(?mx)^[ \t]* (?:\([\w.-]+\)[ \t]*)?
    (?: [\w.-]+@[\w.-]+ (?:(?:[ \t]*:|[ \t]+)\[?[~/][\w./~-]*\]?)? [ \t]?[#$%]
      | (?:\[[\w.-]+@[\w.-]+(?:[ \t:]+[\w./~-]+)?\]|<[\w.@-]+>) [ \t]?[#$%]
      | \[[\w.-]+(?:[ \t:]+[\w./~-]+)?\]\#
      | [\w.@:~/+-]+\#
      | (?:[~/]|[\w.-]+:(?:~|/(?!/))[\w./~-]*)[ \t]+\#
    ) (?=[ \t]+[\w./~])"""
)
_AROUND = str.maketrans("()[]<>:~#$%", " " * 11)
# The same before nothing: a command with an option behind a ``#``.
_PROMPT_ALONE = regex(r"(?m)^[ \t]*#(?=[ \t]+(?:\w+=\S+[ \t]+)*[a-z./][\w./-]*[ \t](?:[^\n]*[ \t])?--?\w)")
_LINE_ONLY = frozenset(
    {"unit", "ini", "cfg", "conf", "properties", "bat", "cmd", "docker", "vim"}
)  # none behind a value
_BLOCK_MARKS = {
    **dict.fromkeys((k for k, v in _COMMENT_MARKS.items() if "//" in v), ("/*", "*/")),
    **dict.fromkeys(("css", "scss", "less", "sql", "nix"), ("/*", "*/")),
    **dict.fromkeys(("html", "htm", "xml", "svg", "vue", "xhtml", "markdown"), ("<!--", "-->")),
    **dict.fromkeys(("ps1", "psm1", "psd1"), ("<#", "#>")),
    "lua": ("--[[", "]]"),
    "hs": ("{-", "-}"),
}


def commented(s: str, i: int, lang: str) -> bool:
    """Whether index ``i`` of a text in ``lang`` (a reader's name, or a suffix without its dot) stands in a comment.

    On a line of its own always; behind other text only where no quote is open there.
    """
    start = s.rfind("\n", 0, i) + 1
    line = s[max(start, i - 2000) : i]
    lead = line.lstrip().lower()
    if sets_by_comment(lead, lang):
        return False
    for mark in _COMMENT_MARKS.get(lang, ()):
        if lead.startswith(mark):
            return True
        if lang not in _LINE_ONLY and (at := _mark_at(line, mark)) >= 0 and not open_quote(line[:at]):
            return not (sets_by_comment(line[at:], lang) or (lang == "shell" and prompted(line) != line))
    marks = _BLOCK_MARKS.get(lang)
    if marks is None:
        return False
    opened = s.rfind(marks[0], 0, i)
    if opened < 0 or s.find(marks[1], opened + len(marks[0]), i) >= 0:
        return False
    line = s[s.rfind("\n", 0, opened) + 1 : opened]
    return not open_quote(line)


def sets_by_comment(comment: str, lang: str) -> bool:
    """Whether a comment in ``lang``, its sign included, is one that a tool reads a setting from, or a definition of C's."""
    if comment.startswith("#define") and _DEFINITION.match(comment) is not None:
        return True
    return lang in _MARKERS and _MARKERS[lang].match(comment) is not None


def prompted(s: str) -> str:
    """A shell's text, with nothing of each prompt but its words."""
    return _PROMPT.sub(lambda m: m[0].translate(_AROUND), s) if any(x in s for x in ("# ", "$ ", "% ")) else s


def prompted_alone(s: str) -> str:
    """A shell's text of nothing but comments, with a blank for the ``#`` before each that is a command with an option."""
    return _PROMPT_ALONE.sub(lambda m: m[0][:-1] + " ", s)


def _mark_at(line: str, mark: str) -> int:
    """Where ``mark`` begins a comment in a line: after a blank, so that ``http://`` and ``a#b`` begin none."""
    at = line.find(mark)
    while at > 0 and not line[at - 1].isspace():
        at = line.find(mark, at + 1)
    return at


def open_quote(part: str) -> bool:
    """Whether a quote of any kind is open at the end of ``part``."""
    return any(part.count(q) % 2 for q in "\"'`")
