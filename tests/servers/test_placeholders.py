"""{port}, {model}, {threads}, {context} and {slots} in commands, environments and requests."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from llmtui.engine.adapting import Adaptation
from llmtui.engine.fresh_role import FreshLine
from llmtui.model import Backend, RunConfig
from llmtui.servers.placeholders import fill, fill_fields, launch_values, request_values
from llmtui.servers.recipes import recipe
from llmtui.wire import dialect_for
from tests.servers.model_files import quiet

CONFIG = RunConfig(threads=3, prompt="Hi")


def test_a_command() -> None:
    values = launch_values(CONFIG, 1234, "/m/{port}.gguf")
    text = "{model}:{port}:{threads}:{context}:{slots}:{other}:{{port}}"
    assert fill(text, values) == "/m/{port}.gguf:1234:3:2048:1:{other}:{1234}"


def test_fields_become_numbers() -> None:
    values = request_values(CONFIG, "http://127.0.0.1:1234/v1", "tiny")
    fields = {"num_thread": "{threads}", "deep": [{"n": "{context}", "{port}": "on {port}"}], "m": "{model}", "x": True}
    assert fill_fields(fields, values) == {
        "num_thread": 3,
        "deep": [{"n": 2048, "{port}": "on 1234"}],
        "m": "tiny",
        "x": True,
    }
    assert fill_fields({"m": "{model} {seed}"}, {"port": 1}) == {"m": "{model} {seed}"}


@pytest.mark.parametrize(("url", "port"), [("http://h", 80), ("https://h/v1", 443), ("http://[::1]:8080", 8080)])
def test_the_port_of_a_running_server(url: str, port: int) -> None:
    assert request_values(CONFIG, url, "")["port"] == port


def test_options_of_a_request() -> None:
    backend = Backend(name="x", framework="ollama", protocol="ollama", options={"num_thread": "{threads}"})
    asking = Adaptation(backend, CONFIG, dialect_for(backend), FreshLine("user"))
    request = asking.request("http://127.0.0.1:1", backend.options, "{threads}", "tiny")
    body = msgspec.json.decode(request.body)
    assert body["options"]["num_thread"] == 3
    assert "{threads}" in str(body["messages"])


def test_the_body_of_a_custom_request() -> None:
    body = {"text": "{prompt}", "n": "{slots}", "model": "{model}", "port": "p{port}"}
    backend = Backend(name="x", protocol="custom", url="http://127.0.0.1:9/", body=body)
    asking = Adaptation(backend, CONFIG, dialect_for(backend), FreshLine("user"))
    request = asking.request(backend.url, {"extra": "{context}"}, "say {slots}", "tiny")
    assert msgspec.json.decode(request.body) == {
        "text": "say {slots}", "n": 1, "model": "tiny", "port": "p9", "extra": 2048
    }  # fmt: skip


async def test_the_environment_of_a_command(tmp_path: Path) -> None:
    model = str(tmp_path / "Tiny-1B.gguf")
    env = {"HOST": "127.0.0.1:{port}", "MODEL": "{model}", "N": "{threads}", "REST": "{other}"}
    backend = Backend(name="x", launch=[sys.executable, "-c", "{slots}"], env=env, model=model)
    launch = await recipe(backend, CONFIG, 1234, quiet)
    assert launch.env == {"HOST": "127.0.0.1:1234", "MODEL": model, "N": "3", "REST": "{other}"}
    assert launch.argv[-1] == "1"
    assert launch.ready.threads == 3


@pytest.mark.parametrize(
    ("setting", "threads"),
    [
        ({"env": {"N": "{threads}"}}, 3),
        ({"options": {"num_thread": "{threads}"}}, 3),
        ({"env": {"N": "4"}}, None),
    ],
)
async def test_threads_are_known_if_they_are_set(setting: dict[str, dict[str, str]], threads: int | None) -> None:
    backend = Backend(name="x", launch=[sys.executable], **setting)  # type: ignore[arg-type]
    assert (await recipe(backend, CONFIG, 1234, quiet)).ready.threads == threads
