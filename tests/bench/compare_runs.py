"""How often is `compare A B` right, on a machine whose speed changes from run to run? Simulated pairs of runs.

    python -m tests.bench.compare_runs [--pairs 1000] [--rounds 10] [--wander 0.05] [--launch 0]
                                       [--noise 0.03] [--seed 1] [--jobs 1] [--failures]

Every pair goes through the public functions `across` and `gate`. In each run the times of all backends are multiplied
by one factor, log-normal with the standard deviation `--wander`, those of each backend by another one, `--launch`, and
every request has its own log-normal noise. Shares are of pairs of runs:

- equal: A and B are the same. Any claim is an error, and so is a broken gate of 5%.
- slower: one backend is truly 10% slower in B. It should be shown, and the gate must not hold. A claim about another
  one, also that all of them changed, is an error.

Backends: 1 to 5 in both runs; 1 and 3 with 12 earlier runs in the history; 1, 2 and 3 with 5 runs of each side.
`--failures`: equal backends of which some requests fail, and how often any is said to fail more. Every share has its
own 95% interval.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import multiprocessing
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llmtui.model import Backend, BackendState, Failure, Iteration, RunConfig
from llmtui.stats.checks import Evidence
from llmtui.stats.compare_runs import across, paired
from llmtui.stats.gate import gate
from llmtui.stats.rounds import Rounds
from llmtui.stats.run_differences import Side
from tests import build
from tests.bench.calibration import Share
from tests.bench.common import command_line

NAMES = "abcdefgh"
SLOWER = 1.1
PERCENT = 5.0
MACHINE = build.machine()
_FAILED = Failure(kind="http", message="overloaded")


class Setting(NamedTuple):
    """The number of backends, of runs of each side, and of earlier runs."""

    backends: int
    runs: int = 1
    earlier: int = 0

    def __str__(self) -> str:
        more = f", {self.runs} runs each" if self.runs > 1 else f", {self.earlier} earlier runs" if self.earlier else ""
        return f"{self.backends} backend{'s' if self.backends > 1 else ''}{more}"


SETTINGS = (
    *(Setting(backends) for backends in (1, 2, 3, 5)),
    *(Setting(backends, earlier=12) for backends in (1, 3)),
    *(Setting(backends, runs=5) for backends in (1, 2, 3)),
)


@dataclasses.dataclass(frozen=True)
class Made:
    """A contender with these samples."""

    backend: Backend
    state: BackendState
    evidence: Evidence
    rounds: Rounds
    latencies: Sequence[float] = ()


class Noise(NamedTuple):
    """The standard deviations, on logarithms, of requests, of whole runs, and of launches of a server.

    `failing` is the share of requests that fail.
    """

    request: float
    run: float
    launch: float = 0.0
    failing: float = 0.0


def side(rng: random.Random, run: str, factors: Sequence[float], rounds: int, noise: Noise) -> Side:
    """Simulate one run, whose backends take turns in random order and take 1 s times their factor."""
    machine = math.exp(rng.gauss(0, noise.run))
    names = NAMES[: len(factors)]
    launched = [factor * math.exp(rng.gauss(0, noise.launch)) for factor in factors]
    made: dict[str, list[Iteration]] = {name: [] for name in names}
    second = 0
    for number in range(1, rounds + 1):
        for name in rng.sample(names, len(names)):
            second += 1
            latency = machine * launched[names.index(name)] * math.exp(rng.gauss(0, noise.request))
            more: dict[str, Any] = {"error": _FAILED} if rng.random() < noise.failing else {}
            more["started_utc"] = f"{second:06}"
            made[name].append(build.answered(name, number, latency, run=run, tokens_per_s=64 / latency, **more))
    launch = ["server"] if noise.launch else []
    contenders = {name: _contender(name, launch, of, rounds) for name, of in made.items()}
    return Side(run, "", RunConfig(iterations=rounds), MACHINE, contenders)


def _contender(name: str, launch: list[str], iterations: Sequence[Iteration], rounds: int) -> Made:
    good = [i for i in iterations if i.ok]
    return Made(
        Backend(name=name, launch=launch), build.state(name, planned=rounds), Evidence(iterations), Rounds(good)
    )


def pair(
    rng: random.Random, setting: Setting, factors: Sequence[float], rounds: int, noise: Noise
) -> Mapping[str, bool]:
    """Simulate a pair of runs; `factors` are those of the backends in B. Return what is claimed."""
    equal = [1.0] * setting.backends
    befores = [side(rng, f"a{n}", equal, rounds, noise) for n in range(setting.runs)]
    afters = [side(rng, f"b{n}", factors, rounds, noise) for n in range(setting.runs)]
    more: dict[str, Any] = {}
    if setting.runs > 1:
        more = {"before": befores[:-1], "after": afters[:-1]}
    elif setting.earlier:
        more = {"earlier": [side(rng, f"e{n}", equal, rounds, noise) for n in range(setting.earlier - 1)] + befores}
    a, b = befores[-1], afters[-1]
    result = across(a, b, paired(a, b), **more)
    broken, silent = gate(result, PERCENT)
    return {
        "claims": any(o.shown for o in result.outcomes),
        "found": result.outcomes[0].shown == "slower",
        "others": any(o.shown for o in result.outcomes[1:]) or any(c.shown and c.real for c in result.common),
        "breaks": bool(broken),
        "holds": not broken and not silent,
        "fails": any(o.fails_more for o in result.outcomes),
    }


def shares(setting: Setting, slower: float, pairs: int, rounds: int, noise: Noise, seed: int) -> dict[str, Share]:
    """Return the shares of pairs with each kind of claim if the first backend is slower by this factor in B."""
    rng = random.Random(f"{seed} {setting} {slower} {noise}")
    factors = [slower, *[1.0] * (setting.backends - 1)]
    seen = [pair(rng, setting, factors, rounds, noise) for _ in range(pairs)]
    return {kind: Share(sum(one[kind] for one in seen), pairs) for kind in seen[0]}


def _line(setting: Setting, pairs: int, rounds: int, noise: Noise, seed: int) -> str:
    same = shares(setting, 1.0, pairs, rounds, noise, seed)
    slow = shares(setting, SLOWER, pairs, rounds, noise, seed)
    return (
        f"{setting!s:26} equal: claims {same['claims']}, breaks {same['breaks']}, holds {same['holds']}\n"
        f"{'':26} slower: shown {slow['found']}, another one claimed {slow['others']}, breaks {slow['breaks']}, "
        f"holds {slow['holds']}"
    )


def _failures_line(of: tuple[int, float, int], pairs: int, seed: int) -> str:
    backends, failing, rounds = of
    seen = shares(Setting(backends), 1.0, pairs, rounds, Noise(0.03, 0.0, failing=failing), seed)
    return f"{backends} backends, {rounds} rounds, {100 * failing:.0f}% fail: said to fail more {seen['fails']}"


def main() -> None:
    """Print the shares of each setting."""
    parser = command_line(__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--wander", type=float, default=0.05)
    parser.add_argument("--launch", type=float, default=0.0)
    parser.add_argument("--noise", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--failures", action="store_true", help="equal backends of which some requests fail")
    given = parser.parse_args()
    print(f"{given.pairs} pairs of runs, seed {given.seed}; 95% intervals in parentheses")
    with multiprocessing.Pool(given.jobs) as pool:
        if given.failures:
            kinds = [
                (backends, failing, rounds) for backends in (1, 5) for failing in (0.1, 0.3) for rounds in (20, 50)
            ]
            lines = pool.imap(functools.partial(_failures_line, pairs=given.pairs, seed=given.seed), kinds)
        else:
            noise = Noise(given.noise, given.wander, given.launch)
            print(
                f"{given.rounds} rounds, noise {100 * given.noise:g}%, runs wander by {100 * given.wander:g}%; gate 5%"
            )
            of = functools.partial(_line, pairs=given.pairs, rounds=given.rounds, noise=noise, seed=given.seed)
            lines = pool.imap(of, SETTINGS)
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
