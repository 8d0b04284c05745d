"""Whose socket a connection really leads to: no key and no figure may go to another user of this machine (Linux).

A port is held only as long as its server lives. When that ends, any user may listen in its place, and would get the
next request with its key. So each new connection is looked at before a byte is written to it.
"""

from __future__ import annotations

import os
from pathlib import Path

from llmtui.model import Failure
from llmtui.servers.tcp_table import LISTEN, PROC, Endpoint, TcpSocket, endpoint, tcp_sockets

#: One reading of the kernel's table can miss a row while other connections come and go.
_READINGS = 3
#: System accounts, such as the one that Ollama's own service runs as, come before it (UID_MIN of login.defs).
FIRST_PERSON = 1000


def socket_owners(here: Endpoint, there: Endpoint, proc: Path = PROC) -> frozenset[int] | None:
    """The users (uid) that hold the other end of the connection from `here` to `there`, a server on this machine.

    Empty where no socket of this machine holds it: the server is elsewhere, or the kernel forwards the port into a
    container. None where the system does not tell.
    """
    if not (there.address.is_loopback or there.address == here.address):
        return frozenset()
    for _ in range(_READINGS):
        rows = tcp_sockets(there.port, proc)
        if rows is None:
            # A table that is there and cannot be read (no file descriptor left) must not let everybody pass.
            return frozenset() if os.access(proc / "net" / "tcp", os.R_OK) else None
        # A server may listen as one user and accept as another, as nginx does. Only where nobody listens any more does
        # the process count that accepted the connection.
        accepted = [row for row in rows if (row.local, row.remote) == (there, here) and row.inode]
        if found := best_listeners(rows, there) or accepted:
            return frozenset(row.uid for row in found)
    return frozenset()


def best_listeners(rows: list[TcpSocket], there: Endpoint) -> list[TcpSocket]:
    """The listeners that get what is sent to `there`: those of exactly its address before those of any address."""
    listening = [row for row in rows if row.state == LISTEN and row.local.port == there.port]
    exact = [row for row in listening if row.local == there]
    any_address = [row for row in listening if row.local.address.is_unspecified]
    own_kind = [row for row in any_address if row.local.address.version == there.address.version]
    # "::" takes IPv4 too, unless a listener of IPv4's own has the port.
    return exact or own_kind or any_address


def strangers(uids: frozenset[int] | None) -> str:
    """Those of `uids` that are neither this user, nor root, nor a system account, as in "1001, 1002"."""
    return ", ".join(str(uid) for uid in sorted(uids or ()) if uid >= FIRST_PERSON and uid != os.getuid())


class Owners:
    """Admits connections to a server as long as the users that hold its port stay the same.

    `allowed` are those that held it when the server was brought up; None takes those of the first connection. With
    `no_strangers` these must not be another person: for a run that goes on, of which it is not known who held the port.
    """

    def __init__(self, allowed: frozenset[int] | None = None, proc: Path = PROC, *, no_strangers: bool = False) -> None:
        self._allowed = allowed
        self._proc = proc
        self._no_strangers = no_strangers

    @property
    def allowed(self) -> frozenset[int] | None:
        """Those that may hold the port; None before the first connection."""
        return self._allowed

    def __call__(self, here: tuple[str, int], there: tuple[str, int]) -> Failure | None:
        """Why the connection from `here` to `there` must not be used; None where it may."""
        found = socket_owners(endpoint(*here), endpoint(*there), self._proc)
        if found is None:
            return None
        if self._allowed is None and self._no_strangers and (uids := strangers(found)):
            return Failure(
                kind="server",
                message=f"port {there[1]} is held by another user (uid {uids}), and the history does not tell whether "
                "it was when the run began; nothing was sent",
                hint="begin a new run if it is the right server",
            )
        if self._allowed is None:
            self._allowed = found
        if found == self._allowed or (found and found < self._allowed):
            return None
        uids = ", ".join(map(str, sorted(found - self._allowed)))
        who = f"another user (uid {uids})" if found else "no process that can be seen"
        return Failure(
            kind="server",
            message=f"port {there[1]} is held by {who}, not by the server that was brought up; nothing was sent",
            hint="find out what listens there; if it is the right server, begin a new run",
        )
