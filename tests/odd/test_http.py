"""HTTP as servers and proxies really send it: statuses, compression, heads, and the end of the body."""

from __future__ import annotations

import gzip
import importlib
import json
import ssl
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmtui.measure import codings
from llmtui.measure.content import ContentDecoder
from llmtui.measure.request import IterationError
from llmtui.wire.base import WireError
from tests.odd.running import answer_of, figures_of
from tests.odd.server import STREAM, TOKENS, Reply, Request, delta, odd, usage
from tests.scripted import CLOSE, RESET, Step, scripted

TEXT = "".join(f" w{n}" for n in range(TOKENS))
TLS = Path(__file__).parents[1] / "fixtures" / "tls"

Pack = Callable[[bytes], bytes]


def events() -> list[bytes]:
    """The events of a plain answer."""
    all_of_them: list[Any] = [delta(role="assistant"), *(delta(f" w{n}") for n in range(TOKENS))]
    all_of_them += [delta(finish="stop"), usage(TOKENS)]
    return [b"data: %b\n\n" % json.dumps(each).encode() for each in all_of_them] + [b"data: [DONE]\n\n"]


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "203 X", "206 Partial Content", "299 X"])
async def test_every_success_is_a_success(status: str) -> None:
    """NextChat #4797: "201 Created" for a stream."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head(status)
        reply.stream()
        reply.finish()

    with odd(chat) as server:
        answer, numbers = await figures_of(server.url)
    assert (answer.text, numbers.output_tokens) == (TEXT, TOKENS)


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content"])
async def test_a_success_without_a_body_is_empty(status: str) -> None:
    def chat(reply: Reply, request: Request) -> None:
        reply.raw(f"HTTP/1.1 {status}\r\nContent-Type: {STREAM}\r\nContent-Length: 0\r\n\r\n")

    with odd(chat) as server, pytest.raises(IterationError) as caught:
        await answer_of(server.url)
    assert str(caught.value.failure) == f"the answer is empty: HTTP {status[:3]}: check url and protocol"


def flushed(stream: Any, flush: int) -> Pack:
    return lambda data: bytes(stream.compress(data) + stream.flush(flush))


def single(pack: Callable[[], Any]) -> Callable[[], list[bytes]]:
    """One stream for all events, flushed after each."""

    def make() -> list[bytes]:
        stream = pack()
        return [*(stream.compress(e) + stream.flush(zlib.Z_SYNC_FLUSH) for e in events()), stream.flush()]

    return make


COMPRESSED: dict[str, tuple[str, Callable[[], list[bytes]]]] = {
    "gzip": ("gzip", single(lambda: zlib.compressobj(wbits=31))),
    "x-gzip in upper case": ("X-GZIP", single(lambda: zlib.compressobj(wbits=31))),
    "gzip and identity": ("gzip, identity", single(lambda: zlib.compressobj(wbits=31))),
    "deflate": ("deflate", single(lambda: zlib.compressobj(wbits=15))),
    "raw deflate": ("Deflate", single(lambda: zlib.compressobj(wbits=-15))),
    "gzip members": ("gzip", lambda: [gzip.compress(e) for e in events()]),
    # SharpZipLib and tar pad with zeros; gzip and browsers ignore what follows the last member.
    "gzip and zeros": ("gzip", lambda: [gzip.compress(b"".join(events())), b"\0" * 600]),
    "gzip and rubbish": ("gzip", lambda: [gzip.compress(b"".join(events())) + b"rubbish"]),
    "gzip cut off behind [DONE]": ("gzip", lambda: [gzip.compress(b"".join(events()))[:-4]]),
    # claude-relay-service #1039: gzip from an edge server without the header.
    "gzip without a header": ("", single(lambda: zlib.compressobj(wbits=31))),
    # zio-http #1977: "content-encoding: gzip" for a stream that is not compressed.
    "gzip in the header only": ("gzip", events),
    "identity": ("identity", events),
}


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("cut", [0, 1, 3], ids=["whole", "bytes", "threes"])
async def test_a_compressed_answer_is_read(name: str, cut: int) -> None:
    coding, pack = COMPRESSED[name]
    pieces = pack()
    if cut:
        data = b"".join(pieces)
        pieces = [data[at : at + cut] for at in range(0, len(data), cut)]

    def chat(reply: Reply, request: Request) -> None:
        reply.head("200 OK", STREAM, *([f"Content-Encoding: {coding}"] if coding else []))
        reply.raw(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces))
        reply.end()

    with odd(chat) as server:
        answer, numbers = await figures_of(server.url)
    assert (answer.text, numbers.output_tokens) == (TEXT, TOKENS)


async def test_a_compressed_answer_that_is_cut_off_is_a_failure() -> None:
    def chat(reply: Reply, request: Request) -> None:
        reply.head("200 OK", STREAM, "Content-Encoding: gzip")
        stream = zlib.compressobj(wbits=31)
        reply.send(stream.compress(b"".join(events()[:5])) + stream.flush(zlib.Z_SYNC_FLUSH))
        reply.end()

    with odd(chat) as server, pytest.raises(IterationError) as caught:
        await answer_of(server.url)
    assert "compressed answer is incomplete" in caught.value.failure.message


@pytest.mark.parametrize("coding", ["zstd", "br", "compress"])
async def test_a_coding_that_cannot_be_read_is_named(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """litellm #35601, claude-code-router #1746 (zstd), NextChat #3215 (br)."""
    monkeypatch.setattr(codings, "PACKAGES", {})

    def chat(reply: Reply, request: Request) -> None:
        reply.head("200 OK", STREAM, f"Content-Encoding: {coding}")
        reply.send(b"\x28\xb5\x2f\xfd\0\0")
        reply.end()

    with odd(chat) as server, pytest.raises(IterationError) as caught:
        await answer_of(server.url)
    failure = caught.value.failure
    assert failure.message == f"the answer is compressed with {coding!r}, which llmtui did not ask for"
    package = codings.INSTALLED_AS.get(coding)
    install = f", or install {package} in llmtui's environment" if package else ""
    assert failure.hint == f"turn compression off in the server or the proxy in front of it{install}"


def installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")


def packer(name: str) -> Pack:
    """Return what compresses with the package of this name."""
    module = installed(name)
    if name == "zstandard":
        return lambda data: bytes(module.ZstdCompressor().compress(data))
    return lambda data: bytes(module.compress(data))


@pytest.mark.parametrize(
    ("coding", "name"), [(coding, name) for coding, all_ in codings.PACKAGES.items() for name in all_]
)
@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
def test_other_codings_are_read_where_a_package_is_installed(
    coding: str, name: str, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """litellm #40028: a frame of zstd for each event. br is always one stream."""
    pack = packer(name)
    monkeypatch.setattr(codings, "PACKAGES", {coding: (name,)})
    parts = events() if coding == "zstd" else [b"".join(events())]
    wire = b"".join(pack(part) for part in parts)
    decoder = ContentDecoder(coding)
    pieces = [wire[at : at + cut] for at in range(0, len(wire), cut)]
    assert b"".join(out for piece in pieces for out in decoder.feed(piece)) == b"".join(events())
    assert decoder.complete
    with pytest.raises(WireError, match=r"cannot decompress the answer \("):
        list(ContentDecoder(coding).feed(b"\xff\xfe" * 50))
    if coding == "zstd":
        # Little is decompressed at a time, and nothing runs ahead.
        assert len(next(ContentDecoder(coding).feed(pack(bytes(64 << 20))))) <= 1 << 20


PLAIN = b"".join(events())
LENGTH = b"Content-Length: %d\r\n" % len(PLAIN)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PLAIN), PLAIN)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"

