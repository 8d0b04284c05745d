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

    def add(
        self, backend: str, ttfts_s: Mapping[str, Sequence[float]], errors_s: Mapping[str, float] | None = None
    ) -> list[str]:
        """Take the TTFTs of one turn by worker, in s, and return a sentence for each worker that is to be named now.

        A worker differs if the interval of its median and that of the others together are further apart than the own
        errors of the worker and of the others (`errors_s`, 0 where it is unknown).
        """
        found = {(backend, *each): words for each, words in _apart(ttfts_s, errors_s or {}).items()}
        of_others = {key: count for key, count in self._in_a_row.items() if key[0] != backend}
        self._in_a_row = of_others | {key: self._in_a_row.get(key, 0) + 1 for key in found}
        named = [words for key, words in found.items() if self._in_a_row[key] == IN_A_ROW]
        return [f"{words}, in {IN_A_ROW} turns in a row" for words in named]


def _apart(ttfts_s: Mapping[str, Sequence[float]], errors_s: Mapping[str, float]) -> dict[tuple[str, bool], str]:
    """Return the workers that differ in a turn, whether they are slower, and their TTFTs in words.

    The one that is furthest from the others is taken out before the rest is looked at: one slow worker would make the
    others look fast. Of two the slower one differs.
    """
    left = {name: sorted(values) for name, values in ttfts_s.items()}
    found: dict[tuple[str, bool], str] = {}
    while len(left) > 1:
        gaps: list[tuple[float, bool, str, str]] = []
        for name, ours in left.items():
            others = sorted(value for other, values in left.items() if other != name for value in values)
            mine, theirs = median_interval(ours), median_interval(others)
            if mine is None or theirs is None:
                continue
            margin_s = errors_s.get(name, 0.0) + max(errors_s.get(other, 0.0) for other in left if other != name)
            slower = mine[0] > theirs[1] + margin_s
            if slower or mine[1] + margin_s < theirs[0]:
                medians_s = statistics.median(ours), statistics.median(others)
                words = f"TTFT p50 {_ms(medians_s[0], mine)}, of the other workers {_ms(medians_s[1], theirs)}"
                gaps.append((round(abs(medians_s[0] - medians_s[1]), 9), slower, name, words))
        if not gaps:
            break
        _, slower, name, words = max(gaps)
        found[name, slower] = f"worker {name}: {words}"
        del left[name]
    return found


def _ms(median_s: float, interval: Interval) -> str:
    return f"{median_s * 1000:.2f} ms ({interval[0] * 1000:.2f} to {interval[1] * 1000:.2f})"
