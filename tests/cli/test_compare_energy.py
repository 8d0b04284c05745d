"""`llmtui compare` of runs with energy: text, JSON and Markdown; and a run without energy has nothing of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmtui.cli.compare import compare_runs
from llmtui.model import Power
from llmtui.store.open import open_store
from tests.cli.histories import NOISE
from tests.store import runs


def add(file: Path, run: str, joules: float, *, meters: tuple[str, ...] = ("package-0",), tokens: int = 3) -> None:
    """Write a run of `a`, which took about this many J/token, and of `b`, of which no energy is known."""
    store, _ = open_store(file)
    with store:
        store.begin(runs.plan(run, "a", "b", warmup=0, iterations=10), runs.MACHINE)
        for number in range(1, 11):
            taken = joules * (1 + NOISE[number % 10])
            power = Power(meters=list(meters), joules_per_token=taken, joules_per_token_error=0.01)
            known = {"finish_reason": "length", "output_tokens": tokens, "tokens_per_s": 40.0}
            store.save_iteration(runs.iteration(run, "a", number, power=power, **known))
            store.save_iteration(runs.iteration(run, "b", number, **known))
        for name in "ab":
            store.save_state(run, runs.state(name, planned=10))
        store.finish(run, "done")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", 0.5)
    add(file, "bbbb2222", 0.4)
    add(file, "cccc3333", 0.5, meters=("card", "package-0"))
    add(file, "dddd4444", 0.4, tokens=2)
    return file


def sentence(history: Path, a: str, b: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert compare_runs(a, b, str(history)) == 0
    text = " ".join(capsys.readouterr().out.split())
    return text[text.index("a: energy per token") :]


def test_energies_in_words(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence(history, "aaaa", "bbbb", capsys)
    assert said.startswith("a: energy per token: A 0.500 ± 0.01")
    assert ": B took 20% less, beyond both errors together the errors of energies are those within each run" in said
    assert "b: energy" not in said


def test_what_does_not_compare(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence(history, "aaaa", "cccc", capsys)
    assert "not compared: different meters (A is of package-0, B is of card + package-0)" in said
    assert "the errors of energies" not in said
    assert "not compared: different numbers of output tokens" in sentence(history, "aaaa", "dddd", capsys)


def test_json_and_markdown(history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_runs("aaaa", "bbbb", str(history), json_file=Path("-"), markdown=tmp_path / "c.md") == 0
    [energy] = json.loads(capsys.readouterr().out)["energy"]
    assert (energy["a"], energy["shown"], energy["reason"]) == ("a", "less", "")
    assert energy["energy_a"]["n"] == 10 and energy["energy_b"]["meters"] == ["package-0"]
    assert energy["change"] == pytest.approx(-0.2, abs=0.001)
    assert "- `a: energy per token: A 0.500" in (tmp_path / "c.md").read_text()


def test_two_backends_of_one_run(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_runs("aaaa", "aaaa", str(history), named=["a=b"]) == 0
    assert "energy per token: a 0.500 ± " in (out := capsys.readouterr().out)
    assert "not compared: b has no energy" in " ".join(out.split())
