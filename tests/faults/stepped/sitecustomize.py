"""Fakes the wall clock of a process with this folder in PYTHONPATH: SIGUSR1 sets it forward an hour, SIGUSR2 back.

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

HOUR_S = 3600
_SO_TIMESTAMPNS = 35
_shift_s = 0


def _step(number: int, _: object) -> None:
    global _shift_s
    _shift_s = HOUR_S if number == signal.SIGUSR1 else 0
    Path(os.environ["LLMTUI_STEPPED"]).touch()


def _shifted(read: Callable[[], Any], unit: int) -> Callable[[], Any]:
    return lambda: read() + _shift_s * unit


def _recvmsg(self: socket.socket, *arguments: int, _read: Callable[..., Any] = socket.socket.recvmsg) -> Any:
    data, ancillary, flags, address = _read(self, *arguments)
    for number, (level, kind, payload) in enumerate(ancillary):
        if kind == _SO_TIMESTAMPNS and len(payload) == 16:
            seconds, nanoseconds = struct.unpack("@ll", payload)
            ancillary[number] = (level, kind, struct.pack("@ll", seconds + _shift_s, nanoseconds))
    return data, ancillary, flags, address


if "LLMTUI_STEPPED" in os.environ:
    time.time, time.time_ns = _shifted(time.time, 1), _shifted(time.time_ns, 1_000_000_000)
    socket.socket.recvmsg = _recvmsg  # type: ignore[method-assign,assignment]
    signal.signal(signal.SIGUSR1, _step)
    signal.signal(signal.SIGUSR2, _step)
