"""The columns of power in the CSV files of iterations and turns, all empty where nothing was measured."""

from __future__ import annotations

from llmtui.export.column import Column, Value
from llmtui.export.columns import Result
from llmtui.model import Power
from llmtui.stats.summary import Spread


def _plain(name: str, doc: str, field: str = "") -> Column[Power | None]:
    def of(power: Power | None) -> Value:
        value: Value = getattr(power, field or name) if power is not None else None
        return value

    return Column(name, doc, of)


def _meters(power: Power | None) -> Value:
    return " + ".join(power.meters) if power is not None and power.joules is not None else None


#: Of an iteration of a race, or of the window of a turn.
POWER_COLUMNS: tuple[Column[Power | None], ...] = (
    Column(
        "energy_of", "What the energy is of: cards, processor packages, memory. See `llmtui explain power`.", _meters
    ),
    _plain("gpu_use", "Share of the time that the cards were busy, mean."),
    _plain("gpu_memory_bytes", "Memory in use on the cards, by all processes."),
    _plain("watts", "Mean power."),
    _plain("energy_j", "Energy.", "joules"),
    _plain("energy_error_j", "The most that the interval of the readings can hide of it.", "joules_error"),
    _plain("idle_watts", "Power of the same before the run."),
    _plain("energy_above_idle_j", "Energy above idle.", "joules_above_idle"),
    _plain("energy_per_token_j", "Energy per output token.", "joules_per_token"),
    _plain("energy_per_token_error_j", "Its error.", "joules_per_token_error"),
    _plain("energy_per_token_above_idle_j", "Energy above idle per output token.", "joules_per_token_above_idle"),
    _plain("energy_per_token_above_idle_error_j", "Its error.", "joules_per_token_above_idle_error"),
)


def _median(name: str, doc: str, field: str) -> Column[Result]:
    def of(result: Result) -> Value:
        spread: Spread | None = getattr(result.summary, field)
        return spread.median if spread is not None else None

    return Column(name, doc, of)


#: Of a backend, in a load of its turns at a level.
POWER_RESULT_COLUMNS: tuple[Column[Result], ...] = (
    _median("watts_median", "Median of the mean power. Empty where no power was measured.", "watts"),
    _median("energy_per_token_median_j", "Median energy per output token.", "joules_per_token"),
    _median(
        "energy_per_token_above_idle_median_j",
        "The same above the idle power before the run.",
        "joules_per_token_above_idle",
    ),
)
