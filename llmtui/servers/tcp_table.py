"""The kernel's table of TCP sockets and their owners (Linux: /proc/net/tcp and tcp6, proc(5)). Reads only.

psutil reads the same table but leaves out the uid, and the uid is what tells another user's socket from ours.
"""

from __future__ import annotations

import functools
import ipaddress
import struct
from pathlib import Path
from typing import NamedTuple, TypeAlias

PROC = Path("/proc")
ESTABLISHED = 0x01
LISTEN = 0x0A

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Endpoint(NamedTuple):
    """One end of a connection. An IPv4 address inside IPv6 (`::ffff:a.b.c.d`) is given as IPv4."""

    address: Address
    port: int


class TcpSocket(NamedTuple):
    """One row of the table. `uid` and `inode` are 0 where no process holds the socket: it is closed, or a connection
    that its server has not accepted yet."""

    local: Endpoint
    remote: Endpoint
    state: int
    uid: int
    inode: int


def endpoint(address: str, port: int) -> Endpoint:
    """An endpoint from a textual address, as the socket module gives it. Raises ValueError."""
    return Endpoint(_unmapped(ipaddress.ip_address(address.partition("%")[0])), port)


def tcp_sockets(port: int, proc: Path = PROC) -> list[TcpSocket] | None:
    """All sockets with `port` on either side; None where the system has no such table.

    The kernel hands out the table in parts: while other connections come and go, one reading may miss a row.
    """
    marker = f":{port:04X} ".encode()
    found: list[TcpSocket] = []
    readable = False
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_bytes().splitlines()[1:]
        except OSError:
            continue
        readable = True
        found += [row for line in lines if marker in line and (row := _row(line)) is not None]
    return found if readable else None


def _row(line: bytes) -> TcpSocket | None:
    fields = line.split()
    try:
        return TcpSocket(
            local=_endpoint(fields[1]),
            remote=_endpoint(fields[2]),
            state=int(fields[3], 16),
            uid=int(fields[7]),
            inode=int(fields[9]),
        )
    except (IndexError, ValueError):
        return None


def _endpoint(text: bytes) -> Endpoint:
    address, _, port = text.partition(b":")
    return Endpoint(_address(address), int(port, 16))


@functools.lru_cache(maxsize=1024)
def _address(text: bytes) -> Address:
    """The address in a row. Most rows of a crowded table have the same few."""
    if len(text) not in (8, 32):
        raise ValueError("neither IPv4 nor IPv6")
    # Each group of four bytes is a number in the machine's own byte order.
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    return _unmapped(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))


def _unmapped(address: Address) -> Address:
    return getattr(address, "ipv4_mapped", None) or address
