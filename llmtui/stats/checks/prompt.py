"""Did they read the same amount? Prompt tokens, reasoning, prefix caches."""

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

#: A server that reads the same prompt so many times faster than at first does not read it.
_CACHE_TIMES = 4.0
#: A few more tokens of a short prompt are soon read.
_PROMPT_STEP = 7
#: A chat template with a system prompt of its own makes this much difference at most.
_DOUBTFUL_TIMES = 20


def prompt_tokens(race: Race) -> Iterator[Check]:
    """prompt-tokens: one backend read more than the other."""
    medians = {e.name: m for e in race.sampled if (m := e.evidence.prompts.median) is not None}
    if len(set(medians.values())) < 2:
        return
    small = max(medians.values()) <= min(medians.values()) * (1 + SMALL_SHARE)
    apart = clusters(medians, share=VOID_SHARE)
    most, least = max(medians.values()), min(medians.values())
    void = len(apart) > 1 and most - least > _PROMPT_STEP
    # The same prompt is never counted so differently: one of the counts is wrong, or of other work.
    doubtful = void and most > _DOUBTFUL_TIMES * least
    instead = "tokens/s" if doubtful else "prefill tokens/s and tokens/s"
    yield Check(
        code="prompt-tokens",
        level="void" if void else "note" if small else "warning",
        backends=list(medians),
        text=f"different amounts of prompt tokens (median): {each({n: number(v) for n, v in medians.items()})}",
        todo="use the same model and chat template in each; a longer prompt makes the TTFT longer"
        + (f": compare by {instead}" if void else ""),
        sides=apart if void else alike({name: number(median) for name, median in medians.items()}),
        spoils=needing("start", *(("prompt counts",) if doubtful else ())) if void else [],
    )


def thinking(race: Race) -> Iterator[Check]:
    """thinking: one backend reasons before it answers, the other does not."""
    shares = {e.name: e.evidence.thinking / e.evidence.good for e in race.sampled}
    sides = clusters({name: float(share > 0.5) for name, share in shares.items()})
    if len(sides) < 2:
        if max(shares.values(), default=0.0) - min(shares.values(), default=0.0) > VOID_SHARE:
            yield Check(
                code="thinking",
                level="warning",
                backends=list(shares),
                text="reasoned before some of the answers, and not all alike: "
                f"{each({e.name: of(e.evidence.thinking, e.evidence.good) for e in race.sampled})}",
                todo="turn thinking on or off for all of them, with `options` in [[backend]]",
            )
        return
    yield Check(
        code="thinking",
        level="void",
        backends=list(shares),
        text=f"{listed(sides[1])} reasoned before the answer, {listed(sides[0])} did not",
        todo="turn thinking on or off for all of them, with `options` in [[backend]]",
        sides=sides,
        spoils=needing("start"),
    )


def prefix_cache(race: Race) -> Iterator[Check]:
    """prefix-cache: a prompt that was read before is not read again, by one of them or by nobody knows whom."""
    if read_faster := list(_read_faster(race)):
        yield from read_faster
        return
    shares = {e.name: share for e in race.sampled if (share := _cached(e)) is not None}
    silent = [e.name for e in race.sampled if _cached(e) is None]
    sides = clusters(shares, step=VOID_SHARE)
    used = {name: share for name, share in shares.items() if share > 0}
    told = each({name: f"{share:.0%}" for name, share in shares.items()})
    todo = "turn the server's prefix cache off" if race.config.fresh_prompt else "set fresh_prompt = true in [run]"
    much = max(used.values(), default=0.0) > VOID_SHARE
    if len(sides) > 1 or (much and silent):
        more = f"; {listed(silent)} did not tell" if silent else ""
        yield Check(
            code="prefix-cache",
            level="void",
            backends=[*shares, *silent],
            text=f"a prefix cache answered for part of the prompt, not for all alike: {told}{more}",
            todo=todo,
            # Who does not tell is held to have had no more from a cache than those who had the least.
            sides=[[*sides[0], *silent], *sides[1:]] if len(sides) > 1 else [silent, *sides],
            spoils=needing("cache"),
        )
    elif used:
        yield Check(
            code="prefix-cache",
            level="warning" if much else "note",
            backends=list(used),
            text=f"a prefix cache answered for {'' if much else 'a small '}part of the prompt: {told}",
            todo=todo if much else "nothing, where it is a chat template's own beginning",
        )
    elif silent and not race.config.fresh_prompt and len(race.sampled) > 1:
        yield Check(
            code="prefix-cache",
            level="warning",
            backends=silent,
            text=f"each prompt was the same, and {listed(silent)} did not tell how much of it came from a prefix cache",
            todo=todo,
        )


def _read_faster(race: Race) -> Iterator[Check]:
    """Some servers count the whole prompt whatever their cache had of it, and only the time for it tells (Ollama)."""
    if race.config.fresh_prompt:
        return
    found = {}
    for entry in race.sampled:
        first, since = entry.evidence.first_prefill_s, entry.evidence.prefill.median
        if first is None or since is None or entry.evidence.cached_share is not None:
            continue
        if first > _CACHE_TIMES * since:
            tokens = entry.evidence.prompts.median or 0
            found[entry.name] = f"{number(tokens)} tokens in {first * tokens:.3g} s, then in {since * tokens:.2g} s"
    if found:
        others = [e.name for e in race.sampled if e.name not in found]
        yield Check(
            code="prefix-cache",
            level="void" if others else "warning",
            backends=[e.name for e in race.sampled],
            text=f"each prompt was the same, and a prefix cache seems to answer for it: {each(found)} by its own clock",
            todo="set fresh_prompt = true in [run]",
            sides=[list(found), others] if others else [],
            spoils=needing("cache") if others else [],
        )


def _cached(entry: Entry) -> float | None:
    evidence = entry.evidence
    share = evidence.cached_share
    if share is None and entry.backend.protocol == "ollama" and evidence.no_prompt_count:
        # Older ones leave the count of the prompt out where the cache held all of it.
        return evidence.no_prompt_count / evidence.good
    return share
