"""Traces: their times, in every form, and what a turn takes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.config.errors import ConfigError
from llmtui.config.schema import changed, parse
from llmtui.config.traces import lasting, send_times, with_trace
from llmtui.model import Load

MOONCAKE = '{"timestamp": 500, "input_length": 5}\n\n{"timestamp": 1500}\n{"timestamp": 4500}\n'
DELAYS = '{"text": "a"}\n{"delay": 1000}\n{"delay": 3000.0}\n'
BURST = "Timestamp,Model,Request tokens\n5,GPT-4,10\n6,GPT-4,10\n9,ChatGPT,12\n"
AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 23:59:58.5000000,5,6\r\n"
    "2023-11-16 23:59:59.5000000,5,6\r\n2023-11-17 00:00:02.5000000,5,6\r\n"
)


def file_of(folder: Path, text: str) -> str:
    path = folder / "day.jsonl"
    path.write_text(text)
    return str(path)


def times(folder: Path, count: int, gap_s: float = 1.0) -> str:
    return file_of(folder, "".join(f'{{"timestamp": {1000 * gap_s * n}}}\n' for n in range(count)))


@pytest.mark.parametrize("text", [MOONCAKE, DELAYS, BURST, AZURE])
def test_every_form_gives_seconds_since_the_first_request(tmp_path: Path, text: str) -> None:
    assert list(send_times(file_of(tmp_path, text))) == pytest.approx([0.0, 1.0, 4.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "day.jsonl: the file is empty"),
        ('{"timestamp": 5}\n', "has 1 request; a trace needs at least 2"),
        ('{"timestamp": 5}\n{"timestamp": 5}\n', "are due at the same time"),
        ('{"timestamp": 5}\n{"timestamp": 4}\n', "day.jsonl:2: its time is 0.001 s before"),
        ('{"timestamp": -5}\n{"timestamp": 4}\n', "day.jsonl:1: its time is -0.005 s; expected 0 or more"),
        ('{"timestamp": 5}\n{"delay": -4}\n', "day.jsonl:2: its delay is -4 ms"),
        ('{"timestamp": 5}\n{"timestamp": "soon"}\n', "day.jsonl:2: 'soon' is not a time"),
        ('{"timestamp": 5}\n{"prompt": "hi"}\n', "day.jsonl:2: has no timestamp and no delay"),
        ('{"timestamp": 5}\n{nonsense\n', "day.jsonl:2: expected a JSON object with a timestamp"),
        ("a,b\n1,2\n", "no send times: expected JSON Lines"),
        ("[1, 2]", "day.jsonl: begins with [, as a JSON array does"),
        ("Timestamp\n1\nnan\n", "day.jsonl:3: its time is nan s"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        send_times(file_of(tmp_path, text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("load", "settle", "requests", "window_s"),
    [
        ({}, 10, 70, 70.0),
        ({"time_scale": 10.0}, 10, 70, 7.0),
        ({"settle": 0}, 0, 80, 80.0),
        ({"requests": 35}, 5, 35, 35.0),
        ({"requests": 500, "settle": 3}, 3, 77, 77.0),
        ({"duration_s": 7.0, "time_scale": 2.0}, 2, 14, 7.0),
        ({"duration_s": 500.0}, 12, 68, 68.0),
    ],
)
def test_what_a_turn_takes(tmp_path: Path, load: dict[str, float], settle: int, requests: int, window_s: float) -> None:
    of = with_trace(Load(trace=times(tmp_path, 80), **load))  # type: ignore[arg-type]
    assert of.trace_turn is not None
    assert (of.trace_turn.settle, of.trace_turn.requests) == (settle, requests)
    assert of.trace_turn.window_s == pytest.approx(window_s)
    [level] = of.levels
    assert level.open and level.rate == pytest.approx(requests / window_s)
    assert of.requests_of(level) == requests


def test_a_trace_of_a_day_is_asked_back_with_a_scale(tmp_path: Path) -> None:
    path = times(tmp_path, 24, 3600.0)
    with pytest.raises(ConfigError, match=r"its last request is due 23 h after the first one; set time_scale = 96 "):
        with_trace(Load(trace=path))
    assert with_trace(Load(trace=path, time_scale=96.0)).turn_s == pytest.approx(900.0)
    assert with_trace(Load(trace=path, duration_s=7200.0)).trace_turn is not None


@pytest.mark.parametrize(
    ("at_s", "words"),
    [
        (
            (0, 85_980),
            "is due 23 h 53 min after the first one, and none is due for 23 h 53 min after the first request",
        ),
        ((0, 90, 7290), "is due 2 h 2 min after the first one, and none is due for 2 h after the first 1 min 30 s"),
    ],
)
def test_a_long_trace_and_its_gap_in_words(tmp_path: Path, at_s: tuple[int, ...], words: str) -> None:
    path = file_of(tmp_path, "".join(f'{{"timestamp": {1000 * at}}}\n' for at in at_s))
    with pytest.raises(ConfigError) as caught:
        with_trace(Load(trace=path))
    assert f"day.jsonl: its last request {words}; set time_scale = " in str(caught.value)


def test_the_titles_of_a_level(tmp_path: Path) -> None:
    path = times(tmp_path, 8)
    assert [Load(trace=path, time_scale=scale).levels[0].title for scale in (1.0, 2.0, 0.5)] == [
        "trace day.jsonl",
        "trace day.jsonl x2",
        "trace day.jsonl x0.5",
    ]


def test_the_path_is_relative_to_the_config_and_the_command_line_goes_before_it(tmp_path: Path) -> None:
    times(tmp_path, 8)
    text = '[load]\ntrace = "day.jsonl"\ntime_scale = 2\n[[backend]]\nname = "a"\nurl = "http://localhost:1"\n'
    config = parse(text, source="c.toml", folder=tmp_path)
    assert config.plan().levels[0].title == "trace day.jsonl x2"
    assert changed(config, {"concurrency": "4"}).plan().levels[0].title == "4 streams"
    other = changed(config, {"trace": str(tmp_path / "no.jsonl")})
    with pytest.raises(ConfigError, match=r"no\.jsonl: cannot be read: No such file"):
        other.plan()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("time_scale = 2", "time_scale: is for a trace; set trace too, or leave it out"),
        ('trace = "day.jsonl"\nrequest_rate = 2', "request_rate: trace is given too"),
        ('trace = "day.jsonl"\nconcurrency = 2', "concurrency: trace is given too"),
        ('trace = "day.jsonl"\ntime_scale = 0', "time_scale: expected 0.001 to 1000000"),
        ("trace_turn = {}", "unknown key 'trace_turn'"),
    ],
)
def test_keys_that_contradict_a_trace(tmp_path: Path, keys: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"[load]\n{keys}\n", source="c.toml", folder=tmp_path, backends=False)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (59, "59 s"), (750, "12 min 30 s"), (86_280, "23 h 58 min"), (7200, "2 h")]
)
def test_lengths_in_words(seconds: float, words: str) -> None:
    assert lasting(seconds) == words
