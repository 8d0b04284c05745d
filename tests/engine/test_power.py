"""Energy from readings with its error, and what a recording of meters says of an answer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from llmtui.engine import power as engine_power
from llmtui.engine.backend_run import BackendRun
from llmtui.engine.bringup import Target
from llmtui.engine.power import begin_power, with_power, with_turn_power
from llmtui.engine.recorder import Recorder
from llmtui.engine.run import Run
from llmtui.engine.watch import meter_thread
from llmtui.engine.watch.energy import energy, mean
from llmtui.engine.watch.meters import Reading
from llmtui.engine.watch.power import Idle, PowerWatch, Recording
from llmtui.engine.watch.rapl import rapl_meters
from llmtui.model import AnyEvent, Backend, Note
from llmtui.servers.server_processes import ServerProcesses
from tests import build, loads
from tests import power_trees as trees


def counters(watts: float, *, step_s: float = 0.1, n: int = 21) -> list[Reading]:
    return [Reading(i * step_s, joules=i * step_s * watts) for i in range(n)]


def test_a_counter_over_a_window_between_its_readings() -> None:
    found = energy(counters(200.0), 0.45, 1.55, grain_j=0.001, update_s=0.02)
    assert found is not None
    assert found.joules == pytest.approx(220.0)
    assert found.error_j == pytest.approx(0.001 + 0.02 * 200.0)


def test_a_window_between_readings_of_a_power_that_changes_is_less_sure() -> None:
    readings = [
        Reading(0.0, joules=0.0),
        Reading(0.1, joules=5.0),
        Reading(0.2, joules=45.0),
        Reading(0.3, joules=85.0),
    ]
    at_readings = energy(readings, 0.1, 0.3, 0.0, 0.0)
    between = energy(readings, 0.05, 0.3, 0.0, 0.0)
    assert at_readings is not None and between is not None
    assert (at_readings.joules, at_readings.error_j) == (80.0, 0.0)
    true_j = 80.0 + 5.0  # if it rose at the end of the first interval
    assert abs(between.joules - true_j) <= between.error_j


def test_power_is_integrated() -> None:
    readings = [Reading(t / 10, watts=100.0 + 10 * t) for t in range(11)]
    found = energy(readings, 0.0, 1.0, 0.0, 0.1, idle_w=50.0)
    assert found is not None
    assert found.joules == pytest.approx(150.0)
    assert found.error_j == pytest.approx(0.2 * 150.0), "it may have risen from idle between two readings"


@pytest.mark.parametrize("readings", [[], [Reading(0.0, watts=1.0)], [Reading(0.0, use=0.5), Reading(1.0, use=0.5)]])
def test_no_energy_without_two_readings(readings: list[Reading]) -> None:
    assert energy(readings, 0.0, 1.0, 0.0, 0.1) is None


def test_a_mean_is_over_time() -> None:
    readings = [Reading(0.0, use=0.0), Reading(0.1, use=1.0), Reading(1.1, use=1.0)]
    assert mean(readings, lambda r: r.use, 0.0, 1.1) == pytest.approx(1.05 / 1.1)
    assert mean(readings, lambda r: r.mhz, 0.0, 1.1) is None


class Steady:
    """A meter at a constant power since it was made, that can fall silent."""

    grain_j = 0.0

    def __init__(
        self, name: str, watts: float, kind: Literal["gpu", "cpu"] = "gpu", pids: Collection[int] = ()
    ) -> None:
        self.name, self.kind, self.watts, self._pids = name, kind, watts, pids
        self.began, self.gone = time.monotonic(), False
        self.threads: set[str] = set()

    def read(self) -> Reading | None:
        self.threads.add(threading.current_thread().name)
        now = time.monotonic()
        return None if self.gone else Reading(now, joules=(now - self.began) * self.watts, use=0.5, memory_bytes=10**9)

    def serves(self, pids: Collection[int]) -> bool | None:
        return any(pid in self._pids for pid in pids)


@pytest.fixture
def server() -> Iterator[int]:
    """The number of a process."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def test_a_recording() -> None:
    meters = [Steady("card", 300.0), Steady("package-0", 50.0, "cpu")]
    recording = Recording(meters, [Idle(60.0, 1.0, 0.01), Idle(20.0, 1.0, 0.001)])
    recording.start()
    time.sleep(0.3)
    recording.stop()
    power = recording.power(tokens=70)
    assert power is not None and power.seconds is not None and power.joules_per_token is not None
    assert power.meters == ["card", "package-0"]
    assert power.watts == pytest.approx(350.0, rel=0.01)
    assert power.joules == pytest.approx(350.0 * power.seconds, rel=0.01)
    assert power.gpu_joules == pytest.approx(300.0 * power.seconds, rel=0.01)
    assert power.joules_error == pytest.approx(300.0 * 0.01 + 50.0 * 0.001, rel=0.01)
    assert power.joules_above_idle == pytest.approx(270.0 * power.seconds, rel=0.01)
    assert power.joules_per_token == pytest.approx(5.0 * power.seconds, rel=0.01)
    assert (power.gpu_use, power.gpu_memory_bytes) == (0.5, 10**9)
    assert meters[0].threads == {"power"}
    assert not [thread for thread in threading.enumerate() if thread.name == "power"]


