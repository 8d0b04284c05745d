"""The custom dialect: templates, paths, and all forms of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.model import Backend, RunConfig
from llmtui.wire import Delta, WireError, dialect_for
from llmtui.wire.custom import fill, steps
from tests.wire.replay import bytewise, fold, run

CONFIG = RunConfig(max_tokens=7, temperature=0.5, seed=3)


def custom(**more: Any) -> Backend:
    return Backend(name="c", protocol="custom", url="http://h:5000/chat?x=1", **more)


def request_body(backend: Backend, prompt: str = "Why?") -> Any:
    return json.loads(dialect_for(backend).request(backend, CONFIG, prompt, "m").body)


def answer(body: bytes, kind: str, path: str = "") -> list[Delta]:
    backend = custom(answer=path)
    whole = run(dialect_for(backend).parser(kind), [body])
    assert run(dialect_for(backend).parser(kind), bytewise(body)) == whole
    return whole


def error(body: bytes, kind: str, path: str = "") -> WireError:
    with pytest.raises(WireError) as caught:
        run(dialect_for(custom(answer=path)).parser(kind), [body])
    return caught.value


def test_defaults() -> None:
    backend = Backend(name="hf", protocol="custom", url="http://h:8000/")
    dialect = dialect_for(backend)
    request = dialect.request(backend, CONFIG, "Why?", "")
    assert (request.method, request.url) == ("POST", "http://h:8000/")
    assert json.loads(request.body) == {"role": "user", "content": "Why?"}
    assert run(dialect.parser("application/json"), [b'{"content": "Because."}']) == [Delta(text="Because.")]
    assert not dialect.requires_finish


def test_template_preserves_types_and_other_braces() -> None:
    body = request_body(
        custom(
            body={
                "n": "{max_tokens}",
                "t": "{temperature}",
                "s": "seed {seed} of {model}",
                "deep": [{"q": "Q: {prompt}\nA:"}, "{other}", 5, None, True],
                "json": '{"a": {}}',
            }
        )
    )
    assert body == {
        "n": 7,
        "t": 0.5,
        "s": "seed 3 of m",
        "deep": [{"q": "Q: Why?\nA:"}, "{other}", 5, None, True],
        "json": '{"a": {}}',
    }


def test_inserted_values_are_not_filled_in_again() -> None:
    assert request_body(custom(body={"q": "{prompt}!"}), prompt="{seed} {model}") == {"q": "{seed} {model}!"}


def test_options_replace_keys_of_the_template() -> None:
    assert request_body(custom(body={"a": 1}, options={"a": 2, "b": 3})) == {"a": 2, "b": 3}


@given(st.recursive(st.none() | st.integers() | st.text(), lambda i: st.lists(i) | st.dictionaries(st.text(), i)))
def test_template_without_placeholders_is_unchanged(template: Any) -> None:
    if "{" not in json.dumps(template):
        assert fill(template, {}) == template


@pytest.mark.parametrize("path", ["a.0.b", "$.a.0.b", "$.a[0].b", "a[0].b", ".a.0.b"])
def test_path_forms(path: str) -> None:
    assert steps(path) == ["a", "0", "b"]
    assert answer(b'{"a":[{"b":"x"}]}', "application/json", path) == [Delta(text="x")]


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (b'{"text":"x","n":1}', "content", 'the answer has no "content": it has text, n'),
        (b'{"a":{"c":1}}', "a.b", 'the answer has no "a.b": at "a" has c'),
        (b'{"a":[]}', "a.0", 'the answer has no "a.0": at "a" is a list of 0'),
        (b'{"a":"x"}', "a.b", 'the answer has no "a.b": at "a" is str'),
        (b"{}", "a", 'the answer has no "a": it has no keys'),
        (b"[null]", "0.a", 'the answer has no "0.a": at "0" is null'),
        (b"null", "a", "the answer has neither events nor JSON objects: 'null'"),
        (b'{"a":5}', "a", 'the answer has no text at "a": it is int'),
        (b'{"a":["x"]}', "a", 'the answer has no text at "a": it is a list of 1'),
    ],
)
def test_missing_path_names_what_exists(body: bytes, path: str, message: str) -> None:
    caught = error(body, "application/json", path)
    assert (caught.kind, caught.message) == ("protocol", message)


def test_server_error_in_a_200() -> None:
    caught = error(b'{"error":"out of memory"}', "application/json")
    assert (caught.kind, "out of memory" in caught.message) == ("server", True)


def test_events_without_the_path_are_skipped() -> None:
    body = (
        b'data: {"role":"assistant"}\n\ndata: {"content":"Hi"}\n\ndata: {"content":null}\n\n'
        b'data: {"content":"!"}\n\ndata: {"usage":{"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    )
    folded = fold(answer(body, "text/event-stream"))
    assert (folded["text"], folded["events"], folded["output_tokens"], folded["token_source"]) == ("Hi!", 2, 2, "usage")


def test_lines() -> None:
    body = b'{"content":"a"}\n{"content":"b"}\n{"done":true}'
    assert fold(answer(body, "application/x-ndjson"))["text"] == "ab"


@pytest.mark.parametrize("kind", ["text/event-stream", "application/x-ndjson"])
def test_stream_without_the_path_is_an_error(kind: str) -> None:
    prefix = b"data: " if "event" in kind else b""
    caught = error(prefix + b'{"text":"a"}\n\n', kind)
    assert caught.message == 'the answer has no "content": it has text'


def test_error_in_a_stream() -> None:
    assert (
        error(b'data: {"content":"a"}\n\ndata: {"error":{"message":"boom"}}\n\n', "text/event-stream").kind == "server"
    )


def test_web_page() -> None:
    assert "web page: Login" in error(b"<title>Login</title>", "text/html").message


@given(st.binary(max_size=200), st.sampled_from(["text/event-stream", "application/x-ndjson", "application/json", ""]))
def test_invalid_data_raises_only_wire_errors(data: bytes, kind: str) -> None:
    for body in (data, b"data: " + data + b"\n\n", b'{"content":' + data + b"}\n"):
        try:
            run(dialect_for(custom()).parser(kind), [body])
        except WireError as caught:
            assert caught.message.isprintable()


def test_no_untimed_requests() -> None:
    backend = custom()
    dialect = dialect_for(backend)
    assert dialect.health_requests(backend) == [] and dialect.probes(backend, "") == []
    assert dialect.models_request(backend) is None
    ready = custom(ready="/health")
    assert [r.url for r in dialect_for(ready).health_requests(ready)] == ["http://h:5000/health"]
