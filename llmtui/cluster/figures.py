"""What each worker of a cluster measured in a turn."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence

from llmtui.cluster.remote_worker import RemoteWorker
from llmtui.load.messages import Slice
from llmtui.model import Iteration, WorkerFigures


class Figures:
    """Takes the samples of one turn."""

    def __init__(self) -> None:
        self._ttfts_s: dict[int, list[float]] = defaultdict(list)
        self._requests: Counter[int] = Counter()

    def add(self, samples: Sequence[Iteration]) -> None:
        """Add samples."""
        for sample in samples:
            if sample.share == "window":
                self._requests[sample.worker] += 1
                if sample.ok and sample.ttft_s is not None and not sample.loaded:
                    self._ttfts_s[sample.worker].append(sample.ttft_s)

    def ttfts_s(self, members: Sequence[RemoteWorker]) -> dict[str, list[float]]:
        """Return the TTFTs of each worker of the turn by its name, in s."""
        return {member.name: self._ttfts_s[number] for number, member in _numbered(members)}

    def of(self, members: Sequence[RemoteWorker], of: Slice) -> list[WorkerFigures]:
        """Return the figures of the workers of a turn."""
        return [
            WorkerFigures(
                worker=number,
                name=member.name,
                requests=self._requests[number],
                ttft_s=statistics.median(ttfts_s) if (ttfts_s := self._ttfts_s[number]) else None,
                connect_s=member.survey.connect_s(of.url),
                clock_within_s=member.survey.clock_within_s,
                own_error_s=member.survey.own_error_s(of.level, len(members)),
                others=member.others,
            )
            for number, member in _numbered(members)
        ]


def _numbered(members: Sequence[RemoteWorker]) -> list[tuple[int, RemoteWorker]]:
    """Return the workers with the numbers that their requests have."""
    return [(0, members[0])] if len(members) == 1 else list(enumerate(members, 1))
