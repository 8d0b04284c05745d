"""Who listens on a port: checked before a launch, and afterwards so that another server is not measured by mistake."""

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
from llmtui.servers.listening_sockets import listening_rows
from llmtui.servers.orphans import mark_of
from llmtui.text import sanitize
from llmtui.wire import common

CONNECT_TIMEOUT_S = 1.0
#: Port forwarders of containers, and parents of containers. They do not descend from the command that started one.
FORWARDERS = ("docker-proxy", "containerd-shim", "conmon", "rootlessport", "slirp4netns", "pasta", "gvproxy")
#: Start times of processes are coarse.
START_SLACK_S = 1.0


@dataclass(frozen=True)
class Launched:
    """A launched server: the root of its process tree, its mark, and its start (time.time())."""

    root: int
    mark: str
    began: float


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def occupant(url: str) -> str:
    """Describe the process that already listens at this URL, as in "ollama (pid 123)"; "" if there is none."""
    host, port, addresses = await resolve(url)
    if listening := await asyncio.to_thread(_listening, addresses, port):
        return _describe(listening[0])
    # A port that the kernel forwards into a container, or one of another machine, has no listener here.
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return ""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return "another server"


class PortOwners(NamedTuple):
    """Who listens on a launched server's port: `foreign` describes a process that is not part of the server, "" if none
    is; `uids` are the users of all listeners, None if unknown."""

    foreign: str
    uids: frozenset[int] | None


async def port_owners(url: str, launched: Launched) -> PortOwners:
    """Return who listens at this URL, and whether that is the launched server."""
    _, port, addresses = await resolve(url)

    def look() -> PortOwners:
        listening = _listening(addresses, port)
        tree = process_tree(launched.root)
        foreign = next((_describe(one) for one in listening if not _is_own(one, port, tree, launched)), "")
        has_table = listening_rows(port) is not None
        uids = frozenset(one.uid for one in listening if one.uid is not None)
        return PortOwners(foreign, uids if has_table else None)

    return await asyncio.to_thread(look)


def port_in_use(url: str, owner: str, hint: str) -> Failure:
    """Return the failure for a port that `owner` listens on."""
    return Failure(kind="server", message=f"port {port_of(url)} is in use by {owner}", hint=hint)


def port_of(url: str) -> int:
    """Return the port of a URL, by default that of its scheme."""
    return common.host_and_port(url)[1]


async def resolve(url: str) -> tuple[str, int, frozenset[str]]:
    """Return host, port, and the addresses of the host."""
    host, port = common.host_and_port(url)
    try:
        resolved = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return host, port, frozenset()
    return host, port, frozenset(str(address[0]).partition("%")[0] for *_, address in resolved)


def _listening(addresses: frozenset[str], port: int) -> list[Listener]:
    """Return the local listeners that receive connections to these addresses."""
    here = addresses & _own_addresses() | {text for text in addresses if ipaddress.ip_address(text).is_loopback}
    if not here:
        return []
    # No other process can bind the port of a wildcard address (0.0.0.0, ::), and :: includes IPv4.
    return [one for one in listeners(port) if one.address in here or ipaddress.ip_address(one.address).is_unspecified]


def _own_addresses() -> set[str]:
    addresses = {"0.0.0.0", "::"}
    with contextlib.suppress(OSError, psutil.Error):
        addresses |= {one.address.partition("%")[0] for card in psutil.net_if_addrs().values() for one in card}
    return addresses


def process_tree(root: int) -> set[int]:
    """Return a process and its descendants."""
    try:
        return {root, *(process.pid for process in psutil.Process(root).children(recursive=True))}
    except psutil.Error:
        return {root}


def _is_own(one: Listener, port: int, tree: set[int], launched: Launched) -> bool:
    if one.pid is not None:
        return _belongs(one.pid, tree, launched)
    # A hidden process belongs to another user, or runs in another PID namespace.
    return one.uid in (None, os.getuid()) or (one.uid == 0 and _root_forwards(port))


def _belongs(pid: int, tree: set[int], launched: Launched) -> bool:
    if pid in tree or mark_of(pid) == launched.mark:
        return True
    try:
        process = psutil.Process(pid)
        if process.create_time() < launched.began - START_SLACK_S:
            return False
        return any(_is_forwarder(one) for one in (process, *process.parents()))
    except psutil.NoSuchProcess:
        return True  # it has exited; the next check sees what is left
    except psutil.Error:
        return False


def _is_forwarder(process: psutil.Process) -> bool:
    """Whether this is a container's forwarder. Any program can have such a name: it counts if it is root's or ours."""
    return process.name().startswith(FORWARDERS) and process.uids().real in (0, os.getuid())


def _root_forwards(port: int) -> bool:
    """Whether root forwards `port` into a container, judging by its processes."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == 0 and process.name().startswith(FORWARDERS):
                words = process.cmdline()
                if "-host-port" not in words or str(port) in words:
                    return True
    return False


def _describe(listener: Listener) -> str:
    if listener.pid is None:
        user = "" if listener.uid is None else f" (uid {listener.uid})"
        return "a hidden process" if listener.uid == os.getuid() else f"a process of another user{user}"
    try:
        return f"{sanitize(psutil.Process(listener.pid).name(), 40)} (pid {listener.pid})"
    except psutil.Error:
        return f"pid {listener.pid}"
