"""The machine that a run is measured on: processor, memory, operating system, versions."""

from __future__ import annotations

import collections
import contextlib
import os
from pathlib import Path

import msgspec

from llmtui.engine.watch.conditions import governor, load_1m
from llmtui.engine.watch.cpu_time import Reading, cores_of_others, read_counters
from llmtui.engine.watch.unseen import unseen
from llmtui.model import Machine
from llmtui.servers.cgroup import cpu_limit
from llmtui.servers.machine_identity import machine_identity


def own_processes() -> list[int]:
    """Return this process and the one that started it, which is the monitor or the command."""
    return [os.getpid(), os.getppid()]


def describe_machine(before: Reading | None = None) -> Machine:
    """Describe this machine. `cores` counts those that this process may use.

    With a reading from `before`, `foreign_cpu` is what others used since then.
    """
    return msgspec.structs.replace(
        machine_identity(),
        memory_bytes=_memory_bytes(),
        gpu=_gpu(),
        governor=governor(),
        load_1m=load_1m(),
        foreign_cpu=cores_of_others(before, read_counters(own_processes())) if before is not None else None,
        cpu_limit=cpu_limit(),
        unseen=unseen(),
    )


def _gpu(folders: str = "/proc/driver/nvidia/gpus", kfd: str = "/sys/class/kfd/kfd/topology/nodes") -> str:
    """Return the GPUs by their drivers' names (NVIDIA in /proc, AMD in /sys), "" if there is none."""
    names = []
    for file in sorted(Path(folders).glob("*/information")):
        with contextlib.suppress(OSError):
            lines = file.read_text("utf-8", "replace").splitlines()
            names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    for file in sorted(Path(kfd).glob("*/name")):
        with contextlib.suppress(OSError):
            names.append(file.read_text("utf-8", "replace").strip())
    counts = collections.Counter(name for name in names if name)
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0
