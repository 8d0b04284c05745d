"""Server-sent events and lines: line ends, cuts and limits."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.wire.base import WireError
from llmtui.wire.ndjson import LineSplitter
from llmtui.wire.sse import EventParser, ServerEvent
from tests.wire.replay import bytewise, cut


def events(*pieces: bytes, limit: int | None = None) -> list[tuple[str, bytes]]:
    parser = EventParser() if limit is None else EventParser(limit)
    events: list[ServerEvent] = []
    for piece in pieces:
        events += parser.feed(piece)
    return [(e.name, e.data) for e in events + parser.close()]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a\n\n", [("", b" a")]),
        (b"data: a\r\n\r\n", [("", b"a")]),
        (b"data: a\r\r", [("", b"a")]),
        (b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b"data\ndata: b\n\n", [("", b"\nb")]),
        (b"data:\n\n", [("", b"")]),
        (b": ping\n\ndata: a\n\n:\n\n", [("", b"a")]),
        (b"event: error\ndata: {}\n\ndata: a\n\n", [("error", b"{}"), ("", b"a")]),
        (b"event: error\n\n", [("error", b"")]),
        (b"event: x\n\ndata: a\n\n", [("", b"a")]),
        (b"id: 3\nretry: 10\nunknown: x\ndata: a\n\n", [("", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        (b"data: \xef\xbb\xbfa\n\n", [("", b"\xef\xbb\xbfa")]),
        (b"data: a\n\ndata: b", [("", b"a"), ("", b"b")]),
        (b"data: a\n", [("", b"a")]),
        (b"data: a:b: c\n\n", [("", b"a:b: c")]),
        (b'error: {"code":500}\n\n', [("error", b'{"code":500}')]),
        (b'{"error":"x"}\n', [("", b'{"error":"x"}')]),
        ("data: é☃😀\n\n".encode(), [("", "é☃😀".encode())]),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_forms(stream: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert events(stream) == expected
    assert events(*bytewise(stream)) == expected


def test_split_crlf_is_one_line_end() -> None:
    assert events(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [("", b"a\nb")]


def test_events_are_returned_as_soon_as_complete() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\n") == []
    assert [e.data for e in parser.feed(b"\n")] == [b"a"]
    assert parser.feed(b"data: b\r") == []
    assert [e.data for e in parser.feed(b"\r")] == [b"b"]


LINES = st.lists(
    st.sampled_from(
        [
            b"data: a",
            b"data:b",
            b"data: \xe2\x98\x83",
            b": c",
            b"event: error",
            b"event: x",
            b"",
            b"",
            b"id: 1",
            b"data",
        ]
    )
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(LINES, ENDS, st.lists(st.integers(0, 10_000), max_size=12))
def test_cuts_change_nothing(lines: list[bytes], end: bytes, at: list[int]) -> None:
    stream = b"".join(line + end for line in lines)
    whole = events(stream)
    assert whole == events(b"".join(line + b"\n" for line in lines))
    assert events(*cut(stream, at)) == whole
    assert events(*bytewise(stream)) == whole


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_lines_do_not_depend_on_cuts(data: bytes, at: list[int]) -> None:
    splitter = LineSplitter()
    lines = [line for piece in cut(data, at) for line in splitter.feed(piece)]
    rest = splitter.close()
    assert lines + ([rest] if rest else []) == data.splitlines()


@pytest.mark.parametrize("step", [1, 7, 64, 4096])
def test_line_over_the_limit_is_an_error(step: int) -> None:
    stream = b"data: " + b"x" * 1000 + b"\n\n"
    with pytest.raises(WireError, match="longer than 1000 bytes"):
        events(*(stream[i : i + step] for i in range(0, len(stream), step)), limit=1000)
    assert events(b"data: " + b"x" * 900 + b"\n\n", limit=1000) == [("", b"x" * 900)]


def test_long_line_among_short_ones() -> None:
    with pytest.raises(WireError, match="longer than 100 bytes"):
        LineSplitter(100).feed(b"a\n" + b"x" * 101 + b"\nb\n")
    assert LineSplitter(100).feed(b"a\n" * 500) == [b"a"] * 500


def test_event_of_many_lines_is_limited() -> None:
    parser = EventParser(1000)
    with pytest.raises(WireError, match="event of the answer is longer"):
        for _ in range(200):
            parser.feed(b"data: 123456\n")


def test_50_mb_line_fails_early_with_little_memory() -> None:
    parser = EventParser()
    fed = 0
    with pytest.raises(WireError, match="longer than 2097152 bytes"):
        for _ in range(50 * 16):
            fed += 65536
            parser.feed(b"x" * 65536)
    assert fed <= 2097152 + 65536


def test_byte_by_byte_is_linear() -> None:
    """Quadratic buffering would take 64 times as long for 8 times the bytes, on any machine."""

    def spent(n: int) -> float:
        best = float("inf")
        for _ in range(3):
            splitter = LineSplitter()
            began = time.process_time()
            for _ in range(n):
                splitter.feed(b"x")
            best = min(best, time.process_time() - began)
        return best

    assert spent(800_000) < 8 * 4 * spent(100_000)
