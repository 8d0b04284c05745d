"""How often do the fairness checks cry wolf? Simulated fair races, judged as the monitor does it.

    python -m tests.bench.checks [--races 1000] [--backends 2 3 5] [--rounds 10 20 50] [--noise NAME ...] [--warmup 3]
                                 [--seed 1] [--jobs 1] [--power]

All backends of a race are equal and get the noise of one machine, request by request, in the order in which the engine
takes them. So every warning is false (goal: at most 5% of races, whatever the noise); a note may be true and harmless.
`--warmup 0` races without warm-ups, which tell a cold start from noise. `--power`: races with a true fault, and how
often the check for it reports it, on the right backend. The errors are standard errors.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from llmtui.engine.schedule import Turns
from llmtui.model import Iteration, IterationDone, Order, Phase
from llmtui.runview.run import RunView
from llmtui.stats.checks import Check
from tests import build
from tests.bench.calibration import Noise, drifting, outliers
from tests.bench.common import command_line

WARMUP = 3
MACHINE = build.machine(cores=8, governor="performance", load_1m=0.1)


def normal(spread: float) -> Noise:
    """Normal noise of this spread."""

    def noise(rng: random.Random) -> Iterator[float]:
        while True:
            yield max(0.1, 1 + rng.gauss(0, spread))

    return noise


def lognormal(sigma: float) -> Noise:
    """Log-normal noise."""

    def noise(rng: random.Random) -> Iterator[float]:
        while True:
            yield math.exp(rng.gauss(0, sigma))

    return noise


def bimodal(rng: random.Random) -> Iterator[float]:
    """Three requests in ten are 30% slower."""
    for value in normal(0.03)(rng):
        yield value * (1.3 if rng.random() < 0.3 else 1)


def bursts(rng: random.Random) -> Iterator[float]:
    """With every twentieth request something begins that slows it and the next one down by 50%."""
    left = 0
    for value in normal(0.03)(rng):
        left = 2 if rng.random() < 0.05 else left - 1
        yield value * (1.5 if left > 0 else 1)


def lasting(share: float, spread: float = 0.03) -> Noise:
    """Autocorrelated noise: this share of a disturbance remains at the next request."""

    def noise(rng: random.Random) -> Iterator[float]:
        level = rng.gauss(0, spread)
        while True:
            yield math.exp(level)
            level = share * level + math.sqrt(1 - share**2) * rng.gauss(0, spread)

    return noise


def exponential(rng: random.Random) -> Iterator[float]:
    """Never faster than 1, by an exponential of 10% slower."""
    while True:
        yield 1 + rng.expovariate(1 / 0.1)


NOISES: dict[str, Noise] = {
    "normal, 3%": normal(0.03),
    "normal, 10%": normal(0.1),
    "lognormal, 0.1": lognormal(0.1),
    "lognormal, 0.3": lognormal(0.3),
    "lognormal, 0.5": lognormal(0.5),
    "3 in 10 are 30% slower": bimodal,
    "bursts of two requests": bursts,
    "1/2 of a disturbance remains": lasting(0.5),
    "9/10 of it remain": lasting(0.9),
    "2% slower with every request": drifting,
    "1 in 10 takes up to 3x": outliers,
    "exponential, 10%": exponential,
}

#: Changes an iteration of the backend `a`: its place in the attempt, from 0; below 0 for warm-ups.
Fault = Callable[[Iteration, int], dict[str, float]]


def race(
    noise: Iterator[float],
    backends: int,
    rounds: int,
    seed: int,
    warmup: int = WARMUP,
    fault: Fault | None = None,
    order: Order = "shuffled",
) -> RunView:
    """Return a finished race of equal backends; `a` has the `fault`."""
    names = [chr(ord("a") + n) for n in range(backends)]
    view = build.run_view(build.plan(*names, iterations=rounds, warmup=warmup, order=order), keep=0)
    view.machine = MACHINE
    turns = Turns(order, names, seed)
    second = itertools.count()
    for place in range(-warmup, rounds):
        phase: Phase = "warmup" if place < 0 else "measured"
        left = list(names)
        while left:
            name = turns.next(left)
            assert name is not None
            left.remove(name)
            iteration = build.answered(
                name, place + 1 + (warmup if place < 0 else 0), next(noise), phase=phase,
                started_utc=f"{next(second):06}", ttft_s=0.1, ttfo_s=0.1, prompt_tokens=31, text="the same",
                foreign_cpu=0.02, server_cpu=4.0,
            )  # fmt: skip
            changes = fault(iteration, place) if fault is not None and name == "a" else {}
            view.apply(IterationDone(iteration=_changed(iteration, changes)))
    for name in names:
        view.apply(build.changed(name, planned=rounds, weights="Q8_0"))
    return view


def _changed(iteration: Iteration, changes: dict[str, float]) -> Iteration:
    times = changes.pop("times", 1.0)
    assert iteration.latency_s is not None
    fields = {name: getattr(iteration, name) for name in iteration.__struct_fields__}
    return Iteration(**(fields | {"latency_s": iteration.latency_s * times} | changes))


class Rates(NamedTuple):
    """Of `races`: those with any warning or void, with any note, and with each (code, level)."""

    races: int
    warned: int
    noted: int
    codes: Counter[tuple[str, str]]


def rates(name: str, backends: int, rounds: int, races: int, seed: int, warmup: int = WARMUP) -> Rates:
    """Judge fair races with this noise."""
    rng = random.Random(f"{seed} {name} {backends} {rounds} {warmup}")
    warned = noted = 0
    codes: Counter[tuple[str, str]] = Counter()
    for _ in range(races):
        view = race(NOISES[name](rng), backends, rounds, rng.getrandbits(32), warmup)
        seen = {(c.code, c.level) for c in without_noise(view.verdict().checks)}
        codes.update(seen)
        warned += any(level != "note" for _, level in seen)
        noted += any(level == "note" for _, level in seen)
    return Rates(races, warned, noted, codes)


def without_noise(checks: list[Check]) -> list[Check]:
    """The checks without own-error, which is about shown differences: the verdict's own errors."""
    return [check for check in checks if check.code != "own-error"]


