"""Why TLS with a server failed: its certificate, its version, or ours that it asks for. Pure: no sockets, no clock."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from llmtui.text import sanitize

# OpenSSL's X509_V_ERR_* (x509_vfy.h).
_NOT_YET_VALID = frozenset({9, 11})
_EXPIRED = frozenset({10, 12})
_SELF_SIGNED = frozenset({18, 19})
_REVOKED = 23
_OTHER_NAME = frozenset({62, 64})
#: A certificate whose name or dates are wrong can be read once these are not checked.
READABLE = _NOT_YET_VALID | _EXPIRED | _OTHER_NAME
#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name.
NO_CHECK_TIME = 0x200000

_OWN_AUTHORITY = "set SSL_CERT_FILE to the certificate of its authority"
#: A certificate may have hundreds of names.
_MAX_NAMES = 3
_MAX_NAME_CHARS = 80

#: OpenSSL's reasons for a failed handshake.
_WANTS_CERTIFICATE = frozenset(
    {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_NO_CERTIFICATE",
    }
)
_OLD_TLS = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION"})
_UNKNOWN_NAME = frozenset({"TLSV1_UNRECOGNIZED_NAME"})
NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})


def certificate_words(place: str, error: ssl.SSLCertVerificationError, facts: Mapping[str, Any]) -> tuple[str, str]:
    """Return why the certificate of `place` was refused, and what to do. `facts` is it as `getpeercert` returns it."""
    code = getattr(error, "verify_code", None)
    reason = sanitize(getattr(error, "verify_message", "") or str(error), 120)
    if code in _OTHER_NAME:
        names = _names(facts)
        other = f" is for {names}" if names else " is for another name"
        return f"the certificate of {place}{other}", "use the name in the certificate in url, if it is the right server"
    if code in _EXPIRED:
        return f"the certificate of {place} expired{_date(facts, 'notAfter')}", "renew the server's certificate"
    if code in _NOT_YET_VALID:
        return (
            f"the certificate of {place} is not valid yet{_date(facts, 'notBefore', 'before')}",
            "check this machine's clock",
        )
    if code in _SELF_SIGNED:
        return f"the certificate of {place} is self-signed", "set SSL_CERT_FILE to it, or to that of its authority"
    if code == _REVOKED:
        return f"the certificate of {place} was revoked", "renew the server's certificate"
    return f"cannot verify the certificate of {place}: {reason}", _OWN_AUTHORITY


def handshake_words(place: str, error: Exception | None) -> tuple[str, str] | None:
    """Return why a TLS connection failed for another reason than the certificate; None if unknown."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return f"{place} closed the connection during the TLS handshake", "use http:// in url if it does not use TLS"
    reason = getattr(error, "reason", "") or ""
    if reason in NOT_TLS:
        return f"{place} does not use TLS", "use http:// in url"
    if reason in _WANTS_CERTIFICATE:
        return (
            f"{place} requires a client certificate, which llmtui cannot send",
            "set url to an address that needs none, or put a proxy that has one in front",
        )
    if reason in _OLD_TLS:
        return f"{place} offers only a TLS version that is too old", "enable TLS 1.2 or 1.3 on the server"
    if reason in _UNKNOWN_NAME:
        return f"{place} has no certificate for this name", "use the name that the server is configured for in url"
    if reason == "SSLV3_ALERT_HANDSHAKE_FAILURE":
        return (
            f"{place} refused the TLS handshake",
            "check the server's TLS settings, and whether it requires a client certificate",
        )
    return None


def _names(facts: Mapping[str, Any]) -> str:
    """Return the names that a certificate is for, "" if unknown."""
    names = [str(value) for kind, value in facts.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    if not names:
        subject = [field for group in facts.get("subject", ()) for field in group]
        names = [str(value) for kind, value in subject if kind == "commonName"]
    shown = [sanitize(name, _MAX_NAME_CHARS) for name in names[:_MAX_NAMES]]
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(shown) + more


def _date(facts: Mapping[str, Any], field: str, word: str = "on") -> str:
    """Return the date in `field`, as in " on Nov 22 2026", "" if unknown."""
    parts = str(facts.get(field, "")).split()
    return f" {word} {sanitize(f'{parts[0]} {parts[1]} {parts[3]}', 20)}" if len(parts) >= 4 else ""
