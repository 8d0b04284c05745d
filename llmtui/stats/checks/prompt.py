"""Did they do the same work before the answer? Prompt tokens, reasoning, prefix caches."""

from __future__ import annotations

from collections.abc import Iterator

from llmtui.stats.checks.base import (
    SMALL_SHARE,
    VOID_SHARE,
    Check,
    Entry,
    Race,
    alike,
    clusters,
    each,
    listed,
    number,
    of,
)
from llmtui.stats.metrics import needing
from llmtui.text.format import figure

#: A server that reads the same prompt this many times faster than the first time has cached it.
_CACHE_TIMES = 4.0
#: This many equal answers to different prompts are no chance.
_SAME_ANSWERS = 5
_ROLES = {"system": "in a system message", "user": "in the prompt"}
#: A short prompt with this many more tokens takes hardly longer to read.
_PROMPT_STEP = 7
#: A chat template with its own system prompt makes at most this much difference.
_DOUBTFUL_TIMES = 20


def prompt_tokens(race: Race) -> Iterator[Check]:
    """prompt-tokens: one backend read more tokens than another."""
    medians = {e.name: m for e in race.sampled if (m := e.evidence.prompts.median) is not None}
    if len(set(medians.values())) < 2:
        return
    small = max(medians.values()) <= min(medians.values()) * (1 + SMALL_SHARE)
    apart = clusters(medians, share=VOID_SHARE)
    most, least = max(medians.values()), min(medians.values())
    if race.other_prompts:
        apart, small = [], True
    void = len(apart) > 1 and most - least > _PROMPT_STEP
    # Counts of one prompt never differ this much: one of them is wrong, or is for other work.
    doubtful = void and most > _DOUBTFUL_TIMES * least
    instead = "tokens/s" if doubtful else "prefill tokens/s and tokens/s"
    yield Check(
        code="prompt-tokens",
        level="void" if void else "note" if small else "warning",
        backends=list(medians),
        text=f"different numbers of prompt tokens (median): {each({n: number(v) for n, v in medians.items()}, apart)}",
        todo="use the same model and chat template everywhere, as a longer prompt makes the TTFT longer"
        + (f"; or compare by {instead}" if void else ""),
        sides=apart if void else alike({name: number(median) for name, median in medians.items()}),
        spoils=needing("start", *(("prompt counts",) if doubtful else ())) if void else [],
    )


def fresh_line(race: Race) -> Iterator[Check]:
    """fresh-line: the line that makes each prompt a new one is not in the same message for all."""
    if not race.config.fresh_prompt:
        return
    roles = {e.name: _ROLES[e.state.fresh_role] for e in race.sampled if e.state.fresh_role is not None}
    sides = alike(roles)
    if len(sides) > 1:
        yield Check(
            code="fresh-line",
            level="warning",
            backends=list(roles),
            text=f"the line that makes each prompt a new one is not at the same place: {each(roles)}; without a system "
            "message a server may add one of its own",
            todo="rerun all (R) if a server refused it in this run; use protocols with a chat for all",
            sides=sides,
        )


def thinking(race: Race) -> Iterator[Check]:
    """thinking: one backend reasons before it answers, another does not."""
    # hidden-tokens is about silent thinking, and an answer in one piece does not show what came first.
    entries = [e for e in race.sampled if not e.evidence.mostly_hidden and (e.evidence.thinking or not _whole(e))]
    shares = {e.name: e.evidence.thinking / e.evidence.good for e in entries}
    sides = clusters({name: float(share > 0.5) for name, share in shares.items()})
    todo = "turn thinking on or off for all backends, with `options` in [[backend]]"
    if len(sides) < 2:
        if max(shares.values(), default=0.0) - min(shares.values(), default=0.0) > VOID_SHARE:
            yield Check(
                code="thinking",
                level="warning",
                backends=list(shares),
                text="some answers start with reasoning, not equally often: "
                f"{each({e.name: of(e.evidence.thinking, e.evidence.good, race.unit) for e in entries})}",
                todo=todo,
            )
        return
    yield Check(
        code="thinking",
        level="void",
        backends=list(shares),
        text=f"{listed(sides[1])} reasoned before the answer, {listed(sides[0])} did not",
        todo=todo,
        sides=sides,
        spoils=needing("start"),
    )


def _whole(entry: Entry) -> bool:
    return 2 * entry.evidence.whole > entry.evidence.good


