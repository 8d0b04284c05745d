"""Conversations of a turn: figures by question, users who think, and conversations that failed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmtui.model import Iteration, TalkTurn
from llmtui.stats.durations import Durations
from llmtui.stats.turn_edges import rate_of


class Talks:
    """Takes the requests of a window as they end; `figures` are the fields of `llmtui.model.Turn`."""

    def __init__(self) -> None:
        self._by_turn: defaultdict[int, _Questions] = defaultdict(_Questions)
        self._failed = 0
        self._thought_s: defaultdict[int, float] = defaultdict(float)

    def add(self, sample: Iteration) -> None:
        """Add a request of the window, good or failed."""
        if not sample.talk:
            return
        self._thought_s[sample.worker] += sample.thought_s or 0.0
        if not sample.ok:
            # The server is not at fault if the turn was stopped.
            self._failed += sample.error is not None and sample.error.kind != "stopped"
        elif not sample.loaded:
            self._by_turn[sample.talk_turn].add(sample)

    def figures(self, windows: Mapping[int, tuple[float, float]]) -> dict[str, Any]:
        """Return the fields of a turn with these windows of its workers (s), {} without: none without conversations."""
        if not (self._by_turn or self._failed):
            return {}
        turns = [questions.figures(turn) for turn, questions in sorted(self._by_turn.items())]
        known = [each.prompt_tokens for each in turns if each.prompt_tokens is not None]
        # A median would depend on how many questions of each length happen to be in the window.
        prompts = {"prompt_tokens": round(sum(known) / len(known))} if known else {}
        return prompts | {
            "talks_failed": self._failed,
            "talk_turns": turns,
            "thinking": rate_of(self._thought_s, windows),
        }


class _Questions:
    """The good answers to the same question of their conversations."""

    def __init__(self) -> None:
        self._n = 0
        self._ttft = Durations()
        self._prompts: list[int] = []
        self._cached = self._of_cached = 0

    def add(self, sample: Iteration) -> None:
        self._n += 1
        if sample.ttft_s is not None:
            self._ttft.add((sample.ttft_s,))
        if sample.prompt_tokens is not None:
            self._prompts.append(sample.prompt_tokens)
            if sample.cached_tokens is not None:
                self._cached += sample.cached_tokens
                self._of_cached += sample.prompt_tokens

    def figures(self, turn: int) -> TalkTurn:
        return TalkTurn(
            turn=turn,
            n=self._n,
            ttft_s=self._ttft.median,
            prompt_tokens=sum(self._prompts) / len(self._prompts) if self._prompts else None,
            cached_share=self._cached / self._of_cached if self._of_cached else None,
        )


def together(turns: Iterable[Sequence[TalkTurn]]) -> list[TalkTurn]:
    """Return the figures by question of several turns of a load: means weighted by n."""
    by_turn: defaultdict[int, list[TalkTurn]] = defaultdict(list)
    for of in turns:
        for each in of:
            by_turn[each.turn].append(each)
    return [
        TalkTurn(
            turn=turn,
            n=sum(each.n for each in group),
            ttft_s=_mean(group, "ttft_s"),
            prompt_tokens=_mean(group, "prompt_tokens"),
            cached_share=_mean(group, "cached_share"),
        )
        for turn, group in sorted(by_turn.items())
    ]


def _mean(group: Sequence[TalkTurn], name: str) -> float | None:
    known = [(value, each.n) for each in group if (value := getattr(each, name)) is not None]
    weight = sum(n for _, n in known)
    return sum(value * n for value, n in known) / weight if weight else None
