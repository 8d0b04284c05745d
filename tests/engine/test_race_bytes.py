"""A race sends what it always sent, to the byte and in the same order: a load is one more axis, not another program."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from llmtui.model import Backend, RunConfig
from tests.engine.helpers import engine_for, plan_of
from tests.scripted import ANSWER, reply, scripted

#: A race with a fixed id and seed, as llmtui sent it before it had loads: the order of the backends, then the requests
#: of each, one a line.
GOLDEN = Path(__file__).with_name("race_requests.txt")
_PORT = re.compile(rb"127\.0\.0\.1:\d+")


async def test_a_race_sends_the_same_bytes_in_the_same_order() -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(scripted(reply(404, {}))) for _ in "abc"]
        backends = []
        for name, server in zip("abc", servers, strict=True):
            server.by_path = {b"POST": [ANSWER]}
            backends.append(Backend(name=name, framework="x", url=server.url, model="m"))
        config = RunConfig(iterations=8, warmup=2, seed=5)
        plan = msgspec.structs.replace(plan_of(*backends), run="abcdef01", config=config, fresh_role="system")
        async with engine_for(plan) as run:
            run_view = await run.until_done()
        posts = [
            f"{name} {_PORT.sub(b'HOST', request)!r}"
            for name, server in zip("abc", servers, strict=True)
            for request in server.requests
            if request.startswith(b"POST")
        ]
    iterations = [i for backend_view in run_view.backends.values() for i in backend_view.iterations]
    order = "".join(i.backend for i in sorted(iterations, key=lambda i: i.seq))
    assert [order, *posts] == GOLDEN.read_text().splitlines()
