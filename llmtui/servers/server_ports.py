"""Where LLM servers of this user listen on ports that are not the usual ones, judging by their command lines.

Light: the first frame of the monitor waits for it. The command lines are read first; only those of servers are looked
at further.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from llmtui.config.frameworks import FRAMEWORKS

if TYPE_CHECKING:
    from llmtui.servers.tcp_table import Endpoint

#: The first words of a command line tell which program it is: "python -m vllm.entrypoints.openai.api_server".
WORDS = 4
#: The most addresses that are looked at.
MOST = 20
#: A parent of a parent of a server; a longer chain is not followed.
GENERATIONS = 8
_PROC = Path("/proc")
_SERVER = re.compile("|".join(f"(?:{one.process})" for one in FRAMEWORKS if one.process), re.IGNORECASE)


def is_server(words: Collection[str]) -> bool:
    """Whether a command line is that of a server of a framework that llmtui knows."""
    return bool(_SERVER.match(" ".join(os.path.basename(word.replace("\\", "/")) for word in list(words)[:WORDS])))


def unusual_urls(usual: Collection[int], proc: Path = _PROC) -> list[str]:
    """Return the URLs of LLM servers of this user on other ports than `usual`, without those that llmtui launched."""
    processes = _from_proc(proc) if proc.is_dir() else _from_psutil()
    servers = [pid for pid, words in processes.items() if is_server(words)]
    if not servers:
        return []
    from llmtui.servers.listening_sockets import listening_sockets
    from llmtui.servers.orphans import mark_of

    sockets = listening_sockets(servers, proc)
    urls = [
        url
        for pid, places in sorted(sockets.items())
        # What a server starts is asked through it: the runner of Ollama, the engine of vLLM.
        if not mark_of(pid) and not any(parent in sockets for parent in _parents(pid, proc))
        for place in sorted(places, key=str)  # IPv4 and IPv6 have no common order
        if place.port not in usual and (url := _url(place))
    ]
    return list(dict.fromkeys(urls))[:MOST]


def _url(place: Endpoint) -> str:
    """Return the URL at which this machine reaches a listener, "" if it has none on loopback."""
    if place.address.is_unspecified:
        return f"http://127.0.0.1:{place.port}"
    if not place.address.is_loopback:
        return ""
    return (
        f"http://[{place.address}]:{place.port}"
        if place.address.version == 6
        else f"http://{place.address}:{place.port}"
    )


def _from_proc(proc: Path) -> dict[int, list[str]]:
    """Return the beginnings of the command lines of this user's processes."""
    processes: dict[int, list[str]] = {}
    uid = os.getuid()
    for name in os.listdir(proc):
        if not name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            descriptor = os.open(f"{proc}/{name}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_uid == uid and (text := os.read(descriptor, 4096)):
                    processes[int(name)] = text.decode("utf-8", "replace").split("\0")[:WORDS]
            finally:
                os.close(descriptor)
    return processes


def _from_psutil() -> dict[int, list[str]]:
    import psutil

    processes: dict[int, list[str]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, AttributeError):
            if process.uids().real == os.getuid():
                processes[process.pid] = process.cmdline()[:WORDS]
    return processes


def _parents(pid: int, proc: Path) -> list[int]:
    if not proc.is_dir():
        import psutil

        with contextlib.suppress(psutil.Error, OSError):
            return [parent.pid for parent in psutil.Process(pid).parents()[:GENERATIONS]]
    parents: list[int] = []
    while pid > 1 and len(parents) < GENERATIONS:
        try:
            pid = int((proc / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
        parents.append(pid)
    return parents
