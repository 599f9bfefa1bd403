"""What is asked of a server again, how often and after which pause, and what is said when it cannot be had."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from typing import TypeVar

from kvroles.errors import NoSource
from kvroles.sources import address

ATTEMPTS = 4
_PAUSES_S = (0.5, 1.5, 4.0)
_LONGEST_PAUSE_S = 10.0  # however long a Retry-After asks for


class Again(Exception):  # noqa: N818
    """This attempt failed in a way another may not; ``pause`` is what the server asked for, in seconds."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


class Never(Exception):  # noqa: N818
    """This cannot be had there, however often it is asked for."""


class Slow(Again):
    """This attempt took longer than its time."""


_T = TypeVar("_T")


def retrying(url: str, attempt: Callable[[], _T], fix: str) -> _T:
    """Call ``attempt`` up to four times; raises NoSource with the last reason, or at once where repeating cannot help."""
    last = ""
    number = slow = 0
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except Never as e:
            raise NoSource(str(e), fix=fix) from None
        except Again as e:
            last, pause = str(e), e.pause
            slow += isinstance(e, Slow)
            if slow == 2:
                break
        except urllib.error.HTTPError as e:
            if e.code not in (408, 425, 429) and e.code < 500:
                raise NoSource(f"{address.shown(url)} answered {e.code} {str(e.reason)[:200]}", fix=fix) from None
            last, pause = f"it answered {e.code} {str(e.reason)[:200]}", _retry_after(e.headers)
        except (OSError, http.client.HTTPException) as e:  # URLError, timeouts, resets and cut answers among them
            reason = getattr(e, "reason", None) or e
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise NoSource(
                    f"The certificate of {address.shown(url)} is not trusted ({reason.verify_message})",
                    fix=_certificate_fix(reason),
                ) from None
            last, pause = getattr(reason, "strerror", None) or str(reason)[:200] or type(reason).__name__, None
        if number < ATTEMPTS - 1:
            time.sleep(min(pause if pause is not None else _PAUSES_S[number], _LONGEST_PAUSE_S))
    raise NoSource(f"{address.shown(url)} could not be read in {number + 1} attempts: {last}", fix=fix)


# What OpenSSL refuses under X509_V_FLAG_X509_STRICT alone, which Python sets from 3.13 on (x509_vfy.h).
_STRICT = range(79, 95)


def _certificate_fix(error: ssl.SSLCertVerificationError) -> str:
    if getattr(error, "verify_code", 0) not in _STRICT:
        return "Name your organisation's certificate bundle in SSL_CERT_FILE"
    return (
        "The authority is known, and its certificate lacks what RFC 5280 asks for, on which Python insists from 3.13 on: have it "
        "issued anew, or run this with Python 3.11 or 3.12"
    )


def _retry_after(headers: Message | None) -> float | None:
    value = headers.get("Retry-After") if headers else None
    return float(value) if value and value.isascii() and value.isdigit() and len(value) < 10 else None
