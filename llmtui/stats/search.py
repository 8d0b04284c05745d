"""Which level a search probes next, and what it has found: for the knee, or for the most streams."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.model import Load, Slo
from llmtui.stats import knee, most_streams
from llmtui.stats.probes import Probe


def next_probe(probes: Sequence[Probe], load: Load, slo: Slo) -> int | None:
    """Return the streams of a backend's next probe, None if its search is at its end. `probes` are in ascending order.

    A level that has been probed is never asked for again.
    """
    if load.search == "slo":
        return most_streams.next_probe(probes, load, slo.share)
    return knee.next_probe(probes, load)


def doubles(probes: Sequence[Probe], streams: int) -> bool:
    """Whether a next probe at this number of streams is beyond all probes so far."""
    return all(probe.streams < streams for probe in probes)


def probes_left(probes: Sequence[Probe], load: Load) -> int:
    """Return how many more probes of a backend that has not ended its search there are at most."""
    return max(0, load.most_levels - len(probes))
