"""A role as the bare value of a key: ``KV_ROLE=kv_both`` in a unit, an ini file, a Makefile, a Dockerfile."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from kvroles.evidence.data import Scalar
from kvroles.evidence.frames import Scope, Site
from kvroles.evidence.text import TOKEN, Text
from kvroles.migrate.connector import connectors
from kvroles.migrate.readers import defaults
from kvroles.migrate.readers.base import MANY, File
from kvroles.migrate.readers.mapping import objects


def role(key: str, value: Text, pairs: Iterable[tuple[str, str]], scope: Scope, file: File) -> Site | None:
    """The site of ``key``'s value if that is ``kv_both`` and no more, or is unless another is given; ``pairs`` are the
    settings beside it. None if there is more to the value than that."""
    bare = plain(value.s)
    if bare != TOKEN and defaults.variable_of(bare) is None:
        return None
    k = value.s.index(TOKEN)
    if not connectors.is_role_key(key):
        return Site(value.at(k), scope, "value")
    connector = file.connector_beside(key, pairs)
    return Site(value.at(k), scope, "role", connector, exact=value.exact(k, len(TOKEN)))


def plain(value: str) -> str:
    """A value without the blanks and quotes round it."""
    return value.strip().strip("\"'")


@lru_cache(maxsize=8)  # asked once for each place that sets what is used
def used_in(text: Text, use: str) -> str | None:
    """The connector of the objects in ``text`` whose role is what the pattern ``use`` finds; None if they disagree."""
    found: set[str | None] = set()
    for m in islice(re.finditer(use, text.s), MANY):
        obj = objects.nearest(text, m.start())
        roles = [v for k, v in obj.pairs if connectors.is_role_key(k.value)] if obj is not None else []
        if obj is not None and any(isinstance(v, Scalar) and re.search(use, v.value) for v in roles):
            found.add(connectors.connector_of(obj))
    if len(found) > 1 and all(connectors.kind_of(name) is connectors.Kind.OTHER for name in found):
        return min(name for name in found if name is not None)  # whichever it is
    return found.pop() if len(found) == 1 else None
