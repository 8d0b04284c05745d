"""Serves the mistral.rs engine, through its Python bindings, with a minimal HTTP bridge: raw ASGI on uvicorn.

It has the endpoints of mistral.rs' own server: /health, /v1/models, and /v1/chat/completions with `usage` on the last
chunk.
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
    """The request is invalid; the message is sent to the client."""


class Generation:
    """One answer: a thread reads chunks from the blocking iterator and passes them to the event loop.

    `prompts` is held until the first chunk: mistral.rs 0.9.5 fails if it computes two prompts of one length together.
    """

    def __init__(self, start: Callable[[], Iterator[Any]], prompts: asyncio.Lock) -> None:
        self._start = start
        self._prompts = prompts
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[Any] = asyncio.Queue()
        self._dropped = threading.Event()

    def drop(self) -> None:
        """Stop the engine at the next token, by closing its iterator."""
        self._dropped.set()

    def _work(self) -> None:
        last: Any = None
        try:
            for chunk in self._start():
                if self._dropped.is_set():
                    break
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
        except BaseException as error:  # the bindings raise PanicException, which is not an Exception
            last = error
        self._loop.call_soon_threadsafe(self._chunks.put_nowait, last)

    async def chunks(self) -> AsyncIterator[Any]:
        """Start the answer, and yield each chunk as it arrives. Raises RuntimeError for an error of the engine."""
        async with self._prompts:
            if self._dropped.is_set():
                return
            threading.Thread(target=self._work, daemon=True).start()
            chunk = await self._chunks.get()
        while chunk is not None:
            if isinstance(chunk, BaseException):
                raise RuntimeError(f"mistral.rs: {chunk}") from chunk
            yield chunk
            chunk = await self._chunks.get()


class Bridge:
    """The ASGI application. `ask` takes a request body with checked messages and starts an answer."""

    def __init__(self, ask: Callable[[dict[str, Any]], Iterator[Any]], alias: str) -> None:
        self._ask = ask
        self._alias = alias
        self._prompts = asyncio.Lock()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one request."""
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
        generation = Generation(lambda: self._ask(body), self._prompts)
        watching = asyncio.create_task(drop_when_gone(receive, generation))
        begun = False
        try:
            async for chunk in generation.chunks():
                if not begun:
                    begun = True
                    await send(head(200, b"text/event-stream"))
                await send(part(event(self._chunk(chunk))))
            if not begun:
                raise RuntimeError("mistral.rs: the answer has no token")
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        except RuntimeError as error:
            if begun:
                await send({"type": "http.response.body", "body": event(failure(str(error)))})
            else:
                await answer(send, 500, failure(str(error)))
        finally:
            generation.drop()
            watching.cancel()

    async def _whole(self, request: dict[str, Any], receive: Receive, send: Send) -> None:
        generation = Generation(lambda: self._ask(request), self._prompts)
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
            await answer(send, 500, failure("mistral.rs: the answer has no token"))
            return
        message = {"role": "assistant", "content": "".join(text)}
        choice = {"index": 0, "message": message, "finish_reason": last.choices[0].finish_reason}
        body: dict[str, Any] = {"id": last.id, "object": "chat.completion", "created": int(last.created)}
        body |= {"model": self._alias, "choices": [choice]}
        if last.usage is not None:
            body["usage"] = usage(last.usage)
        await answer(send, 200, body)

    def _chunk(self, chunk: Any) -> dict[str, Any]:
        choice = chunk.choices[0]
        delta = {"role": choice.delta.role or "assistant", "content": choice.delta.content}
        data: dict[str, Any] = {"id": chunk.id, "object": "chat.completion.chunk", "created": int(chunk.created)}
        data |= {"model": self._alias}
        data["choices"] = [{"index": 0, "delta": delta, "finish_reason": choice.finish_reason}]
        if chunk.usage is not None:
            data["usage"] = usage(chunk.usage)
        return data


def usage(counts: Any) -> dict[str, Any]:
    """Return the engine's own token counts and durations."""
    return {name: value for name in USAGE if (value := getattr(counts, name, None)) is not None}


def failure(message: str) -> dict[str, Any]:
    return {"error": {"message": message.strip()[:500]}}


def event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def head(status: int, kind: bytes) -> Message:
    headers = [(b"content-type", kind), (b"cache-control", b"no-cache")]
    return {"type": "http.response.start", "status": status, "headers": headers}


def part(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def answer(send: Send, status: int, data: dict[str, Any]) -> None:
    """Send a complete JSON reply."""
    body = json.dumps(data, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_json(receive: Receive) -> dict[str, Any]:
    """Return the request body. Raises BadRequest if it is not a JSON object, or too large."""
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
    """Drop an answer when its client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
    generation.drop()


def checked_messages(body: dict[str, Any]) -> list[dict[str, str]]:
    """Return the messages for the bindings. Raises BadRequest for those at which they would panic."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list with at least one message")
    for message in messages:
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise BadRequest("every message needs a role and a content, both text")
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def engine(path: str, slots: int) -> Callable[[dict[str, Any]], Iterator[Any]]:
    """Load the model. Return the function that starts an answer to a request body; `slots` of them go on at a time."""
    from mistralrs import ChatCompletionRequest, Runner, Which

    folder, name = os.path.split(path)
    which: Any = Which.GGUF(quantized_model_id=folder, quantized_filename=name)
    runner = Runner(which=which, token_source="none", max_seqs=slots)

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
    """Bind the port, load the model and serve."""
    options = argparse.ArgumentParser()
    options.add_argument("--model", required=True)
    options.add_argument("--alias", required=True)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--slots", type=int, required=True)
    args = options.parse_args()

    # asyncio disables Nagle's algorithm only if the protocol is named. Otherwise the first token would wait 40 ms for
    # an acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", args.port))
    except OSError as error:
        sys.exit(f"mistral.rs bridge: cannot bind port {args.port}: {error.strerror}")
    try:
        ask = engine(args.model, args.slots)
    except Exception as error:
        # The first line has the cause; a backtrace may follow.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        sys.exit(f"mistral.rs: cannot load {args.model}: {reason}")

    import uvicorn

    config = uvicorn.Config(
        Bridge(ask, args.alias), loop="asyncio", http="h11", ws="none", lifespan="off", log_level="warning"
    )
    config.load()
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
