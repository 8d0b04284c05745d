"""[slo], --slo and --goodput: what they mean, and the sentence for each value that means nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtui.config.objectives import goodput_words
from llmtui.config.schema import Config, ConfigError, changed, parse
from llmtui.model import Slo
from llmtui.runview.loads import load_sentence

ONE = '[[backend]]\nname = "a"\nurl = "http://127.0.0.1:1"\n'


def read(slo: str, load: str = "concurrency = [1, 4]") -> Config:
    text = f"[slo]\n{slo}\n[load]\n{load}\n{ONE}"
    return parse(text, source="c.toml", folder=Path("/configs"), environ={})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"slo": "ttft=0.2,tpot=0.05,latency=5,share=0.9"}, Slo(ttft_s=0.2, tpot_s=0.05, latency_s=5.0, share=0.9)),
        ({"slo": " TTFT=200ms, tpot=50ms latency=5s share=99.5%"}, Slo(0.2, 0.05, 5.0, 0.995)),
        ({"slo": "latency=1e1"}, Slo(latency_s=10.0)),
        ({"goodput": "ttft:200 tpot:50 e2el:1000"}, Slo(ttft_s=0.2, tpot_s=0.05, latency_s=1.0)),
        ({"goodput": "time_to_first_token:100 inter_token_latency:3.40"}, Slo(ttft_s=0.1, tpot_s=0.0034)),
        ({"goodput": "request_latency:2s"}, Slo(latency_s=2.0)),
    ],
)
def test_options(options: dict[str, str], expected: Slo) -> None:
    found = changed(read(""), dict(options)).plan().slo
    assert (found.ttft_s, found.tpot_s, found.latency_s, found.share) == pytest.approx(
        (expected.ttft_s, expected.tpot_s, expected.latency_s, expected.share)
    )


def test_an_option_changes_only_what_it_names() -> None:
    config = changed(read("ttft_s = 0.5\nlatency_s = 5\nshare = 0.9"), {"slo": "ttft=0.2"})
    assert config.slo == Slo(ttft_s=0.2, latency_s=5.0, share=0.9)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"slo": "tftt=1"}, "--slo: unknown objective 'tftt'; did you mean 'ttft'?"),
        ({"slo": "e2el=1"}, "--slo: unknown objective 'e2el'; did you mean 'latency'?"),
        ({"slo": "ttft:200"}, "--slo: expected NAME=SECONDS, such as ttft=0.2, got 'ttft:200'"),
        ({"slo": "ttft=fast"}, "--slo: expected seconds for ttft, such as 0.2 or 200ms, got 'fast'"),
        ({"slo": "ttft=-1"}, "--slo: expected seconds for ttft, such as 0.2 or 200ms, got '-1'"),
        ({"slo": "ttft=0"}, "--slo: expected seconds above 0 for ttft, got '0'"),
        ({"slo": "ttft=1e9"}, "--slo: expected seconds above 0 for ttft, got '1e9'"),
        ({"slo": "ttft=1,share=0"}, "--slo: expected a share above 0 and up to 1, such as 0.95 or 95%, got '0'"),
        ({"slo": "ttft=1,share=95"}, "--slo: expected a share above 0 and up to 1, such as 0.95 or 95%, got '95'"),
        ({"slo": "ttft=1,ttft=2"}, "--slo: ttft is given twice; give each objective once"),
        ({"slo": " , "}, "--slo: expected objectives, such as ttft=0.2,tpot=0.05,latency=5,share=0.95"),
        ({"slo": "share=0.9"}, "--slo: a share needs an objective too, such as ttft=0.2,share=0.95"),
        ({"goodput": "itl:3"}, "--goodput: unknown objective 'itl'; expected one of ttft, tpot, e2el"),
        ({"goodput": "ttft=200"}, "--goodput: expected NAME:MILLISECONDS, such as ttft:200, got 'ttft=200'"),
        ({"goodput": "ttft:x"}, "--goodput: expected milliseconds for ttft, such as 200, got 'x'"),
        ({"goodput": "latency:1 e2el:2"}, "--goodput: e2el is given twice; give each objective once"),
        ({"goodput": "ttft:1", "slo": "ttft=1"}, "--goodput: --slo is given too; both say the same: leave one out"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        changed(read(""), dict(options))
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("slo", "expected"),
    [
        ("ttft_s = -1", "c.toml:2: [slo]: ttft_s: expected a number of seconds above 0, got -1.0"),
        ("ttft_s = nan", "c.toml:2: [slo]: ttft_s: expected a number of seconds above 0, got nan"),
        ("share = 95", "c.toml:2: [slo]: share: expected a share above 0 and up to 1, got 95.0"),
        ("ttft = 0.2", "c.toml:2: [slo]: unknown key 'ttft'; did you mean 'ttft_s'?"),
    ],
)
def test_values_of_the_file_that_mean_nothing(slo: str, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(slo)
    assert str(error.value) == expected


def test_objectives_of_a_race_are_an_error_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"objectives .* are for the requests of a load, and this is a race .* use "):
        read("ttft_s = 0.2", load="").plan()
    assert read("ttft_s = 0.2", load="requests = 40").plan().slo.ttft_s == 0.2


def test_goodput_as_the_metric_that_counts() -> None:
    """It needs objectives and a closed loop, in which the server decides it."""
    run = "[run]\nmetric = 'goodput'\n"
    closed, opened = "[load]\nconcurrency = 4\n", "[load]\nrequest_rate = 2\n"

    def plan(text: str) -> Any:
        return parse(f"{run}{text}{ONE}", source="c.toml", folder=Path("/configs"), environ={}).plan()

    assert plan(f"{closed}[slo]\nttft_s = 0.2\n").config.metric == "goodput"
    with pytest.raises(
        ConfigError, match="metric: goodput counts the requests that keep objectives, and there are none"
    ):
        plan(closed)
    with pytest.raises(ConfigError, match="metric: in an open loop the request rate decides goodput"):
        plan(f"{opened}[slo]\nttft_s = 0.2\n")
    with pytest.raises(ConfigError, match="metric: goodput is of a load, and this is a race"):
        plan("")
    with pytest.raises(ConfigError, match=r"metric: expected one of .*'goodput', got 'attainment'"):
        parse(f"[run]\nmetric = 'attainment'\n{closed}{ONE}", source="c.toml", folder=Path("/"), environ={})


@pytest.mark.parametrize(
    ("slo", "end"),
    [
        ("", " after 2 warm-up turns"),
        ("ttft_s = 0.2", "; objective: TTFT 200 ms, kept by 95% of the requests"),
        (
            "ttft_s = 0.2\ntpot_s = 0.05\nlatency_s = 5\nshare = 0.999",
            "; objectives: TTFT 200 ms, TPOT 50 ms, latency 5 s, kept by 99.9% of the requests",
        ),
    ],
)
def test_the_load_is_said_back_with_its_objectives(slo: str, end: str) -> None:
    assert load_sentence(read(slo).plan()).endswith(end)


def test_several_words_of_goodput_are_one_value() -> None:
    """As vLLM and AIPerf take them; what to race may follow."""
    words = ["a.toml", "--goodput", "ttft:200", "tpot:50", "localhost:8000", "e2el:3"]
    assert goodput_words(words) == ["a.toml", "--goodput", "ttft:200 tpot:50", "localhost:8000", "e2el:3"]
    assert goodput_words(["--goodput=ttft:200", "e2el:1", "-q"]) == ["--goodput=ttft:200 e2el:1", "-q"]
    assert goodput_words(["--goodput", "-q"]) == ["--goodput", "-q"]
