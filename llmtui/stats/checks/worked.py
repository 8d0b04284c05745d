"""Did those who send the requests of a load work as planned? Turns that they spoiled, and rounds that they shared."""

from __future__ import annotations

from collections.abc import Iterator

from llmtui.model import RESTING
from llmtui.stats.checks.base import Check, Entry, Race, each, grouped, of
from llmtui.stats.metrics import METRICS
from llmtui.text import sanitize
from llmtui.text.format import plural

#: One round with a bias of any size makes equal backends differ no more often than chance does, in 3 to 5% of runs of 6
#: to 40 rounds (signed ranks). Two do so in up to 10%, and in 7% of runs of 40 rounds.
_VOID_ROUNDS = 2
_VOID_SHARE = 0.05


def spoiled_turns(race: Race) -> Iterator[Check]:
    """spoiled-turns: they are no samples and no failures of the server. A round without another turn is missing."""
    spoiled = {e.name: e for e in race.entries if e.evidence.spoiled}
    if not spoiled:
        return
    counts = {name: _share(e) for name, e in spoiled.items()}
    missing = {name: plural(n, "round") for name, e in spoiled.items() if (n := _missing(e))}
    failures = {name: words for name, e in spoiled.items() if (words := _failures(e))}
    newest = next(iter(spoiled.values())).evidence.spoiled[-1].as_sample.error
    reason = f" ({sanitize(newest.message, 100)})" if newest is not None else ""
    text = f"ended early, and not by the server, so they count nowhere: {each(counts)}{reason}"
    if missing:
        text += f"; no other turn took their place: {each(missing)}"
    else:
        over = all(e.state.state in RESTING for e in spoiled.values())
        text += "; each was taken again" if over else "; each is taken again"
    text += f"; requests in them that the server failed: {each(failures)}" if failures else ""
    yield Check(
        code="spoiled-turns",
        level="warning" if missing or failures else "note",
        backends=list(spoiled),
        text=text,
        todo="measure the missing rounds with llmtui resume, or rerun (R)"
        if missing
        else "do not suspend the machine or stop the workers during a run",
    )


def _share(entry: Entry) -> str:
    count = len(entry.evidence.spoiled)
    return of(count, entry.evidence.measured + count, "turn")


def _missing(entry: Entry) -> int:
    """How many rounds have spoiled turns only. As long as the backend runs they may be taken again."""
    if entry.state.state not in RESTING:
        return 0
    return len({turn.round for turn in entry.evidence.spoiled} - entry.evidence.rounds_measured)


def _failures(entry: Entry) -> str:
    turns = entry.evidence.spoiled
    failed = sum(turn.failed + turn.refused + turn.timed_out for turn in turns)
    return of(failed, sum(turn.requests for turn in turns), "request") if failed else ""


def workers_differ(race: Race) -> Iterator[Check]:
    """workers-differ: a worker was lost in the middle of a round, so it is not the same load for all backends."""
    if race.at is None:
        return
    workers = {e.name: {turn.round: turn.workers for turn in e.evidence.turns} for e in race.sampled}
    rounds = sorted(set.intersection(*(set(by_round) for by_round in workers.values()))) if len(workers) > 1 else []
    unequal = [number for number in rounds if len({by_round[number] for by_round in workers.values()}) > 1]
    if not unequal:
        return
    sides = grouped(race.sampled, lambda a, b: all(workers[a.name][n] == workers[b.name][n] for n in unequal))
    void = len(unequal) >= _VOID_ROUNDS and len(unequal) > _VOID_SHARE * len(rounds)
    first = {name: by_round[unequal[0]] for name, by_round in workers.items()}
    yield Check(
        code="workers-differ",
        level="void" if void else "warning",
        backends=list(workers),
        text=f"different numbers of workers sent the requests in {of(len(unequal), len(rounds), 'round')}, "
        f"as in round {unequal[0]}: {each(first, sides)}",
        todo="keep all workers of the cluster running, and rerun (R)",
        sides=sides,
        spoils=list(METRICS) if void else [],
    )
