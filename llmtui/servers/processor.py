"""The name of the processor: on x86 and ARM Linux from /proc and the device tree, on macOS from sysctl.

Runs on processors with the same name are compared as runs on one machine, so "aarch64" is not enough: a Raspberry Pi
and a server would be the same.
"""

from __future__ import annotations

import platform
from pathlib import Path

from llmtui.servers.sysctl import sysctl

#: "CPU implementer" and "CPU part" of ARM processors, as lscpu (util-linux) names them.
_ARM_PARTS = {
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x46, 0x001): "A64FX",
    (0x51, 0x001): "Oryon",
    (0xC0, 0xAC3): "Ampere-1",
}
#: The most kinds of cores in a name.
_MOST_KINDS = 4


def processor_name(root: Path = Path("/")) -> str:
    """Return the name of the processor. `root` has `proc`, for tests; then this machine is not asked."""
    fields = _cpuinfo(root / "proc/cpuinfo")
    if named := next((value for name, value in fields if name == "model name"), ""):
        return named
    cores = _arm_cores(fields)
    board = _text(root / "proc/device-tree/model").rstrip("\0").strip()
    if board and cores:
        return f"{board} ({cores})"
    if found := board or cores:
        return found
    return sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine()


def _cpuinfo(file: Path) -> list[tuple[str, str]]:
    pairs = (line.partition(":") for line in _text(file).splitlines())
    return [(name.strip(), value.strip()) for name, _, value in pairs if value]


def _arm_cores(fields: list[tuple[str, str]]) -> str:
    """Return the kinds of ARM cores with their revision: "Cortex-A76 r4p0 + Cortex-A55 r2p0"."""
    kinds: list[str] = []
    core: dict[str, str] = {}
    for name, value in fields:
        core[name] = value
        # The last line of a core.
        if name == "CPU revision" and (kind := _arm_kind(core)) and kind not in kinds:
            kinds.append(kind)
    return " + ".join(kinds[:_MOST_KINDS])


def _arm_kind(core: dict[str, str]) -> str:
    try:
        maker, part, variant, revision = (
            int(core[name], 0) for name in ("CPU implementer", "CPU part", "CPU variant", "CPU revision")
        )
    except (KeyError, ValueError):
        return ""
    return f"{_ARM_PARTS.get((maker, part), f'ARM {maker:#04x}/{part:#05x}')} r{variant}p{revision}"


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
