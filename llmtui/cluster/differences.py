"""Names the workers whose figures differ from those of the others: their machine or their network is another one."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from llmtui.stats.intervals import Interval, median_interval

#: A worker is named after it differed in this many turns of a backend in a row: requests of one turn are no
#: independent sample.
IN_A_ROW = 3


class Differences:
    """Takes the TTFTs of the workers, turn by turn."""

    def __init__(self) -> None:
        self._in_a_row: dict[tuple[str, str, bool], int] = {}

    def add(self, backend: str, ttfts_s: Mapping[str, Sequence[float]]) -> list[str]:
        """Take the TTFTs of one turn by worker, in s, and return a sentence for each worker that is to be named now.

        A worker differs if the interval of its median has nothing in common with that of the others together.
        """
        sentences = []
        for name, own in ttfts_s.items():
            others = sorted(value for other, values in ttfts_s.items() if other != name for value in values)
            ours = sorted(own)
            mine, theirs = median_interval(ours), median_interval(others)
            for slower in (True, False):
                key = (backend, name, slower)
                if mine is None or theirs is None or not _apart(mine, theirs, slower):
                    self._in_a_row.pop(key, None)
                    continue
                self._in_a_row[key] = in_a_row = self._in_a_row.get(key, 0) + 1
                if in_a_row == IN_A_ROW:
                    sentences.append(
                        f"worker {name}: TTFT p50 {_ms(statistics.median(ours), mine)}, of the other workers "
                        f"{_ms(statistics.median(others), theirs)}, in {IN_A_ROW} turns in a row"
                    )
        return sentences


def _apart(mine: Interval, theirs: Interval, slower: bool) -> bool:
    return mine[0] > theirs[1] if slower else mine[1] < theirs[0]


def _ms(median_s: float, interval: Interval) -> str:
    return f"{median_s * 1000:.2f} ms ({interval[0] * 1000:.2f} to {interval[1] * 1000:.2f})"