def test_the_window_of_a_turn() -> None:
    recording = Recording([Steady("card", 300.0)], [Idle(60.0, 0.0, 0.001)])
    recording.start()
    time.sleep(0.35)
    recording.stop()
    power = recording.power(10, (recording.ended_s - 0.25, recording.ended_s - 0.05))
    assert power is not None
    assert power.seconds == pytest.approx(0.2)
    assert power.joules == pytest.approx(60.0, rel=0.01)


@pytest.mark.parametrize("late_s", [0.0, 0.5])
@pytest.mark.parametrize("hidden", [0.0, 0.75])
def test_the_energy_of_a_turn_is_that_of_its_window_however_late_its_end_was_heard(
    late_s: float, hidden: float
) -> None:
    """Regression: a cluster hears of the end late, and 16% of the energy of a window of 2 s was missing.

    The server takes 100 W for 2.2 s, and 20 W afterwards. Of the tokens that it computes it sends 100 per second.
    """
    recording = Recording([Steady("card", 100.0)], [Idle(20.0, 0.0, 0.001)])
    times = [1000.0 + 0.1 * n for n in range(40)]
    recording._thread.readings = [[Reading(at, joules=20 * (at - 1000) + 80 * min(at - 1000, 2.2)) for at in times]]
    recording._began_s, recording.ended_s = 1000.0, 1002.2 + late_s
    [backend] = run_of("a", print).backends
    turn = loads.turn("a", 1, window_from_s=0.1, window_s=2.0, elapsed_s=2.2, output_tokens_per_s=100.0)
    turn = with_turn_power(backend, turn, recording, print, began_s=1000.0, hidden=hidden)
    assert turn.power is not None and turn.power.joules == pytest.approx(200.0)
    assert turn.power.joules_per_token == pytest.approx(200.0 / (200.0 / (1 - hidden)))


def test_an_answer_too_short_for_the_readings_has_no_energy() -> None:
    recording = Recording([Steady("card", 300.0)], [Idle(60.0, 0.0, update_s=0.1)])
    recording.start()
    time.sleep(0.03)
    recording.stop()
    power = recording.power(10)
    assert power is not None and power.joules is None and power.gpu_use == 0.5
    assert recording.too_short


def test_a_sum_without_a_meter_that_vanished_is_not_shown() -> None:
    meters = [Steady("card", 300.0), Steady("other", 300.0)]
    recording = Recording(meters, [Idle(60.0), Idle(60.0)])
    recording.start()
    meters[1].gone = True
    time.sleep(0.5)
    recording.stop()
    power = recording.power(10)
    assert power is not None and power.joules is None
    assert recording.silent == ["other"]


def test_the_cards_that_a_server_has_open(server: int) -> None:
    meters = [Steady("a", 1.0), Steady("b", 1.0, pids=[server]), Steady("package-0", 1.0, "cpu")]
    watch, its_own = PowerWatch(meters), ServerProcesses([server])

    def names(device: str, processes: ServerProcesses | None = its_own) -> tuple[list[str], bool] | None:
        recording = watch.begin(processes, device)
        if recording is None:
            return None
        recording.stop()
        time.sleep(0.001)
        power = recording.power(None)
        assert power is not None
        return power.meters, power.by_process

    assert names("gpu") == (["b", "package-0"], True)
    assert names("cpu") == (["package-0"], False)
    meters[1]._pids = ()
    assert names("") == (["a", "b", "package-0"], False), "nothing tells whose they are"
    assert names("gpu", None) is None, "a server elsewhere"


def holds(question: Callable[[], bool]) -> bool:
    """Whether it is so within some seconds."""
    until = time.monotonic() + 20
    while not question() and time.monotonic() < until:
        time.sleep(0.005)
    return question()


class Stuck(Steady):
    """A meter whose driver hangs from its `good`th question on, until it is let go."""

    def __init__(self, name: str, good: int, pids: Collection[int] = ()) -> None:
        super().__init__(name, 300.0, pids=pids)
        self.good, self.asked, self.let_go = good, 0, threading.Event()

    def _hang(self) -> None:
        self.asked += 1
        if self.asked > self.good:
            self.let_go.wait(60)

    def read(self) -> Reading | None:
        self._hang()
        return super().read()

    def serves(self, pids: Collection[int]) -> bool | None:
        self._hang()
        return super().serves(pids)


