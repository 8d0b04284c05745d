"""The mistral.rs engine, through its Python bindings, behind the thinnest HTTP bridge: raw ASGI on uvicorn.

It speaks as mistral.rs' own server does: /health, /v1/models, /v1/chat/completions, with `usage` on the last chunk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 16 * 1024 * 1024
USAGE = (
    "completion_tokens",
    "prompt_tokens",
    "total_tokens",
    "avg_tok_per_sec",
    "avg_prompt_tok_per_sec",
    "avg_compl_tok_per_sec",
    "total_time_sec",
    "total_prompt_time_sec",
    "total_completion_time_sec",
)


class BadRequest(Exception):
    """The request cannot be served; the text goes back to the client."""


class Generation:
    """One streamed answer: a thread takes chunks from the blocking iterator and hands each to the event loop."""

    def __init__(self, start: Callable[[], Iterator[Any]]) -> None:
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[Any] = asyncio.Queue()
        self._dropped = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    def drop(self) -> None:
        """Nobody listens any more: the engine stops at the next token, because its iterator is closed then."""
        self._dropped.set()

    def _work(self) -> None:
        last: Any = None
        try:
            for chunk in self._start():
                if self._dropped.is_set():
                    return
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
        except BaseException as error:  # The bindings raise PanicException, which is no Exception.
            last = error
        self._loop.call_soon_threadsafe(self._chunks.put_nowait, last)

    async def chunks(self) -> AsyncIterator[Any]:
        """Each chunk as it comes. Raises what the engine raised."""
        while (chunk := await self._chunks.get()) is not None:
            if isinstance(chunk, BaseException):
                raise RuntimeError(f"mistral.rs: {chunk}") from chunk
            yield chunk


class Bridge:
    """The ASGI application. `ask` takes a request's body, its messages checked, and begins an answer."""

    def __init__(self, ask: Callable[[dict[str, Any]], Iterator[Any]], alias: str) -> None:
        self._ask = ask
        self._alias = alias

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        route = (scope["method"], scope["path"])
        if route == ("GET", "/health"):
            await answer(send, 200, {"status": "ok"})
        elif route == ("GET", "/v1/models"):
            await answer(send, 200, {"object": "list", "data": [{"id": self._alias, "object": "model"}]})
        elif route == ("POST", "/v1/chat/completions"):
            try:
                body = await read_json(receive)
                body["messages"] = checked_messages(body)
                if body.get("stream"):
                    await self._stream(body, receive, send)
                else:
                    await self._whole(body, receive, send)
            except BadRequest as error:
                await answer(send, 422, failure(str(error)))
        else:
            await answer(send, 404, failure(f"no such path: {scope['path']}"))

    async def _stream(self, body: dict[str, Any], receive: Receive, send: Send) -> None:
        generation = Generation(lambda: self._ask(body))
        watching = asyncio.create_task(drop_when_gone(receive, generation))
        begun = False
        try:
            async for chunk in generation.chunks():
                if not begun:
                    begun = True
                    await send(head(200, b"text/event-stream"))
                await send(part(event(self._chunk(chunk))))
            if not begun:
                raise RuntimeError("mistral.rs: it ended without a token")
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        except RuntimeError as error:
            if begun:
                await send({"type": "http.response.body", "body": event(failure(str(error)))})
            else:
                await answer(send, 500, failure(str(error)))
        finally:
            generation.drop()
            watching.cancel()

    async def _whole(self, body: dict[str, Any], receive: Receive, send: Send) -> None:
        generation = Generation(lambda: self._ask(body))
        watching = asyncio.create_task(drop_when_gone(receive, generation))
        text, last = [], None
        try:
            async for chunk in generation.chunks():
                last = chunk
                text.append(chunk.choices[0].delta.content or "")
        except RuntimeError as error:
            await answer(send, 500, failure(str(error)))
            return
        finally:
            generation.drop()
            watching.cancel()
        if last is None:
            await answer(send, 500, failure("mistral.rs: it ended without a token"))
            return
        message = {"role": "assistant", "content": "".join(text)}
        choice = {"index": 0, "message": message, "finish_reason": last.choices[0].finish_reason}
        told: dict[str, Any] = {"id": last.id, "object": "chat.completion", "created": int(last.created)}
        told |= {"model": self._alias, "choices": [choice]}
        if last.usage is not None:
            told["usage"] = usage(last.usage)
        await answer(send, 200, told)

    def _chunk(self, chunk: Any) -> dict[str, Any]:
        choice = chunk.choices[0]
        delta = {"role": choice.delta.role or "assistant", "content": choice.delta.content}
        told: dict[str, Any] = {"id": chunk.id, "object": "chat.completion.chunk", "created": int(chunk.created)}
        told |= {"model": self._alias}
        told["choices"] = [{"index": 0, "delta": delta, "finish_reason": choice.finish_reason}]
        if chunk.usage is not None:
            told["usage"] = usage(chunk.usage)
        return told


