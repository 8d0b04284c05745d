"""The file and line, or the option, that an error message about a setting names."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.config.places import Option, Place, key_lines
from llmtui.config.schema import ConfigError, parse

CONFIG = '''# a comment with = and [brackets]

[run]
prompt = """
iterations = 1
[ui]
""" # the end = of it
iterations = 3
model = 'a # b'

[ui]
keys = { rerun = "r" }
  "notify" = "off"
[[backend]]  # the first
name = "a"
launch = [
  "run",  # it's ]
  "[x]",
]
options.top_p = 1

[[backend]]
name = "b"
[backend.headers]
X-Team = "1"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("run",), 3),
        (("run", "prompt"), 4),
        (("run", "iterations"), 8),
        (("run", "model"), 9),
        (("ui", "keys"), 12),
        (("ui", "notify"), 13),
        (("backend", 0), 14),
        (("backend", 0, "launch"), 16),
        (("backend", 0, "options"), 20),
        (("backend", 0, "options", "top_p"), 20),
        (("backend", 1), 22),
        (("backend", 1, "name"), 23),
        (("backend", 1, "headers"), 24),
        (("backend", 1, "headers", "X-Team"), 25),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_of_settings(path: tuple[str | int, ...], line: int, newline: str) -> None:
    assert key_lines(CONFIG.replace("\n", newline))[path] == line


def test_a_place_is_shown_with_the_line_of_the_setting_or_of_its_table() -> None:
    backend = Place("c.toml", CONFIG).backend(1, "backend 2 ('b')")
    assert str(backend) == "c.toml:22: backend 2 ('b')"
    assert str(backend.key("headers").entry("X-Team")) == "c.toml:25: backend 2 ('b'): headers"
    assert str(backend.key("url")) == "c.toml:22: backend 2 ('b'): url"
    assert str(Place("c.toml", CONFIG).section("run").key("seed")) == "c.toml:3: [run]: seed"
    assert str(Place("the plan").section("run").key("seed")) == "the plan: [run]: seed"
    assert str(Option("the command line").section("run").key("max_tokens")) == "--max-tokens"


ONE = '[[backend]]\nname = "a"\nurl = "http://h"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\niterations = 0\n" + ONE, "c.toml:2: [run]: iterations: expected 1 to"),
        ("[run]\n\nmax_tokens = 'x'\n" + ONE, "c.toml:3: [run]: max_tokens: expected a whole number"),
        ("[run]\nitertions = 3\n" + ONE, "c.toml:2: [run]: unknown key 'itertions'"),
        ("[rum]\n" + ONE, "c.toml:1: unknown key 'rum'"),
        ("[run]\nseed = 1\nseed = 2\n" + ONE, "c.toml:3: not valid TOML: Cannot overwrite a value"),
        ("[ui]\nmarker = 'dots'\n" + ONE, "c.toml:2: [ui]: marker: expected one of"),
        ("x = 1\n[backend]\nname = 'a'\n", "c.toml:1: unknown key 'x'"),
        ("\n[backend]\nname = 'a'\n", "c.toml:2: [backend] is a single table"),
        (ONE + ONE, "c.toml:5: backend 2: name: 'a' is already the name of backend 1"),
        (ONE.replace("//h", "//u:p@h"), "c.toml:3: backend 1 ('a'): url: contains a user name"),
        (ONE + "api_key = '${NO_SUCH}'\n", "c.toml:4: backend 1 ('a'): api_key: the environment variable NO_SUCH"),
        (ONE + "[backend.headers]\nHost = 'x'\nTE = 'x'\n", "c.toml:6: backend 1 ('a'): headers: 'TE' is about"),
        (ONE + "options = { n = 2 }\n", "c.toml:4: backend 1 ('a'): options: n = 2 makes several"),
        (ONE + "omit = ['x']\n", "c.toml:4: backend 1 ('a'): omit: protocol 'openai' has no field"),
        (ONE + "answer = 'x'\n", "c.toml:4: backend 1 ('a'): answer requires protocol"),
        ("[[backend]]\nname='a'\nlaunch=['', 'x']\n", "c.toml:3: backend 1 ('a'): launch: the first word"),
        ("backend = 3\n", "c.toml:1: backend: expected a list"),
    ],
)
def test_an_error_in_a_file_names_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, source="c.toml", folder=Path("/"), environ={})
    assert str(caught.value).startswith(message)
