"""Words that real servers provoked: lists that hid what they were about, rests below zero, attempts of other work."""

from __future__ import annotations

import msgspec
import pytest

from llmtui.model import IterationDone, RunConfig, rest_s
from llmtui.model.sample import CLOCK_GRAIN_S
from llmtui.runview.run import RunView
from llmtui.stats.checks import CODES, checks
from llmtui.stats.checks.base import MOST_NAMES, each, listed
from llmtui.ui.views.attempts import attempt_note, attempt_sentence
from llmtui.ui.views.details import clock_lines
from tests import build
from tests.stats.build import MACHINE, entry, judged

MANY = [f"s{number}" for number in range(1, 8)]


def test_the_odd_ones_of_many_are_named() -> None:
    cores = {name: "1.0" for name in MANY} | {"llamafile": "2.0", "mistral.rs": "0.5"}
    assert each(cores) == "llamafile 2.0, mistral.rs 0.5, the other 7: 1.0"
    assert each(dict(list(cores.items())[-4:])) == "s6 1.0, s7 1.0, llamafile 2.0, mistral.rs 0.5"


def test_those_on_the_largest_side_are_one() -> None:
    tokens = {name: str(64 + number / 10) for number, name in enumerate(MANY)} | {"b": "17", "a": "11"}
    text = each(tokens, [["a"], ["b"], MANY])
    assert text == "b 17, a 11, the other 7: 64.0 to 64.6"
    assert each(tokens | dict.fromkeys(MANY[1:], "64.5"), [["a", "b"], MANY]).endswith("the other 7: 64.0 or 64.5")


def test_without_two_that_are_alike_all_are_named() -> None:
    models = {name: f"model {name}" for name in MANY}
    assert all(name in each(models) for name in MANY)
    assert listed(MANY) == "s1, s2, s3, s4, s5, s6 and s7"
    assert "and 2 more" not in each(models)


@pytest.mark.parametrize("odd", range(MOST_NAMES + 3))
def test_a_check_names_the_odd_backend_wherever_it_is(odd: int) -> None:
    """The kind: no check on many backends hides the one that it is about."""
    names = [f"backend-{number}" for number in range(MOST_NAMES + 3)]
    for code, fields, state in (
        ("cores-used", {"server_cpu": 3.0}, {}),
        ("output-tokens", {"output_tokens": 20}, {}),
        ("stop-reason", {"finish_reason": "stop", "output_tokens": 20}, {}),
        ("prompt-tokens", {"prompt_tokens": 460}, {}),
        ("prefix-cache", {"cached_tokens": 40}, {}),
        ("model", {}, {"model": "qwen"}),
        ("weights", {}, {"weights": "Q4_0"}),
        ("threads", {}, {"threads": 9}),
        ("device", {}, {"device": "gpu"}),
    ):
        entries = [
            entry(name, fields if at == odd else {}, turn=at, **(state if at == odd else {}))
            for at, name in enumerate(names)
        ]
        (check,) = [check for check in checks(entries, RunConfig(iterations=12), MACHINE) if check.code == code]
        assert check.code in CODES
        assert f"{names[odd]} " in check.text, code
        assert "more" not in check.text, code


def test_a_rest_within_the_clocks_grain_is_zero() -> None:
    assert rest_s(1.0, 1.001) == 0.0
    assert rest_s(1.0, 0.999) == pytest.approx(0.001)
    assert rest_s(1.0, 1.007) == pytest.approx(-0.007)
    assert rest_s(None, 1.0) is rest_s(1.0, None) is None
    assert CLOCK_GRAIN_S < 0.002, "0.002 to 0.007 s were seen: the token that ends an answer"


def test_a_negative_rest_has_a_reason() -> None:
    timed = build.answered("a", 1, 1.0, ttft_s=0.2, server_prefill_s=0.2, server_decode_s=0.807)
    assert timed.transport_and_client_s == pytest.approx(-0.007)
    text = "\n".join("".join(span for span, _ in line) for line in clock_lines(timed, 100))
    assert "negative: the server's time goes on after the last token" in text
    close = msgspec.structs.replace(timed, server_decode_s=0.8005)
    text = "\n".join("".join(span for span, _ in line) for line in clock_lines(close, 100))
    assert "negative" not in text
    assert "-" not in text.partition("total")[2].partition("other")[0]


def attempts(tokens: int, reason: str, latency_s: float = 0.5) -> RunView:
    """A backend with a second attempt of answers of this length."""
    run_view = build.run_view(build.plan("a", iterations=8, warmup=0))
    for attempt, seconds, count, why in ((1, 1.0, 64, "length"), (2, latency_s, tokens, reason)):
        for number in range(1, 9):
            made = build.answered(
                "a", number, seconds + number / 1000, attempt=attempt, output_tokens=count, finish_reason=why
            )
            run_view.apply(IterationDone(iteration=made))
    run_view.apply(build.changed("a", attempt=2, planned=8))
    return run_view


def test_an_attempt_of_other_work_is_no_change_of_speed() -> None:
    view = attempts(17, "stop").backends["a"]
    assert attempt_note(view, "latency") == "attempt 2: other work"
    sentence = attempt_sentence(view, "latency")
    assert sentence.startswith("attempt 2: median 0.504 s, not comparable to attempt 1 (")
    assert "attempt 2 17" in sentence and "attempt 1 64" in sentence
    assert "%" not in sentence
    assert "%" not in attempt_note(view, "latency")


def test_an_attempt_of_the_same_work_is_compared() -> None:
    view = attempts(64, "length").backends["a"]
    assert attempt_note(view, "latency").startswith("attempt 2: -")
    assert "faster than attempt 1" in attempt_sentence(view, "latency")


def test_prefill_rates_need_counts_of_cached_tokens() -> None:
    """Ollama counts cached tokens as read: its rate was 2.9x that of llama.cpp for that alone."""
    short = {"fields": {"output_tokens": 20}}
    findings = judged(short, {"fields": {"cached_tokens": None}})
    (check,) = [check for check in findings if check.code == "cache-unknown"]
    assert check.backends == ["b"]
    assert check.spoils == ["prefill_tokens_per_s"]
    engines = judged(short, {"fields": {"cached_tokens": None}, "backend": {"embedded": "mistral.rs"}})
    assert "cache-unknown" not in {check.code for check in engines}, "llmtui started it without a cache"
    silent = judged({}, {"fields": {"cached_tokens": None}})
    assert "cache-unknown" not in {check.code for check in silent}, "no rate is compared"
