"""Did they say the same? Answers to one and the same prompt, between backends and within one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from llmtui.model import Iteration
from llmtui.stats.checks.base import Check, Entry, Race, each, listed

_OPENING_WORDS = 3


def answers_differ(race: Race) -> Iterator[Check]:
    """answers-differ: another answer to the same prompt at temperature 0, between backends."""
    if race.config.temperature:
        return
    found = [
        (begin / rounds, differ, rounds, one.name, two.name)
        for one, two in itertools.combinations(race.sampled, 2)
        for begin, differ, rounds in [_apart(race, one, two)]
        if differ
    ]
    if not found:
        return
    begin, differ, rounds, first, second = max(found)
    # Rounds that differ from the first words on speak of another prompt or model; later ones of rounding.
    early = begin > 0.5
    yield Check(
        code="answers-differ",
        level="warning" if early else "note",
        backends=list(dict.fromkeys(name for *_, one, two in found for name in (one, two))),
        text=f"{listed([first, second])} gave different answers to the same prompt at temperature 0, in {differ} of "
        f"{rounds} rounds{', most of them from the first words on' if early else ''}",
        todo="look at the texts: is it the same model and chat template?"
        if early
        else "other kernels and weights round otherwise; make sure that the amounts of tokens are the same",
    )


def _apart(race: Race, one: Entry, two: Entry) -> tuple[int, int, int]:
    """In how many rounds the openings differ, in how many the answers, and how many there are to compare."""
    if race.config.fresh_prompt and one.backend.url and one.backend.url == two.backend.url:
        return 0, 0, 1  # one server is never asked the same twice
    others = {_question(i): i.text for i in two.evidence.recent if i.text}
    pairs = [(i.text, others[_question(i)]) for i in one.evidence.recent if i.text and _question(i) in others]
    differ = [(a, b) for a, b in pairs if not (a.startswith(b) or b.startswith(a))]
    begin = sum(a.split()[:_OPENING_WORDS] != b.split()[:_OPENING_WORDS] for a, b in differ)
    return begin, len(differ), max(1, len(pairs))


def _question(iteration: Iteration) -> tuple[int, int, int]:
    """What the fresh first line of a prompt depends on, besides the run."""
    return iteration.attempt, iteration.part, iteration.iteration


def settings_ignored(race: Race) -> Iterator[Check]:
    """temperature-ignored, seed-ignored: one backend answers one prompt in several ways."""
    if race.config.fresh_prompt:
        return  # no prompt came twice
    texts = {e.name: [i.text for i in e.evidence.recent if i.text] for e in race.sampled}
    varied = {name: f"{n} in {len(told)}" for name, told in texts.items() if (n := _different(told)) > 1}
    if not varied:
        return
    cold = not race.config.temperature
    yield Check(
        code="temperature-ignored" if cold else "seed-ignored",
        level="warning" if cold else "note",
        backends=list(varied),
        text=f"different answers to one prompt with {'temperature 0' if cold else 'one seed'}: {each(varied)}",
        todo="see whether the server takes temperature and seed by these names; `options` in [[backend]] can say more",
    )


def _different(texts: list[str]) -> int:
    """How many answers there are; one that only goes on where another ended is no other."""
    kinds = sorted(set(texts))
    if not kinds:
        return 0
    return sum(not longer.startswith(text) for text, longer in zip(kinds, [*kinds[1:], "\0"], strict=True))
