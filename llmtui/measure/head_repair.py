"""The head of an answer that a strict parser rejects and mature clients accept, written as the strict one expects it.

Servers on a bare socket, scripts and old proxies send such heads. What would leave the length of the body in doubt
stays as it is, and is rejected.
"""

from __future__ import annotations

import re

_START = re.compile(rb"(?:http/(\d)(?:\.(\d))?|icy)[ \t]+(\d{3})(?:[ \t]+(.*))?$", re.IGNORECASE)
_COULD_START = (b"http/", b"icy ")
_NOT_IN_NAME = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_CONTROLS = bytes(c for c in range(32) if c != 9) + b"\x7f"
_BLANKS = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))
_LENGTHS = re.compile(rb"\s*(\d+)\s*(?:,\s*\1\s*)*")


def may_be_repaired(head: bytes | bytearray) -> bool:
    """Whether these first bytes of an answer may begin a head of HTTP."""
    start = head.lstrip(b"\r\n")[:5].lower()
    return any(first.startswith(start[: len(first)]) for first in _COULD_START)


def head_length(data: bytes | bytearray) -> int:
    """Return the length of the head that `data` begins with, up to and with its empty line; 0 if it is incomplete."""
    ends = [at + len(end) for end in (b"\r\n\r\n", b"\n\n", b"\n\r\n") if (at := data.find(end)) >= 0]
    return min(ends, default=0)


def repaired(head: bytes) -> bytes | None:
    """Return a complete `head` as a strict parser expects it; None if it is not HTTP."""
    lines = _unfolded(head)
    start = _START.match(lines[0]) if lines else None
    if start is None:
        return None
    version = b"1.0" if start[1] == b"1" and start[2] == b"0" else b"1.1"
    out = [b"HTTP/%b %b %b" % (version, start[3], (start[4] or b"").translate(_BLANKS))]
    has_length = False
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        name, value = name.strip(), value.strip().translate(_BLANKS)
        if not colon or not name or _NOT_IN_NAME.search(name):
            continue
        if name.lower() == b"content-length":
            if not value:
                continue
            if (same := _LENGTHS.fullmatch(value)) is not None:
                value = same[1]
            if has_length and b"Content-Length: " + value in out:
                continue
            has_length, name = True, b"Content-Length"
        out.append(name + b": " + value)
    return b"\r\n".join(out) + b"\r\n\r\n"


def _unfolded(head: bytes) -> list[bytes]:
    """Return the lines of `head`. A line that begins with a blank goes on with the one before (RFC 9112, 5.2)."""
    lines: list[bytes] = []
    for line in head.strip(b"\r\n").split(b"\n"):
        line = line.removesuffix(b"\r")
        if line[:1] in (b" ", b"\t") and len(lines) > 1:
            lines[-1] += b" " + line.strip()
        else:
            lines.append(line)
    return lines
