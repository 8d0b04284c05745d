"""The Unix domain sockets of this machine and what each is connected to (Linux: NETLINK_SOCK_DIAG, sock_diag(7))."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_AND_DUMP = 0x301
_SHOW_NAME, _SHOW_PEER = 1, 4
_UNIX_DIAG_NAME, _UNIX_DIAG_PEER = 0, 2
_ESTABLISHED_STATE = 1 << 1
_HEADER = struct.Struct("=IHHII")
_REPLY = struct.Struct("=BBBxIII")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_TIMEOUT_S = 1.0


class UnixSocket(NamedTuple):
    """A connected socket: the inode of its peer, 0 if unknown, and the path it is bound to, "" for a client."""

    peer: int
    name: str


def unix_sockets() -> dict[int, UnixSocket]:
    """Return the connected sockets by inode, {} if the system does not list them."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return {}
    found: dict[int, UnixSocket] = {}
    body = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, _ESTABLISHED_STATE, 0, _SHOW_NAME | _SHOW_PEER, 0, 0)
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(_TIMEOUT_S)
            netlink.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_AND_DUMP, 1, 0) + body)
            while True:
                for kind, payload in _messages(netlink.recv(65536)):
                    if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                        return found
                    _, _, _, inode, _, _ = (*_REPLY.unpack_from(payload), 0)[:6]
                    found[inode] = _parse(payload[_REPLY.size :])
    except (OSError, struct.error):
        return found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            return
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


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
