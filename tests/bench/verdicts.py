"""How often is what the screen, `compare` and its gate conclude right? Simulated runs, judged as the program does it.

    python -m tests.bench.verdicts [CASE ...] [--only WORDS] [--races 1000] [--seed 1] [--jobs 1] [--json]

launches   a star between equal servers that differ from launch to launch
runs       `compare` of equal runs on a machine whose speed wanders from run to run, and of a true 10%
gate       a gate of 5% that breaks for equal runs, or holds for slower ones
reruns     a star between equal backends after up to three reruns
loads      a star between servers of which one loads its model in some requests, at random or in slow rounds
star       a true star among 2 to 9 backends, and a false one
screen     star, order and ratios that contradict each other while the machine slows down
metrics    a star in any of four metrics between equal backends
sequential a star or a level between backends that did not take turns

Each line has a share with its standard error and its goal, if it has one: "holds", "chance" (beyond it by less than two
standard errors) or "MISSED". What this version of llmtui cannot do is left out. `tests.bench.calibration` asks about a
single comparison, `tests.bench.races` about real servers.
"""

from __future__ import annotations

import functools
import itertools
import random
import statistics
from collections.abc import Callable, Iterator

import msgspec

from llmtui.model import Iteration
from llmtui.stats.metrics import MetricKey
from tests.bench.between_runs import WANDERS, gate_questions, run_questions
from tests.bench.calibration import drifting
from tests.bench.contradictions import contradictions, medians_disagree
from tests.bench.questions import Answers, Goal, Outcome, Question, ask
from tests.bench.simulated import (
    EARLIER,
    STILL,
    World,
    attempt,
    has,
    launch_spreads,
    names_of,
    see,
    view_of,
    with_tokens,
)

_FALSE_STAR = Goal(most=5)
_RERUN_STAR = Goal(most=7)
_NEVER = Goal(most=0)
#: The notes that say that other launches may differ.
_ONE_LAUNCH = frozenset({"one-launch", "launches-unknown"})
#: Runs in the history, spread of launches, rounds.
_HISTORIES = (
    (5, 0.01, 20),
    (10, 0.01, 20),
    (10, 0.01, 50),
    *((20, s, 20) for s in (0, 0.005, 0.01, 0.03)),
    (20, 0.01, 50),
)
_METRICS: tuple[MetricKey, ...] = ("latency", "ttft", "itl", "tokens_per_s")


# --- Launches ---


def _launched(
    rng: random.Random, spread: float, rounds: int, launches: int = 1, slower: float = 1.0, history: int = 0
) -> Answers:
    factors, world = {"a": 1.0, "b": slower}, World(launch=spread)
    known = launch_spreads(rng, "ab", rounds, world, history) if history else []
    made = attempt(rng, factors, rounds, world, launches=launches)
    verdict = view_of("ab", made, launched=True, spreads=known, iterations=rounds, launches=launches).verdict()
    if slower > 1:
        return [verdict.fastest == "a", verdict.fastest == "b"]
    said = any(check.code in _ONE_LAUNCH for check in verdict.checks)
    claimed = any(c.decided for c in verdict.board.comparisons)
    return [bool(verdict.fastest), said if claimed else None]


def _launches() -> Iterator[Question]:
    said = Outcome("one-launch is said with a claim")
    counts = (1, 5, 10) if has("launches") else (1,)
    for launches in counts:
        outcomes = Outcome("a star", _FALSE_STAR if launches > 1 else Goal()), said
        for spread, rounds in itertools.product((0.0, 0.005, 0.01, 0.02, 0.03), (10, 20, 50)):
            race = functools.partial(_launched, spread=spread, rounds=rounds, launches=launches)
            yield Question("launches", f"launches {launches}, spread {spread:.1%}, {rounds} rounds", outcomes, race)
    outcomes = Outcome("a star", Goal(most=6)), said
    for history, spread, rounds in _HISTORIES if EARLIER else ():
        race = functools.partial(_launched, spread=spread, rounds=rounds, history=history)
        setting = f"launches 1, {history} runs before, spread {spread:.1%}, {rounds} rounds"
        yield Question("launches", setting, outcomes, race)
    outcomes = Outcome("the right star"), Outcome("a wrong star", _FALSE_STAR)
    for launches, history in ((1, 0), (1, 20), (5, 0), (10, 0)):
        if launches not in counts or (history and not EARLIER):
            continue
        race = functools.partial(_launched, spread=0.01, rounds=20, launches=launches, slower=1.05, history=history)
        setting = f"launches {launches}, {history} runs before, spread 1%, 20 rounds, true 5%"
        yield Question("launches", setting, outcomes, race)


