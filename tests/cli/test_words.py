"""What the words of a command line mean, and the sentence about those that mean nothing. No file, no socket."""

from __future__ import annotations

import click
import pytest

from llmtui.cli.app import cli
from llmtui.cli.words import AtPath, Meaning, Wanted, meaning, wanted
from llmtui.config.frameworks import HUGGINGFACE, LLAMA_CPP, LM_STUDIO, MISTRAL_RS, OLLAMA
from llmtui.model.errors import UsageError

#: What is in the working folder.
HERE: dict[str, AtPath] = {
    "race": "file",
    "configs/race": "file",
    "race.toml": "file",
    "other.toml": "file",
    "ollama": "file",
    "./ollama": "file",
    "vllm": "folder",
    "runs": "folder",
    "box:8080": "file",
    "my.gguf": "model",
    "My.GGUF": "model",
    "/m/other.gguf": "model",
    "sha256-1234": "model",
    "fake.gguf": "file",
    "folder.gguf": "folder",
    "smollm2": "folder",
}
A, B = "http://127.0.0.1:8080", "http://gpu-box:8000/v1/"


def look(path: str) -> AtPath:
    return HERE.get(path, "nothing")


def refusal(*words: str, model: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        wanted(words, look, cli.commands, model)
    message = str(caught.value)
    assert "\n" not in message and not message.endswith(".")
    return message


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("http://127.0.0.1:8080", ("url", "http://127.0.0.1:8080")),
        ("HTTPS://box/v1/chat/completions", ("url", "HTTPS://box/v1/chat/completions")),
        ("race.toml", ("config", "race.toml")),
        ("nope.toml", ("config", "nope.toml")),
        ("./ollama", ("config", "./ollama")),
        ("/dev/fd/63", ("config", "/dev/fd/63")),
        ("configs/race", ("config", "configs/race")),
        ("my.gguf", ("model", "my.gguf")),
        ("My.GGUF", ("model", "My.GGUF")),
        ("sha256-1234", ("model", "sha256-1234")),
        ("ollama", ("framework", "Ollama")),
        ("OLLAMA", ("framework", "Ollama")),
        ("llama.cpp", ("framework", "llama.cpp")),
        ("LlamaCpp", ("framework", "llama.cpp")),
        ("llama-server", ("framework", "llama.cpp")),
        ("hf", ("framework", "HuggingFace")),
        ("transformers", ("framework", "HuggingFace")),
        ("mistralrs", ("framework", "mistral.rs")),
        ("vllm", ("framework", "vLLM")),
        ("lm-studio", ("framework", "LM Studio")),
        ("tgi", ("framework", "TGI")),
        ("llama-cpp-python", ("framework", "llama-cpp-python")),
        ("race", ("config", "race")),
        ("runs", ("config", "runs")),
        ("box:8080", ("config", "box:8080")),
        ("gpu-box:8000", ("url", "http://gpu-box:8000")),
        ("127.0.0.1:8080/v1", ("url", "http://127.0.0.1:8080/v1")),
        ("localhost:11434", ("url", "http://localhost:11434")),
        ("[::1]:8080", ("url", "http://[::1]:8080")),
        (":8080", ("url", "http://127.0.0.1:8080")),
    ],
)
def test_what_a_word_means(word: str, expected: tuple[str, str]) -> None:
    assert meaning(word, look, cli.commands) == Meaning(*expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "model", "expected"),
    [
        ([], None, Wanted()),
        (["race.toml"], None, Wanted(config="race.toml")),
        (["race.toml"], "llama3.2", Wanted(config="race.toml", model="llama3.2")),
        (["race.toml"], "my.gguf", Wanted(config="race.toml", model="my.gguf", is_file=True)),
        ([], "llama3.2:3b", Wanted(model="llama3.2:3b")),
        ([], "smollm2", Wanted(model="smollm2")),
        ([], "org/Model-GGUF", Wanted(model="org/Model-GGUF")),
        (["my.gguf"], None, Wanted(model="my.gguf", is_file=True, alone=True)),
        (["my.gguf"], "my.gguf", Wanted(model="my.gguf", is_file=True, alone=True)),
        (["ollama", "LLAMA.CPP"], None, Wanted(backends=(OLLAMA, LLAMA_CPP))),
        (["hf", "mistral", "lms"], None, Wanted(backends=(HUGGINGFACE, MISTRAL_RS, LM_STUDIO))),
        ([A, B], None, Wanted(backends=(A, B))),
        (["ollama", A], "llama3.2", Wanted(backends=(OLLAMA, A), model="llama3.2")),
        (["my.gguf", "llama.cpp", A], None, Wanted(backends=(LLAMA_CPP, A), model="my.gguf", is_file=True)),
        # Servers may name a model as a file or a folder on their machine.
        ([A], "nope.gguf", Wanted(backends=(A,), model="nope.gguf")),
        ([A], "/models/llama", Wanted(backends=(A,), model="/models/llama")),
    ],
)
def test_what_is_wanted(words: list[str], model: str | None, expected: Wanted) -> None:
    assert wanted(words, look, cli.commands, model) == expected


