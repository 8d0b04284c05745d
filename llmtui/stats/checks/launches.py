"""Would other launches of the same servers show the same? One launch of each is one sample of what a launch brings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from llmtui.model import Between
from llmtui.stats.between import widened
from llmtui.stats.checks.base import Check, Race, listed
from llmtui.stats.compare import Comparison
from llmtui.stats.metrics import METRICS
from llmtui.text.format import percent_text

#: If the spread of launches is unknown, a difference below this share may well be one between launches.
SMALL_LAUNCH_SHARE = 0.1
#: Launches of one server have differed by a third (Ollama, two cores): shown differences up to this are mentioned.
UNKNOWN_LAUNCH_SHARE = 0.5


def one_launch(race: Race) -> Iterator[Check]:
    """one-launch, launches-unknown: a shown difference may be one between launches.

    The interval over rounds holds for these launches only. With a known spread it is widened by that spread; if it
    then contains 1, other launches may show no difference, or the opposite one.
    """
    unknown = []
    for pair in race.comparisons:
        if not pair.decided or pair.basis == "launches":
            continue
        spread = _spread(race, pair)
        if spread is None:
            unknown += [pair] if pair.ratio - 1 < UNKNOWN_LAUNCH_SHARE else []
        elif math.log(pair.ratio) <= widened(math.log(pair.ratio / pair.low), spread, pair.level):
            yield _within(race, pair, spread)
    if unknown:
        yield _unknown(race, unknown)


def _spread(race: Race, pair: Comparison) -> Between | None:
    both = {pair.slower, pair.faster}
    return next((s.spread for s in race.spreads if {s.one, s.two} == both and s.metric == pair.metric), None)


def _within(race: Race, pair: Comparison, spread: Between) -> Check:
    names = [pair.faster, pair.slower]
    share = percent_text(math.expm1(spread.tau))
    return Check(
        code="one-launch",
        level="note",
        backends=names,
        text=f"{_launches(race, names)}: from launch to launch, the ratio of {listed(names)}"
        f"{METRICS[pair.metric].by} has differed by {share} here (standard deviation of {spread.n} launches), so other "
        "launches may not show this difference",
        todo=_todo(race, names),
        sides=[[pair.faster], [pair.slower]],
    )


def _unknown(race: Race, pairs: Sequence[Comparison]) -> Check:
    least = min(pairs, key=lambda pair: pair.ratio)
    names = [least.faster, least.slower]
    return Check(
        code="launches-unknown",
        level="note",
        backends=list(dict.fromkeys(name for pair in pairs for name in (pair.faster, pair.slower))),
        text=f"{_launches(race, names)}: {listed(names)} differ by {percent_text(least.ratio - 1)}"
        f"{METRICS[least.metric].by}, and how much launches differ here is unknown",
        todo=_todo(race, names),
    )


def _launches(race: Race, names: Sequence[str]) -> str:
    """How many launches of each were measured: a server that was restarted in between has few."""
    restarted = any(len(e.evidence.parts) > 1 for e in race.sampled if e.name in names)
    return "few launches of each" if restarted else "one launch of each"


def _todo(race: Race, names: Sequence[str]) -> str:
    if any(e.backend.launched for e in race.entries if e.name in names):
        return "set launches = 5 in [run]"
    return "restart the servers and measure again, several times"
