"""A load in words: what each backend gets, and how long that takes, if it is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmtui.config.traces import lasting
from llmtui.model import Level, Load, Plan
from llmtui.runview.objective_words import objectives_words
from llmtui.stats.checks.base import listed
from llmtui.text.format import plural


def load_title(plan: Plan) -> str:
    """Return "closed loop at 1, 4 and 16 streams", or "open loop at 2 requests/s"; "" for a race."""
    levels = plan.levels
    if levels and levels[0].trace:
        return f"open loop of the {levels[0].title}"
    if plan.load.search:
        return search_title(plan.load)
    if not levels:
        return ""
    title = f"{'open' if levels[0].open else 'closed'} loop at {_listed(_loads(levels))}"
    return ", ".join(filter(None, (title, _cells(plan.load))))


def load_sentence(plan: Plan) -> str:
    """Say a load back before it starts: its levels, rounds and turns, and how long they take at least; "" for a race.

    How long a turn of a number of requests takes is unknown before the servers have answered.
    """
    levels, config = plan.levels, plan.config
    if not levels:
        return ""
    if plan.load.search:
        objectives = objectives_words(plan.slo)
        return f"{_search_sentence(plan)}; {objectives}" if objectives else _search_sentence(plan)
    backends = sum(backend.enabled for backend in plan.backends)
    turns = config.iterations * len(levels) * backends
    parts = [
        f"{plural(config.iterations, 'round')} of turns of {_length(plan.load, levels)}",
        plural(backends, "backend"),
    ]
    least = f", at least {duration(turns * plan.load.turn_s)}" if plan.load.turn_s else ""
    measured = [backend for backend in plan.backends if backend.enabled]
    before = sum(config.warmup_turns_of(one, config.iterations, len(levels)) for one in measured)
    warmups = f" after {plural(before, 'warm-up turn')}" if before else ""
    said = f"{load_title(plan)}{_arrivals(levels[0])}: {', '.join(parts)}: {plural(turns, 'turn')}{warmups}{least}"
    if (questions := plan.prompts.turns) > 1:
        said += f"; conversations of up to {questions} questions"
    if plan.load.think_s:
        said += f"; after each answer {plan.load.think_s:g} s to think on average"
    if plan.workers.count != "auto" and plan.workers.count > 1:
        said += f"; {plan.workers.count} workers send them"
    if rate := plan.load.probe_rate:
        said += f"; beside each, {rate:g} short request{'' if rate == 1 else 's'}/s as a probe"
    return f"{said}; {objectives}" if (objectives := objectives_words(plan.slo)) else said


def search_title(load: Load) -> str:
    """Return "search for the knee from 1 to 64 streams"; "" without a search."""
    goals = {"knee": "the knee", "slo": "the most streams that keep the objectives"}
    return f"search for {goals[load.search]} from 1 to {load.search_until} streams" if load.search else ""


def _search_sentence(plan: Plan) -> str:
    """Say a search back before it starts: what it takes at most, and what all of its candidates would take."""
    load, config = plan.load, plan.config
    backends = sum(backend.enabled for backend in plan.backends)
    probes, every = load.most_levels, len(plan.levels)
    turns = probes * backends * config.iterations
    # The largest levels have the most requests.
    counts = [load.requests_of(level) for level in plan.levels[-probes:]]
    much = plural(sum(counts) * backends * config.iterations, "request") if any(counts) else ""
    much = much or duration(turns * load.duration_s)
    warmups = " after a warm-up turn each" if config.warmup else ""
    return (
        f"{search_title(load)}: at most {plural(probes, 'probe')} of {plural(config.iterations, 'round')} of turns of "
        f"{_length(load, plan.levels)}{warmups}, {plural(backends, 'backend')}: at most {plural(turns, 'turn')} "
        f"({much}); a sweep of all {every} levels would take {every * backends * config.iterations}"
    )


def search_remarks(plan: Plan) -> list[str]:
    """Return what a person should know about a search before it starts, a sentence each."""
    if plan.load.search != "slo" or plan.load.duration_s:
        return []
    from llmtui.stats.attainment import keeps
    from llmtui.stats.probes import error_rate

    rounds, level = plan.config.iterations, 1 - 2 * error_rate(plan.load)

    def shows(requests: int) -> bool:
        return keeps([1.0] * rounds, plan.slo.share, rounds * requests, level) == "yes"

    has = plan.load.requests_of(plan.levels[0])
    needed = next((n for n in range(has, 100_000) if shows(n)), has)
    if needed == has:
        return []
    share = f"{100 * plan.slo.share:.6g}%"
    return [
        f"{plural(rounds, 'round')} of {plural(has, 'request')} cannot show that {share} keep the objectives, even "
        f"if all do: use at least {plural(needed, 'request')} a turn, or more rounds"
    ]


def time_left_sentence(eta_s: float) -> str:
    """Say how long the turns that are left take, once every backend has had a turn at each level."""
    return f"every backend has had a turn at each level: the rest takes about {duration(eta_s)}"


def duration(seconds: float) -> str:
    """Return a rough duration in words: "40 s", "12 min", "1.5 h"."""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"


def worded(text: str, plan: Plan) -> str:
    """Return a text about iterations; of a load it is about turns."""
    if not plan.levels:
        return text
    return text.replace("an iteration", "a turn").replace("iteration", "turn")


def level_titles(plan: Plan) -> tuple[str, ...]:
    """Return the titles of all levels; empty for a race."""
    return tuple(level.title for level in plan.levels)


def head_title(plan: Plan) -> str:
    """Return the title of the level that counts, "8 streams"; "" for a race."""
    return plan.head_level.title if plan.head_level is not None else ""


def short_title(levels: Sequence[Level], load: Load | None = None) -> str:
    """Return "closed loop 1 4 16" or "open loop 0.5 1 2/s" for a heading; "" for a race.

    With the `load` of a search it is "knee of 1..64".
    """
    if load is not None and load.search:
        return f"{'knee' if load.search == 'knee' else 'objectives'} of 1..{load.search_until}"
    if not levels:
        return ""
    if levels[0].trace:
        return levels[0].title
    cells = list(dict.fromkeys(level.cell_title for level in levels if level.cell_title))
    if cells:
        bare = [msgspec.structs.replace(level, max_tokens=0, prompt_tokens=0) for level in _loads(levels)]
        return f"{short_title(bare)}, {f'{len(cells)} lengths' if len(cells) > 1 else cells[0]}"
    if levels[0].open:
        return f"open loop {' '.join(f'{level.rate:g}' for level in levels)}/s"
    return f"closed loop {' '.join(str(level.streams) for level in levels)}"


def _listed(levels: Sequence[Level]) -> str:
    """ "1, 4 and 16 streams"."""
    numbers = [f"{level.rate:g}" if level.open else str(level.streams) for level in levels[:-1]]
    return f"{', '.join(numbers)} and {levels[-1].load_title}" if numbers else levels[-1].load_title


def _loads(levels: Sequence[Level]) -> list[Level]:
    """Return the levels without those that differ in the lengths of a grid alone."""
    return list({(level.streams, level.rate): level for level in reversed(levels)}.values())[::-1]


def _cells(load: Load) -> str:
    """ "prompts of 128 and 512 tokens, answers of 64 and 256", the lengths of a grid; "" without them."""
    if load.cells is None:
        return ""
    parts = [("prompts", load.cells.prompt_tokens), ("answers", load.cells.max_tokens)]
    return ", ".join(f"{what} of {listed(map(str, values))} tokens" for what, values in parts if values)


def _length(load: Load, levels: Sequence[Level]) -> str:
    """ "40 requests", "40 to 64 requests", or "20 s"."""
    if (of := load.trace_turn) is not None:
        whole = "all" if of.settle + of.requests == of.all_requests else "the first"
        sent = f"{whole} {plural(of.settle + of.requests, 'request')}"
        return f"{sent} in {lasting(load.turn_s)}, of which {plural(of.requests, 'request')} count"
    if load.duration_s:
        return f"{load.duration_s:g} s"
    counts = [load.requests_of(level) for level in levels]
    least, most = min(counts), max(counts)
    return plural(most, "request") if least == most else f"{least} to {most} requests"


def _arrivals(level: Level) -> str:
    """How the requests of an open loop follow one another, in brackets; "" for a closed one."""
    if level.trace:
        return f" (at most {level.cap} under way)" if level.cap else ""
    if not level.open:
        return ""
    kinds = {
        "poisson": "Poisson arrivals",
        "constant": "even arrivals",
        "gamma": f"gamma arrivals of burstiness {level.burstiness:g}",
    }
    cap = f", at most {level.cap} under way" if level.cap else ""
    return f" ({kinds[level.arrival]}{cap})"
