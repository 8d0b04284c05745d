"""Local processes seen from outside: which one listens on a port, and how much memory and CPU a process tree uses."""

from __future__ import annotations

import time
from typing import NamedTuple

import psutil

from llmtui.servers.listening_sockets import listening_rows, socket_inodes, sockets_by_psutil

#: Seconds between two walks of a process tree; in between only the processes of the last walk are read.
WALK_EVERY_S = 2.0


class Listener(NamedTuple):
    """A listening socket. `pid` is None if the process is hidden, as another user's is; `uid` is None if unknown."""

    address: str
    pid: int | None
    uid: int | None = None


def listeners(port: int) -> list[Listener]:
    """Return all listening sockets of this local TCP port, as far as the system shows them."""
    rows = listening_rows(port)
    if rows is None:
        return _from_psutil(port)
    wanted = {row.inode for row in rows}
    holders: dict[int, int] = {}
    for pid in psutil.pids() if wanted else ():
        for inode in (socket_inodes(pid) or set()) & wanted:
            holders.setdefault(inode, pid)
    return [Listener(str(row.local.address), holders.get(row.inode), row.uid) for row in rows]


def _from_psutil(port: int) -> list[Listener]:
    try:
        listening = [one for one in psutil.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN]
    except (psutil.Error, OSError):
        # On macOS only root sees all sockets; this user's processes show theirs.
        places = [(pid, place) for pid in psutil.pids() for place in sorted(sockets_by_psutil(pid), key=str)]
        return [Listener(str(place.address), pid) for pid, place in places if place.port == port]
    return [Listener(one.laddr.ip, one.pid) for one in listening if one.laddr and one.laddr.port == port]


def find_listener(port: int) -> int | None:
    """Return the PID of a process that listens on this local TCP port, None if there is none or it is hidden."""
    return next((one.pid for one in listeners(port) if one.pid), None)


class Tree:
    """A process and its descendants. The CPU time of exited ones stays in the sum, which therefore never decreases."""

    def __init__(self, pid: int, *, root: bool = True) -> None:
        self._pid = pid
        self._with_root = root
        self._members: list[psutil.Process] = []
        self._cpu_s: dict[psutil.Process, float] = {}
        self._walked = -WALK_EVERY_S

    def members(self) -> list[psutil.Process]:
        """Return the processes of the tree, at most `WALK_EVERY_S` old."""
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

    def sample(self, counted: set[int] | None = None) -> tuple[int, float]:
        """Return resident bytes now and CPU seconds so far, summed over the tree.

        Processes in `counted` are left out, and the others are added to it: trees may overlap.
        """
        rss = 0
        counted = set() if counted is None else counted
        for process in self.members():
            if process.pid in counted:
                continue
            counted.add(process.pid)
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
    """Return the resident bytes of a process and its descendants, 0 after its exit."""
    return _tree(pid).sample()[0]


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds so far of a process and its descendants, in steps of the kernel's 10 ms tick."""
    return _tree(pid).sample()[1]
