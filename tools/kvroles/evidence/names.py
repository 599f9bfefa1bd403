"""Which side a name is of: identifiers, paths, labels, and the values of settings that mean a side.

A compound name speaks only if the rest of it is known to be neutral: ``vllm-prefill-0`` is of prefill; ``non-prefill``, and
any other word nobody has listed, is of none.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from string import ascii_lowercase, ascii_uppercase

from kvroles.evidence.frames import Side
from kvroles.evidence.knowledge import lexicon, rows
from kvroles.evidence.patterns import regex

# What turns a switch on and off, and the words that a truth begins with (``is_prefill``).
ON = frozenset({"true", "yes", "on", "1"})
OFF = frozenset({"false", "no", "off", "0"})
ASKS = frozenset({"is", "as", "run"})
P, D, AGG, ENC = Side.PREFILL, Side.DECODE, Side.AGGREGATED, Side.ENCODE
PD = (P, D)

_WORD = regex(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_NAMES: dict[str, Side] = {word: Side(side) for word, side, _ in rows(lexicon.SIDES)}
_TRADES = frozenset(word for word, _, takes in rows(lexicon.SIDES) if takes == "company")
_DONE_WITH = frozenset(lexicon.DONE_WITH.split())
_NEUTRAL = frozenset(word for row in rows(lexicon.NEUTRAL) for word in row[0].split())
_TURNED = frozenset(lexicon.TURNED.split())
_LOGIC = frozenset(lexicon.LOGIC.split())
_FOREIGN = frozenset(lexicon.FOREIGN.split())
_TOPICS = frozenset(lexicon.TOPICS.split())
_FACING = frozenset(lexicon.FACING.split())
_LEFT_OUT = frozenset(lexicon.LEFT_OUT.split())
_REPLACED = frozenset(lexicon.REPLACED.split())
_REPLACEABLE = frozenset(lexicon.REPLACEABLE.split())
_SHARED = frozenset(lexicon.SHARED.split())
_CONFIGS = frozenset(lexicon.CONFIGS.split())
_ASKING = frozenset(lexicon.ASKING.split())
_YES_OR_NO = frozenset(lexicon.YES_OR_NO.split())
_COUNTING = frozenset(lexicon.COUNTING.split())
_PHASES = frozenset((word, where, Side(side)) for word, where, sides in rows(lexicon.PHASES) for side in sides.split())
_TUNING = frozenset(lexicon.TUNING.split())
# "disaggregated prefill" is the name of the feature, of both sides.
_DISAGG = frozenset({"disagg", "disaggregated", "disaggregate", "disaggregation"})


@lru_cache(maxsize=4096)
def split_name(name: str) -> tuple[str, ...]:
    """The lower-case words of an identifier, path or label: ``VllmPrefillWorker`` -> vllm, prefill, worker."""
    return tuple(w.lower() for w in _WORD.findall(name))


@lru_cache(maxsize=2048)
def mentioned(name: str, *, disagg_pair: bool = False) -> frozenset[Side]:
    """The sides an identifier speaks of, whatever else it says of them.

    ``disagg_pair`` says that a ``disagg…decode`` exists beside it, which makes ``disagg…prefill`` one of two sides and
    not the feature's name.
    """
    words = split_name(name)
    found: set[Side] = set()
    for i, word in enumerate(words):
        side = _NAMES.get(word)
        if side is None:
            continue
        before = words[i - 1] if i else ""
        before = words[i - 2] + before if before.isdigit() and i > 1 else before  # base64, h264
        after = words[i + 1] if i + 1 < len(words) else ""
        if (before, "before", side) in _PHASES or (after, "after", side) in _PHASES:
            continue
        if side is P and before in _DISAGG and not disagg_pair and after not in _SERVER_NOUNS:
            continue
        found.add(side)
    if found >= _BOTH:
        found.discard(AGG)  # both sides named: not one server
    return frozenset(found)


def tunes(name: str) -> bool:
    """Whether a name is that of a setting by which an engine tunes a phase of inference, and names no server."""
    return "-".join(split_name(name)) in _TUNING


def name_sides(name: str, *, disagg_pair: bool = False) -> frozenset[Side]:
    """The sides that an identifier is of. One side alone needs that the rest of its words are neutral, by the table of such
    words; ``disagg_pair`` is as in ``mentioned``."""
    found = mentioned(name, disagg_pair=disagg_pair)
    if len(found) == 1 and found <= _BOTH and unknown_words(name):
        return frozenset()
    return found


_BOTH = frozenset(PD)


@lru_cache(maxsize=2048)
def unknown_words(name: str) -> frozenset[str]:
    """The words beside the side's that are not known to be neutral, in those parts of a path that name a side."""
    out: set[str] = set()
    for part in name.split("/"):
        words = split_name(part)
        if any(w in _NAMES for w in words):
            if _DENIED.search(part):
                return frozenset({part})
            out.update(w for w in words if len(w) > 1 and w not in _NAMES and w not in _NEUTRAL and not w.isdigit())
            out.update(w for w, behind in pairwise(words) if w in _DONE_WITH and behind in _NAMES)
    return frozenset(out)


