"""Simulated runs as the screen and `compare` see them: servers with launches, a machine that wanders, reruns.

`tests.bench.verdicts` asks how often what they conclude is right. A field that this version of llmtui does not have,
such as the launch of an iteration, is left out, so that the same questions can be asked of an older version.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmtui.model import Backend, Iteration, IterationDone, Order, Plan, RunConfig
from llmtui.runview.run import RunView
from llmtui.stats.between import Mean, between
from llmtui.stats.metrics import MetricKey
from tests import build
from tests.bench.calibration import DEFAULT_ORDER, Noise, plain, race

_OF_AN_ITERATION = frozenset(Iteration.__struct_fields__)
_OF_A_RUN = frozenset(RunConfig.__struct_fields__)
_OF_A_PLAN = frozenset(Plan.__struct_fields__)
_TOKENS = 64


@dataclasses.dataclass(frozen=True)
class World:
    """What varies besides the requests, as standard deviations of logarithms (0.01: 1%).

    `launch`: a server from launch to launch, each server on its own. `wander`: the machine, and with it all servers,
    from run to run and from attempt to attempt.
    """

    launch: float = 0.0
    wander: float = 0.0
    noise: Noise = plain


STILL = World()


def has(*settings: str) -> bool:
    """Whether this version of llmtui has these settings of [run]."""
    return _OF_A_RUN.issuperset(settings)


def part(module: str) -> Any:
    """This module of llmtui, None if this version has none of that name."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        return None


#: What earlier runs tell about the spread between launches and between runs; None if this version does not ask them.
EARLIER = part("llmtui.stats.earlier")


def names_of(count: int) -> str:
    """The names of this many backends, as one string."""
    return "abcdefghijkl"[:count]


def attempt(
    rng: random.Random,
    factors: Mapping[str, float],
    rounds: int,
    world: World = STILL,
    *,
    launches: int = 1,
    number: int = 1,
    order: Order = DEFAULT_ORDER,
    after: int = 0,
) -> list[Iteration]:
    """One attempt of the backends that are slower by these factors, in the order of the starts.

    The first iteration starts `after` seconds, one each second. Launch `k` of `launches` begins with the round in which
    the engine would restart the servers.
    """
    machine = math.exp(rng.gauss(0, world.wander))
    drawn = {name: [math.exp(rng.gauss(0, world.launch)) for _ in range(launches)] for name in factors}
    raced = race(world.noise(rng), list(factors.values()), rounds, order, rng.getrandbits(32))
    started: list[tuple[str, str, Iteration]] = []
    for name, iterations in zip(factors, raced.values(), strict=True):
        started += [(iteration.started_utc, name, iteration) for iteration in iterations]
    started.sort(key=lambda each: each[0])
    made = []
    for second, (_, name, iteration) in enumerate(started, after + 1):
        block = (iteration.iteration - 1) * launches // rounds
        assert iteration.latency_s is not None
        fields: dict[str, Any] = {
            "backend": name,
            "attempt": number,
            "started_utc": f"{second:06}",
            "latency_s": iteration.latency_s * machine * drawn[name][block],
            "output_tokens": _TOKENS,
            "token_source": "usage",
            "finish_reason": "length",
        }
        fields |= {key: value for key, value in {"launch": block + 1, "seq": second}.items() if key in _OF_AN_ITERATION}
        made.append(msgspec.structs.replace(iteration, **fields))
    return made


def with_tokens(rng: random.Random, made: Sequence[Iteration], noise: Noise = plain) -> list[Iteration]:
    """The same iterations with a first token, a decode phase and a typical gap that vary independently of each other.

    A fifth of the latency is until the first token.
    """
    firsts, decodes, gaps = noise(rng), noise(rng), noise(rng)
    changed = []
    for iteration in made:
        ttft_s, decode_s = 0.2 * next(firsts), 0.8 * next(decodes)
        gap_s = decode_s / (_TOKENS - 1)
        changed.append(
            msgspec.structs.replace(
                iteration,
                latency_s=ttft_s + decode_s,
                ttft_s=ttft_s,
                ttfo_s=ttft_s,
                itl_s=gap_s * next(gaps),
                tpot_s=gap_s,
                tokens_per_s=1 / gap_s,
            )
        )
    return changed


def view_of(
    names: Sequence[str],
    made: Sequence[Iteration] = (),
    *,
    run: str = "r",
    day: int = 1,
    launched: bool = False,
    spreads: Sequence[Any] = (),
    **settings: Any,
) -> RunView:
    """A finished run of these backends on this day of a month. `launched`: llmtui launched the servers.

    `spreads` are those between launches in the history; `settings` go to [run].
    """
    servers = [
        Backend(name=name, launch=["server", name]) if launched else Backend(name=name, url=f"http://127.0.0.1:{port}")
        for port, name in enumerate(names, 8001)
    ]
    known = {key: value for key, value in settings.items() if key in _OF_A_RUN}
    plan = build.plan(*servers, run=run, created_utc=f"2026-11-{day:02}T12:00:00Z", **known)
    more = {"spreads": list(spreads)} if "spreads" in _OF_A_PLAN else {}
    view = build.run_view(msgspec.structs.replace(plan, **more), keep=0)
    see(view, made)
    return view


def see(view: RunView, made: Sequence[Iteration]) -> None:
    """Show these iterations of one attempt to `view`, which then sees its backends done."""
    planned = view.plan.config.iterations
    for name in dict.fromkeys(iteration.backend for iteration in made):
        number = max(iteration.attempt for iteration in made if iteration.backend == name)
        view.apply(build.changed(name, state="running", attempt=number, planned=planned))
    for iteration in made:
        view.apply(IterationDone(iteration=iteration))
    for name in dict.fromkeys(iteration.backend for iteration in made):
        view.apply(build.changed(name, attempt=view.backends[name].state.attempt, planned=planned))


def launch_spreads(rng: random.Random, names: Sequence[str], rounds: int, world: World, runs: int) -> list[Any]:
    """How far launches differ, as the engine reads it from a history of this many runs of equal servers."""
    means: dict[tuple[str, str, MetricKey], list[Mean]] = defaultdict(list)
    for _ in range(runs):
        made = by_name(attempt(rng, dict.fromkeys(names, 1.0), rounds, world))
        for one, two in itertools.combinations(names, 2):
            for metric, launches in EARLIER.launch_means(made[one], made[two]).items():
                means[one, two, metric] += launches
    pair_spread = part("llmtui.model.spread").PairSpread
    spreads = {key: spread for key, of in means.items() if (spread := between(of)) is not None}
    return [
        pair_spread(one=one, two=two, metric=metric, spread=spread) for (one, two, metric), spread in spreads.items()
    ]


def by_name(made: Sequence[Iteration]) -> dict[str, list[Iteration]]:
    """These iterations by backend."""
    found: dict[str, list[Iteration]] = defaultdict(list)
    for iteration in made:
        found[iteration.backend].append(iteration)
    return found
