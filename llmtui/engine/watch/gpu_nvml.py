"""NVIDIA cards by NVIDIA's library (nvidia-ml-py, the extra `gpu`), which is imported where their driver is."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Collection
from typing import Any, Literal, TypeVar

from llmtui.engine.watch.meters import Meter, Reading
from llmtui.text import sanitize

_T = TypeVar("_T")
_MILLI = 1e-3
_INSTALL = "power of the GPU is not measured: pip install 'llmtui[gpu]'"


class NvmlCard:
    """A card. Cards since Volta count their energy (mJ), older ones tell their power."""

    kind: Literal["gpu", "cpu"] = "gpu"

    def __init__(self, nvml: Any, handle: Any, name: str) -> None:
        self.name = name
        self._nvml, self._handle = nvml, handle
        self._counts = self._ask(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) is not None
        self.grain_j = _MILLI if self._counts else 0.0

    def read(self) -> Reading | None:
        """Read it. The use is that of the last sixth of a second to second, as the driver has it."""
        nvml, handle = self._nvml, self._handle
        energy = power = None
        if self._counts:
            energy = self._ask(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        else:
            power = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        at_s = time.monotonic()
        if energy is None and power is None:
            return None
        use = self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        return Reading(
            at_s,
            joules=energy * _MILLI if energy is not None else None,
            watts=power * _MILLI if power is not None else None,
            use=use / 100 if use is not None else None,
            memory_bytes=self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used),
            mhz=self._ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        )

    def serves(self, pids: Collection[int]) -> bool | None:
        """Whether one of these processes computes on it, None if the driver does not tell.

        In a container the driver may list processes by other numbers, or none.
        """
        running = self._ask(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        return None if running is None else any(process.pid in pids for process in running)

    def _ask(self, question: Callable[[], _T]) -> _T | None:
        """Ask the library; None if the card does not have it, or is gone."""
        try:
            return question()
        except Exception:  # whatever the driver says, a run goes on
            return None


def nvml_meters(nvml: Any = None) -> tuple[list[Meter], str]:
    """Return the cards, or in words why there are none. `nvml` is the library, by default the installed one."""
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return [], _INSTALL
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except Exception as error:  # NVMLError, which the library makes as it is loaded
        return [], f"power of the GPU is not measured: NVIDIA's library says {sanitize(str(error), 200)!r}"
    meters: list[Meter] = []
    for index in range(count):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            name = nvml.nvmlDeviceGetName(handle)
        except Exception:  # a card that has fallen off the bus
            continue
        text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        card = NvmlCard(nvml, handle, sanitize(f"{text} ({index})" if count > 1 else text, 60))
        if card.read() is not None:
            meters.append(card)
    return meters, ""
