"""Masks values in a file's text that may be secrets. Of a Secret or a live object only the lines with a role are shown.

Every report shows only what this module returns, so that a report can be sent to others. A value is masked by its name
(``HF_TOKEN``, ``password``), by its shape (``hf_...``, ``Bearer ...``, the user in an address), or as the value of an
environment variable or of a Secret's data, unless it is a number, path, side or switch. In doubt a value is masked:
masking too much costs a line of context, masking too little gives a secret away.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import pairwise
from operator import itemgetter

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN, occurrences

MASK = "***"
HIDDEN = "[not shown: values of env or data]"
_ROLES = regex(r"kv_(?:both|producer|consumer)")
_LONG = 240  # characters of a line that are shown round a role

# The names of secrets, from the word that tells: not "tokens" (a count), not "tokenizer". The time of all expressions here
# is linear in a line's length: what may stand before a word is bounded, or begins at the start of a word.
_SECRET = (
    r"(?:token(?!s\b|iz|s_|-s)|secret|passw(?:or)?d|passphrase|\bpwd|api[-_.]?key|access[-_.]?key|private[-_.]?key"
    r"|credential|authorization|\bauth\b|_auth\b|license[-_.]?key|\bdsn\b|connection[-_.]?string|cookie)[\w.-]{0,64}"
)
_BEFORE = r"[\w.-]{0,64}?"
_QUOTE = r"(?:\\*[\"'])"
_QUOTED = rf"(?P<q>{_QUOTE})(?P<in>.*?)(?<!\\)(?P=q)"
_VALUE = rf"(?:{_QUOTED}|{_QUOTE}(?P<rest>.*)$|(?P<bare>(?:\$\{{|[^\s\"',;{{}}\])])+))"
_NAMED = (
    regex(rf"(?i)(?P<name>{_SECRET}){_QUOTE}?\]?\)?\s*(?::=|=>|[:=])\s*(?:-\s+)?{_VALUE}"),
    regex(rf"(?i)(?P<name>(?<![\w-])--?{_BEFORE}{_SECRET}){_QUOTE}?[\s,]+{_VALUE}"),
    regex(rf"(?i)(?P<name>{_SECRET})\s+is\s+{_VALUE}"),
    regex(rf"(?i)\b(?:ENV|ARG)\s+(?P<name>{_SECRET})\s+{_VALUE}"),
    regex(rf"(?i)\b(?P<name>password|passwd|passphrase|credentials?)\s+{_VALUE}"),
    regex(rf"(?i)\b(?P<name>token|secret|key)\s+(?=\S*\d){_VALUE}"),
)
# One of these is in what each of them finds.
_SECRETS = ("token", "secret", "passw", "passphrase", "pwd", "key", "credential", "auth", "dsn", "string", "cookie")
# In a call: setenv("NAME", "value").
_GIVEN = regex(rf"(?P<name>{_SECRET}|\b[A-Z][A-Z0-9_]{{2,}}){_QUOTE}\s*,\s*{_QUOTED}")
_ENV = regex(rf"(?<![\w$.-])(?P<name>[A-Z][A-Z0-9_]*){_QUOTE}?\]?(?:\s*(?:=>|[:?+]?=)\s*(?!=)|(?<=\bENV )\s*){_VALUE}")
_ENV_KEY = regex(rf"(?:^\s*(?:-\s+)?|[{{,]\s*){_QUOTE}?(?P<name>[A-Z][A-Z0-9_]*){_QUOTE}?\s*:\s+{_VALUE}")
_KEY = regex(rf"(?i)(?<![\w-])(?P<name>key)\s*[:=]\s*{_VALUE}")
_OF_ENV = regex(rf"(?<![\w-])[vV]alue{_QUOTE}?\s*[:=]\s*{_VALUE}")
_INLINE = regex(
    rf"(?i)\b(?:env|environment|env_?vars|extra_?env\w*|data|string_?data|binary_?data|secrets?){_QUOTE}?\s*[:=]\s*[\[{{]"
)
_PAIR = regex(rf"(?<!name)(?<!name[\"'])(?<!name\\\\[\"'])[:=]\s*{_VALUE}")
_SHAPES = regex(
    r"""\bhf_(?:(?=\w*[A-Z0-9])\w{6,}|\w{16,})
    | (?<=://)[^\s/@"']+(?=@)
    | (?i:(?<=\bbearer[ ])|(?<=\bbasic[ ]))[\w.~+/=-]{6,}
    | \b(?:sk|pk|rk)-[\w-]{8,} | \bgh[pousr]_\w{8,} | \bgithub_pat_\w{8,} | \bglpat-[\w-]{8,} | \bnvapi-[\w-]{8,}
    | \bxox[abeprs]-[\w-]{8,} | \bA[KS]IA[0-9A-Z]{12,} | \bAIza[\w-]{20,} | \beyJ[\w-]{8,}(?:\.[\w-]+)*
    | (?<![\w+/=.-])(?!/|(?:[\w+=.-]{0,99}/){3})(?=[\w+/=-]*[0-9])(?=[\w+/=-]*[A-Z])(?=[\w+/=-]*[a-z])
      [A-Za-z0-9+/=_-]{32,}(?![\w+/=.-])""",
    re.X,
)
# Looked for only in a line with one of the words before it, in small letters. Within a command an option is looked for up to
# where the next one begins; a value that is a variable is none.
_WITHIN = r"\b[^|;&]{0,200}?(?<=\s)"
_GIVES = rf"(?!\\*\"?\$[\w({{]){_VALUE}"
_PASS = r"(?:(?<![a-z])|db|user|root|admin|my|sql|ssh|redis|smtp|ldap|http|proxy|basic)(?:pass|pwd|pw)"
_USER = rf"[\s=]*{_QUOTE}?[^\s:\"'$/]{{1,64}}:(?![$/])(?P<bare>[^\s\"']+)"
_LOGIN = r"(?:(?:docker|podman|nerdctl|buildah|skopeo|oras|helm\s+registry|crane\s+auth|oc|cf|az(?:\s+acr)?)\s+login)"
_COMMANDS = (
    (("sshpass",), regex(rf"\bsshpass(?:\s+-(?!p)\S+){{0,9}}\s+-p\s*{_GIVES}")),
    (("mysql", "mariadb"), regex(rf"(?<![\w.-])(?:mysql|mariadb)[\w-]{{0,20}}{_WITHIN}-p(?=\S){_GIVES}")),
    (("redis-cli",), regex(rf"\bredis-cli{_WITHIN}(?:-a|--pass)[\s=]+{_GIVES}")),
    (("mongo", "login"), regex(rf"\b(?:mongo(?:sh|dump|restore|export|import)?|{_LOGIN}){_WITHIN}-p[\s=]+{_GIVES}")),
    (("ldap",), regex(rf"\bldap\w{{1,20}}{_WITHIN}-w\s*{_GIVES}")),
    (("sqlcmd", "zip"), regex(rf"\b(?:sqlcmd|(?:un)?zip){_WITHIN}-P\s*{_GIVES}")),
    (("7z",), regex(rf"\b7z[az]?{_WITHIN}-p(?=\S){_GIVES}")),
    (("htpasswd",), regex(rf"\bhtpasswd\s+-\w*b\w*\s+\S+\s+\S+\s+{_GIVES}")),
    (
        ("curl", "wget", "http"),
        regex(rf"\b(?:curl|wget|https?){_WITHIN}(?:-[a-zA-Z]{{0,6}}[uU]|--(?:proxy-)?user){_USER}"),
    ),
    (("-u",), regex(rf"^(?!.*\b(?:docker|podman|nerdctl)\b)(?:\s*-u|.*?\s--(?:proxy-)?user){_USER}")),
    (
        ("authorization",),
        regex(rf"(?i)authorization{_QUOTE}?\s*[:=]\s*{_QUOTE}?[\w-]+\s+(?![$<{{])(?P<bare>[^\s\"',;]+)"),
    ),
    # Not "a first pass: the warm up", not "bypass".
    (
        ("pass", "pwd", "pw:", "pw=", 'pw"', "pw'", "pw "),
        regex(
            rf"(?i)(?<![\w:-])(?!(?<=[a-z] )pass\s*:)(?P<name>[\w-]{{0,40}}?{_PASS}){_QUOTE}?\]?\s*(?::=|=>|[:=])\s*{_GIVES}"
        ),
    ),
    (("pass",), regex(rf"(?i)(?<![\w-])(?P<name>--?[\w-]{{0,40}}?{_PASS}){_QUOTE}?[\s,]+{_GIVES}")),
)
_TOKENS = (
    ("npm_", "sg.", "_pat_", "pypi-", "hvs.", "hvb.", "gocspx-", "ya29.", "_live_", "_test_", "r8_", "gsk_", "whsec_", "shpat_",
     "dop_v1_", "webhook", "hooks.slack", "sig=", "signature=", "accountkey=", "private key"),
    regex(
        r"""\bnpm_[A-Za-z0-9]{16,}\b | \bSG\.[\w-]{16,}\.[\w-]{16,} | \bdckr_pat_[\w-]{8,} | \bpypi-\w[\w-]{15,}
        | \bhv[sb]\.[\w-]{16,} | \bGOCSPX-[\w-]{8,} | \bya29\.[\w-]{8,} | \b[sr]k_(?:live|test)_\w{8,}
        | \b(?:r8|gsk)_[A-Za-z0-9]{16,}\b | \b(?:whsec|shpat|dop_v1)_\w{8,}
        | (?:(?<=hooks\.slack\.com/)|(?<=discord\.com/api/webhooks/)|(?<=discordapp\.com/api/webhooks/)
          |(?<=webhook\.office\.com/))[^\s"'<>]+
        | (?i:(?<=[?&]sig=)|(?<=[?&]x-amz-signature=)|(?<=[?&]x-goog-signature=)|(?<=[?&]signature=)|(?<=accountkey=))
          [^\s&"';]+
        | -----BEGIN[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----[^-"']+""",
        re.X,
    ),
)  # fmt: skip
_TELLING = tuple(dict.fromkeys([*_TOKENS[0], *(word for words, _ in _COMMANDS for word in words)]))
# Values of environment variables that are no secret, and variables whose value is none.
_HARMLESS = regex(
    r"""(?ix) [\d.,:%-]* | \d+[kmgt]?i?b?s? | true|false|yes|no|on|off|none|null|auto|info|debug|warning|error
    | [\w./-]*(?:prefill|decode|producer|consumer|encode|nixl|connector|kv_both|disagg)\w*
    | \$\(?\{?\w*\}?\)? | \{\{.* | [<%@]\w+[>%@] | \.{0,2}/[\w./-]* | localhost | [|>][+-]? """
)
_PUBLIC = regex(
    r"(?:VLLM|UCX|NCCL|CUDA|NIXL|GLOO|OMP|PYTHON|RAY|LMCACHE|TORCH|TRITON|ROCM|HIP|FLASHINFER|TP|DP|PP)_\w+|PYTHON\w*"
    r"|PATH|LD_LIBRARY_PATH|\w*PID|MODEL\w*|PORT|HOST|ROLE|HF_HOME|HF_HUB_\w+|IMAGE|NAMESPACE|KV_\w+|\w*(?:CONFIG|ROLE|PORT|CONNECTOR|HOST)\w*"
)
_SIDE_WORD = regex(r"(?i)prefill\w*|decod\w*|producer|consumer|encod\w*|disagg\w*|aggregat\w*|\bP/D\b|预填充|解码")
# The line above a block of values: of the environment, of data, or of a secret's name.
_BLOCK = regex(
    rf"""(?ix) ^(?P<indent>\s*)(?:-\s+)?["']?(?: (?P<values>env|environment|env_?vars|extra_?env\w*|data|string_?data
    |binary_?data|secrets?|secret_?env\w*) | {_BEFORE}{_SECRET} )["']?\s*[:=]\s*(?:[|>][+-]?\d*|[{{\[])?\s*(?:\#.*)?$"""
)
_WAITS = regex(rf"(?i)(?:^|[\s\"'\[,=-])--?{_BEFORE}{_SECRET}[\"']?,?\s*\\?$")
_PEM = regex(r"-----(BEGIN|END) [A-Z ]*PRIVATE KEY(?: BLOCK)?-----")
# The look-behind stands after the letters: the search is then for the letters, which is quicker.
_SECRET_KIND = regex(r"""kind(?<!\wkind)["']?\s*[:=]\s*\\?["']?(?:Secret|SecretList)\b""")
_OF_LIVE = ("resourceVersion", "managedFields", "selfLink", "uid", "last-applied-configuration")
_COLON = regex(r"""["']?\s*:""")
_DOCUMENT = regex(r"(?m)^---(?=\s|$)")


@lru_cache(maxsize=4096)
def masked(text: str, *, prose: bool = False) -> str:
    """``text``, a line or a part of one, with ``***`` for each value that may be a secret; a value that holds a role is kept.

    With ``prose`` a word in capitals before a colon does not count as a variable.
    """
    spans = sorted(_spans(text, prose))
    if not spans:
        return text
    out: list[str] = []
    last = 0
    for start, end in spans:
        if end <= last:
            continue
        out += [text[last : max(start, last)], MASK if start >= last else ""]
        last = end
    return "".join([*out, text[last:]])


def _spans(text: str, prose: bool) -> Iterator[tuple[int, int]]:
    """The spans of the values in a line that are masked; they may overlap."""
    for m in _SHAPES.finditer(text):
        yield m.span()
    low = text.lower()
    if any(map(low.__contains__, _TELLING)):
        for m in _TOKENS[1].finditer(text):
            yield m.span()
        for words, pattern in _COMMANDS:
            if any(map(low.__contains__, words)):
                yield from _values(pattern, text, 0, len(text), "pass" in words or "-u" in words)
    for pattern in _NAMED if any(map(low.__contains__, _SECRETS)) else ():
        yield from _values(pattern, text, 0, len(text), False)
    yield from _values(_GIVEN, text, 0, len(text), False)
    for pattern in (_ENV, _KEY, _OF_ENV) if prose else (_ENV, _KEY, _ENV_KEY, _OF_ENV):
        yield from _values(pattern, text, 0, len(text), True)
    covered = 0
    for m in _INLINE.finditer(text):
        if m.start() >= covered:
            covered = _closing(text, m.end())
            yield from _values(_PAIR, text, m.end(), covered, True)


def _values(pattern: re.Pattern[str], text: str, at: int, end: int, harmless: bool) -> Iterator[tuple[int, int]]:
    """The spans of the values that ``pattern`` finds between two indices, with ``harmless`` without those that are no secret."""
    while (m := pattern.search(text, at, end)) is not None:
        group = next(g for g, v in m.groupdict().items() if g in {"in", "rest", "bare"} and v is not None)
        value = m[group]
        at = m.start(group)  # a value that holds a role is kept, and the search goes on inside it
        if _ROLES.search(value):
            at += 1
            continue
        at = max(m.end(group), at + 1)
        name = m.groupdict().get("name") or ""
        plain = harmless and (_HARMLESS.fullmatch(value) or (name and _PUBLIC.fullmatch(name)))
        # The value only opens an object or a default, which is searched by itself.
        opens = group == "bare" and (text[at : at + 1] == "{" or value.endswith(":-"))
        if value and value != MASK and not opens and not plain and not (value[0] in "[(|>" and group == "bare"):
            yield m.span(group)


def _live(text: str) -> bool:
    """Whether a text has a key that only objects of a running cluster have."""
    return any(
        _COLON.match(text, i + len(word)) is not None and not re.match(r"\w", text[i - 1 : i])
        for word in _OF_LIVE
        for i in occurrences(text, word)
    )


def _closing(text: str, at: int) -> int:
    """The index behind the bracket that closes the one right before ``at``; the end of the text if none does."""
    depth = 1
    for i in range(at, len(text)):
        if text[i] in "[{":
            depth += 1
        elif text[i] in "]}":
            depth -= 1
            if not depth:
                return i + 1
    return len(text)


class Shown:
    """What of one file's text may be shown."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._own: dict[int, str] = {}
        self._guarded: list[tuple[int, int]] | None = None

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their line feeds; only a line feed ends a line, as in git."""
        return self.text.split("\n")

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.lines:
            starts.append(starts[-1] + len(line) + 1)
        return starts

    def number(self, pos: int) -> int:
        """The number of the line, from 1, with index ``pos`` of the text."""
        return bisect_right(self._starts, pos)

    def guarded(self, pos: int) -> bool:
        """Whether a place is in a document that holds a Secret or a live object."""
        if self._guarded is None:
            self._guarded = list(self._documents())
        at = bisect_right(self._guarded, pos, key=itemgetter(0))
        return at > 0 and pos < self._guarded[at - 1][1]

    def _documents(self) -> Iterator[tuple[int, int]]:
        if not (_SECRET_KIND.search(self.text) or ("apiVersion" in self.text and _live(self.text))):
            return
        ends = [0, *(m.start() for m in _DOCUMENT.finditer(self.text)), len(self.text) + 1]
        for a, b in pairwise(ends):
            part = self.text[a:b]
            if _SECRET_KIND.search(part) or ("apiVersion" in part and _live(part)):
                yield a, b

    @cached_property
    def _values(self) -> frozenset[int]:
        """The numbers of the lines, from 1, in a block of values: of the environment, of data or of a secret's name."""
        out: set[int] = set()
        indent: int | None = None
        pem = waits = False
        for n, line in enumerate(self.lines, 1):
            deep = len(line) - len(line.lstrip())
            item = line.lstrip().startswith("- ")
            if indent is not None and line.strip() and (deep < indent or (deep == indent and not item)):
                indent = None
            if indent is not None or pem or waits:
                out.add(n)
            if "-----" in line and (m := _PEM.search(line)):
                pem = m[1] == "BEGIN"
                out.add(n)
            waits = "-" in line and _WAITS.search(line) is not None
            if indent is None and (m := _BLOCK.match(line)):
                indent = len(m["indent"])
        return frozenset(out)

    def hidden(self, number: int) -> bool:
        """Whether a line without a role is left out: it has a value to mask, or is of a Secret or a live object."""
        line = self.lines[number - 1]
        return number in self._values or self.guarded(self._starts[number - 1]) or masked(line) != line

    def own(self, number: int) -> str:
        """The line of a role, masked; of a Secret or a live object only the role's own object."""
        if number not in self._own:  # one line may hold many roles
            line = self.lines[number - 1].removesuffix("\r")
            self._own[number] = _objects(line) if self.guarded(self._starts[number - 1]) else masked(line)
        return self._own[number]

    def excerpt(self, number: int, column: int) -> str:
        """The line of the role at a column (from 1) as a report shows it: if it is long, the part round the role."""
        line = self.own(number).strip()
        nth = len(_ROLES.findall(self.lines[number - 1], 0, column - 1))
        found = list(_ROLES.finditer(line))
        if len(line) <= _LONG or not found:
            return line if len(line) <= _LONG else f"{line[:_LONG]} ..."
        m = found[min(nth, len(found) - 1)]
        start, end = max(0, m.start() - _LONG // 2), m.end() + _LONG // 2
        return ("... " if start else "") + line[start:end] + (" ..." if end < len(line) else "")

    def context(self, number: int, around: int = 3) -> list[tuple[int, str]]:
        """The lines round a role's, each with its number and as it may be shown."""
        first, last = max(1, number - around), min(len(self.lines), number + around)
        out = []
        for n in range(first, last + 1):
            role = n == number or TOKEN in self.lines[n - 1]
            out.append((n, self.own(n) if role else HIDDEN if self.hidden(n) else self.lines[n - 1].removesuffix("\r")))
        return out

    def words(self, words: str, pos: int) -> str:
        """The words of a cue at ``pos``, masked; of a value in a Secret or a live object only the words that name a side."""
        if pos >= 0 and self.guarded(pos) and self.number(pos) in self._values and not _ROLES.search(words):
            said = _SIDE_WORD.findall(words)
            return " ... ".join(dict.fromkeys(said)) if said else MASK
        return masked(words, prose=True)


def _objects(line: str) -> str:
    """The objects on a line that hold a role, masked, with ``...`` for the rest of the line."""
    out = ""
    last = 0
    for m in _ROLES.finditer(line):
        start, end = _object(line, m.start(), m.end())
        if start >= last:
            out += (" ... " if line[last:start].strip() else line[last:start]) + masked(line[start:end])
            last = end
    return (out + (" ..." if line[last:].strip() else "")) if out else HIDDEN


def _object(line: str, start: int, end: int) -> tuple[int, int]:
    """The span of the innermost braces round a role on its line; without braces that of the key and the role."""
    depth = 0
    for i in range(start - 1, -1, -1):
        if line[i] == "}":
            depth += 1
        elif line[i] == "{":
            if not depth:
                return i, _closing(line, i + 1)
            depth -= 1
    m = re.search(r"[\w.\"'\\-]+\s*[:=]?\s*[\"'\\]*$", line[:start])
    return (m.start() if m else start), end
