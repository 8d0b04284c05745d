"""What the hardware did during an iteration or a turn: use and memory of the GPUs, and energy, as far as measured."""

from __future__ import annotations

from llmtui.model.base import Own, Struct


class Power(Struct, frozen=True):
    """Readings over `seconds`: those of an iteration, or of the window of a turn. What was not measured is None.

    `meters` name what the energy is of, such as "NVIDIA H200" and "package-0". `by_process`: the cards among them are
    those that the server has open; otherwise they are all cards of the machine.

    `gpu_use` (a share) and `gpu_mhz` are means over time and cards. `gpu_memory_bytes` is the most memory in use on
    these cards, by all processes. `joules` is the energy of all meters and `gpu_joules` the part of the cards; `watts`
    is the mean. `joules_error` bounds what the interval of the readings and the steps of the counters can hide; it
    knows nothing of the calibration of the sensors. `idle_watts` is what the same meters showed before the run, and
    `joules_above_idle` the rest, which may be negative. `joules_per_token` is energy per output token.
    """

    meters: list[Own] = []
    by_process: bool = False
    seconds: float | None = None
    gpu_use: float | None = None
    gpu_memory_bytes: int | None = None
    gpu_mhz: float | None = None
    watts: float | None = None
    joules: float | None = None
    joules_error: float | None = None
    gpu_joules: float | None = None
    idle_watts: float | None = None
    joules_above_idle: float | None = None
    joules_above_idle_error: float | None = None
    joules_per_token: float | None = None
    joules_per_token_error: float | None = None
    joules_per_token_above_idle: float | None = None
    joules_per_token_above_idle_error: float | None = None
