"""The log of a server: it has the first and the last lines, stays small, and never blocks on the disk."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from llmtui.servers import guard
from llmtui.servers.process_tree import GuardedProcess
from tests.servers.conftest import PATIENCE_S, RollCall, program

LINE_BYTES = 100


NOTICE = re.compile(rb"\n\[llmtui: (\d+) bytes of output dropped here\]\n")


def numbers(lines: list[bytes]) -> list[int]:
    return [int(line[5:98]) for line in lines if re.fullmatch(rb"line \d{93}!", line)]


@pytest.mark.slow
async def test_the_log_of_100_mb_has_its_beginning_and_its_end(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("flood", roll.port, 100), grace_s=0.1)
    largest, newest, looks = 0, -1, 0
    flooded = asyncio.create_task(roll.here("flooded"))
    while not flooded.done():
        largest = max(largest, process.log.stat().st_size)
        if seen := numbers([line.encode() for line in process.tail(5)]):
            assert max(seen) >= newest, "a later tail is never older"
            newest, looks = max(seen), looks + (max(seen) > newest)
        await asyncio.sleep(0)
    await process.stop()
    assert looks > 10
    assert 2 * guard.LOG_TAIL_BYTES < largest <= guard.LOG_CAP_BYTES
    data = process.log.read_bytes()
    assert len(NOTICE.sub(b"", data)) + sum(map(int, NOTICE.findall(data))) == 1_000_000 * LINE_BYTES
    head, _, tail = NOTICE.split(data, maxsplit=1)
    assert len(head) == guard.LOG_HEAD_BYTES
    assert numbers(head.splitlines()) == list(range(guard.LOG_HEAD_BYTES // LINE_BYTES))
    assert numbers(tail.splitlines())[-1] == 999_999
    assert len(tail) > guard.LOG_TAIL_BYTES - LINE_BYTES
    assert process.log.stat().st_mode & 0o777 == 0o600


async def test_a_blocked_disk_delays_neither_server_nor_stop(tmp_path: Path, roll: RollCall) -> None:
    os.mkfifo(tmp_path / "log")
    disk = os.open(tmp_path / "log", os.O_RDWR)  # without a reader
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("flood", roll.port, 5), grace_s=0.1)
    await roll.here("flooded")
    await asyncio.wait_for(process.stop(), PATIENCE_S)
    await roll.gone("flooded")
    os.close(disk)


async def test_a_full_disk_does_not_stop_the_server(roll: RollCall) -> None:
    process = GuardedProcess(Path("/dev/full"))
    await process.start(program("flood", roll.port, 5), grace_s=0.1)
    await roll.here("flooded")
    await process.stop()


async def test_a_server_that_prints_endlessly_is_stopped(tmp_path: Path, roll: RollCall) -> None:
    process = GuardedProcess(tmp_path / "log")
    await process.start(program("chatter", roll.port), grace_s=0.1)
    await roll.here("chatter")
    await asyncio.wait_for(process.stop(), PATIENCE_S)
    await roll.gone("chatter")
