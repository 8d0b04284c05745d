"""Which user a connection leads to, so that no key and no measurement goes to another user of this machine (Linux).

After a server exits, any user may listen on its port and would receive the next request with its key. So each new
connection is checked before a byte is written to it.
"""

from __future__ import annotations

import os
from pathlib import Path

from llmtui.model import Failure
from llmtui.servers.socket_diag import find_socket
from llmtui.servers.tcp_table import LISTEN, PROC, Endpoint, TcpSocket, endpoint, tcp_sockets

#: One reading of the kernel's table can miss a row while other connections open and close.
_READINGS = 3
#: The first uid of a person (UID_MIN of login.defs). System accounts, such as that of Ollama's service, are below.
FIRST_PERSON = 1000


def socket_owners(here: Endpoint, there: Endpoint, proc: Path = PROC) -> frozenset[int] | None:
    """Return the users (uid) at the other end of the connection from `here` to `there`, a server on this machine.

    Empty if no socket of this machine matches: the server is elsewhere, or the kernel forwards the port into a
    container.
    None if the system has no such table.
    """
    if not (there.address.is_loopback or there.address == here.address):
        return frozenset()
    if proc == PROC and (uid := _owner(here, there)) is not None:
        return frozenset({uid})
    for _ in range(_READINGS):
        rows = tcp_sockets(there.port, proc)
        if rows is None:
            # If the table exists but cannot be read (no file descriptor left), admit no one.
            return frozenset() if os.access(proc / "net" / "tcp", os.R_OK) else None
        # A server may listen as one user and accept as another, as nginx does. The accepting process counts only if
        # the listener is gone.
        accepted = [row for row in rows if (row.local, row.remote) == (there, here) and row.inode]
        if sockets := best_listeners(rows, there) or accepted:
            return frozenset(row.uid for row in sockets)
    return frozenset()


def _owner(here: Endpoint, there: Endpoint) -> int | None:
    """Return the user at the other end by the kernel's own look-up: as below, the listener's, else who accepted."""
    listener = find_socket(there, Endpoint(here.address, 0))
    if listener is not None and listener.state == LISTEN:
        return listener.uid
    accepted = find_socket(there, here)
    return accepted.uid if accepted is not None and accepted.inode else None


def best_listeners(rows: list[TcpSocket], there: Endpoint) -> list[TcpSocket]:
    """Return the listeners that receive connections to `there`: those of its exact address, else of any address."""
    listening = [row for row in rows if row.state == LISTEN and row.local.port == there.port]
    exact = [row for row in listening if row.local == there]
    any_address = [row for row in listening if row.local.address.is_unspecified]
    same_family = [row for row in any_address if row.local.address.version == there.address.version]
    # "::" includes IPv4, unless an IPv4 listener has the port.
    return exact or same_family or any_address


def strangers(uids: frozenset[int] | None) -> str:
    """Return those of `uids` that are neither this user, nor root, nor a system account, as in "1001, 1002"."""
    return ", ".join(str(uid) for uid in sorted(uids or ()) if uid >= FIRST_PERSON and uid != os.getuid())


class Owners:
    """Admits connections to a server as long as the users that listen on its port stay the same.

    `allowed` are the users at bring-up; None means those of the first connection. With `no_strangers` these must not
    include another person: for a resumed run whose history does not record them.
    """

    def __init__(self, allowed: frozenset[int] | None = None, proc: Path = PROC, *, no_strangers: bool = False) -> None:
        self._allowed = allowed
        self._proc = proc
        self._no_strangers = no_strangers

    @property
    def allowed(self) -> frozenset[int] | None:
        """The users that may listen on the port; None before the first connection."""
        return self._allowed

    def __call__(self, here: tuple[str, int], there: tuple[str, int]) -> Failure | None:
        """Return why the connection from `here` to `there` must not be used, None if it may be."""
        owners = socket_owners(endpoint(*here), endpoint(*there), self._proc)
        if owners is None:
            return None
        if self._allowed is None and self._no_strangers and (uids := strangers(owners)):
            return Failure(
                kind="server",
                message=f"port {there[1]} belongs to another user (uid {uids}), and the history does not record "
                "whether it did when the run began; nothing was sent",
                hint="start a new run if it is the right server",
            )
        if self._allowed is None:
            self._allowed = owners
        if owners == self._allowed or (owners and owners < self._allowed):
            return None
        uids = ", ".join(map(str, sorted(owners - self._allowed)))
        owner = f"another user (uid {uids})" if owners else "no visible process"
        return Failure(
            kind="server",
            message=f"port {there[1]} belongs to {owner}, not to the server that was brought up; nothing was sent",
            hint="check what listens there; if it is the right server, start a new run",
        )
