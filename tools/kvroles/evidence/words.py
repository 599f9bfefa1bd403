"""Which side words name: identifiers, paths, prose in several languages, and the neighbours that only look like it."""

from __future__ import annotations

import re
from functools import lru_cache

from kvroles.evidence.frames import Side

P, D, AGG, ENC = Side.PREFILL, Side.DECODE, Side.AGGREGATED, Side.ENCODE

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_NAMES: dict[str, Side] = {
    **dict.fromkeys(("prefill", "prefiller", "prefillers", "prefills", "prefilling", "prefillworker"), P),
    **dict.fromkeys(("decode", "decoder", "decoders", "decodes", "decoding", "decodeworker"), D),
    **dict.fromkeys(("producer", "producers"), P),
    **dict.fromkeys(("consumer", "consumers"), D),
    **dict.fromkeys(("agg", "aggregated", "aggregate", "monolithic", "colocated", "collocated", "nondisagg"), AGG),
    **dict.fromkeys(("encode", "encoder", "encoders"), ENC),
}
# Words that, standing before or after, take the meaning of a side away.
_BEFORE: dict[Side, frozenset[str]] = {
    P: frozenset(
        {"chunked", "partial", "long", "mla", "skip", "kda", "flashinfer", "no", "kv", "remote", "conditional"}
    ),
    D: frozenset(
        {"spec", "speculative", "structured", "guided", "greedy", "full", "json", "base64", "audio", "video"}
        | {"image", "parallel", "lookahead", "constrained", "url", "utf", "kv", "b64", "assisted", "medusa", "vae"}
    ),
    ENC: frozenset({"cross", "text", "kv", "json", "base64", "b64", "bi"}),
    AGG: frozenset({"dis", "non"}),
}
# What follows a phase of inference, not an instance: workloads, kernels, measures.
_PHASE = frozenset(
    {
        "heavy", "bound", "intensive", "dominant", "length", "len", "tokens", "token", "batch", "batched", "step",
        "steps", "kernel", "attention", "attn", "latency", "time", "tps", "rate", "throughput", "benchmark", "bench",
        "perf", "aware", "first", "priority", "context", "wrapper", "cudagraph", "backend", "graph", "query",
        "schedule", "chunk", "error", "errors", "threshold", "speed",
    }
)  # fmt: skip
# ``connect_to_prefill``, ``after-prefill``: the other end of a connection, or what comes first.
_OTHER_END = frozenset({"to", "from", "after", "until", "await", "wait"})
_AFTER: dict[Side, frozenset[str]] = {
    P: _PHASE,
    D: _PHASE | {"only"},
    ENC: frozenset({"decoder", "only", "cache", "json"}),
    AGG: frozenset(),
}
# "disaggregated prefill" is the name of the feature, of both sides.
_DISAGG = frozenset({"disagg", "disaggregated", "disaggregate", "disaggregation"})


def split_name(name: str) -> list[str]:
    """The lower-case words of an identifier, path or label: ``VllmPrefillWorker`` -> vllm, prefill, worker."""
    return [w.lower() for w in _WORD.findall(name)]


@lru_cache(maxsize=2048)
def name_sides(name: str, *, disagg_pair: bool = False) -> frozenset[Side]:
    """The sides an identifier names.

    ``disagg_pair`` says that a ``disagg…decode`` exists beside it, which makes ``disagg…prefill`` one of two sides and
    not the feature's name.
    """
    words = split_name(name)
    found: set[Side] = set()
    muted: set[Side] = set()
    for i, word in enumerate(words):
        side = _NAMES.get(word)
        if side is None:
            continue
        before = words[i - 1] if i else ""
        after = words[i + 1] if i + 1 < len(words) else ""
        if before in _BEFORE[side] or after in _AFTER[side]:
            continue
        if before in _OTHER_END or (before == "for" and i > 1 and words[i - 2].startswith(("wait", "await"))):
            muted.add(side)
            continue
        if side is P and before in _DISAGG and not disagg_pair and after not in _ROLE_NOUN_WORDS:
            continue
        if side is ENC and after in {"prefill"}:
            continue
        found.add(side)
    if found & {P, D}:
        found |= muted  # prefill-to-decode: of both
    if {P, D} & found and AGG in found:
        found.discard(AGG) if {P, D} <= found else None
    return frozenset(found)


