"""What the details say of one turn of a load in the place of a token timeline, and of one of its requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmtui.model import Iteration, Slo, Tick, Turn
from llmtui.model.turn import Percentiles
from llmtui.stats.objectives import judge
from llmtui.stats.turn_figures import late_s, outcome
from llmtui.text import sanitize
from llmtui.text.format import DASH, figure, percent_text, plural
from llmtui.ui.text.spans import Line, wrap
from llmtui.ui.views.beside import turn_texts
from llmtui.ui.views.power import power_facts

#: The most lines of the facts of a turn.
_MOST_LINES = 8
#: The most characters of the name of a worker.
_MOST_NAME = 40
#: How an objective is called, by its key.
_TITLES: Mapping[str, str] = {"ttft": "TTFT", "tpot": "TPOT", "latency": "latency"}


def turn_lines(turn: Turn, width: int, rows: int, slo: Slo | None = None, below: Sequence[Line] = ()) -> list[Line]:
    """The facts of a turn in at most `rows` lines. `slo` are the objectives of its load.

    `below` are lines on its level, which are shown below if they fit.
    """
    if below:
        texts = wrap(";  ".join(turn_facts(turn, slo, talks=False)), max(1, width - 1), _MOST_LINES)
        if len(texts) + len(below) <= rows:
            return [*(((" " + text, ""),) for text in texts), *below]
    texts = wrap(";  ".join(turn_facts(turn, slo)), max(1, width - 1), max(1, rows))
    return [((" " + text, ""),) for text in texts[:rows]]


def turn_facts(turn: Turn, slo: Slo | None = None, talks: bool = True) -> list[str]:
    """The facts of a turn, the most important first: only those that exist. `talks`: also by question."""
    facts = [_outcomes(turn), *_doubts(turn), *_objectives(turn, slo)]
    if turn.output_tokens_per_s is not None:
        facts.append(f"output {figure(turn.output_tokens_per_s, 'tokens/s')}")
    if turn.requests_per_s is not None:
        rate, sent = figure(turn.requests_per_s, "requests/s"), figure(turn.delivered_rate, "requests/s")
        facts.append(f"{rate} answered" + (f", {sent} sent" if sent not in (DASH, rate) else ""))
    facts += turn_texts(turn, talks)
    if turn.in_flight is not None:
        never = "never more than" if turn.workers > 1 else "at most"  # of several workers it is only an upper bound
        most = f", {never} {turn.in_flight_most}" if turn.in_flight_most is not None else ""
        facts.append(f"{turn.in_flight:.1f} in flight{most}")
    for quantity, title in _TITLES.items():
        if (of := turn.percentiles.get(quantity)) is not None:  # type: ignore[call-overload]
            facts.append(_percentiles(title, of))
    facts += _queue(turn)
    facts += _workers(turn)
    facts += power_facts(turn.power)
    if turn.window_s is not None:
        facts.append(f"window {figure(turn.window_s, 's')}")
    if turn.settled:
        facts.append(f"{plural(turn.settled, 'request')} before the window")
    if turn.ended_early:
        facts.append(f"{plural(turn.ended_early, 'answer')} ended before the token budget")
    if turn.little_residual is not None:
        share = percent_text(abs(turn.little_residual))
        facts.append(f"Little's law: requests in flight and rate times latency differ by {share}")
    return facts


def under_way(tick: Tick, levels: Sequence[str]) -> str:
    """Say which turn is under way, how far it is, and that its requests cannot be shown yet."""
    which = "warm-up turn" if tick.phase == "warmup" else f"round {tick.round}"
    counted = f"{tick.counted} of {tick.requests}" if tick.requests else str(tick.counted)
    return f"{which} at {levels[tick.level - 1]}: {counted} requests; they are listed when it has ended"


def _outcomes(turn: Turn) -> str:
    counts = (
        (turn.failed, "failed"),
        (turn.refused, "refused"),
        (turn.timed_out, "timed out"),
        (turn.unfinished, "unfinished"),
    )
    bad = "".join(f", {count} {word}" for count, word in counts if count)
    return f"{plural(turn.requests, 'request')}: {turn.finished} answered{bad}"


def _doubts(turn: Turn) -> list[str]:
    """Why the figures are not those of a steady server."""
    facts = ["partial: stopped before its end, so it is not compared"] if turn.state != "whole" else []
    facts += ["beyond capacity: the queue went on growing"] if turn.beyond_capacity else []
    facts += ["no steady state"] if turn.unsettled else []
    if turn.drifts and turn.drift is not None:
        facts.append(f"TPOT rose by {percent_text(turn.drift)} within the turn")
    return facts


def _objectives(turn: Turn, slo: Slo | None) -> list[str]:
    """How many of the requests kept the objectives."""
    if turn.attainment is None and not turn.undetermined:
        return []
    unknown = f", {turn.undetermined} undetermined" if turn.undetermined else ""
    share = f" ({percent_text(turn.attainment)})" if turn.attainment is not None else ""
    facts = [f"objectives: {turn.kept} kept, {turn.missed} missed{unknown}{share}"]
    for objective, counts in turn.objectives.items() if len(turn.objectives) > 1 else ():
        limit_s = slo.limits.get(objective) if slo is not None else None
        limit = f" within {figure(limit_s, 's')}" if limit_s is not None else ""
        facts.append(f"{_TITLES[objective]}{limit}: {counts[0]} kept, {counts[1]} missed")
    if turn.goodput_per_s is not None:
        facts.append(f"goodput {figure(turn.goodput_per_s, 'requests/s')}")
    return facts


def _queue(turn: Turn) -> list[str]:
    """How late requests were sent, and how long they waited for the cap: in an open loop only."""
    facts = []
    if turn.late_s is not None:
        late = f", p99 {figure(turn.late_p99_s, 's')}" if turn.late_p99_s is not None else ""
        facts.append(f"sent late by {figure(turn.late_s, 's')}{late}")
    if turn.late_from_s is not None:
        facts.append(f"llmtui was late with all requests from {figure(turn.late_from_s, 's')} on")
    if turn.waiting_s:
        facts.append(f"{figure(turn.waiting_s, 's')} waiting for the cap")
    if turn.scheduled_latency_s is not None:
        facts.append(f"latency since due {figure(turn.scheduled_latency_s, 's')}")
    return facts


def _workers(turn: Turn) -> list[str]:
    """What each worker of a cluster measured, how far it is from the server, and its own error."""
    facts = []
    for worker in turn.by_worker:
        figures = [plural(worker.requests, "request")]
        if worker.ttft_s is not None:
            figures.append(f"TTFT p50 {figure(worker.ttft_s, 's')}")
        if worker.connect_s is not None:
            figures.append(f"a connection {figure(worker.connect_s, 's')}")
        if worker.clock_within_s:
            figures.append(f"clock within {figure(worker.clock_within_s, 's')}")
        if worker.own_error_s is not None:
            figures.append(f"own error {figure(worker.own_error_s, 's')} (p95)")
        facts.append(f"worker {sanitize(worker.name, _MOST_NAME)}: {', '.join(figures)}")
    return facts


def _percentiles(title: str, of: Percentiles) -> str:
    high = "".join(
        f", {name} {figure(value, 's')}" for name, value in (("p95", of.p95), ("p99", of.p99)) if value is not None
    )
    return f"{title} p50 {figure(of.p50, 's')}{high} (n = {of.n})"


# --- A request ---


def request_name(request: Iteration) -> str:
    """The number of a request, with its prompt's name if it has one."""
    prompt = f", prompt {sanitize(request.prompt, 40)}" if request.prompt else ""
    return f"request {request.request}{prompt}"


def request_facts(request: Iteration, slo: Slo | None) -> list[str]:
    """When a request was sent, and whether it kept the objectives."""
    facts = []
    if request.written_s is not None:
        part = f" ({request.share})" if request.share else ""
        facts.append(f"sent {figure(request.written_s, 's')} after the turn began{part}")
    if request.due_s is not None:
        waited = f", {figure(request.waited_s, 's')} waiting for the cap" if request.waited_s else ""
        late = f", {figure(late, 's')} late" if (late := late_s(request)) else ""
        facts.append(f"due at {figure(request.due_s, 's')}{waited}{late}")
    if request.in_flight is not None:
        facts.append(f"{request.in_flight} in flight")
    if (word := outcome(request)) == "unfinished":
        facts.append(word)
    for objective, judgement in (judge(request, slo) if slo is not None else {}).items():
        limit = figure(slo.limits[objective], "s") if slo is not None else ""
        facts.append(f"{_TITLES[objective]} within {limit}: {judgement}")
    return facts
