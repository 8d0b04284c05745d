"""Ollama's native dialect on exact bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.model import Backend, RunConfig
from llmtui.wire import OllamaDialect, WireError, dialect_for
from tests.wire.replay import bytewise, carries_tokens, fold, run

NDJSON = "application/x-ndjson"


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(v).encode() + b"\n" for v in values)


def line_of(content: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "message": {"role": "assistant", "content": content, **more}, "done": False}


def answer(body: bytes) -> dict[str, Any]:
    whole = fold(run(OllamaDialect().parser(NDJSON), [body]))
    assert fold(run(OllamaDialect().parser(NDJSON), bytewise(body))) == whole
    return whole


def test_thinking_is_reasoning() -> None:
    body = lines(line_of("", thinking="Hm"), line_of("Hi"), line_of("") | {"done": True, "done_reason": "stop"})
    folded = answer(body)
    assert (folded["reasoning"], folded["text"], folded["events"]) == ("Hm", "Hi", 2)


def test_missing_counts_are_none() -> None:
    # Older versions leave prompt_eval_count out when the prompt came from the cache, and have no done_reason.
    folded = answer(lines(line_of("Hi"), {"model": "m", "done": True, "eval_count": 2, "eval_duration": 1_500_000}))
    assert folded == {
        "text": "Hi",
        "reasoning": "",
        "events": 1,
        "model": "m",
        "finish_reason": "done",
        "output_tokens": 2,
        "token_source": "server",
        "decode_s": 0.0015,
    }


def test_tool_calls_carry_tokens() -> None:
    calls = [{"function": {"name": "look", "arguments": {"at": 1}}}]
    (delta,) = OllamaDialect().parser(NDJSON).feed(lines(line_of("", tool_calls=calls)))
    assert (delta.tool, delta.text, carries_tokens(delta)) == ('look{"at":1}', "", True)


def test_error_line_in_the_middle() -> None:
    with pytest.raises(WireError, match="reported an error: boom") as caught:
        answer(lines(line_of("Hi"), {"error": "boom"}))
    assert caught.value.kind == "server"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message":{"content":"a"},"done":fal', "ended in the middle"),
        (b"not json\n", "neither events nor JSON objects: 'not json'"),
        (b'{"message":{"content":"a"}}\n{"message":}\n', "cannot parse the answer"),
    ],
)
def test_invalid_lines(body: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message) as caught:
        answer(body)
    assert caught.value.kind == "protocol"


def test_blank_lines_and_crlf() -> None:
    body = lines(line_of("a"), line_of("b")).replace(b"\n", b"\r\n\r\n")
    assert answer(body)["text"] == "ab"


def test_line_over_64_kb() -> None:
    # The last line of /api/generate has all token ids.
    folded = answer(lines({"response": "a"}, {"done": True, "done_reason": "stop", "context": list(range(40_000))}))
    assert (folded["text"], folded["finish_reason"]) == ("a", "stop")


@given(st.binary(max_size=300), st.sampled_from([NDJSON, "application/json", "", "text/html"]))
def test_invalid_data_raises_only_wire_errors(data: bytes, kind: str) -> None:
    for body in (data, b'{"message":' + data + b"}\n"):
        try:
            run(OllamaDialect().parser(kind), [body])
        except WireError as caught:
            assert caught.message.isprintable()


def test_request() -> None:
    backend = Backend(
        name="o",
        protocol="ollama",
        url="http://h:11434/",
        options={"num_ctx": 2048, "seed": 9, "think": False, "keep_alive": "5m"},
    )
    config = RunConfig(max_tokens=7, temperature=0.5)
    request = dialect_for(backend).request(backend, config, "Why?", "smollm2")
    assert (request.method, request.url) == ("POST", "http://h:11434/api/chat")
    assert json.loads(request.body) == {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": True,
        "options": {"temperature": 0.5, "seed": 9, "num_predict": 7, "num_ctx": 2048},
        "think": False,
        "keep_alive": "5m",
    }


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/api", "http://h:1/api/chat"])
def test_urls(url: str) -> None:
    backend = Backend(name="o", protocol="ollama", url=url)
    dialect = dialect_for(backend)
    assert dialect.request(backend, RunConfig(), "", "m").url == "http://h:1/api/chat"
    assert [r.url for r in dialect.probes(backend, "m")] == [
        "http://h:1/api/version",
        "http://h:1/api/tags",
        "http://h:1/api/show",
        "http://h:1/api/ps",
    ]