_ROLE_NOUN_WORDS = frozenset(
    {
        "worker",
        "workers",
        "server",
        "servers",
        "node",
        "nodes",
        "instance",
        "pod",
        "deployment",
        "engine",
        "port",
        "host",
    }
)

# --- prose -----------------------------------------------------------------------------------------------------------

_NEUTRAL = re.compile(
    r"""(?ix)
    disagg\w*[\s_-]+prefill(?:ing)?(?!\w*[\s_-]*(?:worker|node|instance|server|pod|engine))
    | (?:chunked|partial|remote|conditional|no|without)[\s_-]+prefills?
    | (?:prefill|decode)[\s_-]+(?:quer|token|backend|chunk|cudagraph|context|batch|cache|heavy|bound|intensive|dominant
      |latenc|throughput|length|step|kernel|attention|time|speed|rate|perf|phase)\w*
    | spec(?:ulative)?[\s_-]+decod\w+ | decod\w*[\s_-]+(?:context|only|cudagraph|graph|batch|bench|error)\w*
    | (?:structured|guided|greedy|constrained|parallel|full|lookahead)[\s_-]+decod\w+
    | (?:json|base64|utf-?8|url)[\s_-]*decod\w+ | decoder-only | encoder-decoder | FULL_DECODE_ONLY
    | kv_producer | kv_consumer | --[a-z][\w.-]* | enable_chunked_prefill
    """
)
_PROSE: list[tuple[Side, re.Pattern[str]]] = [
    (
        P,
        re.compile(
            r"""(?ix)
            (?<![a-z])prefill(?:er|ers|s|ing)?(?![a-z]) | (?<![a-z_])(?:kv\s+)?producers?(?![a-z_])
            | 预填充 | 预填 | 預填充 | P\s*节点 | P\s*實例 | P\s*实例 | P\s*端 | P\s*侧 | 生产者
            | プレフィル | プリフィル | 프리필 | 사전\s*채우기 | префилл | предзаполн | предварительн\w+\s+заполн
            | pr[ée]-?remplissage | pr[ée]-?remplir | prellenado | prerrelleno | pre-?llenado | Vorbefüll\w* | Vorab-?Füll\w*
            | pr[ée]-?preenchimento | precompilazione | pre-?riempimento
            | (?<![a-z0-9/_-])P[\s-]+(?:node|instance|worker|server|pod|engine)s?(?![a-z])
            """
        ),
    ),
    (
        D,
        re.compile(
            r"""(?ix)
            (?<![a-z])decod(?:e|er|ers|es|ing)(?![a-z]) | (?<![a-z_])(?:kv\s+)?consumers?(?![a-z_])
            | 解码 | 解碼 | 译码 | D\s*节点 | D\s*實例 | D\s*实例 | D\s*端 | D\s*侧 | 消费者
            | デコード | デコーダ | 디코드 | 디코딩 | 디코더 | декод
            | d[ée]codage | d[ée]codeur | decodificaci[óo]n | decodificador | Dekodier\w* | Decodier\w*
            | decodifica[çc][ãa]o | decodifica(?:tore|zione)?(?![a-z])
            | (?<![a-z0-9/_-])D[\s-]+(?:node|instance|worker|server|pod|engine)s?(?![a-z])
            """
        ),
    ),
    (
        AGG,
        re.compile(
            r"(?i)(?<![a-z-])(?:aggregated|monolithic|co-?located|non-disaggregated|single[- ]instance baseline)(?![a-z])"
        ),
    ),
    (ENC, re.compile(r"(?i)(?<![a-z])(?:encode|encoder|encoding)(?![a-z])|编码|エンコード|인코")),
]
_LETTERS = re.compile(
    r"(?<![\w/.-])P\s*(?:and|&|/|\+|,|or|->|→|和|と|및)\s*D(?![\w/.-])|(?<![\w/.-])D\s*(?:and|&|/|\+|,|or|->|→|和|と|및)\s*P(?![\w/.-])|(?<![a-z])xPyD(?![a-z])"
)
_LEAD_JUNK = re.compile(
    r"(?i)^(?:[\W\d_]+|(?:step|start|starting|launch|launching|run|running|the|a|an|on|for|in|your|first|second|then|now|next|and"
    r"|serve|bring|up|spin|deploy|create|set|configure|from|gpu|gpus|terminal|node|vllm|one|two|instance|server|option)\b)+"
)
_AND = re.compile(
    r"(?i)^\s*(?:and|or|&|/|-|\+|,|、|和|と|및|->|→|y|et|und|e|&amp;|then|nodes? and|instances? and|workers? and)\s*"
)


