"""Objectives and shares of requests as texts. Pure."""

from __future__ import annotations

from llmtui.model import Level, Objective, Slo, Turn
from llmtui.stats.attainment import keeps
from llmtui.text.format import DASH, figure

#: The level at which one turn shows that an objective is missed: its requests are not independent.
_SURE = 0.999
OBJECTIVE_TITLES: dict[Objective, str] = {"ttft": "TTFT", "tpot": "TPOT", "latency": "latency"}


def objectives_words(slo: Slo) -> str:
    """Return "objectives: TTFT 200 ms, latency 5 s, kept by 95% of the requests"; "" without any."""
    each = [f"{OBJECTIVE_TITLES[name]} {limit_text(limit_s)}" for name, limit_s in slo.limits.items()]
    noun = "objective" if len(each) == 1 else "objectives"
    return f"{noun}: {', '.join(each)}, kept by {share_text(slo.share)} of the requests" if each else ""


def limit_text(limit_s: float) -> str:
    """Return a limit as it was set: "200 ms", "2.5 s"."""
    return f"{1000 * limit_s:.6g} ms" if limit_s < 1 else f"{limit_s:.6g} s"


def share_text(share: float) -> str:
    """Return the share that an objective asks for: "95%", "99.9%"."""
    return f"{100 * share:.6g}%"


def attained_text(share: float | None) -> str:
    """Return a measured share of requests: "94.2%". It is "100%" and "0%" only if it is that of all and none."""
    if share is None:
        return DASH
    if share in (0, 1):
        return f"{100 * share:.0f}%"
    text = f"{100 * share:.1f}%"
    return f"{100 * share:.2g}%" if text == "0.0%" else f"{100 * share:.5g}%" if text == "100.0%" else text


def missed_from_the_start(turn: Turn, slo: Slo, smallest: Level) -> str:
    """Say which objectives a whole turn at the `smallest` level misses, too clearly for chance; "" if it misses none.

    More load makes a server slower, so no level will keep them.
    """
    if turn.state != "whole":
        return ""
    missed = []
    for objective, counts in turn.objectives.items():
        kept, judged = counts[0], sum(counts[:2])
        if judged and keeps([kept / judged], slo.share, judged, _SURE) == "no":
            value_s: float | None = getattr(turn, f"{objective}_s")
            typical = f", median {figure(value_s, 's')}" if value_s is not None else ""
            share = f"{attained_text(kept / judged)} of the requests kept it"
            missed.append(f"{OBJECTIVE_TITLES[objective]} {limit_text(slo.limits[objective])} ({share}{typical})")
    if not missed:
        return ""
    return f"even at {smallest.title}, the smallest level, it misses {', '.join(missed)}: more load is slower still"
