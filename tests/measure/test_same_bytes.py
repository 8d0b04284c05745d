"""A measured request is sent without httpx's objects, and has the bytes that httpx would have sent."""

from __future__ import annotations

import itertools

import httpx
import pytest

from llmtui.measure.connection import StampedBody
from llmtui.measure.http1 import ResponseReader
from llmtui.measure.transport import MAX_HEADS, Origin, StampedTransport, new_client

URLS = (
    "http://127.0.0.1:8000/v1/chat/completions",
    "http://localhost",
    "http://[::1]:8000/x?y=1&z=ä",
    "https://user:pa%20ss@h.example:443/a b/ü",
    "http://u@H.example:80/",
)
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Content-Type": "application/json", "Authorization": "Bearer k"},
    {"Content-Length": "7", "Content-Type": "a"},
    {"Transfer-Encoding": "chunked", "X": "1"},
    {"host": "other", "accept": "x", "USER-AGENT": "me", "authorization": "q"},
)
BODIES = (b"", b"{}", b"x" * 1000)


class Sent(Exception):
    """Raised in place of sending."""


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Origin, bytes]]:
    """Return what would be sent, in order, and where to."""
    sent: list[tuple[Origin, bytes]] = []

    async def exchange(
        _: StampedTransport, origin: Origin, wire: bytes, method: str, connect_timeout_s: float | None
    ) -> tuple[ResponseReader, StampedBody]:
        sent.append((origin, wire))
        raise Sent

    monkeypatch.setattr(StampedTransport, "exchange", exchange)
    return sent


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("url", URLS)
async def test_both_ways_send_the_same_bytes(method: str, url: str, wires: list[tuple[Origin, bytes]]) -> None:
    async with new_client(url, connect_timeout_s=1.0) as client:
        for headers, body, _ in itertools.product(HEADERS, BODIES, range(2)):
            with pytest.raises(Sent):
                async with client.stream(method, url, content=body, headers=headers):
                    pass
            with pytest.raises(Sent):
                await client.exchange(method, url, headers, body)
            theirs, ours = wires[-2:]
            assert ours == theirs


async def test_the_bytes_of_a_race(wires: list[tuple[Origin, bytes]]) -> None:
    headers = {"Content-Type": "application/json", "Authorization": "Bearer k"}
    async with new_client("http://h:1", connect_timeout_s=1.0) as client:
        for _ in range(2):
            with pytest.raises(Sent):
                await client.exchange("POST", "http://h:1/v1/chat/completions", headers, b'{"a": 1}')
    assert wires[0] == wires[1]
    assert wires[0] == (
        ("http", "h", 1),
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: h:1\r\nAccept: */*\r\nConnection: keep-alive\r\n"
        b"Accept-Encoding: identity\r\nUser-Agent: llmtui\r\nContent-Type: application/json\r\n"
        b'Authorization: Bearer k\r\nContent-Length: 8\r\n\r\n{"a": 1}',
    )


async def test_heads_are_kept_apart_and_bounded(wires: list[tuple[Origin, bytes]]) -> None:
    async with new_client("http://h", connect_timeout_s=1.0) as client:
        for number in range(3 * MAX_HEADS):
            for key in ("a", "b"):
                with pytest.raises(Sent):
                    await client.exchange("POST", f"http://h:{number + 1}/", {"Authorization": key}, b"{}")
                (_, host, port), wire = wires[-1]
                assert (host, port) == ("h", number + 1) and f"Authorization: {key}\r\n".encode() in wire
        assert len(client._heads) <= MAX_HEADS


async def test_what_cannot_be_sent_raises_the_same_error(wires: list[tuple[Origin, bytes]]) -> None:
    cases: list[tuple[str, dict[str, str]]] = [
        ("ftp://h/", {}),
        ("http://h:99999999/", {}),
        ("http://h/", {"X": "a\r\nb"}),
        ("http://h/", {"X": "ä"}),
        ("/only/a/path", {}),
    ]
    async with new_client("http://h", connect_timeout_s=1.0) as client:
        for url, headers in cases:
            errors = []
            with pytest.raises(Exception) as caught:
                async with client.stream("POST", url, content=b"{}", headers=headers):
                    pass
            errors.append(caught.value)
            with pytest.raises(Exception) as caught:
                await client.exchange("POST", url, headers, b"{}")
            errors.append(caught.value)
            assert type(errors[0]) is type(errors[1]) and str(errors[0]) == str(errors[1])
    assert wires == []


async def test_a_closed_client_sends_nothing() -> None:
    client = new_client("http://127.0.0.1:9", connect_timeout_s=1.0)
    await client.aclose()
    with pytest.raises(RuntimeError):
        await client.exchange("POST", "http://127.0.0.1:9", {}, b"{}")
    assert isinstance(client, httpx.AsyncClient)
