"""When an answer ends: with [DONE] or its finish reason, whatever the server does with the connection afterwards."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtui.measure import ending
from llmtui.measure.figures import figures
from llmtui.measure.request import IterationError, ask
from llmtui.measure.transport import new_client
from llmtui.model import Backend, RunConfig
from llmtui.wire import dialect_for
from tests.odd.running import answer_of, config_for, figures_of, run
from tests.odd.server import ITL_S, MODEL, TOKENS, TTFT_S, Reply, Request, chunk, delta, odd, usage

#: Far more than an answer takes, and less than the timeout of a request, 5 s.
SOON_S = 4.0
TEXT = "".join(f" w{n}" for n in range(TOKENS))
TOOK_S = TTFT_S + (TOKENS - 1) * ITL_S

After = Callable[[Reply], None]


@pytest.fixture(autouse=True)
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "SILENCE_S", 0.2)


def wait_for_the_client(reply: Reply) -> None:
    """Keep the connection open until the client closes it."""
    reply.sock.recv(1)


def said_all(reply: Reply) -> None:
    reply.event(delta(finish="stop"))
    reply.event(usage(TOKENS))
    reply.event("[DONE]")


def repeated(data: str, every_s: float = 0.02) -> After:
    """Send `data` again and again until the client closes the connection."""

    def after(reply: Reply) -> None:
        while True:
            reply.send(data)
            time.sleep(every_s)

    return after


def more_text(reply: Reply) -> None:
    reply.event(delta(" and more"))
    reply.event("{broken")
    wait_for_the_client(reply)


#: pi #7954 and agentscope-java #2073: the body never ends after [DONE]. ThunderAI #252: the server does not close.
#: opencode #43519 (comments keep a stalled stream open), llama.cpp #23994 (": keepalive").
AFTER_DONE: dict[str, After] = {
    "nothing": wait_for_the_client,
    "comments": repeated(": keepalive\n\n"),
    "pings": repeated("event: ping\ndata: {}\n\n"),
    "blanks": repeated("\n"),
    "text": more_text,
    "done again": repeated("data: [DONE]\n\n"),
    "close in the middle of the body": lambda reply: None,
    "half a chunk": lambda reply: reply.raw(b"ff\r\nhalf"),
    "no chunk": lambda reply: reply.raw(b"rubbish\r\n"),
    "no last line end": lambda reply: reply.raw(b"0\r\n"),
}


@pytest.mark.parametrize("name", AFTER_DONE)
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until close"])
async def test_an_answer_ends_with_done(name: str, chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "SILENCE_S", 1.5)

    def chat(reply: Reply, request: Request) -> None:
        reply.head(chunked=chunked)
        reply.stream()
        said_all(reply)
        AFTER_DONE[name](reply)

    with odd(chat) as server:
        began = time.monotonic()
        answer, numbers = await figures_of(server.url)
        assert time.monotonic() - began < SOON_S
    assert (answer.text, numbers.output_tokens) == (TEXT, TOKENS)
    assert TOOK_S * 0.9 < numbers.latency_s < SOON_S / 2
    assert answer.end_ns - answer.arrivals_ns[-1] < 1_200_000_000


def finish_alone(reply: Reply) -> None:
    reply.event(delta(finish="stop"))


def finish_and_usage(reply: Reply) -> None:
    finish_alone(reply)
    reply.event(usage(TOKENS))


def done_without_a_line_end(reply: Reply) -> None:
    finish_and_usage(reply)
    reply.send("data: [DONE]")


def late_usage(reply: Reply) -> None:
    finish_alone(reply)
    time.sleep(0.05)
    reply.event(usage(TOKENS + 1))


#: What the server says at the end, and the tokens that it counts.
WITHOUT_DONE: dict[str, tuple[After, int]] = {
    "finish": (finish_alone, TOKENS),
    "finish and usage": (finish_and_usage, TOKENS),
    "[DONE] without a line end": (done_without_a_line_end, TOKENS),
    "late usage": (late_usage, TOKENS + 1),
}


@pytest.mark.parametrize("name", WITHOUT_DONE)
@pytest.mark.parametrize(
    "after",
    [
        wait_for_the_client,
        repeated(": keepalive\n\n"),
        repeated('data: {"choices":[]}\n\n'),
        repeated(f"data: {json.dumps(delta(finish='stop'))}\n\n"),
    ],
    ids=["silence", "comments", "empty chunks", "finish again"],
)
async def test_an_answer_ends_a_silence_after_its_finish_reason(name: str, after: After) -> None:
    """PI-Desktop #217: a proxy holds the connection open after the last event."""
    end, tokens = WITHOUT_DONE[name]
    if name.startswith("[DONE]") and after is not wait_for_the_client:
        pytest.skip("the next line would complete another one")

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        reply.stream()
        end(reply)
        after(reply)

    with odd(chat) as server:
        began = time.monotonic()
        answer, numbers = await figures_of(server.url)
        assert time.monotonic() - began < SOON_S
    assert (answer.text, numbers.output_tokens) == (TEXT, tokens)
    assert numbers.latency_s < SOON_S / 2


async def test_a_finish_reason_in_every_event_does_not_end_a_slow_answer() -> None:
    """gcli2api #403: each event has the finish reason "stop", and here the model pauses longer than the silence."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        for number in range(4):
            time.sleep(0.05 if number < 2 else 0.3)
            reply.event(delta(f" w{number}", finish="stop"))
        reply.finish(4)

    with odd(chat) as server:
        answer = await answer_of(server.url)
    assert answer.text == " w0 w1 w2 w3"


async def test_a_stream_without_a_finish_reason_is_waited_for() -> None:
    """DeepSeek-V3 #1608: the stream stops in the middle and stays open."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        reply.stream()
        wait_for_the_client(reply)

    with odd(chat) as server, pytest.raises(IterationError) as caught:
        await answer_of(server.url, timeout_s=0.5)
    assert caught.value.failure.kind == "timeout"


