"""A grid against truth servers: each level has its lengths, each variant its server."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest

from llmtui.config.places import Place
from llmtui.config.sweeps import Sweep, with_cells, with_variants
from llmtui.export.csv import results_csv, turns_csv
from llmtui.export.json import run_json
from llmtui.model import Plan
from llmtui.store.open import open_store
from tests.engine.helpers import engine_for, load_of, truth_backend


def grid(plan: Plan, sweep: Sweep) -> Plan:
    """The plan with this grid."""
    place = Place("c.toml").sweep(0)
    plan = msgspec.structs.replace(plan, load=with_cells(plan.load, sweep, plan.prompts, place))
    return with_variants(plan, sweep, place, 10)


def _rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table)))


@pytest.mark.slow
async def test_a_grid_of_lengths_and_threads() -> None:
    counting = ["--prompt-tokens", "20", "--tokens-per-word", "1.3", "--reasoning", "{threads}"]
    plan = load_of(truth_backend("a", arguments=counting), concurrency=[1, 2], requests=4, iterations=1)
    plan = grid(plan, Sweep(max_tokens=[2, 5], prompt_tokens=[100, 400], threads=[1, 2]))
    assert [backend.name for backend in plan.backends] == ["a threads=1", "a threads=2"]
    async with engine_for(plan) as run:
        view = await run.until_done()
    store, _ = open_store()
    with store:
        turns = [turn for turn in store.load(plan.run).turns if turn.phase == "measured"]
        samples = [(turn, s) for turn in turns for batch in store.requests(turn) for s in batch]
    assert {(turn.backend, turn.level) for turn in turns} == {(b.name, n) for b in plan.backends for n in range(1, 9)}
    for turn, sample in samples:
        level = plan.levels[turn.level - 1]
        assert sample.output_tokens == level.max_tokens
        assert sample.prompt_tokens == pytest.approx(level.prompt_tokens, rel=0.01, abs=1)
    rows = _rows(results_csv(view))
    assert len(rows) == 16
    assert {(row["level"], row["level_max_tokens"], row["level_prompt_tokens"]) for row in rows} >= {
        ("1 stream, 100/2 tokens", "2", "100"),
        ("2 streams, 400/5 tokens", "5", "400"),
    }
    assert {(row["backend"], row["grid_backend"], row["grid_threads"], row["grid_args"]) for row in rows} == {
        ("a threads=1", "a", "1", ""),
        ("a threads=2", "a", "2", ""),
    }
    lengths = {(row["level_max_tokens"], row["level_prompt_tokens"]) for row in _rows(turns_csv(view))}
    assert lengths == {("2", "100"), ("5", "100"), ("2", "400"), ("5", "400")}
    document = json.loads(run_json(view))
    assert document["variants"]["a threads=1"] == {"of": "a", "model": "", "threads": 1, "args": None}
