"""The wall clock as a process sees it that has this folder in PYTHONPATH: SIGUSR1 sets it an hour on, SIGUSR2 back.

No name space of Linux has a wall clock of its own, and that of the machine is not a test's to set. So Python's readings
of it and the kernel's stamps on sockets are moved alike, as a real step would move them. LLMTUI_STEPPED names a file
that is made when the step is done.
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
_moved_s = 0


def _step(number: int, _: object) -> None:
    global _moved_s
    _moved_s = HOUR_S if number == signal.SIGUSR1 else 0
    Path(os.environ["LLMTUI_STEPPED"]).touch()


def _moved(read: Callable[[], Any], unit: int) -> Callable[[], Any]:
    return lambda: read() + _moved_s * unit


def _recvmsg(self: socket.socket, *arguments: int, _read: Callable[..., Any] = socket.socket.recvmsg) -> Any:
    data, ancillary, flags, address = _read(self, *arguments)
    for number, (level, kind, payload) in enumerate(ancillary):
        if kind == _SO_TIMESTAMPNS and len(payload) == 16:
            seconds, nanoseconds = struct.unpack("@ll", payload)
            ancillary[number] = (level, kind, struct.pack("@ll", seconds + _moved_s, nanoseconds))
    return data, ancillary, flags, address


if "LLMTUI_STEPPED" in os.environ:
    time.time, time.time_ns = _moved(time.time, 1), _moved(time.time_ns, 1_000_000_000)
    socket.socket.recvmsg = _recvmsg  # type: ignore[method-assign,assignment]
    signal.signal(signal.SIGUSR1, _step)
    signal.signal(signal.SIGUSR2, _step)
