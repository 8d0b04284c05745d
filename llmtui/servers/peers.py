"""Which processes of this machine some processes are connected to, but for their clients.

The connections of a proxy in front of an engine lead to the engine's process. Reads /proc with this user's rights;
without it (macOS), see peers_by_psutil.py.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from llmtui.servers.listening_sockets import socket_inodes
from llmtui.servers.peers_by_psutil import Entrance, Peers, peers_by_psutil
from llmtui.servers.socket_owners import best_listeners
from llmtui.servers.tcp_table import ESTABLISHED, LISTEN, PROC, Endpoint, TcpSocket, tcp_sockets
from llmtui.servers.unix_sockets import unix_sockets

_CLOSE_WAIT = 0x08
_STATES = (ESTABLISHED, _CLOSE_WAIT, LISTEN)
#: Services of the system that any process may be connected to: they do not answer its requests.
_SYSTEM = re.compile(
    r"/run/(?:systemd|udev|nscd|dbus|containerd|snapd|docker\.sock)|dbus|/bus$|X11-unix|ICE-unix|wayland"
)


class _Ends(NamedTuple):
    """Sockets at the other ends: of each connection that was opened, and of workers, which connected to a port of their
    own, as those of Ray do."""

    opened: list[set[int]]
    workers: set[int]
    entrances: set[Entrance]


def peers_of(members: Collection[int], entrances: Collection[Entrance] = (), proc: Path = PROC) -> Peers:
    """Return the processes outside `members` that these are connected to, but for the clients at `entrances`."""
    if not proc.is_dir():
        return peers_by_psutil(members, entrances)
    unseen = False
    own: dict[str, set[int]] = {}
    for pid in members:
        inodes = socket_inodes(pid, proc)
        unseen = unseen or inodes is None
        own.setdefault(_network(pid, proc), set()).update(inodes or ())
    every = set().union(*own.values())
    ends = _Ends([], set(), set())
    _add_unix(every, entrances, ends)
    for network, inodes in own.items():
        _add_tcp(tcp_sockets(None, proc / network, _STATES) or [], inodes, entrances, ends, proc)
    owners = _owners(ends.workers.union(*ends.opened) - every, proc)
    unseen = unseen or any(not end & every and not any(owners[inode] for inode in end) for end in ends.opened)
    pids = frozenset().union(*owners.values()) - set(members)
    asked = frozenset().union(*(owners.get(inode, ()) for end in ends.opened for inode in end))
    return Peers(pids, unseen, frozenset(ends.entrances), pids - asked)


def _add_tcp(rows: list[TcpSocket], inodes: set[int], entrances: Collection[Entrance], ends: _Ends, proc: Path) -> None:
    """Add the other ends of the TCP connections of the owner of `inodes`.

    The end of one that it opened is the socket that accepted it, else those that listen; empty if none is to be seen.
    """
    listening = [row for row in rows if row.state == LISTEN]
    served = {row.local.port for row in listening if row.inode in inodes}
    at = {(row.local, row.remote): row.inode for row in rows if row.state != LISTEN}
    others: set[Endpoint] = set()
    for row in rows:
        if row.state == LISTEN or row.inode not in inodes:
            continue
        inode = at.get((row.remote, row.local))
        if row.local.port in served:
            if inode and row.local.port not in entrances:
                ends.workers.add(inode)
            continue
        ends.entrances.add(row.remote.port)
        if inode:
            ends.opened.append({inode})
        elif inode == 0 or row.remote.address.is_loopback:
            end = {one.inode for one in best_listeners(listening, row.remote)}
            # A connection that its peer has closed leads nowhere if no one listens there any more.
            if end or row.state == ESTABLISHED:
                ends.opened.append(end)
        elif row.state == ESTABLISHED and row.remote not in others:
            others.add(row.remote)
            ends.opened.append(_in_a_container(row, proc))


def _add_unix(inodes: set[int], entrances: Collection[Entrance], ends: _Ends) -> None:
    """Add the other ends of those Unix sockets in `inodes` of which one end is bound to a path."""
    connected = unix_sockets()
    for inode in inodes & connected.keys():
        one = connected[inode]
        peer = connected.get(one.peer)
        name = one.name or (peer.name if peer is not None else "")
        if peer is None or not name or _SYSTEM.search(name):
            continue
        if not one.name:
            ends.opened.append({one.peer})
            ends.entrances.add(name)
        elif name not in entrances:
            ends.workers.add(one.peer)


def _network(pid: int, proc: Path) -> str:
    """Return the folder in `proc` with the table of sockets that a process sees; "" for the one that llmtui sees."""
    with contextlib.suppress(OSError):
        if os.readlink(f"{proc}/{pid}/ns/net") != os.readlink(f"{proc}/self/ns/net"):
            return str(pid)
    return ""


def _in_a_container(row: TcpSocket, proc: Path) -> set[int]:
    """Return the other end of `row` in another network namespace, empty if none is visible."""
    looked = set()
    for name in os.listdir(proc):
        if not name.isdecimal() or not _network(int(name), proc):
            continue
        with contextlib.suppress(OSError):
            namespace = os.readlink(f"{proc}/{name}/ns/net")
            if namespace not in looked:
                looked.add(namespace)
                for one in tcp_sockets(row.remote.port, proc / name) or []:
                    if one.inode and (one.local, one.remote) == (row.remote, row.local):
                        return {one.inode}
    return set()


def _owners(inodes: set[int], proc: Path) -> dict[int, set[int]]:
    """Return the processes that have each of these sockets open."""
    owners: dict[int, set[int]] = {inode: set() for inode in inodes}
    if inodes:
        for name in os.listdir(proc):
            if name.isdecimal():
                for inode in (socket_inodes(int(name), proc) or set()) & inodes:
                    owners[inode].add(int(name))
    return owners