@pytest.mark.parametrize(("good", "where"), [(0, "whose processes"), (1, "the first reading"), (2, "a later reading")])
def test_a_driver_that_hangs_holds_up_one_request_shortly_and_no_other(
    good: int, where: str, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter_thread, "PATIENCE_S", 0.3)
    stuck, package = Stuck("card", good, pids=[server]), Steady("package-0", 50.0, "cpu")
    lost: list[list[str]] = []
    watch = PowerWatch([stuck, Stuck("other card", 99), package], lost.append)
    watch.idle = [Idle(), Idle(), Idle(20.0, 1.0, 0.001)]
    try:
        for _ in range(3):
            recording = watch.begin(ServerProcesses([server]), "gpu")
            assert recording is not None
            assert holds(lambda: stuck.asked == good + 1), where
            recording.stop()
            power = recording.power(10)
            assert power is None or power.joules is None, "the card would be missing in the sum"
            assert not recording.silent, "which is said of meters that do not hang"
        assert lost == [["card", "other card"]], "they have one driver"
        assert stuck.asked == good + 1
        assert power is not None and power.meters == ["package-0"]
        recording = watch.begin(ServerProcesses([server]), "cpu")
        assert recording is not None
        assert holds(lambda: len(recording._thread.readings[0]) > 3)
        recording.stop()
        power = recording.power(10)
        assert power is not None and power.joules, "a server on the processor does not use it"
    finally:
        stuck.let_go.set()
    assert holds(lambda: not [thread for thread in threading.enumerate() if thread.name == "power"])


async def test_a_driver_that_hangs_while_the_machine_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_thread, "PATIENCE_S", 0.3)
    stuck, lost = Stuck("card", 2), list[list[str]]()
    watch = PowerWatch([stuck, Steady("package-0", 50.0, "cpu")], lost.append)
    try:
        await watch.measure_idle(idle_s=0.3)
    finally:
        stuck.let_go.set()
    assert (lost, [meter.name for meter in watch.working]) == ([["card"]], ["package-0"])
    assert watch.idle[0].watts is None and watch.idle[1].watts == pytest.approx(50.0, rel=0.01)


async def test_a_driver_that_hangs_when_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = threading.Event()
    nvml = trees.FakeNvml({})
    monkeypatch.setattr(nvml, "nvmlInit", lambda: stuck.wait(60), raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", cast(Any, nvml))
    monkeypatch.setenv("LLMTUI_POWER", str(trees.write(tmp_path, {"dev/nvidiactl": ""})))
    monkeypatch.setattr(engine_power, "FIND_S", 0.2)
    events: list[AnyEvent] = []
    try:
        await begin_power(run_of("a", events.append))
    finally:
        stuck.set()
    assert [event.text for event in events if isinstance(event, Note)] == [
        "power is not measured: the driver of a meter did not answer for 0.2 s"
    ]


async def test_idle_power_and_how_often_a_counter_changes(tmp_path: Path) -> None:
    folder = trees.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    watch = PowerWatch(rapl_meters(tmp_path)[0])
    with trees.counting(folder, watts=40.0):
        await watch.measure_idle(idle_s=2.0)
    [idle] = watch.idle
    assert idle.watts == pytest.approx(40.0, rel=0.1)
    assert 0.001 < idle.update_s < 0.1
    assert idle.error_w < 4.0


async def test_a_stop_ends_the_idle_time() -> None:
    watch = PowerWatch([Steady("card", 1.0)])
    async with asyncio.timeout(5):
        await watch.measure_idle(lambda: True, idle_s=60.0)


class Silent:
    """A recorder that stores nothing."""

    def __init__(self) -> None:
        self.notes: list[Note] = []


def run_of(name: str, emit: Callable[[AnyEvent], None]) -> Run:
    """A run with one backend, before its first request."""
    backend = BackendRun(Backend(name=name), cast(Target, None), build.state(name))
    return Run(build.plan(name), build.machine(), cast(Recorder, Silent()), emit, [backend], [])


def test_a_reason_for_no_energy_is_said_once() -> None:
    meters = [Steady("card", 300.0)]
    [backend] = run_of("a", print).backends
    backend.power = PowerWatch(meters)
    notes: list[AnyEvent] = []
    for gone in (False, False, True, True):
        recording = Recording(meters, [Idle(60.0, 0.0, update_s=0.1)])
        recording.start()
        meters[0].gone = gone
        time.sleep(0.02)
        recording.stop()
        with_power(backend, build.answered("a", latency_s=0.02), recording, notes.append, recording.ended_s - 0.02)
        meters[0].gone = False
    assert [note.text.partition(";")[0] for note in notes if isinstance(note, Note)] == [
        "no energy: an answer of 20.0 ms is too short for readings every 0.1 s",
        "no energy: card did not answer all the time",
    ]


async def test_what_cannot_be_read_is_said_once_to_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.write(tmp_path, {"dev/nvidiactl": ""})
    monkeypatch.setenv("LLMTUI_POWER", str(tmp_path))
    monkeypatch.setenv("LLMTUI_STATE", str(tmp_path / "state"))
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    events: list[AnyEvent] = []
    for _ in range(2):
        await begin_power(run_of("a", events.append))
    assert [event.text for event in events if isinstance(event, Note)] == [
        "power of the GPU is not measured: pip install 'llmtui[gpu]'"
    ]
