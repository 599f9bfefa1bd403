"""An input's bytes as a series of small choices, so that a fuzzer's mutations reach behind checksums and quotes."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1 << 70, 1e308, float("inf"), "", "..", "../../up", "/abs", "a\0b", "\ud800", "x" * 300, [], {}, [[]],
    {"a": 1}, ["before"], {"before": None, "after": None}, "0" * 64, "0.22.1", "vllm/a.py", ".kv-roles/journal.json",
)  # fmt: skip


class Feed:
    """Hands out what ``data`` holds, and zeros once it is used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.byte() % len(choices)]

    def take(self, n: int) -> bytes:
        out = self._data[self._at : self._at + n]
        self._at += n
        return out

    def rest(self) -> bytes:
        return self.take(len(self._data))

    @property
    def left(self) -> bool:
        return self._at < len(self._data)


def changed_json(feed: Feed, seed: bytes) -> bytes:
    """The JSON text ``seed`` with up to six of its values, keys or whole branches replaced by odd ones."""
    root = [json.loads(seed)]
    for _ in range(1 + feed.byte() % 6):
        here: Any = root
        while True:
            if isinstance(here, dict) and here:
                key: Any = list(here)[feed.byte() % len(here)]
            elif isinstance(here, list) and here:
                key = feed.byte() % len(here)
            else:
                break
            if isinstance(here[key], (dict, list)) and here[key] and feed.byte() % 4:
                here = here[key]
                continue
            match feed.byte() % 4:
                case 0:
                    del here[key]
                case 1:
                    here[key] = feed.take(1 + feed.byte() % 40).decode("utf-8", "surrogateescape")
                case 2 if isinstance(here, dict):
                    here[str(feed.one_of(ODD))] = here.pop(key)
                case _:
                    here[key] = copy.deepcopy(feed.one_of(ODD))
            break
    out = json.dumps(root[0] if root else None)
    return (out[: feed.byte() * 4] if feed.byte() > 250 else out).encode()
