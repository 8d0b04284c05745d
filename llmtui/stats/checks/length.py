"""Did they write the same amount? Output tokens, why answers ended, tokens of one arrival."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from llmtui.stats.checks.base import SMALL_SHARE, VOID_SHARE, Check, Entry, Level, Race, clusters, each, grouped, number
from llmtui.stats.compare import rounds
from llmtui.stats.metrics import needing

#: So many rounds, or such a share of them, may be of different work. By symmetry one round, whichever of the two it
#: favours, does not make a test of signed ranks err more often; two on the same side make it err about twice as often
#: among ten. One in 50 of many rounds moves the sum of ranks by less than half its deviation.
ODD_ROUNDS = 1
ODD_SHARE = 0.02
#: An end-of-sequence token is one; a median may lie between two counts.
_COUNTED_APART = 1.5
#: So many tokens of an answer may arrive together with others by chance.
_STRAY_TOKENS = 2


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
