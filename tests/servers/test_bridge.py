"""The HTTP bridge of mistral.rs, called as an ASGI application with a fake engine."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from llmtui.servers.embedded.mistralrs import Bridge

Ask = Callable[[dict[str, Any]], Iterator[Any]]


class Panic(BaseException):
    """Like the bindings' PanicException, not an Exception."""


def chunk(text: str, finish: str | None = None) -> SimpleNamespace:
    """Return a chunk like those of the bindings."""
    usage = SimpleNamespace(
        completion_tokens=2, prompt_tokens=5, total_prompt_time_sec=0.25, total_completion_time_sec=1
    )
    choice = SimpleNamespace(delta=SimpleNamespace(role="assistant", content=text), finish_reason=finish)
    return SimpleNamespace(id="7", created=1, choices=[choice], usage=usage if finish else None)


def two_words(body: dict[str, Any]) -> Iterator[Any]:
    yield chunk("Grüße")
    yield chunk(" you", "stop")


async def call(
    ask: Ask, path: str, body: object = None, gone: asyncio.Event | None = None, bridge: Bridge | None = None
) -> list[dict[str, Any]]:
    """Return the messages that the bridge, or another one, sends for one request."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    halves = [raw[: len(raw) // 2], raw[len(raw) // 2 :]]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if halves:
            part = halves.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(halves)}
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    method = "GET" if body is None else "POST"
    bridge = bridge or Bridge(ask, "the-model")
    await bridge({"type": "http", "method": method, "path": path}, receive, send)
    return sent


CHAT = "/v1/chat/completions"
REQUEST: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


async def test_a_stream_has_one_event_per_message_and_per_token() -> None:
    sent = await call(two_words, CHAT, REQUEST | {"stream": True})
    assert sent[0]["status"] == 200
    assert (b"content-type", b"text/event-stream") in sent[0]["headers"]
    events = [message["body"] for message in sent[1:]]
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    first, last = (json.loads(event[6:]) for event in events[:2])
    assert first["choices"][0] == {
        "index": 0,
        "delta": {"role": "assistant", "content": "Grüße"},
        "finish_reason": None,
    }
    assert "usage" not in first
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"] == {
        "completion_tokens": 2,
        "prompt_tokens": 5,
        "total_prompt_time_sec": 0.25,
        "total_completion_time_sec": 1,
    }
    assert last["model"] == "the-model"
    assert events[2] == b"data: [DONE]\n\n"
    assert [message.get("more_body", False) for message in sent[1:]] == [True, True, False]


async def test_an_answer_without_streaming() -> None:
    start, body = await call(two_words, CHAT, REQUEST)
    answer = json.loads(body["body"])
    assert start["status"] == 200
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Grüße you"}
    assert answer["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("stream", [True, False])
async def test_a_panic_before_the_first_token_is_status_500(stream: bool) -> None:
    def ask(body: dict[str, Any]) -> Iterator[Any]:
        raise Panic("called Option::unwrap() on a None value")

    start, body = await call(ask, CHAT, REQUEST | {"stream": stream})
    assert start["status"] == 500
    assert "unwrap" in json.loads(body["body"])["error"]["message"]


async def test_a_panic_during_the_answer_is_an_error_event_without_done() -> None:
    def ask(body: dict[str, Any]) -> Iterator[Any]:
        yield chunk("one")
        raise Panic("no more")

    sent = await call(ask, CHAT, REQUEST | {"stream": True})
    assert json.loads(sent[-1]["body"][6:]) == {"error": {"message": "mistral.rs: no more"}}
    assert not any(b"[DONE]" in message.get("body", b"") for message in sent)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_without_tokens_is_an_error(stream: bool) -> None:
    start, _ = await call(lambda _: iter(()), CHAT, REQUEST | {"stream": stream})
    assert start["status"] == 500


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{not json", "not JSON"),
        (b"[]", "not a JSON object"),
        ({"messages": []}, "messages must be a list"),
        ({"messages": "hi"}, "messages must be a list"),
        ({"messages": [{"role": "user"}]}, "needs a role and a content"),
        ({"messages": [{"role": "user", "content": ["part"]}], "stream": True}, "needs a role and a content"),
    ],
)
async def test_a_bad_request_is_refused_with_a_message(body: object, words: str) -> None:
    start, answer = await call(two_words, CHAT, body)
    assert start["status"] == 422
    assert words in json.loads(answer["body"])["error"]["message"]


async def test_a_disconnect_stops_the_engine() -> None:
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    closed = threading.Event()

    def ask(body: dict[str, Any]) -> Iterator[Any]:
        try:
            yield chunk("one")
            loop.call_soon_threadsafe(gone.set)
            while True:
                yield chunk("more")
        finally:
            closed.set()

    answering = asyncio.create_task(call(ask, CHAT, REQUEST | {"stream": True}, gone))
    assert await asyncio.to_thread(closed.wait, 20)
    answering.cancel()


async def test_one_prompt_is_computed_at_a_time_and_answers_go_on_together() -> None:
    """mistral.rs 0.9.5 fails if it computes two prompts of one length together."""
    began, first_may_begin = threading.Event(), threading.Event()
    both_began = threading.Barrier(2, timeout=10.0)
    started: list[str] = []

    def ask(body: dict[str, Any]) -> Iterator[Any]:
        started.append(body["messages"][0]["content"])
        began.set()
        assert len(started) > 1 or first_may_begin.wait(10.0)
        yield chunk("a")
        both_began.wait()
        yield chunk("b", "stop")

    bridge = Bridge(ask, "the-model")
    gone = asyncio.Event()
    bodies = [{"messages": [{"role": "user", "content": text}], "stream": True} for text in ("one", "left", "two")]
    asking = [
        asyncio.create_task(call(ask, CHAT, body, gone if n == 1 else None, bridge)) for n, body in enumerate(bodies)
    ]
    assert await asyncio.to_thread(began.wait, 10.0)
    gone.set()  # the second client leaves while its prompt waits
    await asyncio.sleep(0)
    first_may_begin.set()
    one, _, two = await asyncio.gather(*asking)
    assert started == ["one", "two"]
    assert all(sent[-1]["body"] == b"data: [DONE]\n\n" for sent in (one, two))


async def test_other_paths_than_health_models_and_chat_are_404() -> None:
    start, body = await call(two_words, "/health")
    assert (start["status"], json.loads(body["body"])) == (200, {"status": "ok"})
    _, body = await call(two_words, "/v1/models")
    assert json.loads(body["body"])["data"][0]["id"] == "the-model"
    start, _ = await call(two_words, "/v1/completions", {})
    assert start["status"] == 404
