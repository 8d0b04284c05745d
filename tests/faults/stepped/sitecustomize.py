"""Fakes the wall clock of a process with this folder in PYTHONPATH: SIGUSR1 sets it forward, SIGUSR2 back.

By an hour, or by LLMTUI_STEP_S.

Linux has no namespace for the wall clock, and a test must not set the machine's. So Python's readings of it and the
kernel's timestamps on sockets are shifted alike, as by a real step. The file LLMTUI_STEPPED is created after a step.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEP_S = float(os.environ.get("LLMTUI_STEP_S", "3600"))
_SO_TIMESTAMPNS = 35
_shift_s = 0.0


def _step(number: int, _: object) -> None:
    global _shift_s
    _shift_s += STEP_S if number == signal.SIGUSR1 else -STEP_S
    Path(os.environ["LLMTUI_STEPPED"]).touch()


def _shifted(read: Callable[[], Any], unit: float) -> Callable[[], Any]:
    return lambda: read() + type(unit)(_shift_s * unit)


def _recvmsg(self: socket.socket, *arguments: int, _read: Callable[..., Any] = socket.socket.recvmsg) -> Any:
    data, ancillary, flags, address = _read(self, *arguments)
    for number, (level, kind, payload) in enumerate(ancillary):
        if kind == _SO_TIMESTAMPNS and len(payload) == 16:
            seconds, nanoseconds = struct.unpack("@ll", payload)
            shifted = divmod(seconds * 1_000_000_000 + nanoseconds + int(_shift_s * 1_000_000_000), 1_000_000_000)
            ancillary[number] = (level, kind, struct.pack("@ll", *shifted))
    return data, ancillary, flags, address


if "LLMTUI_STEPPED" in os.environ:
    time.time, time.time_ns = _shifted(time.time, 1.0), _shifted(time.time_ns, 1_000_000_000)
    socket.socket.recvmsg = _recvmsg  # type: ignore[method-assign,assignment]
    signal.signal(signal.SIGUSR1, _step)
    signal.signal(signal.SIGUSR2, _step)
