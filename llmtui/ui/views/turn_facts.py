"""What the details say of one turn of a load, in the place of a token timeline."""

from __future__ import annotations

from llmtui.model import Turn
from llmtui.model.turn import Percentiles
from llmtui.text.format import figure, percent_text, plural
from llmtui.ui.text.spans import Line, wrap


def turn_lines(turn: Turn, width: int, rows: int) -> list[Line]:
    """The facts of a turn in at most `rows` lines."""
    texts = wrap(";  ".join(turn_facts(turn)), max(1, width - 1), max(1, rows))
    return [((" " + text, ""),) for text in texts[:rows]]


def turn_facts(turn: Turn) -> list[str]:
    """The facts of a turn, the most important first."""
    counts = (
        (turn.failed, "failed"),
        (turn.refused, "refused"),
        (turn.timed_out, "timed out"),
        (turn.unfinished, "unfinished"),
    )
    bad = "".join(f", {count} {word}" for count, word in counts if count)
    facts = [f"{plural(turn.requests, 'request')}: {turn.finished} answered{bad}"]
    if turn.state != "whole":
        facts.append("partial: stopped before its end, so it is not compared")
    if turn.in_flight is not None:
        facts.append(f"{turn.in_flight:.1f} in flight")
    for quantity, title in (("ttft", "TTFT"), ("tpot", "TPOT"), ("latency", "latency")):
        if (of := turn.percentiles.get(quantity)) is not None:  # type: ignore[call-overload]
            facts.append(_percentiles(title, of))
    if turn.late_s is not None:
        late = f", {figure(turn.late_p99_s, 's')} at most" if turn.late_p99_s is not None else ""
        facts.append(f"sent late by {figure(turn.late_s, 's')}{late}")
    if turn.settled:
        facts.append(f"{plural(turn.settled, 'request')} before the window")
    if turn.window_s is not None:
        facts.append(f"window {figure(turn.window_s, 's')}")
    facts += ["no steady state"] if turn.unsettled else []
    if turn.drifts and turn.drift is not None:
        facts.append(f"TPOT rose by {percent_text(turn.drift)} within the turn")
    facts += ["beyond capacity: the queue went on growing"] if turn.beyond_capacity else []
    return facts


def _percentiles(title: str, of: Percentiles) -> str:
    high = "".join(
        f", {name} {figure(value, 's')}" for name, value in (("p95", of.p95), ("p99", of.p99)) if value is not None
    )
    return f"{title} p50 {figure(of.p50, 's')}{high} (n = {of.n})"
