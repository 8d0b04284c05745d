"""OpenAI's dialect on exact bytes: answers that no capture has, and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.wire import Delta, OpenAIDialect, WireError
from tests.wire.replay import bytewise, carries_tokens, cut, fold, run

SSE = "text/event-stream"


def stream(*events: Any, done: bool = True) -> bytes:
    lines = [f"data: {e if isinstance(e, str) else json.dumps(e)}\n\n" for e in events]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}


def answer(body: bytes, content_type: str = SSE) -> dict[str, Any]:
    whole = fold(run(OpenAIDialect().parser(content_type), [body]))
    assert fold(run(OpenAIDialect().parser(content_type), bytewise(body))) == whole
    return whole


def error(body: bytes, content_type: str = SSE) -> WireError:
    errors = []
    for pieces in ([body], bytewise(body)):
        with pytest.raises(WireError) as caught:
            run(OpenAIDialect().parser(content_type), pieces)
        errors.append((caught.value.kind, caught.value.message))
    assert errors[0] == errors[1]
    return caught.value


HI = chunk({"content": "Hi"})
STOP = chunk(finish="stop")


def test_role_only_null_and_empty_deltas_carry_no_tokens() -> None:
    body = stream(
        chunk({"role": "assistant"}),
        chunk({"role": "assistant", "content": None}),
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": None, "reasoning_content": None, "reasoning": None, "tool_calls": None}),
    )
    assert run(OpenAIDialect().parser(SSE), [body]) == []


def test_usage_null_on_every_chunk() -> None:
    usage = {"completion_tokens": 2, "prompt_tokens": 3}
    body = stream(HI | {"usage": None}, chunk({"content": "!"}, usage=None), chunk(finish="stop", usage=usage))
    assert answer(body) == {
        "text": "Hi!",
        "reasoning": "",
        "events": 2,
        "finish_reason": "stop",
        "output_tokens": 2,
        "prompt_tokens": 3,
        "token_source": "usage",
    }


@pytest.mark.parametrize("where", ["finish", "last", "running"])
def test_usage_in_any_chunk(where: str) -> None:
    usage = {
        "completion_tokens": 5,
        "prompt_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": None,
    }
    body = {
        "finish": stream(HI, STOP | {"usage": usage}),
        "last": stream(HI, STOP, {"choices": [], "usage": usage}),
        "running": stream(HI | {"usage": usage | {"completion_tokens": 1}}, STOP | {"usage": usage}),
    }[where]
    folded = answer(body)
    assert (folded["output_tokens"], folded["prompt_tokens"], folded["cached_tokens"]) == (5, 7, 4)
    assert folded["token_source"] == "usage"


def test_no_usage_gives_no_counts() -> None:
    assert answer(stream(HI, STOP)) == {"text": "Hi", "reasoning": "", "events": 1, "finish_reason": "stop"}


def test_several_tokens_per_chunk_are_one_event_counted_by_usage() -> None:
    body = stream(chunk({"content": "one two three"}), STOP | {"usage": {"completion_tokens": 4}})
    folded = answer(body)
    assert (folded["events"], folded["output_tokens"]) == (1, 4)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_comes_before_text_and_carries_tokens(field: str) -> None:
    body = stream(chunk({"role": "assistant", field: "Hm"}), chunk({field: "m", "content": None}), HI, STOP)
    folded = answer(body)
    assert (folded["reasoning"], folded["text"], folded["events"]) == ("Hmm", "Hi", 3)


def test_duplicate_reasoning_counts_once() -> None:
    assert answer(stream(chunk({"reasoning": "a", "reasoning_content": "a"}), STOP))["reasoning"] == "a"


def test_tool_calls_carry_tokens_but_no_text() -> None:
    calls = [{"index": 0, "id": "x", "function": {"name": "look", "arguments": ""}}]
    more = [{"index": 0, "function": {"arguments": '{"a":1}'}}]
    body = stream(chunk({"tool_calls": calls}), chunk({"tool_calls": more}), chunk(finish="tool_calls"))
    deltas = run(OpenAIDialect().parser(SSE), [body])
    assert [(d.tool, d.text, carries_tokens(d)) for d in deltas] == [
        ("look", "", True),
        ('{"a":1}', "", True),
        ("", "", False),
    ]


def test_content_in_parts() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Hi"},
        {"type": "text", "text": "!"},
    ]
    folded = answer(stream(chunk({"content": parts}), STOP))
    assert (folded["text"], folded["reasoning"]) == ("Hi!", "hm")


def test_completions_text() -> None:
    assert answer(stream({"choices": [{"text": "a"}]}, {"choices": [{"text": "", "finish_reason": "length"}]})) == {
        "text": "a",
        "reasoning": "",
        "events": 1,
        "finish_reason": "length",
    }


def test_durations_in_mistral_rs_usage() -> None:
    # mistral.rs 0.9.5: the last chunk with content also has finish_reason and usage.
    usage = {
        "completion_tokens": 8,
        "prompt_tokens": 36,
        "total_tokens": 44,
        "prompt_tokens_details": None,
        "avg_tok_per_sec": 121.54696,
        "total_time_sec": 0.362,
        "total_prompt_time_sec": 0.268,
        "total_completion_time_sec": 0.094,
    }
    folded = answer(stream(HI, chunk({"content": ".", "role": "assistant"}, "stop", usage=usage)))
    assert folded == {
        "text": "Hi.",
        "reasoning": "",
        "events": 2,
        "finish_reason": "stop",
        "output_tokens": 8,
        "prompt_tokens": 36,
        "token_source": "usage",
        "prefill_s": 0.268,
        "decode_s": 0.094,
    }


def test_llamafiler_has_usage_null_progress_and_comments() -> None:
    body = (
        b": keep-alive\n\n"
        b'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}\n\n'
        b'data: {"choices":[],"x_prefill_progress":0.5,"usage":null}\n\n'
        b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}\n\n'
        b'data: {"choices":[{"delta":{"content":""},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}\n\n'
        b"data: [DONE]\n\n"
    )
    folded = answer(body)
    assert (folded["text"], folded["events"], folded["output_tokens"], folded["finish_reason"]) == ("Hi", 1, 1, "stop")


def test_usage_takes_precedence_over_timings() -> None:
    timings = {"prompt_n": 1, "cache_n": 2, "predicted_n": 9, "prompt_ms": 5, "predicted_ms": 6.5}
    usage = {"completion_tokens": 8, "prompt_tokens": 3}
    for body in (
        stream(HI, STOP | {"usage": usage, "timings": timings}),
        stream(HI, STOP | {"timings": timings}, {"choices": [], "usage": usage}),
        stream(HI, STOP | {"usage": usage}, {"choices": [], "timings": timings}),
    ):
        folded = answer(body)
        assert (folded["output_tokens"], folded["token_source"], folded["cached_tokens"]) == (8, "usage", 2)
        assert (folded["prefill_s"], folded["decode_s"]) == (0.005, 0.0065)


def test_invalid_extras_are_ignored() -> None:
    body = stream(
        HI | {"model": 5, "usage": [1], "timings": "x"},
        STOP | {"usage": {"completion_tokens": "x", "prompt_tokens": -1, "prompt_tokens_details": 3}, "timings": {}},
        {"choices": [], "usage": {"completion_tokens": True, "total_prompt_time_sec": -4}},
    )
    assert answer(body) == {"text": "Hi", "reasoning": "", "events": 1, "finish_reason": "stop"}


def test_done_is_neither_required_nor_sufficient() -> None:
    assert answer(stream(HI, STOP, done=False))["finish_reason"] == "stop"
    assert "finish_reason" not in answer(stream(HI))


def test_no_blank_line_after_the_last_event() -> None:
    assert answer(stream(HI, STOP, done=False).rstrip())["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ('data: {"error": {"message": "boom", "code": 500}}', "boom"),
        ('data: {"error": "boom"}', "boom"),
        ('data: {"error": {"type": "boom"}}', "boom"),
        ('data: {"error": true}', '{"error":true}'),
        ("event: error", "no reason given"),
        ('data: {"choices": [], "error": {"message": "boom"}}', "boom"),
        ('event: error\ndata: {"message": "boom"}', "boom"),
        ("event: error\ndata: boom", "boom"),
        ('error: {"code":500,"message":"boom"}', "boom"),
        ('{"error":{"message":"boom"}}', "boom"),
        ('data: {"object":"error","message":"boom","code":400}', "boom"),
        ('data: {"message":"boom"}', "boom"),
        ('data: {"detail":"boom"}', "boom"),
    ],
)
def test_error_inside_a_200_stream(event: str, message: str) -> None:
    failure = error(stream(HI, done=False) + event.encode() + b"\n\ndata: [DONE]\n\n")
    assert failure.kind == "server"
    assert failure.message == f"the server reported an error: {message}"


@pytest.mark.parametrize("nothing", ["null", '""', "{}", "false"])
def test_empty_error_field_is_not_an_error(nothing: str) -> None:
    body = stream(HI, f'{{"choices":[{{"delta":{{}},"finish_reason":"stop"}}],"error":{nothing}}}')
    assert answer(body)["finish_reason"] == "stop"


def test_invalid_json_in_the_middle_is_quoted() -> None:
    failure = error(stream(HI, done=False) + b'data: {"choices": [}\x1b[31m\n\n' + stream(STOP))
    assert failure.kind == "protocol"
    assert "cannot parse the answer" in failure.message and '{"choices": [}' in failure.message
    assert "\x1b" not in failure.message


def test_incomplete_last_event_is_an_error() -> None:
    failure = error(stream(HI, STOP, done=False)[:-30])
    assert failure.kind == "protocol" and "ended in the middle of an event" in failure.message


def test_utf8_cut_anywhere() -> None:
    body = 'data: {"choices":[{"delta":{"content":"é☃😀"},"finish_reason":"stop"}]}\n\n'.encode()
    for at in range(len(body)):
        assert fold(run(OpenAIDialect().parser(SSE), cut(body, [at])))["text"] == "é☃😀"


def test_deep_nesting_is_an_error() -> None:
    assert error(b'data: {"model":' + b"[" * 100_000 + b"\n\n").kind == "protocol"


WHOLE = (
    b'{\n "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],\n "usage": {"completion_tokens": 1}}'
)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_answer_to_a_streaming_request(kind: str) -> None:
    assert answer(WHOLE, kind)["text"] == "Hi"


def test_json_of_unknown_type_on_one_line() -> None:
    assert answer(WHOLE.replace(b"\n", b""), "")["finish_reason"] == "stop"


def test_error_in_a_whole_answer() -> None:
    assert error(b'{"error":{"message":"boom"}}', "application/json").kind == "server"


@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_empty_answer_has_no_deltas(body: bytes) -> None:
    assert run(OpenAIDialect().parser("application/json"), [body]) == []


def test_web_page_instead_of_an_answer() -> None:
    failure = error(b"<html><head><title>Sign in</title></head></html>", "text/html; charset=utf-8")
    assert failure.message == "the server sent a web page: Sign in"


def test_whole_answer_over_the_limit() -> None:
    parser = OpenAIDialect().parser("application/json")
    with pytest.raises(WireError, match="longer than 2097152 bytes"):
        for _ in range(200):
            parser.feed(b"{" + b" " * 65536)


@given(st.binary(max_size=400), st.sampled_from([SSE, "", "application/json", "text/html", "application/x-ndjson"]))
def test_invalid_data_raises_only_wire_errors(data: bytes, kind: str) -> None:
    for body in (data, b"data: " + data + b"\n\n", b'data: {"choices":' + data + b"}\n\n"):
        try:
            deltas = run(OpenAIDialect().parser(kind), [body])
        except WireError as failure:
            assert failure.message and failure.message.isprintable() and len(failure.message) < 600
        else:
            assert all(isinstance(d, Delta) for d in deltas)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "content", "usage", "timings", "error", "model", "text", "message"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON)
def test_any_json_raises_only_wire_errors(value: Any) -> None:
    body = json.dumps(value).encode()
    for kind, data in ((SSE, b"data: " + body + b"\n\n"), ("application/json", body)):
        try:
            run(OpenAIDialect().parser(kind), [data])
        except WireError as failure:
            assert failure.message.isprintable()
