"""Which metric to compare by when the work differed."""

from __future__ import annotations

import random
from typing import Any

from llmtui.model import RunConfig
from llmtui.stats.checks import Check, checks, leading_metric, other_rates, spoiled
from llmtui.stats.metrics import MetricKey
from tests.stats.build import MACHINE, alike_on_average, chunks, entry, judged, trio, unlike


def test_unaffected_pair_stays_comparable() -> None:
    findings = trio(output_tokens=[64, 20, 63])
    assert spoiled(findings, "latency") is spoiled(findings, "latency", "a", "b") is findings[0]
    assert spoiled(findings, "latency", "a", "c") is spoiled(findings, "tokens_per_s") is None
    assert leading_metric(findings, "latency", "a", "c").metric == "latency"
    led = leading_metric(findings, "latency", "a", "b")
    assert (led.metric, led.instead_of, led.reason) == ("tokens_per_s", "latency", findings[0].text)


def test_leading_metric_when_the_work_differs() -> None:
    guessed = trio(
        output_tokens=[64, 20, 64], token_source=["usage", "arrivals", "usage"], text=["w" * 99, "w", "w" * 99]
    )
    assert leading_metric(guessed).metric is None, "an arrival may carry several tokens"
    assert other_rates(guessed, leading_metric(guessed)) == ["prefill_tokens_per_s"]
    assert leading_metric(guessed, "latency", "a", "c").metric == "latency"
    assert leading_metric(trio(cached_tokens=[0, 40, 0]), "ttft").metric == "tokens_per_s"
    ended = trio(finish_reason=["length", "stop", "length"], output_tokens=[64, 60, 64])
    assert leading_metric(ended, "ttft").metric == "ttft"
    assert leading_metric(ended, "latency").metric == "tokens_per_s"
    assert leading_metric(ended, "latency", "a", "c").metric == "latency"
    pieces = judged(chunks(64, 64), chunks(64, 32))
    assert leading_metric(pieces, "itl").metric == "tokens_per_s"
    assert leading_metric(pieces, "latency").metric == "latency"
    longer = trio(prompt_tokens=[46, 460, 46])
    assert leading_metric(longer, "ttft").metric == "prefill_tokens_per_s"
    assert leading_metric(longer, "latency").metric == "tokens_per_s"
    assert leading_metric(longer, "tokens_per_s").metric == "tokens_per_s"
    assert leading_metric(longer, "latency", "a", "c").metric == "latency"


def test_other_rates_to_compare_by() -> None:
    def others(findings: list[Check], asked: MetricKey) -> list[MetricKey]:
        return other_rates(findings, leading_metric(findings, asked))

    assert others([], "latency") == []
    assert others(trio(output_tokens=[64, 20, 64]), "latency") == ["prefill_tokens_per_s"]
    assert others(trio(prompt_tokens=[46, 460, 46]), "ttft") == ["tokens_per_s"]
    assert others(trio(cached_tokens=[0, 40, 0]), "latency") == []
    assert others(judged({"model": "one"}, {"model": "two"}), "latency") == []
    nothing = judged({"model": "one"}, {"model": "two"})
    assert leading_metric(nothing).metric is None
    assert leading_metric([]).metric == "latency"


def test_pairs_with_equal_lengths_are_on_the_same_side() -> None:
    entries = [
        entry(name, lambda k, of=of: of(k), turn=turn)
        for turn, (name, of) in enumerate({"a": unlike, "b": alike_on_average, "c": unlike}.items())
    ]
    (check,) = [c for c in checks(entries, RunConfig(iterations=12), MACHINE) if c.code == "output-tokens"]
    assert check.between("a", "b") and check.between("b", "c") and not check.between("a", "c")


def test_random_answer_lengths_are_not_compared_by_latency() -> None:
    """Two equal backends whose answers mostly use their whole budget."""
    rng = random.Random(4)

    def by_chance(_: int) -> dict[str, Any]:
        tokens = rng.choice([300] * 6 + [20, 60, 120, 200])
        return {
            "output_tokens": tokens,
            "latency_s": 0.2 + 0.02 * tokens,
            "finish_reason": "stop" if tokens < 300 else "length",
        }

    for _ in range(100):
        findings = judged({"fields": by_chance}, {"fields": by_chance}, full_length=False, max_tokens=300)
        assert spoiled(findings, "latency") is not None
