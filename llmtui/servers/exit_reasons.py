"""How a server ended, in words; above all whether the kernel killed it because memory ran out."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: Kills are looked for in the last one to two of these spans before an end, so that an older one is not blamed.
SPAN_S = 15.0
#: What a shell or a container client returns for a command that was killed.
KILLED_BELOW = 128 + signal.SIGKILL


class Kills(NamedTuple):
    """How many processes the kernel has killed for memory: in this process's control groups, and on this machine.

    None where the kernel does not tell.
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
        # A group counts those below it too, but the limit that struck may stand above: the parents as well.
        counts += [_count(root / place / name) for place in (group, *group.parents)]
    told = [count for count in counts if count is not None]
    return Kills(sum(told) if told else None, _count(proc / "vmstat"))


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
    """Remembers the counters as they were a moment ago, and what the server held. `look` is called at each sample."""

    def __init__(self, read: Callable[[], Kills] = kills) -> None:
        self._read = read
        self._before = self._since = read()
        self._at = time.monotonic()
        self._rss: list[int] = []

    def look(self, rss: int) -> None:
        """Note the resident bytes."""
        if rss:
            self._rss = [*self._rss[-9:], rss]
        if time.monotonic() - self._at >= SPAN_S:
            self._before, self._since, self._at = self._since, self._read(), time.monotonic()

    @property
    def held_bytes(self) -> int:
        """What it held at most of late; 0 when that is unknown."""
        return max(self._rss, default=0)

    def struck(self, code: int) -> bool | None:
        """Whether the kernel killed for memory just now what ended with `code`; None when that is uncertain."""
        now, before = self._read(), self._before
        if now.groups is not None and before.groups is not None and now.groups > before.groups:
            return True
        if now.machine is None or before.machine is None:
            return None if now.groups is None else False
        if now.machine == before.machine:
            return False
        # It struck somewhere on this machine. A container is counted elsewhere, the direct child in groups that we see.
        return True if now.groups is None or code == KILLED_BELOW else None


def exit_words(
    code: int | None, *, asked: bool = False, struck: bool | None = None, held_bytes: int = 0, said: bool = False
) -> str:
    """How a process ended: "exit code 1", "killed by the kernel: out of memory (it held 3.1 GB)".

    `asked` says that llmtui wanted its end, `struck` that the kernel killed for memory at that time (None: unknown),
    `said` that its own last words were of memory.
    """
    if code is None:
        return "still running"
    killed = code in (-signal.SIGKILL, KILLED_BELOW)
    if killed and asked:
        return f"killed by signal {signal.SIGKILL:d}: it did not end when asked to"
    if killed and struck:
        return "killed by the kernel: out of memory" + (f" (it held {_size(held_bytes)})" if held_bytes else "")
    words = _plain_words(code)
    if killed:
        why = "by somebody: the kernel's out-of-memory counter did not move" if struck is False else "out of memory?"
        return f"{words} ({why})"
    if struck and not asked:
        return f"{words}; the kernel killed a process at that time: out of memory"
    return f"{words}; out of memory, as it says itself" if said and code else words


def _plain_words(code: int) -> str:
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
