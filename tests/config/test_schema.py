"""config.toml: valid configs, and the error message for each kind of invalid one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import tomli

from llmtui.config.frameworks import LLAMA_CPP, OLLAMA, framework_of
from llmtui.config.schema import DEFAULT_FILE, ConfigError, changed, find, load, ollama_url, parse
from llmtui.model import RunConfig

REPO = Path(__file__).parents[2]
ONE = '[[backend]]\nname = "a"\nurl = "http://127.0.0.1:1"\n'


def read(text: str, **environ: str) -> object:
    return parse(text, source="c.toml", folder=Path("/configs"), environ=environ)


def error_message(text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, **environ)
    message = str(caught.value)
    assert re.match(r"c\.toml(:\d+)?: ", message)
    assert message.count("\n") == 0
    return re.sub(r"^c\.toml(:\d+)?: ", "", message)


def test_the_default_config_is_that_of_the_repository() -> None:
    assert DEFAULT_FILE.read_bytes() == (REPO / "config.toml").read_bytes()
    assert find(None, cwd=REPO) != DEFAULT_FILE, "in a checkout, the config of the working folder is the user's"


def test_a_wheel_ships_the_config_as_the_default() -> None:
    wheel = tomli.loads((REPO / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"config.toml": "llmtui/config/default.toml"}


def test_the_default_lists_the_four_frameworks_of_the_experiment_and_llama_cpp() -> None:
    config = load(DEFAULT_FILE, environ={})
    assert {b.name: b.language for b in config.backend} == {
        "llama.cpp": "C++",
        "mistral.rs": "Rust",
        "HuggingFace": "Python",
        "Llamafile": "C++",
        "Ollama": "Go",
    }
    assert config.run == RunConfig()
    assert config.run.prompt == "How many helicopters can a human eat in one sitting?"
    assert (config.run.warmup, config.run.iterations) == (3, 10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no [[backend]]; write a config of the servers on this machine with: llmtui init"),
        ("[run", "not valid TOML: "),
        ("[run]\nitertions = 3\n" + ONE, "[run]: unknown key 'itertions'; did you mean 'iterations'?"),
        ("[rum]\n" + ONE, "unknown key 'rum'; did you mean 'run'?"),
        ("source = 'x'\n" + ONE, "unknown key 'source'"),
        (ONE + "secrets = ['x']\n", "backend 1 ('a'): unknown key 'secrets'"),
        (ONE + "modle = 'x'\n", "backend 1 ('a'): unknown key 'modle'; did you mean 'model'?"),
        ("[run]\niterations = '3'\n" + ONE, "[run]: iterations: expected a whole number, got '3'"),
        ("[run]\niterations = 3.5\n" + ONE, "[run]: iterations: expected a whole number, got 3.5"),
        ("[run]\niterations = true\n" + ONE, "[run]: iterations: expected a whole number, got true"),
        ("[run]\niterations = 0\n" + ONE, "[run]: iterations: expected 1 to 1000000, got 0"),
        ("[run]\nwarmup = -1\n" + ONE, "[run]: warmup: expected 0 to 10000, got -1"),
        (
            "[run]\nlaunches = 3\n" + ONE,
            "[run]: launches: expected 1, or 5 to 10 (an interval needs 5, and each launch an iteration), got 3",
        ),
        ("[run]\nlaunches = 11\n" + ONE, "[run]: launches: expected 1, or 5 to 10 ("),
        (
            "[run]\nlaunches = 5\niterations = 4\n" + ONE,
            "[run]: launches: expected 1 (more launches need at least 5 iterations), got 5",
        ),
        ("[run]\ntimeout_s = nan\n" + ONE, "[run]: timeout_s: expected a number of seconds above 0, got nan"),
        ("[run]\nprompt = ' '\n" + ONE, "[run]: prompt: expected a text that is not empty, got ' '"),
        (
            "[run]\norder = 'random'\n" + ONE,
            "[run]: order: expected one of 'shuffled', 'round-robin', 'sequential', got 'random'",
        ),
        ("run = 3\n" + ONE, "[run]: expected a table, got 3"),
        ("[backend]\nname='a'\n", "[backend] is a single table; write [[backend]]"),
        ("[[backend]]\nmodel='x'\n", "backend 1: 'framework' is missing; give one such as 'ollama', or give url"),
        ("[[backend]]\nframework='x'\nlaunch=['y']\n", "backend 1: 'name' is missing"),
        (
            "[[backend]]\nframework='olama'\n",
            "backend 1: framework: llmtui cannot look for 'olama'; did you mean 'Ollama'?",
        ),
        (
            "[[backend]]\nframework='ollama'\n" * 2,
            "backend 2: name: 'Ollama' is already the name of backend 1;",
        ),
        ("[[backend]]\nurl='http://u:p@h'\n", "backend 1: url: contains a user name"),
        (ONE + ONE, "backend 2: name: 'a' is already the name of backend 1"),
        (
            "[[backend]]\nname='a'\nurl='127.0.0.1:80'\n",
            "backend 1 ('a'): url: expected a full address such as",
        ),
        (
            "[[backend]]\nname='a'\nurl='http://h:99999'\n",
            "backend 1 ('a'): url: expected a port of at most 65535, got 'http://h:99999'",
        ),
        ("[[backend]]\nname='a'\nurl='http://u:p@h'\n", "backend 1 ('a'): url: contains a user name or password"),
        ("[[backend]]\nname='a'\n", "backend 1 ('a'): url is missing; give one such as"),
        (
            "[[backend]]\nname=''\nurl='http://h'\n",
            "backend 1: name: expected 1 to 40 printable characters",
        ),
        # A filler: a letter that looks like nothing.
        ("[[backend]]\nname='\u3164'\nurl='http://h'\n", "backend 1: name: expected 1 to 40 printable characters"),
        ("[[backend]]\nname='a\u202eb'\nurl='http://h'\n", "backend 1: name: expected 1 to 40 printable characters"),
        (ONE + ONE.replace('"a"', '"a\ufe0f"'), "backend 2: name: 'a' is already the name of"),
        (
            "[[backend]]\nname='a'\nembedded='llama.cp'\n",
            "backend 1 ('a'): embedded: expected one of 'llama.cpp', 'mistral.rs', 'transformers', got 'llama.cp'",
        ),
        (
            "[[backend]]\nname='a'\nembedded='llama.cpp'\nmodel='x'\n",
            "backend 1 ('a'): model cannot be combined with embedded = 'llama.cpp'; set it in [run]",
        ),
        (ONE + 'api_key = "${NO_SUCH}"\n', "backend 1 ('a'): api_key: the environment variable NO_SUCH is not set"),
        (ONE + 'headers = {"a b" = "c"}\n', "backend 1 ('a'): headers: 'a b' or its value is not a valid HTTP header"),
        ("[ui]\nmarker = 'dots'\n" + ONE, "[ui]: marker: expected one of 'braille', 'fhd', 'dot', "),
    ],
)
def test_invalid_configs_have_a_message(text: str, expected: str) -> None:
    assert error_message(text).startswith(expected)


def test_a_name_may_be_an_emoji_of_several_characters() -> None:
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
    config = parse(ONE.replace('"a"', f'"{family}"'), source="c.toml", folder=Path("/"), environ={})
    assert config.backend[0].name == family


def test_unreadable_files_have_a_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.toml: no such config file"):
        load(tmp_path / "nope.toml")
    with pytest.raises(ConfigError, match="is a folder"):
        load(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"[run]\nprompt = '\xe9'\n")
    with pytest.raises(ConfigError, match=r"latin\.toml: not UTF-8 \(byte 16\)"):
        load(latin)
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="larger than 1 MB"):
        load(huge)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_has_a_message(tmp_path: Path) -> None:
    secret = tmp_path / "secret.toml"
    secret.write_text(ONE)
    secret.chmod(0)
    with pytest.raises(ConfigError, match=r"secret\.toml: cannot read it: Permission denied"):
        load(secret)


def test_variables_are_expanded_and_their_secrets_are_not_public() -> None:
    text = ONE + 'api_key = "${KEY}"\nheaders = { "X-Team" = "${KEY}-t" }\noptions = { user = "id-${KEY}" }\n'
    config = parse(text, source="c.toml", folder=Path("/configs"), environ={"KEY": "sk-hush-hush"})
    assert config.backend[0].api_key == "sk-hush-hush"
    assert config.backend[0].headers == {"X-Team": "sk-hush-hush-t"}
    assert config.backend[0].options == {"user": "id-sk-hush-hush"}
    assert "hush" not in repr(config.plan().public())
    assert config.plan().public().backends[0].options == {"user": "id-***"}


def test_a_label_from_the_environment_is_shown() -> None:
    text = '[[backend]]\nname = "${HOST}"\nmodel = "${MODEL}"\nurl = "http://h"\napi_key = "${KEY}"\n'
    environment = {"HOST": "workstation", "MODEL": "smollm2-135m", "KEY": "hush-hush"}
    backend = parse(text, source="c.toml", folder=Path("/"), environ=environment).plan().public().backends[0]
    assert (backend.name, backend.model) == ("workstation", "smollm2-135m")


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ('launch = ["vllm", "serve", "--api-key", "sk-0123456789"]', True),
        ('launch = ["vllm", "serve", "--api-key=sk-0123456789"]', True),
        ('launch = ["env", "HF_TOKEN=sk-0123456789", "vllm"]', True),
        ('url = "http://h/v1?a=1&api-key=sk-0123456789"', True),
        ('options = { auth = { accessToken = "sk-0123456789" } }', True),
        ('launch = ["x", "--ssl-key-file", "sk-0123456789"]', False),
        ('launch = ["x", "--key", "/etc/sk-0123456789"]', False),
        ('launch = ["x", "--tokenizer", "sk-0123456789"]', False),
        ('options = { eos_token = "<|sk-0123456789|>" }', False),
    ],
)
def test_values_whose_names_suggest_secrets_are_redacted(line: str, secret: bool) -> None:
    text = f'[[backend]]\nname = "a"\n{line}\n' + ("" if "url" in line else 'url = "http://h"\n')
    plan = parse(text, source="c.toml", folder=Path("/"), environ={}).plan()
    assert "sk-0123456789" in repr(plan)
    assert ("sk-0123456789" not in repr(plan.public())) is secret


def test_a_disabled_backend_needs_no_variable_and_is_not_planned() -> None:
    text = ONE + '[[backend]]\nname = "b"\nenabled = false\napi_key = "${KEY}"\n'
    config = parse(text, source="c.toml", folder=Path("/configs"), environ={})
    assert [b.name for b in config.plan().backends] == ["a"]
    with pytest.raises(ConfigError, match=r"no backend is named 'c'"):
        config.plan(only=("c",))


def test_a_model_path_is_relative_to_the_config() -> None:
    config = parse('[run]\nmodel = "m.gguf"\n' + ONE, source="c.toml", folder=Path("/configs"), environ={})
    assert config.run.model == "/configs/m.gguf"


def test_usual_ports_and_ollama_host() -> None:
    text = '[[backend]]\nname = "vLLM"\n[[backend]]\nname = "o"\nprotocol = "ollama"\n'
    text += '[[backend]]\nname = "its /v1"\nframework = "ollama"\n'
    config = parse(text, source="c.toml", folder=Path("/"), environ={"OLLAMA_HOST": "box:9"})
    assert [b.url for b in config.backend] == ["http://127.0.0.1:8000", "http://box:9", "http://box:9"]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":8000", "http://127.0.0.1:8000"),
        ("box", "http://box:11434"),
        ("https://box", "https://box:443"),
        ("http://box/path/", "http://box:80/path"),
        ("[::1]:5", "http://[::1]:5"),
    ],
)
def test_ollama_host_is_parsed_as_ollama_does(host: str, url: str) -> None:
    assert ollama_url(host) == url


def test_precedence_of_config_files(tmp_path: Path) -> None:
    here, user = tmp_path / "here", tmp_path / "user"
    here.mkdir()
    user.mkdir()
    assert find(None, cwd=here, user_dir=user) == DEFAULT_FILE
    (user / "config.toml").touch()
    assert find(None, cwd=here, user_dir=user) == user / "config.toml"
    (here / "config.toml").touch()
    assert find(None, cwd=here, user_dir=user) == here / "config.toml"
    assert find("x.toml", cwd=here, user_dir=user) == Path("x.toml")


def test_the_command_line_is_checked_like_the_file() -> None:
    config = parse(ONE, source="c.toml", folder=Path("/"), environ={})
    assert changed(config, {"iterations": 2, "order": None}).run == RunConfig(iterations=2)
    with pytest.raises(ConfigError, match=r"^--iterations: expected 1 to 1000000, got 0"):
        changed(config, {"iterations": 0})
    assert changed(config, {"launches": 5}).run.launches == 5
    with pytest.raises(ConfigError, match=r"^--launches: expected 1, or 5 to 10 \(an interval .*\), got 4"):
        changed(config, {"launches": 4})
    with pytest.raises(
        ConfigError,
        match=r"^--order: expected one of 'shuffled', 'round-robin', 'sequential', got 'x'",
    ):
        changed(config, {"order": "x"})


def test_the_server_says_which_framework_it_is() -> None:
    text = """[[backend]]\nname = "mine"\nserver = "llama-server"
[[backend]]\nname = "b"\nframework = "X"\nserver = "ollama"\n"""
    mine, other = parse(text, source="c.toml", folder=Path("/configs"), environ={}).backend
    assert (mine.name, mine.framework, mine.language) == ("mine", "llama.cpp", "C++")
    assert (other.framework, framework_of(mine), framework_of(other)) == ("X", LLAMA_CPP, OLLAMA)
