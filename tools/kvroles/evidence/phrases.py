"""What kind of sentence a text is: it starts something, waits, denies, tells of the past, or of what is needed of another."""

from __future__ import annotations

import re

from kvroles.evidence.patterns import regex

_NOT_A_TITLE = regex(
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


_PAST = regex(
    r"(?i)\b(?:started|launched|deployed|pid)\b|\b(?:is|are|now)\s+(?:up|running)\b"
)  # said of what stands before it


def without_past(text: str) -> str:
    """A text without the words that tell of a server as started."""
    return _PAST.sub(" ", text)


def past(text: str) -> bool:
    """Whether a text tells of a server that has been started."""
    return _PAST.search(text) is not None


def excludes(text: str) -> bool:
    """Whether a text holds a word that keeps it from being a title: it waits, tests, compares, denies."""
    return _NOT_A_TITLE.search(text) is not None or (
        not text.isascii() and re.search(_NOT_A_TITLE_ABROAD, text) is not None
    )


_ANNOUNCES = regex(
    r"(?i)\b(?:start\w*|launch\w*|run(?:s|ning)?|serv(?:e|ing)|bring\w*|spin\w*|deploy\w*|boot\w*|spawn\w*|creat\w*|set(?:ting)?\s*up"
    r"|configur\w*|initiali[sz]\w*)\b|启动|起動|시작|部署|配置"
)
_STARTING = regex(r"(?i)^\W*(?:now\s+|then\s+)?(?:start|launch|run|bring|spin|deploy|boot|serv)\w*\b")


def starts_something(text: str) -> bool:
    """Whether a text opens with a verb that starts a server."""
    return _STARTING.match(text) is not None


_BANNER = regex(
    r"(?i)[\W\d]*(?:kv )?(?:prefill(?:er)?|decoder?|producer|consumer)"
    r"(?:[\W\d]|node|server|instance|worker|engine|pod|side|config\w*|deployment|process)*|[\W\d]*[PD][\W\d]*(?:节点|实例|端|侧)?\W*|\W*(?:预填充|解码)(?:节点|实例|端|侧)?\W*"
)


def announces(text: str) -> bool:
    """Whether a title speaks for all that follows it in its paragraph: it starts something, or is a bare banner."""
    return _ANNOUNCES.search(text) is not None or _BANNER.fullmatch(text) is not None


_DEPENDS = regex(
    r"(?i)\b(?:needs?|needed|requires?|required|expects?|depends?|connect\w*|talk\w*|address\w*|urls?|points?|peers?|remote|receiv\w*"
    r"|pull\w*|fetch\w*|behind|offload\w*|from|before|for the other|between|via|through)\b"
    r"|^\s*[\"']?(?:depends_on|dependsOn|needs|After|Before|Wants|Requisite|BindsTo|PartOf|Upholds|Conflicts)[\"']?\s*[=:]"
)


def depends(text: str) -> bool:
    """Whether a text is about what is needed of another: addresses, peers, a remote end."""
    return _DEPENDS.search(text) is not None
