"""Which machine and which network this process is on, how long a connection from here takes, and its own error."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path

from llmtui.servers.machine_identity import machine_identity
from llmtui.store import accuracy_record

#: Connections of which the fastest counts, and how long each may take, in s.
CONNECTIONS = 5
CONNECT_S = 5.0


def boot() -> str:
    """Return an id of this boot of this machine: processes with the same one share a clock. "" if unknown."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def network() -> str:
    """Return an id of the network that this process sees, on its machine. "" if unknown."""
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/net")
    return ""


def connect_times(host: str, port: int) -> list[float]:
    """Return how long TCP connections to a server take, in s. Raises OSError if it cannot be reached."""
    address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]  # looked up once: that is not the network
    times = []
    for _ in range(CONNECTIONS):
        with socket.socket(address[0], address[1], address[2]) as connection:
            connection.settimeout(CONNECT_S)
            began = time.monotonic_ns()
            connection.connect(address[4])
            times.append((time.monotonic_ns() - began) / 1e9)
    return times


def own_error_s(streams: int, rate: float) -> float | None:
    """Return the p95 of the error of a TTFT at this load, in s, by the newest record of `llmtui accuracy` here."""
    record = accuracy_record.newest(machine_identity())
    level = record.level_for(streams=streams, rate=rate) if record is not None else None
    return level.ttft_s.p95 if level is not None else None
