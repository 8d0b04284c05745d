"""Parsing of answers in pieces of any size, and of answers that are too large; no sockets."""

from __future__ import annotations

import httpx
import pytest

from llmtui.measure.http1 import MAX_HEAD_BYTES, ResponseReader, request_bytes, request_head
from tests.scripted import chunk

BODY = b"data: one\n\ndata: two\n\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "chunked": CHUNKED + chunk(BODY[:11]) + chunk(BODY[11:]) + b"0\r\n\r\n",
    "extensions": CHUNKED + b'5;a=b;c="d"\r\ndata:\r\n11;x\r\n one\n\ndata: two\n\n\r\n0;last\r\n\r\n',
    "padded size": CHUNKED + b"%x  \r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "upper case, leading zeros": CHUNKED + b"00016\r\n" + BODY + b"\r\n000\r\n\r\n",
    "trailers": CHUNKED + chunk(BODY) + b"0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
    "length": HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "length and chunked": HEAD + b"Content-Length: 3\r\n" + CHUNKED[len(HEAD) :] + chunk(BODY) + b"0\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + CHUNKED
    + chunk(BODY) + b"0\r\n\r\n",
    "bare line feeds": CHUNKED.replace(b"\r\n", b"\n") + chunk(BODY) + b"0\r\n\r\n",
    "empty header": HEAD + b"X-Empty:\r\nX-Next: n\r\n" + CHUNKED[len(HEAD) :] + chunk(BODY) + b"0\r\n\r\n",
}  # fmt: skip


def read(*pieces: bytes) -> tuple[ResponseReader, bytes]:
    reader = ResponseReader()
    return reader, b"".join(reader.feed(piece) for piece in pieces)


@pytest.mark.parametrize("form", WHOLE)
def test_pieces_of_any_size_give_the_same_answer(form: str) -> None:
    wire = WHOLE[form]
    cuts = [[wire[:n], wire[n:]] for n in range(len(wire))] + [[wire[n : n + 1] for n in range(len(wire))]]
    for pieces in cuts:
        reader, body = read(*pieces)
        assert reader.error is None, pieces
        assert (reader.status, body, reader.complete, reader.reusable) == (200, BODY, True, True), pieces
        assert dict(reader.headers)[b"Content-Type"] == b"text/event-stream"
        if form == "empty header":
            assert dict(reader.headers)[b"X-Empty"] == b"" and dict(reader.headers)[b"X-Next"] == b"n"
        if form == "interim":
            assert b"Link" not in dict(reader.headers)


def test_body_without_length_ends_with_the_connection() -> None:
    reader, body = read(HEAD + b"\r\n", BODY)
    assert body == BODY and not reader.complete
    reader.eof()
    assert reader.complete and not reader.reusable and reader.error is None


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"", "closed without a response"),
        (HEAD, "closed in the middle of the headers"),
        (CHUNKED + b"ff\r\nhalf", "closed in the middle of the body"),
        (CHUNKED + chunk(BODY), "closed in the middle of the body"),
        (HEAD + b"Content-Length: 9\r\n\r\nhalf", "closed in the middle of the body"),
    ],
)
def test_early_end_of_the_connection_is_an_error(wire: bytes, message: str) -> None:
    reader, _ = read(wire)
    reader.eof()
    assert str(reader.error) == message


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 OK 200\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"-5\r\nabc",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED + b"3\r\nabcd\r\n",
        HEAD + b"Content-Length: x\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nother",
    ],
)
def test_invalid_http_is_an_error(wire: bytes) -> None:
    assert read(wire)[0].error is not None
    assert read(*(wire[n : n + 1] for n in range(len(wire))))[0].error is not None


def test_body_before_an_error_is_returned() -> None:
    reader, body = read(CHUNKED + chunk(BODY) + b"zz\r\n")
    assert body == BODY
    assert reader.error is not None


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: yes\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
        (b"HTTP/1.1 200 ", b"O"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED + b"0\r\n", b"X-Trailer: yes\r\n"),
        (CHUNKED + b"0\r\nX-Trailer: ", b"a"),
        (CHUNKED + b"5;", b"extension"),
    ],
)
def test_endless_headers_are_an_error(start: bytes, more: bytes) -> None:
    reader = ResponseReader()
    reader.feed(start)
    fed = len(start)
    while reader.error is None and fed < 10 * MAX_HEAD_BYTES:
        reader.feed(more * 100)
        fed += len(more) * 100
    assert reader.error is not None
    assert fed <= MAX_HEAD_BYTES + 200 * len(more)
    assert "headers" in str(reader.error)


def test_data_after_the_answer_prevents_reuse() -> None:
    for more in (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"garbage"):
        for late in (False, True):
            reader = ResponseReader()
            body = reader.feed(WHOLE["chunked"]) + reader.feed(more) if late else reader.feed(WHOLE["chunked"] + more)
            assert (body, reader.status, reader.complete, reader.reusable) == (BODY, 200, True, False)
            assert reader.error is None


@pytest.mark.parametrize(
    ("wire", "reusable"),
    [
        (WHOLE["length"], True),
        (WHOLE["length"].replace(b"HTTP/1.1", b"HTTP/1.0"), False),
        (WHOLE["length"].replace(b"Content-Type", b"Connection: close\r\nContent-Type"), False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_reusable(wire: bytes, reusable: bool) -> None:
    reader, _ = read(wire)
    assert reader.complete and reader.reusable is reusable


async def test_request_bytes() -> None:
    request = httpx.Request("POST", "http://h:1/v1/x?q=1", headers={"Authorization": "Bearer k"}, content=b"{}")
    assert request_bytes(request_head(request), request.content) == (
        b"POST /v1/x?q=1 HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}"
    )


@pytest.mark.parametrize("headers", [[(b"X-Key", b"sec\r\nret")], [(b"X Key", b"secret")], [(b"X-Key", b"secret\x00")]])
def test_header_injection_is_refused_without_showing_the_value(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(httpx.LocalProtocolError) as caught:
        request_head(httpx.Request("GET", "http://h", headers=headers))
    assert "ret" not in str(caught.value)
