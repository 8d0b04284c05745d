"""Lines and events: line ends, cuts and limits."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.wire import OpenAIDialect
from llmtui.wire.base import WireError
from llmtui.wire.ndjson import LineSplitter
from tests.wire.replay import cut


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_lines_do_not_depend_on_cuts(data: bytes, at: list[int]) -> None:
    splitter = LineSplitter()
    lines = [line for piece in cut(data, at) for line in splitter.feed(piece)]
    rest = splitter.close()
    assert lines + ([rest] if rest else []) == data.splitlines()


@pytest.mark.parametrize("step", [1, 7, 64, 4096])
def test_line_over_the_limit_is_an_error(step: int) -> None:
    splitter = LineSplitter(1000)
    stream = b"x" * 1001 + b"\n"
    with pytest.raises(WireError, match="longer than 1000 bytes"):
        for i in range(0, len(stream), step):
            splitter.feed(stream[i : i + step])
    assert LineSplitter(1000).feed(b"x" * 900 + b"\n") == [b"x" * 900]


def test_long_line_among_short_ones() -> None:
    with pytest.raises(WireError, match="longer than 100 bytes"):
        LineSplitter(100).feed(b"a\n" + b"x" * 101 + b"\nb\n")
    assert LineSplitter(100).feed(b"a\n" * 500) == [b"a"] * 500


@pytest.mark.parametrize("line", [b'data: {"a":', b"data: text"])
def test_event_of_many_lines_is_limited(line: bytes) -> None:
    parser = OpenAIDialect().parser("")
    with pytest.raises(WireError, match="event of the answer is longer"):
        for _ in range(200):
            parser.feed(line + b" " * 65536 + b"\n")


def test_document_of_many_lines_is_limited() -> None:
    parser = OpenAIDialect().parser("")
    with pytest.raises(WireError, match="longer than 2097152 bytes"):
        for _ in range(200):
            parser.feed(b"{\n" + b" " * 65536 + b"\n")


def test_50_mb_line_fails_early_with_little_memory() -> None:
    parser = OpenAIDialect().parser("")
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
