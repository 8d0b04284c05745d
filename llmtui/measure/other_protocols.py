"""Recognizes what a port speaks in place of HTTP, by the first bytes that it sent."""

from __future__ import annotations

import re

from llmtui.text import sanitize

#: How many bytes are needed: greetings are short.
FIRST_BYTES = 80
_EXCERPT_CHARS = 40

USE_HTTPS = "use https:// in url"
_HTTP_PORT = "set url to the server's HTTP port"
_RIGHT_PORT = "set url to the port of the LLM server"

#: Prefixes of binary protocols.
_BINARY: tuple[tuple[bytes, str, str], ...] = (
    (b"\x15\x03", "TLS", USE_HTTPS),
    (b"\x16\x03", "TLS", USE_HTTPS),
    (b"\xff\x00\x00\x00\x00\x00\x00\x00", "ZeroMQ", _HTTP_PORT),
    (b"AMQP", "AMQP", _RIGHT_PORT),
    (b"\xff\xfb", "Telnet", _RIGHT_PORT),
    (b"\xff\xfd", "Telnet", _RIGHT_PORT),
)
#: Greetings and errors of line protocols.
_LINES: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"SSH-\d"), "SSH", _RIGHT_PORT),
    (re.compile(rb"220[ -][^\r\n]*SMTP", re.IGNORECASE), "SMTP", _RIGHT_PORT),
    (re.compile(rb"220[ -]"), "FTP or SMTP", _RIGHT_PORT),
    (re.compile(rb"\+OK "), "POP3", _RIGHT_PORT),
    (re.compile(rb"\* OK "), "IMAP", _RIGHT_PORT),
    (re.compile(rb"-(?:ERR|NOAUTH|DENIED|WRONGPASS)\b"), "Redis", _RIGHT_PORT),
    (re.compile(rb"ERROR\r\n"), "memcached", _RIGHT_PORT),
    (re.compile(rb"INFO \{"), "NATS", _RIGHT_PORT),
    (re.compile(rb"RFB \d"), "VNC", _RIGHT_PORT),
    (re.compile(rb"RTSP/\d"), "RTSP", _RIGHT_PORT),
)
#: A packet of MySQL: length, number 0, then its protocol's version or an error.
_MYSQL = re.compile(rb"..\x00\x00[\x0a\xff]", re.DOTALL)
#: The errors of PostgreSQL: 'E', a length of four bytes, a field of text.
_POSTGRES = re.compile(rb"E\x00\x00[\x00-\xff]{2}[A-Z]|EFATAL|EERROR", re.DOTALL)
#: Types of HTTP/2 frames that begin a connection: SETTINGS, GOAWAY.
_H2_FRAMES = frozenset({4, 7})


def other_protocol(first: bytes) -> tuple[str, str]:
    """Return what sent these first bytes, as in "speaks SSH", and what to do."""
    for prefix, name, remedy in _BINARY:
        if first.startswith(prefix):
            return f"speaks {name}, not HTTP", remedy
    if len(first) >= 9 and first[0] == 0 and first[3] in _H2_FRAMES and first[5:9] == bytes(4):
        return "speaks HTTP/2 (gRPC?), not HTTP/1.1", _HTTP_PORT
    for pattern, name, remedy in _LINES:
        if pattern.match(first):
            return f"speaks {name}, not HTTP", remedy
    if _MYSQL.match(first):
        return "speaks MySQL, not HTTP", _RIGHT_PORT
    if _POSTGRES.match(first):
        return "speaks PostgreSQL, not HTTP", _RIGHT_PORT
    text = sanitize(first.decode("utf-8", "replace").replace("\ufffd", ""), _EXCERPT_CHARS)
    sent = repr(text) if text.strip() else f"{len(first)} binary bytes ({first[:8].hex(' ')})"
    return f"does not speak HTTP: it sent {sent}", _RIGHT_PORT


def expects_tls(text: str) -> bool:
    """Whether the text of an HTTP error says that the port expects TLS (nginx, Go, Apache, Tomcat, ...)."""
    return _EXPECTS_TLS.search(text[:1000]) is not None


_EXPECTS_TLS = re.compile(
    r"HTTP request (?:was )?(?:sent )?to (?:an )?HTTPS|plain HTTP to an SSL|requires TLS|HTTPS[- ]only"
    r"|HTTPS is required|use HTTPS|SSL (?:is )?required",
    re.IGNORECASE,
)
