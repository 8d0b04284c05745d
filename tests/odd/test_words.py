"""Failures say what happened and what to do: certificates, answers without text, connections that end."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmtui.engine.bringup import Target
from llmtui.measure.request import IterationError
from llmtui.model import Backend, Failure, RunConfig
from tests.measure.helpers import failure_of, on_thread
from tests.odd.running import answer_of, run
from tests.odd.server import Reply, Request, delta, odd, usage
from tests.odd.settling import settle
from tests.scripted import HANG, SSE_HEAD, Step, scripted, token

#: A server that reads and never answers.
SILENT: list[Step] = [HANG]


def certificate(folder: Path, days: int, names: str) -> ssl.SSLContext:
    """Make a certificate that is valid for `days` days, and return a server's context with it."""
    (folder / "extensions").write_text(f"subjectAltName={names}\nbasicConstraints=CA:TRUE\n")
    steps = (
        "openssl req -new -newkey rsa:2048 -nodes -subj /CN=test -keyout key.pem -out request.pem",
        f"openssl x509 -req -in request.pem -signkey key.pem -days {days} -extfile extensions -out c.pem",
    )
    for step in steps:
        if subprocess.run(step.split(), cwd=folder, capture_output=True, check=False).returncode:
            pytest.skip("this openssl cannot make such a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "c.pem", folder / "key.pem")
    return context


async def refused(url: str) -> Failure:
    """Return why a request to `url` failed."""
    with pytest.raises(IterationError) as caught:
        await answer_of(url)
    return caught.value.failure


async def test_a_certificate_for_another_name_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """opencode #45890: api.opencode.net answered with the certificate of git.opendesktop.org."""
    context = certificate(tmp_path, 9, "DNS:git.opendesktop.org,DNS:*.x.org,DNS:c.org,DNS:d.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))
    async with scripted(SILENT, tls=context) as server:
        failure = await refused(server.url)
    assert failure.message.endswith("is for git.opendesktop.org, *.x.org, c.org and 1 more")
    assert "SSL_CERT_FILE" not in failure.hint and "name" in failure.hint


async def test_an_expired_certificate_has_its_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = certificate(tmp_path, -1, "IP:127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))
    async with scripted(SILENT, tls=context) as server:
        failure = await refused(server.url)
    assert " expired on " in failure.message and "renew" in failure.hint


async def test_a_self_signed_certificate_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure-Samples/azure-search-openai-demo #239, vLLM #1644."""
    context = certificate(tmp_path, 9, "IP:127.0.0.1")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with scripted(SILENT, tls=context) as server:
        failure = await refused(server.url)
    assert failure.message.endswith("is self-signed") and "SSL_CERT_FILE" in failure.hint


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_is_required(
    version: ssl.TLSVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificate(tmp_path, 9, "IP:127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as sock:
            sock.recv(65536)

    with on_thread(serve) as url:
        failure = await refused(url.replace("http:", "https:"))
    assert "client certificate" in str(failure), failure


async def test_https_to_a_server_that_waits_for_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain server that waits for the end of a line looks as if it were slow."""
    async with scripted(SILENT) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(IterationError) as caught:
            await answer_of(url, 3.0)
    assert "http://" in caught.value.failure.hint


def answers(*events: Any) -> Any:
    """A chat that sends these events."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        for event in events:
            reply.event(event)
        reply.end()

    return chat


@pytest.mark.parametrize(
    ("events", "message", "hint"),
    [
        # picoclaw #966, litellm-docs #559: max_tokens went to thinking that is not sent.
        (
            [delta(role="assistant"), delta(finish="length"), usage(64), "[DONE]"],
            "the model spent its 64 tokens on thinking that the server does not send",
            "raise max_tokens",
        ),
        (
            [delta(""), delta(finish="length"), usage(0), "[DONE]"],
            "the model reached max_tokens, but the server sent no text",
            "raise max_tokens",
        ),
        ([delta(finish="stop"), usage(40), "[DONE]"], "the server counts 40 tokens, but sent no text", "thinking"),
        (
            [delta(finish="stop"), usage(1), "[DONE]"],
            "the model ended its answer without a token (finish reason 'stop')",
            "prompt",
        ),
    ],
)
async def test_answers_without_text(events: list[Any], message: str, hint: str) -> None:
    with odd(answers(*events)) as server:
        failure = await refused(server.url)
    assert failure.message == message and hint in failure.hint


async def test_an_answer_of_another_shape_is_quoted() -> None:
    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        reply.send(": queued\n\n: still queued\n\n")
        reply.end()

    with odd(chat) as server:
        failure = await refused(server.url)
    assert failure.message.startswith("the server sent 26 bytes, but no event that this protocol has: ': queued")
    assert failure.hint == "check url and protocol"


async def test_an_answer_without_a_body_is_empty() -> None:
    with odd(lambda reply, request: reply.whole("", content_type="text/event-stream")) as server:
        failure = await refused(server.url)
    assert failure.message == "the answer is empty: it has no body"


@pytest.mark.parametrize(
    "script",
    [[SSE_HEAD, token("a"), token("b"), "reset"], [SSE_HEAD, token("a"), "close"], ["close"], [b"HTTP/1.1 2", "close"]],
)
async def test_no_log_is_named_for_a_server_that_llmtui_did_not_launch(script: list[Step]) -> None:
    async with scripted(script) as server:
        failure = await failure_of(server.url)
    assert "log" not in failure.hint and "check the server" in failure.hint


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 16 tokens. However, you requested 90 tokens",  # vllm #20409, #33418
        "request (90 tokens) exceeds the available context size (16 tokens), try increasing it",  # llama.cpp
    ],
)
async def test_a_request_that_is_too_long_for_the_model_has_its_remedy(words: str) -> None:
    with odd(lambda reply, request: reply.whole({"error": {"message": words}}, "400 Bad Request")) as server:
        failure = await refused(server.url)
    assert (
        str(failure) == f"HTTP 400: {words}: shorten the prompt, lower max_tokens, or raise the server's context size"
    )


DIES = """
import os, socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        sock, _ = listener.accept()
        data = sock.recv(65536)
        if data.startswith(b"POST"):
            os.kill(os.getpid(), int(sys.argv[2]))
        sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}")
        sock.close()
"""


@pytest.mark.slow
def test_a_launched_server_that_is_gone_is_named_with_its_end(tmp_path: Path) -> None:
    """ollama #644, #6044 and llama.cpp #8734: an instruction that the processor does not have."""
    (tmp_path / "dies.py").write_text(DIES)
    launch = [sys.executable, str(tmp_path / "dies.py"), "{port}", "4"]
    config = (
        "[run]\niterations = 1\nwarmup = 0\nrestarts = 0\n[[backend]]\n"
        f'name = "a"\nlaunch = {launch!r}\nurl = "http://127.0.0.1:{{port}}"\n'
    )
    outcome = run(tmp_path, config)
    error = outcome.iterations[0]["error"]
    assert "see its log" in error["hint"] and "built for another processor" in error["hint"], error
    assert "built for another processor" in outcome.backend["state"]["failure"]["message"]
    assert "a build of it" in outcome.backend["state"]["failure"]["hint"]
    checked = subprocess.run(
        [sys.executable, "-P", "-m", "llmtui", "check", str(tmp_path / "config.toml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 1
    assert "built for another processor" in checked.stdout and "a build of it" in checked.stdout


async def test_the_hint_after_an_end_in_the_run_is_that_of_the_start(tmp_path: Path) -> None:
    with odd() as server:
        target = Target(Backend(name="a", framework="vLLM", url=server.url), RunConfig(), tmp_path)
        await target.bring_up(lambda _, __: None)
    with pytest.raises(IterationError) as caught:
        await target.ask("hi")
    await target.close()
    at_the_start = await settle(server.url, tmp_path, framework="vLLM")
    assert str(caught.value.failure) == at_the_start.failure
    assert "start it: vllm serve" in at_the_start.failure


@pytest.mark.parametrize(
    ("status", "text", "hint"),
    [
        ("401 Unauthorized", "Incorrect API key provided", "check api_key of this backend"),
        # oh-my-pi #449, openai-scala-client #109: Google refuses a key with 400
        ("400 Bad Request", "API key not valid. Please pass a valid API key.", "check api_key of this backend"),
        # llama.cpp #19774: one cause, two statuses
        ("400 Bad Request", "request (4390 tokens) exceeds the available context size (4096 tokens)", "shorten"),
        ("500 Error", "Context size has been exceeded.", "shorten"),
        ("400 Bad Request", "This model's maximum context length is 16 tokens. Please reduce max_tokens.", "shorten"),
        ("400 Bad Request", "no", "check model, options and headers of this backend"),
        # ollama #644: its runner, not it
        (
            "500 Error",
            "llama runner process has terminated: signal: illegal instruction (core dumped)",
            "install a build of it for this machine's processor",
        ),
        (
            "500 Error",
            "llama-server process has terminated: exit status 1: error loading model: unknown model architecture: 'm'",
            "take a newer version of the server, or another model",
        ),
        (
            "500 Error",
            "model requires more system memory (5.6 GiB) than is available (3.1 GiB)",
            "take a smaller model or a shorter context, or close other programs",
        ),
    ],
)
async def test_the_hint_fits_what_the_server_says(status: str, text: str, hint: str, tmp_path: Path) -> None:
    def chat(reply: Reply, request: Request) -> None:
        reply.whole({"error": {"message": text}}, status)

    with odd(chat) as server:
        settled = await settle(server.url, tmp_path, api_key="sk-of-a-user")
    hint = "lower max_tokens or shorten the prompt" if hint == "shorten" else hint
    assert settled.failure == f"HTTP {status[:3]}: {text}: {hint}"
