"""A role among the words of a command or list: as a flag, an override (``+a.kv_role=kv_both``), a variable (``KV_ROLE=...``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kvroles.evidence import argv
from kvroles.evidence.patterns import regex
from kvroles.evidence.text import TOKEN
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import defaults
from kvroles.migrate.readers.base import File

# ``key=value``, alone or one of several that commas part, as Helm and Hydra take them.
_PART = regex(r"(?:^|(?<!\\),)[-+~]*([A-Za-z_][\w.@/\[\]-]*)=[\"']?((?:[^,\"']|\\,)*)")
_KEY_BEFORE = regex(r"(?:^|(?<!\\),)([-+~]*[A-Za-z_][\w.@/\[\]-]*)=[\"']?$")
# A flag that sets a variable or a setting of something else: ``--env=KV_ROLE=...``, ``--set=kv.role=...``.
_CARRIES = regex(
    r"--?(?:e|env|export|set|set-string|set-json|from-literal|build-arg|var|D|v|overrides?)=[\"']?(?=[A-Za-z_])"
)
_VALUE_AFTER = regex(r"[\"']?\s*(?:,[-+~]*[A-Za-z_][\w.@/\[\]-]*=|[,;]?$)")


_DEFAULT = regex(r"=[\"']?(\$\{[^{}]*\}|\{\{[^{}]*\}\})")  # of a value: ``KV_ROLE=${KV_ROLE:-kv_both}``
REACH = 200  # words before and behind: nobody writes a longer command by hand


class Set(NamedTuple):
    """A role that words set: its key as written, the connector beside it, and the other settings beside it."""

    key: str
    connector: str | None
    extra: dict[str, str]


def role_set(words: Sequence[argv.Word], index: int, file: File) -> Set | None:
    """The role that word ``index``, which holds ``kv_both``, sets; None if it is no role's value."""
    word = words[index].s
    at, end = word.index(TOKEN), word.index(TOKEN) + len(TOKEN)
    if (m := _DEFAULT.search(word)) is not None and defaults.variable_of(m.group(1)) is not None:
        at, end = m.span(1)
    if _VALUE_AFTER.match(word, end) is None:
        return None
    start = carried.end() if (carried := _CARRIES.match(word)) is not None else 0
    if (m := _KEY_BEFORE.search(word[start:at])) is not None:
        key = m.group(1)
    else:
        key = words[index - 1].s if index > 0 and word.strip() == TOKEN else ""
        if not key.startswith("-"):
            return None
    if not connectors.is_role_key(key):
        return None
    near = [w.s for w in words[max(0, index - REACH) : index + REACH]]
    return Set(key, file.connector_beside(key, pairs(near)), settings(near))


def pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What words set: each ``key=value``, and each flag with the word behind it."""
    for i, word in enumerate(words):
        carried = _CARRIES.match(word)
        parts = _PART.findall(word[carried.end() :] if carried is not None else word)
        yield from parts
        if not parts and word.startswith("-") and i + 1 < len(words):
            yield word.lstrip("-"), words[i + 1]


def settings(words: Sequence[str]) -> dict[str, str]:
    """The settings that the dotted flags of a command make, by their last key."""
    flags = argv.flags_of([argv.Word(w, -1) for w in words])
    return {k.rsplit(".", 1)[-1].replace("-", "_"): v for k, v in flags.items() if k.startswith("kv-transfer-config.")}
