"""Lines of `llmtui run`: a finished iteration or turn, and the state of a backend. Pure."""

from __future__ import annotations

from llmtui.model import STATE_WORDS, Iteration, Phase, Power, Turn
from llmtui.runview.backend import BackendView
from llmtui.runview.launches import launch_words
from llmtui.runview.objective_words import attained_text
from llmtui.runview.run import RunView
from llmtui.text import sanitize
from llmtui.text.cells import cells_wide, pad
from llmtui.text.format import DASH, Kind, at_point, figure, figure_parts, percent_text, plural


def iteration_line(run_view: RunView, iteration: Iteration) -> str:
    """One iteration on one line: backend, number, latency, TTFT, rate and tokens, or the error."""
    config = run_view.plan.config
    backend = run_view.backends[iteration.backend].backend
    warmups = config.warmups_of(backend, config.iterations, load=bool(run_view.plan.levels))
    head = _head(run_view, iteration.backend, iteration.phase, iteration.iteration, warmups)
    if iteration.error is not None:
        return f"{head}  failed: {sanitize(str(iteration.error))}"
    parts = [_figure(iteration.latency_s, "s")]
    if iteration.in_one_piece:
        parts.append("not streamed: it came in one piece")
    else:
        parts.append(f"TTFT {_figure(iteration.ttft_s, 's', whole=3)}")
    if iteration.tokens_per_s is not None:
        parts.append(_figure(iteration.tokens_per_s, "tokens/s"))
    if iteration.output_tokens is not None:
        counted = " (counted)" if iteration.token_source == "arrivals" else ""
        parts.append(f"{plural(iteration.output_tokens, 'token')}{counted}")
    parts += _energy(iteration.power)
    if iteration.hidden_tokens:
        parts.append(f"{iteration.hidden_tokens} hidden")
    if iteration.refused:
        parts.append(f"after {plural(iteration.refused, 'refusal')}")
    if iteration.repeated:
        parts.append(f"measured again {iteration.repeated}x")
    if iteration.loaded:
        left_out = "left out: " if iteration.phase == "measured" else ""
        parts.append(f"{left_out}the server loaded its model, {figure(iteration.server_load_s, 's')}")
    if iteration.disturbed:
        parts.append(f"busy: other programs used {iteration.foreign_cpu:.1f} cores")
    return f"{head}  " + "  ".join(parts)


def turn_line(run_view: RunView, turn: Turn) -> str:
    """One turn on one line: backend, level, round, rates of all streams, TTFT, TPOT, requests under way, failures."""
    levels = run_view.plan.levels
    launches = run_view.plan.config.launches_of(
        run_view.backends[turn.backend].backend, run_view.plan.config.iterations
    )
    head = _head(run_view, turn.backend, turn.phase, turn.round, launches)
    head += f"  {levels[turn.level - 1].title:>{max(len(level.title) for level in levels)}}"
    parts = []
    if turn.output_tokens_per_s is not None:
        parts.append(f"{_rate(turn.output_tokens_per_s)} output tokens/s")
    if turn.requests_per_s is not None:
        parts.append(f"{_rate(turn.requests_per_s)} requests/s")
    if turn.attainment is not None:
        parts.append(f"kept {attained_text(turn.attainment):>5}")
    if turn.goodput_per_s is not None:
        parts.append(f"goodput {_rate(turn.goodput_per_s)}")
    if (ttft := turn.percentiles.get("ttft")) is not None:
        p95 = f", p95 {figure(ttft.p95, 's')}" if ttft.p95 is not None else ""
        parts.append(f"TTFT p50 {figure(ttft.p50, 's')}{p95} (n = {ttft.n})")
    elif turn.ttft_s is not None:
        parts.append(f"TTFT {figure(turn.ttft_s, 's')}")
    if turn.tpot_s is not None:
        parts.append(f"TPOT {figure(turn.tpot_s, 'ms')}")
    parts += _energy(turn.power)
    if turn.in_flight is not None:
        parts.append(f"{turn.in_flight:.1f} in flight")
    if turn.thinking:
        parts.append(f"{turn.thinking:.1f} thinking")
    if turn.probes:
        parts.append(_probe(turn))
    if turn.late_p99_s is not None:
        parts.append(f"late p99 {figure(turn.late_p99_s, 's')}")
    return f"{head}  " + "  ".join([*parts, *_remarks(turn)])


