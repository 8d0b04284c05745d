"""The spool, a full disk, and the clocks."""

from __future__ import annotations

import errno
import os
import random
import signal
import threading
import time
from pathlib import Path

import msgspec
import pytest

from llmtui.cluster import host as host_module
from llmtui.cluster.clocks import MOST_DRIFT, Exchange, Offset, offset_of
from llmtui.cluster.host import Host
from llmtui.cluster.messages import Answer, Carry, End, Fetch, Kept, Sealed
from llmtui.cluster.spool import Spool
from llmtui.cluster.survey import Survey
from llmtui.load.messages import FromWorker, SliceDone
from llmtui.load.prompts import Template
from tests.load.helpers import slice_for


def test_a_spool_keeps_what_is_not_acknowledged_in_a_file_that_leaves_nothing_behind(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    for number in range(1, 101):
        spool.add(7, b"%d" % number * 100)
    first = spool.read(1000)
    assert [kept.seq for kept in first] == [*range(1, len(first) + 1)] and len(first) > 1
    assert spool.read(1) == first[:1]
    spool.acknowledge(99)
    assert [(kept.seq, kept.number, kept.frame) for kept in spool.read()] == [(100, 7, b"100" * 100)]
    spool.acknowledge(100)
    assert spool.read() == []
    spool.add(8, b"next")
    assert [(kept.seq, kept.frame) for kept in spool.read()] == [(101, b"next")]
    spool.close()
    assert list(tmp_path.iterdir()) == []


def full_disk(monkeypatch: pytest.MonkeyPatch, after_bytes: int) -> None:
    """Limit how many bytes of a spool the disk accepts."""
    write = os.pwrite

    def refuse(descriptor: int, data: memoryview, offset: int) -> int:
        if offset >= after_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: after_bytes - offset], offset)

    monkeypatch.setattr(os, "pwrite", refuse)


def test_a_spool_on_a_full_disk_keeps_what_it_had_and_goes_on_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(str(tmp_path))
    with monkeypatch.context() as full:
        full_disk(full, 10)
        spool.add(1, b"kept")
        with pytest.raises(OSError, match=f"the disk is full there: {tmp_path} takes no more"):
            spool.add(1, b"refused")
        spool.add_in_memory(1, b"last")
        assert spool.read() == [Kept(1, 1, b"kept"), Kept(2, 1, b"last")]
    spool.add(2, b"next")
    spool.acknowledge(2)
    assert spool.read() == [Kept(3, 2, b"next")]
    spool.close()
    with pytest.raises(OSError, match=r"what was measured cannot be kept in .*: No such file"):
        Spool(str(tmp_path / "missing"))


@pytest.mark.parametrize("space", [0, 100])
def test_a_worker_whose_disk_is_full_says_so_and_takes_the_next_slice(
    space: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, space)
    host = Host("one", lambda: True, str(tmp_path))
    thread = threading.Thread(target=host.run)
    thread.start()
    decode = msgspec.msgpack.Decoder(FromWorker).decode
    sealed = Sealed(of=slice_for("http://127.0.0.1:9", streams=1, requests=10**6))
    acknowledged, until = 0, time.monotonic() + 60
    try:
        for number in (1, 2):
            host.command(Carry(number, sealed))
            done = None
            while not isinstance(done, SliceDone):
                assert time.monotonic() < until
                for kept in host.fetch(Fetch(acknowledged)).frames:
                    acknowledged, done = kept.seq, decode(kept.frame)
                    assert kept.number == number
                time.sleep(0.02)
            assert done.error is not None and done.error.kind == "stopped"
            assert done.error.message.startswith(f"worker one: the disk is full there: {tmp_path} takes no more")
    finally:
        host.command(End())
        thread.join(60)
    assert not thread.is_alive() and list(tmp_path.iterdir()) == []


def test_a_process_that_hangs_and_reads_nothing_does_not_hold_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice is larger than a pipe."""
    monkeypatch.setattr(host_module, "EXIT_S", 0.1)
    wanted = threading.Event()
    wanted.set()
    host = Host("one", wanted.is_set, str(tmp_path))
    host._start()
    child = host._child
    assert child is not None
    child.send_signal(signal.SIGSTOP)
    of = slice_for("http://127.0.0.1:9", streams=1, requests=1)
    sealed = Sealed(of=msgspec.structs.replace(of, template=Template(body=b"x" * 1_000_000)))
    host.command(Carry(1, sealed))
    thread = threading.Thread(target=host.run)
    thread.start()
    try:
        until = time.monotonic() + 60
        while not host._begun:
            assert time.monotonic() < until
            time.sleep(0.02)
        wanted.clear()
        thread.join(60)
        assert not thread.is_alive() and child.poll() is not None
    finally:
        child.kill()
        thread.join(60)


def test_the_offset_of_a_clock_is_within_its_bound_whatever_the_line_does() -> None:
    draw = random.Random(1)
    for _ in range(200):
        ahead = draw.randrange(-(10**15), 10**15)
        exchanges = []
        for _ in range(20):
            there, taken, back = (round(draw.expovariate(1 / 2e6)) for _ in range(3))
            exchanges.append(Exchange(10**15, 10**15 + ahead + there, 10**15 + ahead + there + taken,
                                      10**15 + there + taken + back))  # fmt: skip
        offset = offset_of(exchanges)
        assert offset is not None and abs(offset.ahead_ns - ahead) <= offset.bound_ns


def test_a_slow_line_gives_no_offset_and_one_machine_has_one_clock() -> None:
    assert offset_of([Exchange(0, 0, 0, 51_000_000)]) is None and offset_of([]) is None
    near = [Exchange(0, 90, 100, 200)]
    assert offset_of(near, same_clock=True) == Offset(0, 0)
    apart = [Exchange(0, 10_000, 10_010, 200)]
    assert offset_of(apart, same_clock=True) == Offset(9905, 95)


async def test_what_a_clock_drifted_in_a_turn_is_in_its_bound() -> None:
    """Their clock runs 100 ppm too fast, and both ways take 50 us each: after ten minutes it is 60 ms off."""
    now_ns, slow = 10**12, False

    async def ask(_: object) -> Answer:
        nonlocal now_ns
        now_ns += 30_000_000 if slow else 50_000
        theirs_ns = 7 * 10**12 + now_ns + now_ns // 10_000
        now_ns += 30_000_000 if slow else 50_000
        return Answer(received_ns=theirs_ns, sent_ns=theirs_ns)

    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(time, "monotonic_ns", lambda: now_ns)
        clock.setattr(time, "monotonic", lambda: now_ns / 1e9)
        survey = Survey(ask)
        assert await survey.set_clock("one", same_machine=False) is None
        assert 50e-6 <= survey.clock_within_s < 60e-6
        now_ns += 600 * 10**9
        assert survey.clock_within_s == pytest.approx(600 * MOST_DRIFT, rel=0.01), "it was not measured since"
        await survey.check_clock()
        assert 0.06 <= survey.clock_within_s < 0.0602
        now_ns += 10**9
        assert await survey.set_clock("one", same_machine=False) is None, "no new exchange: it was measured just now"
        await survey.check_clock()
        assert 0.0001 <= survey.clock_within_s < 0.0003
        assert await survey.set_clock("one", same_machine=False) is None
        now_ns, slow = now_ns + 20 * 10**9, True
        await survey.check_clock()
        assert survey.clock_within_s > 20 * MOST_DRIFT, "the line became too slow to tell"
