"""How often does a load find a winner between equal servers? Real engine, worker, sockets, truth servers with slots.

    python -m tests.bench.equal_servers [--runs 200] [--rounds 10] [--streams 8 | --load 0.8] [--slower 0] [--noise 5]

Both backends are one truth server, which has 4 slots and a step that takes longer the more requests are in it. Each
request is scaled at random by `--noise` percent. The closed loop has twice as many streams as slots; with `--load` the
loop is open, at this share of what the servers can answer. One long run is cut into runs of 10 rounds, and each is
judged on its own, by turns. A winner is an error (goal: 4% to 6%); with `--slower 10` the second server is slower by
that many percent, and the verdict should find it. Beside it: what requests taken as independent would say (rank sums
over the same requests).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from llmtui.model import Backend, Load, Plan, Turn, TurnDone
from llmtui.runview.run import RunView
from llmtui.stats.buckets import Buckets, value_of
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.ranks import rank_sum_p
from tests import build
from tests.bench.calibration import Share
from tests.bench.common import command_line, heading
from tests.bench.engine_run import collected, truth_server, turns_of

SLOTS = 4
SLOPE = 0.1
TOKENS = 8
TTFT_MS = 8.0
ITL_MS = 2.0
#: Requests of a turn that settle it, and those that count.
SETTLE, REQUESTS = 8, 24


def plan_of(url: str, rounds: int, load: Load, slower: float, noise: float) -> Plan:
    """The plan of one long run."""
    backends = []
    for name, factor in (("a", 1.0), ("b", 1 + slower)):
        truth = {"ttft_ms": TTFT_MS * factor, "itl_ms": ITL_MS * factor} | ({"noise": noise} if noise else {})
        backends.append(Backend(name=name, url=url, options={"truth": truth}))
    metric = "latency" if load.levels[0].open else "output_tokens_per_s"
    made = build.plan(
        *backends, run=secrets.token_hex(4), created_utc="2026-01-01T00:00:00Z", iterations=rounds, warmup=1,
        max_tokens=TOKENS, on_disconnect="stop", metric=metric,
    )  # fmt: skip
    return msgspec.structs.replace(made, load=load)


async def turns(plan: Plan) -> list[Turn]:
    """Run the engine. Return the measured turns in the order in which they were made."""
    return [turn for turn in await collected(plan, turns_of) if turn.phase == "measured"]


def runs_of(plan: Plan, made: Sequence[Turn], rounds: int) -> Iterator[RunView]:
    """Cut a long run into runs of this many rounds."""
    parts: dict[int, list[Turn]] = defaultdict(list)
    for turn in made:
        number, place = divmod(turn.round - 1, rounds)
        parts[number].append(msgspec.structs.replace(turn, round=place + 1))
    config = msgspec.structs.replace(plan.config, iterations=rounds)
    for part in parts.values():
        view = build.run_view(msgspec.structs.replace(plan, config=config), keep=0)
        for turn in part:
            view.apply(TurnDone(turn=turn))
        for name in view.backends:
            view.apply(build.changed(name, planned=rounds))
        yield view


def by_requests(view: RunView, metric: Literal["latency", "ttft"]) -> str:
    """The backend that is faster if requests are taken as independent; "" without one."""
    values = {}
    for name, of in view.backends.items():
        values[name] = [
            value_of(index)
            for turn in of.evidence.turns
            for index, count in Buckets.decoded(turn.buckets.get(metric, [])).counts
            for _ in range(count)
        ]
    if rank_sum_p(values["a"], values["b"]) > 0.05:
        return ""
    return min(values, key=lambda name: sum(values[name]))


def report(views: Sequence[RunView], metrics: Sequence[MetricKey], slower: bool) -> None:
    """Print a line for each metric: how often each of the two wins, by turns and by requests."""
    for metric in metrics:
        won: Counter[str] = Counter()
        naive: Counter[str] = Counter()
        for view in views:
            view.plan = msgspec.structs.replace(
                view.plan, config=msgspec.structs.replace(view.plan.config, metric=metric)
            )
            board = view.verdict(metric).board
            won[board.fastest if board.metric == metric else "not comparable"] += 1
            if metric == "latency" or metric == "ttft":
                naive[by_requests(view, metric)] += 1
        word = "found" if slower else "a winner"
        share = Share(won["a"] if slower else won["a"] + won["b"], len(views))
        line = f"{METRICS[metric].title:16} {word} {share} (a {won['a']}, b {won['b']})"
        if won["not comparable"]:
            line += f", not comparable {won['not comparable']}"
        if naive:
            line += f"; by requests {Share(naive['a'] + naive['b'], len(views))} (a {naive['a']}, b {naive['b']})"
        print(line, flush=True)
    codes = Counter(f"{check.level} {check.code}" for view in views for check in view.verdict().checks)
    print("checks: " + (", ".join(f"{code} {count}" for code, count in codes.most_common()) or "none"))


async def main() -> None:
    """Run and report."""
    parser = command_line(__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--streams", type=int, default=2 * SLOTS)
    parser.add_argument("--load", type=float, default=0.0, help="an open loop at this share of what a server can do")
    parser.add_argument("--slower", type=float, default=0.0, help="how much slower the second server is, in percent")
    parser.add_argument("--noise", type=float, default=5.0, help="noise of the servers, in percent")
    given = parser.parse_args()
    answer_s = (TTFT_MS + (TOKENS - 1) * ITL_MS * (1 + SLOPE * (SLOTS - 1))) / 1e3
    load = Load(concurrency=[given.streams], requests=REQUESTS, settle=SETTLE)
    metrics: tuple[MetricKey, ...] = ("output_tokens_per_s", "latency", "ttft")
    if given.load:
        rate = round(given.load * SLOTS / answer_s, 1)
        load, metrics = Load(request_rate=[rate], requests=REQUESTS, settle=SETTLE), ("latency", "ttft")
    print(heading(f"{load.levels[0].title}, {SLOTS} slots; {given.runs} runs of {given.rounds} rounds each"))
    began = time.monotonic()
    async with truth_server("--slots", str(SLOTS), "--slope", str(SLOPE)) as url:
        plan = plan_of(url, given.runs * given.rounds, load, given.slower / 100, given.noise / 100)
        made = await turns(plan)
    print(f"{len(made)} turns in {time.monotonic() - began:.0f} s")
    report(list(runs_of(plan, made, given.rounds)), metrics, given.slower > 0)


if __name__ == "__main__":
    asyncio.run(main())
