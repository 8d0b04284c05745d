"""Health, models, props and version decide nothing: whatever a server answers there, the chat decides."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from llmtui.engine import adapting, server_probe
from llmtui.model import RunConfig
from tests.odd.running import config_for, run
from tests.odd.server import MODEL, TOKENS, Handler, Reply, Request, chat_of, friendly, odd, plain_chat
from tests.odd.settling import settle

MODELS = {"object": "list", "data": [{"id": MODEL}]}
LOADING = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
Answer = Callable[[Reply], None]


def whole(value: object, status: str = "200 OK", content_type: str = "application/json", *headers: str) -> Answer:
    return lambda reply: reply.whole(value, status, content_type, *headers)


def endless(reply: Reply) -> None:
    """Never end the body; the client hangs up."""
    reply.head(content_type="application/json", chunked=False)
    while True:
        reply.send(b" " * 100_000)


def hang(reply: Reply) -> None:
    """Never answer; the client hangs up."""
    reply.sock.recv(1)


def reset(reply: Reply) -> None:
    """Close without an answer."""


ODD_ANSWERS: dict[str, Answer] = {
    # kyutai-labs/unmute #114: the list of models needs a key
    "401": whole({"error": {"message": "no key"}}, "401 Unauthorized"),
    "403": whole("Forbidden", "403 Forbidden", "text/plain"),
    # GenAI-Red-Team-Lab #84: a server without a list of models
    "404": whole({"detail": "Not Found"}, "404 Not Found"),
    "405": whole({"detail": "Method Not Allowed"}, "405 Method Not Allowed"),
    "429": whole("slow down", "429 Too Many Requests", "text/plain", "Retry-After: 60"),
    "500": whole({"error": "boom"}, "500 Internal Server Error"),
    # LiteLLM #29139 and others: a health check that fails although chats work
    "503 unhealthy": whole({"status": "unhealthy", "error": "database"}, "503 Service Unavailable"),
    "HTML": whole("<!doctype html><html><title>Open WebUI</title></html>", "200 OK", "text/html"),
    # lmstudio-bug-tracker #1323, #2085: 200 for every path
    "200 anyway": whole({"error": "Unexpected endpoint or method. (GET /health). Returning 200 anyway"}),
    "redirect": whole("", "302 Found", "text/html", "Location: http://elsewhere.invalid/login"),
    "broken JSON": whole('{"data": [{"id": '),
    "list": whole([1, 2, 3]),
    "nulls": whole({"data": None, "models": None, "version": None}),
    "huge": whole({"data": [{"id": "x" * 1000}] * 3000}),
    "endless": endless,
    "reset": reset,
}


def everywhere(answer: Answer) -> Handler:
    """Give the same answer to every request but the chat."""
    return lambda reply, request: answer(reply)


@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
async def test_odd_answers_lead_to_the_chat(answer: Answer, tmp_path: Path) -> None:
    with odd(plain_chat, everywhere(answer)) as server:
        settled = await settle(server.url, tmp_path, api_key="sk-of-a-user")
    assert settled.answer is not None and settled.answer.events == TOKENS, settled.failure
    assert settled.notes == [] and settled.remark == ""
    assert settled.bring_up_s < 8.0


@pytest.mark.parametrize(
    "path", ["", *(pytest.param(path, marks=pytest.mark.slow) for path in ("/health", "/v1/models", "/props"))]
)
async def test_questions_that_hang_cost_their_budget_once(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked side by side; path "" is all of them."""
    monkeypatch.setattr(server_probe, "REPLY_TIMEOUT_S", 2.0)

    def routes(reply: Reply, request: Request) -> None:
        if request.path.startswith(path):
            hang(reply)
        else:
            friendly(reply, request)

    with odd(plain_chat, routes) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.answer is not None and settled.answer.events == TOKENS
    assert 1.99 < settled.bring_up_s < 3.99


async def test_the_chat_says_what_is_wrong_with_the_key(tmp_path: Path) -> None:
    refusal = whole({"error": {"message": "Authentication Error, No api key passed in."}}, "401 Unauthorized")
    with odd(everywhere(refusal), everywhere(refusal)) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.failure == "HTTP 401: Authentication Error, No api key passed in.: set api_key for this backend"


