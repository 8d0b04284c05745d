"""Trees of /sys and /proc as cards and processors have them, and a library of NVIDIA that answers by script."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below `root`, by path."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def rapl_zone(root: Path, zone: str, name: str, energy_uj: int, most_uj: int = 262_143_328_850) -> Path:
    """A zone of RAPL, such as "intel-rapl:0". Returns its folder."""
    folder = f"sys/class/powercap/{zone}"
    files = {"name": f"{name}\n", "energy_uj": f"{energy_uj}\n", "max_energy_range_uj": f"{most_uj}\n"}
    write(root, {f"{folder}/{file}": text for file, text in files.items()})
    return root / folder


def card(root: Path, number: int, address: str, files: dict[str, str]) -> Path:
    """A card with the files of its device. Returns the folder of the device, which is on the bus at `address`."""
    device = root / "sys/devices/pci0000:00" / address
    write(device, files)
    folder = root / f"sys/class/drm/card{number}"
    folder.mkdir(parents=True)
    (folder / "device").symlink_to(device)
    return device


def amd(root: Path, number: int = 0, address: str = "0000:03:00.0", files: dict[str, str] | None = None) -> Path:
    """A card of amdgpu at 180 W, 92% busy, with 12 GB in use."""
    usual = {
        "vendor": "0x1002\n",
        "product_name": "AMD Radeon RX 7900 XTX\n",
        "gpu_busy_percent": "92\n",
        "mem_info_vram_used": "12000000000\n",
        "hwmon/hwmon3/power1_average": "180000000\n",
        "power/runtime_status": "active\n",
    }
    return card(root, number, address, usual | (files or {}))


def intel(root: Path, number: int = 1, address: str = "0000:04:00.0") -> Path:
    """A card of i915 with an energy counter, at 2400 MHz."""
    usual = {"vendor": "0x8086\n", "hwmon/hwmon4/energy1_input": "5000000\n"}
    device = card(root, number, address, usual)
    write(root / f"sys/class/drm/card{number}", {"gt/gt0/rps_act_freq_mhz": "2400\n"})
    return device


def process(root: Path, pid: int, address: str, kib: int) -> None:
    """A process that has a card open, with this much memory on it."""
    fd = root / f"proc/{pid}/fd"
    fd.mkdir(parents=True)
    (fd / "7").symlink_to("/dev/dri/renderD128")
    said = f"pos:\t0\ndrm-driver:\tamdgpu\ndrm-pdev:\t{address}\ndrm-memory-vram:\t{kib} KiB\n"
    write(root, {f"proc/{pid}/fdinfo/7": said})


@contextlib.contextmanager
def counting(folder: Path, watts: float, file: str = "energy_uj", most: int = 262_143_328_850) -> Iterator[None]:
    """Let a counter of microjoules run at this power, from where it stands, beyond its end from 0 on."""
    counter, began = folder / file, time.monotonic()
    first, end = int(counter.read_text()), threading.Event()

    def run() -> None:
        while not end.wait(0.002):
            new = counter.with_name("new")
            new.write_text(f"{(first + int((time.monotonic() - began) * watts * 1e6)) % (most + 1)}\n")
            os.replace(new, counter)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


class FakeNvml:
    """What nvidia-ml-py offers, for cards whose answers are given: a dict each, without what they do not support."""

    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        """What the library raises."""

    def __init__(self, *cards: dict[str, Any]) -> None:
        self.cards = list(cards)

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def __getattr__(self, name: str) -> Any:
        def ask(handle: int, *_: object) -> Any:
            if name not in self.cards[handle]:
                raise self.NVMLError("Not Supported")
            value = self.cards[handle][name]
            return value() if callable(value) else value

        if not name.startswith("nvmlDevice"):
            raise AttributeError(name)
        return ask


def nvidia(**answers: Any) -> dict[str, Any]:
    """A card since Volta: it counts 250 J, is 97% busy, and process 41 computes on it."""
    return {
        "nvmlDeviceGetName": "NVIDIA H200",
        "nvmlDeviceGetTotalEnergyConsumption": 250_000,
        "nvmlDeviceGetPowerUsage": 412_000,
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=40),
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=70_000_000_000),
        "nvmlDeviceGetClockInfo": 1980,
        "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=41, usedGpuMemory=1)],
    } | answers
