"""Conditions that affect a measurement: stolen time, swapping, heat, the frequency governor, load, the device (Linux).

Sampled before and after an iteration, never during it. A counter that the machine does not have is 0.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import psutil

from llmtui.engine.watch.cpu_time import ROUNDING_S
from llmtui.servers.cgroup import ROOT, held_back_s, held_cores
from llmtui.servers.process_table import TICKS_PER_S

_CPUS = Path("/sys/devices/system/cpu")
#: Device files that a process has open while it computes on a GPU.
_GPU_FILES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/render", "/dev/dxg", "/dev/accel")
#: Device files that are also open in processes that only list the GPUs.
_GPU_CONTROL = frozenset({"/dev/nvidiactl", "/dev/nvidia-modeset"})


class Counters(NamedTuple):
    """Counters since boot, read at `at_ns` on the monotonic clock. `held_s`: see llmtui.servers.cgroup."""

    at_ns: int
    steal_s: float = 0.0
    swapped: int = 0
    throttled: int = 0
    held_s: Mapping[str, float] = MappingProxyType({})


class Changes(NamedTuple):
    """Between two readings: cores stolen by the hypervisor, pages swapped in or out, times throttled by heat, and cores
    that the CPU limit of a container took away."""

    steal: float = 0.0
    swapped: int = 0
    throttled: int = 0
    cpu_limited: float = 0.0


def sample(proc: Path = Path("/proc"), cpus: Path = _CPUS, root: Path = ROOT, server: Collection[int] = ()) -> Counters:
    """Read the counters; this takes some tenths of a millisecond. `server` are the first processes of the server."""
    steal_s, swapped = 0.0, 0
    with contextlib.suppress(OSError, ValueError, IndexError), (proc / "stat").open("rb") as file:
        steal_s = int(file.readline().split()[8]) / TICKS_PER_S
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (proc / "vmstat").read_bytes().splitlines():
            if line.startswith((b"pswpin ", b"pswpout ")):
                swapped += int(line.split()[1])
    throttled = 0
    for counter in _throttle_counters(cpus):
        with contextlib.suppress(OSError, ValueError):
            throttled += int(counter.read_bytes())
    return Counters(time.monotonic_ns(), steal_s, swapped, throttled, held_back_s((None, *server), root))


def since(before: Counters, now: Counters) -> Changes:
    """Return the changes from `before` to `now`."""
    elapsed_s = (now.at_ns - before.at_ns) / 1e9
    steal_s = now.steal_s - before.steal_s
    return Changes(
        steal=round(steal_s / elapsed_s, 2) if steal_s > ROUNDING_S and elapsed_s > 0 else 0.0,
        swapped=max(0, now.swapped - before.swapped),
        throttled=max(0, now.throttled - before.throttled),
        cpu_limited=held_cores(before.held_s, now.held_s, elapsed_s),
    )


@functools.cache
def _throttle_counters(cpus: Path) -> list[Path]:
    return sorted(cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"))


def governor(cpus: Path = _CPUS) -> str:
    """Return the cores' frequency governors ("performance", "powersave"...), "" if unknown."""
    names = set()
    for file in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor"):
        with contextlib.suppress(OSError):
            names.add(file.read_text("ascii", "replace").strip())
    return ", ".join(sorted(names - {""}))


def load_1m() -> float | None:
    """Return the load average of the last minute, None if the system has none."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def device_of(pid: int, proc: Path = Path("/proc")) -> Literal["", "cpu", "gpu"]:
    """Return what a process tree computes on, by its open device files; "" if they cannot be read."""
    try:
        root = psutil.Process(pid)
        pids = [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.Error:
        return ""
    readable = False
    for process in pids:
        try:
            files = list((proc / str(process) / "fd").iterdir())
        except OSError:
            continue
        readable = True
        for file in files:
            with contextlib.suppress(OSError):
                target = os.readlink(file)
                if target.startswith(_GPU_FILES) and target not in _GPU_CONTROL:
                    return "gpu"
    return "cpu" if readable else ""