async def test_an_answer_that_is_complete_at_the_timeout_is_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "SILENCE_S", 60.0)

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        reply.stream()
        finish_and_usage(reply)
        wait_for_the_client(reply)

    with odd(chat) as server:
        assert (await answer_of(server.url, timeout_s=2.0)).text == TEXT


@pytest.mark.parametrize("cut", [b"", b'data: {"choices":[]'], ids=["between events", "in an event"])
@pytest.mark.parametrize("finished", [True, False])
async def test_a_body_that_breaks_off_after_the_finish_reason_is_complete(finished: bool, cut: bytes) -> None:
    """litellm #4312, Langchain-Chatchat #4383: "incomplete chunked read", here after all was said or before."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        reply.stream()
        if finished:
            finish_and_usage(reply)
        if cut:
            reply.send(cut)

    with odd(chat) as server:
        if finished:
            assert (await answer_of(server.url)).text == TEXT
            return
        with pytest.raises(IterationError) as caught:
            await answer_of(server.url)
    assert caught.value.failure.kind == "protocol"


async def test_an_error_after_the_finish_reason_is_a_failure() -> None:
    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        reply.stream()
        finish_alone(reply)
        reply.event({"error": {"message": "out of memory"}})
        reply.end()

    with odd(chat) as server, pytest.raises(IterationError) as caught:
        await answer_of(server.url)
    assert "out of memory" in caught.value.failure.message


DOCUMENT = {
    **chunk({"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}),
    "usage": {"prompt_tokens": 20, "completion_tokens": TOKENS},
}


def document(after: After, *headers: str, pause_s: float = 0.0) -> Callable[[Reply, Request], None]:
    """Send the document in two halves with `pause_s` between them, without a length."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head("200 OK", "application/json", *headers, chunked=False)
        text = json.dumps(DOCUMENT)
        time.sleep(TTFT_S)
        reply.send(text[:40])
        time.sleep(pause_s)
        reply.send(text[40:])
        after(reply)

    return chat


@pytest.mark.parametrize(
    ("after", "headers", "pause_s"),
    [
        (wait_for_the_client, (), 0.0),
        (wait_for_the_client, (), 0.5),
        (repeated("\n"), (), 0.0),
        (wait_for_the_client, ("Content-Length: 9999",), 0.0),
        (lambda reply: None, ("Content-Length: 9999",), 0.0),
    ],
    ids=["open", "open, with a pause", "blanks", "wrong length", "wrong length, closed"],
)
async def test_a_document_ends_when_its_json_does(
    after: After, headers: tuple[str, ...], pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """proxy.py #1062: neither a length nor an end of the connection."""
    monkeypatch.setattr(ending, "SILENCE_S", 0.45)
    with odd(document(after, *headers, pause_s=pause_s)) as server:
        answer, numbers = await figures_of(server.url, stream=False)
    assert (answer.text, answer.streamed, numbers.output_tokens) == (TEXT, False, TOKENS)
    assert TTFT_S + pause_s < numbers.latency_s < TTFT_S + pause_s + 0.4


async def test_ollamas_last_line_ends_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """flock #287: Ollama's stream over a connection that stays open."""
    monkeypatch.setattr(ending, "SILENCE_S", 30.0)

    def chat(reply: Reply, request: Request) -> None:
        reply.head("200 OK", "application/x-ndjson")
        for number in range(4):
            reply.send(json.dumps({"message": {"content": f" w{number}"}, "done": False}) + "\n")
            time.sleep(ITL_S)
        end = {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 4}
        reply.send(json.dumps(end) + "\n")
        repeated("\n")(reply)

    with odd(chat) as server:
        began = time.monotonic()
        answer, numbers = await figures_of(server.url, protocol="ollama")
        assert time.monotonic() - began < SOON_S, "its last line ends the answer"
    assert (answer.text, numbers.output_tokens) == (" w0 w1 w2 w3", 4)


async def test_a_connection_is_reused_if_its_body_ends_soon_after_done() -> None:
    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        reply.stream(2)
        said_all(reply)
        time.sleep(0.01)
        reply.end()

    with odd(chat, keep_alive=True) as server:
        one = Backend(name="a", url=server.url, model=MODEL)
        dialect = dialect_for(one)
        async with new_client(server.url, connect_timeout_s=2.0) as client:
            request = dialect.request(one, RunConfig(), "hi", MODEL)
            first, second = [await ask(client, request, dialect, timeout_s=5.0) for _ in range(2)]
            await asyncio.sleep(0)
    assert first.connect_ns is not None and second.connect_ns is None
    assert figures(second).latency_s < SOON_S / 2


@pytest.mark.slow
def test_a_run_loses_nothing_to_a_connection_that_stays_open(tmp_path: Path) -> None:
    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        reply.stream()
        said_all(reply)
        repeated(": ping\n\n")(reply)

    with odd(chat) as server:
        began = time.monotonic()
        outcome = run(tmp_path, config_for(server.url, iterations=5))
        assert time.monotonic() - began < 30, "five timeouts of 10 s"
    assert outcome.code == 0, outcome.stderr
    assert all(TOOK_S * 0.9 < row["latency_s"] < SOON_S / 2 for row in outcome.iterations)
