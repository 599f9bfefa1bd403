"""What puts another name in the place of a connector's: ``sed s/LMCacheConnectorV1/NixlConnector/``, ``replace``, ``split`` and
``join``, in every language."""

from __future__ import annotations

from itertools import islice

from kvroles.evidence.patterns import regex
from kvroles.evidence.text import occurrences
from kvroles.migrate.connector import connectors
from kvroles.migrate.connector.connectors import Kind

_MANY = 200  # places of a name that are looked at
_NEAR = 300  # characters round a name in which its substitution stands
_TO = r"(?P<to>[^\n]{0,80})"
# What a text replaces: patterns, each with what it has to find before that, one of several.
_FORMS = tuple(
    (signs, regex(pattern))
    for signs, pattern in (
        # s.replace("X", "Y"), strings.Replace(s, "X", "Y", 1), re.sub(r"X", "Y", s), s.replace(/X/, "Y")
        (("eplace", "sub"),
         r"(?:\w*[rR]eplace\w*|\bg?subn?)\s*\(\s*(?:[^\n\"'`/,]{0,80},\s*)?[rR]?(?P<q>[\"'`/])(?P<what>[^\n]{1,200}?)(?P=q)\w*\s*,\s*"
         + _TO),
        (("s/", "s|", "s#", "s,", "s@", "s!", "s:", "s%"),  # sed, perl
         r"(?<!\w)s(?P<q>[/|#,@!:%])(?P<what>[^\n]{1,200}?)(?P=q)(?P<to>[^\n]{0,80}?)(?P=q)"),
        (("${",), r"\$\{\w+//?(?P<what>[^/}\n]{1,200})/" + _TO),  # ${KV/X/Y}
        (("-",), r"(?i:-[ic]?replace)\s+[\"'](?P<what>[^\"'\n]{1,200})[\"']\s*,\s*" + _TO),  # PowerShell's
        (("subst",), r"\$\((?:pat)?subst\s+(?P<what>[^,\n]{1,200}),[ \t]*" + _TO),  # make's
        (("egexReplaceAll",), r"\b(?:mustR|r)egexReplaceAll\w*\s+[\"'`](?P<what>[^\"'`\n]{1,200})[\"'`]\s+\S+\s+" + _TO),
        (("replace",), r"\breplace\s+[\"'`](?P<what>[^\"'`\n]{1,200})[\"'`]\s+" + _TO),  # Sprig's
        # What is split at X and joined by Y: in JavaScript and Rust, Python, Go.
        ((".split(",), r"\.split\(\s*r?(?P<q>[\"'`/])(?P<what>[^\n]{1,200}?)(?P=q)\s*\)[^\n;]{0,80}?\.join\(\s*" + _TO),
        ((".join(",),
         r"(?P<to>[\w.]+|\"[^\"\n]{0,80}|'[^'\n]{0,80})[\"']?\.join\([^\n]{0,120}?\.split\(\s*[\"'](?P<what>[^\"'\n]{1,200})[\"']"),
        (("Join(",), r"\bJoin\(\s*strings\.Split\([^\n,]{1,120},\s*[\"`](?P<what>[^\"`\n]{1,200})[\"`]\s*\)\s*,\s*" + _TO),
        (("join(",), r"\bjoin\(\s*(?P<to>[^\n,]{1,80}),\s*split\(\s*\"(?P<what>[^\"\n]{1,200})\""),  # Terraform's
        (("-",), r"(?i:-[ic]?split)\s+[\"'](?P<what>[^\"'\n]{1,200})[\"']\s*\)?\s*(?i:-join)\s*" + _TO),
        (("partition(",), r"\.r?partition\(\s*[\"'](?P<what>[^\"'\n]{1,200})[\"']\s*\)(?P<to>)"),
        (("regexp:",), r"\bregexp:[ \t]*(?P<what>[^\n]{1,200})\n[ \t]*(?:replace|line):[ \t]*" + _TO),  # Ansible's
    )
)  # fmt: skip
_SIGNS = tuple(dict.fromkeys(sign for signs, _ in _FORMS for sign in signs))
_NAME = regex(r"[\s\"'`(]*([\w.$-]*)")


def substituted(s: str, connector: str) -> str:
    """The words by which a text puts what is not known to be another connector in the place of the name ``connector``."""
    stem = connector.partition("Connector")[0]
    if not stem:
        return ""
    for i in islice(occurrences(s, stem), _MANY):
        a = max(0, i - _NEAR, s.rfind("\n", 0, i) + 1)
        before = s[a:i]
        if not any(map(before.__contains__, _SIGNS)):
            continue
        for signs, form in _FORMS:
            for m in form.finditer(s, a, i + _NEAR) if any(sign in before for sign in signs) else ():
                if not m.start("what") <= i < m.end("what"):
                    continue
                to = _NAME.match(m["to"])
                made = to[1] if to is not None else ""
                if made and connector not in m["what"]:
                    made = connector.replace(stem, made, 1)
                if connectors.kind_of(made) is not Kind.OTHER:
                    return m.group()[:60].strip()
    return ""
