"""Processes that a test left behind, at any depth, by a variable in their environment."""

from __future__ import annotations

import psutil


def carrying(name: str, value: str) -> list[psutil.Process]:
    """Return the processes with this variable in their environment; unreadable ones are not ours."""
    return [process for process in psutil.process_iter() if _value_in(process, name) == value]


def _value_in(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except psutil.Error:
        return None