_DENIED = regex(r"[!~^]|\(\?|[\w-]\(|\$\([\w-]+\s")  # of a selector, a pattern, a call: no name


# What a template or a shell fills in: no part of what a name says itself.
_FILLED = regex(r"\{\{.*?\}\}|\{%.*?%\}|__[\w.]+?__|\$\{[^{}]*\}|\$\([^()]*\)|\$\w+")


def of_unknown(name: str) -> bool:
    """Whether a word that nobody has listed stands behind a side's and says what the name is of (``prefill_form``); of
    ``prefill-acme-worker`` the word for a server does."""
    words = split_name(_FILLED.sub(" ", name.rstrip("/").rsplit("/", 1)[-1]))
    side = next((i for i, w in enumerate(words) if w in _NAMES), len(words))
    behind = words[side + 1 :]
    return not set(behind) & _SERVERS and bool(unknown_words(name) & set(behind))


def of_trade(name: str) -> bool:
    """Whether a name is of its side by a word that other trades use too (producer, consumer), and does not say whose."""
    words = split_name(name)
    sides = [i for i, w in enumerate(words) if w in _NAMES]
    return len(sides) > 0 and all(words[i] in _TRADES and (not i or words[i - 1] != "kv") for i in sides)


_TWIN_WORDS = {
    "prefill": ("decode",), "prefiller": ("decoder", "decode"), "prefillers": ("decoders",), "decode": ("prefill",),
    "decoder": ("prefiller", "prefill"), "decoders": ("prefillers",), "producer": ("consumer",), "consumer": ("producer",),
    "p": ("d",), "d": ("p",), "prefills": ("decodes",), "decodes": ("prefills",),
}  # fmt: skip


def twins(name: str) -> list[str]:
    """The names that differ from ``name`` in nothing but the side: by its word if there is one, else by the letter P or D."""
    found = list(_WORD.finditer(name))
    words = [m.group().lower() for m in found]
    sided = [i for i, w in enumerate(words) if w in _TWIN_WORDS and len(w) > 1]
    sided = sided or [i for i, w in enumerate(words) if w in {"p", "d"}]
    if len(sided) != 1:
        return []
    m = found[sided[0]]
    out: list[str] = []
    for twin in _TWIN_WORDS[words[sided[0]]]:
        own = m.group()
        cased = twin.upper() if own.isupper() else twin.capitalize() if own[0].isupper() else twin
        out.append(name[: m.start()] + cased + name[m.end() :])
    return out


