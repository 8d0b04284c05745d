"""Where a launched server listens, by the kernel's table: on the port that it was given, and on this machine only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from llmtui.model import Failure
from llmtui.servers.base import Launch
from llmtui.servers.peers import socket_inodes
from llmtui.servers.ports import Launched, port_in_use, port_of, port_owners
from llmtui.servers.process_table import process_table, tree
from llmtui.servers.tcp_table import LISTEN, PROC, Endpoint, tcp_sockets

#: Between two looks while a server loads. A server that listens has its port at the first or the second.
LOOK_S = 0.5


def listening_on(root: int, proc: Path = PROC) -> frozenset[Endpoint]:
    """Return where the process `root` and its descendants listen, as far as the system shows it (Linux)."""
    inodes: set[int] = set()
    for pid in tree(process_table(proc), [root]):
        inodes |= socket_inodes(pid, proc) or set()
    rows = tcp_sockets(None, proc, [LISTEN]) or []
    return frozenset(row.local for row in rows if row.inode in inodes)


def exposed(launch: Launch, endpoints: frozenset[Endpoint]) -> Failure | None:
    """Return the failure of a server that other machines can reach, None if none can."""
    port = port_of(launch.ready.url)
    for one in sorted(endpoints, key=lambda one: (one.port != port, str(one.address))):
        if one.address.is_loopback or launch.ports == "any" or (launch.ports == "inner" and one.port != port):
            continue
        return Failure(
            kind="server",
            message=f"it listens on {one.address} port {one.port}, where other machines can reach it; it was stopped",
            hint="llmtui told it to listen on 127.0.0.1; remove what changes that from `env`, or use another version",
        )
    return None


def elsewhere(launch: Launch, endpoints: frozenset[Endpoint]) -> Failure | None:
    """Return the failure of a server that listens on other ports than the one that it was given, None if it does not.

    Some servers take the next port if theirs is in use.
    """
    port = port_of(launch.ready.url)
    if launch.ports != "one" or not endpoints or any(one.port == port for one in endpoints):
        return None
    other = min(one.port for one in endpoints)
    return Failure(
        kind="server",
        message=f"it listens on port {other} instead of port {port}",
        hint="use another version of it, or start it yourself and set `url`",
    )


class Misplaced(NamedTuple):
    """Why a server cannot be used where it listens, and whether another port may help."""

    failure: Failure
    port_lost: bool


async def misplaced(launch: Launch, launched: Launched) -> Misplaced:
    """Watch a server that is starting, and return as soon as it listens where it should not.

    Ends only then: cancel it when the server is up.
    """
    before = False
    while True:
        await asyncio.sleep(LOOK_S)
        owners = await port_owners(launch.ready.url, launched)
        if owners.foreign:
            hint = "the launched server could not bind it; stop the other one"
            return Misplaced(port_in_use(launch.ready.url, owners.foreign, hint), True)
        endpoints = await asyncio.to_thread(listening_on, launched.root)
        if failure := exposed(launch, endpoints):
            return Misplaced(failure, False)
        # A server may open another port a moment before its own.
        failure = elsewhere(launch, endpoints)
        if failure and before:
            return Misplaced(failure, True)
        before = failure is not None
