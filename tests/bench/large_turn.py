"""How long do the requests of one large turn take to open, and how long a key on their page?

    python -m tests.bench.keys --requests 100000 [--rounds 12]

A history gets a turn of that many requests with answers of 32 tokens. A monitor at 120x40, without a terminal, opens
the page of its requests: read from the history, encoded, decoded and shown, all in one process. Then keys are pressed
one after the other. A key's time ends when the screen is at rest, after its answer was read. CPU time is less disturbed
by other programs than wall time. Memory is the growth of the process (RSS) from before the page to its end. Goals: 2 s,
and 50 ms a key.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
from textual.pilot import Pilot

from llmtui.config.schema import UiConfig
from llmtui.link.requests import batches
from llmtui.model import AnyEvent, Machine, Requests
from llmtui.stats.summary import percentile
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.store.requests import RequestSource, answer
from llmtui.ui.app import MonitorApp
from llmtui.ui.past import PastLink, past_hello, past_run
from tests.store.turns import RUN, load_plan, requests, save_requests, turn

SIZE = (120, 40)
#: Different requests; the others repeat their arrivals and texts.
_KINDS = 2_000
_AT_A_TIME = 20_000
#: The order of requests by other columns is chosen last, and then keys move in it.
KEYS = ("down", "pagedown", "up", "end", "home", "o", "down", "end", "home")


def history(path: Path, count: int) -> None:
    """Write a history with a turn of `count` requests."""
    chance = random.Random(1)
    kinds = requests(chance, _KINDS, 32)
    store, _ = open_store(str(path))
    with store:
        store.begin(load_plan(1, 32), Machine())
        store.save_turns(RUN, [turn(requests=count, finished=count)], [])
        for start in range(0, count, _AT_A_TIME):
            save_requests(
                store,
                [
                    msgspec.structs.replace(chance.choice(kinds), request=n + 1, written_s=n * 0.003 + chance.random())
                    for n in range(start, min(count, start + _AT_A_TIME))
                ],
            )
        store.finish(RUN, "done")


async def wire(store: Store, *, columns: bool) -> tuple[int, int, float, float]:
    """How many messages and bytes the figures take, and the CPU s of the engine and of the client's decoder."""
    command = Requests(backend="a", turn=1, figures=True, columns=columns)
    began = time.process_time()
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(AnyEvent).decode
    lines = [encode(batch) async for batch in batches(lambda asked: answer(store, turn(), asked), command)]
    sent = time.process_time()
    for line in lines:
        decode(line)
    return len(lines), sum(map(len, lines)), sent - began, time.process_time() - sent


async def pressed(app: MonitorApp, pilot: Pilot[None], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """The wall and CPU ms of each key."""
    took: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for key in KEYS:
            began, cpu_s = time.monotonic(), time.process_time()
            await pilot.press(key)
            await pilot.pause()
            times = 1e3 * (time.monotonic() - began), 1e3 * (time.process_time() - cpu_s)
            took.setdefault(key, []).append(times)
            await pilot.pause(0.25)
    return took


async def opened(path: Path, rounds: int) -> None:
    """Open the page, press keys and report."""
    store, _ = open_store(str(path))
    with store:
        past = store.load(RUN)
        for columns in (False, True):
            count, size, engine_s, client_s = await wire(store, columns=columns)
            print(f"{'columns' if columns else 'one by one (an older client)'}: {count} messages, {size / 1e6:.1f} MB, "
                  f"CPU {engine_s:.2f} s to read and encode, {client_s:.2f} s to decode")  # fmt: skip

    async def link() -> PastLink:
        return PastLink(past_hello(past))

    with contextlib.closing(RequestSource(str(path))) as source:
        app = MonitorApp(past.plan, link, ui=UiConfig(), past=past_run(past))
        app.session.history = source.answer
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause(0.5)
            before = psutil.Process().memory_info().rss
            began, cpu_s = time.monotonic(), time.process_time()
            await pilot.press("enter", "enter")
            while app.view.request_page is None or not app.view.request_page.requests.complete:
                await pilot.pause(0.01)
            wall_s, cpu_s = time.monotonic() - began, time.process_time() - cpu_s
            await pilot.pause(0.5)
            grown = psutil.Process().memory_info().rss - before
            count = len(app.view.request_page.requests)
            print(f"{count} requests open in {wall_s:.2f} s ({cpu_s:.2f} s of CPU), {grown / 1e6:.0f} MB more\n")
            took = await pressed(app, pilot, rounds)
    print("key          wall p50     p95   CPU p50     p95     n   (ms)")
    for key, times in took.items():
        print("".join(_figures(key, times)))


def _figures(key: str, times: list[tuple[float, float]]) -> Iterator[str]:
    yield f"{key:12}"
    for values, width in (([wall for wall, _ in times], 9), ([cpu for _, cpu in times], 10)):
        ordered = sorted(values)
        yield f"{percentile(ordered, 0.5):{width}.1f}{percentile(ordered, 0.95):8.1f}"
    yield f"{len(times):6}"


def measure(count: int, rounds: int) -> None:
    """Write the history, open it and report."""
    with tempfile.TemporaryDirectory(prefix="llmtui-bench-") as folder:
        path = Path(folder) / "large.db"
        history(path, count)
        asyncio.run(opened(path, rounds))