_JOINED = re.compile(
    r"(?i)\bprefill\w*\s*(?:\+|&|/|and|und|y|et|和|と)\s*decod|\bdecod\w*\s*(?:\+|&|/|and|und|y|et|和|と)\s*prefill"
)


def joined(text: str) -> bool:
    """Whether a text names the two sides in one breath: "real prefill + decode"."""
    return _JOINED.search(text) is not None


_BOTH = re.compile(
    r"(?i)\bboth\s+(?:the\s+)?(?:servers|instances|workers|nodes|sides|roles|engines|pods|machines|hosts|boxes|processes"
    r"|terminals|containers)\b"
)
_ALIKE = re.compile(r"(?i)\b(?:both|same|shared?|common|either|each|alike|identical)\b|两|双方|両方|모두")


def both_said(text: str) -> bool:
    """Whether a text is about both servers, though it may name but one side."""
    return _BOTH.search(text) is not None


def alike_said(text: str) -> bool:
    """Whether a text says of something that prefill and decode have it in common."""
    return _ALIKE.search(text) is not None and {P, D} <= prose_sides(text) and prose_side(text) is None


# What every ASCII match of the patterns above holds: most comments and lines hold none of it.
_STEMS = re.compile(
    r"prefill|decod|dekod|produc|consum|aggregat|monolithic|located|baseline|encod|rempli|llenado|relleno|preenchimento"
    r"|precompilazione|riempimento|vorab|xpyd|(?<![a-z0-9])[pd](?![a-z0-9])"
)


@lru_cache(maxsize=512)
def prose_sides(text: str) -> frozenset[Side]:
    """The sides a piece of prose (comment, heading, sentence) names, the neutral phrases left out."""
    if text.isascii() and _STEMS.search(text.lower()) is None:
        return frozenset()
    clean = _NEUTRAL.sub(" ", text)
    found = {side for side, pattern in _PROSE if pattern.search(clean)}
    if _LETTERS.search(clean):
        found |= {P, D}
    if found & {P, D}:
        found.discard(ENC)
        found.discard(AGG)
    return frozenset(found)


def prose_side(text: str) -> Side | None:
    """The one side a title-like text is about, or None.

    "Decode node: pulls its KV from the prefill node" is about decode, because it opens with it and the other is not
    joined to it; "Prefill and decode" is about neither.
    """
    found = prose_sides(text)
    if len(found) == 1:
        return next(iter(found))
    if not {P, D} <= found:
        return None
    clean = _NEUTRAL.sub(" ", text)
    lead = _LEAD_JUNK.sub("", clean)
    hits: list[tuple[int, Side, int]] = []
    for side, pattern in _PROSE[:2]:
        m = pattern.search(lead)
        if m:
            hits.append((m.start(), side, m.end()))
    hits.sort(key=lambda h: h[0])
    if not hits or hits[0][0] != 0:
        return None
    _, first, end = hits[0]
    rest = lead[end:]
    if _AND.match(rest) and (len(hits) < 2 or hits[1][0] - end < 24):
        return None
    between = lead[end : hits[1][0]] if len(hits) > 1 else ""
    if not re.search(
        r"[:(—–,;.]|\b(?:from|to|with|that|which|needs?|reads?|pulls?|connects?|sends?|after|before)\b", between
    ):
        return None
    return first


# --- values of flags and labels that mean a side ---------------------------------------------------------------------

