"""The processes of a server: those that listen on its port, what they started, and the engine behind them if they are a
front (nginx, LiteLLM, a port forwarder, ...)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection

import psutil

from llmtui.servers.listener import Listener, Tree, listeners
from llmtui.servers.listening_sockets import listening_rows
from llmtui.servers.peers import peers_of
from llmtui.servers.peers_by_psutil import Entrance
from llmtui.servers.process_table import Table, orphans, process_table, tree, used_s
from llmtui.servers.socket_owners import best_listeners
from llmtui.servers.tcp_table import endpoint
from llmtui.text import sanitize

#: A front may stand before a front; a longer chain is not followed.
MAX_HOPS = 4
#: An engine uses at least this many cores while it answers; a front uses less.
ENGINE_CORES = 0.5
_INIT = 1


class ServerProcesses:
    """Processes below `roots`, without the roots themselves if not `with_roots`, and the engine that they lead to.

    `look` finds the engine; only while a request is under way is a front sure to be connected to it.
    """

    def __init__(
        self,
        roots: Collection[int],
        *,
        with_roots: bool = True,
        host: str = "",
        port: int = 0,
        hidden: bool = False,
        behind: Collection[int] = (),
    ) -> None:
        """`host` and `port` are those that are asked. `hidden`: a process that listens there cannot be seen. `behind`:
        see the attribute."""
        self._roots = frozenset(roots)
        self._with_roots = with_roots
        self._host, self._port = host, port
        self._started: dict[int, int] = {}
        self._entrances: frozenset[Entrance] = frozenset({port})
        self._hidden = hidden
        self._unseen = False
        self._trees: dict[int, Tree] = {}
        self._before: Table | None = None
        self._after: Table | None = None
        #: Processes of the server whose parent has ended, each with when it was started.
        self._orphans: dict[int, int] = {}
        #: The first processes of the engine behind a front.
        self.behind = frozenset(behind)
        #: Whether to look in the next iteration, and how many looks in a row found nothing new.
        self.curious = True
        self.fruitless = 0
        self.shared_reported = False
        #: Whether the engine could not be followed: what is known is about the front only.
        self.elsewhere = False

    @property
    def first(self) -> frozenset[int]:
        """The first processes of the engine: all others descend from them."""
        return self.behind or self._roots

    @property
    def front(self) -> str:
        """Describe the front, as in "behind nginx (pid 123)"; "" if there is none or the engine is not seen."""
        if not self.behind or self.elsewhere or not self._with_roots:
            return ""
        pid = min(self._roots, default=0)
        try:
            return f"behind {sanitize(psutil.Process(pid).name(), 40)} (pid {pid})"
        except psutil.Error:
            return f"behind pid {pid}"

    def shares_engine_with(self, other: ServerProcesses) -> bool:
        """Whether one process answers for both: a front leads to it, or both are at one port."""
        if not (self.behind or other.behind):
            return self._roots == other._roots and self._port == other._port
        table, own = process_table(), (os.getpid(),)
        return not tree(table, self.first, own).isdisjoint(tree(table, other.first, own))

    def look(self) -> None:
        """Follow the connections of the server's processes to other processes of this machine. Can run in a thread."""
        with contextlib.suppress(OSError):
            self._follow()

    def _follow(self) -> None:
        table = process_table()
        own = (os.getpid(),)
        members = frontier = tree(table, self._roots | self.behind, own)
        unseen = False
        for _ in range(MAX_HOPS):
            seen = peers_of(frontier, self._entrances)
            self._entrances |= seen.entrances
            unseen = unseen or seen.unseen
            more = seen.pids - members - {_INIT, *own}
            if not more:
                break
            self.behind |= more
            frontier = tree(table, more - seen.workers, own) - members
            members |= tree(table, more, own)
        self._unseen = self._unseen or unseen

    def start(self) -> bool:
        """Start to measure CPU time. Return False if the system does not report it."""
        self._before, self._after = process_table(), None
        self._orphans = {pid: self._orphans[pid] for pid in self._adopted(self._before)}
        self._forget_ended(self._before)
        return bool(self._before)

    def _forget_ended(self, table: Table) -> None:
        """Drop what has ended, also if its PID is used again. A server that was started again has other processes."""
        for pid in self._roots | self.behind:
            started = table[pid].started if pid in table else -1
            if self._started.setdefault(pid, started) != started or started < 0:
                self.behind -= {pid}
                self._roots -= {pid} if self._with_roots else set()
                self._started.pop(pid)
                self._trees.pop(pid, None)
        if table and not self._roots:
            listening = _receivers(self._host, self._port)
            self._roots = frozenset(one.pid for one in listening if one.pid)
            self._hidden = any(not one.pid for one in listening)
            self.curious = True

    def stop(self) -> None:
        """Stop to measure CPU time."""
        self._after = process_table()

    def used_s(self) -> float:
        """Return the CPU seconds between `start` and `stop`, with those of processes that `look` has found since.

        A process that was started in between counts from its first moment, also if its parent has ended. One that
        ended in between counts if a process of the server waited for it, or has not done so yet.
        """
        if not self._before or not self._after:
            return 0.0
        roots, own = self._roots | self.behind, (os.getpid(),)
        members = tree(self._before, roots, own) | tree(self._after, roots, own)
        self._orphans |= {pid: self._after[pid].started for pid in orphans(self._before, self._after, members, own)}
        members |= tree(self._before, self._adopted(self._before), own)
        members |= tree(self._after, self._adopted(self._after), own)
        return used_s(self._before, self._after, members)

    def _adopted(self, table: Table) -> set[int]:
        """Return those that the server left behind in one request and that are still there: in the next ones too."""
        return {pid for pid, started in self._orphans.items() if pid in table and table[pid].started == started}

    def judge(self, cores: float, foreign: float) -> bool:
        """Return whether `cores`, used between `start` and `stop`, are the engine's; `foreign` are all others'."""
        may_be_elsewhere = self._hidden or self._unseen
        self.elsewhere = may_be_elsewhere and (cores < ENGINE_CORES or foreign > cores)
        return not self.elsewhere

    def sample(self) -> tuple[int, float] | None:
        """Return resident bytes and CPU seconds so far, summed over all processes; None if the engine is not seen."""
        if self.elsewhere:
            return None
        counted: set[int] = set()
        rss, cpu_s = 0, 0.0
        for pid in sorted(self._roots | self.behind):
            if pid not in self._trees:
                self._trees[pid] = Tree(pid, root=self._with_roots or pid not in self._roots)
            more_rss, more_cpu_s = self._trees[pid].sample(counted)
            rss, cpu_s = rss + more_rss, cpu_s + more_cpu_s
        return rss, cpu_s


