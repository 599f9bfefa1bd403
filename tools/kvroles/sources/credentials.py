"""Which credentials go to an address: those in it, or the user's netrc."""

from __future__ import annotations

import base64
import netrc
import os

from kvroles.sources.address import Address

_LARGEST = 1 << 20  # bytes of a netrc
_named: set[str] = set()  # hosts that the user named, as the index to ask


def name(host: str) -> None:
    """Note that the user named ``host``: the ``default`` entry of netrc is for such a host only.

    pip gives it to every host that an index names, which may be anybody's.
    """
    _named.add(host.lower())


def authorization(address: Address) -> str | None:
    """The value of the Authorization header for ``address``, or None."""
    user, password = address.user, address.password
    if user is None:
        entry = _entry(address.host.strip("[]").lower())
        if entry is None:
            return None
        user, password = entry
    return "Basic " + base64.b64encode(f"{user}:{password or ''}".encode("utf-8", "surrogateescape")).decode()


def _entry(host: str) -> tuple[str, str] | None:
    """(login, password) for ``host`` in ``$NETRC`` or ``~/.netrc``; a pipe or a device there is not waited for."""
    file = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    if not os.path.isfile(file) or os.path.getsize(file) > _LARGEST:
        return None
    try:
        known = netrc.netrc(file)
    except (OSError, ValueError, netrc.NetrcParseError):  # ValueError: not in the locale's encoding
        return None
    entry = known.hosts.get(host) or (known.hosts.get("default") if host in _named else None)
    return None if entry is None else (entry[0], entry[2] or "")
