"""`[[sweep]]`: its levels and backends, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtui.config.schema import Config, ConfigError, changed, parse
from llmtui.config.sweeps import with_variants
from llmtui.model import Plan, Variant
from llmtui.runview.loads import load_title, short_title

BACKEND = '[[backend]]\nname = "a"\nurl = "http://127.0.0.1:1"\nmodel = "m"\n'
LAUNCHED = '[[backend]]\nname = "b"\nlaunch = ["server", "-t", "{threads}", "-m", "{model}"]\nmodel = "/x.gguf"\n'
EMBEDDED = '[[backend]]\nname = "e"\nembedded = "llama.cpp"\n'


def config(text: str, *backends: str, **environ: str) -> Config:
    return parse(text + "".join(backends or [BACKEND]), source="c.toml", folder=Path("/x"), environ=environ)


def grid(settings: Config, most: int = 100) -> Plan:
    return with_variants(settings.plan(), settings.grid, settings.place.sweep(0), most)


def test_lengths_are_levels_of_each_load() -> None:
    plan = grid(config("[load]\nconcurrency = [1, 8]\n[[sweep]]\nmax_tokens = [64, 256]\nprompt_tokens = [512]\n"))
    assert [level.title for level in plan.levels] == [
        "1 stream, 512/64 tokens",
        "1 stream, 512/256 tokens",
        "8 streams, 512/64 tokens",
        "8 streams, 512/256 tokens",
    ]
    assert [level.number for level in plan.levels] == [1, 2, 3, 4]
    assert plan.head_level == plan.levels[3]
    assert [plan.prompts_at(level).mix for level in plan.levels[:2]] == ["D(512,64)", "D(512,256)"]
    assert plan.config_at(plan.levels[1]).max_tokens == 256
    assert load_title(plan) == ("closed loop at 1 and 8 streams, prompts of 512 tokens, answers of 64 and 256 tokens")
    assert short_title(plan.levels) == "closed loop 1 8, 2 lengths"


def test_lengths_without_a_load_are_levels_of_one_stream() -> None:
    plan = grid(config("[[sweep]]\nmax_tokens = [1, 16]\n"))
    assert [level.title for level in plan.levels] == ["1 stream, 1 token", "1 stream, 16 tokens"]
    assert plan.config.metric == "output_tokens_per_s"
    assert plan.prompts_at(plan.levels[0]) == plan.prompts


def test_settings_of_servers_are_backends() -> None:
    text = "[[sweep]]\nthreads = [1, 4]\n[[sweep]]\nargs = [['-fa'], []]\n"
    plan = grid(config(text, BACKEND, LAUNCHED, EMBEDDED))
    assert [backend.name for backend in plan.backends] == [
        "a",
        "b threads=1 -fa",
        "b threads=1",
        "b threads=4 -fa",
        "b threads=4",
        "e threads=1",
        "e threads=4",
    ]
    assert [backend.threads for backend in plan.backends] == [0, 1, 1, 4, 4, 1, 4]
    assert plan.backends[1].launch[-2:] == ["{model}", "-fa"]
    assert plan.levels == []  # a race of the variants


def test_models() -> None:
    plan = grid(config("[[sweep]]\nmodel = ['/m/one.gguf', '/m/two.gguf']\n", LAUNCHED, EMBEDDED))
    assert [(backend.name, backend.model) for backend in plan.backends] == [
        ("b one", "/m/one.gguf"),
        ("b two", "/m/two.gguf"),
        ("e one", "/m/one.gguf"),
        ("e two", "/m/two.gguf"),
    ]


def test_args_go_where_the_command_has_their_place() -> None:
    text = "[[sweep]]\nargs = [['-x', 'a b'], []]\n"
    launched = '[[backend]]\nname = "b"\nurl = "http://127.0.0.1:1"\nmodel = "m"\n'
    plan = grid(config(text, launched + 'launch = ["server", "{args}", "--port"]\n'))
    assert [backend.launch for backend in plan.backends] == [["server", "-x", "a b", "--port"], ["server", "--port"]]
    assert plan.variants["b -x a b"] == Variant(of="b", args=["-x", "a b"])
    assert plan.variants["b"] == Variant(of="b", args=[])
    shell = 'launch = ["sh", "-c", "exec run {args} &"]\nenv = { MORE = "{args}" }\n'
    (first, second) = grid(config(text, launched + shell)).backends
    assert (first.launch[2], first.env) == ("exec run -x 'a b' &", {"MORE": "-x 'a b'"})
    assert (second.launch[2], second.env) == ("exec run  &", {"MORE": ""})


def test_a_key_in_args_is_in_no_name_and_in_no_public_plan() -> None:
    text = "[[sweep]]\nargs = [['--api-key', 'hunter2hunter2'], ['--api-key', 'swordfish99']]\n"
    plan = grid(config(text, LAUNCHED))
    assert [backend.name for backend in plan.backends] == ["b --api-key", "b --api-key #1"]
    assert plan.backends[0].launch[-1] == "hunter2hunter2"
    assert not any(key in repr(plan.public()) for key in ("hunter2hunter2", "swordfish99"))


def test_variables_are_expanded_as_in_a_backend_and_their_keys_stay_secret() -> None:
    text = "[[sweep]]\nmodel = ['${FOLDER}/m.gguf']\nargs = [['--auth', 'Bearer ${MY_KEY}', '-t${N}']]\n"
    settings = config(text, LAUNCHED, FOLDER="/models", MY_KEY="swordfish99", N="7")
    (backend,) = grid(settings).backends
    assert backend.launch[-3:] == ["--auth", "Bearer swordfish99", "-t7"]
    assert (backend.model, backend.name) == ("/models/m.gguf", "b m --auth -t7")
    assert "swordfish99" not in repr(grid(settings).public())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("[['${NONE}']]", "c.toml:2: [[sweep]]: args: the environment variable NONE is not set; export it or remove"),
        ("[['${MY KEY}']]", "c.toml:2: [[sweep]]: args: '${' is not followed by the name of an environment variable"),
        ("[['${MY_KEY}'], ['${MY_KEY}']]", "c.toml:2: [[sweep]]: args: ['${MY_KEY}'] is listed twice"),
        ("['${MY_KEY}']", "c.toml:2: [[sweep]]: args: expected a list, such as"),
    ],
)
def test_a_variable_that_is_wrong(args: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(f"[[sweep]]\nargs = {args}\n", LAUNCHED, MY_KEY="swordfish99")
    assert str(caught.value).startswith(message) and "swordfish99" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("launch", "launch = ['x', '{args}']"),
        ("launch", "launch = ['sh', '-c', 'exec run.sh {args}']"),
        ("env", "launch = ['x']\nenv = { MORE = '-v {args}' }"),
    ],
)
def test_a_place_for_args_that_nothing_fills_is_refused_wherever_it_is(key: str, where: str) -> None:
    backend = f"[[backend]]\nname = 'x'\nmodel = 'm'\nurl = 'http://127.0.0.1:2'\n{where}\n"
    with pytest.raises(ConfigError, match=rf"args: {key} of 'x' has {{args}}, and no grid lists any"):
        grid(config("", backend))
    assert grid(config("[[sweep]]\nargs = [[]]\n", backend)).backends[0].launch[0] in ("x", "sh")


def test_names_of_variants_are_short_and_different() -> None:
    long = "--a-very-long-argument-of-a-server=with-a-value"
    plan = grid(config(f"[[sweep]]\nargs = [['{long}-1'], ['{long}-2']]\n", LAUNCHED))
    names = [backend.name for backend in plan.backends]
    assert len(set(names)) == 2 and all(len(name) <= 40 for name in names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[sweep]]\nmax_tokens = []", "c.toml:2: [[sweep]]: max_tokens: the list is empty"),
        ("[[sweep]]\nmax_token = [1]", "c.toml:2: [[sweep]]: unknown key 'max_token'; did you mean 'max_tokens'?"),
        ("[[sweep]]\nmax_tokens = [1, 2, 1]", "c.toml:2: [[sweep]]: max_tokens: 1 is listed twice"),
        ("[[sweep]]\nmax_tokens = [0]", "c.toml:2: [[sweep]]: max_tokens: expected 1 to 1000000, got 0"),
        ("[[sweep]]\nmax_tokens = 5", "c.toml:2: [[sweep]]: max_tokens: expected a list, such as"),
        ("[[sweep]]\nargs = ['-fa']", "c.toml:2: [[sweep]]: args: expected a list, such as"),
        ("[[sweep]]\nmodel = [' ']", "c.toml:2: [[sweep]]: model: expected the name of a model or a file"),
        ("[sweep]\nmax_tokens = [5]", "c.toml:1: [sweep] is a single table; write [[sweep]], with two brackets"),
        (
            "[[sweep]]\nthreads = [1]\n[[sweep]]\nthreads = [2]",
            "c.toml:4: [[sweep]]: threads: is in another [[sweep]] too; write one list",
        ),
    ],
)
def test_bad_tables(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(text + "\n")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("[[sweep]]\nmax_tokens = [1, 2]\n", {"search": "knee"}, "c.toml:1: [[sweep]]: a search chooses the levels"),
        ("[[sweep]]\nthreads = [1]\n", {}, "c.toml:2: [[sweep]]: threads: llmtui sets the threads of servers that it"),
        ("[[sweep]]\nargs = [['-fa']]\n", {}, "c.toml:2: [[sweep]]: args: these words are added to launch, and no"),
        (
            "[[sweep]]\nmax_tokens = [1, 2]\n[[backend]]\nname = 'x'\nlaunch = ['x', '{args}']\nmodel = 'm'\n"
            "url = 'http://127.0.0.1:2'\n",
            {},
            "c.toml:1: [[sweep]]: args: launch of 'x' has {args}, and no grid lists any; add args = [[]] to a",
        ),
        ("[[sweep]]\nmax_tokens = [1, 2]\n", {"mix": "chat"}, "c.toml:2: [[sweep]]: max_tokens: the mix 'chat' sets"),
        (
            "[prompts]\nfile = 'p.jsonl'\n[[sweep]]\nprompt_tokens = [9]\n",
            {},
            "c.toml:4: [[sweep]]: prompt_tokens: a file of prompts is given too",
        ),
        (
            f"[load]\nconcurrency = [1, 2, 4]\n[[sweep]]\nmax_tokens = {list(range(1, 20))}\n",
            {},
            "c.toml:3: [[sweep]]: 57 levels, of loads and lengths; a run has at most 50",
        ),
    ],
)
def test_grids_that_cannot_be_carried_out(text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        grid(changed(config(text), options))
    assert str(caught.value).startswith(message)


def test_too_many_backends() -> None:
    with pytest.raises(ConfigError) as caught:
        grid(config(f"[[sweep]]\nthreads = {list(range(1, 12))}\n", EMBEDDED), most=10)
    assert str(caught.value) == "c.toml:1: [[sweep]]: 11 backends; a run compares at most 10"
