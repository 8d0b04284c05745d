"""Meters of power: what they read from recorded trees of /sys, and from NVIDIA's library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmtui.engine.watch.energy import energy
from llmtui.engine.watch.find_meters import find_meters, may_have_meters, root_folder
from llmtui.engine.watch.gpu_nvml import nvml_meters
from llmtui.engine.watch.gpu_sysfs import sysfs_meters
from llmtui.engine.watch.meters import Meter
from llmtui.engine.watch.rapl import rapl_meters
from tests import power_trees as trees


def joules(meter: Meter) -> float | None:
    reading = meter.read()
    return reading.joules if reading is not None else None


def test_rapl_counts_beyond_the_end_of_its_range(tmp_path: Path) -> None:
    folder = trees.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 900_000_000, most_uj=999_999_999)
    [meter], reason = rapl_meters(tmp_path)
    assert (meter.name, meter.kind, reason) == ("package-0", "cpu", "")
    assert joules(meter) == 0
    (folder / "energy_uj").write_text("950000000\n")
    assert joules(meter) == pytest.approx(50)
    (folder / "energy_uj").write_text("20000000\n")
    assert joules(meter) == pytest.approx(120)


def test_a_counter_that_was_reset_tells_no_energy(tmp_path: Path) -> None:
    """As after a machine was suspended: to its end it would be 200 kJ in no time."""
    folder = trees.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 62_000_000_000)
    [meter], _ = rapl_meters(tmp_path)
    readings = [meter.read()]
    for microjoules in (62_000_500_000, 1_000, 1_500_000, 2_000_000):
        (folder / "energy_uj").write_text(f"{microjoules}\n")
        readings.append(meter.read())
    known = [reading for reading in readings if reading is not None]
    assert [reading.joules is None for reading in known] == [False, False, True, False, False]
    assert energy(known, known[0].at_s, known[-1].at_s, 0.0, 0.0) is None
    assert energy(known[3:], known[3].at_s, known[-1].at_s, 0.0, 0.0) == pytest.approx((0.5, 0.0))


def test_rapl_counts_nothing_twice(tmp_path: Path) -> None:
    """Cores are part of their package, and a platform has all of them."""
    names = ["package-0", "core", "dram", "package-1", "psys"]
    zones = ["intel-rapl:0", "intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:1", "intel-rapl:2"]
    for zone, name in zip(zones, names, strict=True):
        trees.rapl_zone(tmp_path, zone, name, 1)
    trees.rapl_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1)
    assert [meter.name for meter in rapl_meters(tmp_path)[0]] == ["package-0", "dram-0", "package-1"]


def test_a_counter_that_only_root_may_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trees.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 1)
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "energy_uj":
            raise PermissionError
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything
    found = find_meters(tmp_path)
    assert found.meters == []
    [reason] = found.unreadable
    assert f"{folder}/energy_uj may be read by root only" in reason and "sudo chmod a+r" in reason


def test_a_container_that_hides_the_counters(tmp_path: Path) -> None:
    """Docker puts an empty folder where all zones are: the class has links to nowhere."""
    zones = tmp_path / "sys/class/powercap"
    zones.mkdir(parents=True)
    assert find_meters(tmp_path) == ([], []), "no zones at all: no such hardware"
    (zones / "intel-rapl:0").symlink_to("../../devices/virtual/powercap/intel-rapl/intel-rapl:0")
    found = find_meters(tmp_path)
    assert found.meters == []
    [reason] = found.unreadable
    assert "sys/devices/virtual/powercap is hidden" in reason and "llmtui explain power" in reason


def test_a_part_of_sys_that_is_closed_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 1)
    trees.write(tmp_path, {"sys/class/drm": "not a folder, so that listing it fails for root, too"})
    found = find_meters(tmp_path)
    assert [meter.name for meter in found.meters] == ["package-0"]
    assert found.unreadable == ["power is not measured by /sys/class/drm: Not a directory"]
    assert not may_have_meters(tmp_path / ("x" * 300)), "a path that cannot be looked at"


def test_an_amd_card(tmp_path: Path) -> None:
    device = trees.amd(tmp_path)
    [meter] = sysfs_meters(tmp_path)
    reading = meter.read()
    assert meter.name == "AMD Radeon RX 7900 XTX (card0)" and reading is not None
    assert (reading.watts, reading.use, reading.memory_bytes) == (180.0, 0.92, 12_000_000_000)
    (device / "power/runtime_status").write_text("suspended\n")
    assert meter.read() is None, "reading would wake it up"


def test_an_amd_card_that_tells_its_power_now(tmp_path: Path) -> None:
    device = trees.amd(tmp_path, files={"hwmon/hwmon3/power1_input": "95000000\n"})
    (device / "hwmon/hwmon3/power1_average").unlink()
    [meter] = sysfs_meters(tmp_path)
    reading = meter.read()
    assert reading is not None and reading.watts == 95.0


def test_an_intel_card(tmp_path: Path) -> None:
    trees.intel(tmp_path)
    [meter] = sysfs_meters(tmp_path)
    reading = meter.read()
    assert reading is not None and (reading.joules, reading.mhz, reading.use) == (5.0, 2400, None)


def test_a_graphics_unit_in_a_processor_is_no_card(tmp_path: Path) -> None:
    trees.card(tmp_path, 0, "0000:00:02.0", {"vendor": "0x8086\n"})
    assert sysfs_meters(tmp_path) == []


def test_a_graphics_unit_of_amd_in_a_processor_tells_the_power_of_the_socket(tmp_path: Path) -> None:
    """Regression: the same socket was counted by the package's counter too, so that all energies doubled."""
    trees.amd(tmp_path, files={"hwmon/hwmon3/in0_label": "vddgfx\n", "hwmon/hwmon3/in1_label": "vddnb\n"})
    trees.amd(tmp_path, 1, "0000:83:00.0", files={"hwmon/hwmon3/in0_label": "vddgfx\n"})
    trees.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 1)
    assert [meter.name for meter in find_meters(tmp_path).meters] == ["AMD Radeon RX 7900 XTX (card1)", "package-0"]


