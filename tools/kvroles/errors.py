"""How the tools fail: one exit code table and one exception that reads as a paragraph."""

from __future__ import annotations

import errno
from collections.abc import Callable
from enum import IntEnum

from kvroles.said import said


class Exit(IntEnum):
    """Exit codes, the same for every tool."""

    DONE = 0  # done, or nothing to do
    DOES_NOT_APPLY = 1  # a topic does not fit the tree, or something is left to do (--check)
    USAGE = 2  # the command line, or an argument in it, is wrong
    UNPROVEN = 3  # a hash or the contract does not hold
    NO_SOURCE = 4  # the source cannot be had


class KvRolesError(Exception):
    """A failure a user can cause or meet; tools print it as one paragraph and exit with ``code``.

    ``what`` says what went wrong and where, ``expected``/``found`` the two sides of a failed comparison, and
    ``fix`` the command or step that gets out of it.
    """

    def __init__(
        self,
        code: Exit,
        what: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.code = code
        self.what = what
        self.expected = expected
        self.found = found
        self.fix = fix
        super().__init__(str(self))

    def __reduce__(self) -> tuple[object, ...]:
        """Its parts, for the process that hears of it from another: not the paragraph they make."""
        return _again, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        parts = [self.what.removesuffix(".") + "."]
        if self.expected is not None:
            parts.append(f"Expected {self.expected.removesuffix('.')}.")  # removes one dot: "..." at the end stays
        if self.found is not None:
            parts.append(f"Found {self.found.removesuffix('.')}.")
        if self.fix is not None:
            parts.append(self.fix.removesuffix(".") + ".")
        return said(" ".join(" ".join(parts).split()))


def _again(kind: type[KvRolesError], args: tuple[object, ...], parts: dict[str, object]) -> KvRolesError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(parts)
    return error


class UsageError(KvRolesError):
    """The command line is wrong, or names something that does not exist."""

    def __init__(self, what: str, **kw: str | None) -> None:
        super().__init__(Exit.USAGE, what, **kw)


class DoesNotApply(KvRolesError):  # noqa: N818 - an outcome with its own exit code, not a bug
    """A topic does not fit the tree."""

    def __init__(self, what: str, **kw: str | None) -> None:
        super().__init__(Exit.DOES_NOT_APPLY, what, **kw)


class Unproven(KvRolesError):  # noqa: N818
    """A hash, or the contract, does not hold."""

    def __init__(self, what: str, **kw: str | None) -> None:
        super().__init__(Exit.UNPROVEN, what, **kw)


class NoSource(KvRolesError):  # noqa: N818
    """The source cannot be had: no network, no such file, a broken download."""

    def __init__(self, what: str, **kw: str | None) -> None:
        super().__init__(Exit.NO_SOURCE, what, **kw)


def os_error(
    what: str,
    e: OSError,
    fix: str | None = None,
    kind: Callable[..., KvRolesError] = DoesNotApply,
    *,
    unchanged: bool = True,
) -> KvRolesError:
    """An operating system refusal (disk full, read-only, no permission) in our words; ``fix`` is how to do without.

    ``unchanged``: whatever this run was about is as it was before.
    """
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "Free some space (a patched tree takes about 200 MB) and run again"
    elif e.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        access = "read access" if what.endswith((" read", " opened")) else "write access"
        if what.endswith(" ended"):
            access = "access"
        other = f"or {fix[0].lower()}{fix[1:]}" if fix else "and run again"
        fix = f"Give yourself {access} there, {other}"
    if fix and unchanged:
        fix = f"{fix}; nothing was changed"
    where = f" ({e.filename})" if isinstance(e.filename, str) and e.filename not in what else ""
    return kind(f"{what}{where}: {e.strerror or e}", fix=fix)
