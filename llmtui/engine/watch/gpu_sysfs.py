"""AMD and Intel cards from /sys/class/drm: the drivers amdgpu, i915 and xe. NVIDIA's are in gpu_nvml."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

from llmtui.engine.watch.meters import Meter, Reading, whole_number
from llmtui.text import sanitize

_AMD, _INTEL = "0x1002", "0x8086"
_MICRO = 1e-6
_CARD = re.compile(r"card[0-9]+")
#: Memory of a card that a process has, in what the kernel says of its open device file.
_HAS_MEMORY = re.compile(rb"^drm-(?:memory|resident|total)-vram[0-9]*:\s*[1-9]", re.MULTILINE)
_PDEV = re.compile(rb"^drm-pdev:\s*(\S+)", re.MULTILINE)


class SysfsCard:
    """A card whose files are in `device`. It may vanish, or sleep: then it has no reading."""

    kind: Literal["gpu", "cpu"] = "gpu"

    def __init__(self, card: Path, name: str, proc: Path) -> None:
        self.name = name
        self._device = card / "device"
        #: Its address on the bus, such as "0000:03:00.0".
        self._address = os.path.basename(os.path.realpath(self._device))
        self._proc = proc
        self._awake = self._device / "power/runtime_status"
        self._busy = self._device / "gpu_busy_percent"
        self._memory = self._device / "mem_info_vram_used"
        self._energy = _first(self._device.glob("hwmon/hwmon*/energy1_input"))
        self._power = _first(self._device.glob("hwmon/hwmon*/power1_average"))
        self._power = self._power or _first(self._device.glob("hwmon/hwmon*/power1_input"))
        self._clock = _first(card.glob("gt/gt0/rps_act_freq_mhz")) or _first(card.glob("gt_act_freq_mhz"))
        self._clock = self._clock or _first(self._device.glob("tile0/gt0/freq0/act_freq"))
        self.grain_j = _MICRO if self._energy is not None else 0.0

    @property
    def measures(self) -> bool:
        """Whether it tells power or energy."""
        return self._energy is not None or self._power is not None

    def in_processor(self, sockets: Collection[str]) -> bool:
        """Whether it is a part of a processor: one of `sockets` by its address, or it has the voltage of a socket."""
        labels = self._device.glob("hwmon/hwmon*/in[01]_label")
        return self._address in sockets or any(_text(label) == "vddnb" for label in labels)

    def read(self) -> Reading | None:
        """Read it. A sleeping card is not woken up."""
        try:
            if self._awake.read_bytes().startswith(b"suspend"):
                return None
        except OSError:
            pass
        energy = whole_number(self._energy) if self._energy is not None else None
        power = whole_number(self._power) if energy is None and self._power is not None else None
        if energy is None and power is None:
            return None
        busy, clock = whole_number(self._busy), whole_number(self._clock) if self._clock is not None else None
        return Reading(
            time.monotonic(),
            joules=energy * _MICRO if energy is not None else None,
            watts=power * _MICRO if power is not None else None,
            use=busy / 100 if busy is not None else None,
            memory_bytes=whole_number(self._memory),
            mhz=clock,
        )

    def serves(self, pids: Collection[int]) -> bool | None:
        """Whether one of these processes has memory on this card, None if it is not seen on any card."""
        cards: set[str] = set()
        for pid in pids:
            cards |= _cards_of(pid, self._proc)
        return self._address in cards if cards else None


def sysfs_meters(root: Path) -> list[Meter]:
    """Return the AMD and Intel cards below `root` that tell their power or energy.

    A graphics unit in the processor is left out: what it tells is the power of the whole socket (amdgpu since Renoir,
    and MI300A), which the meter of the processor has.
    """
    meters: list[Meter] = []
    sockets = _in_sockets(root)
    for card in sorted((root / "sys/class/drm").iterdir()):
        if not _CARD.fullmatch(card.name):
            continue
        vendor = _text(card / "device/vendor")
        if vendor in (_AMD, _INTEL):
            meter = SysfsCard(card, _name(card, "AMD" if vendor == _AMD else "Intel"), root / "proc")
            if meter.measures and not meter.in_processor(sockets):
                meters.append(meter)
    return meters


def _name(card: Path, maker: str) -> str:
    try:
        product = sanitize((card / "device/product_name").read_text("utf-8", "replace").strip(), 60)
    except OSError:
        product = ""
    return f"{product or maker} ({card.name})"


def _in_sockets(root: Path) -> set[str]:
    """The addresses of graphics units that share a node with the cores of a processor, by the driver of compute."""
    found = set()
    for node in root.glob("sys/class/kfd/kfd/topology/nodes/*/properties"):
        lines = (line.split() for line in _text(node).splitlines())
        values = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdecimal()}
        if values.get("cpu_cores_count") and values.get("simd_count"):
            place = values.get("location_id", 0)
            found.add(f"{values.get('domain', 0):04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 0x1F:02x}.{place & 7}")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""


def _first(found: Iterable[Path]) -> Path | None:
    return min(found, default=None)


def _cards_of(pid: int, proc: Path) -> set[str]:
    """Return the addresses of the cards on which a process has memory."""
    cards: set[str] = set()
    try:
        numbers = os.listdir(proc / f"{pid}/fd")
    except OSError:
        return cards
    for number in numbers:
        try:
            if not os.readlink(proc / f"{pid}/fd/{number}").startswith("/dev/dri/"):
                continue
            said = (proc / f"{pid}/fdinfo/{number}").read_bytes()
        except OSError:
            continue
        if (address := _PDEV.search(said)) and _HAS_MEMORY.search(said):
            cards.add(address[1].decode("ascii", "replace"))
    return cards
