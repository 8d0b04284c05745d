"""The words for every way in which a request can fail, and what they are taken from. Pure: no sockets, no clock."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import httpx

from llmtui.model import Failure
from llmtui.text import sanitize

_HINTS = {
    401: "set api_key for this backend",
    403: "the api_key is not allowed to do this",
    404: "check url, model and protocol",
    405: "check url and protocol",
    408: "the server gave up waiting",
    413: "the prompt is too long for this server",
    429: "the server limits requests; raise cooldown_s or ask for less",
    500: "the server failed inside; see its log",
    502: "a proxy stands in front and cannot reach the server",
    503: "the server is overloaded or still loading; try again later",
}
#: Statuses by which a server asks to come back later.
RETRY_LATER = frozenset({429, 503})
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")


#: Why a connection could not be made.
ConnectCause = Literal["refused", "unreachable", "unknown name", "certificate", "not TLS", "timeout", "other"]


class IncompleteAnswer(httpx.RemoteProtocolError):
    """The server closed the connection before its answer was complete."""


class NotAdmitted(httpx.ConnectError):
    """A connection was made to a socket that is not the server's, and nothing was sent. `failure` says whose it is."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def http_failure(status: int, said: str, wait_s: float | None = None) -> Failure:
    """An answer that is no 200: what the server `said` (plain), and the wait that it asks for, in s."""
    hint = _HINTS.get(status, "") if wait_s is None else f"the server {wait_words(wait_s)}"
    return Failure(kind="http", message=f"HTTP {status}: {said}" if said else f"HTTP {status}", hint=hint)


def retry_after_s(value: str, date: str, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header (RFC 9110, 10.2.3) asks to wait, never below 0; None where it says nothing.

    An instant counts from the answer's own `Date`, since a server's clock may be off, else from `now`. Tenths of a
    second, which some servers write, are taken too.
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until = _instant(value)
    if until is None:
        return None
    return max(0.0, (until - (_instant(date) or now)).total_seconds())


def _instant(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text[:64])
    except (ValueError, OverflowError, IndexError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def other_origin(url: str, location: str) -> str:
    """The origin that a redirect of `url` points to, "" where it is the same one, or none that can be read."""
    to = _address(url, location)
    if to is None:
        return ""
    asked = httpx.URL(url)
    # httpx leaves out the usual port of a scheme.
    return "" if (to.scheme, to.netloc) == (asked.scheme, asked.netloc) else _origin(to)


def redirect_failure(status: int, method: str, url: str, location: str) -> Failure:
    """A redirect: it is never followed, since what we send may hold a key and what we time is one request."""
    to = _address(url, location)
    if to is None:
        return Failure(
            kind="http",
            message=f"HTTP {status}: a redirect that leads to no address that can be read",
            hint="check url",
        )
    path = to.raw_path.partition(b"?")[0].decode("ascii", "replace")
    other = other_origin(url, location)
    hint = "it is not followed; check url"
    if not other or _same_server(httpx.URL(url), to):
        # The whole path is a url for every protocol, where it is that of the question itself.
        address = sanitize(_origin(to) + (path if method == "POST" else ""), 200)
        hint = f"it is not followed; if that is the server you mean, set url to {address}"
    # The address of another server is not suggested: the server that answered chose it.
    return Failure(kind="http", message=f"HTTP {status}: redirected to {sanitize(other or path, 120)}", hint=hint)


def _same_server(asked: httpx.URL, to: httpx.URL) -> bool:
    """Whether `to` is the server that was asked, by https in place of http and each on its usual port."""
    return (asked.scheme, to.scheme, asked.port, to.port) == ("http", "https", None, None) and asked.host == to.host


def wait_words(wait_s: float) -> str:
    """What a server asks for that wants to be asked again in `wait_s` seconds, as in "asks to wait 2 s"."""
    return f"asks to wait {wait_s:.12g} s" if wait_s > 0 else "asks to try again at once"


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"


def _address(url: str, location: str) -> httpx.URL | None:
    try:
        to = httpx.URL(url).join(location)
        return to if location and to.scheme in ("http", "https") and to.host else None
    except (httpx.InvalidURL, ValueError):
        return None


def connect_cause(error: Exception) -> ConnectCause:
    """Return why a connection could not be made, from the `OSError` that `error` was raised from."""
    if isinstance(error, httpx.ConnectTimeout):
        return "timeout"
    match error.__cause__:
        case socket.gaierror():
            return "unknown name"
        case ssl.SSLCertVerificationError():
            return "certificate"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "RECORD_LAYER_FAILURE"):
            return "not TLS"
        case OSError(errno=errno.ECONNREFUSED):
            return "refused"
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH):
            return "unreachable"
        case _:
            return "other"


