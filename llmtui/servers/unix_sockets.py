"""The Unix domain sockets of this machine and what each is connected to (Linux: NETLINK_SOCK_DIAG, sock_diag(7))."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import NamedTuple

from llmtui.servers.sock_diag import dump

_SHOW_NAME, _SHOW_PEER = 1, 4
_UNIX_DIAG_NAME, _UNIX_DIAG_PEER = 0, 2
_ESTABLISHED_STATE = 1 << 1
_REPLY = struct.Struct("=BBBxIII")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")


class UnixSocket(NamedTuple):
    """A connected socket: the inode of its peer, 0 if unknown, and the path it is bound to, "" for a client."""

    peer: int
    name: str


def unix_sockets() -> dict[int, UnixSocket]:
    """Return the connected sockets by inode, {} if the system does not list them."""
    found: dict[int, UnixSocket] = {}
    body = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, _ESTABLISHED_STATE, 0, _SHOW_NAME | _SHOW_PEER, 0, 0)
    with contextlib.suppress(OSError, struct.error):
        for payload in dump(body):
            _, _, _, inode, _, _ = (*_REPLY.unpack_from(payload), 0)[:6]
            found[inode] = _parse(payload[_REPLY.size :])
    return found


def _parse(attributes: bytes) -> UnixSocket:
    peer, name = 0, ""
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if length < _ATTRIBUTE.size:
            break
        value = attributes[_ATTRIBUTE.size : length]
        if kind == _UNIX_DIAG_PEER and len(value) >= _NUMBER.size:
            peer = _NUMBER.unpack_from(value)[0]
        elif kind == _UNIX_DIAG_NAME:
            name = value.rstrip(b"\0").decode("utf-8", "replace").replace("\0", "@")
        attributes = attributes[(length + 3) & ~3 :]
    return UnixSocket(peer, name)
