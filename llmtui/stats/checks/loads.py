"""Was the load what was asked for, and was it the server that was measured? Checks on the turns of one level."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence

from llmtui.model import Turn
from llmtui.model.turn import DRIFT_P, REQUESTS_A_STREAM
from llmtui.stats.at_load import AtLoad
from llmtui.stats.buckets import pooled
from llmtui.stats.checks.base import VOID_SHARE, Check, Entry, Race, alike, each, listed, of
from llmtui.stats.checks.own_errors import ttft_error_p95_s
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text.format import figure, percent_text, plural

#: The load that was delivered may differ from the one that was asked for by this share; if it differs by more than
#: `VOID_SHARE` of that between backends, it is void.
DELIVERED_SHARE = 0.02
#: Of random arrivals as many standard deviations are chance.
_DEVIATIONS = 4.0
#: L = X W, within this share of L: beyond, the measurement is broken, not the server.
LITTLE_SHARE = 0.05
#: A worker that keeps this share of a core busy may be late.
WORKER_CPU = 0.8
#: Requests that are sent this late (s), or later by this share of the TTFT, are the client's fault; so is its error.
LATE_S = 0.002
LATE_SHARE = 0.01
#: A trend in single turns counts if equally many of steady ones have one with less than this chance, per backend.
CHANCE_OF_TURNS = 0.005
#: The largest number of requests under way up to one, two and three thirds of a steady turn grows twice by this chance.
_GROWS_BY_CHANCE = 1 / 6
_FEWEST_TURNS = 2
#: A server that is empty at first has as many requests under way as it will have after this many latencies.
_FILLS = 1.5
#: Above this share of requests without an answer, the figures are those of the survivors.
SURVIVORS_SHARE = 0.01

_ALL: list[MetricKey] = list(METRICS)
_TURN = "turn"
_WERE = {False: "were under way", True: "had a request under way or were thinking"}


def open_loop(race: Race) -> Iterator[Check]:
    """open-loop: the rate was asked for, so how much a server gives says nothing about it."""
    unjudged = [m for m in METRICS if race.at is not None and not race.at.comparable(m)]
    if unjudged and len(race.sampled) > 1:
        objectives = race.at is not None and race.at.objectives
        titles = listed(METRICS[m].title for m in unjudged if objectives or not METRICS[m].of_objectives)
        yield Check(
            code="open-loop",
            level="note",
            backends=[e.name for e in race.sampled],
            text=f"in an open loop the requests per second are given, so {titles} are not compared",
            todo="compare by latency or TTFT; set concurrency in [load] to compare throughput",
            spoils=unjudged,
        )


def delivered(race: Race) -> Iterator[Check]:
    """delivered-load: fewer or more requests were under way, or sent per second, than the level says.

    If all backends got the same load, they can be compared at that one.
    """
    if race.at is None:
        return
    level = race.at.level
    every = {e.name: share for e in race.sampled if (share := _delivered(race.at, e)) is not None}
    chances = {e.name: _chance(race.at, e) for e in race.sampled}
    shares = {name: share for name, share in every.items() if abs(share - 1) > DELIVERED_SHARE + chances[name]}
    if not shares:
        return
    asked = level.rate if level.open else level.streams
    got = {name: f"{share * asked:.3g}" for name, share in shares.items()}
    void = max(every.values()) - min(every.values()) > VOID_SHARE
    held_back = level.open and level.cap and any((_median(e, _waited) or 0) > 0 for e in race.sampled)
    todo = "lower the level, or give llmtui more free cores (llmtui accuracy shows what it can hold)"
    if held_back:
        todo = "lower the rate, or raise max_concurrency in [load]: requests waited for the cap"
    yield Check(
        code="delivered-load",
        level="void" if void else "warning",
        backends=list(shares),
        text=f"the load was not {'that of the ' if level.trace else ''}{level.load_title}: {each(got)} "
        f"{'requests/s were sent' if level.open else _WERE[level.think_s > 0]} (median)",
        todo=todo,
        spoils=_ALL if void else [],
    )


def _delivered(at: AtLoad, entry: Entry) -> float | None:
    """The delivered load as a share of the asked one."""
    if at.level.open:
        rate = _median(entry, lambda turn: turn.delivered_rate)
        return rate / at.level.rate if rate is not None else None
    streams = _median(entry, _busy)
    return streams / at.level.streams if streams is not None and at.level.streams else None


def _busy(turn: Turn) -> float | None:
    """The streams with a request under way, and the users who think."""
    return turn.in_flight + (turn.thinking or 0.0) if turn.in_flight is not None else None


def _chance(at: AtLoad, entry: Entry) -> float:
    """By which share the median rate of random arrivals may differ by chance: requests come in no fixed number."""
    if at.level.think_s:
        return _chance_of_thinking(at, entry)
    if not at.level.open or at.level.arrival == "constant":
        return 0.0
    requests = sum(turn.requests for turn in entry.evidence.turns)
    burstiness = at.level.burstiness if at.level.arrival == "gamma" else 1.0
    # The median of the turns varies more than their mean.
    return _DEVIATIONS * math.sqrt(math.pi / 2 / max(1.0, requests * burstiness))


def _chance_of_thinking(at: AtLoad, entry: Entry) -> float:
    """By which share the users who think at the edges of a window make the median of its turns differ by chance."""
    turns = entry.evidence.turns
    requests = sum(turn.requests for turn in turns) / max(1, len(turns))
    at_edges = math.sqrt(at.level.streams / 3) / max(1.0, requests)
    return _DEVIATIONS * at_edges * math.sqrt(math.pi / 2 / max(1, len(turns)))


def little(race: Race) -> Iterator[Check]:
    """little: requests in flight, their rate and their latency do not fit together (Little's law)."""
    residuals = {
        e.name: f"{residual:.0%}"
        for e in race.sampled
        if (residual := _median(e, lambda turn: turn.little_residual)) is not None and residual > LITTLE_SHARE
    }
    if residuals:
        yield Check(
            code="little",
            level="void",
            backends=list(residuals),
            text="requests under way, their rate and their latency do not fit together (Little's law), by "
            f"{each(residuals)} (median): the measurement is wrong, not the server",
            todo="measure longer turns (requests in [load]); if it remains, report it as a bug of llmtui",
            spoils=_ALL,
        )


def short_windows(race: Race) -> Iterator[Check]:
    """short-window: turns of a closed loop ended before they had answers to count."""
    if race.at is None or race.at.level.open or race.at.level.trace:
        return
    found = {
        e.name: of(len(turns), len(e.evidence.turns), _TURN)
        for e in race.sampled
        if (turns := [turn for turn in e.evidence.turns if turn.short])
    }
    if found:
        yield Check(
            code="short-window",
            level="void",
            backends=list(found),
            text=f"turns were shorter than half of an answer, so they have no rates: {each(found)}",
            todo=f"set more requests in [load]: {REQUESTS_A_STREAM * race.at.level.streams} are enough, or leave the "
            "number out",
            spoils=[key for key, metric in METRICS.items() if metric.of_turn and metric.rate],
        )


def client_bound(race: Race) -> Iterator[Check]:
    """client-bound: llmtui itself was too slow for this level, so its figures are not those of the server."""
    if race.at is None:
        return
    found = {e.name: words for e in race.sampled if (words := _bound_words(race, e))}
    if found:
        yield Check(
            code="client-bound",
            level="void",
            backends=list(found),
            text=f"llmtui itself was too slow for {race.at.title}: {each(found)}",
            todo="lower the level, or raise count in [workers] if cores are free (see llmtui accuracy)",
            spoils=_ALL,
        )


def _bound_words(race: Race, entry: Entry) -> str:
    ttft_s = _median(entry, lambda turn: turn.ttft_s) or 0.0
    turns = entry.evidence.turns
    late_s, which = _late(turns)
    if late_s > max(LATE_S, LATE_SHARE * ttft_s):
        since = [turn.late_from_s for turn in turns if turn.late_from_s is not None]
        when = f", in the last one from {figure(since[-1], 's')} on" if since else ""
        return f"{figure(late_s, 's')} late ({which}){when}"
    if busy := [turn.worker_cpu for turn in turns if turn.worker_cpu is not None and turn.worker_cpu > WORKER_CPU]:
        return f"{max(busy):.0%} of a core in {of(len(busy), len(turns), _TURN)}"
    error_s = ttft_error_p95_s(race, turns)
    if error_s is not None and ttft_s and error_s > LATE_SHARE * ttft_s:
        return f"own error {figure(error_s, 's')} (p95), of a TTFT of {figure(ttft_s, 's')}"
    return ""


def _late(turns: Sequence[Turn]) -> tuple[float, str]:
    """How late requests were sent (s), by the highest percentile that their number in all turns allows, and its name.

    One that is late in one of ten turns says little about the others.
    """
    late = pooled(turns, "late").percentiles()
    if late is None:
        return 0.0, ""
    named = ((late.p99, "p99"), (late.p95, "p95"), (late.p90, "p90"), (late.p50, "p50"))
    return next((value, name) for value, name in named if value is not None)


def drifting_turns(race: Race) -> Iterator[Check]:
    """drift-in-turns: a server became slower within its turns, so no steady state was measured."""
    found = {
        e.name: f"{of(len(turns), len(e.evidence.turns), _TURN)}, up to {max(t.drift or 0.0 for t in turns):+.0%}"
        for e in race.sampled
        if (turns := [t for t in e.evidence.turns if t.drifts]) and _too_many(turns, e.evidence.turns, DRIFT_P)
    }
    if found:
        yield Check(
            code="drift-in-turns",
            level="void",
            backends=list(found),
            text=f"TPOT rose within turns, so there was no steady state: {each(found)}",
            todo="set settle in [load] to more requests, or lower the level; a machine that gets hot needs cooldown_s",
            spoils=_ALL,
        )


def backlog(race: Race) -> Iterator[Check]:
    """beyond-capacity, queue-grows: an open loop sends requests faster than the server answers them."""
    if race.at is None or not race.at.level.open or race.at.level.trace:
        return
    beyond = {e.name: [t for t in e.evidence.turns if t.beyond_capacity] for e in race.sampled}
    over = {
        e.name: f"{of(len(beyond[e.name]), len(e.evidence.turns), _TURN)}, up to "
        f"{plural(max(t.backlog[-1] if t.backlog else 0 for t in beyond[e.name]), 'request')}"
        for e in race.sampled
        if 2 * len(beyond[e.name]) > len(e.evidence.turns)
    }
    todo = "lower request_rate in [load]; a closed loop (concurrency) shows how much a server can do"
    if over:
        yield Check(
            code="beyond-capacity",
            level="void",
            backends=list(over),
            text=f"{race.at.title} are more than a server can answer, as its backlog did not stop growing: "
            f"{each(over)}; its latency is that of the backlog, and grows with the length of a turn",
            todo=todo,
            spoils=_ALL,
        )
    growing = {e.name: [t for t in e.evidence.turns if _grows(t)] for e in race.sampled if e.name not in over}
    grown = {
        e.name: of(len(growing[e.name]), len(e.evidence.turns), _TURN)
        for e in race.sampled
        if e.name in growing and _too_many(growing[e.name], e.evidence.turns, _GROWS_BY_CHANCE)
    }
    if grown:
        yield Check(
            code="queue-grows",
            level="warning",
            backends=list(grown),
            text=f"more and more requests were under way within turns: {each(grown)}; latency and TTFT are of turns "
            "of this length",
            todo=f"measure longer turns (duration_s in [load]); or {todo}",
        )


def _grows(turn: Turn) -> bool:
    """Whether the backlog grew in each third of a turn, the first of which is longer than it takes to fill an empty
    server."""
    third_s = ((turn.window_from_s or 0.0) + (turn.window_s or 0.0)) / len(turn.backlog or (1,))
    if third_s < _FILLS * (turn.latency_s or 0.0):
        return False
    return len(set(turn.backlog)) == len(turn.backlog) > 1 and turn.backlog == sorted(turn.backlog)


def _too_many(some: Sequence[Turn], turns: Sequence[Turn], chance: float) -> bool:
    """Whether chance alone makes `some` of the turns what they are in fewer than `CHANCE_OF_TURNS` of attempts."""
    n = len(turns)
    likely = sum(math.comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in range(len(some), n + 1))
    return len(some) >= _FEWEST_TURNS and likely <= CHANCE_OF_TURNS


def unsettled(race: Race) -> Iterator[Check]:
    """unsettled: most turns had no steady state at all."""
    found = {
        e.name: of(count, len(e.evidence.turns), _TURN)
        for e in race.sampled
        if 2 * (count := sum(turn.unsettled for turn in e.evidence.turns)) > len(e.evidence.turns)
    }
    if found:
        yield Check(
            code="unsettled",
            level="warning",
            backends=list(found),
            text=f"TPOT never became steady: {each(found)}; figures depend on how long a turn is",
            todo="measure longer turns (requests in [load]), or set settle in [load] to more requests",
        )


def slots(race: Race) -> Iterator[Check]:
    """slots: a server computes fewer requests at a time than the level has, so queues are compared."""
    if race.at is None:
        return
    used = {e.name: race.at.streams(e.evidence.turns) for e in race.sampled}
    few = {e.name: e.state.slots for e in race.sampled if e.state.slots and e.state.slots < used[e.name]}
    if not few:
        return
    known = {e.name: min(e.state.slots, used[e.name]) for e in race.sampled if e.state.slots}
    sides = alike({name: str(count) for name, count in known.items()})
    unequal = len(sides) > 1
    bound = "up to " if any(t.workers > 1 for e in race.sampled for t in e.evidence.turns) else ""
    yield Check(
        code="slots",
        level="warning" if unequal else "note",
        backends=list(known) if unequal else list(few),
        text=f"{bound}{plural(max(used[name] for name in few), 'request')} at a time on servers with fewer slots: "
        f"{each(few)}; the rest wait in the server's queue, and TTFT and latency contain that",
        todo="start every server with more slots, or send fewer requests per second"
        if race.at.level.open
        else "start every server with as many slots as the largest level has streams",
        sides=sides if unequal else [],
    )


def survivors(race: Race) -> Iterator[Check]:
    """survivors: some requests got no answer, and the figures are those of the others."""
    lost = {e.name: _lost(e) for e in race.sampled}
    words = {e.name: _lost_words(e) for e in race.sampled if lost[e.name] > SURVIVORS_SHARE}
    if not words:
        return
    void = max(lost.values()) - min(lost.values()) > VOID_SHARE
    yield Check(
        code="survivors",
        level="void" if void else "warning",
        backends=list(words),
        text=f"figures are those of the survivors, as requests got no answer: {each(words)}",
        todo="lower the level, or have the server queue requests instead of refusing them; raise timeout_s in [run]",
        spoils=_ALL if void else [],
    )


def _lost(entry: Entry) -> float:
    """The share of all requests that did not succeed."""
    asked = sum(turn.requests for turn in entry.evidence.turns)
    return sum(turn.requests - turn.finished for turn in entry.evidence.turns) / asked if asked else 0.0


def _lost_words(entry: Entry) -> str:
    turns = entry.evidence.turns
    kinds = ("refused", "failed", "timed_out", "unfinished")
    counts = {kind: sum(getattr(turn, kind) for turn in turns) for kind in kinds}
    how = " and ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items() if count)
    return f"{percent_text(_lost(entry))} ({how} of {sum(turn.requests for turn in turns)})"


def _waited(turn: Turn) -> float | None:
    return turn.waiting_s


def _median(entry: Entry, value: Callable[[Turn], float | None]) -> float | None:
    """The median over the turns, None without values."""
    values = [v for turn in entry.evidence.turns if (v := value(turn)) is not None]
    return statistics.median(values) if values else None
