"""The spool and the clocks."""

from __future__ import annotations

import random
from pathlib import Path

from llmtui.cluster.clocks import Exchange, Offset, offset_of
from llmtui.cluster.spool import Spool


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
