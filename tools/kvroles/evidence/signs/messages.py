"""A ``kv_both`` that is told to people: in a sentence, a message, a heading, a drawing."""

from __future__ import annotations

import re

from kvroles.evidence.marks import open_quote
from kvroles.evidence.patterns import regex
from kvroles.evidence.signs.place import CODE, DATA, Place, indent_of, whole_string

_LONGEST_LINE = 400  # characters before an example in which its key is looked for
_LINES = 12  # lines above that a block's key is looked for in
_ENTITY = r"&(?:quot|apos|amp|lt|gt|nbsp|#\d{2,4});"  # of HTML
_CALLED_OLD = regex(rf"(?i)^(?:{_ENTITY}|(?!--|//|/\*)[^\n#;{{}}%]){{0,80}}\bdeprecat")

# Keys and arguments whose value is told to people or asked of a store, and sets no role.
_TOLD = (
    r"(?:expr(?:ession)?|query|message(?:Expression)?|msg|summary|description|desc|help|usage|title|epilog|doc|docstring"
    r"|notes?|reason|error|hint|regexp?|pattern|match_phrase|match|label|tooltip|caption|alert|logql|promql|rule)"
)
_TOLD_OPEN = regex(
    rf"(?i)\b{_TOLD}\\*[\"']?\s*[:=]\s*[rbfu]{{0,2}}"
    r"(?:([\"'`])(?:\\.|(?!\1)[^\n\\])*|\\+([\"'`])(?:(?!\2)[^\n])*)$"
)
_OBJECT_OPEN = regex(r"\{[^{}]*kv_connector\\*[\"']?\s*:[^{}]*$")  # a config, whatever the key it stands behind
_DEFAULT_TOLD = regex(r"(?i)[(\[]default:? +$")  # of a help text: ``(default: kv_both)``
_TOLD_PLAIN = regex(rf"(?i)^\s*(?:-\s+)?{_TOLD}:\s+[^\s{{\[\"'|>&*!][^\n]*$")
_TOLD_FIRST = regex(r"(?i)^\s*(?:-\s+)?(?:summary|description|desc|help|usage|notes?):\s+$")
_TOLD_BLOCK = regex(rf"(?i)^\s*(?:-\s+)?[\"']?{_TOLD}[\"']?:\s*[|>][+-]?\d*\s*(?:#.*)?$")
_SAYS_CALL = regex(
    r"""(?ix)
    (?: \b(?:log(?:ger|ging)?|logs?|slog|klog|console|warnings?|zap|tracing|sys|err|stderr|stdout|t|b|tb|parser)(?:\.|::)
        (?:debug|info|warn(?:ing)?(?:_once|f|w|ln)?|error(?:f|w|ln)?|critical|exception|fatal(?:f)?|print(?:f|ln)?|log(?:f)?
          |trace|write|exit|skip|skipf|die|debugf|infof|deprecated)
      | \b(?:print|println|printf|eprintln!|println!|panic!?|warn!?|info!|error!|debug!|bail!|anyhow!|fatal|abort|die
          |throw\ new\ \w+|raise\ \w[\w.]*|fmt\.(?:Errorf|Print(?:f|ln)?)|errors\.New|\w*Error|\w+Exception|fail
          |deprecate\w*|write-(?:host|output|error|warning)) )
    \s*\(?\s* (?:[^()\n"'`]*,\s*)? [rbfu]{0,2} (["'`])(?:(?!\1)[^\n])*$"""
)
_BOXED = regex(r"[\s#/*>]*\|(?!.*(?:kv_role|kv_connector|--\w))")  # in a box of ASCII characters
_EDGE = regex(r"(?m)^[\s#/*>|]*\+-{2,}\+")
_DRAWN = regex(r"[\s#/*>\"'`-]*[│┃║╎┆├└╰┣┗╠╚]")  # what a line begins with in a drawn box, table or tree
_NO_SENTENCE = regex(r"--|[={}$;&|]")
_PLAIN_WORD = regex(r"(?<![\w.$/{}=-])[A-Za-z][a-z']*(?=[ ,.;:)]|$)")
_SENTENCE = frozenset(
    {"the", "a", "an", "is", "are", "to", "for", "with", "and", "or", "in", "of", "not", "when", "use", "this", "that", "be",
     "no", "as", "from", "by", "it", "was", "were", "does", "will", "should", "must", "if", "uses", "used", "on"}
)  # fmt: skip
_SENTENCE_WORDS = 3
_VALUE_BEFORE = regex(r"(?:^|[{,\s])(?:-|[\w.\"'-]+[:=])[ \t]+$")
_VALUE_AFTER = regex(r"[ \t]*(?:[,}\]\r\n]|$|#)")


# ``help='JSON, e.g. {"kv_connector": ...}'``, ``description: JSON, for example {...}``: what is shown there configures nothing.
_SHOWS = r"\b(?:e\.g\.|for[ ]example|example:|such[ ]as)"
_EXPLAINED = regex(
    rf"""(?ix) (?:^|[\s,({{]) \\*["']? (?:help|description|usage|epilog)\b \\*["']? \s*[:=]\s*
    (?: [rbfu]{{0,2}}(?P<quote>["'`])(?:\\.|(?!(?P=quote))[^\n\\])* {_SHOWS} (?:\\.|(?!(?P=quote))[^\n\\])*
      | [^\s"'`|>{{\[][^\n]* {_SHOWS} [^\n]* ) $"""
)


