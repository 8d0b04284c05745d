"""An earlier run beside this one: only what is comparable has a median."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from llmtui.cli.history import earlier_run
from llmtui.cli.open import open_run
from llmtui.model.errors import UsageError
from llmtui.runview.against import Against
from llmtui.runview.run import RunView
from llmtui.store.open import open_store
from llmtui.ui.views.table import table_lines
from tests.cli.histories import add
from tests.store import runs
from tests.ui.lines import text_of


def view_of(file: Path, name: str) -> RunView:
    with open_store(file)[0] as store:
        stored = store.load(name)
    run_view = RunView(stored.plan)
    run_view.apply(stored.hello())
    return run_view


def beside(file: Path, earlier: str, now: str) -> tuple[Against, RunView]:
    against, run_view = earlier_run(earlier, str(file)), view_of(file, now)
    assert against is not None
    run_view.against = against
    return against, run_view


def test_a_backend_of_the_same_name_has_its_earlier_median(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa0001", {"a": 0.5, "b": 0.8, "only then": 0.9}, label="before")
    add(file, "aaaa0002", {"a": 0.55, "b": 0.8, "only now": 0.9})
    against, run_view = beside(file, "before", "aaaa0002")
    assert against.medians(run_view, "latency") == pytest.approx({"a": 0.5, "b": 0.8}, rel=0.001)
    heading, a, b, other = (text_of([line]) for line in table_lines(run_view, "latency", 120, frozenset(), ""))
    assert "vs before" in heading
    assert "+10.0%" in a and " 0.0%" in b and "%" not in other
    assert against.words(run_view, "latency") == (
        "beside it: the medians of 2 backends in run before; the change between two runs may be the machine's: "
        "llmtui compare aaaa0001 aaaa0002 says what they show"
    )


def test_other_work_is_not_comparable(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa0001", {"a": 0.5}, max_tokens=64)
    add(file, "aaaa0002", {"a": 0.55}, max_tokens=128)
    add(file, "aaaa0003", {"a": 0.5}, max_tokens=64)
    with open_store(file)[0] as store:
        for run, model in (("aaaa0001", "qwen3:8b"), ("aaaa0003", "llama3.2:3b")):
            store.save_state(run, runs.state("a", planned=10, model=model))
    against, run_view = beside(file, "aaaa0001", "aaaa0002")
    assert against.medians(run_view, "latency") == {}
    assert against.medians(run_view, "tokens_per_s").keys() == {"a"}, "a rate is per token"
    headings = text_of(table_lines(run_view, "latency", 120, frozenset(), "")[:1]).split()
    assert headings.count("vs") == 1, "only the column of the best one"
    assert against.words(run_view, "latency").startswith("run aaaa0001 has no backend that is comparable by latency;")
    against, run_view = beside(file, "aaaa0001", "aaaa0003")
    assert against.medians(run_view, "tokens_per_s") == {}, "another model"


def test_a_run_is_not_beside_itself(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa0001", {"a": 0.5})
    with pytest.raises(UsageError, match="--against: 'last' is the same run, aaaa0001; name an earlier one"):
        open_run("aaaa", str(file), "last")


def test_a_wide_label_keeps_the_table_in_line(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa0001", {"a": 0.5}, label="夜间基准")
    add(file, "aaaa0002", {"a": 0.55})
    _, run_view = beside(file, "夜间基准", "aaaa0002")
    heading, row = (text_of([line]) for line in table_lines(run_view, "latency", 120, frozenset(), ""))
    ends = [cell_len(line[: line.index(text) + len(text)]) for line, text in ((heading, "夜间基准"), (row, "+10.0%"))]
    assert ends[0] == ends[1]
