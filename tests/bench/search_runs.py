"""Does a search in a real engine find what a truth server can do? Real worker, sockets, server with slots.

    python -m tests.bench.search_runs [knee] [slo] [--runs 50] [--slots 4] [--until 16] [--rounds 6]

The server answers 4 requests at a time, each as fast as one alone, so its throughput stops growing at 4 streams, and
from 5 streams on a request waits for a slot: the TTFT is then a third of an answer and more.

`knee`: is 4 within the interval, in at most half the requests of a sweep of all candidates? `slo`: the objective is a
TTFT below half the time of an answer, kept by 80%. All requests keep it up to 4 streams, and at 6 half of them wait
for half an answer or longer. Is nothing false said of any level, and what was undecided? Goals: 95% of 50 runs.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections import Counter

import msgspec

from llmtui.model import Backend, Load, Plan, Search, Slo
from llmtui.model.load import ladder
from llmtui.stats.knee import knee_of
from llmtui.stats.most_streams import most_streams
from llmtui.stats.probes import Probe, probes_of
from tests import build
from tests.bench.common import command_line, heading
from tests.bench.engine_run import collected, truth_server, turns_of

#: An answer of 48 ms in few tokens: what the client and the server need for one is a small part of it.
TOKENS = 12
ITL_MS = 4.0
TTFT_MS = 4.0
#: Requests of a turn, which is short: many runs have to fit into a quarter of an hour.
REQUESTS = {"knee": 10, "slo": 16}
SHARE = 0.8
#: How long one answer takes, in s.
ANSWER_S = (TTFT_MS + ITL_MS * (TOKENS - 1)) / 1000


def plan_of(url: str, kind: Search, until: int, rounds: int) -> Plan:
    """The plan of one search."""
    made = build.plan(
        Backend(name="truth", url=url), run=secrets.token_hex(4), created_utc="2026-01-01T00:00:00Z",
        iterations=rounds, warmup=1, max_tokens=TOKENS, on_disconnect="stop", metric="output_tokens_per_s",
    )  # fmt: skip
    load = Load(concurrency=[1, until], requests=REQUESTS[kind], search=kind)
    slo = Slo(ttft_s=ANSWER_S / 2, share=SHARE) if kind == "slo" else Slo()
    return msgspec.structs.replace(made, load=load, slo=slo)


def knee_result(probes: list[Probe], plan: Plan, slots: int) -> tuple[bool, str]:
    """Whether the true knee is within the interval of a search, and the interval."""
    knee = knee_of(probes, plan.load)
    if knee is None:
        return False, "no knee"
    text = f"{knee.streams} ({knee.low} to {knee.high})"
    if not knee.reached:
        return knee.low <= slots, f"{knee.low} or more"
    return knee.low <= slots <= knee.high, text


def most_result(probes: list[Probe], plan: Plan, slots: int) -> tuple[bool, str]:
    """Whether nothing false is said of any level, and what is said. Up to the slots no request waits."""
    most = most_streams(probes, plan.load, plan.slo.share)
    # At one stream more a fifth of the requests wait for less than half an answer: there it may be either.
    surely = slots + 2
    right = most.kept < surely and (most.missed is None or most.missed > slots)
    between = f", undecided {most.undecided[0]} to {most.undecided[1]}" if most.undecided else ""
    return right, f"kept {most.kept}{between}"


async def main() -> None:
    """Run the searches and print what they found."""
    parser = command_line(__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="knee, slo; both by default")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--until", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    kinds: list[Search] = given.kinds or ["knee", "slo"]
    if unknown := set(kinds) - {"knee", "slo"}:
        parser.error(f"unknown kind: {', '.join(sorted(unknown))}")
    missed = False
    print(heading(f"searches of a server with {given.slots} slots, 1..{given.until}, {given.rounds} rounds a probe"))
    paces = ["--itl-ms", str(ITL_MS), "--ttft-ms", str(TTFT_MS)]
    async with truth_server("--slots", str(given.slots), *paces) as url:
        for kind in kinds:
            began, right, said, shares = time.monotonic(), 0, Counter[str](), []
            for _ in range(given.runs):
                plan = plan_of(url, kind, given.until, given.rounds)
                turns = await collected(plan, turns_of)
                probes = probes_of(turns, plan.levels, given.rounds, over=True)
                of = knee_result if kind == "knee" else most_result
                holds, text = of(probes, plan, given.slots)
                right += holds
                said[text] += 1
                # Warm-up turns and what settles a turn have their share in both.
                counted = sum(turn.requests for turn in turns if turn.phase == "measured")
                grid = sum(plan.load.requests_of(level) for level in plan.levels) * given.rounds
                shares.append(counted / grid)
            percent = 100 * right / given.runs
            missed |= percent < 95 or max(shares) > 0.5
            took = (time.monotonic() - began) / given.runs
            print(
                f"{kind}: right in {right} of {given.runs} ({percent:.0f}%, goal 95%); requests of all "
                f"{len(ladder(given.until))} levels: {100 * sum(shares) / len(shares):.0f}%, at most "
                f"{100 * max(shares):.0f}% (goal 50%); {took:.1f} s a run"
            )
            for text, count in said.most_common():
                print(f"    {count:4}  {text}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    asyncio.run(main())
