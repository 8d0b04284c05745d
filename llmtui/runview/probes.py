"""What short requests beside the load waited for, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from llmtui.model import Level
from llmtui.model.turn import Percentiles
from llmtui.runview.backend import BackendView
from llmtui.runview.level_figures import LevelFigures
from llmtui.runview.level_sentences import at_each_level
from llmtui.runview.run import RunView
from llmtui.text.format import figure, plural

#: From this many probes for each request of the load on, the probes change what they measure.
MUCH = 0.5


class Calmest(NamedTuple):
    """The probe of a backend at the level with the least load, to see beside that of the others."""

    level: Level
    probe: Percentiles


def calmest(backend_view: BackendView, levels: Iterable[Level], attempt: int) -> Calmest | None:
    """Return the probe of an attempt at the level with the least load that has one, None without any."""
    for level in sorted(levels, key=lambda level: level.rate if level.open else level.streams):
        if (probe := backend_view.at_level(level.number, attempt).probe) is not None:
            return Calmest(level, probe)
    return None


def probe_sentences(run_view: RunView) -> list[str]:
    """Return a sentence for each backend and level that was probed: plain text."""
    return at_each_level(run_view, probe_words)


def probe_words(figures: LevelFigures) -> str:
    """Return "a short request beside the load waited 41 ms for its token (p50, n = 30); ..."; "" without probes."""
    if not figures.probes:
        return ""
    failed = f"{figures.probes_failed} of {plural(figures.probes, 'probe')} failed" if figures.probes_failed else ""
    if figures.probe is None:
        return failed
    tail = f", p95 {figure(figures.probe.p95, 's')}" if figures.probe.p95 is not None else ""
    said = (
        f"a short request beside the load waited {figure(figures.probe.p50, 's')} for its token (p50{tail}, "
        f"n = {figures.probe.n})"
    )
    if figures.ttft is not None:
        said += f", one of the load {figure(figures.ttft.p50, 's')}"
    if figures.probes >= MUCH * figures.requests:
        much = f"{plural(figures.probes, 'probe')} beside {plural(figures.requests, 'request')}"
        said += f"; {much} are a load of their own: set a lower probe_rate"
    return f"{said}; {failed}" if failed else said
