"""Who has a port: before a server is launched on it, and after, so that no other server's answers pass for its own."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from llmtui.model import Failure
from llmtui.servers.listener import Listener, listeners
from llmtui.servers.orphans import mark_of
from llmtui.servers.tcp_table import tcp_sockets
from llmtui.text import sanitize
from llmtui.wire import common

KNOCK_TIMEOUT_S = 1.0
#: They listen for what runs in a container, or are its parents, and never descend from the command that asked for it.
CARRIERS = ("docker-proxy", "containerd-shim", "conmon", "rootlessport", "slirp4netns", "pasta", "gvproxy")
#: Clocks of process starts tick coarsely.
START_SLACK_S = 1.0


@dataclass(frozen=True)
class Launched:
    """What is known of a server's processes: the root of their tree, their mark, and when it began (time.time())."""

    root: int
    mark: str
    began: float


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def occupant(url: str) -> str:
    """Who answers at the place of this URL already, as in "ollama (pid 123)"; "" when nobody does."""
    host, port, addresses = await _place(url)
    if found := await asyncio.to_thread(_listening, addresses, port):
        return _who(found[0])
    # What the kernel forwards into a container shows no listener, and neither does another machine.
    try:
        async with asyncio.timeout(KNOCK_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return ""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return "another server"


class Holders(NamedTuple):
    """Who listens at a launched server's place: `foreign` describes one that does not belong to it, "" for none; `uids`
    are the users of all, None where the system does not tell."""

    foreign: str
    uids: frozenset[int] | None


async def holders(url: str, launched: Launched) -> Holders:
    """Who listens at the place of this URL, and whether that is what was launched."""
    _, port, addresses = await _place(url)

    def look() -> Holders:
        found = _listening(addresses, port)
        tree = _tree(launched.root)
        foreign = next((_who(one) for one in found if not _is_its_own(one, port, tree, launched)), "")
        known = tcp_sockets(port) is not None
        return Holders(foreign, frozenset(one.uid for one in found if one.uid is not None) if known else None)

    return await asyncio.to_thread(look)


def taken(url: str, who: str, hint: str) -> Failure:
    """The failure to tell of."""
    return Failure(kind="server", message=f"port {port_of(url)} is taken by {who}", hint=hint)


def port_of(url: str) -> int:
    """The port of a URL, its scheme's own where none is written."""
    return common.host_and_port(url)[1]


async def _place(url: str) -> tuple[str, int, frozenset[str]]:
    """Host, port, and the addresses of the host."""
    host, port = common.host_and_port(url)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return host, port, frozenset()
    return host, port, frozenset(str(address[0]).partition("%")[0] for *_, address in found)


def _listening(addresses: frozenset[str], port: int) -> list[Listener]:
    """Local listeners that get what is sent to these addresses."""
    here = addresses & _own_addresses() | {text for text in addresses if ipaddress.ip_address(text).is_loopback}
    if not here:
        return []
    # Nothing else can have the port of a wildcard (0.0.0.0, ::), and :: has that of IPv4 too.
    return [one for one in listeners(port) if one.address in here or ipaddress.ip_address(one.address).is_unspecified]


def _own_addresses() -> set[str]:
    found = {"0.0.0.0", "::"}
    with contextlib.suppress(OSError, psutil.Error):
        found |= {one.address.partition("%")[0] for card in psutil.net_if_addrs().values() for one in card}
    return found


def _tree(root: int) -> set[int]:
    try:
        return {root, *(process.pid for process in psutil.Process(root).children(recursive=True))}
    except psutil.Error:
        return {root}


def _is_its_own(one: Listener, port: int, tree: set[int], launched: Launched) -> bool:
    if one.pid is not None:
        return _belongs(one.pid, tree, launched)
    # A process that cannot be seen is another user's, or runs in another space of process ids.
    return one.uid in (None, os.getuid()) or (one.uid == 0 and _root_forwards(port))


def _belongs(pid: int, tree: set[int], launched: Launched) -> bool:
    if pid in tree or mark_of(pid) == launched.mark:
        return True
    try:
        process = psutil.Process(pid)
        if process.create_time() < launched.began - START_SLACK_S:
            return False
        return any(_carries(one) for one in (process, *process.parents()))
    except psutil.NoSuchProcess:
        return True  # gone again: what is left will be found by the next question
    except psutil.Error:
        return False


def _carries(process: psutil.Process) -> bool:
    """Whether this is a container's forwarder. Anybody can call a program so: it counts as root's or as ours only."""
    return process.name().startswith(CARRIERS) and process.uids().real in (0, os.getuid())


def _root_forwards(port: int) -> bool:
    """Whether root forwards `port` into a container, as far as its processes tell."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == 0 and process.name().startswith(CARRIERS):
                words = process.cmdline()
                if "-host-port" not in words or str(port) in words:
                    return True
    return False


def _who(listener: Listener) -> str:
    if listener.pid is None:
        user = "" if listener.uid is None else f" (uid {listener.uid})"
        return "a process that cannot be seen" if listener.uid == os.getuid() else f"a process of another user{user}"
    try:
        return f"{sanitize(psutil.Process(listener.pid).name(), 40)} (pid {listener.pid})"
    except psutil.Error:
        return f"pid {listener.pid}"
