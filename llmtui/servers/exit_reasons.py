"""Why a server exited, as text; above all whether the kernel killed it because memory ran out."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: A kill counts as the cause of an exit if it happened in the last one to two of these periods, in seconds.
SPAN_S = 15.0
#: The exit code of a shell or a container client whose command was killed.
KILLED_BELOW = 128 + signal.SIGKILL
#: Exit codes of a program, or of one below a shell, with an instruction that the processor does not have.
ILLEGAL_INSTRUCTION = (-signal.SIGILL, 128 + signal.SIGILL)


class Kills(NamedTuple):
    """Processes that the kernel killed for memory, in the control groups of this process and on this machine.

    None if the system has no such counter.
    """

    groups: int | None
    machine: int | None


def kills(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> Kills:
    """Read the counters: `memory.events` of cgroup v2, `memory.oom_control` of v1, `/proc/vmstat`."""
    counts = []
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (groups / "memory", "memory.oom_control") if controllers else (groups, "memory.events")
        group = Path(path.lstrip("/"))
        # A group includes those below it, but the limit that was reached may belong to a parent.
        counts += [_count(root / place / name) for place in (group, *group.parents)]
    available = [count for count in counts if count is not None]
    return Kills(sum(available) if available else None, _count(proc / "vmstat"))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _count(path: Path) -> int | None:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdecimal():
            return int(value)
    return None


class MemoryWatch:
    """Stores recent values of the counters and the recent memory use of a server. Call `update` at each sample."""

    def __init__(self, read: Callable[[], Kills] = kills) -> None:
        self._read = read
        self._before = self._since = read()
        self._at = time.monotonic()
        self._rss: list[int] = []

    def update(self, rss: int) -> None:
        """Record the resident bytes."""
        if rss:
            self._rss = [*self._rss[-9:], rss]
        if time.monotonic() - self._at >= SPAN_S:
            self._before, self._since, self._at = self._since, self._read(), time.monotonic()

    @property
    def used_bytes(self) -> int:
        """The largest of the last ten samples of resident bytes, 0 if there is none."""
        return max(self._rss, default=0)

    def out_of_memory(self, code: int) -> bool | None:
        """Whether the kernel killed the process that exited with `code` for lack of memory; None if uncertain."""
        now, before = self._read(), self._before
        if now.groups is not None and before.groups is not None and now.groups > before.groups:
            return True
        if now.machine is None or before.machine is None:
            return None if now.groups is None else False
        if now.machine == before.machine:
            return False
        # The kernel killed a process somewhere on this machine. A direct child would be counted in our own groups,
        # a process in a container is not.
        return True if now.groups is None or code == KILLED_BELOW else None


def exit_reason(
    code: int | None,
    *,
    stopping: bool = False,
    out_of_memory: bool | None = None,
    used_bytes: int = 0,
    reported: bool = False,
) -> str:
    """Describe an exit: "exit code 1", "killed by the kernel: out of memory (it used 3.1 GB)".

    `stopping`: llmtui was stopping it. `out_of_memory`: see MemoryWatch. `reported`: its own log has an error about
    memory.
    """
    if code is None:
        return "still running"
    killed = code in (-signal.SIGKILL, KILLED_BELOW)
    if killed and stopping:
        return f"killed by signal {signal.SIGKILL:d}: it did not exit on SIGTERM"
    if killed and out_of_memory:
        return "killed by the kernel: out of memory" + (f" (it used {_size(used_bytes)})" if used_bytes else "")
    text = _describe(code)
    if killed:
        cause = "not by the kernel for lack of memory" if out_of_memory is False else "out of memory?"
        return f"{text} ({cause})"
    if out_of_memory and not stopping:
        return f"{text}; the kernel killed a process at that time: out of memory"
    if code in ILLEGAL_INSTRUCTION:
        return f"{text}; it was built for another processor"
    return f"{text}; out of memory, according to its log" if reported and code else text


def _describe(code: int) -> str:
    if code == KILLED_BELOW:
        return f"exit code {code}: killed by signal {signal.SIGKILL:d}"
    if code >= 0:
        return f"exit code {code}"
    if -code == signal.SIGKILL:
        return f"killed by signal {-code}"
    try:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"killed by signal {-code}"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