def other_letters(name: str) -> list[str]:
    """The names that differ from ``name`` in nothing but another letter where its P or D stands; E is an encoder's."""
    found = [m for m in _WORD.finditer(name) if m.group().lower() in {"p", "d"}]
    if len(found) != 1:
        return []
    m = found[0]
    letters = ascii_uppercase if m.group().isupper() else ascii_lowercase
    return [name[: m.start()] + other + name[m.end() :] for other in letters if other.lower() not in "pde"]


def lettered(name: str) -> Side | None:
    """The side that a single letter P or D in a name may mean; whether it does, its twin has to say."""
    letters = {w for w in split_name(name) if w in {"p", "d"}}
    return None if len(letters) != 1 else P if letters == {"p"} else D


def names_only(name: str, *, twin: bool = False) -> bool:
    """Whether the words beside a name's side can be those of a product or a team: none of them is one of logic, or tells of
    another server, of what faces one or of a phase as a subject. Of a name that has its ``twin``, ``for_prefill`` says only whose
    it is."""
    found = unknown_words(name) - ({"for"} if twin else set())
    return not found & (_LOGIC | _FOREIGN | _FACING | _TOPICS | _DONE_WITH) and not any(
        _DENIED.search(w) for w in found
    )


def side_word(word: str) -> Side | None:
    """The side that a value is, if it is a name of one side and of nothing else."""
    found = name_sides(word)
    return next(iter(found)) if len(found) == 1 else None


def condition_side(name: str) -> Side | None:
    """The side that a name being true means: ``is_prefill``, ``PREFILL_ONLY``; nothing that may ask for something else."""
    words = split_name(name)
    sides = {_NAMES[w] for w in words if w in _NAMES and w not in _TRADES} & _BOTH
    if len(sides) != 1 or any(w not in _NAMES and w not in _ASKING and not w.isdigit() for w in words):
        return None
    return sides.pop()


def holds_truth(placeholder: str) -> bool:
    """Whether what stands for ``placeholder`` is a yes or no, by a name in it: ``${IS_PREFILL}``, ``{{ .Values.prefillOnly }}``,
    the same masked."""
    for name in _IDENTIFIER.findall(placeholder):
        words = split_name(name)
        sides = [i for i, w in enumerate(words) if w in _NAMES]
        if sides and (any(i and words[i - 1] in ASKS for i in sides) or not _YES_OR_NO.isdisjoint(words)):
            return True
    return False


_IDENTIFIER = regex(r"[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)*")


def count_side(name: str) -> Side | None:
    """The side whose servers a name counts: ``NUM_PREFILL_NODES``."""
    words = split_name(name)
    found = mentioned(name) & _BOTH
    counted = any(w in _COUNTING for w in words) and counts(name.rsplit(".", 1)[-1])
    return next(iter(found)) if len(found) == 1 and counted else None


# What servers are called, and what there is one of for each.
_SERVERS = frozenset(
    {"addr", "addrs", "address", "addresses", "container", "containers", "engine", "engines", "gpu", "gpus", "host", "hosts",
     "instance", "instances", "ip", "ips", "list", "machine", "machines", "node", "nodes", "pod", "pods", "pool", "pools", "port",
     "ports", "process", "processes", "procs", "rank", "ranks", "replica", "replicas", "server", "servers", "task", "tasks",
     "url", "urls", "vllm", "worker", "workers"}
)  # fmt: skip


def servers_side(name: str) -> Side | None:
    """The side of the servers that a name lists: ``prefill_ranks``, ``decodeHosts``."""
    *before, last = split_name(name) or ("",)
    if last not in _SERVERS or not last.endswith("s") or not all(w in _NAMES or w in _NEUTRAL for w in before):
        return None
    found = mentioned(name) & _BOTH
    return next(iter(found)) if len(found) == 1 else None


def counts(name: str) -> bool:
    """Whether a number of this name can be that of servers, or of what there is one of for each: ``DECODE_WORKERS``. What has a
    dash in it may be a difference."""
    return "-" not in name and all(
        w in _NAMES or w in _COUNTING or w in _SERVERS or w.isdigit() or len(w) == 1 for w in split_name(name)
    )