# --- Reruns ---


def _rerun(rng: random.Random, backends: int, how: str, wander: float, rounds: int = 10) -> Answers:
    names, world = names_of(backends), World(wander=wander)
    view = view_of(names, attempt(rng, dict.fromkeys(names, 1.0), rounds, world), iterations=rounds)
    starred = [bool(view.verdict().fastest)]
    # The one that the user hopes for.
    chosen = rng.choice(names)
    for number in range(2, 5):
        again = set(names) if how == "R" else {chosen}
        if how == "r with the leader":
            best = view.verdict().board.best
            again |= {best} if best != chosen else {rng.choice([name for name in names if name != chosen])}
        factors = dict.fromkeys([name for name in names if name in again], 1.0)
        after = number * 1000
        see(view, attempt(rng, factors, rounds, world, number=number, after=after))
        starred.append(bool(view.verdict().fastest))
    return [starred[0], any(starred)]


def _reruns() -> Iterator[Question]:
    outcomes = Outcome("a star at once", _FALSE_STAR), Outcome("a star at any of 4 looks", _RERUN_STAR)
    for how, backends in (("R", 2), ("r", 2), ("r with the leader", 2), ("R", 3), ("r with the leader", 3)):
        for wander in WANDERS:
            race = functools.partial(_rerun, backends=backends, how=how, wander=wander)
            yield Question("reruns", f"{how}, {backends} backends, wander {wander:.0%}", outcomes, race)


# --- The star ---


def _starred(rng: random.Random, factors: tuple[float, ...], rounds: int) -> Answers:
    names = names_of(len(factors))
    made = attempt(rng, dict(zip(names, factors, strict=True)), rounds)
    star = view_of(names, made, iterations=rounds).verdict().fastest
    tied = factors.count(min(factors)) > 1
    return [bool(star)] if tied else [star == "a", star not in ("", "a")]


def _stars() -> Iterator[Question]:
    right = Outcome("the right star"), Outcome("a wrong star", _FALSE_STAR)
    wanted = Outcome("the right star", Goal(least=65)), right[1]
    false = (Outcome("a star", _FALSE_STAR),)
    for backends, rounds in itertools.product((2, 3, 5, 9), (6, 10, 20)):
        setting = f"{backends} backends, {rounds} rounds"
        race = functools.partial(_starred, rounds=rounds)
        for slower in (1.03, 1.05, 1.1):
            outcomes = wanted if (backends, rounds, slower) == (5, 10, 1.05) else right
            factors = (1.0, *[slower] * (backends - 1))
            each = functools.partial(race, factors=factors)
            yield Question("star", f"{setting}, true {slower - 1:.0%}", outcomes, each)
        each = functools.partial(race, factors=(1.0,) * backends)
        yield Question("star", f"{setting}, all equal", false, each)
        if backends > 2:
            each = functools.partial(race, factors=(1.0, 1.0, *[1.5] * (backends - 2)))
            yield Question("star", f"{setting}, two tied, the rest 50% slower", false, each)


# --- Loads inside requests ---


