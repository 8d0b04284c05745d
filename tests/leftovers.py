"""Processes of a test, at any depth: by a variable in their environment, and their command lines."""

from __future__ import annotations

import psutil


def carrying(name: str, value: str) -> list[psutil.Process]:
    """Return the processes with this variable in their environment; unreadable ones are not ours."""
    return [process for process in psutil.process_iter() if _value_in(process, name) == value]


def command_line(process: psutil.Process) -> list[str]:
    """Return its command line; empty if it has just ended, also while its parent has not waited for it."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _value_in(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except psutil.Error:
        return None
