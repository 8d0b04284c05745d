"""What the verdict on a load says at one level, a sentence each: who is faster, and by how much; then p95 and p99."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmtui.stats.attainment import attainment_differences
from llmtui.stats.checks.base import listed
from llmtui.stats.checks.comparability import spoiled
from llmtui.stats.compare import jointly
from llmtui.stats.tails import LEAST_ROUNDS, Tail
from llmtui.text.format import plural

if TYPE_CHECKING:
    from llmtui.stats.verdict import Verdict


def load_sentences(verdict: Verdict) -> list[str]:
    """The verdict at its level, what else is comparable there, and the percentiles of slow requests."""
    if verdict.at is None or not verdict.line:
        return []
    others = [*verdict.beside, *verdict.shapes, *_attainment_sentences(verdict), *tail_sentences(verdict.tails)]
    note = jointly(verdict.board.comparisons) if verdict.counts else ""
    return [verdict.line, *([note] if note else []), *(f"at {verdict.at.title}: {text}" for text in others)]


def _attainment_sentences(verdict: Verdict) -> list[str]:
    """Who keeps the objectives in more of the requests; the pairs of which that is not shown only at the end."""
    if verdict.at is None or not verdict.at.objectives:
        return []

    def comparable(one: str, two: str) -> bool:
        return spoiled(verdict.checks, "attainment", one, two) is None

    found = attainment_differences(verdict.samples, comparable, verdict.level_of_others)
    return [one.sentence for one in found if one.shown or verdict.done]


def tail_sentences(tails: Sequence[Tail]) -> list[str]:
    """One for each clear difference of a percentile, and one for all others of a pair."""
    sentences = [tail.sentence for tail in tails if tail.shown or tail.too_many_lost]
    for _, group in itertools.groupby(sorted(tails, key=_pair), key=_pair):
        rest = [tail for tail in group if not tail.shown and not tail.too_many_lost]
        unclear, few = [t for t in rest if t.bounded], [t for t in rest if not t.bounded]
        if unclear:
            names = listed(_pair(unclear[0]))
            sentences.append(f"no clear difference between {names} in {listed(tail.title for tail in unclear)}")
        if few and few[0].rounds < LEAST_ROUNDS:
            titles = listed(tail.title for tail in few)
            sentences.append(f"{titles}: {plural(few[0].rounds, 'round')} are too few: {LEAST_ROUNDS} are needed")
        elif few:
            titles = listed(tail.title for tail in few)
            sentences.append(f"{titles}: {plural(min(t.n for t in few), 'request')} are too few")
    return sentences


def _pair(tail: Tail) -> tuple[str, str]:
    one, two = sorted((tail.slower, tail.faster))
    return one, two