_ROLE_VALUES: dict[str, Side] = {
    **dict.fromkeys(
        ("prefill", "prefiller", "p", "producer", "kv_producer", "sender", "prefill_only", "prefill-only"), P
    ),
    **dict.fromkeys(("decode", "decoder", "d", "consumer", "kv_consumer", "receiver", "recver", "decode_only"), D),
    "decode-only": D,
    **dict.fromkeys(
        ("agg", "aggregated", "aggregate", "pd", "both", "mixed", "hybrid", "unified", "monolithic", "none", "p+d"), AGG
    ),
    **dict.fromkeys(
        ("prefill_and_decode", "prefill-and-decode", "prefill-decode", "prefill_decode", "all", "regular"), AGG
    ),
    **dict.fromkeys(("encode", "encoder", "e"), ENC),
}


def role_value(value: str) -> Side | None:
    """The side a role-like setting's value means (``prefill``, ``SENDER``, ``agg``), or None."""
    return _ROLE_VALUES.get(value.strip().strip("\"'").lower())


_ROLE_KEY = re.compile(
    r"(?i)^(?:.*[/._-])?(?:role|roles|mode|disaggregation[-_]?mode|disagg(?:regation)?[-_]?(?:mode|role|type)|worker[-_]?(?:type|role|mode)"
    r"|sub[-_]?component[-_]?type|component[-_]?type|node[-_]?(?:type|role)|instance[-_]?(?:type|role)|server[-_]?(?:type|role|mode)"
    r"|engine[-_]?(?:role|type)|pd[-_]?role|pd[-_]?mode|nixl[-_]?role|serving[-_]?role|stage|phase|type|kind[-_]?of|group)$"
)


def role_key(key: str) -> bool:
    """Whether a key, flag or variable is of the kind whose value says the side."""
    return _ROLE_KEY.match(key.strip("-")) is not None


_TESTED = re.compile(
    r"(?i)\b(?:\w+_)?(?:is|as|run|mode|role|only)_?(?:prefill|decode)(?:er)?(?:_?(?:only|worker|mode|node|instance|role))?\b"
    r"|\b(?:prefill|decode)(?:er)?_?(?:only|worker|mode|role)\b|^[\s\[$\"{}\])]*(?:-n\s+\S*)?(?:prefill|decode)[\s\]\"})]*$"
)


def tested(condition: str) -> list[str]:
    """The names in a condition that ask, without comparing, whether this is a prefill or a decode instance."""
    return [m.group() for m in _TESTED.finditer(condition)]


# --- comments and echoes ---------------------------------------------------------------------------------------------

_NOT_A_TITLE = re.compile(
    r"(?i)\b(?:wait\w*|until|unless|after|ready|once|stop\w*|kill\w*|clean\w*|check\w*|test\w*|health\w*|send\w*|curl|query|request\w*"
    r"|uncomment|todo|fixme|note|e\.g|see|only if|instead of|without|not|don't|like|same|as in|similar|unlike|compar\w*|versus"
    r"|(?:benchmark|measur|profil)\w*\s+(?:the\s+)?(?:prefill|decod)\w*|by another|elsewhere|already|disabled?|off|unused"
    r"|formerly|previously|opposite|non-?(?:prefill|decod)\w*|gone|make sure|ensure\w*|alive|reachable"
    r"|skip\w*|will|would|can|could|should|must|cannot|connects?|talks?|reads|pulls"
    r"|sends|happens?|occurs?|takes?|finish\w*|exits?|fail\w*|crash\w*|hangs?|died"
    r"|wart\w*|verbinde\w*|nachdem|sobald|beende\w*|pr[üu]fe\w*|attend\w*|apr[èe]s|connecte\w*|arr[êe]t\w*|v[ée]rifi\w*"
    r"|esper\w*|despu[ée]s|conect\w*|deten\w*|aguard\w*|depois|aspett\w*|dopo|colleg\w*|cuando|quand|quando|lorsque|jusqu\w*|hasta|wenn|когда"
    r"|дожд\w*|дожид\w*|жд[её]\w*|ожида\w*|подключ\w*|останов\w*|провер\w*|после)\b"
)
_NOT_A_TITLE_ABROAD = (  # in scripts that set no blanks between words; compiled where there is such a text
    r"等待|等到|就绪|就緒|连接|連接|确认|確認|停止|关闭|關閉|检查|檢查|之后|以后|测试|待つ|待って|待機|待ち|接続|後に|后[，,在再]|後[、，]|したら|してから|た後"
    r"|不是|不同|参见|参考|見よ|参照|ではない|以外|아닌|제외|참고|节点见|实例见"
    r"|기다|대기|연결|종료|확인|준비되|이후|되면|하면|된 후|한 후"
)
_STARTS = re.compile(
    r"(?i)\b(?:start\w*|launch\w*|run\w*|serv\w+|bring\w*|spin\w*|deploy\w*|boot\w*|spawn\w*|instances?|workers?|nodes?|pods?|engines?|vllm"
    r"|config\w*|settings?|section|side|role|terminal|gpus?|commands?|args)\b|启动|起動|시작|节点|实例|ノード|запуск|инстанс|инициал"
)


