"""The verdict of a load at all of its levels, in words: who is faster where, and what may not be concluded."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmtui.runview.run import RunView
from llmtui.stats.checks import Check, in_order
from llmtui.stats.checks.base import listed
from llmtui.stats.metrics import MetricKey
from llmtui.stats.verdict import Verdict

#: More levels than these are counted and not listed.
LISTED = 4


def verdicts(run_view: RunView, metric: MetricKey | None = None) -> list[Verdict]:
    """Return the verdict at each level that is shown, in the order of the config; [] for a race.

    Without a `metric` it is by the one that counts. Only the level that counts gives a star.
    """
    return [run_view.verdict(metric, level.number) for level in run_view.levels_shown]


def sentences(
    run_view: RunView, metric: MetricKey | None = None, *, others: bool = False, without: int = 0
) -> list[str]:
    """Return one sentence for each level with two backends: that of the level that counts, then the `others`.

    Levels with the same sentence are together. `others`: without the level that counts; `without` is the number of
    another level that is left out. [] for a race.
    """
    every = verdicts(run_view, metric)
    judged = [v for v in every if v.at is not None and v.at.level.number != without]
    first = [] if others else [v for v in judged if v.at is not None and v.at.counts]
    rest = [v for v in judged if v.at is not None and not v.at.counts]
    count = sum(bool(verdict.line) for verdict in every)
    return [*(v.line for v in first if v.line), *_together([(_title(v), v.line) for v in rest if v.line], count)]


def all_sentences(run_view: RunView) -> list[str]:
    """Return all that the verdicts say, level by level. What is so at several levels is said once, at the end."""
    judged = verdicts(run_view)
    said = [(_title(verdict), sentence) for verdict in judged for sentence in verdict.sentences]
    return _together(said, sum(bool(verdict.line) for verdict in judged), last=True)


def _title(verdict: Verdict) -> str:
    return verdict.at.title if verdict.at is not None else ""


def _together(said: Sequence[tuple[str, str]], every: int, *, last: bool = False) -> list[str]:
    """Say sentences of levels, given with the level's title: once for those that differ in it alone.

    There are `every` levels. `last`: sentences of several levels go to the end.
    """
    titles: dict[str, list[str]] = {}
    wholes: dict[str, str] = {}
    for title, sentence in said:
        start = f"at {title}: "
        text = sentence.removeprefix("also ").removeprefix(start)
        key = text if sentence.removeprefix("also ").startswith(start) else sentence
        titles.setdefault(key, []).append(title)
        wholes.setdefault(key, sentence)
    several = {key for key, at in titles.items() if len(set(at)) > 1 and key != wholes[key]}
    order = sorted(titles, key=lambda key: key in several) if last else list(titles)
    return [f"{_at(titles[key], every)}: {key}" if key in several else wholes[key] for key in order]


def checks(run_view: RunView, metric: MetricKey | None = None) -> list[Check]:
    """Return the checks at all levels, each once: those that are not of all levels name theirs."""
    judged = [verdict for verdict in verdicts(run_view, metric) if verdict.samples]
    found: dict[tuple[str, ...], tuple[Check, list[str]]] = {}
    for verdict in judged:
        for check in verdict.checks:
            key = (check.code, check.level, check.text, *check.backends)
            found.setdefault(key, (check, []))[1].append(verdict.at.title if verdict.at is not None else "")
    every = len(judged)
    return in_order(
        check if len(titles) == every else msgspec.structs.replace(check, text=f"{_at(titles, every)}: {check.text}")
        for check, titles in found.values()
    )


def _at(titles: Sequence[str], every: int) -> str:
    """ "at 1 stream and 4 streams", or "at 7 of 8 levels": a long list would hide what it is about."""
    if len(titles) == every:
        return "at every level"
    return f"at {listed(titles)}" if len(titles) <= LISTED else f"at {len(titles)} of {every} levels"