def share(hits: int, of: int) -> str:
    """ "4.2": a share in percent."""
    return f"{100 * hits / of:.1f}"


def error(hits: int, of: int) -> float:
    """The standard error of a share, in percentage points."""
    return 100 * math.sqrt(hits * (of - hits) / of**3)


def cold(times: float) -> Fault:
    """The server starts cold: its first request takes this much longer, half of the rest after each warm-up."""

    def fault(iteration: Iteration, place: int) -> dict[str, float]:
        return {"times": 1 + (times - 1) * 2**-place} if place <= 0 else {}

    return fault


def slowing(iteration: Iteration, place: int) -> dict[str, float]:
    """This backend alone becomes slower by 2% with each of its requests."""
    return {"times": 1.02**place} if place > 0 else {}


def stray(iteration: Iteration, place: int) -> dict[str, float]:
    """One request takes three times as long."""
    return {"times": 3.0} if place == 4 else {}


def disturbed(iteration: Iteration, place: int) -> dict[str, float]:
    """Another program takes a core during every second request, which takes 30% longer."""
    return {"times": 1.3, "foreign_cpu": 1.0} if place % 2 and place >= 0 else {}


#: A true fault: the code of its check, its level, the noise, the number of warm-ups, the fault.
FAULTS: dict[str, tuple[str, str, str, int, Fault | None]] = {
    "cold by 50%": ("cold-start", "warning", "normal, 3%", 0, cold(1.5)),
    "cold by 50%, after 3 warm-ups": ("cold-start", "warning", "normal, 3%", 3, cold(1.5)),
    "cold by 50%, noise of 10%": ("cold-start", "warning", "normal, 10%", 0, cold(1.5)),
    "cold by 100%, noise of 10%": ("cold-start", "warning", "normal, 10%", 0, cold(2.0)),
    "cold by 100%, 1 in 10 up to 3x": ("cold-start", "warning", "1 in 10 takes up to 3x", 0, cold(2.0)),
    "the same after 3 warm-ups": ("cold-start", "warning", "1 in 10 takes up to 3x", 3, cold(2.0)),
    "all slow down by 2% a request": ("drift", "note", "2% slower with every request", 3, None),
    "one slows down by 2% a request": ("drift", "warning", "normal, 3%", 3, slowing),
    "one request takes 3x": ("outliers", "note", "normal, 3%", 3, stray),
    "the same, noise of 10%": ("outliers", "note", "normal, 10%", 3, stray),
    "others take a core, 30% slower": ("disturbed", "warning", "normal, 3%", 3, disturbed),
}