# "Prefill is on node 1; this is node 2".
_THIS_ONE = r"(?i)[;,.]\s*(?:but\s+|and\s+)?this\b(?!.*(?:prefill|decod))"
# "After prefill is up, start decode" is about what it starts.
_FIRST = re.compile(r"(?i)^(?:after|once|when)\b[^,.;:]*,\s*(?:then\s+)?(?=(?:start|launch|run|serve|deploy)\b)")
_DEPENDS = re.compile(
    r"(?i)\b(?:needs?|needed|requires?|required|expects?|depends?|connect\w*|talk\w*|address\w*|urls?|points?|peers?|remote|receiv\w*"
    r"|pull\w*|fetch\w*|behind|offload\w*|from|before|for the other|between|via|through)\b"
)


def depends(text: str) -> bool:
    """Whether a text is about what is needed of another: addresses, peers, a remote end."""
    return _DEPENDS.search(text) is not None


@lru_cache(maxsize=512)
def title_side(text: str) -> Side | None:
    """The side a comment, an echo or a line above a block announces for what comes next, or None.

    Only what reads like a title counts: short, or about starting or configuring an instance; never what waits for,
    stops, tests or compares with one, nor what is said of the other end of a connection.
    """
    clean = re.sub(r"[#=*\-–—_/\\>|<+~`]{2,}", " ", text).strip(" \t#*-=:_")
    clean = _FIRST.sub("", clean)
    side = prose_side(clean)
    if side is None or both_said(clean) or excludes(clean) or ("this" in clean and re.search(_THIS_ONE, clean)):
        return None
    first = min(
        (m.start() for s, pattern in _PROSE if s is side and (m := pattern.search(_NEUTRAL.sub(_blank, clean)))),
        default=0,
    )
    if _DEPENDS.search(clean[:first]):
        return None
    if len(clean.split()) <= 6 or _STARTS.search(clean):
        return side
    return None


_PAST = re.compile(
    r"(?i)\b(?:started|launched|deployed|pid)\b|\b(?:is|are|now)\s+(?:up|running)\b"
)  # said of what stands before it


def past(text: str) -> bool:
    """Whether a text tells of a server that has been started."""
    return _PAST.search(text) is not None


def excludes(text: str) -> bool:
    """Whether a text holds a word that keeps it from being a title: it waits, tests, compares, denies."""
    return _NOT_A_TITLE.search(text) is not None or (
        not text.isascii() and re.search(_NOT_A_TITLE_ABROAD, text) is not None
    )


_ANNOUNCES = re.compile(
    r"(?i)\b(?:start\w*|launch\w*|run(?:s|ning)?|serv(?:e|ing)|bring\w*|spin\w*|deploy\w*|boot\w*|spawn\w*|creat\w*|set(?:ting)?\s*up"
    r"|configur\w*|initiali[sz]\w*)\b|启动|起動|시작|部署|配置"
)
_BANNER = re.compile(
    r"(?i)[\W\d]*(?:kv )?(?:prefill(?:er)?|decoder?|producer|consumer)"
    r"(?:[\W\d]|node|server|instance|worker|engine|pod|side|config\w*|deployment|process)*|[\W\d]*[PD][\W\d]*(?:节点|实例|端|侧)?\W*|\W*(?:预填充|解码)(?:节点|实例|端|侧)?\W*"
)


def announces(text: str) -> bool:
    """Whether a title speaks for all that follows it in its paragraph: it starts something, or is a bare banner."""
    return _ANNOUNCES.search(text) is not None or _BANNER.fullmatch(text) is not None


def _blank(m: re.Match[str]) -> str:
    return " " * len(m.group())