# Behind "disaggregated prefill" these make it a server of that side, and not the feature.
_SERVER_NOUNS = frozenset(
    [
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
    ]
)


# --- values of flags and labels that mean a side ---------------------------------------------------------------------

_ROLE_VALUES: dict[str, Side] = {value: Side(side) for value, side in rows(lexicon.VALUES)}


# Values that other trades use as well, and letters, with the one that has to be there too.
TRADE_ROLES = {
    "p": "d", "d": "p", "producer": "consumer", "consumer": "producer", "sender": "receiver", "receiver": "sender",
    "recver": "sender",
}  # fmt: skip


# What every name and value of a side has in it, but for one of a single letter.
_STEMS = {side: [w for w, of in (_NAMES | _ROLE_VALUES).items() if of is side and len(w) > 1] for side in PD}
_LETTERS = {
    P: regex(r"(?<![A-Z])P(?![a-z])|(?<![A-Za-z])p(?![a-z])"),
    D: regex(r"(?<![A-Z])D(?![a-z])|(?<![A-Za-z])d(?![a-z])"),
}


def may_name(side: Side, text: str) -> bool:
    """Whether a text may hold a name or a value of a side: it has a word or a letter of it somewhere."""
    return any(map(text.lower().__contains__, _STEMS[side])) or _LETTERS[side].search(text) is not None


def role_value(value: str) -> Side | None:
    """The side a role-like setting's value means (``prefill``, ``SENDER``, ``agg``), or None."""
    return _ROLE_VALUES.get(value.strip().strip("\"'").lower())


_ROLE_KEY = regex(
    r"(?i)^(?:.*[/._-])?(?:role|roles|mode|disaggregation[-_]?mode|disagg(?:regation)?[-_]?(?:mode|role|type)|worker[-_]?(?:type|role|mode)"
    r"|sub[-_]?component[-_]?type|component[-_]?type|node[-_]?(?:type|role)|instance[-_]?(?:type|role)|server[-_]?(?:type|role|mode)"
    r"|engine[-_]?(?:role|type)|pd[-_]?role|pd[-_]?mode|nixl[-_]?role|serving[-_]?role|side|stage|phase|type|kind[-_]?of|group)$"
)


@lru_cache(maxsize=2048)
def role_key(key: str) -> bool:
    """Whether a key, flag or variable is of the kind whose value says the side."""
    return _ROLE_KEY.match(key.strip("-")) is not None and own(key)


@lru_cache(maxsize=2048)
def own(name: str) -> bool:
    """Whether what a name holds can be this server's own side: no word of it leaves a side out (``exclude_role``) or means
    another server's (``peer_role``), and of a role's name (``acme_role``) each word is known to be neutral."""
    parts = name.rstrip("./").split("/")[-1].split(".")
    if not _may_be_own(parts):
        return False
    words = split_name(parts[-1])
    if len(words) < 2 or words[-1].removesuffix("s") not in _ROLE_WORDS:
        return True
    return all(w in _NEUTRAL or w in _NAMES or len(w) == 1 or w.isdigit() for w in words)


def _may_be_own(parts: list[str]) -> bool:
    return not any(w in _LOGIC or w in _FOREIGN or w in _REPLACED for part in parts for w in split_name(part))


def may_be_role_key(key: str) -> bool:
    """Whether a key may be one whose value says the side, but for a word that is not known (``acme_role``): too little to act
    on."""
    return _ROLE_KEY.match(key.strip("-")) is not None and _may_be_own(key.split("/")[-1].split("."))


def plain_word(word: str) -> bool:
    """Whether a word, in lower case, says nothing of a side that it stands beside: a product's, a machine's, a noun."""
    return word in _NEUTRAL


def topic(word: str) -> bool:
    """Whether a word, in lower case, makes the phase that it stands beside a subject, and no server."""
    return word in _TOPICS


