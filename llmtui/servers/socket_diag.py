"""Asks the kernel for one TCP socket (Linux: sock_diag(7)). It looks the socket up as it does for a packet.

Reading the table of all sockets (tcp_table.py) takes 8 ms on a machine with room for many, and this some ten
microseconds: under load each new connection is checked, and the event loop must not stand still for that.
"""

from __future__ import annotations

import socket
import struct

from llmtui.servers.tcp_table import Endpoint, TcpSocket

_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = 1
_NO_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
#: inet_diag_req_v2 up to its ports, the ports, and what follows the two addresses.
_QUERY = struct.Struct("=BBBBI")
_PORTS = struct.Struct(">HH")
_REST = struct.Struct("=III")
#: inet_diag_msg: the family and the state, and from its uid on.
_STATE_AT = _HEADER.size
_UID_AT = _HEADER.size + 4 + 48 + 12
_ADDRESS_BYTES = 16
#: linux/netlink.h; the socket module has no name for it.
_NETLINK_SOCK_DIAG = 4


def find_socket(local: Endpoint, remote: Endpoint) -> TcpSocket | None:
    """Return the socket of this machine that gets what `remote` sends to `local`: of the connection, else a listener.

    None if there is none, or if the kernel does not tell.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return None
    family = socket.AF_INET if local.address.version == 4 else socket.AF_INET6
    query = (
        _QUERY.pack(family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
        + _PORTS.pack(local.port, remote.port)
        + local.address.packed.ljust(_ADDRESS_BYTES, b"\0")
        + remote.address.packed.ljust(_ADDRESS_BYTES, b"\0")
        + _REST.pack(0, _NO_COOKIE, _NO_COOKIE)
    )
    header = _HEADER.pack(_HEADER.size + len(query), _SOCK_DIAG_BY_FAMILY, _REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.send(header + query)
            reply = kernel.recv(4096, socket.MSG_DONTWAIT)  # it is there when send returns
    except OSError:
        return None
    if len(reply) < _UID_AT + 8 or _HEADER.unpack_from(reply)[1] != _SOCK_DIAG_BY_FAMILY:
        return None
    uid, inode = struct.unpack_from("=II", reply, _UID_AT)
    return TcpSocket(local, remote, reply[_STATE_AT + 1], uid, inode)
