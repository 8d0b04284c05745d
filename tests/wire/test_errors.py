"""Messages extracted from error bodies, captured and invented."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.text import sanitize
from llmtui.wire.errors import error_text, excerpt
from tests.wire.replay import captured


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("llamacpp-xllamacpp/err_bad_type", 400, "Expected 'messages' to be an array"),
        (
            "llamacpp-xllamacpp/err_prompt_too_long_stream",
            400,
            "request (12031 tokens) exceeds the available context size (2048 tokens), try increasing it",
        ),
        ("llamacpp-xllamacpp/err_wrong_method", 404, "File Not Found"),
        ("llama-cpp-python/err_bad_json", 500, "Internal Server Error"),
        ("llama-cpp-python/err_wrong_method", 405, "Method Not Allowed"),
        ("transformers-serve/err_bad_json", 422, "body.28: JSON decode error"),
        ("transformers-serve/err_empty_body", 422, "body: Field required"),
        (
            "transformers-serve/err_unknown_model",
            400,
            "Server is pinned to 'models/SmolLM2-135M-bf1'; requested 'no-such-model'.",
        ),
        ("vllm-cpu/err_unknown_model", 404, "The model `no-such-model` does not exist. Valid aliases: smollm2."),
        ("vllm-cpu/health_after_engine_death", 503, ""),
        ("ollama/err_404", 404, "404 page not found"),
        ("ollama/err_chat_unknown_model", 404, "model 'nope' not found"),
        ("ollama/err_v1_chat_unknown_model", 404, "model 'nope' not found"),
        ("ollama/err_generate_bad_option_type", 500, 'option "temperature" must be of type float32'),
        (
            "ollama/err_chat_prompt_longer_than_ctx_no_truncate",
            400,
            "request (3084 tokens) exceeds the available context size (512 tokens), try increasing it",
        ),
    ],
)
def test_captured(name: str, status: int, text: str) -> None:
    response = captured(name)
    assert (response.status, error_text(response.body)) == (status, text)


def test_traceback_is_cut_off() -> None:
    text = error_text(captured("llama-cpp-python/err_bad_type").body)
    assert text.startswith("2 validation errors:") and "File" not in text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b" \r\n ", ""),
        (b"{}", "{}"),
        (b'{"message":"too many"}', "too many"),
        (b'{"detail":[{"loc":["body","x"],"msg":"bad"},{"msg":"worse"}]}', "body.x: bad; worse"),
        (b'{"detail":{"error":"nested"}}', "nested"),
        (b'{"error":{"message":null,"type":"overloaded"}}', "overloaded"),
        (b'{"errors":["a","b"]}', "a; b"),
        (b'"just a string"', "just a string"),
        (b'{"error":', '{"error":'),
        (b'data: {"error":"x"}\n\n', "x"),
        (b'error: {"code":500,"message":"x"}', "x"),
        (b"<html><head><title>502 Bad  Gateway</title></head><body><h1>no</h1></body></html>", "502 Bad Gateway"),
        (b"<!DOCTYPE html><html><body><h1>Gone &amp; <b>away</b></h1></body></html>", "Gone & away"),
        (b"<html><body>Just words</body></html>", "Just words"),
        (b"<title>Oops", "Oops"),
        (b"<title> </title><h1>Sorry</h1><p>x</p>", "Sorry"),
        (b'<div class="x">Out<br>of&nbsp;luck</div>', "Out of luck"),
        (b"<!-- a --><html><style>p{}</style><script>x('<p>')</script><p>Words</p><img alt='cut", "Words"),
        (
            b'<?xml version="1.0"?><Error><Code>Denied</Code><Message>no such key</Message></Error>',
            "Denied no such key",
        ),
        (b"<p>&#27;[31mred&#x202e;</p>", "[31mred"),
        (b"<html>" + b" <br>" * 9000 + b"late", "late"),
        (b"<!--", ""),
        (b"line one\nline two\ttab", "line one line two tab"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07 \x00nul \xc2\x9bC1", "red bell nul 1"),
        ("a\u202eb\u200bc".encode(), "abc"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_shapes(body: bytes, text: str) -> None:
    assert error_text(body) == text


def test_long_texts_are_cut() -> None:
    text = error_text(b"word " * 100_000)
    assert len(text) <= 300 and text.endswith("…")


@pytest.mark.parametrize(
    "unit", ["<", "<title>", "<!--", "-->", "<h1></h1>", " ", "\n", "&", "\x1b]", "<a", '"', "\\u0020"]
)
@pytest.mark.parametrize("frame", ["{}", "<html>{}", "a{}b", '{{"error":"a{}b"}}'])
def test_long_body_is_searched_in_linear_time(frame: str, unit: str) -> None:
    """A quadratic search would take many seconds here, and block the engine."""
    body = frame.format(unit * (256_000 // len(unit))).encode()
    began = time.process_time()
    error_text(body)
    assert time.process_time() - began < 1.0


@given(st.binary(max_size=500))
def test_any_bytes_give_one_printable_line(body: bytes) -> None:
    for data in (body, b'{"error":' + body + b"}", b"<html>" + body):
        text = error_text(data)
        assert len(text) <= 300 and all(c.isprintable() for c in text)
    assert all(c.isprintable() for c in excerpt(body))


@given(st.text(), st.integers(4, 50))
def test_sanitize_is_idempotent(text: str, limit: int) -> None:
    once = sanitize(text, limit)
    assert len(once) <= limit
    assert sanitize(once, limit) == once


def test_deeply_nested_location_is_skipped() -> None:
    """`str` of such a list needs more stack than decoding it."""
    for depth in range(900, 1100):
        body = b'{"detail":[{"msg":"too long","loc":["body",%b1%b,2]}]}' % (b"[" * depth, b"]" * depth)
        assert error_text(body) in ("body.2: too long", sanitize(body.decode()))