def connect_failure(url: str, error: Exception) -> Failure:
    """Words for a connection that could not be made to `url`, or must not be used."""
    if isinstance(error, NotAdmitted):
        return error.failure
    place = httpx.URL(url).netloc.decode("ascii", "replace")
    reason = str(error)
    match connect_cause(error):
        case "timeout":
            message, hint = reason, "is the address right, and no firewall in between?"
        case "refused":
            message, hint = f"nothing answers at {place}", "start the server"
        case "unreachable":
            message, hint = f"no way to {place}: {reason}", "check url and the network"
        case "certificate":
            message = f"the certificate of {place} does not verify: {reason}"
            hint = "name your authority's certificates in SSL_CERT_FILE"
        case "not TLS":
            message, hint = f"{place} does not speak TLS", "use http:// in url"
        case "unknown name":
            message, hint = f"the name in {place} is not known", "check url"
        case "other":
            message, hint = f"cannot connect to {place}: {reason}", "check url"
    return Failure(kind="connect", message=message, hint=hint)


def invalid_request(error: httpx.InvalidURL | UnicodeEncodeError) -> Failure:
    """What is configured cannot be put into a request."""
    if isinstance(error, httpx.InvalidURL):
        return Failure(kind="connect", message=f"the address is not valid: {error}")
    # The error's own text would tell the header, and that may be a key.
    return Failure(kind="connect", message="a header has characters outside ASCII", hint="check api_key and headers")


def connection_lost(events: int, error: Exception) -> Failure:
    """The connection ended, or stopped being HTTP, after so many text `events`."""
    message = (
        f"the connection broke after {_tokens(events)}" if events else "the connection broke before the first token"
    )
    detail = str(error)
    if isinstance(error, IncompleteAnswer):
        message = f"{message}: {detail}" if detail else message
    elif isinstance(error, httpx.LocalProtocolError | httpx.RemoteProtocolError):
        message = f"{message}: not HTTP as it should be ({detail[:160]})" if detail else message
    return Failure(kind="protocol", message=message, hint="the server may have died; see its log")


def timed_out(events: int, timeout_s: float) -> Failure:
    """The answer did not end within `timeout_s`; so many text `events` had come."""
    got = f"after {_tokens(events)}" if events else "before the first token"
    return Failure(
        kind="timeout", message=f"not finished within {timeout_s:g} s ({got})", hint="raise timeout_s or ask for less"
    )


def empty_answer(finish_reason: str | None) -> Failure:
    """A clean answer without a token."""
    hint = f"it finished with reason {sanitize(finish_reason, 60)!r}" if finish_reason else "and it gave no reason"
    return Failure(kind="protocol", message="the answer was empty: not one token", hint=hint)


def truncated(events: int) -> Failure:
    """An answer that ended cleanly and not as its protocol ends."""
    return Failure(
        kind="protocol",
        message=f"the answer stopped half-way: no finish reason after {_tokens(events)}",
        hint="the server may have died; see its log",
    )


def _tokens(n: int) -> str:
    return "1 token" if n == 1 else f"{n} tokens"
