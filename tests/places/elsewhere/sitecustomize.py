"""Makes Python on Linux look as on a Mac, in this process and in all that it starts. See tests/elsewhere.py.

/proc and /sys are hidden from all but psutil, which a Mac has too. What it cannot show: the signals, clocks, `ps` and
scheduler of Darwin, and Metal.
"""

from __future__ import annotations

import asyncio
import builtins
import importlib.abc
import importlib.machinery
import io
import multiprocessing
import os
import pathlib
import platform
import resource
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import types
import uuid
from typing import Any

# What decides by `sys.platform` as it is imported has to decide before it changes.
__all__ = ["asyncio", "multiprocessing", "platform", "subprocess", "tempfile", "uuid"]

_HIDDEN = ("/proc/", "/sys/")
_HERE = pathlib.Path(__file__).parent
_GUARD = _HERE / "guard_elsewhere.py"


def _is_hidden(path: Any) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    text = os.fsdecode(path)
    return (text in ("/proc", "/sys") or text.startswith(_HIDDEN)) and not _asked_by_psutil()


def _asked_by_psutil() -> bool:
    frame = sys._getframe(2)
    for _ in range(12):
        if frame is None:
            return False
        if "psutil" in frame.f_code.co_filename:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _hide(module: Any, name: str) -> None:
    real = getattr(module, name)

    def hidden(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
        if _is_hidden(path):
            if name == "access":
                return False
            raise FileNotFoundError(2, "No such file or directory", os.fsdecode(path))
        return real(path, *args, **kwargs)

    setattr(module, name, hidden)


def _psutil_of_a_mac() -> None:
    import psutil

    def refused(*_: Any, **__: Any) -> Any:
        raise psutil.AccessDenied

    psutil.net_connections = refused
    linux: Any = importlib.import_module("psutil._pslinux")
    cpu_times = linux.Process.cpu_times
    # macOS does not tell what children used that have ended.

    def without_children(process: Any) -> Any:
        return cpu_times(process)._replace(children_user=0.0, children_system=0.0)

    linux.Process.cpu_times = without_children


class _Guard(importlib.abc.MetaPathFinder):
    """Replaces the guard by one that does not use what Linux alone has: it runs with -I, and so without this file."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "llmtui.servers.process_tree":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            module.GUARD = _GUARD

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if os.environ.get("LLMTUI_ELSEWHERE"):
    _psutil_of_a_mac()
    for _module, _name in (
        *((os, one) for one in ("open", "listdir", "scandir", "stat", "lstat", "readlink", "access")),
        (io, "open"),
        (builtins, "open"),
    ):
        _hide(_module, _name)
    for _module, _name in (
        *((socket, one) for one in ("SO_PEERCRED", "AF_NETLINK", "AF_PACKET", "SOCK_CLOEXEC", "SOCK_NONBLOCK")),
        *((os, one) for one in ("sched_getaffinity", "sched_setaffinity", "sched_getscheduler", "sched_setscheduler")),
        *((os, one) for one in ("pidfd_open", "pipe2", "memfd_create", "eventfd", "splice", "posix_fadvise")),
        *((os, one) for one in ("O_PATH", "getresuid", "copy_file_range", "posix_fallocate")),
        (signal, "pidfd_send_signal"),
        (time, "CLOCK_BOOTTIME"),
        (resource, "prlimit"),
        (select, "epoll"),
    ):
        if hasattr(_module, _name):
            delattr(_module, _name)
    sysconfig.get_config_vars()
    # urllib asks it for a Mac's proxies.
    _scproxy: Any = types.ModuleType("_scproxy")
    _scproxy._get_proxies = _scproxy._get_proxy_settings = dict
    sys.modules["_scproxy"] = _scproxy
    sys.meta_path.insert(0, _Guard())
    sys.platform = "darwin"
