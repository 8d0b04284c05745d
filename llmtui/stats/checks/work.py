"""Did they do the same work? Tokens out and in, why answers ended, model, weights, thinking, caches."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmtui.plain import plain
from llmtui.stats.checks.base import Check, Entry, Level, Race, alike, clusters, each, listed, number
from llmtui.stats.summary import METRICS, Metric

#: Medians further apart than this are different work.
VOID_SHARE = 0.10
#: Counts closer than this may be two ways of counting (an end-of-sequence token, a chat template).
SMALL_SHARE = 0.02
_WHOLE: list[Metric] = ["latency"]
_START: list[Metric] = ["latency", "ttft"]
#: What names of models have besides the model.
_NOT_THE_MODEL = re.compile(
    r"\.(gguf|llamafile|safetensors|bin)$|[-_.:](latest|instruct|it|chat|hf|gguf|awq|gptq|mlx|i?q\d\w*|bf16|f16|fp16"
    r"|f32|fp32|fp8|int[48]|\d+bit)(?=$|[-_.:])"
)
_NAMELESS = frozenset({"", "default", "model", "none"})
_WEIGHTS_WORDS = {"BFLOAT16": "BF16", "FLOAT16": "F16", "FP16": "F16", "HALF": "F16", "FLOAT32": "F32", "FP32": "F32"}


def output_tokens(race: Race) -> Iterator[Check]:
    """output-tokens: one backend wrote more than the other."""
    counted = [e for e in race.sampled if len(e.evidence.outputs)]
    medians = {e.name: e.evidence.outputs.median or 0.0 for e in counted}
    means = {e.name: e.evidence.output_mean or 0.0 for e in counted}
    if len(counted) < 2 or (len(set(medians.values())) == 1 and max(means.values()) - min(means.values()) < 1e-9):
        return
    sides = clusters(medians, share=VOID_SHARE)
    level: Level = "note"
    if len(sides) > 1:
        level = "void"
    elif max(means.values()) > min(means.values()) * (1 + SMALL_SHARE):
        level = "warning"
    told, kind = (medians, "median") if len(set(medians.values())) > 1 else (means, "mean")
    forced = race.config.full_length
    yield Check(
        code="output-tokens",
        level=level,
        backends=list(medians),
        text=f"different amounts of output tokens ({kind}): {each({n: number(v) for n, v in told.items()})}",
        todo=("lower max_tokens to what every backend reaches" if forced else "set full_length = true in [run]")
        + ", or compare by tokens/s",
        sides=sides if level == "void" else [],
        spoils=_WHOLE if level == "void" else [],
    )


def stop_reason(race: Race) -> Iterator[Check]:
    """stop-reason: answers ended before their budget, in one backend more often than in another."""
    ended = {e.name: e.evidence for e in race.sampled if e.evidence.reasons}
    early = {name: evidence.ended_early or 0.0 for name, evidence in ended.items()}
    if not any(early.values()):
        return
    sides = alike({name: evidence.reasons.most_common(1)[0][0] for name, evidence in ended.items()})
    if len(sides) < 2:
        sides = clusters(early, step=VOID_SHARE)
    reasons = {n: "/".join(f"{reason} {k}x" for reason, k in e.reasons.most_common(3)) for n, e in ended.items()}
    void = len(sides) > 1
    how = "for different reasons" if void else "before max_tokens was reached"
    yield Check(
        code="stop-reason",
        level="void" if void else "warning",
        backends=list(early) if void else [name for name, share in early.items() if share],
        text=f"answers ended {how}: {each(reasons)}",
        todo="lower max_tokens to what every backend reaches, or compare by tokens/s"
        if race.config.full_length
        else "set full_length = true in [run], so that every answer has max_tokens tokens, or compare by tokens/s",
        sides=sides if void else [],
        spoils=_WHOLE if void else [],
    )


def prompt_tokens(race: Race) -> Iterator[Check]:
    """prompt-tokens: one backend read more than the other."""
    medians = {e.name: m for e in race.sampled if (m := e.evidence.prompts.median) is not None}
    if len(set(medians.values())) < 2:
        return
    small = max(medians.values()) <= min(medians.values()) * (1 + SMALL_SHARE)
    yield Check(
        code="prompt-tokens",
        level="note" if small else "warning",
        backends=list(medians),
        text=f"different amounts of prompt tokens (median): {each({n: number(v) for n, v in medians.items()})}",
        todo="use the same model and chat template in each; a longer prompt makes the TTFT longer",
        sides=alike({name: number(median) for name, median in medians.items()}),
    )


def model(race: Race) -> Iterator[Check]:
    """model: not the same one, as far as names and digests tell."""
    named = [e for e in race.sampled if _family(_model(e)) not in _NAMELESS]
    families = {e.name: _family(_model(e)) for e in named}
    digests = {e.name: e.state.model_digest for e in named if e.state.model_digest}
    if len(set(families.values())) < 2 and len(set(digests.values())) < 2:
        return
    if len(digests) == len(named) and len(set(digests.values())) == 1:
        return  # several names of one file
    told = {e.name: _model(e) for e in named}
    sides = _kin(families)
    if len(set(families.values())) < 2:
        sides, told = alike(digests), {name: digest[:19] for name, digest in digests.items()}
    clear = len(sides) > 1
    yield Check(
        code="model",
        level="void" if clear else "warning",
        backends=list(told),
        text=f"{'different models' if clear else 'perhaps not the same model'}: {each(told)}",
        todo="give every backend the same model",
        sides=sides if clear else alike(families),
        spoils=list(METRICS) if clear else [],
    )


def weights(race: Race) -> Iterator[Check]:
    """weights, weights-unknown: another quantisation, or nobody knows which."""
    known = {e.name: w for e in race.sampled if (w := _weights(e))}
    silent = [e.name for e in race.sampled if not _weights(e)]
    if len(set(known.values())) > 1:
        yield Check(
            code="weights",
            level="warning",
            backends=list(known),
            text=f"different arithmetic: {each(known)}; fewer bits a weight are faster to read from memory",
            todo="give every backend the same weights; an embedded engine takes `weights` in its [[backend]]",
            sides=alike(known),
        )
    if known and silent:
        yield Check(
            code="weights-unknown",
            level="note",
            backends=silent,
            text=f"{listed(silent)} did not tell the weights; the others compute with {each(known)}",
            todo="name them: `weights` in [[backend]]",
        )


def context_length(race: Race) -> Iterator[Check]:
    """context-length: another room for prompt and answer, or too little."""
    room = {e.name: e.state.context_tokens for e in race.sampled if e.state.context_tokens}
    small = {
        e.name: f"{e.state.context_tokens} of {number(need)}"
        for e in race.sampled
        if e.state.context_tokens
        and (need := (e.evidence.prompts.median or 0) + race.config.max_tokens) > e.state.context_tokens
    }
    if small:
        yield Check(
            code="context-length",
            level="warning",
            backends=list(small),
            text=f"too little context for prompt and answer (tokens): {each(small)}",
            todo="start the server with more context, or lower max_tokens",
        )
    elif len(set(room.values())) > 1:
        yield Check(
            code="context-length",
            level="note",
            backends=list(room),
            text=f"different context lengths (tokens): {each(room)}",
            todo="start the servers with the same context length",
            sides=alike({name: str(tokens) for name, tokens in room.items()}),
        )


def thinking(race: Race) -> Iterator[Check]:
    """thinking: one backend reasons before it answers, the other does not."""
    shares = {e.name: e.evidence.thinking / e.evidence.good for e in race.sampled}
    sides = clusters({name: float(share > 0.5) for name, share in shares.items()})
    if len(sides) < 2:
        return
    yield Check(
        code="thinking",
        level="void",
        backends=list(shares),
        text=f"{listed(sides[1])} reasoned before the answer, {listed(sides[0])} did not",
        todo="turn thinking on or off for all of them, with `options` in [[backend]]",
        sides=sides,
        spoils=_START,
    )


def prefix_cache(race: Race) -> Iterator[Check]:
    """prefix-cache: a prompt that was read before is not read again, by one of them or by nobody knows whom."""
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
            spoils=_START,
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


def _model(entry: Entry) -> str:
    return plain(entry.state.model or entry.backend.model, 80)


def _family(name: str) -> str:
    """A model's name without folder, file type, weights and the like: "llama3.2:1b" is "Llama-3.2-1B-Instruct.gguf"."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    while (shorter := _NOT_THE_MODEL.sub("", last)) != last:
        last = shorter
    return re.sub(r"[^a-z0-9.]", "", last)


def _kin(families: dict[str, str]) -> list[list[str]]:
    """Names of backends by model; a name that holds another ("qwen2.50.5b" in "qwen2.50.5bcoder") may be the same."""
    found: dict[str, list[str]] = {}
    for name in sorted(families, key=lambda n: len(families[n])):
        found.setdefault(next((f for f in found if f in families[name]), families[name]), []).append(name)
    return list(found.values())


def _weights(entry: Entry) -> str:
    told = plain(entry.state.weights or entry.backend.weights, 40).upper()
    told = re.sub(r" - (SMALL|MEDIUM|LARGE)$", lambda m: f"_{m[1][0]}", told)
    return _WEIGHTS_WORDS.get(told, told)


def _cached(entry: Entry) -> float | None:
    evidence = entry.evidence
    share = evidence.cached_share
    if share is None and entry.backend.protocol == "ollama" and evidence.no_prompt_count:
        # Older ones leave the count of the prompt out where the cache held all of it.
        return evidence.no_prompt_count / evidence.good
    return share