class OneAtATime(BaseHTTPRequestHandler):
    """Serves a connection until it is closed, and only then the next one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"version": "1.2.3"} if self.path == "/version" else MODELS).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""


async def test_a_server_that_serves_one_connection_at_a_time_is_asked_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's http.server does. No connection is held open between the questions."""
    monkeypatch.setattr(server_probe, "REPLY_TIMEOUT_S", 10.0)
    with HTTPServer(("127.0.0.1", 0), OneAtATime) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settled = await settle(f"http://127.0.0.1:{server.server_port}", tmp_path)
        server.shutdown()
        thread.join()
    assert settled.ready is not None and (settled.ready.version, settled.ready.model) == ("1.2.3", MODEL)
    assert settled.bring_up_s < 9.0


async def test_embedding_models_are_not_asked_for_a_chat(tmp_path: Path) -> None:
    """LM Studio lists them first."""
    models = {"data": [{"id": "text-embedding-nomic-embed-text-v1.5"}, {"id": "qwen3-4b"}]}
    with odd(plain_chat, everywhere(whole(models))) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.ready is not None and settled.ready.model == "qwen3-4b"


@pytest.mark.parametrize(
    "models",
    [
        # Together's list has no object around it
        [{"id": MODEL, "type": "chat"}, {"id": "other"}],
        {"models": [{"name": MODEL}, {"model": "other"}, {"id": None}, 7]},
        # rkllama #32
        {"models": [MODEL, "other"]},
        {"data": None, "models": [{"id": MODEL}]},
    ],
)
async def test_lists_of_models_of_other_shapes(models: object, tmp_path: Path) -> None:
    with odd(plain_chat, everywhere(whole(models))) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.ready is not None and settled.ready.model == MODEL


# --- Loading. ---


def first(times: int, refusal: Answer) -> Handler:
    """Refuse so many chats, then answer."""
    left = itertools.count(times, -1)

    def chat(reply: Reply, request: Request) -> None:
        if next(left) > 0:
            refusal(reply)
        else:
            plain_chat(reply, request)

    return chat


LOADING_ANSWERS: dict[str, Answer] = {
    # canonical/inference-snaps #234, llama-swap #146: llama.cpp's own words
    "llama.cpp": whole(LOADING, "503 Service Unavailable"),
    "Hugging Face": whole({"error": "Model x is currently loading", "estimated_time": 20.0}, "503 Service Unavailable"),
    "Retry-After": whole("The server is starting up", "503 Busy", "text/plain", "Retry-After: 0"),
    "gateway": whole({"detail": "vLLM engine is compiling, not ready yet"}, "502 Bad Gateway"),
    "500": whole({"error": "model is still being loaded"}, "500 Internal Server Error"),
    # ollama #6408: a 404 while the runner loads the model
    "404": whole({"error": "model not loaded yet"}, "404 Not Found"),
    "429": whole({"error": {"message": "Model is loading, try again"}}, "429 Too Many Requests"),
    "in the stream": lambda reply: reply.whole(f"data: {json.dumps(LOADING)}\n\n", content_type="text/event-stream"),
}


@pytest.mark.parametrize("refusal", LOADING_ANSWERS.values(), ids=LOADING_ANSWERS)
async def test_a_chat_that_says_loading_is_waited_for(
    refusal: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapting, "POLL_S", 0.05)
    with odd(first(2, refusal)) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.answer is not None, settled.failure
    (note,) = settled.notes
    assert note.startswith(("HTTP ", "the server reported an error: Loading model"))
    assert note.endswith(": waiting up to 180 s until the server has loaded its model")


async def test_a_list_of_models_does_not_say_that_the_server_is_loaded(tmp_path: Path) -> None:
    """llama.cpp lists its model while it loads (OriginTrail/dkg #2447): its version would be asked for too early."""
    began = time.monotonic()

    def routes(reply: Reply, request: Request) -> None:
        if request.path.endswith("/models"):
            reply.whole(MODELS)
        elif time.monotonic() - began < 0.6:
            reply.whole(LOADING, "503 Service Unavailable")
        else:
            reply.whole({"status": "ok", "build_info": "b1-abc"})

    with odd(plain_chat, routes) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.ready is not None and settled.ready.version == "b1-abc" and settled.notes == []
    assert settled.bring_up_s >= 0.5


