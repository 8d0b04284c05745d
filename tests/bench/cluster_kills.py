"""Kills a Dask worker or the scheduler at random moments of a turn, and counts what is lost and what is left.

    python -m tests.bench.cluster_kills --kills 50

Lost are samples that were acknowledged to a worker and are not with the engine. Left are processes of the cluster's
workers that still run after 10 s.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec
import psutil

from llmtui.cluster.crew import ClusterCrew
from llmtui.cluster.remote_worker import RemoteWorker
from llmtui.load.messages import Batch, FromWorker, SliceDone
from llmtui.model import Iteration
from tests.bench.common import command_line, heading
from tests.cluster.helpers import Watched, dask, watched
from tests.load.helpers import slice_for, truth

WHICH = ("worker", "scheduler")
BOUND_S = 10.0
_decode = msgspec.msgpack.Decoder(FromWorker).decode


@dataclasses.dataclass
class Outcome:
    """The result of one kill. Times are in s since the kill."""

    which: str
    acknowledged: int = 0
    received: int = 0
    lost: int = 0
    left: int = 0
    noticed_s: float = 0.0
    gone_s: float = 0.0
    problem: str = ""


async def kill_one(which: str, url: str, folder: Path, chance: random.Random) -> Outcome:
    """Carry out a turn of two workers, and kill one process meanwhile."""
    outcome = Outcome(which)
    # A port of an earlier cluster may come again.
    _passed.clear()
    _samples_in.clear()
    async with dask(folder) as cluster, watched(cluster) as of:
        turn = asyncio.create_task(of.run(slice_for(url, streams=4, requests=10**6)))
        await begun(of)
        await asyncio.sleep(chance.uniform(0.0, 1.5))
        victim = cluster.scheduler if which == "scheduler" else chance.choice(cluster.workers)
        ending = cluster.measuring() if which == "scheduler" else psutil.Process(victim.pid).children()
        killed = time.monotonic()
        victim.kill()
        _, left = await asyncio.to_thread(psutil.wait_procs, ending, BOUND_S)
        outcome.gone_s = time.monotonic() - killed
        outcome.left = len(left)
        done: SliceDone = await turn
        outcome.noticed_s = time.monotonic() - killed
        if done.error is None:
            outcome.problem = "the turn was not marked"
        count(of.crew, of.samples, outcome)
    return outcome


async def begun(of: Watched) -> None:
    """Wait for the first sample."""
    while not of.samples:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def count(crew: ClusterCrew, samples: list[Iteration], outcome: Outcome) -> None:
    """Count what the engine has of what it acknowledged. Each worker numbers its frames, and none may be missing."""
    outcome.received = len(samples)
    for worker in crew._all:
        frames = _passed.get(worker.address, [])
        outcome.acknowledged += worker._acknowledged
        outcome.lost += worker._acknowledged - len(frames)
        if frames != list(range(1, len(frames) + 1)):
            outcome.problem += "frames are missing or twice"
    outcome.lost += _samples_in.pop("frames", 0) - len(samples)


#: The numbers of the frames that were passed on, by the address of the worker.
_passed: dict[str, list[int]] = {}
#: How many samples these frames had.
_samples_in: Counter[str] = Counter()


def record_frames() -> None:
    """Note each frame that a worker passes on to the engine."""
    ask = RemoteWorker._ask

    async def noting(self: RemoteWorker, what: object) -> object:
        answer = await ask(self, what)  # type: ignore[arg-type]
        frames = _passed.setdefault(self.address, [])
        for kept in answer.frames if answer is not None else ():
            if kept.seq > len(frames):
                frames.append(kept.seq)
                message = _decode(kept.frame)
                _samples_in["frames"] += len(message.samples) if isinstance(message, Batch) else 0
        return answer

    RemoteWorker._ask = noting  # type: ignore[assignment, method-assign]


async def kills(number: int, which: list[str], seed: int) -> list[Outcome]:
    """Kill this many of each kind, one after the other."""
    outcomes = []
    chance = random.Random(seed)
    async with truth(ttft_ms=5, itl_ms=1, slots=8) as url:
        for _ in range(number):
            for each in which:
                with tempfile.TemporaryDirectory(prefix="llmtui-cluster-") as folder:
                    outcome = await kill_one(each, url, Path(folder), chance)
                outcomes.append(outcome)
                if outcome.lost or outcome.left or outcome.problem:
                    print(f"kill {len(outcomes)}: {msgspec.to_builtins(outcome)}", flush=True)
                elif len(outcomes) % 10 == 0:
                    print(f"{len(outcomes)} kills so far", flush=True)
    return outcomes


def main() -> None:
    """Kill and count."""
    parser = command_line(__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each kind")
    parser.add_argument("--which", choices=WHICH, action="append")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)  # Dask's words about what was killed
    print(heading(f"kill -9, {arguments.kills} of each kind, seed {arguments.seed}"), flush=True)
    record_frames()
    outcomes = asyncio.run(kills(arguments.kills, arguments.which or list(WHICH), arguments.seed))
    print(
        f"{'killed':10} {'n':>4} {'samples':>8} {'frames':>8} {'lost':>5} {'left':>5} {'gone, most':>11} {'noticed':>8}"
    )
    for one in arguments.which or WHICH:
        of = [outcome for outcome in outcomes if outcome.which == one]
        print(
            f"{one:10} {len(of):4} {sum(o.received for o in of):8} {sum(o.acknowledged for o in of):8} "
            f"{sum(o.lost for o in of):5} {sum(o.left for o in of):5} {max(o.gone_s for o in of):9.2f} s "
            f"{max(o.noticed_s for o in of):6.2f} s"
        )
    sys.exit(any(o.lost or o.left or o.problem for o in outcomes))


if __name__ == "__main__":
    main()
