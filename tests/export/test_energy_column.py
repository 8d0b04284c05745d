"""Energy per token in the summary: a column where it was measured, and nothing elsewhere."""

from __future__ import annotations

import pytest

from llmtui.export.markdown import run_markdown
from llmtui.export.table import summary_table
from llmtui.model import IterationDone, Power
from llmtui.runview.run import RunView
from tests import build, loads

ENERGY = Power(meters=["package-0"], joules_per_token=0.525, joules_per_token_error=0.01)


def race(power: Power | None, rounds: int = 8) -> RunView:
    """Two backends; the energy of the first is known, or that of none."""
    view = build.run_view(build.plan("one", "two", iterations=8), keep=0)
    for number in range(1, rounds + 1):
        known = {"ttft_s": 0.1, "tokens_per_s": 70.0}
        view.apply(IterationDone(iteration=build.answered("one", number, 1.0 + number / 100, power=power, **known)))
        view.apply(IterationDone(iteration=build.answered("two", number, 2.0 + number / 100, **known)))
    for name in ("one", "two"):
        view.apply(build.changed(name, planned=8))
    return view


def load(power: Power | None) -> RunView:
    return loads.raced({"one": 1.0, "two": 0.5}, rounds=3, fields={"one": {"power": power}})


def energies(view: RunView) -> dict[str, str]:
    """The cell of each backend in the column of the first row that has it."""
    heading, *lines = summary_table(view, 140).splitlines()[1:]
    end = heading.index("J/token") + len("J/token")
    rows = {name: next(line for line in lines if name in line[:20]) for name in view.backends}
    return {name: row[:end].split()[-1] for name, row in rows.items()}


@pytest.mark.parametrize(("view", "without"), [(race(ENERGY), race(None)), (load(ENERGY), load(None))])
def test_a_column_where_it_was_measured(view: RunView, without: RunView) -> None:
    assert energies(view) == {"one": "0.525", "two": "-"}
    assert "J/token |" in run_markdown(view)
    for text in (summary_table(without, 200), run_markdown(without)):
        assert "J/token" not in text


def test_nothing_of_it_before_the_first_sample() -> None:
    assert "J/token" not in summary_table(race(None, rounds=0), 200)


def test_the_table_of_eighty_columns_has_room_for_it() -> None:
    heading = summary_table(race(ENERGY), 80).splitlines()[1]
    assert all(word in heading for word in ("median", "TTFT", "tok/s", "J/token", "vs best"))
