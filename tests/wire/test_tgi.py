"""TGI's dialect, on bytes from its documentation and source (a capture needs a GPU image)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.model import Backend, RunConfig
from llmtui.wire import TGIDialect, WireError, dialect_for
from tests.wire.replay import bytewise, fold, run

STREAM = (
    b'data:{"index":1,"token":{"id":5,"text":"Deep","logprob":-0.5,"special":false},"generated_text":null,"details":null}'
    b"\n\n"
    b'data:{"index":2,"token":{"id":6,"text":" learning","logprob":-0.1,"special":false},"generated_text":null,'
    b'"details":null}\n\n'
    b'data:{"index":3,"token":{"id":2,"text":"</s>","logprob":-0.1,"special":true},"generated_text":"Deep learning",'
    b'"details":{"finish_reason":"eos_token","generated_tokens":3,"seed":null,"input_length":4}}\n\n'
)


@pytest.mark.parametrize("pieces", [[STREAM], bytewise(STREAM)], ids=["whole", "bytewise"])
def test_stream(pieces: list[bytes]) -> None:
    assert fold(run(TGIDialect().parser("text/event-stream"), pieces)) == {
        "text": "Deep learning",
        "reasoning": "",
        "events": 2,
        "finish_reason": "eos_token",
        "output_tokens": 3,
        "prompt_tokens": 4,
        "token_source": "server",
    }


def test_last_token_counts_once() -> None:
    details = b'{"finish_reason":"length","generated_tokens":1}'
    body = b'data:{"token":{"text":"a"},"generated_text":"a","details":%b}\n\n' % details
    folded = fold(run(TGIDialect().parser("text/event-stream"), [body]))
    assert (folded["text"], folded["events"], folded["finish_reason"]) == ("a", 1, "length")


@pytest.mark.parametrize("form", [b"%b", b"[%b]"])
def test_whole_answer(form: bytes) -> None:
    body = b'{"generated_text":"Hi","details":{"finish_reason":"length","generated_tokens":2,"prefill":[{},{},{}]}}'
    folded = fold(run(TGIDialect().parser("application/json"), [form % body]))
    assert (folded["text"], folded["output_tokens"], folded["prompt_tokens"]) == ("Hi", 2, 3)


def test_error_in_the_stream() -> None:
    body = (
        STREAM[:120]
        + b'\n\ndata:{"error":"Request failed during generation: out of memory","error_type":"generation"}\n\n'
    )
    with pytest.raises(WireError, match="out of memory") as caught:
        run(TGIDialect().parser("text/event-stream"), [body])
    assert caught.value.kind == "server"


@given(st.binary(max_size=300), st.sampled_from(["text/event-stream", "application/json", "text/html"]))
def test_invalid_data_raises_only_wire_errors(data: bytes, kind: str) -> None:
    for body in (data, b"data:" + data + b"\n\n", b'data:{"details":' + data + b"}\n\n"):
        try:
            run(TGIDialect().parser(kind), [body])
        except WireError as caught:
            assert caught.message.isprintable()


def test_request_leaves_out_a_temperature_of_zero() -> None:
    backend = Backend(name="t", protocol="tgi", url="http://h:8080", options={"top_k": 4})
    request = dialect_for(backend).request(backend, RunConfig(max_tokens=7, seed=3), "Why?", "")
    assert request.url == "http://h:8080/generate_stream"
    assert json.loads(request.body) == {
        "inputs": "Why?",
        "parameters": {"max_new_tokens": 7, "seed": 3, "details": True, "top_k": 4},
    }
    warm = dialect_for(backend).request(backend, RunConfig(temperature=0.5), "Why?", "")
    assert json.loads(warm.body)["parameters"]["temperature"] == 0.5


def test_request_without_a_stream() -> None:
    backend = Backend(name="t", protocol="tgi", url="http://h/generate_stream", stream=False)
    assert dialect_for(backend).request(backend, RunConfig(), "", "").url == "http://h/generate"


def test_info() -> None:
    body = b'{"model_id":"org/m","model_dtype":"torch.float16","version":"3.3.1","quantize":null}'
    learned = TGIDialect().server_info("/info", body)
    assert (learned.model, learned.weights, learned.version, learned.models) == ("org/m", "float16", "3.3.1", ["org/m"])
