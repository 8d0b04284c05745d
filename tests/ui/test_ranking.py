"""The line under the table: the ranking, and what to doubt."""

from __future__ import annotations

from llmtui.model import BackendChanged
from llmtui.ui.text.spans import width_of
from llmtui.ui.views.ranking import doubts, ranking_line
from tests.ui import canned_run as canned
from tests.ui.lines import text_of


def test_synonyms_of_a_quantisation_are_not_a_difference() -> None:
    def differences(weights: str) -> list[str]:
        run_view = canned.run_view(done=10)
        run_view.backends.pop("HuggingFace")
        run_view.apply(BackendChanged(backend=canned.state("llama.cpp", model="smollm2:135m", weights="Q4_K_M")))
        model = "SmolLM2-135M-Instruct.Q4_K_M.gguf"
        run_view.apply(BackendChanged(backend=canned.state("mistral.rs", model=model, weights=weights)))
        return [words for words in doubts(run_view, "latency") if "differ" in words]

    assert differences("Q4_K - Medium") == []
    assert differences("F16") == ["weights differ: F16, Q4_K_M"]


def test_ranking_line_names_the_fastest_and_doubts() -> None:
    line = ranking_line(canned.run_view(), "latency", 120, None)
    assert width_of(line) == 120
    shown = text_of([line])
    assert "llama.cpp 0.9" in shown
    assert "HuggingFace 3." in shown
    assert "weights differ" in shown
    assert "3 of 18 disturbed" in shown
    assert text_of([ranking_line(canned.run_view(), "latency", 80, None)]).rstrip().endswith("weights differ")
