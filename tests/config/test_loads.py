"""[load] and the options of a load: what they mean, and the sentence for each value that means nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtui.config.loads import remarks
from llmtui.config.schema import Config, ConfigError, changed, parse

ONE = '[[backend]]\nname = "a"\nurl = "http://127.0.0.1:1"\n'


def read(load: str, run: str = "") -> Config:
    run = f"[run]\n{run}\n" if run else ""
    return parse(f"{run}[load]\n{load}\n{ONE}", source="c.toml", folder=Path("/configs"), environ={})


def titles(config: Config) -> list[str]:
    return [level.title for level in config.plan().levels]


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("", []),
        ("concurrency = 1", []),
        ("concurrency = [1]", []),
        ("concurrency = 1\nrequests = 40", ["1 stream"]),
        ("concurrency = 8", ["8 streams"]),
        ("concurrency = [1, 4, 16]", ["1 stream", "4 streams", "16 streams"]),
        ("concurrency = '1, 4,16'", ["1 stream", "4 streams", "16 streams"]),
        ("concurrency = '1..8'", ["1 stream", "2 streams", "4 streams", "8 streams"]),
        ("concurrency = '3..13'", ["3 streams", "6 streams", "12 streams", "13 streams"]),
        ("concurrency = 10_000\nrequests = 1_000_000", ["10000 streams"]),
        ("request_rate = 2", ["2 requests/s"]),
        ("request_rate = [0.5, 1]\nmax_concurrency = 4", ["0.5 requests/s", "1 request/s"]),
    ],
)
def test_the_levels_of_a_load(text: str, levels: list[str]) -> None:
    assert titles(read(text)) == levels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("concurrency = 0", "2: [load]: concurrency: expected 1 to 10000 streams, got 0"),
        ("concurrency = [1, 10_001]", "2: [load]: concurrency: expected 1 to 10000 streams, got 10001"),
        ("concurrency = []", "2: [load]: concurrency: the list is empty; expected numbers of streams, such as "),
        ("concurrency = [4, 1, 4]", "2: [load]: concurrency: 4 is listed twice; list each level once"),
        ("concurrency = '8..2'", "2: [load]: concurrency: '8..2' goes down; expected the smaller number first"),
        ("concurrency = '0..2'", "2: [load]: concurrency: expected 1 to 10000 streams, got 0"),
        ("concurrency = '1-8'", "2: [load]: concurrency: expected numbers of streams, such as 4 or 1,4,16 or 1..64,"),
        ("concurrency = ''", "2: [load]: concurrency: expected numbers of streams, such as 4 or 1,4,16 or 1..64,"),
        (
            "concurrency = 1.5",
            '2: [load]: concurrency: expected a whole number or text in quotes or a list, such as ["one", "two"], '
            "got 1.5",
        ),
        (f"concurrency = {list(range(1, 60))}", "2: [load]: concurrency: 59 levels; a run has at most 50"),
        ("request_rate = 0", "2: [load]: request_rate: expected 0.001 to 10000 requests/s, got 0"),
        ("request_rate = [1, -2.5]", "2: [load]: request_rate: expected 0.001 to 10000 requests/s, got -2.5"),
        ("request_rate = inf", "2: [load]: request_rate: expected 0.001 to 10000 requests/s, got inf"),
        ("request_rate = nan", "2: [load]: request_rate: expected 0.001 to 10000 requests/s, got nan"),
        ("concurrency = 1\nrequest_rate = 2", "3: [load]: request_rate: concurrency is given too; a closed loop has "),
        ("requests = 5\nduration_s = 5", "3: [load]: duration_s: requests is given too; a turn has a number of "),
        ("requests = 0", "2: [load]: requests: expected 1 to 10000000 requests a turn, got 0"),
        ("duration_s = -1", "2: [load]: duration_s: expected 0.1 to 86400 seconds, got -1"),
        ("duration_s = nan", "2: [load]: duration_s: expected 0.1 to 86400 seconds, got nan"),
        (
            "concurrency = 16\nmax_concurrency = 8",
            "3: [load]: max_concurrency: is for an open loop; set request_rate too, or for a closed loop "
            "set concurrency = 8",
        ),
        ("arrival = 'constant'", "2: [load]: arrival: is for an open loop; set request_rate too"),
        ("request_rate = 2\narrival = 'even'", "3: [load]: arrival: expected one of 'poisson', 'constant', 'gamma'"),
        (
            "request_rate = 2\nburstiness = 0.5",
            "3: [load]: burstiness: shapes gamma arrivals, and these are poisson; set arrival to gamma",
        ),
        ("request_rate = 2\narrival = 'gamma'\nburstiness = 0", "4: [load]: burstiness: expected 0.01 to 1000, got 0"),
        ("concurrency = 4\nsettle = -1", "3: [load]: settle: expected 'auto' or 0 to 1000000 requests, got -1"),
        ("settle = 5", "2: [load]: settle: is for the turns of a load, and a race has none; set concurrency above 1"),
        ("concurency = 4", "2: [load]: unknown key 'concurency'; did you mean 'concurrency'?"),
    ],
)
def test_a_load_that_means_nothing_is_refused_with_its_line(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith(f"c.toml:{expected}")


def test_the_metric_that_counts_follows_the_load_unless_the_file_names_it() -> None:
    assert read("concurrency = 1").plan().config.metric == "latency"
    assert read("concurrency = 4").plan().config.metric == "output_tokens_per_s"
    assert read("request_rate = 4").plan().config.metric == "latency"
    assert read("concurrency = 4", run="metric = 'latency'").plan().config.metric == "latency"
    assert changed(read(""), {"concurrency": "4"}).plan().config.metric == "output_tokens_per_s"


@pytest.mark.parametrize(
    ("load", "words"),
    [("", "is of a load, and this is a race"), ("request_rate = 2", "in an open loop the request rate decides")],
)
def test_throughput_does_not_count_where_it_says_nothing(load: str, words: str) -> None:
    config = read(load, run="metric = 'output_tokens_per_s'")
    with pytest.raises(ConfigError, match=words) as caught:
        config.plan()
    assert str(caught.value).startswith("c.toml:2: [run]: metric: ")
    assert changed(config, {"concurrency": "4", "request_rate": None}).plan().config.metric == "output_tokens_per_s"


@pytest.mark.parametrize(
    ("before", "options", "levels"),
    [
        ("", {"concurrency": "1,4"}, ["1 stream", "4 streams"]),
        ("", {"max_concurrency": "8"}, ["8 streams"]),
        ("", {"max_concurrency": "8", "request_rate": "inf"}, ["8 streams"]),
        ("concurrency = 2", {"max_concurrency": "1,8"}, ["1 stream", "8 streams"]),
        ("concurrency = 2", {"request_rate": "0.5,4"}, ["0.5 requests/s", "4 requests/s"]),
        ("request_rate = 2\narrival = 'gamma'\nburstiness = 3", {"concurrency": "4"}, ["4 streams"]),
        ("request_rate = 2\nmax_concurrency = 3", {"request_rate": "3"}, ["3 requests/s"]),
        ("concurrency = 2\nduration_s = 20", {"requests": 10}, ["2 streams"]),
        ("concurrency = 2\nrequests = 20", {"duration_s": 10.0}, ["2 streams"]),
    ],
)
def test_options_go_before_the_file(before: str, options: dict[str, Any], levels: list[str]) -> None:
    assert titles(changed(read(before), options)) == levels


def test_a_cap_and_a_shape_belong_to_a_rate() -> None:
    load = changed(read(""), {"request_rate": "2", "max_concurrency": "8", "burstiness": 0.5}).load
    assert (load.max_concurrency, load.arrival, load.burstiness) == (8, "gamma", 0.5)
    assert changed(read(""), {"request_rate": "2", "burstiness": 1.0}).load.arrival == "poisson"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"concurrency": "0"}, "--concurrency: expected 1 to 10000 streams, got 0"),
        ({"concurrency": "2", "request_rate": "2"}, "--request-rate: --concurrency is given too; a closed loop has"),
        ({"concurrency": "2", "max_concurrency": "2"}, "--max-concurrency: --concurrency is given too; without "),
        ({"max_concurrency": "0"}, "--max-concurrency: expected 1 to 10000 streams, got 0"),
        ({"request_rate": "2", "max_concurrency": "1,2"}, "--max-concurrency: expected one number with a request "),
        ({"request_rate": "inf"}, "--request-rate: inf would send all requests at once; for a number of requests "),
        ({"request_rate": "two"}, "--request-rate: expected requests/s, such as 2 or 0.5,1,2, got 'two'"),
        ({"request_rate": ""}, "--request-rate: expected requests/s, such as 2 or 0.5,1,2, got ''"),
        ({"burstiness": 0.5}, "--burstiness: is for an open loop; set --request-rate too"),
        ({"arrival": "gamma"}, "--arrival: is for an open loop; set --request-rate too"),
        ({"requests": 4, "duration_s": 4.0}, "--duration: --requests is given too; a turn has a number of requests"),
        ({"duration_s": 0.0}, "--duration: expected 0.1 to 86400 seconds, got 0.0"),
        ({"requests": 0}, "--requests: expected 1 to 10000000 requests a turn, got 0"),
    ],
)
def test_an_option_that_means_nothing_is_refused_by_its_name(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(read(""), options)
    assert str(caught.value).startswith(expected)


def test_a_turn_that_is_shorter_than_one_answer_is_remarked_upon() -> None:
    assert remarks(read("concurrency = [4, 40]\nrequests = 40").load) == []
    assert remarks(read("concurrency = 10_000").load) == []
    assert remarks(read("request_rate = 2\nrequests = 1").load) == []
    (remark,) = remarks(read("concurrency = [4, 64, 256]\nrequests = 40").load)
    assert remark.startswith("at 64 and 256 streams a turn of 40 requests is shorter than one answer of each stream")
    assert "at least 1024 requests" in remark
