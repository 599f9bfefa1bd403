"""What the text of a file says of the servers that run: whether there is prefill, whether a role changes, who is told of whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import chain

from kvroles.evidence import bound, listed, proxies, switched
from kvroles.evidence.frames import Side
from kvroles.evidence.names import mentioned, name_sides
from kvroles.evidence.patterns import regex
from kvroles.evidence.prose import prose_sides
from kvroles.evidence.text import Text, occurrences

NAME_LENGTH = 200
# Prefill as an instance: a name, a key, a flag, or "prefill worker"; "the prefill of a step" is a phase of any server.
_PREFILL_SAID = regex(
    r"""(?ix)
    (?<!chunked[-_ ])(?<!partial[-_ ])(?<!long[-_ ])(?<!mla_)(?<!flashinfer_)(?<!kda_)(?<!cudnn_)(?<!deepseek_)(?<!trtllm_)
    (?<!ragged_)(?<!cutlass_)(?<!triton_)(?<!aiter_)
    (?:(?<![a-z])prefill|(?-i:Prefill))
    (?!s?[-_ ](?:quer|token|backend|chunk|context|cudagraph|schedul|batch|wrapper|cache|att|decode[-_]att|kernel|length
      |heavy|phase|step|throughput|time|latenc|interleav))
    (?: ers?                                       # prefiller
      | (?<=[^\s]prefill)(?=\W|_|\Z)               # x-prefill
      | (?<=[:=][ ]prefill)(?![ ]+[a-z])           # role: prefill
      | s?(?=["':=_/.()\]-]|[ ]*:?=[ ])             # prefill-0, prefills:
      | (?-i:(?<=l)(?=[A-Z]))                      # PrefillWorker
      | (?=[ ](?:\w+[ ])?(?:worker|instance|node|pod|server|service|engine|pool|side|replica|deployment|container
          |gpu|host|role|vllm)))""",
)
_PREFILL_ABROAD = ("预填", "プレフィル", "프리필")
# One side's text made from the other's: ``sed 's/prefill/decode/'``, ``${X//prefill/decode}``, ``.replace("prefill", "decode")``.
_SUBSTITUTED = regex(
    r"""(?imx)
    \bs([/|\#,@!])[^\n/|\#,@!]*(?:prefill|decode)[^\n/|\#,@!]*\1[^\n/|\#,@!]*(?:prefill|decode)[^\n/|\#,@!]*\1
    | \$\{\w+//?[^\n/}]*(?:prefill|decode)[^\n/}]*/[^\n/}]*(?:prefill|decode)[^\n}]*\}
    | \b(?:cp|ln[ ]-s\w*)[ ]+[^\s;|&]*(?:prefill|decode)[^\s;|&]*(?<!\.log)[ ]+
      [^\s;|&]*(?:prefill|decode)[^\s;|&]*[ \r]*(?:$|[;&|\#])"""
)
_REPLACED = regex(
    r"""(?i)\breplace\(\s*["'][^"'\n]*(?:prefill|decode)[^"'\n]*["']\s*,\s*["'][^"'\n]*(?:prefill|decode)"""
)
# A server that is told to change its role while it runs has to send and to receive.
_SWITCHES = regex(
    r"""(?ix)
    (?<!no[ ])(?<!not[ ])(?<!without[ ])(?<!disable[-_])(?<!no[-_])
    (?<![a-z]) (?: role[-_ ]?(?:switch|flip|swap)\w*
      | (?:switch|flip|swap)[-_](?:p/?d[-_])?(?:kv[-_])?roles?           # not Go's "switch role {"
      | (?:switch|flip|swap)\w*[ ](?:its|their)[ ](?:p/?d[ ])?roles?
      | dual[-_ ]?mode | (?:dual|dynamic)[-_ ]?roles? ) (?![a-z])
    (?!["']?\s*[:=]\s*["']?(?:0|false|no|off)\b)"""
)
# What a template chooses between: in an expression, by a function, as the two arms of a condition.
_CHOSEN = (
    regex(r"[\"'](?P<one>[\w-]{1,60})[\"']\s+if\s[^\n%{}]{1,200}?\selse\s+[\"'](?P<other>[\w-]{1,60})[\"']"),
    regex(r"\bternary\s+[\"'](?P<one>[\w-]{1,60})[\"']\s+[\"'](?P<other>[\w-]{1,60})[\"']"),
    regex(
        r"[%}]\}\s*(?P<one>[\w-]{1,60})\s*\{[{%]-?\s*else\s*-?[%}]\}\s*(?P<other>[\w-]{1,60})\s*\{[{%]-?\s*end(?:if)?\s*-?[%}]\}"
    ),
)
_SWITCHING = ("switch", "flip", "swap", "dual", "dynamic")  # a line without any of them tells it of none
# The kind of a Kubernetes object: in YAML however deep it is carried, in JSON, in a program's or Terraform's object.
_KIND = regex(r"(?m)(?:^[ \t-]*|[{,][ \t]*)kind[ \t]*[:=]|[\"']kind\\?[\"'][ \t]*[:=]")
_FENCED = regex(r"(?m)^[ \t>]*(?:```|~~~)")
_DISAGG_DECODE = regex(r"(?i)disagg[a-z]{0,12}[-_ ]?decod")


class Deployment:
    """The servers that the text of one file speaks of."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self._places: dict[str, list[int]] = {}
        self.reach: proxies.Reach | None = None  # of a document: how far what a proxy is told reaches

    @cached_property
    def low(self) -> str:
        """The text in lower case, each character in its place; what is no ASCII is a question mark, which is quicker."""
        s = self.text.s
        return (s if s.isascii() else s.encode("ascii", "replace").decode("ascii")).lower()

    def places(self, *words: str) -> list[int]:
        """Where any of ``words`` (lower case) begins, in order: finding words first is what makes the patterns cheap."""
        for word in words:
            if word not in self._places:
                self._places[word] = list(occurrences(self.low, word))
        return sorted(chain.from_iterable(self._places[word] for word in words))

    def lines(self, *words: str) -> Iterator[tuple[int, int, int]]:
        """Start, end, and end of the next line, of every line that holds any of ``words``."""
        s, end = self.text.s, -1
        for i in self.places(*words):
            if i > end:
                end = s.find("\n", i)
                end = len(s) if end < 0 else end
                below = s.find("\n", end + 1)
                yield s.rfind("\n", 0, i) + 1, end, len(s) if below < 0 else below

    @cached_property
    def prefill_said(self) -> bool:
        """Whether the file speaks of prefill as something other than a flag or a kernel."""
        s = self.text.s
        return any(_PREFILL_SAID.match(s, i) for i in self.places("prefill")) or any(w in s for w in _PREFILL_ABROAD)

    @cached_property
    def decode_said(self) -> bool:
        """Whether the file names decode as an instance: a name, a key, or "decode worker"."""
        s = self.text.s
        lines = (s[a:b] for a, b, _ in self.lines("decode", "decoder"))
        return any(
            Side.DECODE in prose_sides(ln[:NAME_LENGTH])
            or any(Side.DECODE in name_sides(w) for w in re.findall(r"[\w-]+", ln[:4096]))
            for ln in lines
        )

    @cached_property
    def prefill_off(self) -> tuple[str, int] | None:
        """The words by which the file says that no prefill instance runs, and their index; None if it does not.

        Each setting of that kind has to say so: a script that sets the number elsewhere to something else has both.
        """
        if not self.places("prefill", "pd", "disagg"):
            return None
        return switched.off(self.text.s, self.low, [a for a, _, _ in self.lines("prefill", "pd", "disagg")])

    @cached_property
    def substituted(self) -> tuple[str, int] | None:
        """The words by which the file makes one side's config from the other's, and their index; None if it does not."""
        s = self.text.s
        lines = [(a, b) for a, b, _ in self.lines("prefill") if "decode" in self.low[a:b]]
        made = [m for start, end in lines if (m := _SUBSTITUTED.search(s, start, end))]
        made += _REPLACED.finditer(s) if "replace(" in self.low else ()
        for m in made:
            words = m.group().lower()
            if "prefill" in words and "decode" in words:
                return m.group()[:80], m.start()
        return None

    @cached_property
    def _switches(self) -> list[tuple[str, int]]:
        s = self.text.s
        lines = [(a, b) for a, b, _ in self.lines("role", "dual") if any(w in self.low[a:b] for w in _SWITCHING)]
        return [(m.group(), m.start()) for start, end in lines for m in _SWITCHES.finditer(s, start, end)]

    def switching(self, place: int) -> tuple[str, int] | None:
        """The words by which the file, or the block of it that ``place`` is in, says that a server's role changes while it
        runs, and their index; None if there are none."""
        for words, i in self._switches:
            if _FENCED.search(self.text.s, *sorted((i, place))) is None:
                return words, i
        return None

    @cached_property
    def asked(self) -> frozenset[str]:
        """The template variables that a condition in the file compares with a side: the text they stand in serves both."""
        found = re.findall(
            r"\b(?:eq|ne)\s+([\w.$]+)\s+[\"'](?:prefill|decode)|(?<![\w.$])([\w.$]{1,80})\s{0,9}[=!]=\s*[\"'](?:prefill|decode)",
            self.text.s,
        )
        return frozenset(a or b for a, b in found)

    @cached_property
    def disagg_pair(self) -> bool:
        """Whether ``disagg…decode`` is said as well, which makes ``disagg…prefill`` one of two sides."""
        return any(_DISAGG_DECODE.match(self.text.s, i) for i in self.places("disagg"))

    @cached_property
    def or_whole(self) -> dict[Side, tuple[str, int]]:
        """The sides that a template puts in one place with a server for both, and which of the two it is decides whoever renders
        it (``'agg' if is_agg else 'decode'``), each with the words and their index."""
        out: dict[Side, tuple[str, int]] = {}
        s = self.text.s
        if ("else" in s or "ternary" in s) and ("{{" in s or "{%" in s):
            for m in (m for pattern in _CHOSEN for m in pattern.finditer(s)):
                one, other = mentioned(m["one"]), mentioned(m["other"])
                for side in one | other if {Side.AGGREGATED} in (one, other) else ():
                    out.setdefault(side, (" ".join(m.group().split())[:80], m.start()))
        return out

    @cached_property
    def contrary(self) -> frozenset[str]:
        """The names of a side that the file binds to the other side."""
        if "decod" not in self.low or "prefill" not in self.low:
            return frozenset()
        return bound.contrary(self.text.s, self.lines("prefill", "decod"))

    @cached_property
    def objects(self) -> bool:
        """Whether the file holds Kubernetes objects."""
        return self.text.has("kind") and _KIND.search(self.text.s) is not None

    @cached_property
    def told_of(self) -> list[proxies.Told]:
        """What proxies in this file are told of servers."""
        flags = self.places("--prefill", "--decode")
        variables = self.places("prefill", "decode") if "prefill" in self.low and "http" in self.low else []
        if not flags and not variables:
            return []
        return proxies.told(self.text.s, flags, variables, services=self.objects)

    @cached_property
    def _proxied(self) -> dict[str, Side]:
        return proxies.servers(self.told_of)

    def proxied(self, place: int) -> dict[str, Side]:
        """Ports, host names and variables that a proxy in this file is told are prefill's or decode's, as far as it is told of
        what stands at ``place``."""
        return self._proxied if self.reach is None else self.reach.at(place)

    @cached_property
    def third_role(self) -> bool:
        """Whether the file compares or sets a role that is neither prefill nor decode: both, aggregated, encode."""
        return listed.third(self.text.s)
