"""The settings of the original experiment with real engines: the checks name why it is unfair."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec
import pytest

from llmtui.model import Backend
from llmtui.runview.run import RunView
from llmtui.stats.checks import Entry, Evidence, checks, leading_metric
from llmtui.stats.checks.base import VOID_SHARE
from llmtui.stats.checks.length import ODD_ROUNDS
from tests.engine.helpers import engine_for, plan_of
from tests.stats.build import OF_THE_MACHINE

#: How long a race may take, in s.
DEADLINE_S = 600.0

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Backend]:
    """Two embedded engines; other runs are hidden."""
    pytest.importorskip("xllamacpp", reason="needs llmtui[local]")
    pytest.importorskip("mistralrs", reason="needs llmtui[local]")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return [Backend(name="llama.cpp", embedded="llama.cpp"), Backend(name="mistral.rs", embedded="mistral.rs")]


async def test_original_experiment_is_unfair(backends: list[Backend]) -> None:
    """Three embedded engines, answers without a limit, and the same prompt each time."""
    if importlib.util.find_spec("torch") and importlib.util.find_spec("transformers"):
        backends.append(Backend(name="HuggingFace", embedded="transformers"))
    uncapped = {"max_tokens": 400, "full_length": False, "fresh_prompt": False}
    plan = plan_of(*backends, iterations=3, warmup=1, timeout_s=120.0, load_timeout_s=300.0, **uncapped)
    async with engine_for(plan) as run:
        run_view = await run.until_done(DEADLINE_S)
    entries = [
        Entry(backend_view.backend, backend_view.state, Evidence(backend_view.current))
        for backend_view in run_view.backends.values()
    ]
    by_code = {c.code: c for c in checks(entries, plan.config, run_view.machine)}
    cache = by_code["prefix-cache"]
    assert (cache.level, cache.between("llama.cpp", "mistral.rs")) == ("void", True)
    assert "llama.cpp 9" in cache.text  # 40 of 41 tokens
    assert set(by_code["stop-reason"].backends) == set(run_view.backends)
    assert by_code["bridge"].backends == ["mistral.rs"]
    written = {backend_view.summary.output_tokens_median or 0 for backend_view in run_view.backends.values()}
    if max(written) > 1.1 * min(written):
        assert by_code["output-tokens"].level == "void"
    says_why(run_view)
    if len(backends) == 3:
        assert by_code["weights"].between("HuggingFace", "llama.cpp")
    assert leading_metric(list(by_code.values()), "ttft", "llama.cpp", "mistral.rs").metric == "tokens_per_s"


async def test_uncapped_answers_are_unfair_by_their_lengths(backends: list[Backend]) -> None:
    """No cache helps here, the medians are both the cap and the means alike: the rounds tell.

    What is asked differs by the run's name: this one's answers are apart in five of its sixteen rounds.
    """
    plan = plan_of(*backends, iterations=16, max_tokens=100, full_length=False, timeout_s=120.0, load_timeout_s=300.0)
    async with engine_for(msgspec.structs.replace(plan, run="bbbbbbbb")) as run:
        run_view = await run.until_done(DEADLINE_S)
    one, two = ([i.output_tokens or 0 for i in backend_view.measured] for backend_view in run_view.backends.values())
    apart = sum(max(pair) > (1 + VOID_SHARE) * min(pair) for pair in zip(one, two, strict=True))
    assert apart > ODD_ROUNDS, (one, two)  # otherwise this processor rounds differently
    entries = [
        Entry(backend_view.backend, backend_view.state, Evidence(backend_view.current))
        for backend_view in run_view.backends.values()
    ]
    by_code = {c.code: c for c in checks(entries, plan.config, run_view.machine)}
    check = by_code["output-tokens"]
    assert (check.level, check.backends, check.spoils) == ("void", ["llama.cpp", "mistral.rs"], ["latency"])
    says_why(run_view)


def says_why(run_view: RunView) -> None:
    """No pair is decided by latency, and each sentence has the reason."""
    verdict = run_view.verdict()
    for pair in verdict.pairs:
        assert pair.leading.instead_of == "latency"
        assert pair.sentence.startswith(f"{pair.one} and {pair.two}: not comparable by latency (")
        assert pair.leading.reason in [c.text for c in verdict.checks if c.level == "void"]
    assert verdict.line.startswith("not comparable by latency: ")


async def test_default_config_is_fair_except_for_the_bridge(backends: list[Backend]) -> None:
    """Two engines with the same weights and the default config."""
    plan = plan_of(*backends, iterations=6, max_tokens=24, timeout_s=120.0, load_timeout_s=300.0)
    async with engine_for(plan) as run:
        run_view = await run.until_done(DEADLINE_S)
    entries = [
        Entry(backend_view.backend, backend_view.state, Evidence(backend_view.current))
        for backend_view in run_view.backends.values()
    ]
    reported = checks(entries, plan.config, run_view.machine)
    # The load of this machine and the rounding of engines may vary.
    aside = OF_THE_MACHINE | {"cold-start", "drift", "outliers", "answers-differ"}
    assert [c for c in reported if c.code not in aside and c.code != "bridge"] == []
    assert {c.level for c in reported if c.code == "bridge"} == {"warning"}
