"""What is known of one file as a whole: its name, the proxy's ports, whether anything in it speaks of P/D at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property

from kvroles.evidence.frames import Scope, Side
from kvroles.evidence.text import Text
from kvroles.evidence.words import depends, name_sides, role_key, split_name

MAX_NESTING = 12

# A proxy or router names its prefill and decode servers; what it names is a side. The value runs to the next flag.
_PROXY = re.compile(
    r"""(?ix)
    (?<![\w-])--(?P<flag>(?:prefill(?:er)?|decoder?)s?(?:[-_](?:ports?|urls?|hosts?|addr(?:ess|s)?|endpoints?|instances?|servers?|backends?))?)
    (?:\s*=\s*|[\s\\]+|["'],?\s*(?:-\s*)?["']?)
    (?P<value>(?:(?![\s"',]--?[a-z])[^\n\\]|\\\r?\n)*)
    """
)
_PROXY_VAR = re.compile(
    r"""(?ix)(?P<flag>(?:prefill(?:er)?|decoder?)s?[-_]?(?:urls?|endpoints?|addr(?:ess)?|base_url|api_base|instances?)?)
    ["']?\s*[:=]\s*[\["'(]*\s*(?P<value>https?://[^\s"')]+)""",
)
_PORT = re.compile(r"(?:(?<=:)|(?<![\w.$:]))(\d{4,5})(?![\w.])|(?<![\w])\$\{?(\w+)")
_HOST = re.compile(r"(?:https?://)?((?:\d+\.\d+\.\d+\.\d+)|[A-Za-z][\w.-]*[A-Za-z0-9])(?=:[\d$])")
_SERVICE = re.compile(r"//(?!localhost|127\.|0\.0\.0\.0)[A-Za-z][\w.-]*:$")
_LOOPBACK = re.compile(r"(?i)^(?:localhost|127\.|0\.0\.0\.0|https?$)")
# Prefill as an instance: a name, a key, a flag, or "prefill worker"; "the prefill of a step" is a phase of any server.
_PREFILL_SAID = re.compile(
    r"""(?ix)
    (?<!chunked[-_ ])(?<!partial[-_ ])(?<!long[-_ ])(?<!mla_)(?<!flashinfer_)(?<!kda_)(?<!cudnn_)(?<!deepseek_)(?<!trtllm_)
    (?<!ragged_)(?<!cutlass_)(?<!triton_)(?<!aiter_)
    (?:(?<![a-z])prefill|(?-i:Prefill))
    (?!s?[-_ ](?:quer|token|backend|chunk|context|cudagraph|schedul|batch|wrapper|cache|att|decode[-_]att|kernel|length
      |heavy|phase|step|throughput|time|latenc|interleav))
    (?: ers?                                       # prefiller
      | (?<=[^\s]prefill)(?=\W|_|\Z)               # x-prefill
      | (?<=[:=][ ]prefill)(?![ ]+[a-z])           # role: prefill
      | (?=["':=_/.()\]-]|[ ]*:?=[ ]|(?-i:[A-Z]))  # prefill-0, prefill:, PrefillWorker
      | (?=[ ](?:\w+[ ])?(?:worker|instance|node|pod|server|service|engine|pool|side|replica|deployment|container
          |gpu|host|role|vllm)))""",
)
_PREFILL_ABROAD = ("预填", "プレフィル", "프리필")
_PD_SAID = re.compile(
    r"""(?ix)
    (?<!no[ ])(?<!non-)(?<!not[ ])(?<!without[ ])(?<!without[ ]any[ ])(?<!disable[ ])
    (?: disaggregat | (?<![a-z])disagg(?![a-z]) | routing-(?:proxy|sidecar) | nixlv2 | (?<![a-z])p/d(?![a-z])
      | (?:prefill|decode)[- ]side | PD分离 | \d+p\d+d )"""
)
# ``PREFILL_REPLICAS=0``, ``--set prefill.create=false``, ``prefill: {replicas: 0}``: there is no prefill side here.
_PREFILL_OFF = re.compile(
    r"""(?imx)
    (?<![\w.-])
    (?P<name> (?:[\w.-]*[_.-])?(?<!chunked[_-])prefill(?:er)?s?[\w.-]*?[_.]?(?:replicas?|count|create|enabled?)
      | num_?prefill(?:er)?s?(?:_\w+)?
      | enable_?(?:pd|disagg\w*) | (?:[\w.-]*[_.-])?(?:pd|disagg\w*?)[._]?enabled?
      | (?:prefill(?:er)?s?|pd|disagg\w*):[ ]*\{[^}\n]*?\b(?:replicas?|create|enabled?) )
    ["']?\s*[:=]\s*["']?(?P<value>[\w$]+)
    | ^(?P<block>[ ]*-?[ ]*(?:prefill(?:er)?s?|pd|disagg\w*):[ ]*(?:\#.*)?\r?\n)
      (?=(?P<in>[ ]+)(?P<key>replicas?|create|enabled?):[ ]*(?P<set>\w+))"""
)
# One side's text made from the other's: ``sed 's/prefill/decode/'``, ``${X//prefill/decode}``, ``.replace("prefill", "decode")``.
_SUBSTITUTED = re.compile(
    r"""(?imx)
    \bs([/|\#,@!])[^\n/|\#,@!]*(?:prefill|decode)[^\n/|\#,@!]*\1[^\n/|\#,@!]*(?:prefill|decode)[^\n/|\#,@!]*\1
    | \$\{\w+//?[^\n/}]*(?:prefill|decode)[^\n/}]*/[^\n/}]*(?:prefill|decode)[^\n}]*\}
    | \b(?:cp|ln[ ]-s\w*)[ ]+[^\s;|&]*(?:prefill|decode)[^\s;|&]*(?<!\.log)[ ]+
      [^\s;|&]*(?:prefill|decode)[^\s;|&]*[ \r]*(?:$|[;&|\#])"""
)
_REPLACED = re.compile(
    r"""(?i)\breplace\(\s*["'][^"'\n]*(?:prefill|decode)[^"'\n]*["']\s*,\s*["'][^"'\n]*(?:prefill|decode)"""
)
# A server that is told to change its role while it runs has to send and to receive.
_SWITCHES = re.compile(
    r"""(?ix)
    (?<!no[ ])(?<!not[ ])(?<!without[ ])(?<!disable[-_])(?<!no[-_])
    (?<![a-z]) (?: role[-_ ]?(?:switch|flip|swap)\w*
      | (?:switch|flip|swap)[-_](?:p/?d[-_])?(?:kv[-_])?roles?           # not Go's "switch role {"
      | (?:switch|flip|swap)\w*[ ](?:its|their)[ ](?:p/?d[ ])?roles?
      | dual[-_ ]?mode | (?:dual|dynamic)[-_ ]?roles? ) (?![a-z])
    (?!["']?\s*[:=]\s*["']?(?:0|false|no|off)\b)"""
)
_FENCED = re.compile(r"(?m)^[ \t>]*(?:```|~~~)")
_DISAGG_DECODE = re.compile(r"(?i)disagg\w*[-_ ]decod")
_OFF = frozenset({"0", "false", "no", "off"})
_PD_PATH = re.compile(
    r"(?i)(?:^|(?<!non)(?<!not)(?<!no)[^a-z])(?:pd|p-d|p_d|disagg\w*|\d*p\d+d|xpyd|pd-?disagg\w*)(?:[^a-z]|$)"
)


class FileCtx:
    """One file being read. ``path`` is as reported, ``name`` the part of it that may be read as evidence."""

    def __init__(
        self,
        path: str,
        name: str,
        text: Text,
        nixl: frozenset[str] = frozenset(),
        neighbours: Callable[[str], frozenset[str]] = lambda _: frozenset(),
    ) -> None:
        self.path = path
        self.name = name
        self.text = text
        self.nixl = nixl
        self.neighbours = neighbours  # the names beside a path, itself included
        self.depth = 0  # how many strings in strings are being read
        # While a part of a document is read: the owners of what names a file in its other parts.
        self.elsewhere: Callable[[str], list[Scope]] | None = None

    @cached_property
    def siblings(self) -> frozenset[str]:
        """The names beside the file, which say whether a decode file has a prefill twin."""
        return self.neighbours(self.path) if self.path != "-" else frozenset()

    @cached_property
    def low(self) -> str:
        """The text in lower case, each character in its place; what is no ASCII is a question mark, which is quicker."""
        return self.text.s.encode("ascii", "replace").lower().decode("ascii")

    def _places(self, *words: str) -> list[int]:
        """Where any of ``words`` (lower case) begins, in order: finding words first is what makes the patterns cheap."""
        out: list[int] = []
        for word in words:
            i = self.low.find(word)
            while i >= 0:
                out.append(i)
                i = self.low.find(word, i + 1)
        return sorted(out)

    def _lines(self, *words: str) -> Iterator[tuple[int, int, int]]:
        """Start, end, and end of the next line, of every line that holds any of ``words``."""
        s, end = self.text.s, -1
        for i in self._places(*words):
            if i > end:
                end = s.find("\n", i)
                end = len(s) if end < 0 else end
                below = s.find("\n", end + 1)
                yield s.rfind("\n", 0, i) + 1, end, len(s) if below < 0 else below

    def names(self, side: Side) -> bool:
        """Whether the file is of ``side`` as well: names it other than as the other end of a connection, or is told its role."""
        if any(role_key(v) for v in set(re.findall(r"\$\{?(\w+)", self.text.s))):
            return True  # $ROLE: it is told its side
        lines = (self.text.s[a:b] for a, b, _ in self._lines("prefill" if side is Side.PREFILL else "decod"))
        return any(side in name_sides(w) for ln in lines if not depends(ln) for w in re.findall(r"[\w-]+", ln))

    @cached_property
    def prefill_said(self) -> bool:
        """Whether the file speaks of prefill as something other than a flag or a kernel."""
        s = self.text.s
        return any(_PREFILL_SAID.match(s, i) for i in self._places("prefill")) or any(w in s for w in _PREFILL_ABROAD)

    @cached_property
    def prefill_off(self) -> tuple[str, int] | None:
        """The words by which the file says that no prefill instance runs, and their index; None if it does not.

        Each setting of that kind has to say so: a script that sets the number elsewhere to something else has both.
        """
        off: tuple[str, int] | None = None
        s = self.text.s
        found = (
            m
            for start, end, below in self._lines("prefill", "pd", "disagg")
            for m in _PREFILL_OFF.finditer(s, start, below)
            if m.start() <= end
        )
        for m in found:
            if (m.group("value") or m.group("set")).lower() not in _OFF:
                return None
            name = re.escape(m.group("name") or "")
            if name and re.search(rf"\+\+\s*{name}\b|\b{name}\s*\+[+=]", s):
                return None  # a counter
            words = (
                m.group() if m.group("value") else f"{m.group('block').strip(' -#')} {m.group('key')}: {m.group('set')}"
            )
            off = off or (" ".join(words.split())[:80], m.start())
        return off

    @cached_property
    def substituted(self) -> tuple[str, int] | None:
        """The words by which the file makes one side's config from the other's, and their index; None if it does not."""
        s = self.text.s
        made = [m for start, end, _ in self._lines("prefill") if (m := _SUBSTITUTED.search(s, start, end))]
        made += _REPLACED.finditer(s) if "replace(" in self.low else ()
        for m in made:
            words = m.group().lower()
            if "prefill" in words and "decode" in words:
                return m.group()[:80], m.start()
        return None

    @cached_property
    def _switches(self) -> list[tuple[str, int]]:
        s = self.text.s
        lines = self._lines("role", "dual")
        return [(m.group(), m.start()) for start, end, _ in lines for m in _SWITCHES.finditer(s, start, end)]

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
            r"\b(?:eq|ne)\s+([\w.$]+)\s+[\"'](?:prefill|decode)|([\w.$]+)\s*[=!]=\s*[\"'](?:prefill|decode)",
            self.text.s,
        )
        return frozenset(a or b for a, b in found)

    @cached_property
    def pd_said(self) -> str:
        """The words that say the deployment is P/D, from the file, its path or its neighbours; empty if none."""
        if m := _PD_PATH.search(self.name):
            return f"path says {m.group().strip('/-_. ')!r}"
        if self.prefill_said and not self.prefill_off:
            return "the file speaks of prefill instances"
        if m := _PD_SAID.search(self.text.s):
            return f"the file says {m.group()!r}"
        own = self.name.rsplit("/", 1)[-1].lower()
        twin = re.sub(r"decod(?:e|er|ing)", "prefill", own)
        for other in self.siblings:
            if "decod" in own and twin in {other.lower(), other.lower().replace("prefiller", "prefill")}:
                return f"{other} stands beside it"
        return ""

    def pd_named(self, words: str) -> bool:
        """Whether a name says P/D itself (``pd-decode``, ``disagg-decode-0``)."""
        return _PD_PATH.search(words) is not None

    @cached_property
    def disagg_pair(self) -> bool:
        """Whether ``disagg…decode`` is said as well, which makes ``disagg…prefill`` one of two sides."""
        return any(_DISAGG_DECODE.match(self.text.s, i) for i in self._places("disagg"))

    @cached_property
    def letter_pair(self) -> bool:
        """Whether the file tells its sides apart by the letters P and D in identifiers (``CONFIG_P``, ``CONFIG_D``)."""
        s = self.text.s
        for m in re.finditer(r"\b([A-Za-z]\w*?_)([pP])\b|\b([pP])(_[A-Za-z]\w*)\b", s):
            twin = (
                m.group(1) + ("D" if m.group(2) == "P" else "d")
                if m.group(1)
                else ("D" if m.group(3) == "P" else "d") + m.group(4)
            )
            if re.search(rf"\b{re.escape(twin)}\b", s):
                return True
        return False

    @cached_property
    def objects(self) -> bool:
        """Whether the file holds Kubernetes objects."""
        return re.search(r"(?m)^kind:", self.text.s) is not None

    @cached_property
    def proxied(self) -> dict[str, Side]:
        """Ports, host names and variables that a proxy in this file is told are prefill's or decode's."""
        seen: dict[str, set[Side]] = {}
        asked = [(_PROXY, i) for i in self._places("--prefill", "--decode")]
        if "prefill" in self.low and "http" in self.low:
            asked += [(_PROXY_VAR, i) for i in self._places("prefill", "decode")]
        for pattern, i in asked:
            if m := pattern.match(self.text.s, i):
                side = Side.PREFILL if m.group("flag").lower().startswith("prefill") else Side.DECODE
                value = m.group("value")
                for p in _PORT.finditer(value):
                    if self.objects and _SERVICE.search(value[: p.start()]):
                        continue  # the port of a Service, not of the container behind it
                    seen.setdefault(p.group(1) or "$" + p.group(2), set()).add(side)
                for h in _HOST.finditer(value):
                    if not _LOOPBACK.match(h.group(1)):
                        seen.setdefault(h.group(1).lower(), set()).add(side)
        return {k: next(iter(v)) for k, v in seen.items() if len(v) == 1}

    def letter_side(self, name: str) -> Side | None:
        """The side the letter P or D of an identifier means, where the file uses both."""
        words = set(split_name(name))
        if not words & {"p", "d"} or not self.letter_pair:
            return None
        found = {side for letter, side in (("p", Side.PREFILL), ("d", Side.DECODE)) if letter in words}
        return next(iter(found)) if len(found) == 1 else None

    def line(self, place: int) -> tuple[int, int]:
        """The 1-based line and column (in characters) of a place in the file."""
        s = self.text.s
        return s.count("\n", 0, place) + 1, place - s.rfind("\n", 0, place)
