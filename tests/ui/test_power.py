"""Power in the panel and the details: a line where it was measured, and nothing elsewhere."""

from __future__ import annotations

from llmtui.model import Power
from llmtui.stats.running import Running
from llmtui.ui.text.spans import Line
from llmtui.ui.views.power import power_facts, power_lines, summary_facts
from tests import build


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


POWER = Power(
    meters=["NVIDIA H200", "package-0"],
    seconds=2.0,
    gpu_use=0.97,
    gpu_memory_bytes=70_000_000_000,
    watts=512.0,
    joules=1024.0,
    joules_error=25.0,
    idle_watts=140.0,
    joules_above_idle=744.0,
    joules_per_token=16.0,
    joules_per_token_error=0.390625,
    joules_per_token_above_idle=11.625,
)


def test_the_facts_of_an_iteration() -> None:
    assert power_facts(POWER) == [
        "16.0 ± 0.391 J/token, 11.6 above idle",
        "512 W (idle 140)",
        "1024 ± 25.0 J of NVIDIA H200 + package-0",
        "GPU 97% busy, 70.0 GB",
    ]
    assert power_facts(None) == power_facts(Power()) == []


def test_the_medians_of_a_backend() -> None:
    summary = Running([build.answered("a", n, power=POWER) for n in (1, 2, 3)]).summary
    assert summary_facts(summary) == ["16.0 J/token (16.0 to 16.0)", "512 W (512 to 512)"]
    assert [text_of(line) for line in power_lines(summary, 24, "")] == ["16.0 J/token       512 W"]
    assert [text_of(line) for line in power_lines(summary, 14, "")] == ["16.0 J/token"]


def test_nothing_without_meters() -> None:
    summary = Running([build.answered("a", 1)]).summary
    assert summary_facts(summary) == []
    assert power_lines(summary, 24, "") == []


def test_use_without_energy_has_no_line_in_a_panel() -> None:
    assert power_lines(Running([build.answered("a", 1, power=Power(gpu_use=0.5))]).summary, 24, "") == []
    assert power_facts(Power(gpu_use=0.5)) == ["GPU 50% busy"]