def found(name: str, rounds: int, races: int, seed: int) -> int:
    """In how many races of two backends this fault is reported, on `a`."""
    code, level, noise, warmup, fault = FAULTS[name]
    rng = random.Random(f"{seed} {name} {rounds}")
    hits = 0
    for _ in range(races):
        view = race(NOISES[noise](rng), 2, rounds, rng.getrandbits(32), warmup, fault)
        hits += any(c.code == code and c.level == level and "a" in c.backends for c in view.verdict().checks)
    return hits


def _fair(options: argparse.Namespace, pool: multiprocessing.pool.Pool) -> None:
    cells = list(itertools.product(options.backends, options.rounds))
    jobs = [(name, k, n, options.races, options.seed, options.warmup) for name in options.noise for k, n in cells]
    results = dict(zip([job[:3] for job in jobs], pool.starmap(rates, jobs, chunksize=1), strict=True))
    print(f"fair races with any false warning (with any note), in %; {options.races} races each; warm-ups:", end=" ")
    print(options.warmup)
    head = "".join(f"{f'K={k} n={n}':>14}" for k, n in cells)
    print(f"{'noise':30}{head}")
    for name in options.noise:
        row = [results[name, k, n] for k, n in cells]
        texts = [f"{share(r.warned, r.races)} ({share(r.noted, r.races)})" for r in row]
        print(f"{name:30}" + "".join(f"{text:>14}" for text in texts))
    most = max(r.warned for r in results.values())
    print(f"worst: {share(most, options.races)} +- {error(most, options.races):.1f}\n")
    print("by check: the worst of these noises, in %")
    print(f"{'check':30}{head}")
    for code, level in sorted({key for r in results.values() for key in r.codes}):
        worst = [max(results[name, k, n].codes[code, level] for name in options.noise) for k, n in cells]
        print(f"{f'{code} ({level})':30}" + "".join(f"{share(hits, options.races):>14}" for hits in worst))


def _power(options: argparse.Namespace, pool: multiprocessing.pool.Pool) -> None:
    print(f"true faults of one of two backends that are reported, in %; {options.races} races each")
    print(f"{'fault':34}{'check':12}{'level':9}" + "".join(f"{f'n={n}':>8}" for n in options.rounds))
    jobs = [(name, n, options.races, options.seed) for name in FAULTS for n in options.rounds]
    hits = dict(zip([job[:2] for job in jobs], pool.starmap(found, jobs, chunksize=1), strict=True))
    for name, (code, level, *_) in FAULTS.items():
        row = "".join(f"{share(hits[name, n], options.races):>8}" for n in options.rounds)
        print(f"{name:34}{code:12}{level:9}{row}")


def main() -> None:
    """Print the tables."""
    parser = command_line(__doc__)
    parser.add_argument("--races", type=int, default=1000)
    parser.add_argument("--backends", type=int, nargs="+", default=[2, 3, 5])
    parser.add_argument("--rounds", type=int, nargs="+", default=[10, 20, 50])
    parser.add_argument("--noise", nargs="+", choices=list(NOISES), default=list(NOISES), metavar="NAME")
    parser.add_argument("--warmup", type=int, default=WARMUP)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--power", action="store_true")
    options = parser.parse_args()
    with multiprocessing.Pool(options.jobs) as pool:
        (_power if options.power else _fair)(options, pool)


if __name__ == "__main__":
    main()