def _loading(rng: random.Random, slower: float, chance: float, when_slow: bool, rounds: int = 20) -> Answers:
    """The star of a race of "a" and "b", which loads its model in this share of requests, for half a request's time.

    `when_slow`: only in the slower half of the rounds by the latency of "a", such as after a pause that was too long.
    """
    made = attempt(rng, {"a": 1.0, "b": slower}, rounds)
    speeds = {i.iteration: i.latency_s or 0.0 for i in made if i.backend == "a"}
    slow = set(sorted(speeds, key=lambda number: speeds[number])[rounds // 2 :]) if when_slow else speeds.keys()
    load_s = 0.5 * statistics.median(speeds.values())

    def loaded(iteration: Iteration) -> Iteration:
        taken = load_s if rng.random() < chance and iteration.iteration in slow else 0.0
        if iteration.backend == "a" or iteration.latency_s is None or not taken:
            return iteration
        return msgspec.structs.replace(iteration, latency_s=iteration.latency_s + taken, server_load_s=taken)

    star = view_of("ab", [loaded(i) for i in made], iterations=rounds).verdict().fastest
    return [bool(star)] if slower == 1 else [star == "a", star == "b"]


def _loads() -> Iterator[Question]:
    right = Outcome("the right star"), Outcome("a wrong star", _FALSE_STAR)
    for slower, (chance, when_slow) in itertools.product(
        (1.0, 1.05), ((0.1, False), (0.5, False), (0.2, True), (0.5, True))
    ):
        where = "slow rounds" if when_slow else "requests"
        outcomes = right if slower > 1 else (Outcome("a star", _FALSE_STAR),)
        each = functools.partial(_loading, slower=slower, chance=chance, when_slow=when_slow)
        yield Question("loads", f"true {slower - 1:.0%}, a load in {chance:.0%} of {where}", outcomes, each)


# --- What the screen shows ---


def _screen(rng: random.Random, backends: int, rounds: int) -> Answers:
    names = names_of(backends)
    factors = {name: 1.03**place for place, name in enumerate(names)}
    made = attempt(rng, factors, rounds, World(noise=drifting))
    view = view_of(names, made, iterations=rounds)
    starred = bool(view.verdict().fastest)
    found = bool(contradictions(view))
    return [found if starred else None, found, medians_disagree(view) if starred else None]


def _screens() -> Iterator[Question]:
    outcomes = (
        Outcome("contradict, of those with a star", _NEVER),
        Outcome("contradict, of all", _NEVER),
        Outcome("star has not the least median"),
    )
    for backends in (2, 3):
        race = functools.partial(_screen, backends=backends, rounds=20)
        yield Question("screen", f"{backends} backends, 20 rounds, drift 2%, true 3%", outcomes, race)


# --- Several metrics ---


def _by_metrics(rng: random.Random, backends: int, rounds: int) -> Answers:
    names = names_of(backends)
    made = with_tokens(rng, attempt(rng, dict.fromkeys(names, 1.0), rounds))
    view = view_of(names, made, iterations=rounds)
    stars = {metric: bool(view.verdict(metric).fastest) for metric in _METRICS}
    claims = {metric: any(c.decided for c in view.verdict(metric).board.comparisons) for metric in _METRICS}
    return [stars["latency"], any(stars.values()), any(claims[metric] for metric in _METRICS[1:])]


def _several() -> Iterator[Question]:
    outcomes = (
        Outcome("a star by latency", _FALSE_STAR),
        Outcome("a star by any of four metrics", _FALSE_STAR),
        Outcome("a claim by another metric"),
    )
    for backends, rounds in ((2, 10), (2, 20), (3, 10), (3, 20)):
        race = functools.partial(_by_metrics, backends=backends, rounds=rounds)
        yield Question("metrics", f"{backends} equal backends, {rounds} rounds", outcomes, race)


# --- One after the other ---


def _one_by_one(rng: random.Random, world: World) -> Answers:
    made = attempt(rng, {"a": 1.0, "b": 1.0}, 10, world, order="sequential")
    verdict = view_of("ab", made, iterations=10, order="sequential").verdict()
    words = " ".join([verdict.line, verdict.brief, *verdict.sentences])
    return [bool(verdict.fastest), any(c.decided for c in verdict.board.comparisons), "95%" in words]


def _sequential() -> Iterator[Question]:
    outcomes = Outcome("a star", _NEVER), Outcome("a claim", _NEVER), Outcome('"95%" is said', _NEVER)
    for name, world in (("independent noise", STILL), ("drift 2% a request", World(noise=drifting))):
        yield Question("sequential", f"2 equal backends, {name}", outcomes, functools.partial(_one_by_one, world=world))


CASES: dict[str, Callable[[], Iterator[Question]]] = {
    "launches": _launches,
    "runs": run_questions,
    "gate": gate_questions,
    "reruns": _reruns,
    "loads": _loads,
    "star": _stars,
    "screen": _screens,
    "metrics": _several,
    "sequential": _sequential,
}


def main() -> None:
    """Ask them all."""
    ask(__doc__, CASES)


if __name__ == "__main__":
    main()