def _receivers(host: str, port: int) -> list[Listener]:
    """Return those that listen for connections to this local host: another program may have the port of IPv6."""
    rows = listening_rows(port) or []
    hosts = ("127.0.0.1", "::1") if host == "localhost" else (host,)
    wanted = {row.local.address for one in hosts for row in best_listeners(rows, endpoint(one, port))}
    return [one for one in listeners(port) if not wanted or endpoint(one.address, port).address in wanted]


def listening_processes(host: str, port: int) -> ServerProcesses | None:
    """Return the processes that listen on this port of a host that is this machine, None if none is visible."""
    listening = _receivers(host, port)
    pids = {one.pid for one in listening if one.pid}
    hidden = any(not one.pid for one in listening)
    return ServerProcesses(pids, host=host, port=port, hidden=hidden) if pids else None


def launched_processes(guard: int, host: str, port: int) -> ServerProcesses:
    """Return the processes that the guard of a launched server started. `host` is "" if it is not this machine.

    A container is none of them, but its port has a listener: then the engine is what that leads to.
    """
    below = tree(process_table(), [guard])
    others = [one for one in _receivers(host, port) if one.pid not in below] if below and host else []
    hidden = not host or any(not one.pid for one in others)
    behind = {one.pid for one in others if one.pid}
    return ServerProcesses({guard}, with_roots=False, port=port, hidden=hidden, behind=behind)
