"""Which backends the entries of a config stand for, on machines with different servers and engines."""

from __future__ import annotations

import pytest

from llmtui.config.lineup import Lineup, resolve
from llmtui.model import Backend, DiscoveredServer, Embedded, Protocol
from llmtui.model.discovered import NO_CHAT, Model

FIVE = [Backend(framework=name) for name in ("llama.cpp", "mistral.rs", "huggingface", "llamafile", "ollama")]
ALL: list[Embedded] = ["llama.cpp", "mistral.rs", "transformers"]


def server(
    framework: str, port: int, *models: str, protocol: Protocol = "openai", locked: bool = False
) -> DiscoveredServer:
    return DiscoveredServer(
        framework=framework,
        url=f"http://127.0.0.1:{port}",
        protocol=protocol,
        models=[Model(name=name) for name in models],
        locked=locked,
    )


def ollama(*models: str) -> DiscoveredServer:
    return server("Ollama", 11434, *models, protocol="ollama")


def raced(lineup: Lineup) -> dict[str, str]:
    """Each backend's name, and its engine or its model."""
    return {b.name: b.embedded or b.model for b in lineup.backends}


def test_a_bare_machine_races_its_engines() -> None:
    lineup = resolve(FIVE, [], ["llama.cpp", "mistral.rs"], "")
    assert raced(lineup) == {"llama.cpp": "llama.cpp", "mistral.rs": "mistral.rs"}
    assert [(b.language, b.url) for b in lineup.backends] == [("C++", ""), ("Rust", "")]
    assert {a.framework: a.reason for a in lineup.absent} == {
        "HuggingFace": "not installed",
        "Llamafile": "not running, not on PATH",
        "Ollama": "not running, not on PATH",
    }
    assert (
        next(a.remedy for a in lineup.absent if a.framework == "Ollama") == "put it on PATH, or start it: ollama serve"
    )


def test_servers_with_the_model_join_under_the_name_of_what_answers() -> None:
    servers = [server("llama.cpp", 8080, "SmolLM2-135M-Instruct-Q8_0.gguf"), ollama("qwen3:8b", "smollm2:135m")]
    lineup = resolve(FIVE, servers, ["mistral.rs"], "")
    assert raced(lineup) == {
        "llama.cpp": "SmolLM2-135M-Instruct-Q8_0.gguf",
        "mistral.rs": "mistral.rs",
        "Ollama": "smollm2:135m",
    }
    assert [b.url for b in lineup.backends if b.url] == ["http://127.0.0.1:8080", "http://127.0.0.1:11434"]
    assert [b.protocol for b in lineup.backends] == ["openai", "openai", "ollama"]
    assert lineup.others == []


def test_a_running_server_with_the_model_goes_before_the_engine() -> None:
    lineup = resolve(FIVE[:1], [server("llama.cpp", 8080, "smollm2-135m-instruct")], ALL, "")
    assert [(b.embedded, b.url) for b in lineup.backends] == [("", "http://127.0.0.1:8080")]


def test_servers_with_other_models_are_offered_and_the_engine_is_raced() -> None:
    servers = [server("llama.cpp", 8080, "Qwen3-8B-Q4_K_M.gguf"), ollama("llama3.2:3b", "qwen3:8b")]
    lineup = resolve(FIVE, servers, ["llama.cpp"], "")
    assert raced(lineup) == {"llama.cpp": "llama.cpp"}
    assert [s.framework for s in lineup.others] == ["llama.cpp", "Ollama"]
    gone = {a.framework: a for a in lineup.absent}
    assert gone["Ollama"].reason == "it has no SmolLM2-135M-Instruct"
    assert gone["Ollama"].remedy == "ollama pull smollm2:135m"


