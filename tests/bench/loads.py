"""How often is the verdict on a load right? Simulated servers, judged by turns as the program does it.

    python -m tests.bench.loads [CASE ...] [--only WORDS] [--runs 1000] [--seed 1] [--jobs 1] [--json]

equal      a winner between equal servers that get the same work: 10 turns each of 45 requests after 15 that settle
unlike     the same, where each server gets work of its own
requests   a winner between equal servers if 400 requests of each, after 100, were taken as independent (rank sums)
true       a server that is 10% or 3% faster is found, with the same work or with work of its own
checks     a void or a warning on equal servers, which is false
tails      p95 and p99 over all rounds: a difference is said of equal servers, and of one that is 10% slower

Servers are a queue (M/G/1, lognormal service, CV 0.5) and continuous batching with 8 slots (a step takes 1 + 0.1 per
request, lengths are lognormal, CV 0.6), in open loops at a share of what they can do and in closed loops. Each request
is off by 5% at random; where the machine wanders, its speed is an AR(1) of 5% that lasts some 300 requests. Figures go
through TurnFigures, Turn, RunView and judge. Goals: 4% to 6% for equal servers (a signed-rank test of 10 rounds errs in
4.9%), 95% for a true 10%, 90% for 3%.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from llmtui.model import Iteration, Level, Load, Share, Turn, TurnDone
from llmtui.runview.run import RunView
from llmtui.stats.metrics import MetricKey
from llmtui.stats.ranks import rank_sum_p
from llmtui.stats.tails import QUANTITIES, SHARES, tails_of
from llmtui.stats.turn_figures import TurnFigures
from tests import build, loads
from tests.bench import load_sim
from tests.bench.load_sim import Machine, Served, Work
from tests.bench.questions import Answers, Goal, Outcome, Question, ask

ROUNDS, SETTLE, WINDOW = 10, 15, 45
#: A closed loop goes on until the last answer of its window has come, so it needs more work than is counted.
_SPARE = 60
_JITTER = 0.05
_WANDER = 0.05
_LATENCIES: tuple[MetricKey, ...] = ("latency", "ttft")
#: An arrival has the tokens of this many steps: fewer would take longer to simulate.
_PIECES = 16
_EQUAL = Goal(most=6)
#: Checks on what a comparison shows, which `equal` counts.
_OF_COMPARISONS = frozenset({"own-error", "one-launch", "launches-unknown"})
#: A difference of this size is to be found in spite of 5% of noise in each request.
_FOUND = 1.1
#: Of true differences: words, wander, jitter, whether both servers get the same work.
_NOISES = (
    ("same work, no noise", 0.0, 0.0, True),
    ("same work", 0.0, _JITTER, True),
    ("same work, wanders 5%", _WANDER, _JITTER, True),
    ("own work", 0.0, _JITTER, False),
)


class Setting(NamedTuple):
    """A kind of server at a load: a share of what it can do in an open loop, or a number of streams."""

    name: str
    serve: Callable[[Work, float, Machine], list[Served]]
    load: Load
    metrics: tuple[MetricKey, ...] = _LATENCIES

    @property
    def level(self) -> Level:
        return self.load.levels[0]


def _settings() -> list[Setting]:
    made = []
    for share in (0.5, 0.8, 0.9):
        rate = share / load_sim.SERVICE_S
        serve = functools.partial(_open_queue, share)
        made.append(Setting(f"M/G/1 at {share:.0%}", serve, Load(request_rate=[rate], requests=WINDOW)))
    for share in (0.5, 0.8, 0.9):
        rate = share * load_sim.BATCH_RATE
        serve = functools.partial(_open_batch, share)
        made.append(Setting(f"batching, open at {share:.0%}", serve, Load(request_rate=[rate], requests=WINDOW)))
    for streams in (4, 8, 16):
        serve = functools.partial(_closed_batch, streams)
        load = Load(concurrency=[streams], requests=WINDOW)
        made.append(Setting(f"batching, {streams} streams", serve, load, ("output_tokens_per_s", *_LATENCIES)))
    return made


def _open_queue(share: float, work: Work, speed: float, machine: Machine) -> list[Served]:
    return load_sim.queue(work, share, speed, machine)


def _open_batch(share: float, work: Work, speed: float, machine: Machine) -> list[Served]:
    return load_sim.batch_open(work, share, speed, machine)


def _closed_batch(streams: int, work: Work, speed: float, machine: Machine) -> list[Served]:
    return load_sim.batch_closed(work, streams, speed, machine, min(len(work.tokens), SETTLE + WINDOW))


# --- From requests to a verdict ---


def turn_of(served: list[Served], backend: str, number: int, seq: int, level: Level) -> Turn:
    """The record of a turn with these requests, in the order in which they were sent."""
    figures = TurnFigures(level)
    ordered = sorted(served, key=lambda one: one.written_s)
    window_s = [ordered[place].written_s for place in (SETTLE, SETTLE + WINDOW) if place < len(ordered)]
    if len(window_s) < 2:
        window_s.append(ordered[-1].written_s + 1e-6)
    figures.add(_sample(one, backend, place) for place, one in enumerate(ordered))
    of = figures.figures(window_s[0], window_s[1])
    return Turn(
        run="r", backend=backend, attempt=1, phase="measured", round=number, level=level.number, seq=seq,
        started_utc=f"{seq:06}", state="whole", **of,
    )  # fmt: skip


def _sample(one: Served, backend: str, place: int) -> Iteration:
    share: Share = "settling" if place < SETTLE else "window" if place < SETTLE + WINDOW else "tail"
    ttft_s, latency_s = one.first_s - one.written_s, one.last_s - one.written_s
    pieces = min(_PIECES, one.tokens)
    step_s = (latency_s - ttft_s) / max(1, pieces - 1)
    cuts = [one.tokens * piece // pieces for piece in range(pieces + 1)]
    return Iteration(
        run="r", backend=backend, attempt=1, iteration=1, phase="measured", started_utc="", latency_s=latency_s,
        ttft_s=ttft_s, ttfo_s=ttft_s, tpot_s=(latency_s - ttft_s) / (one.tokens - 1), output_tokens=one.tokens,
        token_source="usage", finish_reason="length", share=share, request=place + 1, written_s=one.written_s,
        arrivals_ns=[round((ttft_s + piece * step_s) * 1e9) for piece in range(pieces)],
        arrival_tokens=[after - before for before, after in itertools.pairwise(cuts)],
    )  # fmt: skip


def run_of(
    rng: random.Random,
    setting: Setting,
    speeds: tuple[float, float],
    wander: float,
    *,
    same: bool,
    jitter: float = _JITTER,
) -> RunView:
    """A finished run of two servers of these speeds; with the `same` work in each round, or each with its own."""
    plan = loads.plan("a", "b", load=setting.load, iterations=ROUNDS)
    view = build.run_view(msgspec.structs.replace(plan, run="r"), keep=0)
    machine = Machine(rng, wander, jitter)
    seq = 0
    for number in range(1, ROUNDS + 1):
        seed = rng.getrandbits(64)
        arms = [("a", speeds[0]), ("b", speeds[1])]
        rng.shuffle(arms)
        for name, speed in arms:
            seq += 1
            drawn = random.Random(seed if same else rng.getrandbits(64))
            work = load_sim.work(drawn, SETTLE + WINDOW + (_SPARE if setting.level.streams else 0))
            made = turn_of(setting.serve(work, speed, machine), name, number, seq, setting.level)
            # Own work has answers of other lengths, which are reported, and not compared by latency.
            view.apply(TurnDone(turn=msgspec.structs.replace(made, output_tokens=load_sim.MEAN_TOKENS)))
    for name in "ab":
        view.apply(build.changed(name, planned=ROUNDS))
    return view


def _decided(view: RunView, metric: MetricKey) -> str:
    """The winner by this metric if it was the one that counts; "" without one."""
    plan = view.plan
    view.plan = msgspec.structs.replace(plan, config=msgspec.structs.replace(plan.config, metric=metric))
    verdict = view.verdict(metric)
    view.plan = plan
    return verdict.board.fastest if verdict.counts else ""


# --- Questions ---


def _equal(rng: random.Random, setting: Setting, wander: float, same: bool) -> Answers:
    view = run_of(rng, setting, (1.0, 1.0), wander, same=same)
    return [bool(_decided(view, metric)) for metric in setting.metrics]


def _by_requests(rng: random.Random, setting: Setting, wander: float) -> Answers:
    machine = Machine(rng, wander, _JITTER)
    groups = []
    for _ in range(2):
        served = setting.serve(load_sim.work(rng, 500), 1.0, machine)
        groups.append(list(load_sim.independent(served, 100)))
    return [rank_sum_p(*groups) <= 0.05]


def _true(rng: random.Random, setting: Setting, faster: float, wander: float, jitter: float, same: bool) -> Answers:
    view = run_of(rng, setting, (faster, 1.0), wander, same=same, jitter=jitter)
    return [_decided(view, metric) == "a" for metric in setting.metrics]


def _words(setting: Setting, wander: float) -> str:
    return setting.name + (", machine wanders 5%" if wander else "")


def _outcomes(setting: Setting, words: str, goal: Goal) -> tuple[Outcome, ...]:
    return tuple(Outcome(f"{words} by {metric}", goal) for metric in setting.metrics)


def equal(*, same: bool) -> Iterator[Question]:
    """Equal servers: any winner is wrong."""
    for setting in _settings():
        for wander in (0.0, _WANDER):
            race = functools.partial(_equal, setting=setting, wander=wander, same=same)
            case = "equal" if same else "unlike"
            yield Question(case, _words(setting, wander), _outcomes(setting, "a winner", _EQUAL), race)


def requests() -> Iterator[Question]:
    """What other tools do: one long run of each, and requests as if they were independent."""
    for setting in _settings():
        if setting.level.streams:
            continue
        for wander in (0.0, _WANDER):
            race = functools.partial(_by_requests, setting=setting, wander=wander)
            yield Question("requests", _words(setting, wander), (Outcome("a winner by latency"),), race)


def true() -> Iterator[Question]:
    """A server that is faster."""
    for setting in _settings():
        for faster, least in ((_FOUND, 95), (1.03, 90)):
            for words, wander, jitter, same in _NOISES:
                goal = Goal(least=least) if not jitter or (same and not wander and faster == _FOUND) else Goal()
                race = functools.partial(_true, setting=setting, faster=faster, wander=wander, jitter=jitter, same=same)
                outcomes = _outcomes(setting, f"true {faster - 1:.0%} found", goal)
                yield Question("true", f"{setting.name}, {words}", outcomes, race)


def _tails(rng: random.Random, setting: Setting, slower: float, wander: float) -> Answers:
    view = run_of(rng, setting, (1.0, 1 / slower), wander, same=True)
    turns = {name: of.evidence.turns for name, of in view.backends.items()}
    made = [tail for quantity in QUANTITIES for tail in tails_of("a", "b", turns, quantity)]
    found = {(tail.quantity, tail.share): tail.slower if tail.shown else "" for tail in made}
    wanted = ("b",) if slower > 1 else ("a", "b")
    return [found.get((quantity, share)) in wanted for quantity in QUANTITIES for share in SHARES]


def of_tails() -> Iterator[Question]:
    """p95 and p99 over the requests of all rounds."""
    for setting in _settings():
        for slower, wander in ((1.0, 0.0), (1.0, _WANDER), (1.1, 0.0)):
            race = functools.partial(_tails, setting=setting, slower=slower, wander=wander)
            words = f"p{{:g}} differs by {slower - 1:.0%}: said of {{}}"
            goal = _EQUAL if slower == 1 else Goal()
            outcomes = [Outcome(words.format(100 * share, q), goal) for q in QUANTITIES for share in SHARES]
            yield Question("tails", _words(setting, wander), tuple(outcomes), race)


def _false_alarm(rng: random.Random, setting: Setting, wander: float) -> Answers:
    checks = run_of(rng, setting, (1.0, 1.0), wander, same=True).verdict().checks
    return [any(c.level == level for c in checks if c.code not in _OF_COMPARISONS) for level in ("void", "warning")]


def of_checks() -> Iterator[Question]:
    """Fair loads: every void and every warning is false."""
    for setting in _settings():
        for wander in (0.0, _WANDER):
            race = functools.partial(_false_alarm, setting=setting, wander=wander)
            outcomes = (Outcome("a void", Goal(most=1)), Outcome("a warning", Goal(most=5)))
            yield Question("checks", _words(setting, wander), outcomes, race)


CASES: dict[str, Callable[[], Iterator[Question]]] = {
    "equal": functools.partial(equal, same=True),
    "unlike": functools.partial(equal, same=False),
    "requests": requests,
    "true": true,
    "tails": of_tails,
    "checks": of_checks,
}


def main() -> None:
    """Ask them all."""
    ask(__doc__, CASES, "runs")


if __name__ == "__main__":
    main()
