"""Turns errors of a request into a `Failure`: what happened and what to do. Pure: no sockets, no clock."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx

from llmtui.measure.answer import Answer
from llmtui.measure.certificates import NOT_TLS, certificate_words, handshake_words
from llmtui.measure.other_protocols import USE_HTTPS, expects_tls, other_protocol
from llmtui.model import Failure
from llmtui.model.finish_words import ended_by
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.wire.base import CHECK_PROTOCOL, CHECK_SERVER
from llmtui.wire.errors import excerpt

_HINTS = {
    401: "set api_key for this backend",
    403: "use an api_key with permission for this model",
    404: "check url, model and protocol",
    405: CHECK_PROTOCOL,
    408: CHECK_SERVER,
    413: "shorten the prompt, or raise the limit of the server or the proxy in front of it",
    429: "the server limits the rate of requests; raise cooldown_s",
    402: "add credit to the account of this api_key",
    407: "a proxy in between wants credentials; use one that needs none",
    500: "the server failed on this request; check the server",
    502: "start the server behind the proxy, or correct the proxy's settings",
    503: "the server is overloaded or still loading; try again later",
    504: "a proxy gave up waiting for the server; raise the proxy's timeout",
    524: "a proxy gave up waiting for the server; raise the proxy's timeout",
    529: "the server is overloaded; try again later",
}
EXPECTS_TLS = "check the server, or use https:// in url if it expects TLS"
#: Statuses of success that have no body.
NO_CONTENT = frozenset({204, 205})
#: Statuses that may carry a Retry-After header.
RETRY_LATER = frozenset({429, 503})
#: Statuses with which a TLS port answers plain HTTP.
_MAY_EXPECT_TLS = frozenset({400, 403, 426, 497})
_TOO_LONG = re.compile(r"context (?:length|size|window)|maximum (?:model|sequence|input) length", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")


#: Why a connection could not be made.
ConnectCause = Literal["refused", "unreachable", "unknown name", "certificate", "not TLS", "timeout", "other"]


class IncompleteAnswer(httpx.RemoteProtocolError):
    """The server closed the connection before its answer was complete."""


class NoAnswer(IncompleteAnswer):
    """The server closed the connection without a byte of an answer."""


class NotHttp(httpx.RemoteProtocolError):
    """The answer is not HTTP; `first` are its first bytes."""

    def __init__(self, first: bytes) -> None:
        super().__init__("not HTTP")
        self.first = first


class BadCertificate(httpx.ConnectError):
    """The server's certificate was refused. `facts` is it as `getpeercert` returns it, {} if it cannot be read."""

    facts: Mapping[str, Any] = {}


class NotAdmitted(httpx.ConnectError):
    """The connection reached a socket that is not the server's. Nothing was sent; `failure` names its owner."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def http_failure(status: int, text: str, wait_s: float | None = None) -> Failure:
    """Return the failure for a status other than 200, with the server's error text and the wait it asks for, in s."""
    hint = _HINTS.get(status, "") if wait_s is None else f"the server {wait_words(wait_s)}"
    if tls_expected(status, text):
        hint = USE_HTTPS
    elif status == 400 and _TOO_LONG.search(text):
        hint = "shorten the prompt, lower max_tokens, or raise the server's context size"
    elif not hint and status >= 400:
        hint = "check the server" if status >= 500 else "check model, options and headers of this backend"
    return Failure(kind="http", message=f"HTTP {status}: {text}" if text else f"HTTP {status}", hint=hint)


def tls_expected(status: int, text: str) -> bool:
    """Whether an HTTP error with this text comes from a port that expects TLS."""
    return status in _MAY_EXPECT_TLS and expects_tls(text)


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
        case ssl.SSLError(reason=reason) if reason in NOT_TLS:
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
    place = _place(url)
    reason = str(error)
    match connect_cause(error):
        case "timeout":
            message, hint = reason, "check url and any firewall in between"
            if "TLS" in reason:
                hint = "use http:// in url if the server does not use TLS"
        case "refused":
            message, hint = f"nothing answers at {place}", "start the server"
        case "unreachable":
            message, hint = f"{place} is unreachable: {reason}", "check url and the network"
        case "certificate":
            assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
            facts = error.facts if isinstance(error, BadCertificate) else {}
            message, hint = certificate_words(place, error.__cause__, facts)
        case "not TLS":
            message, hint = f"{place} does not use TLS", "use http:// in url"
        case "unknown name":
            message, hint = f"cannot resolve the host name of {place}", "check url"
        case "other":
            cause = error.__cause__
            words = handshake_words(place, cause if isinstance(cause, Exception) else None)
            message, hint = words or (f"cannot connect to {place}: {reason}", "check url")
    return Failure(kind="connect", message=message, hint=hint)


