"""Requests of the OpenAI dialect: body, headers, URLs, and the retry without the usage option."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmtui.model import Backend, RunConfig
from llmtui.wire import dialect_for, refuses_usage_option
from llmtui.wire.openai import chat_url, server_root

CONFIG = RunConfig(prompt="unused", max_tokens=7, temperature=0.5, seed=3)


def request_body(backend: Backend, model: str = "m", include_usage: bool = True) -> Any:
    return json.loads(dialect_for(backend, include_usage).request(backend, CONFIG, "Why?", model).body)


def test_request() -> None:
    backend = Backend(name="b", url="http://h:1", api_key="secret", headers={"X-Team": "t"})
    request = dialect_for(backend).request(backend, CONFIG, "Why?", "m")
    assert (request.method, request.url) == ("POST", "http://h:1/v1/chat/completions")
    assert request.headers == {
        "Content-Type": "application/json",
        "Authorization": "Bearer secret",
        "X-Team": "t",
    }
    assert json.loads(request.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
        "max_tokens": 7,
        "temperature": 0.5,
        "seed": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_model_is_always_set() -> None:
    assert request_body(Backend(name="b"), model="")["model"] == "default"
    assert request_body(Backend(name="b", model="own"), model="")["model"] == "own"
    assert request_body(Backend(name="b", model="own"), model="resolved")["model"] == "resolved"


def test_own_headers_replace_ours_in_any_case() -> None:
    backend = Backend(name="b", url="http://h", api_key="a", headers={"authorization": "Basic x"})
    headers = dialect_for(backend).request(backend, CONFIG, "", "").headers
    assert headers == {"Content-Type": "application/json", "authorization": "Basic x"}


def test_usage_is_requested_in_streams_until_refused() -> None:
    assert "stream_options" not in request_body(Backend(name="b"), include_usage=False)
    whole = request_body(Backend(name="b", stream=False))
    assert whole["stream"] is False and "stream_options" not in whole


def test_options_replace_fields() -> None:
    body = request_body(Backend(name="b", options={"seed": 9, "cache_prompt": False, "max_completion_tokens": 5}))
    assert (body["seed"], body["cache_prompt"], body["max_completion_tokens"]) == (9, False, 5)
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    ("url", "chat", "root"),
    [
        ("http://h:1", "http://h:1/v1/chat/completions", "http://h:1"),
        ("http://h:1/", "http://h:1/v1/chat/completions", "http://h:1"),
        ("http://h:1/v1", "http://h:1/v1/chat/completions", "http://h:1"),
        ("http://h:1/v1/", "http://h:1/v1/chat/completions", "http://h:1"),
        ("http://h/api/v1", "http://h/api/v1/chat/completions", "http://h/api"),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions", "http://h"),
        ("http://h/x/chat/completions", "http://h/x/chat/completions", "http://h/x"),
        ("http://h/x?version=1", "http://h/x/v1/chat/completions?version=1", "http://h/x?version=1"),
        ("http://[::1]:80", "http://[::1]:80/v1/chat/completions", "http://[::1]:80"),
    ],
)
def test_urls(url: str, chat: str, root: str) -> None:
    assert chat_url(url) == chat
    assert server_root(url) == root


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (400, b'{"error":{"message":"unknown field stream_options"}}', True),
        (422, b'{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}', True),
        (400, b"include_usage is not supported", True),
        (400, b'{"error":"model not found"}', False),
        (500, b"stream_options", False),
        (200, b"stream_options", False),
    ],
)
def test_refuses_usage_option(status: int, body: bytes, refused: bool) -> None:
    assert refuses_usage_option(status, body) is refused
