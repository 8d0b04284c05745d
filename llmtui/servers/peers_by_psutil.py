"""Which processes some processes are connected to, on a system without /proc: TCP between this user's processes.

Sockets of other users and Unix sockets are not shown there without root.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from llmtui.servers.tcp_table import Endpoint, endpoint

#: Where clients come in: a TCP port, or the path of a Unix socket.
Entrance = int | str


class Peers(NamedTuple):
    """The processes at the other ends. `unseen`: one that was connected to cannot be seen, as on another machine, in a
    container, or of another user. `entrances` are those of the processes in `pids` that were connected to. `workers`
    are those in `pids` that only connected themselves: what they are connected to does not belong to the engine."""

    pids: frozenset[int]
    unseen: bool
    entrances: frozenset[Entrance] = frozenset()
    workers: frozenset[int] = frozenset()


class _Connection(NamedTuple):
    local: Endpoint
    remote: Endpoint


class _Sockets(NamedTuple):
    """The ports that a process listens on, and its connections, as it sees them and as its peers do."""

    ports: frozenset[int]
    connections: frozenset[_Connection]

    @property
    def reversed(self) -> frozenset[_Connection]:
        return frozenset(_Connection(one.remote, one.local) for one in self.connections)


def peers_by_psutil(members: Collection[int], entrances: Collection[Entrance]) -> Peers:
    """Return the processes outside `members` that these are connected to, but for the clients at `entrances`."""
    import psutil

    read = [_sockets(pid) for pid in members]
    own = [one for one in read if one is not None]
    served = frozenset().union(*(one.ports for one in own))
    inner = frozenset().union(*(one.reversed for one in own))
    outer = frozenset().union(*(one.connections for one in own)) - inner
    opened = {one for one in outer if one.local.port not in served}
    accepted = {one for one in outer - opened if one.local.port not in entrances}
    asked, workers = set[int](), set[int]()
    seen = frozenset[_Connection]()
    for pid in psutil.pids() if opened or accepted else ():
        other = _sockets(pid) if pid not in members else None
        if other is None:
            continue
        if opened & other.reversed:
            asked.add(pid)
            seen |= other.reversed
        elif accepted & other.reversed:
            workers.add(pid)
    unseen = len(own) < len(read) or not opened <= seen
    return Peers(frozenset(asked | workers), unseen, frozenset(one.remote.port for one in opened), frozenset(workers))


def _sockets(pid: int) -> _Sockets | None:
    """Return the TCP sockets of a process; None if they are hidden, as another user's are."""
    import psutil

    ports, connections = set[int](), set[_Connection]()
    try:
        process = psutil.Process(pid)
        every = getattr(process, "net_connections", None) or process.connections  # before psutil 6
        for one in every(kind="tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr:
                ports.add(one.laddr.port)
            elif one.status == psutil.CONN_ESTABLISHED and one.laddr and one.raddr:
                local, remote = (endpoint(end.ip, end.port) for end in (one.laddr, one.raddr))
                connections.add(_Connection(local, remote))
    except psutil.NoSuchProcess:
        pass  # it has ended
    except (psutil.Error, OSError, ValueError):
        return None
    return _Sockets(frozenset(ports), frozenset(connections))
