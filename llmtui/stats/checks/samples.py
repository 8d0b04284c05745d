"""Are the samples good enough? Their number, failures, token counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from llmtui.model import RESTING
from llmtui.model.plan import LEAST_LAUNCHES
from llmtui.stats.checks.base import VOID_SHARE, Check, Entry, Race, each, listed, of
from llmtui.stats.checks.evidence import RECENT
from llmtui.stats.compare import rounds
from llmtui.stats.correction import LEVEL, least_p, rounds_to_decide
from llmtui.stats.levels import level_of, level_of_attempt
from llmtui.stats.metrics import needing
from llmtui.text import sanitize
from llmtui.text.format import figure, plural

#: Rank statistics give no 95% interval for fewer.
FEWEST = 6


def few(race: Race) -> Iterator[Check]:
    """too-few: no interval is possible, or too few rounds are complete for any verdict."""
    if race.config.launches > 1 and any(e.backend.launched for e in race.entries):
        yield from _few_launches(race)
        return
    alpha = 1 - _level(race)
    pairs = list(itertools.combinations(race.sampled, 2))
    turns = [_in_turns(race, *pair) for pair in pairs]
    chances = [_chance(race, *pair, made) for pair, made in zip(pairs, turns, strict=True)]
    decidable = {e.name for pair, chance in zip(pairs, chances, strict=True) if chance <= alpha for e in pair}
    counts = {
        e.name: f"n = {e.evidence.counted}"
        for e in race.entries
        if e.name not in decidable and least_p(_reach(race, e)) > alpha
    }
    enough = rounds_to_decide(_level(race))
    if counts:
        todo = f"set iterations to {enough} or more, better 20"
        if race.config.iterations >= enough:
            todo = "rerun (R), and let it finish"
        yield Check(
            code="too-few",
            level="warning",
            backends=list(counts),
            text=f"too few samples for an interval: {each(counts)}",
            todo=todo,
        )
    elif pairs and min(chances) > alpha and all(turns):
        # Enough were measured, but too few rounds are complete: some failed, or were stopped.
        made = max(turns)
        todo = f"set iterations to {max(enough, made + 1)} or more, better 20"
        if race.config.iterations >= enough:
            todo = "find out why so few rounds are complete, then rerun (R)"
        yield Check(
            code="too-few",
            level="warning",
            backends=[e.name for e in race.sampled],
            text=f"{plural(made, 'complete round')} cannot decide",
            todo=todo,
        )


def _few_launches(race: Race) -> Iterator[Check]:
    """The same if launches are the samples: some of them failed, or were stopped."""
    over = all(e.state.state in RESTING for e in race.entries)
    launches = {e.name: len(e.evidence.launches) for e in race.entries if over and e.backend.launched}
    if counts := {name: n for name, n in launches.items() if n < LEAST_LAUNCHES}:
        yield Check(
            code="too-few",
            level="warning",
            backends=list(counts),
            text=f"too few launches for an interval, which needs {LEAST_LAUNCHES}: {each(counts)}",
            todo="rerun (R), and let it finish",
        )


def _level(race: Race) -> float:
    """The level at which the finished race will be judged."""
    attempt = max((e.state.attempt for e in race.sampled), default=1)
    if any(e.state.state not in RESTING for e in race.entries):
        return max(LEVEL, level_of_attempt(attempt))
    raced = [(e.state.state, e.evidence.measured) for e in race.entries]
    return level_of(raced, race.config.iterations, done=True, attempt=attempt)


def _reach(race: Race, entry: Entry) -> int:
    """The number of its samples, or of those planned while it runs."""
    good = entry.evidence.counted
    return good if entry.state.state in RESTING else max(good, race.config.iterations)


def _in_turns(race: Race, one: Entry, two: Entry) -> int:
    """The number of rounds of these two, or of those planned while they run; 0 if they do not take turns."""
    made = len(rounds(one.evidence.recent, two.evidence.recent))
    done = one.state.state in RESTING and two.state.state in RESTING
    if done or (not made and race.config.order == "sequential"):
        return made
    return max(made, min(_reach(race, one), _reach(race, two)))


def _chance(race: Race, one: Entry, two: Entry, turns: int) -> float:
    """The smallest p that these two can reach with this many rounds."""
    if turns:
        return least_p(turns)
    m, n = (min(_reach(race, e), RECENT) for e in (one, two))
    return min(1.0, 2 / math.comb(m + n, m))


def failed(race: Race) -> Iterator[Check]:
    """failed-iterations: the remaining samples may be the easy ones."""
    counts = {
        e.name: of(e.evidence.measured - e.evidence.good, e.evidence.measured, race.unit)
        for e in race.entries
        if e.evidence.measured > e.evidence.good
    }
    if counts:
        last = next(e.evidence.last_failed for e in race.entries if e.name in counts)
        reason = f"; {sanitize(last.error.message, 100)}" if last is not None and last.error is not None else ""
        yield Check(
            code="failed-iterations",
            level="warning",
            backends=list(counts),
            text=f"failed: {each(counts)}{reason}",
            todo="find the cause, then rerun (R); the remaining samples may be the easy ones",
        )


def refused(race: Race) -> Iterator[Check]:
    """refused: a server answered 429 or 503 with Retry-After."""
    counts = {e.name: f"{e.evidence.refused}x" for e in race.entries if e.evidence.refused}
    if counts:
        yield Check(
            code="refused",
            level="warning",
            backends=list(counts),
            text=f"refused requests for a while (429 or 503): {each(counts)}; the server is rate limited or busy",
            todo="set cooldown_s in [run], or ask for a higher limit",
        )


def repeated(race: Race) -> Iterator[Check]:
    """repeated: llmtui itself was stopped during a request, or the clock was set, so it was measured again."""
    counts = {e.name: f"{e.evidence.repeated}x" for e in race.entries if e.evidence.repeated}
    if counts:
        yield Check(
            code="repeated",
            level="note",
            backends=list(counts),
            text=f"measured again, as llmtui was stopped or the clock was set meanwhile: {each(counts)}",
            todo="do not suspend the machine, stop llmtui or set the clock during a run",
        )


def loaded_inside(race: Race) -> Iterator[Check]:
    """loaded-inside: a server loaded its model during iterations. They are in no figure, and in no comparison."""
    loaded = {e.name: e.evidence for e in race.sampled if e.evidence.loaded}
    if not loaded:
        return
    often = any(e.loaded > max(1, VOID_SHARE * e.good) for e in loaded.values())
    todo = "have the server keep its model loaded (keep_alive), and let nothing else ask it for another model"
    if all(e.loaded == 1 and e.loaded_first for e in loaded.values()):
        todo = f"set warmup = {race.config.warmup + 1} in [run], so that a warm-up loads the model"
    yield Check(
        code="loaded-inside",
        level="warning" if often else "note",
        backends=list(loaded),
        text=f"left out, as the server loaded its model meanwhile: "
        f"{each({name: of(e.loaded, e.good) for name, e in loaded.items()})}, "
        f"up to {figure(max(e.load_most_s for e in loaded.values()), 's')}",
        todo=todo,
    )


def guesses(race: Race) -> Iterator[Check]:
    """token-counts-guessed: the server did not report output tokens: counted by arrivals, or not at all."""
    guessed = [e.name for e in race.sampled if e.evidence.guessed]
    unknown = [e.name for e in race.sampled if e.evidence.uncounted and e.name not in guessed]
    if guessed or unknown:
        parts = [f"counted by arrivals, each of which may carry several, for {listed(guessed)}"] if guessed else []
        parts += [f"unknown for {listed(unknown)}"] if unknown else []
        yield Check(
            code="token-counts-guessed",
            level="warning",
            backends=[*guessed, *unknown],
            text=f"output tokens are {' and '.join(parts)}",
            todo="use a server or protocol that reports token counts; until then do not compare by tokens/s, "
            "and note that latencies may be for different amounts of work",
            spoils=needing("token counts"),
        )
