"""What is known of one file as a whole: its name, the proxy's ports, whether anything in it speaks of P/D at all."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from kvroles.migrate.model import Side
from kvroles.migrate.text import Text
from kvroles.migrate.words import split_name

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
          |gpu|host|role|vllm)))
    | 预填|プレフィル|프리필""",
)
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
    | \breplace\(\s*["'][^"'\n]*(?:prefill|decode)[^"'\n]*["']\s*,\s*["'][^"'\n]*(?:prefill|decode)
    | \b(?:cp|ln[ ]-s\w*)[ ]+[^\s;|&]*(?:prefill|decode)[^\s;|&]*(?<!\.log)[ ]+
      [^\s;|&]*(?:prefill|decode)[^\s;|&]*[ \r]*(?:$|[;&|\#])"""
)
_OFF = frozenset({"0", "false", "no", "off"})
_PD_PATH = re.compile(
    r"(?i)(?:^|(?<!non)(?<!not)(?<!no)[^a-z])(?:pd|p-d|p_d|disagg\w*|\d*p\d+d|xpyd|pd-?disagg\w*)(?:[^a-z]|$)"
)


@dataclass
class FileCtx:
    """One file being read. ``path`` is as reported, ``name`` the part of it that may be read as evidence."""

    path: str
    name: str
    text: Text
    siblings: frozenset[str] = frozenset()
    nixl: frozenset[str] = frozenset()
    depth: int = 0
    notes: list[str] = field(default_factory=list)

    @cached_property
    def prefill_said(self) -> bool:
        """Whether the file speaks of prefill as something other than a flag or a kernel."""
        return _PREFILL_SAID.search(self.text.s) is not None

    @cached_property
    def prefill_off(self) -> tuple[str, int] | None:
        """The words by which the file says that no prefill instance runs, and their index; None if it does not.

        Each setting of that kind has to say so: a script that sets the number elsewhere to something else has both.
        """
        off: tuple[str, int] | None = None
        for m in _PREFILL_OFF.finditer(self.text.s):
            if (m.group("value") or m.group("set")).lower() not in _OFF:
                return None
            name = re.escape(m.group("name") or "")
            if name and re.search(rf"\+\+\s*{name}\b|\b{name}\s*\+[+=]", self.text.s):
                return None  # a counter
            words = (
                m.group() if m.group("value") else f"{m.group('block').strip(' -#')} {m.group('key')}: {m.group('set')}"
            )
            off = off or (" ".join(words.split())[:80], m.start())
        return off

    @cached_property
    def substituted(self) -> tuple[str, int] | None:
        """The words by which the file makes one side's config from the other's, and their index; None if it does not."""
        m = _SUBSTITUTED.search(self.text.s)
        if m is None or not {"prefill", "decode"} <= {w.lower() for w in re.findall(r"(?i)prefill|decode", m.group())}:
            return None
        return m.group()[:80], m.start()

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
        return "isagg" in self.text.s and re.search(r"(?i)disagg\w*[-_ ]decod", self.text.s) is not None

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
        low = self.text.s.lower()
        asked = ((_PROXY, "--prefill" in low or "--decode" in low), (_PROXY_VAR, "prefill" in low and "http" in low))
        for pattern in (p for p, worth in asked if worth):
            for m in pattern.finditer(self.text.s):
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
