"""All processes at one moment, with their parents and CPU time (Linux: /proc/PID/stat, proc(5)).

The difference of two readings covers a process that started in between, and one that ended in between.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PROC = Path("/proc")


class ProcessRow(NamedTuple):
    """One process. `started` distinguishes processes that had the same PID; `cpu` and `reaped` are ticks: its own CPU
    time, and that of its children that ended and were waited for. `group` is its process group, 0 if unknown."""

    parent: int
    started: int
    cpu: int
    reaped: int
    group: int = 0


Table: TypeAlias = Mapping[int, ProcessRow]


def process_table(proc: Path | None = None) -> Table:
    """Return all visible processes by PID: from psutil where the system has no such files, {} if `proc` has none."""
    table: dict[int, ProcessRow] = {}
    proc, given = proc or _PROC, proc is not None
    try:
        names = os.listdir(proc)
    except OSError:
        return table if given else _from_psutil()
    for name in names:
        if not name.isdecimal():
            continue
        try:
            raw = _read(f"{proc}/{name}/stat")
            fields = raw[raw.rindex(b")") + 2 :].split(b" ", 20)
            table[int(name)] = ProcessRow(
                parent=int(fields[1]),
                started=int(fields[19]),
                cpu=int(fields[11]) + int(fields[12]),
                reaped=int(fields[13]) + int(fields[14]),
                group=int(fields[2]),
            )
        except (OSError, ValueError, IndexError):
            continue  # it has ended
    return table


def _from_psutil() -> Table:
    """Return all visible processes. The CPU time that macOS hides, that of other users and of ended children, is 0."""
    import psutil

    table: dict[int, ProcessRow] = {}
    with contextlib.suppress(psutil.Error, OSError):
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, OSError), process.oneshot():
                cpu_s = reaped_s = 0.0
                with contextlib.suppress(psutil.AccessDenied):
                    times = process.cpu_times()
                    cpu_s, reaped_s = times.user + times.system, times.children_user + times.children_system
                table[process.pid] = ProcessRow(
                    parent=process.ppid(),
                    started=round(process.create_time() * 100),
                    cpu=round(cpu_s * TICKS_PER_S),
                    reaped=round(reaped_s * TICKS_PER_S),
                    group=_group(process.pid),
                )
    return table


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _read(path: str) -> bytes:
    """Return the beginning of a small file; with `open` this takes twice the time."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def tree(table: Table, roots: Collection[int], without: Collection[int] = ()) -> set[int]:
    """Return `roots` and all their descendants in `table`, but neither `without` nor what is below them."""
    children: dict[int, list[int]] = {}
    for pid, row in table.items():
        children.setdefault(row.parent, []).append(pid)
    members: set[int] = set()
    left = [pid for pid in roots if pid in table]
    while left:
        pid = left.pop()
        if pid not in members and pid not in without:
            members.add(pid)
            left += children.get(pid, [])
    return members


def orphans(before: Table, after: Table, members: Collection[int], without: Collection[int] = ()) -> set[int]:
    """Return the processes that `members` left behind since `before`: another process is their parent now.

    They are new and in a process group of `members`, and their parent is not in it. A group that `without` is in says
    nothing: the terminal or the script that llmtui was started from has started other programs too.
    """
    shared = {after[pid].group for pid in without if pid in after}
    groups = {table[pid].group for table in (before, after) for pid in members if pid in table} - shared - {0}
    return {
        pid
        for pid, row in after.items()
        if row.group in groups
        and pid not in members
        and (pid not in before or before[pid].started != row.started)
        and (row.parent not in after or after[row.parent].group != row.group)
    }


def used_s(before: Table, after: Table, members: Collection[int]) -> float:
    """Return the CPU seconds that the processes `members` used between two readings."""
    ticks = 0
    ended: dict[int, int] = {}
    for pid in members:
        then = before.get(pid)
        if then is not None and _has_ended(pid, then, after):
            parent = _surviving(then.parent, before, after)
            ended[parent] = ended.get(parent, 0) + then.cpu + then.reaped
    for pid in members:
        if (now := after.get(pid)) is None:
            continue
        then = before.get(pid)
        if then is None or then.started != now.started:
            then = ProcessRow(0, 0, 0, 0)
        # What an ended child had used before is in its parent's sum now.
        ticks += now.cpu - then.cpu + max(0, now.reaped - then.reaped - ended.get(pid, 0))
    return ticks / TICKS_PER_S


def _has_ended(pid: int, then: ProcessRow, after: Table) -> bool:
    return pid not in after or after[pid].started != then.started


def _surviving(pid: int, before: Table, after: Table) -> int:
    """Return this process, or if it has ended the nearest one above it that has not: the sum of both is there now."""
    seen = set[int]()
    while pid in before and pid not in seen and _has_ended(pid, before[pid], after):
        seen.add(pid)
        pid = before[pid].parent
    return pid