def explained(s: str, i: int) -> bool:
    """Whether what stands at index ``i`` of ``s`` is an example in a help text or a description."""
    line = s[max(s.rfind("\n", 0, i) + 1, i - _LONGEST_LINE) : i]
    return (".g." in line or "xample" in line or "such as" in line) and _EXPLAINED.search(line) is not None


def told(p: Place) -> bool:
    """In a text for people, or in what is asked of a store of logs or metrics."""
    if "deprecat" in p.after.lower() and _CALLED_OLD.match(p.after) and not re.search(r"[{]|--", p.line[-60:]):
        return True
    if p.lang in CODE and whole_string(p) and not open_quote(p.line[:-1]):
        return False  # a text for people says more than the one word
    if _OBJECT_OPEN.search(p.line):
        return False
    if _DEFAULT_TOLD.search(p.line) and p.after[:1] in {")", "]"}:
        return True
    if _TOLD_OPEN.search(p.line) or (p.lang in {"yaml", "json", "toml", "unit"} and _TOLD_PLAIN.match(p.line)):
        return True
    if _TOLD_FIRST.match(p.line) and re.match(r"[,;]?[ \t]+\w", p.after):
        return True
    if (
        not (p.lang == "shell" and _RUNS.search(p.line))
        and (says := _SAYS_CALL.search(p.line)) is not None
        and not (p.lang in _SHELLS and _is_given_on(p.after, says[1]))
        and len(_PLAIN_WORD.findall(p.line + " " + p.after.split("\n", 1)[0])) >= _SENTENCE_WORDS
    ):
        return True
    return p.lang in {"yaml", "json"} and _TOLD_BLOCK.match(_over(p.s, p.i)) is not None


_SHELLS = frozenset({"shell", "make", "just", "docker"})
# Behind what is printed: a file that takes it, but for a log, or another command.
_GIVEN_ON = regex(
    r"[^\n;&]*?(?:(?<![-=0-9&>])>>?[ \t]*(?!&|/dev/(?:stderr|null|tty)|[^\s;&|]*\.(?:log|out|err)\b)[\w\"'$./~{(-]"
    r"|(?<!\|)\|(?!\|))"
)


def _is_given_on(after: str, quote: str) -> bool:
    """Whether a shell gives what is printed, in a text that goes on with ``after`` up to its ``quote``, to a file or to a
    command."""
    end = after.find(quote)
    return end >= 0 and _GIVEN_ON.match(after, end + 1) is not None


# What a shell runs a program in whose ``print`` may go to a file.
_RUNS = regex(r"(?<![\w./-])(?:[gmn]?awk|perl|ruby|node|php|lua|python[\d.]*)\s")
_LOOP = regex(r"(?i)^\s*for(?:each)?\b[ (]*\$?\w+\s+in\b")


def sentence(p: Place) -> bool:
    """Whether plain words, one of them such as only sentences have, stand right round it, or its line begins as a sentence."""
    if whole_string(p) or (p.lang in DATA and _VALUE_BEFORE.search(p.line) and _VALUE_AFTER.match(p.after)):
        return False  # "kv_both" if ... else: words of the language round a value
    if _LOOP.match(p.line):
        return False
    before = re.search(r"(?:[A-Za-z][A-Za-z']*[,;:]?[ ]+){1,8}[`*\"']*$", p.line)
    after = re.match(r"[`*\"']*[.,;:]?(?:[ ]+[A-Za-z][A-Za-z']*[,;:.]?){1,8}", p.after)
    near = " ".join(found.group() for found in (before, after) if found is not None)
    if _is_sentence(near, _SENTENCE_WORDS, 1):
        return True
    return _NO_SENTENCE.search(p.line) is None and _is_sentence(" ".join(_PLAIN_WORD.findall(p.line)), 6, 2)


def _is_sentence(text: str, words: int, telling: int) -> bool:
    found = [w.strip(",.;:`*\"'") for w in text.lower().split()]
    return len(found) >= words and sum(w in _SENTENCE for w in found) >= telling


def headed(p: Place) -> bool:
    """In a heading of a document."""
    return p.lang == "markdown" and re.match(r"\s{0,3}(?:#{1,6}|=+)\s", p.line) is not None


def drawn(p: Place) -> bool:
    """In a box, a table or a tree that is drawn with lines."""
    return _DRAWN.match(p.line) is not None or (_BOXED.match(p.line) is not None and _EDGE.search(p.before) is not None)


def _over(s: str, i: int) -> str:
    """The line above index ``i`` that its line is indented below, of the last few; empty if there is none."""
    start = s.rfind("\n", 0, i) + 1
    line = s[start : start + 2000]
    indent = indent_of(line)
    for _ in range(_LINES):
        if start <= 0:
            return ""
        end = start - 1
        start = s.rfind("\n", 0, end) + 1
        above = s[start : min(end, start + 2000)]
        if above.strip() and indent_of(above) < indent:
            return above.rstrip("\r")
    return ""
