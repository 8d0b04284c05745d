"""Causes of a failed connection, taken from the error's data and not from its text."""

from __future__ import annotations

import errno
import socket
import ssl

import httpx
import pytest

from llmtui.measure.failures import ConnectCause, connect_cause


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "text in any language")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (OSError(errno.ECONNREFUSED, "Verbindung verweigert"), "refused"),
        (OSError(errno.ENETUNREACH, "Das Netzwerk ist nicht erreichbar"), "unreachable"),
        (OSError(errno.EHOSTUNREACH, ""), "unreachable"),
        (socket.gaierror(socket.EAI_NONAME, ""), "unknown name"),
        (socket.gaierror(socket.EAI_AGAIN, ""), "unknown name"),
        (ssl.SSLCertVerificationError(1, ""), "certificate"),
        (tls_error("WRONG_VERSION_NUMBER"), "not TLS"),
        (tls_error("RECORD_LAYER_FAILURE"), "not TLS"),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "other"),
        (OSError(errno.EACCES, "connection refused, in this text"), "other"),
        (UnicodeError("label too long"), "other"),
        (None, "other"),
    ],
)
def test_connect_cause(cause: Exception | None, expected: ConnectCause) -> None:
    error = httpx.ConnectError("connection refused, certificate, no route to host")
    error.__cause__ = cause
    assert connect_cause(error) == expected


def test_connect_timeout_is_a_cause() -> None:
    assert connect_cause(httpx.ConnectTimeout("")) == "timeout"
