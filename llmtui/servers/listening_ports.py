"""Where a launched server listens, by the kernel's table: on the port that it was given, and on this machine only."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from llmtui.model import Failure
from llmtui.servers.base import Launch
from llmtui.servers.elsewhere import OtherPort
from llmtui.servers.listening_sockets import listening_sockets
from llmtui.servers.ports import Launched, port_in_use, port_of, port_owners, process_tree
from llmtui.servers.tcp_table import LISTEN, Endpoint, tcp_sockets

#: Between two looks while a server loads. A server that listens has its port at the first or the second.
LOOK_S = 0.5
#: A look takes some 20 ms of CPU time on a machine with 200 processes.
SLOW_LOOK_AFTER_S = 5.0
SLOW_LOOK_S = 2.0


def listening_on(root: int) -> frozenset[Endpoint]:
    """Return where the process `root` and its descendants listen, as far as the system shows it."""
    return frozenset().union(*listening_sockets(process_tree(root)).values())


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


async def _taken(launch: Launch, endpoints: frozenset[Endpoint]) -> bool:
    """Whether another program may have the server's port. Cheap, unlike to find out which one."""
    port = port_of(launch.ready.url)
    if any(one.port == port for one in endpoints):
        return False
    rows = await asyncio.to_thread(tcp_sockets, port, states=(LISTEN,))
    return rows is None or any(row.local.port == port for row in rows)


class Misplaced(NamedTuple):
    """Why a server cannot be used where it listens, and whether another port may help."""

    failure: Failure
    port_lost: bool


async def misplaced(launch: Launch, launched: Launched, of_command: OtherPort | None = None) -> Misplaced:
    """Watch a server that is starting, and return as soon as it listens where it should not.

    `of_command` judges the command of a config, which may open any ports. Ends only then: cancel it when the server is
    up.
    """
    before, began = False, time.monotonic()
    while True:
        await asyncio.sleep(LOOK_S if time.monotonic() - began < SLOW_LOOK_AFTER_S else SLOW_LOOK_S)
        endpoints = await asyncio.to_thread(listening_on, launched.root)
        if await _taken(launch, endpoints) and (foreign := (await port_owners(launch.ready.url, launched)).foreign):
            hint = "the launched server could not bind it; stop the other one"
            return Misplaced(port_in_use(launch.ready.url, foreign, hint), True)
        if failure := exposed(launch, endpoints):
            return Misplaced(failure, False)
        if of_command is not None and (failure := await of_command.look(endpoints)):
            return Misplaced(failure, False)
        # A server may open another port a moment before its own.
        failure = elsewhere(launch, endpoints)
        if failure and before:
            return Misplaced(failure, True)
        before = failure is not None