def test_an_accelerator_of_amd_that_shares_its_socket_with_cores(tmp_path: Path) -> None:
    """MI300A, which has no voltage of its own: the driver of compute says that cores are in the same node."""
    trees.amd(tmp_path, 0, "0000:01:00.0")
    trees.amd(tmp_path, 1, "0000:83:00.0")
    node = "cpu_cores_count {}\nsimd_count {}\nlocation_id {}\ndomain 0\n"
    nodes = "sys/class/kfd/kfd/topology/nodes"
    trees.write(
        tmp_path,
        {
            f"{nodes}/{n}/properties": node.format(*of)
            for n, of in enumerate([(24, 912, 0x0100), (24, 0, 0), (0, 384, 0x8300)])
        },
    )
    assert [meter.name for meter in sysfs_meters(tmp_path)] == ["AMD Radeon RX 7900 XTX (card1)"]


def test_a_card_vanishes_and_comes_back(tmp_path: Path) -> None:
    device = trees.amd(tmp_path)
    [meter] = sysfs_meters(tmp_path)
    device.rename(tmp_path / "gone")
    assert meter.read() is None
    (tmp_path / "gone").rename(device)
    assert meter.read() is not None


def test_whose_processes_two_cards_run(tmp_path: Path) -> None:
    trees.amd(tmp_path)
    trees.amd(tmp_path, 1, "0000:83:00.0")
    trees.process(tmp_path, 41, "0000:83:00.0", kib=7_000_000)
    trees.process(tmp_path, 42, "0000:03:00.0", kib=0)
    first, second = sysfs_meters(tmp_path)
    assert (first.serves([41, 42]), second.serves([41, 42])) == (False, True)
    assert first.serves([42]) is None, "it has the card open and uses nothing of it"


def test_nvidia_cards() -> None:
    """The one counts its energy, the other is older and tells its power only; a third has fallen off the bus."""
    older = trees.nvidia(nvmlDeviceGetName=b"Tesla P100")
    del older["nvmlDeviceGetTotalEnergyConsumption"]
    del older["nvmlDeviceGetComputeRunningProcesses"]
    meters, reason = nvml_meters(trees.FakeNvml(trees.nvidia(), older, {"nvmlDeviceGetName": "gone"}))
    first, second = meters
    assert [meter.name for meter in meters] == ["NVIDIA H200 (0)", "Tesla P100 (1)"] and reason == ""
    one, two = first.read(), second.read()
    assert one is not None and two is not None
    assert (one.joules, one.watts, one.use, one.memory_bytes, one.mhz) == (250.0, None, 0.97, 70_000_000_000, 1980)
    assert (two.joules, two.watts) == (None, 412.0)
    assert (first.serves([41]), first.serves([42]), second.serves([41])) == (True, False, None)


def test_a_driver_that_does_not_answer() -> None:
    nvml = trees.FakeNvml()
    nvml.nvmlInit = lambda: (_ for _ in ()).throw(nvml.NVMLError("Driver/library version mismatch"))  # type: ignore[method-assign]
    assert nvml_meters(nvml) == (
        [],
        "power of the GPU is not measured: NVIDIA's library says 'Driver/library version mismatch'",
    )


def test_a_machine_without_meters_imports_nothing(tmp_path: Path) -> None:
    source = (
        "import sys\nfrom pathlib import Path\nfrom llmtui.engine.watch.find_meters import find_meters\n"
        "import llmtui.engine.power\n"
        f"assert find_meters(Path({str(tmp_path)!r})) == ([], [])\n"
        "assert not {m for m in sys.modules if m.endswith(('pynvml', 'gpu_nvml', 'gpu_sysfs', 'watch.rapl'))}"
    )
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTUI_POWER", "off")
    assert root_folder() is None
    monkeypatch.delenv("LLMTUI_POWER")
    assert root_folder() == Path("/")


@pytest.mark.skipif(not os.path.exists("/dev/nvidiactl"), reason="needs an NVIDIA card and its driver")
def test_the_card_of_this_machine() -> None:
    pytest.importorskip("pynvml", reason="needs nvidia-ml-py (llmtui[gpu])")
    meters, reason = nvml_meters()
    assert meters and not reason
    first, second = meters[0].read(), meters[0].read()
    assert first is not None and second is not None
    assert (first.joules or first.watts or 0) > 0 and first.memory_bytes is not None
    if first.joules is not None and second.joules is not None:
        assert second.joules >= first.joules