HEADS: dict[str, list[Step]] = {
    # node #6517: the same length twice.
    "length twice": [OK + LENGTH + LENGTH + b"\r\n" + PLAIN],
    "length as a list": [OK + b"Content-Length: %d, %d\r\n\r\n" % (len(PLAIN), len(PLAIN)) + PLAIN],
    # powerproxy-aoai #53, http-parser #289: both kinds of length.
    "length and chunked": [OK + LENGTH + CHUNKED + b"\r\n" + CHUNKS],
    "chunked and lengths": [OK + CHUNKED + LENGTH + LENGTH + b"\r\n" + CHUNKS],
    "empty length": [OK + b"Content-Length:\r\n\r\n" + PLAIN, CLOSE],
    "chunked twice": [OK + CHUNKED + CHUNKED + b"\r\n" + CHUNKS],
    "identity": [OK + b"Transfer-Encoding: identity\r\n\r\n" + PLAIN, CLOSE],
    "identity and length": [OK + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\n" + PLAIN, CLOSE],
    "blank before the colon": [OK + b"X-A : b\r\n" + LENGTH + b"\r\n" + PLAIN],
    "blank in a name": [OK + b"X A: b\r\n" + LENGTH + b"\r\n" + PLAIN],
    "no colon": [OK + b"rubbish\r\n" + LENGTH + b"\r\n" + PLAIN],
    "no name": [OK + b": b\r\n" + LENGTH + b"\r\n" + PLAIN],
    "folded": [OK + b"X-A: b\r\n  c\r\n\td\r\n" + LENGTH + b"\r\n" + PLAIN],
    "no ASCII": [OK + "X-A: é✓\r\nX-B: ".encode() + b"\xe9\x01\r\n" + LENGTH + b"\r\n" + PLAIN],
    "no reason": [OK.replace(b" OK", b"") + LENGTH + b"\r\n" + PLAIN],
    "odd reason": [OK.replace(b"OK", "Très bien".encode()) + LENGTH + b"\r\n" + PLAIN],
    "two blanks": [OK.replace(b" ", b"  ") + LENGTH + b"\r\n" + PLAIN],
    "HTTP/1.0": [OK.replace(b"1.1", b"1.0") + b"\r\n" + PLAIN, CLOSE],
    "http/1.1": [OK.replace(b"HTTP", b"http") + LENGTH + b"\r\n" + PLAIN],
    "HTTP/2": [OK.replace(b"/1.1", b"/2") + LENGTH + b"\r\n" + PLAIN],
    "line feeds": [(OK + CHUNKED + b"\r\n").replace(b"\r\n", b"\n") + CHUNKS],
    "line feeds in the body too": [(OK + CHUNKED + b"\r\n" + CHUNKS).replace(b"\r\n", b"\n")],
    "empty lines first": [b"\r\n\r\n" + OK + LENGTH + b"\r\n" + PLAIN],
    "extensions": [OK + CHUNKED + b'\r\n%x;a="b"\r\n%b\r\n0;c\r\n\r\n' % (len(PLAIN), PLAIN)],
    "trailers": [OK + CHUNKED + b"\r\n%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(PLAIN), PLAIN)],
    "interim": [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink : x\r\n\r\n" + OK + b"\r\n" + PLAIN, CLOSE],
    "more behind the end": [OK + CHUNKED + b"\r\n" + CHUNKS + b"HTTP/1.1 200 OK\r\n\r\n"],
    "no last line end": [OK + CHUNKED + b"\r\n" + CHUNKS[:-2], CLOSE],
    "no last chunk": [OK + CHUNKED + b"\r\n" + CHUNKS[:-5], CLOSE],
    "reset behind the end": [OK + b"\r\n", PLAIN, RESET],
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
async def test_heads_that_mature_clients_accept(name: str) -> None:
    if name.startswith("reset") and sys.platform != "linux":
        pytest.skip("only Linux delivers what came before a reset")
    async with scripted(HEADS[name]) as server:
        answer, numbers = await figures_of(server.url)
    assert (answer.text, numbers.output_tokens) == (TEXT, TOKENS)


async def test_unequal_lengths_are_an_error() -> None:
    async with scripted([OK + LENGTH + b"Content-Length: 3\r\n\r\n" + PLAIN]) as server:
        with pytest.raises(IterationError) as caught:
            await answer_of(server.url)
    assert "Content-Length" in caught.value.failure.message


@pytest.mark.parametrize("chunked", [True, False])
async def test_tls_that_ends_without_a_close_notify(chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    head = OK + (CHUNKED if chunked else b"") + b"\r\n"
    body = CHUNKS.removesuffix(b"0\r\n\r\n") if chunked else PLAIN
    async with scripted([head, body, RESET], tls=context) as server:
        assert (await answer_of(server.url)).text == TEXT
