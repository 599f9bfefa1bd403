"""Which side words name: identifiers, paths, prose in several languages, and the neighbours that only look like it."""

from __future__ import annotations

import re
from functools import lru_cache

from kvroles.evidence.frames import Side
from kvroles.evidence.knowledge import rows, titles
from kvroles.evidence.names import plain_word, topic
from kvroles.evidence.patterns import regex
from kvroles.evidence.phrases import depends

P, D, AGG, ENC = Side.PREFILL, Side.DECODE, Side.AGGREGATED, Side.ENCODE
PD = (P, D)

# --- prose -----------------------------------------------------------------------------------------------------------

_NEUTRAL = regex(
    r"""(?ix)
    (?<![a-z])disagg\w{0,40}[\s_-]+prefill(?:ing)?(?!\w{0,40}[\s_-]{0,9}(?:worker|node|instance|server|pod|engine))
    | (?:chunked|partial|remote|conditional|no|without)[\s_-]+prefills?
    | (?:prefill|decode)[\s_-]+(?:quer|token|backend|chunk|cudagraph|context|batch|cache|heavy|bound|intensive|dominant
      |latenc|throughput|length|step|kernel|attention|time|speed|rate|perf|phase)\w*
    | spec(?:ulative)?[\s_-]+decod\w+ | (?<![a-z])decod\w{0,40}[\s_-]+(?:context|only|cudagraph|graph|batch|bench|error)\w*
    | (?:structured|guided|greedy|constrained|parallel|full|lookahead)[\s_-]+decod\w+
    | (?:json|base64|utf-?8|url)[\s_-]*decod\w+ | decod(?:e|es|ing)[ ](?:json|base64|utf-?8)(?!\w)
    | decoder-only | encoder-decoder | FULL_DECODE_ONLY
    | kv_producer | kv_consumer | --[a-z][\w.-]* | enable_chunked_prefill
    """
)
_PROSE: list[tuple[Side, re.Pattern[str]]] = [
    (
        P,
        regex(
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
        regex(
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
        regex(
            r"(?i)(?<![a-z-])(?:aggregated|monolithic|co-?located|non-disaggregated|single[- ]instance baseline)(?![a-z])"
        ),
    ),
    (ENC, regex(r"(?i)(?<![a-z])(?:encode|encoder|encoding)(?![a-z])|编码|エンコード|인코")),
]
_LETTERS = regex(
    r"(?<![\w/.-])P\s*(?:and|&|/|\+|,|or|->|→|和|と|및)\s*D(?![\w/.-])|(?<![\w/.-])D\s*(?:and|&|/|\+|,|or|->|→|和|と|및)\s*P(?![\w/.-])|(?<![a-z])xPyD(?![a-z])"
)
_AND = regex(
    r"(?i)^\s*(?:and|or|with|&|/|-|\+|,|、|和|と|및|->|→|y|et|und|e|&amp;|then|nodes? and|instances? and|workers? and)\s*"
)


_JOINED = regex(
    r"(?i)\bprefill\w*\s*(?:\+|&|/|and|und|y|et|和|と)\s*decod|\bdecod\w*\s*(?:\+|&|/|and|und|y|et|和|と)\s*prefill"
)


def joined(text: str) -> bool:
    """Whether a text names the two sides in one breath: "real prefill + decode"."""
    return _JOINED.search(text) is not None


_BOTH = regex(
    r"(?i)\bboth\s+(?:the\s+)?(?:servers|instances|workers|nodes|sides|roles|engines|pods|machines|hosts|boxes|processes"
    r"|terminals|containers)\b"
)
_OWN = regex(
    r"(?i)\b(?:both|each|either)\b(?:(?!\b(?:both|each|either|same|shared?)\b)[^.;:,!?])*\b(?:its|their)\s+own\b"
)
_ALIKE = regex(r"(?i)\b(?:both|same|shared?|common|either|each|alike|identical)\b|两|双方|両方|모두")


def both_said(text: str) -> bool:
    """Whether a text is about both servers, though it may name but one side."""
    return _BOTH.search(text) is not None


def alike_said(text: str) -> bool:
    """Whether a text says of something that prefill and decode have it in common, and not that each has one of its own."""
    return (
        _ALIKE.search(text) is not None
        and _ALIKE.search(_OWN.sub(" ", text)) is not None
        and {P, D} <= prose_sides(text)
        and prose_side(text) is None
    )


# What every ASCII match of the patterns above holds: most comments and lines hold none of it.
_STEMS = regex(
    r"prefill|decod|dekod|produc|consum|aggregat|monolithic|located|baseline|encod|rempli|llenado|relleno|preenchimento"
    r"|precompilazione|riempimento|vorab|xpyd|(?<![a-z0-9])[pd](?![a-z0-9])"
)


def _names_none(text: str) -> bool:
    """Whether a text names no side for certain: nearly all do not."""
    return text.isascii() and _STEMS.search(text.lower()) is None


@lru_cache(maxsize=512)
def prose_sides(text: str) -> frozenset[Side]:
    """The sides a piece of prose (comment, heading, sentence) names, the neutral phrases left out."""
    if _names_none(text):
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
    lead = clean
    hits: list[tuple[int, Side, int]] = []
    for side, pattern in _PROSE[:2]:
        m = pattern.search(lead)
        if m:
            hits.append((m.start(), side, m.end()))
    hits.sort(key=lambda h: h[0])
    if not hits or not _leads(lead[: hits[0][0]]):
        return None
    _, first, end = hits[0]
    rest = lead[end:]
    if (m := _AND.match(rest)) and (len(hits) < 2 or _leads(rest[m.end() : hits[1][0] - end])):
        return None
    between = lead[end : hits[1][0]] if len(hits) > 1 else ""
    if not re.search(
        r"[:(—–,;.]|\b(?:from|to|with|that|which|needs?|reads?|pulls?|connects?|sends?|after|before)\b", between
    ):
        return None
    return first


# --- comments and echoes ---------------------------------------------------------------------------------------------

# A role's own value that a server is called by: "kv_producer role".
_VALUE = regex(
    r"\bkv_(producer|consumer)(?=[ -](?:role|side|node|instance|server|worker|engine|pod|process|replica)(?:e?s)?\b)"
)


def sides_for_values(text: str) -> str:
    """A text in which a side stands for the role's value that a server is called by."""
    if "kv_" not in text:
        return text
    return _VALUE.sub(lambda m: "prefill" if m[1] == "producer" else "decode", text)


def without_phases(text: str) -> str:
    """A text without the phrases that name a phase of inference and no server."""
    return _NEUTRAL.sub(" ", text)


# "Prefill is on node 1; this is node 2"; but "prefill, this may take a while" tells of the start.
_THIS_ONE = (
    r"(?i)[;,.]\s*(?:but\s+|and\s+)?this\b(?!.*(?:prefill|decod))"
    r"(?!\s+(?:(?:can|may|might|could|will|usually|often)\s+)*(?:takes?|lasts?|loads?|downloads?|needs?|requires?)\b)"
)
# "After prefill is up, start decode" is about what it starts.
_FIRST = regex(
    r"(?i)^(?:after|once|when)\b[^,.;:]*,\s*(?:then\s+)?(?=(?:start|launch|run|serve|deploy)\b)"
    r"|^(?:in|on)\s+(?:an?\s+|the\s+)?(?:\w+\s+)?(?:terminal|shell|window|tab|pane|console|session)\s*[,:]\s*"
    r"|^(?:(?:first|next|then|now|finally)\W+)?we\s+(?:(?:first|now|then|also)\s+)?(?=(?:start|launch|run|serve|deploy)\b)"
)
_LEAD = frozenset(word for row in rows(titles.LEAD) for word in row[0].split())
_HEADS = frozenset(word for row in rows(titles.HEADS) for word in row[0].split())
_TAIL = frozenset(word for row in rows(titles.TAIL) for word in row[0].split())
_LONGEST = 2000  # characters: what is longer is no title
_DECORATED = regex(r"[#=*\-–—_/\\>|<+~`]{2,}")
_DASH = regex(r"(?<=\w)\s+--\s+(?=\w)")
# A title of a server that is of its side and of others as well: "decode, or aggregated", "standalone and decode".
_WHOLE = r"(?:agg(?:regated)?|stand-?alone|monolithic|hybrid|unified|combined|co-?located|single[- ]node|mixed|both)"
_OR_BOTH = (
    rf"(?i)\b(?:or|and)\s+(?:an?\s+)?{_WHOLE}\b|[/|&+]\s*{_WHOLE}\b"
    rf"|\b{_WHOLE}\s*(?:[/|&+,]|\b(?:or|and))\s*(?:prefill|decod)"
)
_EMOJI = regex(r"^\s*(?::[a-z][\w+-]*:\s*)+")  # ":rocket: prefill"
_LETTER_WORDS = regex(r"[^\W_][\w'.]*")
# A setting that is told, no title: "prefill: no", "decode = false", "prefill worker (disabled)".
_SETTING = regex(
    r"(?i)\s*(?:[:=]+\s*[\"'`]?(?:true|false|yes|no|on|off|none|null|n/a|(?:en|dis)abled|-?\d+)[\"'`]?"
    r"|[(\[]\s*(?:disabled|off|unused|not\s+used|removed|gone|stopped|commented\s+out|ends?|done)\s*[)\]]"
    r"|[\w\s]*?[:–—-]\s*(?:ends?|ended|done|finished|over)\b)\s*(?:$|[,;.(!])"
)
# What a title's side is not where the title stands: "prefill no more", "prefill: moved to b.yaml",
# "prefill on two hosts, not on this one".
_NOT_HERE = regex(
    r"(?i)(?:[-_\s]*[^\W_][\w']*){0,4}?\s*(?:\bno\s+more\b|\bnot\s+(?:here|(?:on|in|at|for|from)\s+th(?:is|ese))\b)"
    r"|[^.!?]*[,;(–—-]\s*(?:but\s+)?not\s+(?:here|(?:on|in|at|for|from)\s+th(?:is|ese))\b"
    r"|[\w\s]*?(?:[:=(\[,;–—]|\s-)\s*(?:(?:has|have|was|were|is|are)\s+)?(?:been\s+)?(?:moved|removed|gone|dropped|retired|elsewhere)\b"
    r"(?!\s+(?:the|its|all|some)\b)"
    r"|[\w\s]*?(?:\s(?:in|on|at)|[:=])\s+(?:an?other|the\s+other|a\s+different|a\s+separate|other)\s+(?:cluster|namespace|region|site|repo\w*|chart)s?\b"
    r"|[\w\s]*?(?:[:=–—]|\s-)\s*(?:see\s+(?!\S*(?:readme|docs?/|wiki|https?:|\.md\b|\.rst\b|\#))|not\b|no\s*(?:$|[,;.!]|more\b|longer\b)|0\b)"
)
# To another file; to what stands above; what ends here: ``</prefill>``, ``<<< prefill <<<``, ``} prefill``, ``/prefill``.
_POINTS = regex(
    r"(?i)^\W*as\s+(?:on|for|in|at|with)\s|(?:[-=]>|→)\s*[^\s/]*/|^\W*</|^\s*(?:<{2,}[^>]*$|[/})\]^↑⬆])|\^{2,}\s*$"
)
_QUESTION = regex(r"[^.!;:,(\[]*[?？]")
_STOP = regex(r"\s*(?:[(\[{:,;.!—–|/=<>@#`\"'（，。：、；]|->|-(?=\s|$)|$)")


@lru_cache(maxsize=512)
def title_side(text: str) -> Side | None:
    """The side that a comment, a heading or an echo announces for what comes next, or None.

    It has to open with the side: before it may stand a verb that starts something, an article, a number, what is started;
    behind it its noun, and then the end, a sign or a preposition. What stands after that takes nothing away. Anything else
    ("wait for prefill", "prefill is disabled") is a sentence, whatever it says.
    """
    opened = _opened(text) if len(text) <= _LONGEST else None
    return opened[0] if opened is not None and _follows(opened[1]) else None


def opens_with(text: str) -> Side | None:
    """The side that a sentence opens with, as a title does, whatever follows."""
    opened = _opened(text) if len(text) <= _LONGEST else None
    return opened[0] if opened is not None else None


# A product's word before a phase: with it a way to decode is named, and no server.
_TECHNIQUE = regex(r"\b\w+[A-Z]\w*[ \t]+\Z")


def _opened(text: str) -> tuple[Side, str] | None:
    """The side that a text opens with, and what stands behind it."""
    if _names_none(text) or _POINTS.search(text):
        return None
    clean = _DECORATED.sub(" ", _DASH.sub(" – ", _EMOJI.sub("", text))).strip(" \t#*-=:_~")
    clean = _FIRST.sub("", clean)
    side = prose_side(clean)
    if side is None or both_said(clean) or ("this" in clean and re.search(_THIS_ONE, clean)):
        return None
    if (_ALIKE.search(clean) and set(PD) <= prose_sides(clean)) or re.search(_OR_BOTH, clean):
        return None
    masked = _NEUTRAL.sub(_blank, clean)
    found = [m for s, pattern in _PROSE if s is side and (m := pattern.search(masked))]
    first = min(found, key=lambda m: m.start(), default=None)
    if first is None or not _leads(clean[: first.start()]):
        return None
    behind = clean[first.end() :]
    if first.group().lower().endswith("ing") and not behind.strip() and _TECHNIQUE.search(clean[: first.start()]):
        return None  # "DFlash Decoding"
    if _QUESTION.match(behind) or (side in PD and _changes(behind, side)):
        return None  # a question; "prefill on node 1, decode on node 2"; "prefill (was)"
    return side, behind


def _leads(before: str) -> bool:
    """Whether all words before a title's side are such as lead up to it."""
    if not before.isascii():
        before = re.sub(titles.ABROAD, " ", before)
    return all(_led_by(w) for w in _LETTER_WORDS.findall(before))


def _led_by(word: str) -> bool:
    word = word.rstrip(".,'")
    low = word.lower()
    named = any(c.isdigit() for c in word) or (len(word) == 1 and word.isascii())
    if word.isupper():  # a product's, or any word in capitals: NOT PREFILL
        return low in _LEAD or named or plain_word(low)
    return low in _LEAD or named or any(c.isupper() for c in word[1:])


# Said of what a server was, or is by now: "prefill (was; now decode)", "decode, renamed".
_CHANGED = regex(
    r"(?i)(?:^|[,;:.(\[/-])\s*(?:it\s+|this\s+|but\s+)?(?:was|were|used\s+to\s+be)\b"
    r"|\b(?:formerly|previously|originally|no\s+longer|any\s?more|renamed|became|becomes|turned\s+into|now\s+both|both\s+now|by\s+default|ex-(?=\w)"
    r"|old\s+(?:name|role)|früher|vormals|ehemals|anciennement|ранее|раньше|бывш\w*)\b|[→⇒➜]\s*(?:now\s+)?both\b|以前|原来|曾"
)
# Said of a second thing that a server does: with the other side beside it, it is of both.
_AS_WELL = regex(r"(?i)\b(?:now|also|as\s+well|too|later|meanwhile|doubles?)\b")
_HERE = regex(
    r"(?i)(?:\s+(?:nodes?|servers?|workers?|instances?|runs?|is|lives?))*\s*(?:$|[)\]!]|(?:here|since|from|as\s+of)\b)"
)
_CLAUSES = regex(r"[,;:.，。；：(\[/|–—]|\s-+\s|[-=]+>|→|\b(?:and|or|but)\b")


def _changes(behind: str, side: Side) -> bool:
    """Whether what stands behind a title's side says that the server was of it, or that it is of the other side as well: a clause
    that has the other side for its subject, or tells of it in words of change."""
    if _CHANGED.search(behind) is not None:
        return True
    if side.other not in prose_sides(behind):
        return False
    pattern = next(pattern for s, pattern in _PROSE if s is side.other)
    for clause in _CLAUSES.split(_NEUTRAL.sub(_blank, behind)):
        m = pattern.search(clause)
        if m is None:
            continue
        if _AS_WELL.search(clause) is not None or (_leads(clause[: m.start()]) and _HERE.match(clause, m.end())):
            return True
    if any(turns_to(text, side.other) for text in _PIECE.split(behind)[1:]):
        return True
    return any(_opens(c, side.other) for c in re.split(r"[,;.，。；]|[(\[](?=or\s)", behind)[1:])


_SENTENCE = regex(r"(?<=[.!?])\s+|(?<=[。！？])")
_PIECE = regex(r"(?<=[.!?])\s+|(?<=[。！？])|[;；(（]|\s[-–—]+\s")
# "To get a decode worker, append ..."; "if you want decode, ..."; "for decode change ...".
_TURNS = regex(
    r"(?i)^\W*(?:(?:and|but|then|also|alternatively|similarly|likewise|afterwards|later)\b[\s,]*)?(?:for|as\s+for|(?:if|when)\s+you"
    r"|(?:in\s+order\s+)?to\s+(?:(?:also|then|instead)\s+)?(?:add|bring|build|create|deploy|get|have|launch|make|obtain|run|serve|set|spawn"
    r"|spin|start|turn|use))\b(?P<what>[^,;:，；：]*)(?P<end>[,:，：]?)"
)
# "Repeat for decode"; "run it a second time for decode"; "change the port to get decode".
_VERB = (
    r"(?:adapt|add|adjust|append|change|choose|copy|do|edit|launch|modify|pass|pick|repeat|replace|rerun|re-run|reuse|run|set|start"
    r"|swap|switch|use)\b"
)
_DOES = regex(rf"(?i)\b{_VERB}")
_REPEATS = regex(
    rf"(?i)^\W*(?:(?:and|but|then|also|now|just|simply)\b[\s,]*)*{_VERB}[^.;]*?\b(?:for|as|to\s+(?:get|have|run|start|launch))\s+"
    r"(?:(?:an?|the|each|every|your|all)\s+)?(?P<what>[^\W\d_]+)(?=\s*(?:$|[.,;:!)(]|(?:with|by|too|as|and|using|on|in)\b"
    r"|(?:node|server|worker|instance|pod|engine|side)s?\b))"
)
_LIKEWISE = regex(r"(?i)\b(?:same|likewise|similarly|analogous\w*|identical\w*|as\s+well|too|also)\b")
_REFERS = regex(r"(?i)\b(?:see|refer)\b")


def sentences(text: str) -> list[str]:
    """The sentences of a text; at least one."""
    return _SENTENCE.split(text.strip())


def turns_to(sentence: str, side: Side) -> bool:
    """Whether a sentence says what to do for a server of a side, or that it is started in the same way."""
    if side not in prose_sides(sentence) or _REFERS.search(sentence) is not None:
        return False
    m = _TURNS.match(sentence)
    if m is not None and side in prose_sides(m["what"]) and (m["end"] or _DOES.search(m["what"]) is not None):
        return not depends(m["what"])
    if any(side in prose_sides(m["what"]) for m in _REPEATS.finditer(sentence)):
        return not depends(sentence)
    return _LIKEWISE.search(sentence) is not None and opens_with(sentence) is side


def _opens(clause: str, side: Side) -> bool:
    """Whether a clause is a title of a side as well."""
    clause = re.sub(r"^\s*or\s+|[)\]]", " ", clause)
    found = [m for s, pattern in _PROSE if s is side and (m := pattern.search(_NEUTRAL.sub(_blank, clause)))]
    return any(_leads(clause[: m.start()]) and _follows(clause[m.end() :]) for m in found)


# The word that what stands behind a side begins with: behind a sign, a preposition or a noun.
_SUBJECT = regex(r"\s*(?:(?:[-:–—,]|\w+)\s+|[(\[]\s*)(?:(?:an?|the|some|its|our)\s+)?(\w+)")
_POSSESSIVE = regex(r"\A['\u2019]s\b")


def _follows(behind: str) -> bool:
    """Whether what stands behind a title's side is its noun, and then an end, a sign or a preposition."""
    behind = _POSSESSIVE.sub("", behind)  # "prefill's peer" is about the peer
    if _NOT_HERE.match(behind):
        return False
    if not behind.isascii():
        behind = re.sub(rf"\A(?:\s*(?:{titles.ABROAD}))+", "", behind)
    if (subject := _SUBJECT.match(behind)) is not None and topic(subject[1].lower()):
        return False  # "Prefill: performance", "Decode in depth"
    while True:
        if _STOP.match(behind):
            return _SETTING.match(behind) is None
        m = re.match(r"[-_\s]*([^\W_][\w']*)", behind)
        if m is None:
            return True
        word = m.group(1).lower().removesuffix("'s")
        if word in _TAIL:
            return True
        if word not in _HEADS and not any(c.isdigit() for c in word) and not (len(word) == 1 and word.isascii()):
            return False
        behind = behind[m.end() :]


def by_trade(text: str) -> bool:
    """Whether prose names its side only by a word that other trades use as well, or by a single letter."""
    return not any(pattern.search(_TRADE.sub(" ", text)) for _, pattern in _PROSE[:2])


_TRADE = regex(
    r"(?i)(?<!kv[ _-])(?<![a-z_])(?:producer|consumer)s?(?![a-z_])|(?-i:(?<![\w/.-])[PD](?![\w/.]))|生产者|消费者"
)


def _blank(m: re.Match[str]) -> str:
    return " " * len(m.group())
