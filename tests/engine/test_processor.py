"""The name of the processor from recorded files of ARM Linux, and as a Mac gives it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmtui.engine.watch.unseen import DEVICE, HOST, unseen
from llmtui.model import RunConfig
from llmtui.servers import base, sysctl
from llmtui.servers.processor import processor_name

PI = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
GRAVITON = PI.replace("0xd08", "0xd0c").replace("variant\t: 0x0", "variant\t: 0x3").replace(": 3", ": 1")


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., Path]:
    def write(cpuinfo: str, model: str = "") -> Path:
        (tmp_path / "proc/device-tree").mkdir(parents=True)
        (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
        if model:
            (tmp_path / "proc/device-tree/model").write_text(model)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("cpuinfo", "model", "name"),
    [
        (PI * 4, "Raspberry Pi 4 Model B Rev 1.4\0", "Raspberry Pi 4 Model B Rev 1.4 (Cortex-A72 r0p3)"),
        (GRAVITON * 2, "", "Neoverse-N1 r3p1"),
        (PI + GRAVITON + PI, "", "Cortex-A72 r0p3 + Neoverse-N1 r3p1"),
        (PI.replace("0xd08", "0xfff"), "", "ARM 0x41/0xfff r0p3"),
        ("model name\t: AMD EPYC 7763\nCPU part\t: 1\n", "", "AMD EPYC 7763"),
    ],
)
def test_processors(recorded: Callable[..., Path], cpuinfo: str, model: str, name: str) -> None:
    assert processor_name(recorded(cpuinfo, model)) == name


@pytest.mark.parametrize(
    "cpuinfo", ["", "CPU implementer : 0x41\nCPU revision : 1\n", "CPU part : x\nCPU revision : 1\n"]
)
def test_an_unknown_processor_has_the_name_of_its_kind(recorded: Callable[..., Path], cpuinfo: str) -> None:
    assert processor_name(recorded(cpuinfo))


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A sysctl(8) of a Mac with 4 fast cores."""
    program = tmp_path / "sysctl"
    program.write_text(
        "#!/bin/sh\ncase $2 in\nmachdep.cpu.brand_string) echo 'Apple M3';;\nhw.perflevel0.physicalcpu) echo 4;;\n"
        "*) exit 1;;\nesac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    sysctl.sysctl.cache_clear()
    yield
    sysctl.sysctl.cache_clear()


def test_a_mac_has_the_name_of_its_chip_and_threads_for_its_fast_cores(
    mac: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "allowed_cores", lambda: 8)
    assert processor_name(tmp_path) == "Apple M3"
    assert base.thread_count(RunConfig()) == 4
    assert base.thread_count(RunConfig(threads=7)) == 7
    assert sysctl.sysctl("hw.unknown") == ""


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_linux_shows_all_and_other_systems_say_what_they_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unseen() == []
    assert HOST in unseen(tmp_path)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert DEVICE in unseen()
