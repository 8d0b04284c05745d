"""What a framework alone stands for: its running server, its own program, its engine, or nothing; in this order."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.config.frameworks import LLAMA_CPP
from llmtui.config.lineup import Lineup, groups, missing, recorded, resolve, usual
from llmtui.model import Backend, DiscoveredServer, Embedded, Found, Plan, Program, RunConfig
from llmtui.model.discovered import Model

FILE = "/models/Tiny-1B.Q8_0.gguf"
PROGRAM = Program(server="llama-server", path="/opt/llama-server")
ENTRY = Backend(name="llama.cpp", framework="llama.cpp")


def running(model: str) -> DiscoveredServer:
    return DiscoveredServer(framework="llama.cpp", url="http://127.0.0.1:8080", models=[Model(name=model)])


def lineup(
    servers: Sequence[DiscoveredServer] = (),
    programs: Sequence[Program] = (PROGRAM,),
    engines: Sequence[Embedded] = ("llama.cpp",),
    model: str = FILE,
    entry: Backend = ENTRY,
) -> Lineup:
    return resolve([entry], servers, engines, model, programs)


def test_the_order() -> None:
    (backend,) = lineup([running("Tiny-1B")]).backends
    assert (backend.start, backend.url) == ("running", "http://127.0.0.1:8080")
    (backend,) = lineup().backends
    assert (backend.start, backend.server, backend.program) == ("server", "llama-server", "/opt/llama-server")
    assert (backend.name, backend.framework, backend.language) == ("llama.cpp", "llama.cpp", "C++")
    (backend,) = lineup(programs=[]).backends
    assert (backend.start, backend.embedded) == ("embedded", "llama.cpp")
    result = lineup(programs=[], engines=[])
    assert result.backends == []
    assert result.absent[0].remedy == LLAMA_CPP.install


def test_a_server_with_another_model_is_left_alone() -> None:
    result = lineup([running("other-7b")])
    assert [backend.start for backend in result.backends] == ["server"]
    assert [server.url for server in result.others] == ["http://127.0.0.1:8080"]


def test_the_built_in_model_is_a_file_too() -> None:
    assert [backend.start for backend in lineup(model="").backends] == ["server"]


def test_no_program_for_a_name_of_a_model() -> None:
    assert lineup(model="qwen3:8b").backends == []
    entry = Backend(name="llama.cpp", framework="llama.cpp", model="qwen3:8b")
    assert lineup(entry=entry).backends == []


def test_a_program_without_an_engine() -> None:
    entry = Backend(name="Ollama", framework="ollama")
    (backend,) = lineup(programs=[Program(server="ollama", path="/usr/bin/ollama")], entry=entry).backends
    assert (backend.server, backend.protocol, backend.language) == ("ollama", "ollama", "Go")


def test_the_races_of_this_machine() -> None:
    found = Found(engines=["llama.cpp", "mistral.rs"], programs=[PROGRAM])
    (race,) = groups(found, FILE)
    assert {backend.name: backend.start for backend in race.backends} == {
        "llama.cpp": "server",
        "mistral.rs": "embedded",
    }
    absent = {one.framework for one in missing(found)}
    assert "Ollama" in absent
    assert not {"llama.cpp", "mistral.rs"} & absent


def test_what_a_run_knew_of_this_machine() -> None:
    own = Backend(name="llama.cpp", framework="llama.cpp", server="llama-server", program="/opt/llama-server")
    plan = Plan(run="ab12cd34", created_utc="", config=RunConfig(), backends=[own])
    assert recorded(plan, []).programs == [PROGRAM]
    (race,) = groups(recorded(plan, []), FILE)
    assert [(one.server, one.program) for one in race.backends] == [("llama-server", "/opt/llama-server")]


def test_a_server_that_is_raced_is_not_missing() -> None:
    """The shipped config says "ollama"."""
    own = Backend(name="Ollama", framework="ollama", url="http://127.0.0.1:11434", protocol="ollama", model="m")
    plan = Plan(run="ab12cd34", created_utc="", config=RunConfig(), backends=[own])
    found = recorded(plan, [])
    assert "Ollama" not in {one.framework for one in missing(found)}
    assert [backend.name for backend in groups(found, "")[0].backends] == ["Ollama"]


def test_what_a_run_may_have_raced_before() -> None:
    starts = [backend.start for backend in usual(ENTRY, "http://127.0.0.1:11434")]
    assert starts == ["server", "embedded", "running"]