async def test_a_server_whose_health_and_chat_refuse_without_a_word_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SGLang's health while it starts, beside a list of models (gpustack #6203). A health check may also be wrong."""
    monkeypatch.setattr(server_probe, "SILENT_S", 0.2)
    monkeypatch.setattr(adapting, "POLL_S", 0.05)
    wordless = whole("", "503 Service Unavailable", "")

    def routes(reply: Reply, request: Request) -> None:
        reply.whole(MODELS) if request.path.endswith("/models") else wordless(reply)

    with odd(first(2, wordless), routes) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.answer is not None, settled.failure
    assert settled.notes == ["HTTP 503: waiting up to 180 s until the server answers"]


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"])
async def test_a_gateway_whose_server_does_not_answer_yet_is_waited_for(
    status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx in front of a server that is not listening yet: every path is the same page."""
    monkeypatch.setattr(adapting, "POLL_S", 0.05)
    page = whole(f"<html><head><title>{status}</title></head></html>", status, "text/html")
    with odd(first(2, page), everywhere(page)) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.answer is not None, settled.failure
    limit_s = 180 if "503" in status else 20
    assert settled.notes == [f"HTTP {status[:3]}: {status}: waiting up to {limit_s} s until the server answers"]


@pytest.mark.parametrize(("after", "answers"), [("0", True), ("3600", False)])
async def test_check_waits_as_long_as_a_busy_server_asks(after: str, answers: bool, tmp_path: Path) -> None:
    """What `run` waits for is no failure of `check`."""
    busy = {"error": {"message": "busy"}}

    def refuse(reply: Reply) -> None:
        reply.whole(busy, "429 Too Many Requests", "application/json", f"Retry-After: {after}")

    with odd(first(2, refuse)) as server:
        settled = await settle(server.url, tmp_path)
    assert (settled.answer is not None) == answers
    assert answers or settled.failure == "HTTP 429: busy: the server asks to wait 3600 s"


async def test_a_server_that_loads_for_too_long_says_what_it_said(tmp_path: Path) -> None:
    config = RunConfig(load_timeout_s=0.6)
    with odd(everywhere(whole(LOADING, "503 Service Unavailable"))) as server:
        settled = await settle(server.url, tmp_path, config)
    assert settled.failure == "still loading after 0.6 s: HTTP 503: Loading model: raise load_timeout_s"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("500 Error", "error loading model: unable to allocate CUDA0 buffer"),
        ("500 Error", "timed out waiting for llama runner to start"),
        ("503 Busy", "server busy, please try again. maximum pending requests exceeded"),
        ("502 Bad Gateway", "<html><title>502 Bad Gateway</title></html>"),
        ("400 Bad", "No models loaded. Please load a model in the developer page."),
        ("400 Bad", "Conversation roles must alternate, starting with the role user"),
    ],
)
async def test_other_failures_are_not_loading(status: str, text: str, tmp_path: Path) -> None:
    """ollama #6092 and others."""
    with odd(everywhere(whole(text, status, "text/plain"))) as server:
        began = time.monotonic()
        settled = await settle(server.url, tmp_path)
    assert settled.failure.startswith(f"HTTP {status[:3]}: ") and settled.notes == []
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_loading_is_part_of_no_iteration(tmp_path: Path) -> None:
    with odd(first(2, LOADING_ANSWERS["llama.cpp"])) as server:
        outcome = run(tmp_path, config_for(server.url))
    assert outcome.code == 0, outcome.stderr
    assert outcome.stderr.count("waiting up to 180 s until the server has loaded its model") == 1
    assert [(row["output_tokens"], row["refused"]) for row in outcome.iterations] == [(TOKENS, 0)] * 3
    assert all(row["latency_s"] < 2 * adapting.POLL_S for row in outcome.iterations)


def test_check_asks_in_the_same_way(tmp_path: Path) -> None:
    """A locked list of models, and a chat that answers."""
    (tmp_path / "c.toml").write_text('[[backend]]\nname = "odd"\nurl = URL\nmodel = "m1"\n')
    with odd(first(1, LOADING_ANSWERS["llama.cpp"]), everywhere(ODD_ANSWERS["401"])) as server:
        text = (tmp_path / "c.toml").read_text().replace("URL", json.dumps(server.url))
        (tmp_path / "c.toml").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "llmtui", "check", str(tmp_path / "c.toml")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout == "odd  answers: m1\n", done.stderr
    assert done.returncode == 0


def test_a_protocol_without_a_health_endpoint_is_measured(tmp_path: Path) -> None:
    with odd(chat_of(*({"content": f" w{n}"} for n in range(12)))) as server:
        outcome = run(tmp_path, config_for(server.url, 'protocol = "custom"', iterations=1))
    assert outcome.code == 0 and outcome.iterations[0]["output_tokens"] == 12, outcome
