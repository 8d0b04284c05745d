"""Ports that speak something other than HTTP, or TLS where the config says http://: named for what they are."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from llmtui.measure.other_protocols import FIRST_BYTES, other_protocol
from llmtui.measure.request import IterationError
from llmtui.model import Failure
from tests.odd.running import answer_of, run
from tests.odd.server import odd, speaking

H2_SETTINGS = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80"
H2_GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(4) + b"\x00\x00\x00\x01"
MYSQL = b"\x4a\x00\x00\x00\x0a8.0.34\x00" + bytes(8)


async def failure_of(url: str) -> Failure:
    """Return why a request to `url` failed."""
    with pytest.raises(IterationError) as caught:
        await answer_of(url)
    return caught.value.failure


@pytest.mark.parametrize(
    ("first", "what", "remedy"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS", "https://"),
        (b"\x15\x03\x03\x00\x02\x02\x16", "speaks TLS", "https://"),
        # triton #4958: 8001 is the gRPC port and answers, 8000 is the HTTP port.
        (H2_SETTINGS, "speaks HTTP/2 (gRPC?)", "HTTP port"),
        (H2_GOAWAY, "speaks HTTP/2 (gRPC?)", "HTTP port"),
        (b"-ERR wrong number of arguments for 'get' command\r\n", "speaks Redis", "port of the LLM server"),
        (b"\xff" + bytes(8) + b"\x7f", "speaks ZeroMQ", "HTTP port"),
        (b"E\x00\x00\x00\x8dSFATAL\x00C0A000\x00", "speaks PostgreSQL", "port of the LLM server"),
        (b"ERROR\r\n", "speaks memcached", "port of the LLM server"),
        (b'{"type": "info"}\n', 'it sent \'{"type": "info"}\'', "port of the LLM server"),
        (b"\x00\x01\x02\x03", "it sent 4 binary bytes (00 01 02 03)", "port of the LLM server"),
    ],
)
async def test_another_protocol_is_named(first: bytes, what: str, remedy: str) -> None:
    with speaking(first) as server:
        failure = await failure_of(server.url)
    assert failure.message.startswith(f"127.0.0.1:{server.port} ") and what in failure.message
    assert remedy in failure.hint
    assert "RTSP" not in str(failure) and "log" not in str(failure)


@pytest.mark.parametrize(
    ("first", "what"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "speaks SSH"),
        (b"220 mail.example.org ESMTP Postfix\r\n", "speaks SMTP"),
        (b"220 (vsFTPd 3.0.5)\r\n", "speaks FTP or SMTP"),
        (MYSQL, "speaks MySQL"),
        (b"RFB 003.008\n", "speaks VNC"),
    ],
)
async def test_a_greeting_before_the_request_is_named(first: bytes, what: str) -> None:
    with speaking(first, greets=True) as server:
        failure = await failure_of(server.url)
    assert what in failure.message


@pytest.mark.parametrize("reset", [False, True])
async def test_a_silent_close_hints_at_tls(reset: bool) -> None:
    """uvicorn with --ssl-keyfile, as vLLM uses it, hangs up on plain HTTP (BentoML #4710 shows its log)."""
    with speaking(b"", reset=reset) as server:
        failure = await failure_of(server.url)
    assert "https://" in failure.hint and "log" not in failure.hint


@pytest.mark.parametrize(
    "page",
    [
        # langchainjs #1716, OpenLLM #449: nginx.
        "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head><body></body></html>",
        # LibreChat #4688, pentagi #212: servers in Go.
        "Client sent an HTTP request to an HTTPS server.\n",
        "Reason: You're speaking plain HTTP to an SSL-enabled server port.",
        # Tomcat's words.
        "Bad Request\nThis combination of host and port requires TLS.\n",
    ],
)
async def test_a_tls_port_that_answers_in_plain_text(page: str) -> None:
    with odd(lambda reply, request: reply.whole(page, "400 Bad Request", "text/html")) as server:
        failure = await failure_of(server.url)
    assert failure.message.startswith("HTTP 400") and failure.hint == "use https:// in url"


def test_bytes_of_all_kinds_have_words() -> None:
    for first in (bytes([a, b]) + b"\x1b[31m\xff" * 20 for a in range(0, 256, 5) for b in range(0, 256, 17)):
        message, hint = other_protocol(first[:FIRST_BYTES])
        assert message and hint and "\x1b" not in message


@pytest.mark.slow
def test_a_run_does_not_call_another_protocol_ready(tmp_path: Path) -> None:
    table = ""
    expected = {"tls": "speaks TLS", "ssh": "speaks SSH", "h2": "HTTP/2", "close": "closed the connection"}
    with contextlib.ExitStack() as stack:
        for name, first, greets in (
            ("tls", b"\x15\x03\x01\x00\x02\x02\x46", False),
            ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n", True),
            ("h2", H2_SETTINGS, True),
            ("close", b"", False),
        ):
            server = stack.enter_context(speaking(first, greets=greets))
            table += f'[[backend]]\nname = "{name}"\nurl = "{server.url}"\n'
        page = "Client sent an HTTP request to an HTTPS server.\n"
        https = stack.enter_context(
            odd(*[lambda reply, request: reply.whole(page, "400 Bad Request", "text/plain")] * 2)
        )
        expected["https"] = "HTTP 400: Client sent an HTTP request to an HTTPS server."
        table += f'[[backend]]\nname = "https"\nurl = "{https.url}"\n'
        good = stack.enter_context(odd())
        table += f'[[backend]]\nname = "good"\nurl = "{good.url}"\n'
        outcome = run(tmp_path, f"[run]\niterations = 1\nwarmup = 0\n{table}")
    assert outcome.code == 1
    states = {backend["state"]["name"]: backend["state"] for backend in outcome.run["backends"]}
    assert states.pop("good")["state"] == "done"
    for name, words in expected.items():
        assert states[name]["state"] == "failed" and words in states[name]["failure"]["message"], states[name]
        assert f"{name}: ready" not in outcome.stderr


@pytest.mark.slow
def test_a_server_that_answers_only_its_chat_is_ready(tmp_path: Path) -> None:
    """Only the chat decides: everything else is closed without an answer."""
    with odd(routes=lambda reply, request: None) as server:
        outcome = run(tmp_path, f'[run]\niterations = 1\nwarmup = 0\n[[backend]]\nname = "a"\nurl = "{server.url}"\n')
    assert outcome.code == 0, outcome.stderr
