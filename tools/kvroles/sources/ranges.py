"""A file on a server, read in parts."""

from __future__ import annotations

import io
import os

from kvroles.errors import NoSource
from kvroles.sources import address
from kvroles.sources.attempts import Again, retrying
from kvroles.sources.http import opened, pieces_of


class RangeFile(io.RawIOBase):
    """A file on a server, read in blocks by range requests (RFC 9110, 14.2), for ``zipfile`` to find one member in."""

    _BLOCK = 1 << 16

    def __init__(self, url: str, size: int) -> None:
        """``size`` is the file's length in bytes, known beforehand."""
        self._url = url
        self._size = size
        self._at = 0
        self._blocks: dict[int, bytes] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def read(self, n: int = -1) -> bytes:
        end = self._size if n < 0 else min(self._at + n, self._size)
        out = bytearray()
        while self._at < end:
            number, skip = divmod(self._at, self._BLOCK)
            piece = self._block(number)[skip : skip + end - self._at]
            out += piece
            self._at += len(piece)
        return bytes(out)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start = number * self._BLOCK
            end = min(start + self._BLOCK, self._size)

            def attempt() -> bytes:
                with opened(self._url, {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}) as answer:
                    if answer.status != 206:
                        raise NoSource(
                            f"{address.shown(self._url)} cannot be read in parts (it answers {answer.status})",
                            fix="Name another index with --index-url or PIP_INDEX_URL",
                        )
                    data = b"".join(pieces_of(answer, end - start))
                    if len(data) != end - start:
                        raise Again(f"it sent {len(data)} of {end - start} bytes")
                    return data

            self._blocks[number] = retrying(self._url, attempt, "Check the network")
        return self._blocks[number]
