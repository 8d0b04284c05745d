"""Where processes of this machine listen (TCP). Light on Linux, for the first frame of the monitor waits for it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Collection, Iterator
from pathlib import Path

from llmtui.servers.sock_diag import dump
from llmtui.servers.tcp_table import LISTEN, PROC, Endpoint, TcpSocket, endpoint, tcp_sockets

_SOCKET = re.compile(r"socket:\[(\d+)\]")
#: Of inet_diag_req_v2: family, protocol, extensions, states, and an empty inet_diag_sockid.
_REQUEST = struct.Struct("=BBBxI48x")
#: Of inet_diag_msg: the local port in network byte order, the local address, the user, and the inode.
_REPLY = struct.Struct("=4x2s2x16s16x12x12xII")
_NOWHERE = endpoint("0.0.0.0", 0)


def listening_sockets(pids: Collection[int], proc: Path = PROC) -> dict[int, set[Endpoint]]:
    """Return where each of these processes listens, as far as the system shows it; those that do not are left out."""
    rows = listening_rows(proc=proc) if pids else []
    if rows is None:
        return {pid: found for pid in pids if (found := sockets_by_psutil(pid))}
    places = {row.inode: row.local for row in rows}
    sockets = {pid: {places[i] for i in (socket_inodes(pid, proc) or set()) & places.keys()} for pid in pids}
    return {pid: found for pid, found in sockets.items() if found}


def listening_rows(port: int | None = None, proc: Path = PROC) -> list[TcpSocket] | None:
    """Return the listening sockets of this TCP port, or of all; None if the system has no table of them."""
    rows: list[TcpSocket] | None = None
    if proc == PROC:
        with contextlib.suppress(OSError, struct.error, ValueError):
            rows = [row for family in (socket.AF_INET, socket.AF_INET6) for row in _from_kernel(family)]
    if rows is None:
        rows = tcp_sockets(port, proc, (LISTEN,))
    if rows is None:
        return None
    return [row for row in rows if row.inode and port in (None, row.local.port)]


def socket_inodes(pid: int, proc: Path = PROC) -> set[int] | None:
    """Return the inodes of the sockets that a process has open, None if its files cannot be read."""
    inodes: set[int] = set()
    folder = f"{proc}/{pid}/fd"
    try:
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                if match := _SOCKET.match(os.readlink(f"{folder}/{name}")):
                    inodes.add(int(match[1]))
    except PermissionError:
        return None
    except OSError:
        pass  # it has ended
    return inodes


def _from_kernel(family: int) -> Iterator[TcpSocket]:
    for payload in dump(_REQUEST.pack(family, socket.IPPROTO_TCP, 0, 1 << LISTEN)):
        port, address, uid, inode = _REPLY.unpack_from(payload)
        text = socket.inet_ntop(family, address[: 16 if family == socket.AF_INET6 else 4])
        yield TcpSocket(endpoint(text, int.from_bytes(port)), _NOWHERE, LISTEN, uid, inode)


def sockets_by_psutil(pid: int) -> set[Endpoint]:
    """Return where a process listens; nothing for one of another user, or one that has ended."""
    import psutil

    found: set[Endpoint] = set()
    with contextlib.suppress(psutil.Error, OSError, ValueError):
        process = psutil.Process(pid)
        connections = getattr(process, "net_connections", None) or process.connections  # before psutil 6
        for one in connections(kind="tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr:
                found.add(endpoint(one.laddr.ip, one.laddr.port))
    return found
