"""Events, lines and documents are told apart by their bytes, whatever the Content-Type says."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.odd.running import answer_of, figures_of
from tests.odd.server import ITL_S, LEAST_ARRIVALS, STREAM, TOKENS, TTFT_S, Reply, Request, delta, odd, usage

TEXT = "".join(f" w{n}" for n in range(TOKENS))
LABELS = [STREAM, "", "text/plain; charset=utf-8", "Application/JSON", "application/x-ndjson", "TEXT/HTML", "image/png"]
WHOLE = {
    "object": "chat.completion",
    "model": "m1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello there"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}


def chunks() -> list[Any]:
    texts = [delta(f" w{n}") for n in range(TOKENS)]
    return [*texts, delta(finish="stop"), usage(TOKENS)]


def ollama_line(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "m1", "message": {"role": "assistant", "content": text}, "done": False} | fields


def ollama_lines() -> list[Any]:
    texts = [ollama_line(f" w{n}") for n in range(TOKENS)]
    return [*texts, ollama_line("", done=True, done_reason="stop", eval_count=TOKENS, prompt_eval_count=5)]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("protocol", ["openai", "ollama", "custom"])
async def test_lines_of_json_are_a_stream(protocol: str, label: str) -> None:
    """ollama/ollama#294 and Azure-Samples/openai-chat-app-quickstart#222: lines labelled as text or as a page."""
    values = ollama_lines() if protocol == "ollama" else chunks()
    path = {"answer": "choices.0.delta.content"} if protocol == "custom" else {}

    def chat(reply: Reply, request: Request) -> None:
        reply.head(content_type=label)
        time.sleep(TTFT_S)
        for value in values:
            reply.send(json.dumps(value) + "\n")
            time.sleep(ITL_S)
        reply.end()

    with odd(chat) as server:
        answer, figures = await figures_of(server.url, protocol=protocol, **path)
    assert answer.text == TEXT and answer.events == TOKENS and len(answer.arrivals_ns) >= LEAST_ARRIVALS
    assert figures.ttft_s is not None and TTFT_S <= figures.ttft_s < figures.latency_s / 1.5


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("protocol", ["openai", "tgi"])
async def test_events_are_a_stream(protocol: str, label: str) -> None:
    """openclaw/openclaw#96497 and microsoft/foundry-dev-tools#195: events labelled application/json."""
    tokens = [{"token": {"text": f" w{n}", "special": False}, "generated_text": None} for n in range(TOKENS)]
    end = {
        "token": {"text": "</s>", "special": True},
        "generated_text": TEXT,
        "details": {"finish_reason": "eos_token"},
    }

    def chat(reply: Reply, request: Request) -> None:
        reply.head(content_type=label)
        for value in chunks() if protocol == "openai" else [*tokens, end]:
            reply.event(value)
            time.sleep(ITL_S)
        reply.end()

    with odd(chat) as server:
        answer, figures = await figures_of(server.url, protocol=protocol)
    assert answer.text == TEXT and answer.events == TOKENS and figures.ttft_s is not None


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("form", ["line", "pretty", "list", "glued", "pretty-glued", "bom", "event"])
async def test_one_document_has_no_ttft(form: str, label: str) -> None:
    """EricLBuehler/mistral.rs#79: a document labelled text/plain. decolua/9router#3492: with `[DONE]` behind it."""
    pretty = json.dumps(WHOLE, indent=2)
    body = {
        "line": json.dumps(WHOLE),
        "pretty": pretty,
        "list": json.dumps([WHOLE]),
        "glued": json.dumps(WHOLE) + "data: [DONE]",
        "pretty-glued": pretty + "\n\ndata: [DONE]\n\n",
        "bom": "\ufeff\r\n " + pretty,
        "event": f"data: {json.dumps(WHOLE)}\n\ndata: [DONE]\n\n",
    }[form]
    with odd(lambda reply, request: reply.whole(body, content_type=label)) as server:
        answer, figures = await figures_of(server.url)
    assert (answer.text, answer.finish_reason, figures.output_tokens) == ("hello there", "stop", 2)
    assert figures.ttft_s is None and figures.tokens_per_s is None


@pytest.mark.parametrize("label", LABELS)
async def test_a_page_is_named_whatever_its_label(label: str) -> None:
    body = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
    page = odd(lambda reply, request: reply.whole(body, content_type=label))
    with page as server, pytest.raises(Exception, match="the server sent a web page: Sign in"):
        await answer_of(server.url)


FRAMES = {
    "no blank lines": "data: %s\n",
    "CR": "data: %s\r\r",
    "CRLF": "data:%s\r\n\r\n",
    "line feeds before": "\n\ndata: %s",
    "data twice": "data: data: %s\n\n",  # paiml/aprender#2015
    "nothing between": "data: %s",  # anomalyco/opencode#27365
    "objects in a row": "%s",  # bentoml/OpenLLM#864
    "ids and comments": "id: 7\nretry: 100\n: ping\ndata: %s\n\n",
    "record separators": "\x1e%s\n",
    "named": "event: completion\ndata: %s\n\n",
    "name behind": "data: %s\nevent: chunk\n\n",
    "NUL": "%s\0",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
async def test_frames_of_events(frame: str) -> None:
    """Each object is read as soon as it has arrived, whatever stands between them."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        for value in chunks():
            reply.send(frame % json.dumps(value))
            time.sleep(ITL_S)
        reply.end()

    with odd(chat) as server:
        answer = await answer_of(server.url)
    assert answer.text == TEXT and answer.output_tokens == TOKENS
    assert len(answer.arrivals_ns) >= LEAST_ARRIVALS


async def test_pretty_objects_over_many_lines() -> None:
    def chat(reply: Reply, request: Request) -> None:
        reply.head(content_type="application/json")
        for value in chunks():
            reply.send(json.dumps(value, indent=1) + "\n")
            time.sleep(ITL_S)
        reply.end()

    with odd(chat) as server:
        answer = await answer_of(server.url)
    assert answer.text == TEXT and len(answer.arrivals_ns) >= LEAST_ARRIVALS and answer.streamed
