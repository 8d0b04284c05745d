"""The truth server: its log, its slots and queue, its processes, and that it says how late it is itself."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from array import array
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psutil
import pytest

from llmtui.accuracy.probe import truth_server
from llmtui.accuracy.truth_pace import Capacity, Lateness, Pace, Truth
from llmtui.accuracy.truth_server import MAX_LOG, TruthServer

CHAT = "/v1/chat/completions"


@contextlib.contextmanager
def running(*options: str) -> Iterator[str]:
    """A truth server in a process of its own, and its address."""
    argv = [sys.executable, "-P", "-m", "llmtui.accuracy.truth_server", "--port", "0", *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextlib.asynccontextmanager
async def client_of(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        yield client


async def ask(client: httpx.AsyncClient, user: str, tokens: int = 3, **timing: Any) -> httpx.Response:
    body = {"max_tokens": tokens, "user": user, "truth": {"ttft_ms": 2, "itl_ms": 1} | timing}
    return await client.post(CHAT, json=body)


async def status_until(client: httpx.AsyncClient, **wanted: int) -> dict[str, Any]:
    """Wait until the server reports this."""
    async with asyncio.timeout(20):
        while True:
            status: dict[str, Any] = (await client.get("/truth")).json()
            if wanted.items() <= status.items():
                return status


# --- The log ---


async def test_each_log_is_returned_once() -> None:
    async with truth_server() as url, client_of(url) as client:
        assert (await ask(client, "a")).status_code == 200
        log = (await client.get("/truth/a")).json()
        again = await client.get("/truth/a")
        for user in ("b", "c"):
            await ask(client, user)
        logs = (await client.post("/truth", json=["b", "c", "d"])).json()
        status = await status_until(client, requests=3, active=0)
        invalid = await client.post("/truth", content=b"{")
    assert again.status_code == 404 and invalid.status_code == 400
    assert len(log["sent_ns"]) == len(log["due_ns"]) == 3
    assert log["received_ns"] < log["sent_ns"][0] < log["sent_ns"][1] < log["sent_ns"][2]
    assert all(sent >= due for sent, due in zip(log["sent_ns"], log["due_ns"], strict=True))
    assert sorted(logs) == ["b", "c"]
    assert status["late_ms"]["n"] == 9 and status["late_ms"]["p50"] <= status["late_ms"]["max"]


async def test_noise_scales_the_schedule() -> None:
    request = {"max_tokens": 2, "truth": {"ttft_ms": 4, "itl_ms": 1, "noise": 1.0}}
    async with truth_server() as url, client_of(url) as client:
        for _ in range(20):
            assert (await client.post(CHAT, json=request)).status_code == 200
        logs = [(await client.get(f"/truth/truth-{number}")).json() for number in range(1, 21)]
    took = [log["sent_ns"][0] - log["received_ns"] for log in logs]
    # Twenty draws this close together have a probability of 10**-9.
    assert max(took) > 2 * min(took)


def test_the_oldest_log_is_dropped() -> None:
    server = TruthServer()
    for number in range(MAX_LOG + 5):
        server.add_to_log(str(number), Truth(0, "user", array("q"), array("q")))
    assert len(server.log) == MAX_LOG and "4" not in server.log and "5" in server.log


async def test_text_is_encoded_as_json() -> None:
    with running("--word", 'a "quoted" \\ wörd', "--reasoning", "1") as url:
        async with client_of(url) as client:
            answer = (await ask(client, "a", 2)).text
    assert r'{"reasoning_content": " a \"quoted\" \\ w\u00f6rd0"}' in answer
    assert r'{"content": " a \"quoted\" \\ w\u00f6rd1"}' in answer


# --- Slots ---


class Stub:
    """An answer of one token, due at once; it notes when it begins, and says when it has ended."""

    def __init__(self, name: str, begun: list[str]) -> None:
        self.name = name
        self._begun = begun
        self.ended = asyncio.Event()

    def begin(self) -> int:
        self._begun.append(self.name)
        return 0

    def send(self, due_ns: int) -> None:
        pass

    def advance(self, due_ns: int) -> int | None:
        self.ended.set()
        return None


async def test_requests_wait_for_a_slot_in_the_order_of_their_arrival() -> None:
    begun: list[str] = []
    pace = Pace(Capacity(slots=2, queue=2, slope=0.5))
    answers = [Stub(name, begun) for name in "abcde"]
    assert [pace.admit(answer) for answer in answers] == [True, True, True, True, False]
    assert (pace.active, pace.waiting, pace.refused, pace.factor) == (2, 2, 1, 1.5)
    assert begun == ["a", "b"]
    pace.drop(answers[2])
    pace.drop(answers[0])
    assert begun == ["a", "b", "d"], "the client of c has gone, and a's slot is free"
    async with asyncio.timeout(5):
        for name in (1, 3):
            await answers[name].ended.wait()
    assert (pace.active, pace.waiting) == (0, 0)


async def test_without_slots_none_waits() -> None:
    begun: list[str] = []
    pace = Pace(Capacity())
    answers = [Stub(str(number), begun) for number in range(50)]
    assert all(pace.admit(answer) for answer in answers)
    assert (pace.active, pace.waiting, pace.factor) == (50, 0, 1.0)
    for answer in answers:
        pace.drop(answer)


async def test_a_server_with_slots_queues_refuses_and_reports_them() -> None:
    with running("--slots", "1", "--queue", "1", "--context", "512") as url:
        async with client_of(url) as client:
            assert (await client.get("/props")).json() == {
                "total_slots": 1,
                "default_generation_settings": {"n_ctx": 512},
            }
            # It ends when its client goes: it does not hold the slot.
            leaving = asyncio.create_task(ask(client, "leaves", 1000, itl_ms=1000))
            await status_until(client, active=1)
            assert (await client.get("/slots")).json() == [{"id": 0, "is_processing": True, "n_ctx": 512}]
            waits = asyncio.create_task(ask(client, "waits"))
            await status_until(client, waiting=1)
            refused = await ask(client, "refused")
            leaving.cancel()
            served = await waits
            await status_until(client, active=0, waiting=0, refused=1)
            log = (await client.get("/truth/waits")).json()
    assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
    assert "all 1 slots are taken" in refused.json()["error"]["message"]
    assert served.status_code == 200 and len(log["sent_ns"]) == 3


async def test_the_step_grows_with_the_requests_in_slots() -> None:
    with running("--slots", "4", "--slope", "1") as url:
        async with client_of(url) as client:
            await asyncio.gather(*(ask(client, f"r{number}", 40, itl_ms=2, ttft_ms=50) for number in range(4)))
            log = (await client.get("/truth/r0")).json()
    due = log["due_ns"]
    # All four are under way by the first token, and long after.
    assert due[1] - due[0] == pytest.approx(8e6)


async def test_without_slots_there_are_no_props() -> None:
    async with truth_server() as url, client_of(url) as client:
        assert [(await client.get(path)).status_code for path in ("/props", "/slots")] == [404, 404]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--slots", "0"], "--slots: 0 is below 1"),
        (["--queue", "1"], "--queue needs --slots"),
        (["--processes", "2", "--slots", "4"], "need one process"),
    ],
)
def test_wrong_options_are_refused(options: list[str], words: str) -> None:
    argv = [sys.executable, "-P", "-m", "llmtui.accuracy.truth_server", *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and words in done.stderr


# --- Processes ---


async def test_processes_share_connections_and_logs_and_end_together() -> None:
    with running("--processes", "2") as url:
        [parent] = [
            process for process in psutil.Process().children() if "llmtui.accuracy.truth_server" in process.cmdline()
        ]
        children = parent.children()
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(url)) for _ in range(4)]
            for number, client in enumerate(clients):
                assert (await ask(client, f"user {number}")).status_code == 200
            # Whichever process is asked has all of them.
            logs = (await clients[0].post("/truth", json=[f"user {number}" for number in range(4)])).json()
            unnamed = await asyncio.gather(*(client.post(CHAT, json={"max_tokens": 1}) for client in clients))
            status = (await clients[0].get("/truth")).json()
    assert len(children) == 2
    assert len(logs) == 4 and all(len(log["sent_ns"]) == 3 for log in logs.values())
    names = {answer.text.partition('"id": "')[2].partition('"')[0] for answer in unnamed}
    assert len(names) == 4, "no two processes give the same id"
    assert (status["processes"], status["requests"], status["late_ms"]["n"]) == (2, 8, 16)
    assert psutil.wait_procs([parent, *children], timeout=20)[1] == []


def test_lateness_has_percentiles_and_merges() -> None:
    late, other = Lateness(), Lateness()
    for us in range(1, 100):
        late.add(us * 1000)
    other.add(50_000_000)
    late.merge(other.counts)
    summary = late.summary()
    assert summary["n"] == 100
    assert summary["p50"] == pytest.approx(0.05, rel=0.1) and summary["max"] == pytest.approx(50, rel=0.1)
    assert Lateness().summary() == {"n": 0, "p50": 0, "p95": 0, "p99": 0, "max": 0}
