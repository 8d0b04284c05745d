"""Ask the scheduler to run this thread soon after its data arrives, on Linux 6.12 or later.

The kernel keeps the newest stamp of what waits in a socket, so a thread that is woken late on a busy machine loses the
earlier ones. The default scheduler runs a thread with a short slice before others that have as much right to run. It
gets no more processor time for that, and needs no privilege.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

#: The shortest slice that the kernel accepts, in ns. Its default is about 3 ms.
SLICE_NS = 100_000
#: sched_setattr(2): the same number on all newer architectures, another one on x86-64.
_NUMBERS = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
#: struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period.
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
#: What this thread starts later gets the usual slice.
_RESET_ON_FORK = 1


def wake_promptly() -> bool:
    """Ask for short slices of this thread. Return whether the kernel accepted it."""
    number = _NUMBERS.get(platform.machine())
    if sys.platform not in ("linux", "android") or number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, _RESET_ON_FORK, nice, 0, SLICE_NS, 0, 0)
    try:
        return bool(ctypes.CDLL(None).syscall(number, 0, attributes, 0) == 0)
    except (OSError, AttributeError):
        return False
