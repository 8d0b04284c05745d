"""Objectives and shares of requests as texts. Pure."""

from __future__ import annotations

from llmtui.model import Objective, Slo
from llmtui.text.format import DASH

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
