"""Captured HTTP responses of real servers, and helpers that feed parsers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from llmtui.wire.base import Delta, Dialect, Parser

FIXTURES = Path(__file__).parent.parent / "fixtures" / "wire"

_FIGURES = (
    "finish_reason",
    "output_tokens",
    "prompt_tokens",
    "cached_tokens",
    "token_source",
    "prefill_s",
    "decode_s",
    "load_s",
    "model",
)


class Response(NamedTuple):
    """`complete` is False if a chunked body ended without its last chunk."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")


def captured(name: str) -> Response:
    """Return the response in `fixtures/wire/<name>.response`."""
    return http_body((FIXTURES / f"{name}.response").read_bytes())


def http_body(raw: bytes) -> Response:
    """Parse one HTTP/1.1 response and join its chunks."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    status = int(first.split()[1])
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return Response(status, headers, rest, True)
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if not size.strip() or (n := int(size, 16)) == 0:
            return Response(status, headers, body, bool(size.strip()))
        body += rest[:n]
        rest = rest[n + 2 :]
    return Response(status, headers, body, False)


def run(parser: Parser, pieces: Iterable[bytes]) -> list[Delta]:
    """Return all deltas of an answer in these pieces that ends cleanly."""
    deltas = [delta for piece in pieces for delta in parser.feed(piece)]
    return deltas + parser.close()


def bytewise(data: bytes) -> list[bytes]:
    """Split `data` into single bytes."""
    return [data[i : i + 1] for i in range(len(data))]


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """Split `data` at these offsets (any integers)."""
    marks = sorted({a % (len(data) + 1) for a in at} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


def carries_tokens(delta: Delta) -> bool:
    """Whether `delta` has any of the model's output."""
    return bool(delta.text or delta.reasoning or delta.tool)


def fold(deltas: Iterable[Delta]) -> dict[str, Any]:
    """Combine deltas: the texts, the number of events with tokens, and the last value of each figure."""
    answer: dict[str, Any] = {"text": "", "reasoning": "", "events": 0}
    for delta in deltas:
        answer["text"] += delta.text
        answer["reasoning"] += delta.reasoning
        answer["events"] += carries_tokens(delta)
        answer |= {n: v for n in _FIGURES if (v := getattr(delta, n)) is not None}
    return answer


def read(dialect: Dialect, name: str) -> dict[str, Any]:
    """Parse a captured answer in one piece."""
    response = captured(name)
    return fold(run(dialect.parser(response.content_type), [response.body]))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with a few pieces lost, repeated, overwritten or inserted, as by a faulty server or proxy."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.integers(0, 40))
        new = draw(
            st.binary(max_size=12)
            | st.sampled_from([b"", data[at:end] * 2, b"\r\n\r\n", b"data: ", b"{", b'"', b"0\r\n"])
        )
        data = data[:at] + new + data[end:]
    return data
