"""What this system does not show, so that it is said once instead of looking as if nothing had happened."""

from __future__ import annotations

import sys
from pathlib import Path

from llmtui.engine.watch.cpu_time import busy_cpu_seconds
from llmtui.measure.stalls import reports_short_stalls
from llmtui.measure.stamped_socket import kernel_stamps

STAMPS = "when the kernel received data (times are taken after reading: see llmtui accuracy)"
OTHERS = "the CPU of other programs"
HOST = "stolen CPU, swapping, heat"
STALLS = "stops of llmtui itself below 1 s"
DEVICE = "the device that a server computes on"


def unseen(proc: Path = Path("/proc")) -> list[str]:
    """Return what cannot be measured here, in words; empty on a usual Linux."""
    missing = {
        STAMPS: kernel_stamps() is None,
        OTHERS: busy_cpu_seconds() is None,
        HOST: not ((proc / "stat").exists() and (proc / "vmstat").exists()),
        STALLS: not reports_short_stalls(),
        DEVICE: sys.platform not in ("linux", "android") or not (proc / "self/fd").exists(),
    }
    return [words for words, is_missing in missing.items() if is_missing]
