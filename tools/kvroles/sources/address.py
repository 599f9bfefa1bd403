"""Addresses that a user, an index, a server or a clone gave: parsed whole before any of it is shown or asked.

What is shown of an address is scheme, host, port and path: credentials stand before the host, and signatures and tokens in
the query. What cannot be parsed is named by its kind: nobody can say where in it a password stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlsplit

from kvroles.said import said

_NEVER = re.compile('[\x00-\x20\x7f-\xa0\\\\<>"\u2028\u2029\ud800-\udfff]')
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """A URL of a host, or of a file. ``host`` is in ASCII; ``user`` and ``password`` are as they are meant, not quoted."""

    scheme: str
    host: str
    port: int | None
    path: str
    query: str = field(repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def _bare(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}"

    @property
    def url(self) -> str:
        """What is asked for: without credentials."""
        return self._bare + (f"?{self.query}" if self.query else "")

    @property
    def whole(self) -> str:
        """With credentials, for ``parsed`` in another place; never for a message."""
        if self.user is None:
            return self.url
        pair = quote(self.user, safe="") + ("" if self.password is None else f":{quote(self.password, safe='')}")
        return self.url.replace("://", f"://{pair}@", 1)

    def below(self, name: str, end: str = "/") -> Address:
        """The address of ``name`` below this one."""
        return replace(self, path=f"{self.path.rstrip('/')}/{name}{end}")

    @property
    def shown(self) -> str:
        """What is said of it."""
        return said(self._bare) + ("?..." if self.query else "")

    def takes_credentials_of(self, other: Address) -> bool:
        """Whether credentials for ``other`` may go here too: the same host, and the same port or http made https.

        These are the rules of requests' ``should_strip_auth``, and so of pip.
        """
        if self.host.lower() != other.host.lower():
            return False
        here, there = (a.port or _PORTS.get(a.scheme) for a in (self, other))
        if (other.scheme, there, self.scheme, here) == ("http", 80, "https", 443):
            return True
        return (self.scheme, here) == (other.scheme, there)


def parsed(url: str, schemes: tuple[str, ...] = ("http", "https", "file")) -> Address | None:
    """The address that ``url`` is, or None: another scheme, no host, a port out of range, a character no address holds.

    An ``@`` in the path and none before it is refused: what stands before it may be the half of a password with a slash.
    """
    if _NEVER.search(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        if not host.isascii():
            host = host.encode("idna").decode()
    except (ValueError, UnicodeError):
        return None
    scheme = parts.scheme.lower()
    if scheme not in schemes or not url[len(scheme) :].startswith("://"):
        return None
    if ":" in host:
        host = f"[{host}]"
    if scheme == "file":
        return Address(scheme, host, None, parts.path, "") if "@" not in parts.netloc else None
    if not _HOST.fullmatch(host) or host.startswith("-") or port == 0:
        return None
    if "@" in parts.path and "@" not in parts.netloc:
        return None
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return Address(scheme, host, port, path, query, user, password)


def shown(value: str) -> str:
    """What may be said of ``value``, an address or a path that somebody gave."""
    found = parsed(value, ("http", "https", "file", "ssh", "git"))
    if found is not None:
        return found.shown
    if value.startswith(("/", "./", "../")) or not re.search(r"[:@?]", value):
        return repr(said(value))
    return not_shown(value)


def not_shown(value: str) -> str:
    """What ``value``, which is no address that can be asked, is called."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://", value)
    kind = f"one of scheme {scheme[1].lower()}" if scheme else "no whole address"
    return f"that was given ({kind}; not shown, for it may hold a password)"


def without_secrets(text: str) -> str:
    """``text`` of another program, with what may hold a secret taken out of the addresses in it."""
    return re.sub(r"\S*(?:://|@)\S*", lambda m: _of_word(m[0]), text)


def _of_word(word: str) -> str:
    bare = word.strip("'\"(),.:;<>")
    before, _, after = word.partition(bare)
    found = parsed(bare, ("http", "https", "file", "ssh", "git"))
    return f"{before}{found.shown if found else '(an address)'}{after}"


@dataclass(frozen=True)
class Repository:
    """The address of a git repository: what git is told, what is said of it, and what goes to git by its environment."""

    address: str
    shown: str
    credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # settings of git
    secrets: dict[str, str] = field(default_factory=dict, repr=False)  # environment


_SCP = re.compile(r"(?P<user>\w[\w.-]*)@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<path>[^:@?]+)")
_HELPER = (
    '!f() { test "$1" != get || printf \'username=%s\\npassword=%s\\n\' "$KV_ROLES_USER" "$KV_ROLES_PASSWORD"; }; f'
)


def of_repository(url: str) -> Repository | None:
    """The repository at ``url`` (http, https, ssh or git, or user@host:path), or None.

    Credentials are taken out: git would give them to its helpers on their command lines, which every user can read. A query
    is refused for the same reason.
    """
    scp = None if _NEVER.search(url) else _SCP.fullmatch(url)
    if scp is not None:
        return Repository(url, said(f"{scp['host']}:{scp['path']}"))
    found = parsed(url, ("http", "https", "ssh", "git"))
    if found is None or found.query:
        return None
    if found.scheme in ("ssh", "git"):
        user = f"{quote(found.user)}@" if found.user and found.scheme == "ssh" else ""
        return Repository(found.url.replace("://", f"://{user}", 1), found.shown)
    if found.user is None:
        return Repository(found.url, found.shown)
    here = found.url[: found.url.index("/", 8)] if "/" in found.url[8:] else found.url
    if found.password is None:
        return Repository(found.url, found.shown, ((f"credential.{here}.username", found.user),))
    # The empty helper takes back those before it: they would keep what was given for this one run.
    helper = (("credential.helper", ""), (f"credential.{here}.helper", _HELPER))
    return Repository(
        found.url, found.shown, helper, {"KV_ROLES_USER": found.user, "KV_ROLES_PASSWORD": found.password}
    )
