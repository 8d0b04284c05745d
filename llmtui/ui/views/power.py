"""What the monitor says of power and energy: nothing where none was measured."""

from __future__ import annotations

from rich.cells import cell_len

from llmtui.model import Power
from llmtui.stats.summary import Spread, Summary
from llmtui.text import sanitize
from llmtui.text.format import figure_parts
from llmtui.ui.text.format import memory
from llmtui.ui.text.spans import Line, Role, clip, justify


def power_facts(power: Power | None) -> list[str]:
    """The facts of an iteration, or of the window of a turn, the most important first."""
    if power is None:
        return []
    facts = []
    if power.joules_per_token is not None:
        above = power.joules_per_token_above_idle
        rest = f", {_number(above)} above idle" if above is not None else ""
        facts.append(f"{_with_error(power.joules_per_token, power.joules_per_token_error)} J/token{rest}")
    if power.watts is not None:
        idle = f" (idle {_number(power.idle_watts)})" if power.idle_watts is not None else ""
        facts.append(f"{_number(power.watts)} W{idle}")
    if power.joules is not None:
        of = f" of {sanitize(' + '.join(power.meters), 80)}" if power.meters else ""
        facts.append(f"{_with_error(power.joules, power.joules_error)} J{of}")
    if power.gpu_use is not None:
        used = f", {memory(power.gpu_memory_bytes)}" if power.gpu_memory_bytes is not None else ""
        facts.append(f"GPU {power.gpu_use:.0%} busy{used}")
    return facts


def summary_facts(summary: Summary) -> list[str]:
    """The medians of a backend with their ranges."""
    facts = []
    for spread, unit in ((summary.joules_per_token, "J/token"), (summary.watts, "W")):
        if spread is not None:
            facts.append(f"{_number(spread.median)} {unit} ({_number(spread.min)} to {_number(spread.max)})")
    return facts


def power_lines(summary: Summary, width: int, role: Role) -> list[Line]:
    """The line of a panel: energy per token and power, medians; no line without them."""
    energy = _text(summary.joules_per_token, "J/token")
    watts = _text(summary.watts, "W")
    if energy and watts and cell_len(energy) + cell_len(watts) + 1 <= width:
        return [justify([(energy, role)], [(watts, role)], width)]
    text = energy or watts
    return [((clip(text, width), role),)] if text else []


def _text(spread: Spread | None, unit: str) -> str:
    return f"{_number(spread.median)} {unit}" if spread is not None else ""


def _with_error(value: float, error: float | None) -> str:
    return _number(value) if error is None else f"{_number(value)} ± {_number(error)}"


def _number(value: float | None) -> str:
    """Three digits or more, as every figure on screen."""
    return figure_parts(value, "requests/s")[0]