def _place(url: str) -> str:
    """Return host and port of `url` as the user wrote them."""
    return httpx.URL(url).netloc.decode("ascii", "replace")


def invalid_request(error: httpx.InvalidURL | UnicodeEncodeError) -> Failure:
    """Return the failure for a configured url or header that cannot be sent."""
    if isinstance(error, httpx.InvalidURL):
        return Failure(kind="connect", message=f"invalid url: {error}")
    # The text of the error contains the header, which may be a key.
    return Failure(kind="connect", message="a header has non-ASCII characters", hint="check api_key and headers")


def connection_lost(events: int, error: Exception, url: str) -> Failure:
    """Return the failure for a connection that broke, or an answer that is not HTTP, after `events` text events."""
    message = f"connection lost after {plural(events, 'token')}" if events else "connection lost before the first token"
    detail, hint = str(error), CHECK_SERVER
    plain = url.startswith("http:")
    cause = error.__cause__
    if isinstance(error, NotHttp):
        what, hint = other_protocol(error.first)
        message = f"{_place(url)} {what}"
        if hint == USE_HTTPS and not plain:
            hint = "check url"
    elif isinstance(error, NoAnswer):
        message = f"{_place(url)} closed the connection without an answer"
        hint = EXPECTS_TLS if plain else CHECK_SERVER
    elif isinstance(error, IncompleteAnswer):
        message = f"{message}: {detail}"
    elif isinstance(error, httpx.LocalProtocolError):
        # Nothing was sent. The text names the header without its value, which may be a key.
        message, hint = detail, "check api_key and headers"
    elif isinstance(error, httpx.RemoteProtocolError):
        message, hint = f"{message}: invalid HTTP ({detail[:160]})" if detail else message, "check url and the server"
    elif isinstance(cause, ssl.SSLError) and (words := handshake_words(_place(url), cause)):
        message, hint = words
    elif isinstance(cause, ConnectionResetError):
        message = f"{message}: the server reset it"
        if plain and not events:
            hint = EXPECTS_TLS
    return Failure(kind="protocol", message=message, hint=hint)


def timed_out(events: int, timeout_s: float) -> Failure:
    """Return the failure for an answer that did not end within `timeout_s`, after `events` text events."""
    progress = f"after {plural(events, 'token')}" if events else "before the first token"
    return Failure(
        kind="timeout",
        message=f"not finished within {timeout_s:g} s ({progress})",
        hint="raise timeout_s or lower max_tokens",
    )


def empty_answer(answer: Answer) -> Failure:
    """Return the failure for a complete answer without a token."""
    reason = sanitize(answer.finish_reason, 60) if answer.finish_reason is not None else None
    tokens = max(answer.output_tokens or 0, answer.reasoning_tokens or 0)
    if reason is None and not tokens:
        if not answer.body_bytes:
            message, hint = "the answer is empty: it has no body", "check url, model and protocol"
        else:
            message = f"the server sent {plural(answer.body_bytes, 'byte')}, but no event that this protocol has"
            message, hint = f"{message}: {excerpt(answer.first_bytes)}", CHECK_PROTOCOL
    elif ended_by(reason) == "length":
        message = "the model reached max_tokens, but the server sent no text"
        if tokens > 1:
            message = f"the model spent its {plural(tokens, 'token')} on thinking that the server does not send"
        hint = "raise max_tokens, or turn the model's thinking off"
    elif tokens > 1:
        message = f"the server counts {plural(tokens, 'token')}, but sent no text"
        hint = "check its settings for thinking, tools and chat templates"
    else:
        ended = f"finish reason {reason!r}" if reason else "no finish reason"
        message, hint = f"the model ended its answer without a token ({ended})", "check prompt and chat template"
    return Failure(kind="protocol", message=message, hint=hint)


def no_content(status: int) -> Failure:
    """Return the failure for a success without a body."""
    return Failure(kind="protocol", message=f"the answer is empty: HTTP {status}", hint=CHECK_PROTOCOL)


def clock_was_set() -> Failure:
    """Return the failure for an answer whose times are wrong because the system's clock was set meanwhile."""
    message = "the system clock was set during this iteration, so its times are wrong"
    return Failure(kind="stopped", message=message, hint="the server is not at fault; rerun it")


def truncated(events: int) -> Failure:
    """Return the failure for an answer without the finish reason that its protocol requires."""
    return Failure(
        kind="protocol",
        message=f"the answer is incomplete: no finish reason after {plural(events, 'token')}",
        hint=CHECK_SERVER,
    )
