"""The verdict of a load at all of its levels, in words: who is faster where, and what may not be concluded."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmtui.runview.run import RunView
from llmtui.stats.checks import Check, in_order
from llmtui.stats.checks.base import listed
from llmtui.stats.metrics import MetricKey
from llmtui.stats.verdict import Verdict


def verdicts(run_view: RunView, metric: MetricKey | None = None) -> list[Verdict]:
    """Return the verdict at each level that is shown, in the order of the config; [] for a race.

    Without a `metric` it is by the one that counts. Only the level that counts gives a star.
    """
    return [run_view.verdict(metric, level.number) for level in run_view.levels_shown]


def sentences(
    run_view: RunView, metric: MetricKey | None = None, *, others: bool = False, without: int = 0
) -> list[str]:
    """Return one sentence for each level with two backends: that of the level that counts, then the `others`.

    `others`: without the level that counts; `without` is the number of another level that is left out. [] for a race.
    """
    judged = [v for v in verdicts(run_view, metric) if v.at is not None and v.at.level.number != without]
    first = [] if others else [v for v in judged if v.at is not None and v.at.counts]
    rest = [v for v in judged if v.at is not None and not v.at.counts]
    return [verdict.line for verdict in (*first, *rest) if verdict.line]


def all_sentences(run_view: RunView) -> list[str]:
    """Return all that the verdicts say, level by level. What is so at several levels is said once, at the end."""
    judged = verdicts(run_view)
    said: dict[str, list[str]] = {}
    lines: list[tuple[str, str]] = []
    for verdict in judged:
        title = verdict.at.title if verdict.at is not None else ""
        for sentence in verdict.sentences:
            text = sentence.removeprefix(f"at {title}: ")
            if text == sentence:
                lines.append((sentence, ""))
                continue
            if text not in said:
                lines.append(("", text))
            said.setdefault(text, []).append(title)
    every = sum(bool(verdict.line) for verdict in judged)

    def at(titles: Sequence[str]) -> str:
        return "at every level" if len(titles) == every > 1 else f"at {listed(titles)}"

    lines.sort(key=lambda line: len(said.get(line[1], ())) > 1)
    return list(dict.fromkeys(whole or f"{at(said[text])}: {text}" for whole, text in lines))


def checks(run_view: RunView, metric: MetricKey | None = None) -> list[Check]:
    """Return the checks at all levels, each once: those that are not of all levels name theirs."""
    judged = [verdict for verdict in verdicts(run_view, metric) if verdict.samples]
    found: dict[tuple[str, ...], tuple[Check, list[str]]] = {}
    for verdict in judged:
        for check in verdict.checks:
            key = (check.code, check.level, check.text, *check.backends)
            found.setdefault(key, (check, []))[1].append(verdict.at.title if verdict.at is not None else "")
    return in_order(check if len(titles) == len(judged) else _named(check, titles) for check, titles in found.values())


def _named(check: Check, titles: Sequence[str]) -> Check:
    return msgspec.structs.replace(check, text=f"at {listed(titles)}: {check.text}")
