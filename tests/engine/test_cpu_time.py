"""CPU time from recorded files of /proc, and what other programs used as the engine started."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.engine.watch import cpu_time
from llmtui.engine.watch.cpu_time import (
    Reading,
    busy_cpu_seconds,
    cores_of_others,
    process_cpu_seconds,
    read_counters,
)
from llmtui.engine.watch.machine import describe_machine
from llmtui.model import disturbed_from
from tests import build

#: Of a machine with two cores: user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice.
STAT = """\
cpu  4435454 287417 958125 3747790 61071 0 20616 7450 0 0
cpu0 2052636 143768 454163 2080404 14775 0 6813 3631 0 0
cpu1 2382818 143648 503961 1667386 46296 0 13803 3819 0 0
intr 1
"""
#: A name with a bracket and spaces; utime 1200, stime 300, cutime 40, cstime 10.
PROCESS = "77 (a) b (c) S 1 77 77 0 -1 4194304 9 9 0 0 1200 300 40 10 20 0 3 0 555 1 1\n"


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cpu_time, "TICKS_PER_S", 100)
    (tmp_path / "stat").write_text(STAT)
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "stat").write_text(PROCESS)
    return tmp_path


def test_counters_of_a_recorded_machine(proc: Path) -> None:
    assert busy_cpu_seconds(proc) == (4435454 + 287417 + 958125 + 20616 + 7450) / 100
    assert process_cpu_seconds(77, proc) == 15.5
    assert process_cpu_seconds(78, proc) is None
    reading = read_counters([77, 78], proc)
    assert reading is not None and (reading.busy_s, reading.own_s) == (busy_cpu_seconds(proc), {77: 15.5})


@pytest.mark.parametrize("text", ["", "intr 1\n", "cpu 1 2 3\n"])
def test_a_machine_without_counters(text: str, proc: Path) -> None:
    assert read_counters([77], proc / "none") is None
    (proc / "stat").write_text(text)
    assert read_counters([77], proc) is None


def reading(at_s: float, busy_s: float, **own_s: float) -> Reading:
    return Reading(at_s, busy_s, {int(pid[1:]): cpu_s for pid, cpu_s in own_s.items()})


def test_cores_of_others_are_those_that_llmtui_did_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    before = reading(5.0, 100.0, p1=3.0, p2=1.0)
    assert cores_of_others(before, reading(5.5, 102.0, p1=3.4, p2=1.1)) == 3.0
    # The engine and the monitor were all that ran, but for a rounding error.
    assert cores_of_others(before, reading(5.5, 100.52, p1=3.4, p2=1.1)) == 0.0
    # A process that is new, or has ended, counts as another one.
    assert cores_of_others(before, reading(5.5, 101.0, p1=3.4, p3=9.0)) == 1.2
    assert cores_of_others(before, reading(5.01, 101.0)) == 8.0, "no more cores than there are"
    assert cores_of_others(None, before) is None
    assert cores_of_others(before, None) is None
    assert cores_of_others(before, before) is None


def test_a_large_machine_is_disturbed_by_a_hundredth_of_its_idle_cores() -> None:
    assert [disturbed_from(2), disturbed_from(10, 3.0)] == [0.1, 0.1]
    assert [disturbed_from(64), disturbed_from(64, 32.0), disturbed_from(64, 60.0)] == [0.64, 0.32, 0.1]
    busy = build.iteration(foreign_cpu=0.3)
    assert busy.disturbed, "in a history without the limit, it is 0.1 cores"
    assert not build.iteration(foreign_cpu=0.3, disturbed_from=disturbed_from(64, 4.3)).disturbed


def test_the_machine_has_it_only_with_a_reading_from_before() -> None:
    assert describe_machine().foreign_cpu is None
    before = read_counters([])
    used = describe_machine(before).foreign_cpu
    assert used is None if before is None else used is None or used >= 0
