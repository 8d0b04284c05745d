"""Names of models and OLLAMA_HOST, read as Ollama reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmtui.config.ollama_host import ollama_url
from llmtui.wire.ollama import same_model
from tests.odd.server import Handler, OddServer, Reply, Request, odd
from tests.odd.settling import Settled, settle


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        # ollama #336, #4250: no case
        ("SmolLM2:135M", "smollm2:135m", True),
        ("llama3.2", "llama3.2:latest", True),
        ("library/llama3.2", "llama3.2:latest", True),
        ("registry.ollama.ai/library/llama3.2", "llama3.2", True),
        ("https://registry.ollama.ai/library/llama3.2:latest", "llama3.2", True),
        ("hf.co/User/Repo-GGUF:Q8_0", "hf.co/user/repo-gguf:q8_0", True),
        ("user/model", "user/model:latest", True),
        ("llama3.2:1b", "llama3.2", False),
        ("user/llama3.2", "llama3.2", False),
        ("hf.co/user/repo", "user/repo", False),
        ("", "llama3.2", False),
    ],
)
def test_same_model(a: str, b: str, same: bool) -> None:
    assert same_model(a, b) is same
    assert same_model(b, a) is same


def entry(name: str, weights: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "model": name, "details": {"quantization_level": weights}} | fields


def ollama(tags: Any, loaded: list[dict[str, Any]] | None = None, shown: str = "") -> tuple[Handler, Handler]:
    """An Ollama with this list of models, with those loaded, which shows one with weights `shown`."""

    def post(reply: Reply, request: Request) -> None:
        if request.path == "/api/show":
            if shown or "cloud" in str(request.body):
                reply.whole({"details": {"quantization_level": shown}})
            else:
                reply.whole({"error": "model 'x' not found"}, "404 Not Found")
            return
        if request.body["model"] == "absent":
            reply.whole({"error": "model 'absent' not found"}, "404 Not Found")
            return
        reply.head(content_type="application/x-ndjson")
        reply.send(json.dumps({"model": "x", "message": {"content": "a"}, "done": False}) + "\n")
        reply.send(json.dumps({"model": "x", "message": {"content": "b"}, "done": True, "done_reason": "stop"}) + "\n")
        reply.end()

    def routes(reply: Reply, request: Request) -> None:
        known = {"/api/version": {"version": "0.12.0"}, "/api/tags": {"models": tags}, "/api/ps": {"models": loaded}}
        known["/v1/models"] = {"object": "list", "data": None if not tags else [{"id": "x"}]}
        if request.path in known:
            reply.whole(known[request.path])
        else:
            reply.whole({"error": "not found"}, "404 Not Found")

    return post, routes


async def settled(server: OddServer, folder: Path, model: str = "") -> Settled:
    return await settle(server.url, folder, protocol="ollama", model=model)


@pytest.mark.parametrize(
    "model",
    [
        "SmolLM2:135M",
        "library/smollm2:135m",
        "registry.ollama.ai/library/smollm2:135m",
        # ollama #14824, #12645: cloud models are not listed, and may have no tag
        "gpt-oss:120b-cloud",
        "glm-4.6",
    ],
)
async def test_every_name_is_asked_for_as_it_is_written(model: str, tmp_path: Path) -> None:
    with odd(*ollama([entry("smollm2:135m", "Q8_0")])) as server:
        result = await settled(server, tmp_path, model)
        asked = [request.body["model"] for request in server.requests if request.path == "/api/chat"]
    assert result.answer is not None, result.failure
    assert asked == [model]
    listed = "cloud" not in model and "glm" not in model
    assert result.ready is not None and result.ready.weights == ("Q8_0" if listed else "")


async def test_ollamas_own_404_is_shown(tmp_path: Path) -> None:
    with odd(*ollama([entry("other", "Q8_0")])) as server:
        result = await settled(server, tmp_path, "absent")
    assert result.failure == "HTTP 404: model 'absent' not found: ollama pull absent"
    assert result.kind == "missing"


async def test_a_cloud_model_needs_a_sign_in(tmp_path: Path) -> None:
    post, routes = ollama([])

    def chat(reply: Reply, request: Request) -> None:
        if request.path == "/api/chat":
            reply.whole({"error": "unauthorized", "signin_url": "https://ollama.com/connect"}, "401 Unauthorized")
        else:
            post(reply, request)

    with odd(chat, routes) as server:
        result = await settled(server, tmp_path, "gpt-oss:120b-cloud")
    assert result.failure == "HTTP 401: unauthorized: for a model of Ollama's cloud: ollama signin"


@pytest.mark.parametrize("tags", [[], None])
async def test_a_fresh_ollama_has_no_model(tags: Any, tmp_path: Path) -> None:
    with odd(*ollama(tags)) as server:
        result = await settled(server, tmp_path)
        named = await settled(server, tmp_path, "qwen3:8b")
        openai = await settle(server.url, tmp_path, framework="Ollama", model="qwen3:8b")
        chats = [request for request in server.requests if "chat" in request.path]
    assert result.failure == "it has no model yet: ollama pull smollm2:135m"
    assert named.failure == "it has no model yet: ollama pull qwen3:8b"
    assert openai.failure == named.failure
    assert (result.kind, chats) == ("missing", [])


async def test_another_loaded_model_says_nothing_of_ours(tmp_path: Path) -> None:
    loaded = [entry("big:70b", "Q2_K", context_length=131072)]
    with odd(*ollama([entry("big:70b", "Q2_K"), entry("ours:latest", "")], loaded)) as server:
        result = await settled(server, tmp_path, "OURS")
    assert result.ready is not None
    assert (result.ready.weights, result.ready.context_tokens, result.ready.model) == ("", None, "OURS")


async def test_our_loaded_model_is_read_among_others(tmp_path: Path) -> None:
    loaded = [entry("big:70b", "Q2_K", context_length=1), entry("ours:latest", "Q4_1", context_length=4096)]
    with odd(*ollama([entry("ours:latest", "")], loaded)) as server:
        result = await settled(server, tmp_path, "library/Ours")
    assert result.ready is not None
    assert (result.ready.weights, result.ready.context_tokens) == ("Q4_1", 4096)


async def test_models_of_imitations_have_no_name(tmp_path: Path) -> None:
    """rkllama #32 and others: only `model`, and fields that Ollama does not have."""
    tags = [{"model": "nomic-embed-text", "size": None}, {"model": "ours:1b", "odd": [1]}, "text", None]
    with odd(*ollama(tags, shown="Q4_0")) as server:
        result = await settled(server, tmp_path)
    assert result.ready is not None and (result.ready.model, result.ready.weights) == ("ours:1b", "Q4_0")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("  ", "http://127.0.0.1:11434"),
        ("box", "http://box:11434"),
        ("box:9", "http://box:9"),
        # ollama #560, #562
        (":11434", "http://127.0.0.1:11434"),
        ("[::1]:12345", "http://[::1]:12345"),
        (":0", "http://127.0.0.1:11434"),
        # dyad #598, ollama-python #262: IPv6 without brackets
        ("::1", "http://[::1]:11434"),
        ("2001:db8::1", "http://[2001:db8::1]:11434"),
        ("[0001:002:003:0004::1]", "http://[1:2:3:4::1]:11434"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:11434"),
        # ollama #17831, #703: the address of all interfaces
        ("0.0.0.0:8200", "http://127.0.0.1:8200"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("[::]", "http://[::1]:11434"),
        ("::", "http://[::1]:11434"),
        ("box:", "http://box:11434"),
        ("box:99999", "http://box:11434"),
        ("box:-1", "http://box:11434"),
        ("box:http", "http://box:11434"),
        ("'box:9'", "http://box:9"),
        (' "box" ', "http://box:11434"),
        ("http://box", "http://box:80"),
        ("http://box:99999", "http://box:80"),
        ("https://box", "https://box:443"),
        ("https://box:8443/", "https://box:8443"),
        ("http://[::1]", "http://[::1]:80"),
        ("http://", "http://127.0.0.1:80"),
        ("box/ollama/", "http://box:11434/ollama"),
        ("https://box/a/b", "https://box:443/a/b"),
        ("ollama.com", "https://ollama.com:443"),
    ],
)
def test_ollama_host(host: str, url: str) -> None:
    assert ollama_url(host) == url
