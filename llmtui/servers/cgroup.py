"""The CPU limit of a control group: how many cores it leaves, and for how long it held processes back (Linux).

A container with `--cpus 2` has a quota of CPU time per period. Its processes still see all cores of the machine, and
when they have used their quota they all stand still until the next period. cgroup v2 has `cpu.max` and `cpu.stat`, v1
`cpu.cfs_quota_us`, `cpu.cfs_period_us` and `cpu.stat`. A parent's limit holds for its children too.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path("/")


class _Mount(NamedTuple):
    """Where a tree of groups is mounted, and the group that is visible there as its root."""

    version: int
    root: str
    folder: Path


def cpu_limit(pid: int | None = None, root: Path = ROOT) -> float | None:
    """Return the smallest CPU limit of a process, by default this one, in cores; None without a limit.

    `root` has `proc` and `sys`, for tests.
    """
    limits = [limit for folder in _folders(pid, root) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def held_back_s(pids: Collection[int | None] = (None,), root: Path = ROOT) -> Mapping[str, float]:
    """Return for how long CPU limits held back each control group of these processes so far.

    None is this process. The values are seconds of a core: two that stand still for a second are 2.
    """
    folders = {folder for pid in pids for folder in _folders(pid, root)}
    return {str(folder): held for folder in folders if (held := _held_s(folder)) is not None}


def held_cores(before: Mapping[str, float], now: Mapping[str, float], elapsed_s: float) -> float:
    """Return how many cores the limits took away between two readings of `held_back_s`, to two decimals."""
    most = max((held - before[name] for name, held in now.items() if name in before), default=0.0)
    return round(most / elapsed_s, 2) if most > 0 and elapsed_s > 0 else 0.0


def _limit(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    if not period:
        quota, period = (_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    # A quota of "max" or -1 is none.
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None
    return int(quota) / int(period)


def _held_s(folder: Path) -> float | None:
    for line in _text(folder / "cpu.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("throttled_usec", "throttled_time") and value.strip().isdecimal():
            return int(value) / (1e6 if name == "throttled_usec" else 1e9)
    return None


def _folders(pid: int | None, root: Path) -> Iterator[Path]:
    """Yield the folders of the groups of a process that may limit its CPU, and of their parents."""
    for line in _text(root / f"proc/{'self' if pid is None else pid}/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in _mounts(root):
            if mount.version == (1 if controllers else 2):
                inner = _below(group, mount.root)
                yield from (mount.folder / place for place in (inner, *inner.parents))


def _below(group: str, top: str) -> PurePosixPath:
    """Return the path of `group` below the group `top`; that of `top` itself if it is not below it."""
    path = PurePosixPath(group)
    if path.is_relative_to(top) and ".." not in path.parts:
        return path.relative_to(top)
    # Docker with cgroup v1 mounts a container's own group, and the path is that of the host.
    return PurePosixPath()


@functools.cache
def _mounts(root: Path) -> tuple[_Mount, ...]:
    mounts = []
    for line in _text(root / "proc/self/mountinfo").splitlines():
        mount, _, system = line.partition(" - ")
        places, kind = mount.split(" "), system.split(" ")
        if len(places) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        if kind[0] == "cgroup2" or "cpu" in kind[2].split(","):
            folder = root / places[4].lstrip("/")
            mounts.append(_Mount(2 if kind[0] == "cgroup2" else 1, places[3], folder))
    return tuple(mounts)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except (OSError, ValueError):
        return ""
