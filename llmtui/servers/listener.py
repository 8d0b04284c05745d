"""Local processes from the outside: who listens on a port, and what a process tree takes of memory and CPU."""

from __future__ import annotations

import time
from typing import NamedTuple

import psutil

from llmtui.servers.tcp_table import LISTEN, endpoint, tcp_sockets

#: A tree is walked again after this many seconds; between walks only its known members are read.
WALK_EVERY_S = 2.0


class Listener(NamedTuple):
    """A local address that is listened on. `pid` is None where the process cannot be seen, as another user's cannot;
    `uid` is its user, None where the system does not tell."""

    address: str
    pid: int | None
    uid: int | None = None


def listeners(port: int) -> list[Listener]:
    """All that listen on this local TCP port; none where the system does not tell."""
    table = [row for row in tcp_sockets(port) or [] if row.state == LISTEN and row.local.port == port]
    uids = {row.local.address: row.uid for row in table}
    try:
        found = [one for one in psutil.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN]
    except (psutil.Error, OSError):
        return [Listener(str(address), None, uid) for address, uid in uids.items()]
    return [
        Listener(one.laddr.ip, one.pid, uids.get(endpoint(one.laddr.ip, port).address))
        for one in found
        if one.laddr and one.laddr.port == port
    ]


def find_listener(port: int) -> int | None:
    """PID of the process that listens on this local TCP port; None when there is none or it may not be seen."""
    return next((one.pid for one in listeners(port) if one.pid), None)


class Tree:
    """A process and all below it. CPU time of members that ended stays in the sum, so that it never falls."""

    def __init__(self, pid: int, *, root: bool = True) -> None:
        self._pid = pid
        self._with_root = root
        self._members: list[psutil.Process] = []
        self._cpu_s: dict[psutil.Process, float] = {}
        self._walked = -WALK_EVERY_S

    def members(self) -> list[psutil.Process]:
        """The processes of the tree, walked at most every `WALK_EVERY_S`."""
        now = time.monotonic()
        if now - self._walked >= WALK_EVERY_S:
            try:
                root = psutil.Process(self._pid)
                below = root.children(recursive=True)
            except psutil.Error:
                return self._members
            self._members = [root, *below] if self._with_root else below
            self._walked = now
        return self._members

    def sample(self) -> tuple[int, float]:
        """Resident bytes now, and CPU seconds used so far, both summed over the tree."""
        rss = 0
        for process in self.members():
            try:
                with process.oneshot():
                    rss += process.memory_info().rss
                    times = process.cpu_times()
            except psutil.Error:
                self._walked = -WALK_EVERY_S
                continue
            self._cpu_s[process] = times.user + times.system
        return rss, sum(self._cpu_s.values())


_trees: dict[int, Tree] = {}


def _tree(pid: int) -> Tree:
    if pid not in _trees:
        _trees[pid] = Tree(pid)
    return _trees[pid]


def tree_rss(pid: int) -> int:
    """Resident bytes of a process and all below it; 0 when it is gone."""
    return _tree(pid).sample()[0]


def tree_cpu_seconds(pid: int) -> float:
    """CPU seconds used so far by a process and all below it, at the kernel's tick of 10 ms."""
    return _tree(pid).sample()[1]
