"""Did they do the same work? Tokens out and in, why answers ended, model, weights, thinking, caches."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from llmtui.stats.checks.base import Check, Entry, Level, Race, alike, clusters, each, grouped, listed, number, of
from llmtui.stats.compare import rounds
from llmtui.stats.metrics import METRICS, needing
from llmtui.text import sanitize

#: Medians, means, or the two answers of a round further apart than this are different work.
VOID_SHARE = 0.10
#: So many rounds, or such a share of them, may be of different work. By symmetry one round, whichever of the two it
#: favours, does not make a test of signed ranks err more often; two on the same side make it err about twice as often
#: among ten. One in 50 of many rounds moves the sum of ranks by less than half its deviation.
ODD_ROUNDS = 1
ODD_SHARE = 0.02
#: Counts closer than this may be two ways of counting (an end-of-sequence token, a chat template).
SMALL_SHARE = 0.02
#: A server that reads the same prompt so many times faster than at first does not read it.
_CACHE_TIMES = 4.0
#: An end-of-sequence token is one; a median may lie between two counts.
_COUNTED_APART = 1.5
#: So many tokens of an answer may arrive together with others by chance.
_STRAY_TOKENS = 2
#: A few more tokens of a short prompt are soon read.
_PROMPT_STEP = 7
#: A chat template with a system prompt of its own makes this much difference at most.
_DOUBTFUL_TIMES = 20
#: What names of models have besides the model.
_NOT_THE_MODEL = re.compile(
    r"\.(gguf|llamafile|safetensors|bin)$|[-_.:](latest|instruct|it|chat|hf|gguf|awq|gptq|mlx|i?q\d\w*|bf16|f16|fp16"
    r"|f32|fp32|fp8|int[48]|\d+bit)(?=$|[-_.:])"
)
_NAMELESS = frozenset({"", "default", "model", "none"})
_WEIGHTS_WORDS = {"BFLOAT16": "BF16", "FLOAT16": "F16", "FP16": "F16", "HALF": "F16", "FLOAT32": "F32", "FP32": "F32"}


def output_tokens(race: Race) -> Iterator[Check]:
    """output-tokens: one backend wrote more than the other, over all or round by round."""
    yield from _told_lengths(race, [e for e in race.sampled if e.evidence.counts_told])
    yield from _untold_lengths(race)


def _told_lengths(race: Race, told: list[Entry]) -> Iterator[Check]:
    if len(told) < 2 or _constant(told):
        return
    medians = {e.name: e.evidence.outputs.median or 0.0 for e in told}
    means = {e.name: e.evidence.outputs.mean or 0.0 for e in told}
    uneven = {(one.name, two.name): _uneven(one, two) for one, two in itertools.combinations(told, 2)}

    def same(one: Entry, two: Entry) -> bool:
        odd, made, _ = uneven.get((one.name, two.name)) or uneven[two.name, one.name]
        whole = any(_apart(values[one.name], values[two.name]) for values in (medians, means))
        whole |= _more_work(medians[one.name], medians[two.name])
        return not whole and odd <= max(ODD_ROUNDS, ODD_SHARE * made)

    (first, second), (odd, made, worst) = max(uneven.items(), key=lambda pair: pair[1][0])
    unequal = len(set(medians.values())) > 1 or max(means.values()) - min(means.values()) > 1e-9
    if not unequal and not odd:
        return
    sides = grouped(sorted(told, key=lambda e: medians[e.name]), same)
    level: Level = "note"
    if len(sides) > 1:
        level = "void"
    elif odd or _apart(*means.values(), share=SMALL_SHARE):
        level = "warning"
    by_median = _more_work(max(medians.values()), min(medians.values()))
    by_median |= len(set(medians.values())) > 1 and not _apart(*means.values())
    values, kind = (medians, "median") if by_median else (means, "mean")
    if odd and not (by_median or _apart(*values.values())):
        place, one, two = worst
        text = f"answers of different length in {odd} of {made} rounds: {each({first: one, second: two})} tokens in "
        text += f"round {place}"
    else:
        text = f"different amounts of output tokens ({kind}): {each({n: number(v) for n, v in values.items()})}"
    yield _other_length(race, level, text, [e.name for e in told], sides)


def _untold_lengths(race: Race) -> Iterator[Check]:
    """Where nobody told how many tokens there were, the texts tell whether it was the same amount of work."""
    known = [e for e in race.sampled if len(e.evidence.characters)]
    medians = {e.name: e.evidence.characters.median or 0.0 for e in known}
    means = {e.name: e.evidence.characters.mean or 0.0 for e in known}
    done: set[str] = set()
    for entry in (e for e in known if not e.evidence.counts_told):
        done.add(entry.name)
        others = [
            name
            for name in medians
            if name not in done and any(_apart(of[entry.name], of[name]) for of in (medians, means))
        ]
        if others:
            names = [name for name in medians if name in (entry.name, *others)]
            values = medians if _apart(*(medians[name] for name in names)) else means
            text = f"answers of different length: {each({n: number(values[n]) for n in names})} characters"
            yield _other_length(race, "void", text, names, [others, [entry.name]], counted=False)


def _other_length(
    race: Race, level: Level, text: str, names: list[str], sides: list[list[str]], *, counted: bool = True
) -> Check:
    void = level == "void"
    todo = "lower max_tokens to what every backend reaches"
    if not race.config.full_length:
        todo = "set full_length = true in [run]"
    return Check(
        code="output-tokens",
        level=level,
        backends=names,
        text=text,
        todo=todo + ", or compare by tokens/s" * counted,
        sides=sides if void else [],
        spoils=needing("length") if void else [],
    )


def _more_work(one: float, two: float) -> bool:
    """Whether typical answers differ by more than ways of counting do: a small difference of work is still one."""
    return _apart(one, two, share=SMALL_SHARE) and abs(one - two) > _COUNTED_APART


def _apart(*values: float, share: float = VOID_SHARE) -> bool:
    return max(values) > min(values) * (1 + share)


def _constant(told: list[Entry]) -> bool:
    """Whether each answer of each of them had the same number of tokens."""
    return len({e.evidence.outputs[at] for e in told for at in (0, len(e.evidence.outputs) - 1)}) == 1


def _told_rounds(one: Entry, two: Entry) -> list[tuple[int, int, int]]:
    """The newest rounds of these two: their numbers, with the output tokens that each of them told."""
    return [
        (a.iteration, a.output_tokens, b.output_tokens)
        for a, b in rounds(one.evidence.recent, two.evidence.recent)
        if a.output_tokens is not None and b.output_tokens is not None
        if "arrivals" not in (a.token_source, b.token_source)
    ]


def _uneven(one: Entry, two: Entry) -> tuple[int, int, tuple[int, int, int]]:
    """In how many rounds the amounts are apart, of how many, and the round where they are furthest."""
    told = _told_rounds(one, two)
    odd = [a_round for a_round in told if _apart(*a_round[1:])]
    return len(odd), len(told), max(odd, key=lambda r: max(r[1:]) / max(1, min(r[1:])), default=(0, 0, 0))


def stop_reason(race: Race) -> Iterator[Check]:
    """stop-reason: answers ended before their budget, in one backend more often than in another."""
    ended = [e for e in race.sampled if e.evidence.reasons]
    early = {e.name: e.evidence.ended_early or 0.0 for e in ended}
    if not any(early.values()):
        return
    unlike = {
        (one.name, two.name): _same_amount(one, two)
        for one, two in itertools.combinations(ended, 2)
        if _reason(one) != _reason(two) or abs(early[one.name] - early[two.name]) > VOID_SHARE
    }
    sides = grouped(ended, lambda one, two: unlike.get((one.name, two.name), True))
    void = len(sides) > 1
    level: Level = "void" if void else "note" if unlike else "warning"
    how = {
        "void": "for different reasons",
        "note": "for different reasons, after the same number of tokens",
        "warning": "before max_tokens was reached",
    }[level]
    reasons = {e.name: "/".join(f"{reason} {k}x" for reason, k in e.evidence.reasons.most_common(3)) for e in ended}
    todo = "set full_length = true in [run], so that every answer has max_tokens tokens, or compare by tokens/s"
    if level == "note":
        todo = "nothing, where servers call the same end by different names: the work was the same"
    elif race.config.full_length:
        todo = "lower max_tokens to what every backend reaches, or compare by tokens/s"
    yield Check(
        code="stop-reason",
        level=level,
        backends=[name for name, share in early.items() if share] if level == "warning" else list(early),
        text=f"answers ended {how}: {each(reasons)}",
        todo=todo,
        sides=sides if void else [],
        spoils=needing("length") if void else [],
    )


def _reason(entry: Entry) -> str:
    return entry.evidence.reasons.most_common(1)[0][0]


def _same_amount(one: Entry, two: Entry) -> bool:
    """Whether both told as many output tokens, in each answer or round by round."""
    both = (one.evidence, two.evidence)
    if any(len(e.outputs) < e.good for e in both):
        return False
    ends = [e.outputs[at] for e in both for at in (0, len(e.outputs) - 1)]
    if not _apart(*ends, share=SMALL_SHARE):
        return True
    told = _told_rounds(one, two)
    return bool(told) and not any(_apart(*amounts, share=SMALL_SHARE) for _, *amounts in told)


def tokens_per_arrival(race: Race) -> Iterator[Check]:
    """tokens-per-arrival: one sends several tokens at a time, so that its gaps lie between larger pieces.

    A busy machine reads two arrivals as one now and then: that is chance, and in the spread of the ITL already.
    """
    told = {e.name: e.evidence.per_arrival for e in race.sampled}
    ratios = {name: median for name, ratio in told.items() if (median := ratio.median) is not None}
    shortest = min((e.evidence.outputs.median or 1.0 for e in race.sampled if e.name in ratios), default=1.0)
    sides: list[list[str]] = []
    for side in clusters(ratios, share=VOID_SHARE, step=_STRAY_TOKENS / max(1.0, shortest)):
        if sides and max(told[n].at(0.75) for n in sides[-1]) >= min(told[n].at(0.25) for n in side):
            sides[-1] += side
        else:
            sides.append(side)
    if len(sides) > 1:
        yield Check(
            code="tokens-per-arrival",
            level="void",
            backends=list(ratios),
            text="different numbers of tokens an arrival (median): "
            f"{each({name: f'{ratio:.3g}' for name, ratio in ratios.items()})}; "
            "ITL is the gap between arrivals, here of different size",
            todo="compare by tokens/s or TPOT; ITL only between servers that send as many tokens at a time",
            sides=sides,
            spoils=needing("arrivals"),
        )


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


def _model(entry: Entry) -> str:
    return sanitize(entry.state.model or entry.backend.model, 80)


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
    told = sanitize(entry.state.weights or entry.backend.weights, 40).upper()
    told = re.sub(r" - (SMALL|MEDIUM|LARGE)$", lambda m: f"_{m[1][0]}", told)
    return _WEIGHTS_WORDS.get(told, told)


def _cached(entry: Entry) -> float | None:
    evidence = entry.evidence
    share = evidence.cached_share
    if share is None and entry.backend.protocol == "ollama" and evidence.no_prompt_count:
        # Older ones leave the count of the prompt out where the cache held all of it.
        return evidence.no_prompt_count / evidence.good
    return share