@pytest.mark.parametrize(
    ("words", "model", "message"),
    [
        (["race.toml", "other.toml"], None, "'race.toml' and 'other.toml' are two configs; name one"),
        (
            ["race.toml", "ollama"],
            None,
            "the config 'race.toml' already says what to race, so 'Ollama' cannot be added; name one of them",
        ),
        (
            ["race.toml", "my.gguf"],
            None,
            "the config 'race.toml' already says what to race, so 'my.gguf' cannot be added; use --model my.gguf",
        ),
        (["ollama", "Ollama"], None, "'Ollama' is named twice; name each backend once"),
        ([A, "ollama", A], None, f"'{A}' is named twice; name each backend once"),
        (["my.gguf", "/m/other.gguf"], None, "'my.gguf' and '/m/other.gguf' are two models, and a race has one"),
        (["my.gguf"], "/m/other.gguf", "'my.gguf' and '/m/other.gguf' are two models, and a race has one; name one"),
        (["my.gguf"], "llama3.2", "'my.gguf' and --model 'llama3.2' are two models, and a race has one; name one"),
        (["nope.gguf"], None, "'nope.gguf': no such model file; name a GGUF file that exists"),
        (["fake.gguf"], None, "'fake.gguf' is not a GGUF file"),
        (["folder.gguf"], None, "'folder.gguf' is a folder; name the GGUF file in it"),
        ([], "nope.gguf", "'nope.gguf': no such model file"),
        ([], "/models/llama", "'/models/llama': no such model file"),
        (["ollama"], "fake.gguf", "'fake.gguf' is not a GGUF file"),
        ([], " ", "--model: the name is empty"),
    ],
)
def test_a_mixture_that_cannot_work_says_why(words: list[str], model: str | None, message: str) -> None:
    assert refusal(*words, model=model).startswith(message)


NOT_NAMED = "no command, file or framework is named "


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("list", f"{NOT_NAMED}'list'; did you mean: llmtui history"),
        ("models", f"{NOT_NAMED}'models'; did you mean: llmtui check"),
        ("status", f"{NOT_NAMED}'status'; did you mean: llmtui check"),
        ("setup", f"{NOT_NAMED}'setup'; did you mean: llmtui init"),
        ("bench", f"{NOT_NAMED}'bench'; did you mean: llmtui run"),
        ("start", f"{NOT_NAMED}'start'; did you mean: llmtui run"),
        ("diff", f"{NOT_NAMED}'diff'; did you mean: llmtui compare"),
        ("ps", f"{NOT_NAMED}'ps'; did you mean: llmtui attach"),
        ("continue", f"{NOT_NAMED}'continue'; did you mean: llmtui resume"),
        ("docs", f"{NOT_NAMED}'docs'; did you mean: llmtui explain"),
        ("web", f"{NOT_NAMED}'web'; did you mean: llmtui serve"),
        ("csv", f"{NOT_NAMED}'csv'; did you mean: llmtui export"),
        ("version", "'version' is an option: llmtui --version"),
        ("chek", f"{NOT_NAMED}'chek'; did you mean: llmtui check"),
        ("CHECK", f"{NOT_NAMED}'CHECK'; did you mean: llmtui check"),
        ("olama", f"{NOT_NAMED}'olama'; did you mean: llmtui ollama"),
        ("lamma.cpp", f"{NOT_NAMED}'lamma.cpp'; did you mean: llmtui llama.cpp"),
        ("run", "'run' is a command, so it comes first: llmtui run [WHAT]"),
        ("8080", "'8080' is a number; for the server on that port: llmtui 127.0.0.1:8080"),
        ("localhost", "'localhost': the port is missing; did you mean: localhost:8080"),
        ("10.0.0.7", "'10.0.0.7': the port is missing; did you mean: 10.0.0.7:8080"),
        ("http:/box:8080", "'http:/box:8080' has one slash too few; did you mean: http://box:8080"),
        ("ftp://box/x", "'ftp://box/x': the address of a server begins with http:// or https://"),
        ("llama3.2:3b", "no file is named 'llama3.2:3b'; if it is a model, write: --model llama3.2:3b"),
        ("org/Model-1B", "no file is named 'org/Model-1B'; if it is a model, write: --model org/Model-1B"),
        ("zzzzzz", f"{NOT_NAMED}'zzzzzz'; expected a command (init, check, run, ...), a config.toml, the address of"),
        ("", "an empty word has no meaning; expected a command (init, check, run, ...), a config.toml, the address of"),
    ],
)
def test_a_word_without_meaning_names_what_was_meant(word: str, message: str) -> None:
    assert refusal(word).startswith(message)


def test_no_command_is_listed_as_the_name_of_another() -> None:
    from llmtui.cli.words import LIKE

    assert not [word for words in LIKE.values() for word in words if word in cli.commands]
    assert LIKE.keys() <= cli.commands.keys()


#: The options of each command that take a value. An empty label or note of `show` removes the one that is there, and
#: an empty list of rates is one of none.
OPTIONS = {
    name: [
        option.opts[0]
        for option in command.params
        if isinstance(option, click.Option) and not (option.is_flag or option.count)
        if (name, option.name) not in {("show", "label"), ("show", "note"), ("accuracy", "rates")}
    ]
    for name, command in cli.commands.items()
}


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_an_option_without_text_is_refused(name: str) -> None:
    """Regression: `--scheduler "$UNSET"` measured with local workers, and `--store ""` used the default history."""
    for option in OPTIONS[name]:
        for words in ([option, ""], [f"{option}="]) if option.startswith("--") else ([option, ""],):
            with pytest.raises(UsageError, match=f"^{option} is empty; name something, or leave the option out$"):
                cli.main([name, *words], standalone_mode=False)