def first_named(names: Iterable[str]) -> str:
    """The first of some names that names prefill or decode; empty if none does."""
    return next((name for name in names if mentioned(name) & set(PD)), "")


def of_another(name: str) -> bool:
    """Whether what a name holds for each side is another server's: of ``peer_kv`` and ``INVERSE`` the value for prefill is
    decode's."""
    return any(w in _FOREIGN or w in _TURNED for w in split_name(name))


_DISTINCT = regex(r"(?=\w*[a-z\d][A-Z_-]|\w*[A-Z]_|[\w-]*-)[A-Za-z_][\w-]{4,80}")


def is_distinct(name: str) -> bool:
    """Whether a name is no common word: in whatever file it stands, it means the same."""
    return _DISTINCT.fullmatch(name) is not None


def leaves_out(name: str) -> bool:
    """Whether what a name holds is left out (``exclude`` of a matrix): a config in there is of no server."""
    words = split_name(name)
    return bool(words) and all(w in _LEFT_OUT for w in words)


def turns(name: str) -> bool:
    """Whether a key or flag turns the side round that stands beside it (``invert: true``): it is of such words alone."""
    words = split_name(name)
    return bool(words) and all(w in _TURNED for w in words)


def holds_defaults(name: str, *, function: bool = False) -> bool:
    """Whether what a name holds is there to be replaced (``defaults``, ``base_config``); a ``function`` gives such settings only
    where its last word says so: ``default_config``, and not ``launch_default_server``."""
    words = split_name(name)
    if not any(w in _REPLACEABLE for w in words):
        return False
    return not function or words[-1] in _REPLACEABLE or words[-1] in _CONFIGS


def is_shared(name: str) -> bool:
    """Whether what a key holds is for all servers, by its name (``global``, ``common_args``), which is of no side."""
    return any(w in _SHARED for w in split_name(name)) and not mentioned(name)


_OPERATOR = regex(r"![=~]*|<>|[~^]")


def denies(word: str) -> bool:
    """Whether a word beside a side's leaves that side out (``not``, ``!=``, ``except``) or tells of another server (``peer``)."""
    words = split_name(word)
    return all(w in _LOGIC or w in _FOREIGN for w in words) if words else _OPERATOR.fullmatch(word) is not None


def for_role(name: str) -> bool:
    """Whether a name is one of a role, by its last word: ``skipRole``."""
    return split_name(name)[-1:] != () and split_name(name)[-1].removesuffix("s") in _ROLE_WORDS


def far_address(name: str, command: str) -> bool:
    """Whether a name is of an address that ``command`` is not known to go to: its server may be there, or only speak to it."""
    last = next((w for w in reversed(split_name(name)) if not w.isdigit()), "")
    return last in _ADDRESSES and not goes(command)


def goes(command: str) -> bool:
    """Whether a command goes to a host that it is given, and runs something there."""
    return not _GOES.isdisjoint(split_name(command))


_ADDRESSES = frozenset(
    {
        "addr",
        "addrs",
        "address",
        "addresses",
        "endpoint",
        "endpoints",
        "host",
        "hosts",
        "ip",
        "ips",
        "uri",
        "uris",
        "url",
        "urls",
    }
)
_GOES = frozenset(
    {"ansible", "clush", "mosh", "on", "parallel", "pdsh", "pssh", "remote", "rsh", "ssh", "sshpass", "srun"}
)


def passed_through(name: str) -> str:
    """The last word of a name, without its plural, if it is of what one server goes through: a phase, a stage, a step."""
    last = "".join(split_name(name)[-1:]).removesuffix("s")
    return last if last in _PASSED_THROUGH else ""


_PASSED_THROUGH = frozenset({"phase", "stage", "step"})
_ROLE_WORDS = frozenset({"role", "mode", "type", "side", "stage", "phase", "kind"})
