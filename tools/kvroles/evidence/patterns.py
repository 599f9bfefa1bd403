"""Regular expressions that are compiled when they are first asked.

To compile all of them takes longer than to read a hundred files, and a run needs but some.
"""

from __future__ import annotations

import re
from typing import cast

_METHODS = ("search", "match", "fullmatch", "finditer", "findall", "split", "sub")


class _Late:
    """Takes over the methods of the compiled expression with the first that is asked for: from then on it costs nothing."""

    def __init__(self, pattern: str, flags: int) -> None:
        self.pattern = pattern
        self.flags = flags

    def __getattr__(self, name: str) -> object:
        if name not in _METHODS:
            raise AttributeError(name)
        compiled = re.compile(self.pattern, self.flags)
        for method in _METHODS:
            setattr(self, method, getattr(compiled, method))
        return getattr(self, name)


def regex(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """The regular expression ``pattern``, compiled when it is first asked; what it raises of a bad one, it raises then."""
    return cast("re.Pattern[str]", _Late(pattern, int(flags)))
