"""Evidence in a command's words: flags whose value is the side, names, ports a proxy knows, where the log goes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from kvroles.evidence import edited, filled, kinds, names, pickers
from kvroles.evidence.context import FileCtx
from kvroles.evidence.frames import Cue, Side
from kvroles.evidence.knowledge import flags, rows
from kvroles.evidence.names import mentioned, name_sides
from kvroles.evidence.patterns import regex


class Word(NamedTuple):
    """One word of a command after unquoting, and the place it starts at."""

    s: str
    pos: int


_ROLES = frozenset(flags.ROLES.split())  # flags whose value is the side
# Switches that are the side by themselves.
_SIDES: dict[str, Side] = {flag: Side(side) for flag, side in rows(flags.SIDES)}
_NO_VALUE = frozenset("-|>&;<)")  # what stands behind a switch that is given no value
# Flags whose values never say which side this server is.
_MUTE = regex(
    r"^--?(?:model|tokenizer|compilation-config|attention-config|additional-config|speculative-config|hf-overrides|override-\S*"
    r"|kv-transfer-config\S*|kv-events-config|quantization\S*|chat-template|image|cudagraph\S*|dtype|ec-transfer-config|label|l"
    r"|reasoning-parser|tool-call-parser|lora-modules|code-revision|revision|served-model-name|all2all-backend|config|from-literal)$"
)
# Flags that name this server, its job or its output. The value of any other flag (a model, a backend) is not its name.
_NAMING = regex(
    r"^--?(?:name|hostname|host|container-name|job-name|[Jowstnh]|d?ms|output|error|log-file|log-dir|logfile|log-path|log|nodelist|session|title"
    r"|window-name|unit|instance-name|engine-id|node-name|worker-name|server-name|submission-id|job-id|app|group|task|file|env-file)$"
)
# Flags that take no value: the word after them is an argument of its own.
_BARE = regex(
    r"^(?:-[itd]{2,3}|-[id]|--(?:install|wait|create-namespace|rm|interactive|tty|detach|privileged|init|atomic))$"
)
# In a name: it is about the server at the other end of a connection.
_OTHER_END = regex(
    r"(?i)(?:^|[-_])(?:peers?|remote|upstream|proxy|router|connect\w*|target|dest\w*|bootstrap|registry|backend|backends|from|to|next|prev\w*|other)(?:[-_]|$)"
)
# A flag of a phase, which each server goes through.
_TUNES = regex(r"prefill|decod")
# A variable that holds an address, and the flags whose address is the server's own.
_ADDRESS = regex(r"(?i)\$[({]{0,2}\w*_(?:urls?|uri|addr(?:ess)?|endpoints?|hosts?|ips?)[)}\"']*(?::|/|$)")
_OWN_ADDRESS = regex(r"(?i)^-[wHh]$|host|(?:^|-)ip(?:-|$)|addr|bind|listen|node|machine|advertis|public|name|self|own")
_PORT_FLAG = regex(r"^--?(?:port|http-port|server-port|p|publish)$")
_ENV = regex(r"^([A-Za-z_]\w*)=(.*)$", re.S)
_EXPORT = regex(r"^--\w+=")
_OVERRIDE = regex(r"^[+~]{0,2}((?:[\w-]+\.)+([\w-]+))=(.*)$", re.S)  # a.b.c=1, as Hydra takes it
# Variables whose value may be the side.
_ENV_ROLE = regex(
    r"(?i)(?:^|_)(?:ROLE|DISAGG\w*MODE|DISAGGREGATION_MODE|WORKER_TYPE|NODE_TYPE|INSTANCE_TYPE|SERVER_TYPE|PD_MODE|WORKER_MODE|MODE|STAGE|SIDE)$"
)
# Those of them that are about a server whatever their value: ``none`` and ``all`` of these mean a server for both sides.
_ENV_SERVER = regex(
    r"(?i)(?:^|_)(?:ROLE|DISAGG\w*MODE|DISAGGREGATION_MODE|WORKER_TYPE|NODE_TYPE|INSTANCE_TYPE|SERVER_TYPE|PD_MODE|WORKER_MODE)$"
)
# A value that is one variable: of a shell, of a template, the same masked.
_VARIABLE = regex(
    r"^[\"']?(?:\${1,2}[({]{0,3}|\{\{)\s*\.?(?:[\w-]+\.)*([A-Za-z_]\w*)\s*[)}]*[\"']?$|^__(?:\w+\.)*(\w+?)__$"
)
# An argument that a script or function is called with, or what a list has at an index: ``$1``, ``${1:?}``, ``${ROLES[$i]}``.
_GIVEN = regex(r"^[\"']?\$(?:\d|\{\d[^{}]*\}|\{\w+\[[^{}\]]*\$[^{}]*\})[\"']?$")
_ROLE_GIVEN = regex(
    r"(?m)(?:^|[;{\s])(?P<name>\w+)=(?P<value>[\"']?\$(?:\d|\{\d[^{}\n]*\}|\{\w+\[[^{}\n]*\})[\"']?)(?=[\s;]|$)"
)
# What one role of several has: ``${PORTS[$role]}``, ``ports[args.role]``.
_OF_ROLE = regex(r"(?i)\w\[[\"']?\$?\{?(?:[a-z]\w*\.)?(?P<name>(?:\w+_)?(?:role|side|worker_?type))\}?[\"']?\]")
_VAGUE = frozenset({"--mode", "--stage", "--component"})  # of anything else of a server's as well
_SHORT = frozenset(
    {"-tp", "-pp", "-dp", "-dcp", "-pcp", "-dpn", "-dpr", "-dpl", "-dpa", "-dpp"}
)  # vLLM's own, of the server
_HOST_FLAG = regex(r"^--?(?:host|name|hostname|container-name)$")
_GOES_TO = frozenset({"", "-w", "--nodelist", "--host"})  # what stands before the host that a command goes to
_OBJECT = regex(
    r"^(?:deploy(?:ments?)?|statefulsets?|sts|daemonsets?|ds|pods?|po|jobs?|leaderworkersets?|lws|configmaps?|cm|secrets?)/[\w.-]+$"
)  # as kubectl takes it
_ON_HOST = regex(r"^(?:[\w.-]+@)?[\w.-]+:(?!//)[/~]")  # where scp copies to
# A command's script, and what may stand before it: ``KV=... bash scripts/prefill.sh``.
_SCRIPT = regex(r"(?:[\w./$\{}~-]*/)?([\w.-]+)\.(?:sh|bash|sbatch|slurm)$")
_RUNNER = regex(r"(?:\w+=.*|(?:.*/)?(?:env|exec|nohup|sudo|time|nice|bash|sh|zsh|sbatch|srun|-\S*))$", re.S)
_FILLED = regex(r"[$`]|\{\{|^__")  # a shell's variable or a command's output, a template's action, the same masked
_PATHLIKE = regex(r"\.(?:log|out|err|txt|pid)\b")


def flags_of(words: Sequence[Word]) -> dict[str, str]:
    """Flag name (no dashes in front, ``-`` for ``_``) -> value. The hazards of a target release ask for them."""
    return dict(_flags(tuple(words)))


@lru_cache(maxsize=2)  # a command is asked about once for each config in it
def _flags(words: tuple[Word, ...]) -> dict[str, str]:
    out: dict[str, str] = {}
    for i, w in enumerate(words):
        if not w.s.startswith("-"):
            continue
        name, eq, value = w.s.partition("=")
        if not eq and i + 1 < len(words) and not words[i + 1].s.startswith("--"):
            value = words[i + 1].s
        out.setdefault(_norm(name).lstrip("-"), value)
    return out


def _norm(flag: str) -> str:
    return flag.replace("_", "-").lower()


def cues(words: Sequence[Word], ctx: FileCtx, skip: int = -1) -> list[Cue]:
    """The cues of a command; ``skip`` is the index of the word that holds the config itself, -1 if none of them does."""
    whole = _command(tuple(words), ctx)
    out = [whole.script] if whole.script is not None and whole.run != skip else []
    near = {} if skip < 0 else {i: whole.of_word(i, skip) for i in range(skip - 1, skip + 2) if 0 <= i < len(words)}
    for i in sorted({*whole.telling, *near}):
        out += near[i] if i in near else whole.telling[i]
    return out


@lru_cache(maxsize=2)
def _command(words: tuple[Word, ...], ctx: FileCtx) -> _Command:
    return _Command(words, ctx)


class _Command:
    """A command's words, read once for all the configs in it. Which word holds the config changes only the cues of that word and
    of the two beside it."""

    def __init__(self, words: tuple[Word, ...], ctx: FileCtx) -> None:
        self.words = words
        self.ctx = ctx
        plain = not pickers.many(w.s for w in words) and not any(names.denies(w.s) for w in words)
        self.plain = plain and (not words or names.own(words[0].s))
        self.turned = any(_is_flag(w.s) and names.turns(w.s.partition("=")[0]) for w in words)
        self.run = next((i for i, w in enumerate(words) if not _RUNNER.match(w.s)), -1)
        self.script: Cue | None = None
        if self.plain and self.run >= 0 and (script := _SCRIPT.match(words[self.run].s)) is not None:
            named = ctx.sides_of(script.group(1)) - {Side.ENCODE, Side.AGGREGATED}
            if len(named) == 1:
                self.script = kinds.ARGUMENT.cue(next(iter(named)), words[self.run].s[:80], words[self.run].pos)
        # The words that say something, by index.
        self.telling = {i: found for i in range(len(words)) if (found := self.of_word(i, -1))}

    def of_word(self, i: int, skip: int) -> list[Cue]:
        """The cues of word ``i`` where word ``skip`` holds the config."""
        if self.turned:
            return []  # ``--invert`` beside ``--role prefill``
        w, ctx = self.words[i], self.ctx
        flag = "" if i == 0 or i - 1 == skip else self._awaits(i - 1)
        if i == skip:
            named = ctx.sides_of(flag or (w.s.partition("=")[0] if w.s.startswith("-") else ""))
            out = [kinds.FLAG_NAME.cue(side, flag or w.s.partition("=")[0], w.pos) for side in named if len(named) == 1]
            for part in w.s.split(","):  # of several that one word sets, those beside the role
                if (given := _ENV.match(_EXPORT.sub("", part))) is not None:
                    out += env_cues(given.group(1), given.group(2), w.pos, ctx, alone=False)
            return out
        s = w.s
        if _is_flag(s):
            name, eq, value = s.partition("=")
            name = _norm(name)
            if (bare := name.lstrip("-")) in _SIDES:
                nxt = self.words[i + 1].s if not eq and i + 1 < len(self.words) and i + 1 != skip else "-"
                kind = kinds.AGGREGATED_FLAG if _SIDES[bare] is Side.AGGREGATED else kinds.ROLE_FLAG
                on = "true" if not eq and nxt[:1] in _NO_VALUE else value if eq else nxt
                return switched(kind, [_SIDES[bare]], on, s if eq or on == "true" else f"{s} {on}", w.pos)
            return _value(name, value, s, w.pos, ctx) if eq else []
        if m := _ENV.match(s):
            return env_cues(m.group(1), m.group(2), w.pos, ctx, alone=False)
        if (m := _OVERRIDE.match(s)) and mentioned(m[1]):  # what it sets is of a side, which this server need not be
            return env_cues(m[2], m[3], w.pos, ctx, alone=False)
        if i and _is_switch(self.words[i - 1].s):
            return []  # its value
        # A plain word may name the server; the one behind "serve" is the model.
        gone: list[Cue] = []
        if (
            flag in _GOES_TO
            and names.goes(self.words[0].s)
            and (host := ctx.proxied(w.pos).get(s.rpartition("@")[2].lower()))
        ):
            gone.append(kinds.HOST_GONE_TO.cue(host, f"{s} is the proxy's {host.value} server", w.pos))
        if not flag and names.far_address(s.rstrip("})\"'"), self.words[self.run].s if self.run >= 0 else ""):
            return gone
        if flag or (self.plain and ("$" in s or not (i and self.words[i - 1].s == "serve"))):
            return gone + _value(flag, s, f"{flag} {s}".strip(), w.pos, ctx)
        return gone

    def _awaits(self, i: int) -> str:
        """The flag that word ``i`` is, where the next word is its value; "" where it is no such flag."""
        s = self.words[i].s
        if not _is_flag(s) or "=" in s:
            return ""
        name = _norm(s)
        return "" if _is_switch(s) or _BARE.match(name) else name


def _is_switch(word: str) -> bool:
    """Whether a word is a switch that says the side itself, its value not in it."""
    return word.startswith("-") and _norm(word).lstrip("-") in _SIDES


def _is_flag(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and not word[1].isdigit()


def env_cues(name: str, value: str, pos: int, ctx: FileCtx, *, alone: bool = True) -> list[Cue]:
    """The cues of ``NAME=value``, which stands before a command, in a list of ``env`` or in a service's environment: ``alone``,
    or among the words of a command."""
    own = _ENV_ROLE.search(name) is not None and not _OTHER_END.search(name) and names.own(name)
    side = ctx.role_of(value, name) if own else None
    if side is None and own:
        side = ctx.side_of(value)
    if side is not None and not (side is Side.AGGREGATED and _is_vague(name)):
        if edited.is_choice(ctx.text.s, pos, side, alone=alone):
            return []
        return [kinds.ROLE_VARIABLE.cue(side, f"{name}={value[:60]}", pos)]
    if own and _ENV_SERVER.search(name) is not None and (said := told(value, f"{name}={value}", pos, ctx)):
        return said
    if "{" in value and "${" not in value:
        return []
    if "$" in value and len(value) < 120 and not _OTHER_END.search(name) and not mentioned(name) and names.own(name):
        return _named(value, f"{name}={value}", pos, ctx)
    if re.search(r"(?i)is_?(?:prefill|decode)|(?:prefill|decode)_?(?:only|worker|mode)$", name):
        return switched(kinds.ROLE_VARIABLE, name_sides(name), value.strip("\"'"), f"{name}={value}", pos)
    return []


def switched(kind: kinds.Kind, sides: Iterable[Side], value: str, words: str, pos: int) -> list[Cue]:
    """What a switch for a side says by its value: that the server is of it, by ``kind``, or that it is not."""
    if value.lower() in names.ON:
        return [kind.cue(side, words, pos) for side in sides]
    return [
        kinds.DENIED.cue(side.other, words, pos) for side in sides if side in names.PD and value.lower() in names.OFF
    ]


def told(value: str, words: str, pos: int, ctx: FileCtx) -> list[Cue]:
    """The cue that a server is told its role by a variable that the file does not set to a side, or only by default."""
    if _GIVEN.match(value) is not None:
        return [kinds.OPEN.cue(Side.SHARED, words[:80], pos)]
    m = _VARIABLE.match(value)
    if m is None:
        return [kinds.OPEN.cue(Side.SHARED, words[:80], pos)] if filled.is_open(value) else []
    if mentioned(value):
        return []
    if ctx.defaults_to_side(m[1] or m[2]):
        return [kinds.OPEN.cue(Side.SHARED, words[:80], pos)]
    return [] if ctx.sets_to_side(m[1] or m[2]) else [kinds.TOLD.cue(Side.SHARED, words[:80], pos)]


def roles_given(s: str, ctx: FileCtx) -> list[Cue]:
    """The cue of each variable of a script that is set to the role which whoever starts it gives: ``ROLE=$1``."""
    found = (env_cues(m["name"], m["value"], m.start("name"), ctx) for m in _ROLE_GIVEN.finditer(s))
    return [c for cues in found for c in cues if c.kind == kinds.OPEN.name]


def _is_role(flag: str) -> bool:
    """Whether the value of a flag, given with its one or two dashes, is the side."""
    return flag.startswith("-") and flag[1:].removeprefix("-") in _ROLES


def _is_vague(name: str) -> bool:
    """Whether a variable's name does not say whose mode it is: ``MODE=none`` and ``UCX_REACHABILITY_MODE=all`` say nothing,
    ``DISAGGREGATION_MODE=none`` does."""
    return name.upper() == "ROLE" or _ENV_SERVER.search(name) is None


def _value(flag: str, value: str, words: str, pos: int, ctx: FileCtx) -> list[Cue]:
    """The cues of a flag's value, or of a plain word (``flag`` is empty): a role, a port or host that the proxy is given for a
    side, a name."""
    if _is_role(flag):
        side = ctx.role_of(value, flag)
        if side is None:
            side = ctx.side_of(value)
        if side is not None and not (side is Side.AGGREGATED and flag in {"--role", *_VAGUE} and value == "none"):
            if edited.is_choice(ctx.text.s, pos, side, alone=False):
                return []
            return [kinds.ROLE_FLAG.cue(side, words[:80], pos)]
        return told(value, words, pos, ctx) if side is None and flag not in _VAGUE else []
    if "[" in value and (m := _OF_ROLE.search(value)) is not None and not ctx.sets_to_side(m["name"]):
        return [kinds.OPEN.cue(Side.SHARED, words[:80], pos)]
    if flag == "--export":  # Slurm's list of variables for the command
        given = [m for part in value.split(",") if (m := _ENV.match(part))]
        return [c for m in given for c in env_cues(m.group(1), m.group(2), pos, ctx, alone=False)]
    if _MUTE.match(flag) or len(value) > 200 or ("{" in value and "${" not in value):
        return []
    if mentioned(flag) or _OTHER_END.search(flag) or not names.own(flag):
        return []  # the address of the other side, a kernel's switch, what is left out
    if flag and (_TUNES.search(flag) or (_ADDRESS.search(value) and not _OWN_ADDRESS.search(flag))):
        return []  # how a phase runs in any server; a server that this one is told of
    if _PORT_FLAG.match(flag):
        number = value.split(":")[0] if flag in {"-p", "--publish"} else value
        key = "$" + m.group(1) if (m := re.match(r"\$\{?(\w+)", number)) else number
        if (side := ctx.proxied(pos).get(key)) is not None:
            return [kinds.PORT.cue(side, f"{words} is the proxy's {side.value} server", pos)]
    if _HOST_FLAG.match(flag) and (side := ctx.proxied(pos).get(value.lower())):
        return [kinds.HOST.cue(side, f"{words} is the proxy's {side.value} server", pos)]
    if (
        (("$" in value or "{{" in value) and (not flag or flag.startswith("--") or flag in _SHORT))
        or _NAMING.match(flag)
        or _PATHLIKE.search(value)
        or (not flag and ("/" not in value or _OBJECT.match(value) or _ON_HOST.match(value)))
    ):
        return _named(value, words, pos, ctx)
    return []


def _named(value: str, words: str, pos: int, ctx: FileCtx) -> list[Cue]:
    """The cue of a value that is a name of prefill or decode: a container's, a log file's, any other argument's."""
    if "\n" in value or " " in value.strip() or (_is_address(value) and not words.startswith("-")):
        return []
    found = ctx.sides_of(value) - {Side.ENCODE, Side.AGGREGATED}
    if len(found) != 1 or is_truth(value):
        return []
    if re.match(r"--(?:name|container-name)[= ]", words):
        kind = kinds.CONTAINER_NAME
    else:
        kind = kinds.LOG_FILE if _PATHLIKE.search(value) else kinds.ARGUMENT
    return [kind.cue(next(iter(found)), words[:80], pos)]


def is_truth(word: str) -> bool:
    """Whether a word is filled in with a yes or no, which says nothing of the side that it is called by: ``"$IS_PREFILL"``."""
    return _FILLED.search(word) is not None and names.holds_truth(word)


def other_end(name: str) -> bool:
    """Whether a flag, variable or label is about the other end of a connection (``upstream``, ``PEER_HOST``)."""
    return _OTHER_END.search(name) is not None


def _is_address(value: str) -> bool:
    """Whether a plain word is ``host:port``: the address of another server, as ``wait-for-it`` takes it."""
    return re.fullmatch(r"[\w.-]+:\d+", value) is not None


def redirect_cues(targets: Iterable[Word], ctx: FileCtx) -> list[Cue]:
    """The cues of the files a command writes to."""
    out: list[Cue] = []
    for w in targets:
        found = ctx.sides_of(w.s) - {Side.ENCODE, Side.AGGREGATED}
        if len(found) == 1:
            out.append(kinds.LOG_FILE.cue(next(iter(found)), w.s[:80], w.pos))
    return out
