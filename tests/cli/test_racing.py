"""The plan that words ask for on machines with different servers, and real races by address."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmtui.cli import present
from llmtui.cli.app import cli
from llmtui.cli.racing import at_path, plan_of
from llmtui.model import DiscoveredServer, Embedded, Found, Plan, Protocol
from llmtui.model.discovered import Model
from llmtui.model.errors import CommandError, UsageError

LLMTUI = [sys.executable, "-m", "llmtui"]
ENGINES: list[Embedded] = ["llama.cpp", "mistral.rs"]


def server(framework: str, port: int, *models: str) -> DiscoveredServer:
    names = [Model(name=name) for name in models]
    protocol: Protocol = "ollama" if framework == "Ollama" else "openai"
    return DiscoveredServer(framework=framework, url=f"http://127.0.0.1:{port}", protocol=protocol, models=names)


OLLAMA = server("Ollama", 11434, "llama3.2:3b", "qwen3:8b", "smollm2:135m")
LLAMA = server("llama.cpp", 8080, "Qwen3-8B-Q4_K_M.gguf")
OTHER = server("OpenAI-compatible", 9000, "my-model")
LOCKED = DiscoveredServer(framework="vLLM", url="http://127.0.0.1:8000", locked=True)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model file and a config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    (tmp_path / "my.gguf").write_bytes(b"GGUF\x03\0\0\0")
    (tmp_path / "text.gguf").write_bytes(b"text")
    (tmp_path / "folder.gguf").mkdir()
    return tmp_path


def planned(
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    servers: Sequence[DiscoveredServer] = (OLLAMA, LLAMA, OTHER, LOCKED),
    engines: Sequence[Embedded] = (),
) -> Plan:
    """The plan of `llmtui WORDS` where these servers answer. Options: --model X, --only X, --iterations N."""
    asked: list[Sequence[str]] = []

    async def look(urls: Sequence[str], elsewhere: str = "") -> Found:
        asked.append(urls)
        return Found(servers=list(servers), engines=list(engines))

    monkeypatch.setattr(present, "look", look)
    arguments = words.split()
    options = {}
    for option in ("--model", "--only", "--iterations"):
        if option in arguments:
            place = arguments.index(option)
            options[option] = arguments[place + 1]
            del arguments[place : place + 2]
    only = (options["--only"],) if "--only" in options else ()
    changes = {"iterations": int(options["--iterations"])} if "--iterations" in options else {}
    return plan_of(arguments, options.get("--model"), only, changes, cli.commands)[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # Frameworks race with a model that all have.
        ("ollama llama.cpp", {"Ollama": "qwen3:8b", "llama.cpp": "Qwen3-8B-Q4_K_M.gguf"}),
        ("LLAMA-SERVER Ollama", {"llama.cpp": "Qwen3-8B-Q4_K_M.gguf", "Ollama": "qwen3:8b"}),
        # Alone: the built-in model, if the server has it.
        ("ollama", {"Ollama": "smollm2:135m"}),
        ("ollama --model llama3.2", {"Ollama": "llama3.2:3b"}),
        ("ollama llama.cpp --model qwen3", {"Ollama": "qwen3:8b", "llama.cpp": "Qwen3-8B-Q4_K_M.gguf"}),
        # Addresses.
        ("http://127.0.0.1:8080/v1 127.0.0.1:11434", {"llama.cpp": "Qwen3-8B-Q4_K_M.gguf", "Ollama": "qwen3:8b"}),
        ("http://127.0.0.1:11434/api/chat", {"Ollama": "llama3.2:3b"}),
        (":9000 :8080/v1/chat/completions", {":9000": "my-model", "llama.cpp": "Qwen3-8B-Q4_K_M.gguf"}),
        ("http://127.0.0.1:7000", {":7000": ""}),
        ("http://127.0.0.1:7000 --model m", {":7000": "m"}),
        (":8000", {"vLLM": ""}),
        # Mixtures.
        ("ollama :8080", {"Ollama": "qwen3:8b", "llama.cpp": "Qwen3-8B-Q4_K_M.gguf"}),
        ("ollama :9000", {"Ollama": "llama3.2:3b", ":9000": "my-model"}),
        ("ollama :8080 --only OLLAMA", {"Ollama": "qwen3:8b"}),
        # A config's own options go with words.
        ("--model qwen3:8b", {"llama.cpp": "Qwen3-8B-Q4_K_M.gguf", "Ollama": "qwen3:8b"}),
    ],
)
def test_servers_that_words_name(words: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(monkeypatch, words)
    assert {b.name: b.model for b in plan.backends} == expected
    assert not any(b.embedded for b in plan.backends)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("llama.cpp mistral.rs", ["llama.cpp", "mistral.rs"]),
        ("my.gguf", ["llama.cpp", "mistral.rs"]),
        ("my.gguf llama.cpp", ["llama.cpp"]),
        ("mistral --model my.gguf", ["mistral.rs"]),
        ("--model my.gguf", ["llama.cpp", "mistral.rs"]),
    ],
)
def test_engines_that_words_name(
    words: str, expected: list[Embedded], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    plan = planned(monkeypatch, words, engines=ENGINES)
    assert [b.embedded for b in plan.backends] == expected
    assert plan.config.model == (str(here / "my.gguf") if "gguf" in words else "")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("mistral.rs", 1, "mistral.rs is not here (not installed; pip install"),
        ("ollama sglang", 1, "SGLang is not here (not running; start it: sglang serve --model-path MODEL --port"),
        ("hf sglang", 1, "HuggingFace is not here (not installed; pip install -e '.[hf]' or 'llmtui[hf]'; without"),
        ("vllm", 1, "vLLM is not here (it requires a key; set url and api_key in the config); to"),
        (
            "ollama --model mistral",
            2,
            "Ollama has no model mistral, only llama3.2:3b, qwen3:8b, smollm2:135m; ollama",
        ),
        (
            "ollama my.gguf",
            2,
            "Ollama has no model my.gguf, only llama3.2:3b, qwen3:8b, smollm2:135m; name one",
        ),
        (
            ":8080 --model llama3.2",
            2,
            "the server at http://127.0.0.1:8080 has no model llama3.2:3b, only Qwen3-8B",
        ),
        ("ollama :11434", 2, "Ollama is the server at http://127.0.0.1:11434, which is named too; name it once"),
        ("localhost:8080 :8080/v1", 2, "http://127.0.0.1:8080 is named twice; name each server once"),
        (":8080 --only zzz", 2, "the command line: no backend is named 'zzz'; expected one of llama.cpp"),
        ("ollama --only zzz", 2, "the command line: no backend is named 'zzz'; expected one of Ollama"),
        ("http://u:pass@box http://u:pass@box", 2, "'http://u:***@box' is named twice; name each backend once"),
        ("http:/u:pass@box", 2, "'http:/u:***@box' has one slash too few; did you mean: http://u:***@box"),
        ("ftp://u:pass@box", 2, "'ftp://u:***@box': the address of a server begins with http:// or https://"),
        ("http://u:pass@box", 2, "the address of a server: contains a user name or password"),
        ("http://box:99999", 2, "the address of a server: expected a port of at most 65535, got 'http://box:99999'"),
        ("text.gguf", 2, "'text.gguf' is not a GGUF file"),
        ("folder.gguf", 2, "'folder.gguf' is a folder; name the GGUF file in it"),
        ("nope.gguf", 2, "'nope.gguf': no such model file"),
    ],
)
def test_a_race_that_cannot_be_says_why(words: str, code: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError) as refused:
        planned(monkeypatch, words)
    assert (refused.value.exit_code, str(refused.value)[: len(message)]) == (code, message)
    assert "pass@" not in str(refused.value)


def test_run_and_ui_come_from_the_config_of_the_working_folder(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    (here / "config.toml").write_text(
        "[run]\niterations = 7\nmax_tokens = 9\n[[backend]]\nname = 'a'\nurl = 'http://h'\napi_key = '${NO_SUCH}'\n"
    )
    plan = planned(monkeypatch, "ollama --iterations 3")
    assert [b.name for b in plan.backends] == ["Ollama"]
    assert (plan.config.iterations, plan.config.max_tokens) == (3, 9)
    assert plan.source == "llmtui ollama"
    (here / "config.toml").write_text("[run]\niterations = 'x'\n")
    with pytest.raises(UsageError, match=r"config\.toml:2: \[run\]: iterations: expected a whole number"):
        planned(monkeypatch, "ollama")


def test_a_name_for_the_servers_of_a_config(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    server = "[[backend]]\nname = 'a'\nurl = 'http://h'\nmodel = 'old'\n"
    (here / "race.toml").write_text(server + "[[backend]]\nframework = 'ollama'\nmodel = 'old'\n")
    plan = planned(monkeypatch, "race.toml --model qwen3:8b")
    assert {b.name: b.model for b in plan.backends} == {"a": "qwen3:8b", "Ollama": "qwen3:8b"}
    assert plan.source == str(here / "race.toml")
    (here / "race.toml").write_text(server + "[[backend]]\nname = 'b'\nembedded = 'llama.cpp'\n")
    with pytest.raises(UsageError, match=r"--model 'qwen3:8b' is not a file, and 'b' in race\.toml is an engine that"):
        planned(monkeypatch, "race.toml --model qwen3:8b")
    assert planned(monkeypatch, "race.toml --model my.gguf").config.model == str(here / "my.gguf")


def test_different_models_are_reported_before_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned(monkeypatch, "ollama :8080")
    assert capsys.readouterr().err == ""
    planned(monkeypatch, "ollama :9000")
    assert capsys.readouterr().err == (
        "llmtui: different models: Ollama has llama3.2:3b, :9000 has my-model; a faster one may just have a "
        "smaller model. To choose one: --model NAME\n"
    )


def test_a_key_in_an_address_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-0123456789abcdef"
    plan = planned(monkeypatch, f"http://box:1/v1?api-key={key} :8080")
    assert plan.backends[0].url == f"http://box:1?api-key={key}"
    assert key not in repr(plan.public())
    assert plan.source == "llmtui 'http://box:1/v1?api-key=***' :8080"
    for words in (f":8080?api-key={key} http://127.0.0.1:8080?api-key={key}", f"http://box:99999/?api-key={key}"):
        with pytest.raises(UsageError) as refused:
            planned(monkeypatch, words)
        assert key not in str(refused.value)


def test_what_is_at_a_path(here: Path) -> None:
    assert [at_path(name) for name in ("my.gguf", "text.gguf", "folder.gguf", "nope", "my.gguf/x")] == [
        "model",
        "file",
        "folder",
        "nothing",
        "nothing",
    ]
    assert at_path("/dev/null") == "file"


@contextmanager
def truth_servers(count: int) -> Iterator[list[str]]:
    command = [sys.executable, "-m", "llmtui.accuracy.truth_server", "--port", "0", "--itl-ms", "1"]
    servers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        yield [one.stdout.readline().strip() for one in servers if one.stdout is not None]
    finally:
        for one in servers:
            one.terminate()
            one.communicate()


def llmtui(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LLMTUI, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_two_addresses_race_are_checked_and_resumed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTUI_STORE", str(here / "history.db"))
    few = ["--iterations", "2", "--warmup", "0", "--max-tokens", "4"]
    with truth_servers(2) as (one, two):
        checked = llmtui("check", one, f"{two}/v1/")
        assert (checked.returncode, checked.stdout.count("  answers: truth\n")) == (0, 2)
        done = llmtui("run", one, f"{two}/v1/chat/completions", *few, "--json", "run.json")
        assert done.returncode == 0, done.stderr
        run = json.loads(Path("run.json").read_text())
        places = [url.removeprefix("http://127.0.0.1") for url in (one, two)]
        assert [(b["backend"]["name"], b["backend"]["model"]) for b in run["backends"]] == [
            (p, "truth") for p in places
        ]
        gone = llmtui("run", one, "http://127.0.0.1:9", *few)
        assert gone.returncode == 1
        assert ":9: not reachable: nothing answers at 127.0.0.1:9" in gone.stderr
        refused = llmtui("run", one, "--model", "gpt-4")
        assert refused.returncode == 2
        assert f"the server at {one} has no model gpt-4, only truth; name one of these" in refused.stderr
        # The second server was missing: its iterations can be made up for, by the same words.
        alone = llmtui("resume", "last", "--text")
        assert alone.returncode == 2
        assert "was started without a config; name the same backends again: llmtui resume " in alone.stderr
        assert alone.stderr.rstrip().endswith(f" {one} http://127.0.0.1:9")
        resumed = llmtui("resume", "last", one, "http://127.0.0.1:9", "--text")
        assert resumed.returncode == 1 and "not reachable" in resumed.stderr
        other = llmtui("resume", "last", two, "http://127.0.0.1:9", "--text")
        assert other.returncode == 2 and "is not here now" in other.stderr


def test_look_is_what_complete_calls() -> None:
    """`planned` replaces it."""
    assert inspect.iscoroutinefunction(present.look)
