"""Replies that decompress, decode or continue endlessly: memory and time stay bounded, and the error says why."""

from __future__ import annotations

import gzip
import json
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtui.measure.codings import PIECE_BYTES
from llmtui.measure.content import ContentDecoder
from llmtui.measure.transport import new_client
from llmtui.measure.untimed import Reply, fetch
from llmtui.model import Backend
from llmtui.servers.discovery import identify, query
from llmtui.wire.base import WireError
from tests.engine.helpers import engine_for, plan_of
from tests.hostile.bombs import (
    JSON,
    MEGABYTE,
    Bomb,
    bombs,
    coded,
    documents,
    endless,
    explode,
    exploding,
    head,
    once,
    peak_bytes,
    peak_of,
    zeros,
)
from tests.measure.helpers import failure_text

GOAL_BYTES = 150 * MEGABYTE
#: One for each limit; `python -m tests.bench.hostile_memory` runs all.
QUICK = (
    "gzip in gzip, GET /v1/models",
    "256 MB of gzip, GET /props",
    "a million gzip members",
    "message of pairs, streamed",
    "custom, pairs",
    "an event without an end",
)


def named(names: tuple[str, ...]) -> Iterator[Bomb]:
    return (bomb for bomb in bombs() if bomb.name in names)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_memory_of_the_engine_stays_small(name: str) -> None:
    (bomb,) = named((name,))
    came = await explode(bomb, iterations=1)
    assert came.peak_bytes < GOAL_BYTES
    assert came.said.isprintable() and "llmtui failed" not in came.said


def without_every_second_framing() -> list[Bomb]:
    """Each document once, whole or streamed: each kind and each part of an answer comes in both forms."""
    skipped = {*QUICK}
    for number, (name, _) in enumerate(documents()):
        skipped.add(name if (number + number // 8) % 2 else f"{name}, streamed")
    return [bomb for bomb in bombs() if bomb.name not in skipped]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_memory_of_the_engine_stays_small_for_most_bombs(part: int) -> None:
    """Those of a part come one after the other to one engine; the benchmark shows the peak of each."""
    some = without_every_second_framing()
    assert len(some) > 75
    assert await peak_of(some[part::4]) < GOAL_BYTES, [bomb.name for bomb in some[part::4]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["models of pairs", "long names of models"])
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_fifty_hostile_servers_need_no_more_memory(name: str) -> None:
    (bomb,) = named((name,))
    assert (await explode(bomb, iterations=1, backends=50)).peak_bytes < GOAL_BYTES


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_an_endless_health_reply_times_out_without_using_memory(tmp_path: Path) -> None:
    program = tmp_path / "server.py"
    program.write_text(
        "import http.server, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(503); self.end_headers()\n"
        "        while True: self.wfile.write(b'x' * 1000000)\n"
        "    def log_message(self, *_): pass\n"
        "http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n"
    )
    backend = Backend(name="a", launch=[sys.executable, str(program), "{port}"])
    async with engine_for(plan_of(backend, load_timeout_s=4.0)) as run:
        run_view = await run.until_done()
        assert peak_bytes(run.engine.pid) < GOAL_BYTES / 2
    failure = run_view.backends["a"].state.failure
    assert failure is not None and "not ready within 4 s" in failure.message


@pytest.mark.parametrize(
    ("coding", "body", "said"),
    [
        (b"gzip, gzip", b"", "the answer is compressed more than once ('gzip, gzip')"),
        (b"lzw", b"", "the answer is compressed with 'lzw', which llmtui did not ask for"),
        (b"gzip;q=1", b"", "the answer is compressed with 'gzip;q=1'"),
        (b"gzip", b"no gzip", "cannot decompress the answer"),
        (b"deflate", b"\xff\xff\xff", "cannot decompress the answer"),
        (b"gzip", gzip.compress(b"data: {}\n\n", mtime=0)[:-9] + b"rubbish", "cannot decompress the answer"),
    ],
    ids=["twice", "lzw", "parameters", "no gzip", "no deflate", "damaged"],
)
async def test_an_unknown_content_coding_is_reported(coding: bytes, body: bytes, said: str) -> None:
    async with exploding(Bomb("", b"POST", coded(coding), once(body))) as url:
        assert said in await failure_text(url)


async def test_two_content_encoding_headers_are_combined() -> None:
    twice = head(b"text/event-stream", b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n")
    async with exploding(Bomb("", b"POST", twice, once(b""))) as url:
        assert "compressed more than once" in await failure_text(url)


def unpacked(coding: str, data: bytes, cut: int) -> bytes:
    decoder = ContentDecoder(coding)
    return b"".join(piece for start in range(0, len(data), cut) for piece in decoder.feed(data[start : start + cut]))


@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("gzip, identity", gzip.compress),
        ("gzip", lambda data: b"".join(gzip.compress(data[at : at + 5000]) for at in range(0, len(data), 5000))),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
    ],
    ids=[
        "none",
        "identity",
        "gzip",
        "x-gzip",
        "gzip and identity",
        "gzip members",
        "deflate",
        "deflate without a head",
    ],
)
def test_decompression_does_not_depend_on_the_pieces_received(coding: str, pack: object, cut: int) -> None:
    data = bytes(range(256)) * 100
    assert callable(pack)
    assert unpacked(coding, pack(data), cut) == data


def test_decompression_does_not_run_ahead_of_the_reader() -> None:
    pieces = ContentDecoder("gzip").feed(zeros(256 * MEGABYTE))
    first = next(pieces)
    assert len(first) == PIECE_BYTES and not first.strip()


def test_bytes_after_a_deflate_stream_are_ignored() -> None:
    assert unpacked("deflate", zlib.compress(b"all") + b"more", 100) == b"all"


async def test_a_request_times_out_even_if_the_reply_arrives_slowly() -> None:
    with pytest.raises(WireError):
        ContentDecoder("gzip, deflate")
    async with (
        exploding(Bomb("", b"GET", head(b"a/b"), endless(b"x" * 100))) as url,
        new_client(url, connect_timeout_s=1) as client,
    ):
        began = time.monotonic()
        reply = await fetch(client, "GET", url, limit_bytes=1000, timeout_s=5.0)
        assert (len(reply.body), reply.whole, reply.status) == (1000, False, 200)
        with pytest.raises(TimeoutError):
            await fetch(client, "GET", url, limit_bytes=1 << 40, timeout_s=0.2)
        # Without its limit it would take as long as the reply, which never ends.
        assert time.monotonic() - began < 60


async def test_init_limits_the_size_of_replies() -> None:
    async with exploding(Bomb("", b"GET", coded(b"gzip", b"application/json"), once(zeros(256 * MEGABYTE)))) as url:
        assert await query([url]) == {url: "a web server answers there, but not an LLM server"}
    async with exploding(Bomb("", b"GET /v1/models", JSON, endless(b'{"data":[' + b" " * MEGABYTE))) as url:
        assert isinstance((await query([url]))[url], str)


def test_a_text_that_is_too_long_for_a_name_is_not_recorded() -> None:
    names = ["qwen3:8b", "x" * 900_000]
    answers = {
        "/api/version": Reply(200, body=json.dumps({"version": "0" * 900_000}).encode()),
        "/api/tags": Reply(200, body=json.dumps({"models": [{"name": name} for name in names]}).encode()),
    }
    server = identify("http://127.0.0.1:11434", answers)
    assert server is not None and [model.name for model in server.models] == ["qwen3:8b"]
    assert len(server.version) <= 1000
