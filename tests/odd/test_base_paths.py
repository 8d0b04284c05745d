"""Base addresses with, without and with another version: the chat is at the likeliest address, else at the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtui.model import Backend, RunConfig
from llmtui.wire import dialect_for
from llmtui.wire.openai import chat_urls
from llmtui.wire.refusals import names_model
from tests.odd.running import config_for, run
from tests.odd.server import MODEL, TOKENS, Handler, OddServer, Reply, Request, odd, plain_chat
from tests.odd.settling import settle

CHAT = "/chat/completions"
NOT_FOUND: dict[str, Any] = {"detail": "Not Found"}


def only(path: str, answer: Any = NOT_FOUND, status: str = "404 Not Found") -> Handler:
    """Answer the chat at `path` only."""

    def chat(reply: Reply, request: Request) -> None:
        if request.path == path:
            plain_chat(reply, request)
        else:
            reply.whole(answer, status)

    return chat


def nothing(reply: Reply, request: Request) -> None:
    reply.whole(NOT_FOUND, "404 Not Found")


def posts(server: OddServer) -> list[str]:
    return [request.path for request in server.requests if request.method == "POST"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        # FerroxLabs/wayland #1178, agentmemory #628: /v1 in the address
        ("/v1/", "/v1/chat/completions"),
        # MoneyPrinterTurbo #57: the whole path
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("//v1//chat//completions", "/v1/chat/completions"),
        ("/v1/models", "/v1/chat/completions"),
        # new-api #853 (Google, Volcengine, Zhipu)
        ("/v1beta/openai/", "/v1beta/openai/chat/completions"),
        ("/api/v3", "/api/v3/chat/completions"),
        ("/api/paas/v4", "/api/paas/v4/chat/completions"),
        ("/openai/deployments/gpt?api-version=2024-06-01", "/openai/deployments/gpt/chat/completions"),
    ],
)
async def test_the_likeliest_address_comes_first(url: str, path: str, tmp_path: Path) -> None:
    query = url[url.index("?") :] if "?" in url else ""
    with odd(only(path + query), nothing) as server:
        settled = await settle(server.url + url, tmp_path)
    assert settled.answer is not None and settled.answer.events == TOKENS, settled.failure
    assert posts(server) == [path + query]
    assert settled.remark == ""


@pytest.mark.parametrize(
    ("url", "path", "answer", "status"),
    [
        # vscode-unify-chat-provider #62: no version at all
        ("", CHAT, NOT_FOUND, "404 Not Found"),
        ("/inference", "/inference/chat/completions", "", "404 Not Found"),
        # open-webui #15124, #8317: 405 at /v1 and at /api/v1
        ("", "/api/chat/completions", {"detail": "Method Not Allowed"}, "405 Method Not Allowed"),
        ("/v1", "/api/chat/completions", {"detail": "Method Not Allowed"}, "405 Method Not Allowed"),
        # lmstudio-bug-tracker #618: 200 at a path that does not exist
        (CHAT, "/v1/chat/completions", {"error": f"Unexpected endpoint or method. (POST {CHAT})"}, "200 OK"),
        # OpenAI-API-Gateway #1: OpenAI's own words
        (CHAT, "/v1/chat/completions", {"error": {"message": f"Unknown request URL: POST {CHAT}."}}, "404 Not Found"),
        ("", "/api/v1/chat/completions", "<html><h1>404 page of all our models</h1></html>", "404 Not Found"),
        ("", "/openai/v1/chat/completions", "404 page not found", "404 Not Found"),
        # A gateway of AWS at a path that it does not know
        ("/prod", "/prod/chat/completions", {"message": "Missing Authentication Token"}, "403 Forbidden"),
        ("/v1", CHAT, "Cannot POST /v1/chat/completions", "404 Not Found"),
    ],
)
async def test_another_address_is_tried(url: str, path: str, answer: Any, status: str, tmp_path: Path) -> None:
    with odd(only(path, answer, status), nothing) as server:
        settled = await settle(server.url + url, tmp_path)
    assert settled.answer is not None and settled.answer.events == TOKENS, settled.failure
    assert settled.remark == f"chat at {path}"
    assert posts(server)[-1] == path and len(posts(server)) == len(set(posts(server)))


async def test_a_web_page_in_place_of_an_answer_is_another_address(tmp_path: Path) -> None:
    def chat(reply: Reply, request: Request) -> None:
        if request.path == "/api/v1/chat/completions":
            plain_chat(reply, request)
        else:
            reply.whole("<!doctype html><html><title>The app</title></html>", "200 OK", "text/html")

    with odd(chat, nothing) as server:
        settled = await settle(server.url, tmp_path)
        lost = await settle(f"{server.url}/app", tmp_path)
    assert settled.answer is not None and settled.remark == "chat at /api/v1/chat/completions"
    assert lost.failure.startswith(f"the server sent a web page at {server.url}/app/v1/chat/completions: The app: ")


async def test_the_list_of_models_shows_the_address(tmp_path: Path) -> None:
    def routes(reply: Reply, request: Request) -> None:
        if request.path == "/models":
            reply.whole({"data": [{"id": MODEL}]})
        else:
            nothing(reply, request)

    with odd(only(CHAT), routes) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.ready is not None and settled.ready.model == MODEL
    assert posts(server) == [CHAT]


async def test_a_404_names_the_address_and_what_was_tried(tmp_path: Path) -> None:
    with odd(only("/nowhere"), nothing) as server:
        settled = await settle(f"{server.url}/v1", tmp_path)
        paths = [url.removeprefix(server.url) for url in chat_urls(f"{server.url}/v1")]
    assert posts(server) == paths
    assert settled.failure == (
        f"HTTP 404 at {server.url}/v1/chat/completions: Not Found: "
        f"check url and protocol; also tried {', '.join(paths[1:])}"
    )


async def test_a_404_about_the_model_is_the_servers_sentence(tmp_path: Path) -> None:
    """As vLLM and OpenAI say it. No other address is tried."""
    answer = {"error": {"message": "The model `m1` does not exist", "type": "NotFoundError", "code": 404}}
    with odd(only("/nowhere", answer), nothing) as server:
        settled = await settle(server.url, tmp_path, model=MODEL)
    assert settled.failure == "HTTP 404: The model `m1` does not exist: check model"
    assert len(posts(server)) == 1


@pytest.mark.parametrize(
    ("body", "about_model"),
    [
        (
            b'{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}',
            True,
        ),
        (b'{"error":{"message":"No endpoints found for x/y.","code":404}}', True),
        (b'{"error":"model \'x\' not found"}', True),
        (b'{"detail":"qwen-4b is not served here"}', True),
        (b'{"error":{"code":"404","message":"Resource not found"}}', False),
        (b"<html><title>All models</title></html>", False),
        (b"no route /v1/chat/completions for models", False),
        (b"", False),
    ],
)
def test_which_404_is_about_the_model(body: bytes, about_model: bool) -> None:
    assert names_model(body, "qwen-4b") is about_model


async def test_another_address_is_not_tried_for_other_failures(tmp_path: Path) -> None:
    """A key that the right address refuses."""
    with odd(only("/nowhere", {"error": {"message": "bad key"}}, "401 Unauthorized"), nothing) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.failure.startswith("HTTP 401: bad key") and len(posts(server)) == 1


@pytest.mark.parametrize(
    ("url", "azure"),
    [
        ("https://x.openai.azure.com/openai/v1", True),
        ("http://gateway/openai/deployments/gpt?api-version=1", True),
        ("https://api.openai.com", False),
        ("https://x.azure.com.evil.example/v1", False),
    ],
)
def test_azure_gets_the_key_in_its_own_header(url: str, azure: bool) -> None:
    backend = Backend(name="a", url=url, api_key="sk-1")
    for request in (
        dialect_for(backend).request(backend, RunConfig(), "hi", "m"),
        dialect_for(backend).models_request(backend),
    ):
        assert request is not None
        assert (request.headers.get("api-key"), request.headers.get("Authorization")) == (
            ("sk-1", None) if azure else (None, "Bearer sk-1")
        )


@pytest.mark.parametrize("suffix", ["", "/", "/api", "/api/chat", "/v1", "/v1/", "/v1/chat/completions", "//api/"])
def test_ollamas_native_chat_behind_any_usual_address(suffix: str) -> None:
    backend = Backend(name="a", url=f"http://h:1{suffix}", protocol="ollama")
    assert dialect_for(backend).request(backend, RunConfig(), "hi", "m").url == "http://h:1/api/chat"


def test_a_run_measures_at_the_other_address(tmp_path: Path) -> None:
    with odd(only(CHAT), nothing) as server:
        outcome = run(tmp_path, config_for(server.url))
    assert outcome.code == 0, outcome.stderr
    assert outcome.backend["state"]["note"] == f"chat at {CHAT}"
    assert posts(server) == ["/v1/chat/completions", CHAT, CHAT, CHAT]
    assert [row["output_tokens"] for row in outcome.iterations] == [TOKENS] * 3