def _energy(power: Power | None) -> list[str]:
    """Energy per token, where it was measured."""
    if power is None or power.joules_per_token is None:
        return []
    return [f"{figure_parts(power.joules_per_token, 'requests/s')[0]} J/token"]


def _probe(turn: Turn) -> str:
    """The short requests beside the load."""
    failed = f", {turn.probes_failed} of {turn.probes} failed" if turn.probes_failed else ""
    of = turn.percentiles.get("probe")
    return f"probe p50 {figure(of.p50, 's')} (n = {of.n}){failed}" if of is not None else f"probe{failed[1:]}"


def _remarks(turn: Turn) -> list[str]:
    """What a person should know about a turn beside its figures."""
    counts = (
        (turn.failed, "failed"),
        (turn.refused, "refused"),
        (turn.timed_out, "timed out"),
        (turn.unfinished, "unfinished"),
    )
    remarks = [f"{count} {word}" for count, word in counts if count]
    if turn.error is not None:
        remarks.append(f"{'does not count' if turn.spoiled else 'failed'}: {sanitize(str(turn.error))}")
    elif turn.state != "whole":
        remarks.append("partial: stopped before its end, so it is not compared")
    if turn.undetermined:
        remarks.append(f"{turn.undetermined} undetermined")
    if turn.loaded:
        remarks.append(f"the server loaded its model in {plural(turn.loaded, 'request')}")
    if turn.unsettled:
        remarks.append("no steady state")
    if turn.drifts and turn.drift is not None:
        remarks.append(f"TPOT rose by {percent_text(turn.drift)} within the turn")
    if turn.beyond_capacity:
        remarks.append("beyond capacity: the queue went on growing")
    if turn.as_sample.disturbed and turn.foreign_cpu is not None:
        remarks.append(f"busy: other programs used {turn.foreign_cpu:.1f} cores")
    return remarks


def _head(run_view: RunView, name: str, phase: Phase, number: int, warmups: int) -> str:
    """The backend, and which of its iterations or rounds this is."""
    width = max(cells_wide(sanitize(name)) for name in run_view.backends)
    rounds = run_view.plan.config.iterations
    planned = warmups if phase == "warmup" else rounds
    # A server restarted during the run gets further warm-ups, numbered beyond the planned ones.
    of = f"/{planned}" if number <= planned else ""
    place = f"{'warm-up' if phase == 'warmup' else ''} {number}{of}".strip()
    room = max(len(f"warm-up {warmups}/{warmups}"), len(f"{rounds}/{rounds}"), 14)
    return f"{pad(sanitize(name), width)}  {place:>{room}}"


def _figure(value: float | None, kind: Kind, whole: int = 4) -> str:
    """A figure with its unit. In lines below one another, decimal points and units are in line."""
    text, unit = figure_parts(value, kind)
    return DASH.rjust(whole) if text == DASH else f"{at_point(text, whole)} {unit if kind != 'tokens/s' else kind:2}"


def _rate(value: float) -> str:
    """A rate without its unit. In lines below one another, decimal points are in line."""
    return at_point(figure_parts(value, "tokens/s")[0])


def state_line(backend_view: BackendView, launches: int = 1) -> str:
    """A backend's state on one line (a failure with the end of the server's log), "" for states without news.

    `launches` is how often its server is launched.
    """
    state = backend_view.state
    name = sanitize(backend_view.backend.name)
    if state.failure is not None:
        tail = "".join(f"\n    {sanitize(line)}" for line in state.log_tail)
        return f"{name}: {STATE_WORDS[state.state]}: {sanitize(str(state.failure), 600)}{tail}"
    if state.state == "preparing":
        return f"{name}: {sanitize(state.doing)}"
    if state.state == "ready":
        facts = [state.version, state.model, state.weights, plural(state.threads, "thread") if state.threads else ""]
        facts.append(backend_view.slots_words)
        facts.append(f"loaded in {state.load_s:.1f} s" if state.load_s is not None else "")
        facts.append(backend_view.backend.start_words if backend_view.backend.launched else "")
        text = ", ".join(sanitize(fact) for fact in facts if fact)
        note = f" ({sanitize(state.note)})" if state.note else ""
        launch = f"{words}: " if (words := launch_words(state, launches)) else ""
        return f"{name}: {launch}ready{': ' if text else ''}{text}{note}"
    return ""