def usage(told: Any) -> dict[str, Any]:
    """The engine's own counts and clocks, as they are."""
    return {name: value for name in USAGE if (value := getattr(told, name, None)) is not None}


def failure(message: str) -> dict[str, Any]:
    return {"error": {"message": message.strip()[:500]}}


def event(told: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def head(status: int, kind: bytes) -> Message:
    headers = [(b"content-type", kind), (b"cache-control", b"no-cache")]
    return {"type": "http.response.start", "status": status, "headers": headers}


def part(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def answer(send: Send, status: int, told: dict[str, Any]) -> None:
    """A whole JSON answer."""
    body = json.dumps(told, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_json(receive: Receive) -> dict[str, Any]:
    """The request's body. Raises BadRequest when it is not a JSON object, or too large."""
    raw = b""
    while True:
        message = await receive()
        raw += message.get("body", b"")
        if len(raw) > MAX_BODY_BYTES:
            raise BadRequest("the request is too large")
        if not message.get("more_body"):
            break
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise BadRequest(f"the request is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("the request is not a JSON object")
    return body


async def drop_when_gone(receive: Receive, generation: Generation) -> None:
    """Drop an answer when its client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    generation.drop()


def checked_messages(body: dict[str, Any]) -> list[dict[str, str]]:
    """The conversation as the bindings take it; what they would panic at becomes BadRequest."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list with at least one message")
    for message in messages:
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise BadRequest("every message needs a role and a content, both text")
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def engine(path: str) -> Callable[[dict[str, Any]], Iterator[Any]]:
    """Load the model; the function that begins an answer to a request's body."""
    from mistralrs import ChatCompletionRequest, Runner, Which

    folder, name = os.path.split(path)
    which: Any = Which.GGUF(quantized_model_id=folder, quantized_filename=name)
    runner = Runner(which=which, token_source="none", max_seqs=1)

    def ask(body: dict[str, Any]) -> Iterator[Any]:
        request = ChatCompletionRequest(
            model="default",
            messages=body["messages"],
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            logit_bias={int(token): bias for token, bias in body.get("logit_bias", {}).items()} or None,
            stream=True,
        )
        chunks: Any = runner.send_chat_completion_request(request)
        return iter(chunks)

    return ask


def main() -> None:
    """Take the port, load, serve."""
    options = argparse.ArgumentParser()
    options.add_argument("--model", required=True)
    options.add_argument("--alias", required=True)
    options.add_argument("--port", type=int, required=True)
    given = options.parse_args()

    # With the protocol named, asyncio turns Nagle's algorithm off on every connection; without, the first token
    # would wait 40 ms for an acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", given.port))
    except OSError as error:
        sys.exit(f"mistral.rs bridge: cannot bind port {given.port}: {error.strerror}")
    try:
        ask = engine(given.model)
    except Exception as error:
        # The first line has the reason; what may follow is a backtrace.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        sys.exit(f"mistral.rs: cannot load {given.model}: {reason}")

    import uvicorn

    config = uvicorn.Config(
        Bridge(ask, given.alias), loop="asyncio", http="h11", ws="none", lifespan="off", log_level="warning"
    )
    config.load()
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
