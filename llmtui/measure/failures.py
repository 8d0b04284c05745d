"""Turns errors of a request into a `Failure`: what happened and what to do. Pure: no sockets, no clock."""

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
from llmtui.text.format import plural

_HINTS = {
    401: "set api_key for this backend",
    403: "this api_key lacks permission",
    404: "check url, model and protocol",
    405: "check url and protocol",
    408: "the server timed out waiting for the request",
    413: "the prompt is too long for this server",
    429: "the server limits the rate of requests; raise cooldown_s",
    500: "the server failed; see its log",
    502: "a proxy cannot reach the server",
    503: "the server is overloaded or still loading; try again later",
}
#: Statuses that may carry a Retry-After header.
RETRY_LATER = frozenset({429, 503})
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")


#: Why a connection could not be made.
ConnectCause = Literal["refused", "unreachable", "unknown name", "certificate", "not TLS", "timeout", "other"]


class IncompleteAnswer(httpx.RemoteProtocolError):
    """The server closed the connection before its answer was complete."""


class NotAdmitted(httpx.ConnectError):
    """The connection reached a socket that is not the server's. Nothing was sent; `failure` names its owner."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def http_failure(status: int, text: str, wait_s: float | None = None) -> Failure:
    """Return the failure for a status other than 200, with the server's error text and the wait it asks for, in s."""
    hint = _HINTS.get(status, "") if wait_s is None else f"the server {wait_words(wait_s)}"
    return Failure(kind="http", message=f"HTTP {status}: {text}" if text else f"HTTP {status}", hint=hint)


def retry_after_s(value: str, date: str, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header (RFC 9110, 10.2.3) asks for, at least 0; None if it is invalid.

    A date is relative to the answer's own `Date`, since the server's clock may be off, else to `now`. Fractions of a
    second, which some servers send, are accepted.
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
        instant = parsedate_to_datetime(text[:64])
    except (ValueError, OverflowError, IndexError):
        return None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def other_origin(url: str, location: str) -> str:
    """Return the origin that a redirect of `url` points to; "" if it is the same origin or an invalid location."""
    to = _address(url, location)
    if to is None:
        return ""
    requested = httpx.URL(url)
    # httpx leaves out the default port of a scheme.
    return "" if (to.scheme, to.netloc) == (requested.scheme, requested.netloc) else _origin(to)


def redirect_failure(status: int, method: str, url: str, location: str) -> Failure:
    """Return the failure for a redirect. None is followed: a request may carry a key, and one request is timed."""
    to = _address(url, location)
    if to is None:
        return Failure(
            kind="http",
            message=f"HTTP {status}: redirected to an invalid address",
            hint="check url",
        )
    path = to.raw_path.partition(b"?")[0].decode("ascii", "replace")
    other = other_origin(url, location)
    hint = "redirects are not followed; check url"
    if not other or _same_server(httpx.URL(url), to):
        # A path that was posted to is a valid url for every protocol.
        address = sanitize(_origin(to) + (path if method == "POST" else ""), 200)
        hint = f"redirects are not followed; if that is your server, set url to {address}"
    # Do not suggest the address of another server: the server that answered chose it.
    return Failure(kind="http", message=f"HTTP {status}: redirected to {sanitize(other or path, 120)}", hint=hint)


def _same_server(requested: httpx.URL, to: httpx.URL) -> bool:
    """Whether `to` is the requested server over https in place of http, both on their default ports."""
    return (
        (requested.scheme, to.scheme) == ("http", "https")
        and (requested.port, to.port) == (None, None)
        and requested.host == to.host
    )


def wait_words(wait_s: float) -> str:
    """Return what a server with a Retry-After of `wait_s` seconds asks for, as in "asks to wait 2 s"."""
    return f"asks to wait {wait_s:.12g} s" if wait_s > 0 else "asks to retry immediately"


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
    """Return the failure for a connection to `url` that could not be made or must not be used."""
    if isinstance(error, NotAdmitted):
        return error.failure
    place = httpx.URL(url).netloc.decode("ascii", "replace")
    reason = str(error)
    match connect_cause(error):
        case "timeout":
            message, hint = reason, "check url and any firewall in between"
        case "refused":
            message, hint = f"nothing answers at {place}", "start the server"
        case "unreachable":
            message, hint = f"{place} is unreachable: {reason}", "check url and the network"
        case "certificate":
            message = f"cannot verify the certificate of {place}: {reason}"
            hint = "set SSL_CERT_FILE to the certificates of your CA"
        case "not TLS":
            message, hint = f"{place} does not use TLS", "use http:// in url"
        case "unknown name":
            message, hint = f"cannot resolve the host name of {place}", "check url"
        case "other":
            message, hint = f"cannot connect to {place}: {reason}", "check url"
    return Failure(kind="connect", message=message, hint=hint)


def invalid_request(error: httpx.InvalidURL | UnicodeEncodeError) -> Failure:
    """Return the failure for a configured url or header that cannot be sent."""
    if isinstance(error, httpx.InvalidURL):
        return Failure(kind="connect", message=f"invalid url: {error}")
    # The text of the error contains the header, which may be a key.
    return Failure(kind="connect", message="a header has non-ASCII characters", hint="check api_key and headers")


def connection_lost(events: int, error: Exception) -> Failure:
    """Return the failure for a connection that broke, or an answer that is not HTTP, after `events` text events."""
    message = f"connection lost after {plural(events, 'token')}" if events else "connection lost before the first token"
    detail = str(error)
    if isinstance(error, IncompleteAnswer):
        message = f"{message}: {detail}"
    elif isinstance(error, httpx.LocalProtocolError | httpx.RemoteProtocolError):
        message = f"{message}: invalid HTTP ({detail[:160]})" if detail else message
    return Failure(kind="protocol", message=message, hint="the server may have crashed; see its log")


def timed_out(events: int, timeout_s: float) -> Failure:
    """Return the failure for an answer that did not end within `timeout_s`, after `events` text events."""
    progress = f"after {plural(events, 'token')}" if events else "before the first token"
    return Failure(
        kind="timeout",
        message=f"not finished within {timeout_s:g} s ({progress})",
        hint="raise timeout_s or lower max_tokens",
    )


def empty_answer(finish_reason: str | None) -> Failure:
    """Return the failure for a complete answer without a token."""
    hint = f"its finish reason is {sanitize(finish_reason, 60)!r}" if finish_reason else "it has no finish reason"
    return Failure(kind="protocol", message="the answer is empty: no tokens", hint=hint)


def truncated(events: int) -> Failure:
    """Return the failure for an answer without the finish reason that its protocol requires."""
    return Failure(
        kind="protocol",
        message=f"the answer is incomplete: no finish reason after {plural(events, 'token')}",
        hint="the server may have crashed; see its log",
    )
