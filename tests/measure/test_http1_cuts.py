"""Answers of real servers, intact and damaged: cuts do not matter, and nothing raises."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from llmtui.measure.http1 import MAX_HEAD_BYTES, ResponseReader
from llmtui.wire import Delta, OllamaDialect, OpenAIDialect, WireError
from tests.examples import examples
from tests.wire.replay import FIXTURES, carries_tokens, cut, damaged

RAW = {str(p.relative_to(FIXTURES)): p.read_bytes() for p in sorted(FIXTURES.rglob("*.response"))}
CUTS = st.lists(st.integers(0, 1_000_000), max_size=12)


def http_told(pieces: list[bytes]) -> tuple[object, ...]:
    """Return the state of the reader after these pieces and the end of the connection."""
    reader = ResponseReader()
    body = b""
    for piece in pieces:
        body += reader.feed(piece)
        if reader.error is not None:
            break
    reader.eof()
    return reader.status, reader.headers, body, reader.complete, str(reader.error)


@settings(max_examples=examples(100), deadline=None)
@given(st.sampled_from(sorted(RAW)), CUTS)
def test_captured_answers_do_not_depend_on_cuts(name: str, at: list[int]) -> None:
    whole = http_told([RAW[name]])
    assert whole[0]
    assert whole[3] or "killed" in name or "sigterm" in name
    assert http_told(cut(RAW[name], at)) == whole


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from(sorted(RAW)).flatmap(lambda name: damaged(RAW[name])) | st.binary(max_size=300), CUTS)
def test_damaged_answers_raise_nothing(data: bytes, at: list[int]) -> None:
    """Nothing raises; an answer is complete or has an error; with neither head nor error there is no body."""
    for pieces in ([data], cut(data, at)):
        status, headers, body, complete, error = http_told(pieces)
        assert complete or error != "None"
        assert bool(status) or not body
        assert isinstance(headers, list) and sum(len(n) + len(v) for n, v in headers) <= MAX_HEAD_BYTES + len(data)


@settings(max_examples=examples(100), deadline=None)
@given(st.sampled_from(sorted(n for n in RAW if "chat_stream" in n)), CUTS)
def test_deltas_do_not_depend_on_cuts(name: str, at: list[int]) -> None:
    def deltas(pieces: list[bytes]) -> list[Delta] | str:
        reader = ResponseReader()
        parser = (OllamaDialect() if re.match(r"ollama[^/]*/chat", name) else OpenAIDialect()).parser(
            "text/event-stream"
        )
        deltas: list[Delta] = []
        try:
            for piece in pieces:
                deltas += parser.feed(reader.feed(piece))
            return deltas + parser.close()
        except WireError as error:
            return str(error)

    whole = deltas([RAW[name]])
    assert isinstance(whole, list) and any(carries_tokens(delta) for delta in whole)
    assert deltas(cut(RAW[name], at)) == whole