def test_the_port_names_nothing() -> None:
    servers = [server("vLLM", 8080, "smollm2:135m"), server("Ollama", 8000, "smollm2:135m", protocol="ollama")]
    lineup = resolve(FIVE, servers, [], "")
    assert raced(lineup) == {"Ollama": "smollm2:135m"}
    assert [s.framework for s in lineup.others] == ["vLLM"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("/models/Qwen3-8B-Q4_K_M.gguf", {"llama.cpp": "llama.cpp", "Ollama": "qwen3:8b"}),
        ("qwen3:8b", {"Ollama": "qwen3:8b"}),
        ("Qwen/Qwen3-8B", {"Ollama": "qwen3:8b"}),
        ("", {"llama.cpp": "llama.cpp"}),
    ],
)
def test_the_model_of_the_run_decides(model: str, expected: dict[str, str]) -> None:
    assert raced(resolve(FIVE, [ollama("llama3.2:3b", "qwen3:8b")], ["llama.cpp"], model)) == expected


def test_the_model_of_an_entry_goes_before_that_of_the_run() -> None:
    entries = [Backend(framework="ollama", model=name) for name in ("llama3.2:3b", "Qwen3-8B", "none:1b")]
    lineup = resolve(entries, [ollama("llama3.2:3b", "qwen3:8b")], ALL, "")
    # One server, so the second entry is another backend at the same address.
    assert raced(lineup) == {"Ollama": "llama3.2:3b", "Ollama 2": "qwen3:8b"}
    assert [a.reason for a in lineup.absent] == ["it has no none:1b"]


def test_whole_backends_stay_as_they_are() -> None:
    whole = [
        Backend(name="Ollama", framework="ollama", url="http://127.0.0.1:11434", protocol="ollama", model="m"),
        Backend(name="mine", launch=["serve"]),
        Backend(name="Llamafile", framework="llamafile", url="http://127.0.0.1:8080"),
    ]
    lineup = resolve(whole, [ollama("x"), server("llama.cpp", 8080, "y")], ALL, "")
    assert lineup == Lineup(backends=whole)


def test_a_url_alone_is_named_by_what_answers() -> None:
    entries = [
        Backend(url="http://localhost:8080/v1"),
        Backend(url="http://127.0.0.1:11434"),
        Backend(url="http://h:1"),
    ]
    servers = [server("llama.cpp", 8080, "Qwen3-8B-Q4_K_M.gguf"), ollama("llama3.2:3b", "qwen3:8b")]
    lineup = resolve(entries, servers, ALL, "")
    assert raced(lineup) == {"llama.cpp": "Qwen3-8B-Q4_K_M.gguf", "Ollama": "qwen3:8b", "h:1": ""}
    assert [b.url for b in lineup.backends] == [b.url for b in entries]
    assert raced(resolve(entries[1:2], servers, ALL, "")) == {"Ollama": "llama3.2:3b"}
    assert raced(resolve(entries[1:2], servers, ALL, "qwen3")) == {"Ollama": "llama3.2:3b"}


def test_a_wrong_framework_beside_a_url_alone_is_corrected() -> None:
    entry = Backend(framework="llamafile", url="http://127.0.0.1:8080")
    (backend,) = resolve([entry], [server("llama.cpp", 8080, "m")], [], "").backends
    assert (backend.name, backend.framework, backend.language) == ("llama.cpp", "llama.cpp", "C++")
    (backend,) = resolve([entry], [], [], "").backends
    assert (backend.name, backend.framework) == ("Llamafile", "llamafile")


def test_two_servers_of_one_framework_have_two_names() -> None:
    entries = [Backend(url="http://127.0.0.1:1"), Backend(url="http://127.0.0.1:2")]
    lineup = resolve(entries, [server("vLLM", 1, "m"), server("vLLM", 2, "m")], [], "")
    assert [b.name for b in lineup.backends] == ["vLLM", "vLLM 2"]


def test_servers_that_cannot_be_raced_are_not_offered() -> None:
    embedder = DiscoveredServer(framework="vLLM", url="http://h:1", models=[Model(name="bge", fitness=NO_CHAT)])
    lineup = resolve(FIVE[4:], [embedder, server("llama.cpp", 2), server("vLLM", 3, "m", locked=True)], [], "")
    assert lineup.others == [] and lineup.backends == []
