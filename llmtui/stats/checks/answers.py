"""Did they give the same answers? Answers to one prompt, between backends and within one backend."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from llmtui.model import Iteration
from llmtui.stats.checks.base import Check, Entry, Race, each, listed

_OPENING_WORDS = 3


def answers_differ(race: Race) -> Iterator[Check]:
    """answers-differ: two backends answer the same prompt differently at temperature 0."""
    if race.config.temperature:
        return
    differing = [
        (openings / rounds, differ, rounds, one.name, two.name)
        for one, two in itertools.combinations(race.sampled, 2)
        for openings, differ, rounds in [_differences(race, one, two)]
        if differ
    ]
    if not differing:
        return
    openings, differ, rounds, first, second = max(differing)
    # Different first words point to another prompt or model, later differences to rounding.
    early = openings > 0.5
    yield Check(
        code="answers-differ",
        level="warning" if early else "note",
        backends=list(dict.fromkeys(name for *_, one, two in differing for name in (one, two))),
        text=f"{listed([first, second])} answered the same prompt at temperature 0 differently in {differ} of "
        f"{rounds} rounds{', mostly from the first words on' if early else ''}",
        todo="check in the texts whether model and chat template are the same"
        if early
        else "expected of different kernels and weights, which round differently; check that token counts are equal",
    )


def _differences(race: Race, one: Entry, two: Entry) -> tuple[int, int, int]:
    """The number of rounds whose openings differ, whose answers differ, and that can be compared (at least 1)."""
    if any(turn.talk_turns for turn in one.evidence.turns):
        return 0, 0, 1  # questions of conversations come in another order at each backend
    if race.config.fresh_prompt and one.backend.url and one.backend.url == two.backend.url:
        return 0, 0, 1  # one server never gets the same prompt twice
    if race.config.fresh_prompt and one.state.fresh_set != two.state.fresh_set:
        return 0, 0, 1  # nor does an engine that is behind both
    others = {_question(i): i.text for i in two.evidence.recent if i.text}
    pairs = [(i.text, others[_question(i)]) for i in one.evidence.recent if i.text and _question(i) in others]
    differ = [(a, b) for a, b in pairs if not (a.startswith(b) or b.startswith(a))]
    openings = sum(a.split()[:_OPENING_WORDS] != b.split()[:_OPENING_WORDS] for a, b in differ)
    return openings, len(differ), max(1, len(pairs))


def _question(iteration: Iteration) -> tuple[int, int, int, int]:
    """What the fresh first line of a prompt depends on, besides the run and the level of a load."""
    return iteration.attempt, iteration.part, iteration.iteration, iteration.request


def settings_ignored(race: Race) -> Iterator[Check]:
    """temperature-ignored, seed-ignored: one backend answers one prompt differently."""
    if race.config.fresh_prompt:
        return  # no prompt was sent twice
    texts = {e.name: [i.text for i in e.evidence.recent if i.text] for e in race.sampled}
    varied = {name: f"{n} in {len(answers)}" for name, answers in texts.items() if (n := _different(answers)) > 1}
    if not varied:
        return
    cold = not race.config.temperature
    yield Check(
        code="temperature-ignored" if cold else "seed-ignored",
        level="warning" if cold else "note",
        backends=list(varied),
        text=f"different answers to one prompt {'at temperature 0' if cold else 'with one seed'}: {each(varied)}",
        todo="check whether the server has other names for temperature and seed; set them in `options` of [[backend]]",
    )


def _different(texts: list[str]) -> int:
    """The number of different answers; an answer that only continues another one is not different."""
    kinds = sorted(set(texts))
    if not kinds:
        return 0
    return sum(not longer.startswith(text) for text, longer in zip(kinds, [*kinds[1:], "\0"], strict=True))
