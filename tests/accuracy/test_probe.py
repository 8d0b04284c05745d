"""llmtui's own error: computed by hand, measured in a small run, and stored in a file that may be invalid."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from llmtui.accuracy.deviation import Truth, deviation, summarize_errors, summarize_level
from llmtui.accuracy.probe import AccuracyError, Job, measure_level, truth_server
from llmtui.accuracy.pty_monitor import last_title, measure
from llmtui.accuracy.table import table
from llmtui.load.messages import SliceDone
from llmtui.load.process import WorkerProcess
from llmtui.model import Failure, Iteration
from llmtui.model import Level as LoadLevel
from llmtui.model.accuracy import Errors, Level, Record
from llmtui.store.accuracy_record import MAX_MACHINES, newest, read_records, record_file, store_record
from llmtui.text.format import milliseconds
from tests.build import iteration, machine, record_of

MS = 1_000_000


def answer(arrivals_ms: list[float], tokens: list[int] | None = None, **fields: Any) -> Iteration:
    """A sample with these arrival times since the request was written."""
    counts = tokens or [1] * len(arrivals_ms)
    arrivals_s = [ms / 1e3 for ms in arrivals_ms]
    rate = (sum(counts) - counts[0]) / (arrivals_s[-1] - arrivals_s[0]) if len(counts) > 2 else None
    return iteration(
        **{
            "stamp": "kernel",
            "written_stamp": "kernel",
            "arrivals_ns": [round(ms * MS) for ms in arrivals_ms],
            "arrival_tokens": counts,
            "latency_s": arrivals_s[-1],
            "tokens_per_s": rate,
            **fields,
        }
    )


def truth(*sent_ms: float, received_ms: float = 1000) -> Truth:
    """The log of a request received at `received_ms`; `sent_ms` are relative to that."""
    return Truth(
        received_ns=round(received_ms * MS), sent_ns=[round((received_ms + ms) * MS) for ms in sent_ms], stamp="kernel"
    )


# --- Computed by hand ---


def test_deviation_of_each_figure() -> None:
    errors = deviation(answer([50.5, 60.2, 71.0, 80.5]), truth(50, 60, 70, 79))
    assert errors.ttft_s == pytest.approx(0.0005)
    assert errors.latency_s == pytest.approx(0.0015)
    assert errors.itl_s == pytest.approx([-0.0003, 0.0008, 0.0005])
    # Measured 3 tokens in 30 ms, true 3 in 29 ms.
    assert errors.tokens_per_s == pytest.approx(29 / 30 - 1)
    assert errors.coalesced == 0


def test_late_server_is_not_an_error() -> None:
    errors = deviation(answer([95, 105, 300, 310]), truth(95, 105, 300, 310))
    assert (errors.ttft_s, errors.latency_s, errors.itl_s) == (0, 0, [0, 0, 0])
    assert errors.tokens_per_s == pytest.approx(0)


def test_coalesced_tokens_are_compared_with_their_own_sends() -> None:
    # The second and third token, sent at 60 and 70, came out of one read at 71.
    errors = deviation(answer([50, 71], [1, 2]), truth(50, 60, 70))
    assert errors.itl_s == pytest.approx([0.011, -0.010])
    assert errors.coalesced == 1
    assert errors.latency_s == pytest.approx(0.001)


def test_single_token_has_no_gap_and_no_rate() -> None:
    errors = deviation(answer([50]), truth(50))
    assert errors.itl_s == [] and errors.tokens_per_s is None


def test_different_token_counts_are_an_error() -> None:
    with pytest.raises(ValueError, match="2 tokens arrived, 3 were sent"):
        deviation(answer([50, 60]), truth(50, 60, 70))


def test_errors_are_absolute_and_the_median_keeps_its_sign() -> None:
    errors = summarize_errors([-0.004, -0.003, -0.002, 0.001])
    assert (errors.n, errors.max, errors.median) == (4, 0.004, -0.0025)
    assert errors.p50 == pytest.approx(0.0025)
    assert errors.p95 == pytest.approx(0.00385)
    assert summarize_errors([]) == Errors(n=0, median=0, p50=0, p95=0, p99=0, max=0)


def test_summarize_level() -> None:
    pairs = [
        (answer([50.1, 60.1, 70.1, 80.1]), truth(50, 60, 70, 80)),
        (answer([61.0, 81.0], [2, 2]), truth(50, 60, 70, 80)),
    ]
    load = LoadLevel(number=1, streams=2)
    level = summarize_level(load, True, pairs, failed=1)
    assert (level.streams, level.monitor, level.requests, level.failed, level.tokens) == (2, True, 2, 1, 8)
    assert level.coalesced == 0.25 and level.stamp == "kernel"
    assert level.ttft_s.n == level.latency_s.n == level.itl_s.n / 3 == 2
    assert level.tokens_per_s_share.n == 1, "tokens of two arrivals have no rate"
    assert (level.stamp, level.written_stamp) == ("kernel", "kernel")
    pairs[0] = (answer([50, 60, 70, 80], stamp="user", written_stamp="user"), pairs[0][1])
    level = summarize_level(load, True, pairs, failed=0)
    assert (level.stamp, level.written_stamp) == ("user", "user"), "one user-space stamp decides the level's"


def test_requests_that_are_written_late_are_no_error_of_their_figures() -> None:
    pairs = [
        (answer([50, 60], due_s=due_s, written_s=due_s + late_s), truth(50, 60))
        for due_s, late_s in ((0.0, 0.0), (0.01, 0.0002), (0.02, 0.0005))
    ]
    level = summarize_level(LoadLevel(number=1, rate=100), False, pairs, failed=0, cpu=0.5)
    assert level.late_s is not None and level.late_s.max == pytest.approx(0.0005)
    assert level.delivered_share == pytest.approx(0.02 / 0.0205)
    assert (level.title, level.streams, level.rate, level.worker_cpu) == ("100 requests/s", 0, 100, 0.5)
    assert level.ttft_s.max == 0
    text = table(msgspec.structs.replace(record_of(HERE), levels=[level]))
    assert "  requests of 2 tokens, written at 97.56% of the asked rate" in text
    assert "  written after due, ms          3     0.20     0.47     0.49     0.50     +0.20" in text


@pytest.mark.parametrize(("late_ms", "marked"), [(1, False), (20, True)])
def test_a_server_that_is_late_is_marked_and_not_blamed_on_llmtui(late_ms: float, marked: bool) -> None:
    log = truth(50 + late_ms, 60 + late_ms)
    log = msgspec.structs.replace(log, due_ns=[ns - round(late_ms * MS) for ns in log.sent_ns])
    level = summarize_level(LoadLevel(number=1, streams=8), False, [(answer([50 + late_ms, 60 + late_ms]), log)], 0)
    assert level.server_late_s is not None and level.server_late_s.p50 == pytest.approx(late_ms / 1e3)
    assert level.ttft_s.max == pytest.approx(0) and level.server_is_late is marked
    text = table(msgspec.structs.replace(record_of(HERE), levels=[level]))
    assert ("the truth server itself sent tokens up to 20.0 ms late (p99)" in text) is marked
    assert ("Measure again on an idle machine." in text) is marked


@pytest.mark.parametrize(("requests", "streams", "each"), [(40, 1, 40), (40, 8, 5), (40, 32, 5), (2, 1, 2), (2, 8, 2)])
def test_requests_per_stream(requests: int, streams: int, each: int) -> None:
    assert Job(streams=[streams], requests=requests).requests_per_stream(streams) == each


# --- Small measurements ---


async def test_truth_server_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(AccuracyError, match="the truth server cannot be started"):
        async with truth_server():
            pass


class DeadWorker(WorkerProcess):
    """A worker that ends before its slice is over."""

    async def run(self, *_: Any) -> SliceDone:
        return SliceDone(error=Failure(kind="stopped", message="the process that measures ended"))


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (False, "at 2 streams: the process that measures ended"),
        (True, "the truth server cannot be reached: nothing answers"),
    ],
    ids=["the worker ends", "the server is gone"],
)
async def test_a_level_that_cannot_be_measured_is_an_error(gone: bool, words: str) -> None:
    job = Job(streams=[2], requests=2, tokens=3, itl_ms=1, ttft_ms=1)
    [(loop, level)] = job.levels
    async with truth_server() as url:
        # No server listens on port 1 of loopback.
        where = "http://127.0.0.1:1" if gone else url
        async with httpx.AsyncClient(base_url=where, trust_env=False) as truths, asyncio.timeout(20):
            with pytest.raises(AccuracyError, match=words):
                await measure_level(DeadWorker(), truths, job, loop, level)


def test_what_is_measured_in_which_order() -> None:
    job = Job(streams=[8, 1], rates=[100, 2000], requests=10, tokens=64)
    assert [(loop, level.title) for loop, level in job.levels] == [
        ("load", "8 streams"),
        ("race", "1 stream"),
        ("load", "1 stream"),
        ("load", "100 requests/s"),
        ("load", "2000 requests/s"),
    ]
    levels = [level for _, level in job.levels]
    assert [level.number for level in levels] == [1, 2, 3, 4, 5], "each has prompts of its own"
    assert [job.requests_of(level) for level in levels] == [40, 10, 10, 300, 400]
    assert [job.settle(level) for level in levels] == [16, 2, 2, 10, 10]
    assert [job.tokens_of(level) for level in levels] == [64, 64, 64, 64, 3]


@pytest.mark.slow
def test_measure() -> None:
    progress: list[str] = []
    job = Job(streams=[1, 2], rates=[100], requests=2, tokens=4, itl_ms=1, ttft_ms=2)
    record = measure(job, progress.append)
    assert [(level.title, level.loop, level.requests) for level in record.levels] == [
        ("1 stream in a race", "race", 2),
        ("1 stream", "load", 2),
        ("2 streams", "load", 4),
        ("100 requests/s", "load", 80),
    ]
    for level in record.levels:
        assert level.failed == 0 and not level.monitor and level.tokens == level.requests * 4
        assert level.ttft_s.n == level.latency_s.n == level.requests
        assert level.itl_s.n == level.requests * 3
        for errors in (level.ttft_s, level.itl_s, level.latency_s):
            assert 0 <= errors.p50 <= errors.p95 <= errors.p99 <= errors.max < 5
        assert level.server_late_s is not None and level.server_late_s.n == level.tokens
    closed, opened = record.levels[2:]
    assert closed.late_s is None and closed.delivered_share is None and closed.worker_cpu is not None
    assert opened.late_s is not None and opened.late_s.n == 80 and opened.delivered_share is not None
    assert record.watching is None and not record.worth_storing
    assert len(progress) == 4
    assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record


def test_last_title() -> None:
    assert last_title(b"\x1b]2;llmtui 1/9 \x07text\x1b]2;llmtui 2/9 \x1b\\") == "its title was 'llmtui 2/9 '"
    assert last_title(b"text") == "it had no title yet"


# --- The stored record ---


HERE = machine(memory_bytes=1, os="Linux 6", python="3.11", llmtui="0.1.0")
THERE = msgspec.structs.replace(HERE, cpu="Other CPU")


def test_newest_record_per_machine_is_stored_privately(tmp_path: Path) -> None:
    file = tmp_path / "state" / "accuracy.json"
    assert newest(HERE, file) is None
    store_record(record_of(HERE, 0.0005), file)
    store_record(record_of(THERE, 0.0003), file)
    store_record(record_of(HERE, 0.0002), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["accuracy.json"]
    assert [r.own_error_p95_s() for r in read_records(file)] == [0.0002, 0.0003]
    here = newest(msgspec.structs.replace(HERE, memory_bytes=2), file)
    assert here is not None and here.own_error_p95_s() == 0.0002
    assert newest(msgspec.structs.replace(HERE, llmtui="0.2.0"), file) is None, "another version has another error"


def test_number_of_machines_is_limited(tmp_path: Path) -> None:
    file = tmp_path / "accuracy.json"
    for cores in range(MAX_MACHINES + 3):
        store_record(record_of(msgspec.structs.replace(HERE, cores=cores)), file)
    assert len(read_records(file)) == MAX_MACHINES
    assert newest(msgspec.structs.replace(HERE, cores=2), file) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"[]",
        b'"text"',
        b'{"records": []}',
        b'{"schema_version": 1, "records": {"a": 1}}',
        b'{"schema_version": 1, "records": [1, null, {"machine": 3}, "\xff"]}',
        b'{"schema_version": 1, "records": [',
        b"[" * 100_000,
        b" " * 2_000_000,
    ],
)
def test_invalid_file_is_replaced(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "accuracy.json"
    file.write_bytes(content)
    assert read_records(file) == []
    store_record(record_of(HERE), file)
    assert newest(HERE, file) == record_of(HERE)


def test_valid_record_is_read_among_invalid_ones(tmp_path: Path) -> None:
    file = tmp_path / "accuracy.json"
    store_record(record_of(HERE), file)
    document = json.loads(file.read_bytes())
    later = document["records"][0] | {"schema_version": 99}
    document["records"] = [{"from": "the future"}, later, None, *document["records"]]
    file.write_text(json.dumps(document))
    assert read_records(file) == [record_of(HERE)]


def test_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "accuracy.json").mkdir()
    assert read_records(tmp_path / "accuracy.json") == []
    with pytest.raises(OSError):
        store_record(record_of(HERE), tmp_path / "accuracy.json")
    assert [path.name for path in tmp_path.iterdir()] == ["accuracy.json"]


def test_record_file_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTUI_STATE", str(tmp_path))
    assert record_file() == tmp_path / "accuracy.json"
    monkeypatch.delenv("LLMTUI_STATE")
    assert record_file().name == "accuracy.json" and "llmtui" in str(record_file())


def test_worth_storing() -> None:
    assert record_of(HERE).worth_storing
    assert not record_of(HERE, monitor=False).worth_storing
    assert record_of(HERE, monitor=False).own_error_p95_s() is None
    assert not record_of(HERE, streams=8).worth_storing
    assert not msgspec.structs.replace(record_of(HERE), levels=[]).worth_storing


def test_the_level_that_says_how_large_the_error_of_a_load_is() -> None:
    [race] = record_of(HERE).levels

    def level(monitor: bool = True, **fields: Any) -> Level:
        return msgspec.structs.replace(race, loop="load", monitor=monitor, **({"streams": 0} | fields))

    bare, eight, many, rate = level(False, streams=8), level(streams=8), level(streams=32), level(rate=100.0)
    record = msgspec.structs.replace(record_of(HERE), levels=[race, bare, eight, many, rate])
    assert record.level_for(streams=1) is eight, "the level of a race says nothing of a load"
    assert record.level_for(streams=8) is eight, "with the monitor, if measured"
    assert record.level_for(streams=9) is many
    assert record.level_for(streams=33) is None, "beyond what was measured"
    assert record.level_for(rate=99.5) is rate and record.level_for(rate=101) is None
    assert record.at_one_stream() is race


def test_record_of_0_1_0_is_read(tmp_path: Path) -> None:
    old = json.loads(msgspec.json.encode(record_of(HERE)))
    for name in ("loop", "rate", "late_s", "delivered_share", "worker_cpu", "server_late_s", "written_stamp"):
        del old["levels"][0][name]
    file = tmp_path / "accuracy.json"
    file.write_text(json.dumps({"schema_version": 1, "records": [old]}))
    assert read_records(file) == [record_of(HERE)]
    assert record_of(HERE).level_for(streams=1) is None, "it was not measured by the loop of a load"


def test_table_fits_80_columns() -> None:
    record = record_of(msgspec.structs.replace(HERE, cpu="A very long name of a processor" * 3))
    text = table(record)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "1 stream in a race, monitor on: 40 requests, 1.0% of tokens coalesced, 1 failed" in text
    assert "  TTFT, ms                      40     0.10     0.20     0.40     1250     +0.10" in text
    assert "  tokens/s, % of the rate       40    0.010    0.020" in text


@pytest.mark.parametrize(("value_s", "text"), [(0.0000421, "0.04"), (0.0095, "9.50"), (0.0123, "12.3"), (0.5, "500")])
def test_milliseconds(value_s: float, text: str) -> None:
    assert milliseconds(value_s) == text
