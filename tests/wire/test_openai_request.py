"""Requests of the OpenAI dialect: body, headers and URLs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmtui.model import Backend, RunConfig
from llmtui.wire import dialect_for
from llmtui.wire.openai import chat_url, server_root

CONFIG = RunConfig(prompt="unused", max_tokens=7, temperature=0.5, seed=3)


def request_body(backend: Backend, model: str = "m") -> Any:
    return json.loads(dialect_for(backend).request(backend, CONFIG, "Why?", model).body)


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


def test_usage_is_requested_in_streams_unless_omitted() -> None:
    assert "stream_options" not in request_body(Backend(name="b", omit=["stream_options"]))
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