def prefix_cache(race: Race) -> Iterator[Check]:
    """prefix-cache: a cache answered for a prompt, or its use is not reported."""
    if any(turn.talk_turns for e in race.sampled for turn in e.evidence.turns):
        return  # a conversation uses the cache on purpose, and its share is reported by question
    if read_faster := [*_read_faster(race), *_system_ignored(race)]:
        yield from read_faster
        return
    shares = {e.name: share for e in race.sampled if (share := _cached(e)) is not None}
    silent = [e.name for e in race.sampled if _cached(e) is None]
    sides = clusters(shares, step=VOID_SHARE)
    used = {name: share for name, share in shares.items() if share > 0}
    percentages = each({name: f"{share:.0%}" for name, share in shares.items()}, sides)
    todo = "turn off the server's prefix cache" if race.config.fresh_prompt else "set fresh_prompt = true in [run]"
    much = max(used.values(), default=0.0) > VOID_SHARE
    if len(sides) > 1 or (much and silent):
        more = f"; {listed(silent)} did not report it" if silent else ""
        yield Check(
            code="prefix-cache",
            level="void",
            backends=[*shares, *silent],
            text=f"a prefix cache answered for part of the prompt, not equally for all: {percentages}{more}",
            todo=todo,
            # A server that does not report its cache is put with those that used theirs least.
            sides=[[*sides[0], *silent], *sides[1:]] if len(sides) > 1 else [silent, *sides],
            spoils=needing("cache"),
        )
    elif used:
        yield Check(
            code="prefix-cache",
            level="warning" if much else "note",
            backends=list(used),
            text=f"a prefix cache answered for {'' if much else 'a small '}part of the prompt: {percentages}",
            todo=todo if much else "none needed if it is the start of a chat template",
        )
    elif silent and not race.config.fresh_prompt and not race.prompts.given and len(race.sampled) > 1:
        yield Check(
            code="prefix-cache",
            level="warning",
            backends=silent,
            text=f"all prompts were equal, and {listed(silent)} did not report how much came from a prefix cache",
            todo=todo,
        )


def cache_unknown(race: Race) -> Iterator[Check]:
    """cache-unknown: the prompt's tokens per second need to know how many came from a cache (Ollama counts all).

    A fresh first line does not help: the beginning of the chat template may come from the cache of each iteration.
    """
    silent = [e.name for e in race.sampled if _cached(e) is None and not _computes_all(e)]
    if silent and len(race.sampled) > 1:
        yield Check(
            code="cache-unknown",
            level="note",
            backends=silent,
            text=f"{listed(silent)} did not report how many prompt tokens came from a cache, so prefill tokens/s are "
            "not compared",
            todo="compare by tokens/s, or by TTFT if the prompts are equally long",
            spoils=needing("cached counts"),
        )


def _computes_all(entry: Entry) -> bool:
    """Whether its prompts are computed in full: llmtui started the engine without a cache, or nothing was streamed."""
    return bool(entry.backend.embedded) or not entry.evidence.metrics["prefill_tokens_per_s"].values


def _read_faster(race: Race) -> Iterator[Check]:
    """Servers that count cached tokens as read (Ollama): only the time for the prompt shows that it was cached."""
    if race.config.fresh_prompt or race.prompts.given:  # a long prompt is read at another speed than a short one
        return
    times = {e.name: words for e in race.sampled if (words := _faster_words(e))}
    if times:
        others = [e.name for e in race.sampled if e.name not in times]
        yield Check(
            code="prefix-cache",
            level="void" if others else "warning",
            backends=[e.name for e in race.sampled],
            text="all prompts were equal, and a prefix cache seems to have answered for them: "
            f"{each(times)} by the server's clock",
            todo="set fresh_prompt = true in [run]",
            sides=[list(times), others] if others else [],
            spoils=needing("cache") if others else [],
        )


def _faster_words(entry: Entry) -> str:
    """How much faster later prompts were read than the first, "" if a cache is not suspected, or its use reported."""
    first, since = entry.evidence.first_prefill_s, entry.evidence.prefill.median
    if first is None or since is None or entry.evidence.cached_share is not None or first <= _CACHE_TIMES * since:
        return ""
    tokens = entry.evidence.prompts.median or 0
    return f"{number(tokens)} tokens in {figure(first * tokens, 's')}, then in {figure(since * tokens, 's')}"


def _system_ignored(race: Race) -> Iterator[Check]:
    """Servers that drop the system message with the fresh line: every prompt is the same one then."""
    if race.config.temperature or not race.config.fresh_prompt:
        return
    times = {
        e.name: words
        for e in race.sampled
        if e.state.fresh_role == "system" and _one_answer(e) and (words := _faster_words(e))
    }
    if times:
        yield Check(
            code="prefix-cache",
            level="warning",
            backends=list(times),
            text="the system message that makes each prompt a new one seems to be ignored, as all answers are the same "
            f"and later prompts are read faster: {each(times)} by the server's clock",
            todo="check the server's chat template; set another prompt, to see whether the answers still are the same",
        )


def _one_answer(entry: Entry) -> bool:
    """Whether all of several answers begin with the same text."""
    texts = [i.text for i in entry.evidence.recent if i.text]
    return len(texts) >= _SAME_ANSWERS and len(set(texts)) == 1


def _cached(entry: Entry) -> float | None:
    evidence = entry.evidence
    share = evidence.cached_share
    if share is None and entry.backend.protocol == "ollama" and evidence.no_prompt_count:
        # Old versions omit the prompt's count if the cache had all of it.
        return evidence.no_prompt_count / evidence.good
    return share
