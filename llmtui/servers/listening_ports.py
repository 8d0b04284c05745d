"""Where a launched server listens, by the kernel's table: on the port that it was given, and on this machine only."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from llmtui.model import Failure
from llmtui.servers.base import Launch
from llmtui.servers.elsewhere import OtherPort
from llmtui.servers.listening_sockets import listening_sockets
from llmtui.servers.ports import Launched, port_in_use, port_of, port_owners, process_tree
from llmtui.servers.tcp_table import Endpoint

#: Between two looks while a server loads. A server that listens has its port at the first or the second.
LOOK_S = 0.5


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


class Misplaced(NamedTuple):
    """Why a server cannot be used where it listens, and whether another port may help."""

    failure: Failure
    port_lost: bool


async def misplaced(launch: Launch, launched: Launched, of_command: OtherPort | None = None) -> Misplaced:
    """Watch a server that is starting, and return as soon as it listens where it should not.

    `of_command` judges the command of a config, which may open any ports. Ends only then: cancel it when the server is
    up.
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
        if of_command is not None and (failure := await of_command.look(endpoints)):
            return Misplaced(failure, False)
        # A server may open another port a moment before its own.
        failure = elsewhere(launch, endpoints)
        if failure and before:
            return Misplaced(failure, True)
        before = failure is not None
