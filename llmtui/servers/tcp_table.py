"""The kernel's table of TCP sockets and their owners (Linux: /proc/net/tcp and tcp6, proc(5)).

psutil reads the same table but leaves out the uid, which distinguishes another user's socket from ours.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import struct
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, TypeAlias

PROC = Path("/proc")
ESTABLISHED = 0x01
LISTEN = 0x0A

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Endpoint(NamedTuple):
    """One end of a connection. An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`) is stored as IPv4."""

    address: Address
    port: int


class TcpSocket(NamedTuple):
    """One row of the table. `uid` and `inode` are 0 for a socket without a process: closed, or not yet accepted."""

    local: Endpoint
    remote: Endpoint
    state: int
    uid: int
    inode: int


def endpoint(address: str, port: int) -> Endpoint:
    """Return an endpoint from an address in text form, as from the socket module. Raises ValueError."""
    return Endpoint(_unmapped(ipaddress.ip_address(address.partition("%")[0])), port)


def tcp_sockets(port: int | None, proc: Path = PROC, states: Collection[int] = ()) -> list[TcpSocket] | None:
    """Return the sockets with `port` on either side, or all; None if the system has no such table.

    With `states` only those that are in one of them: a busy machine has thousands that are closed.

    The kernel returns the table in parts: while other connections open and close, one reading may miss a row.
    """
    marker = b"" if port is None else f":{port:04X} ".encode()
    pattern = re.compile(rb"^ *\d+: \S+ \S+ (?:%b) .*$" % b"|".join(b"%02X" % state for state in states), re.MULTILINE)
    rows: list[TcpSocket] = []
    readable = False
    for name in ("tcp", "tcp6"):
        try:
            text = (proc / "net" / name).read_bytes()
        except OSError:
            continue
        readable = True
        lines = pattern.findall(text) if states else text.splitlines()[1:]
        rows += [row for line in lines if marker in line and (row := _row(line)) is not None]
    return rows if readable else None


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
    """Parse the address in a row. A large table has few different ones."""
    if len(text) not in (8, 32):
        raise ValueError("neither IPv4 nor IPv6")
    # Each group of four bytes is a number in the byte order of the machine.
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    return _unmapped(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))


def _unmapped(address: Address) -> Address:
    return getattr(address, "ipv4_mapped", None) or address
