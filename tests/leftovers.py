"""Processes that a test may have left behind, however far below: found by a mark in their environment."""

from __future__ import annotations

import psutil


def carrying(name: str, value: str) -> list[psutil.Process]:
    """The processes whose environment has this variable with this value; those that hide it are not ours."""
    return [process for process in psutil.process_iter() if _value_in(process, name) == value]


def _value_in(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except psutil.Error:
        return None
