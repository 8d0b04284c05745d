"""How `llmtui init` groups programs, engines and servers by the model that they can race."""

from __future__ import annotations

from pathlib import Path

from llmtui.cli.init import config_text, findings
from llmtui.config import schema as configs
from llmtui.model.discovered import DiscoveredServer, Found, Model, Program


def test_programs_and_servers_are_grouped_by_model() -> None:
    found = Found(
        engines=["llama.cpp", "mistral.rs"],
        programs=[Program(server="llama-server", path="/opt/bin/llama-server"), Program(server="ollama", path="/o")],
        servers=[
            DiscoveredServer(framework="vLLM", url="http://127.0.0.1:8000", models=[Model(name="qwen3")]),
            DiscoveredServer(
                framework="SGLang",
                url="http://127.0.0.1:30000",
                models=[Model(name="big"), Model(name="smollm2-135m-instruct"), Model(name="qwen3")],
            ),
            DiscoveredServer(framework="LM Studio", url="http://127.0.0.1:1234", models=[Model(name="qwen3")]),
        ],
    )
    text = config_text(found)
    config = configs.parse(text, source="made", folder=Path(), environ={})
    assert [(b.name, b.server or b.embedded or b.model) for b in config.backend] == [
        ("Ollama", "ollama"),
        ("llama.cpp", "llama-server"),
        ("mistral.rs", "mistral.rs"),
        ("SGLang", "smollm2-135m-instruct"),
        ("vLLM", "qwen3"),
        ("LM Studio", "qwen3"),
    ]
    assert text.index("# --- Model SmolLM2-135M-Instruct") < text.index("# --- Model qwen3") < text.index('"vLLM"')
    lines = findings(found)
    assert "found llama-server (/opt/bin/llama-server): llmtui starts it as llama.cpp" in lines
    assert not [line for line in lines if line.startswith(("not running: llama.cpp", "not running: Ollama"))]


def test_servers_that_share_a_model_get_it() -> None:
    names = (["a", "b"], ["c", "b"], ["b"])
    servers = [
        DiscoveredServer(framework="vLLM", url=f"http://127.0.0.1:{port}", models=[Model(name=name) for name in has])
        for port, has in enumerate(names, 9000)
    ]
    config = configs.parse(config_text(Found(servers=servers)), source="made", folder=Path(), environ={})
    assert [backend.model for backend in config.backend] == ["b", "b", "b"]
