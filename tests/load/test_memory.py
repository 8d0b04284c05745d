"""The worker's memory: requests leave no garbage, and what the engine does not read is bounded."""

from __future__ import annotations

import asyncio
import gc

import msgspec
import pytest

from llmtui.load import worker as worker_module
from llmtui.load.closed import run_closed
from llmtui.load.course import Course
from llmtui.load.messages import Batch, Frames, FromWorker, SliceDone
from llmtui.load.sender import Sender
from llmtui.load.worker import Worker
from llmtui.measure.transport import new_client
from llmtui.model import Iteration
from tests.load.helpers import slice_for, truth


class Unread(asyncio.WriteTransport):
    """The pipe to an engine that does not read."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.data += data

    def get_write_buffer_size(self) -> int:
        return len(self.data)


async def test_requests_leave_no_garbage_while_none_is_collected() -> None:
    async with truth(ttft_ms=0, itl_ms=0) as url:
        of = slice_for(url, streams=2, requests=200, tokens=2)
        samples: list[Iteration] = []
        async with new_client(of.url, connect_timeout_s=5) as client:

            async def turn() -> None:
                await run_closed(of, Sender(of, client, Course(0, 200, 0), samples.append, lambda: None))

            await turn()
            samples.clear()
            gc.collect()
            gc.disable()
            try:
                await turn()
                failed = [sample for sample in samples if not sample.ok]
                samples.clear()
                garbage = gc.collect()
            finally:
                gc.enable()
    assert not failed
    assert garbage < 200  # the turn itself; a cycle in each request would make several thousands


async def test_a_slice_ends_when_the_engine_leaves_too_much_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "MOST_UNREAD_BYTES", 256 * 1024)
    pipe = Unread()
    async with truth(ttft_ms=0, itl_ms=0) as url:
        await Worker(pipe).run(slice_for(url, streams=4, requests=10**6, tokens=256))
    messages: list[FromWorker] = [msgspec.msgpack.decode(e, type=FromWorker) for e in Frames().feed(pipe.data)]
    done = messages[-1]
    assert isinstance(done, SliceDone) and done.halted and done.error is not None
    assert done.error.kind == "stopped" and done.error.message.startswith("the engine did not read the last ")
    samples = [sample for each in messages if isinstance(each, Batch) for sample in each.samples]
    assert len({sample.request for sample in samples}) == len(samples) > 100
    assert len(pipe.data) < 8 * 1024 * 1024
    assert max(len(each.samples) for each in messages if isinstance(each, Batch)) <= worker_module.MOST_SAMPLES
