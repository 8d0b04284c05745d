"""Did they write the same amount? Output tokens, stop reasons, tokens per arrival."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from llmtui.stats.checks.base import SMALL_SHARE, VOID_SHARE, Check, Entry, Level, Race, clusters, each, grouped, number
from llmtui.stats.compare import rounds
from llmtui.stats.metrics import needing

#: The number or share of rounds that may be of different work. By symmetry, one such round does not raise the error
#: rate of a signed-rank test, whichever backend it favours; two on the same side double it at ten rounds. One in 50 of
#: many rounds moves the rank sum by less than half its standard deviation.
ODD_ROUNDS = 1
ODD_SHARE = 0.02
#: An end-of-sequence token is one token, and a median may be halfway between two counts.
_COUNTED_APART = 1.5
#: What `_uneven` returns for answers of the same length.
_EVEN = (0, 0, (0, 0, 0))
#: The number of tokens of an answer that may by chance arrive together with others.
_STRAY_TOKENS = 2


def output_tokens(race: Race) -> Iterator[Check]:
    """output-tokens: one backend wrote more than another, overall or in single rounds."""
    yield from _by_counts(race, [e for e in race.sampled if e.evidence.counts_reported])
    yield from _by_characters(race)


def _by_counts(race: Race, entries: list[Entry]) -> Iterator[Check]:
    if race.other_prompts:
        return
    # Prompts of a file may each have a limit of their own.
    at_limit = {e.name for e in entries if _at_limit(e, 0 if race.prompts.given else race.config.max_tokens)}
    if len(entries) < 2 or _constant(entries) or len(at_limit) == len(entries):
        return
    medians = {e.name: e.evidence.outputs.median or 0.0 for e in entries}
    means = {e.name: e.evidence.outputs.mean or 0.0 for e in entries}
    uneven = {
        (one.name, two.name): _EVEN if {one.name, two.name} <= at_limit else _uneven(one, two)
        for one, two in itertools.combinations(entries, 2)
    }

    def same(one: Entry, two: Entry) -> bool:
        if {one.name, two.name} <= at_limit:
            return True
        odd, compared, _ = uneven.get((one.name, two.name)) or uneven[two.name, one.name]
        overall = any(_apart(values[one.name], values[two.name]) for values in (medians, means))
        overall |= _more_work(medians[one.name], medians[two.name])
        return not overall and odd <= max(ODD_ROUNDS, ODD_SHARE * compared)

    (first, second), (odd, compared, worst) = max(uneven.items(), key=lambda pair: pair[1][0])
    unequal = len(set(medians.values())) > 1 or max(means.values()) - min(means.values()) > 1e-9
    if not unequal and not odd:
        return
    sides = grouped(sorted(entries, key=lambda e: medians[e.name]), same)
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
        text = f"answers differ in length in {odd} of {compared} rounds: {each({first: one, second: two})} tokens in "
        text += f"round {place}"
    else:
        text = f"different numbers of output tokens ({kind}): {each({n: number(v) for n, v in values.items()}, sides)}"
    yield _different_length(race, level, text, [e.name for e in entries], sides)


def _by_characters(race: Race) -> Iterator[Check]:
    """If a backend did not report its tokens, compare the lengths of the texts."""
    if race.other_prompts:
        return
    written = [e for e in race.sampled if len(e.evidence.characters)]
    medians = {e.name: e.evidence.characters.median or 0.0 for e in written}
    means = {e.name: e.evidence.characters.mean or 0.0 for e in written}
    done: set[str] = set()
    for entry in (e for e in written if not e.evidence.counts_reported):
        done.add(entry.name)
        others = [
            name
            for name in medians
            if name not in done and any(_apart(of[entry.name], of[name]) for of in (medians, means))
        ]
        if others:
            names = [name for name in medians if name in (entry.name, *others)]
            values = medians if _apart(*(medians[name] for name in names)) else means
            text = f"answers differ in length: {each({n: number(values[n]) for n in names})} characters"
            yield _different_length(race, "void", text, names, [others, [entry.name]], counted=False)


def _different_length(
    race: Race, level: Level, text: str, names: list[str], sides: list[list[str]], *, counted: bool = True
) -> Check:
    void = level == "void"
    todo = "lower max_tokens until every backend reaches it"
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
    """Whether typical answers differ by more than ways of counting do: even a small difference of work counts."""
    return _apart(one, two, share=SMALL_SHARE) and abs(one - two) > _COUNTED_APART


def _apart(*values: float, share: float = VOID_SHARE) -> bool:
    return max(values) > min(values) * (1 + share)


def _constant(entries: list[Entry]) -> bool:
    """Whether all answers of all entries have the same number of tokens."""
    return len({e.evidence.outputs[at] for e in entries for at in (0, len(e.evidence.outputs) - 1)}) == 1


def _at_limit(entry: Entry, max_tokens: int) -> bool:
    """Whether the limit ended every answer: then all have its length, though a server may count a token more or less.

    `max_tokens` is 0 if each answer had a limit of its own.

    A count that is far from it is of an answer that something else ended, such as a full context.
    """
    reasons, outputs = entry.evidence.reasons, entry.evidence.outputs
    if reasons["length"] < entry.evidence.good or entry.evidence.ended_early or not len(outputs):
        return False
    return not max_tokens or not any(_apart(outputs[at], max_tokens) for at in (0, len(outputs) - 1))


def _counted_rounds(one: Entry, two: Entry) -> list[tuple[int, int, int]]:
    """The newest rounds of these two: their numbers, and the output tokens that each of the two reported."""
    return [
        (a.iteration, a.output_tokens, b.output_tokens)
        for a, b in rounds(one.evidence.recent, two.evidence.recent)
        if a.output_tokens is not None and b.output_tokens is not None
        if "arrivals" not in (a.token_source, b.token_source)
    ]


def _uneven(one: Entry, two: Entry) -> tuple[int, int, tuple[int, int, int]]:
    """The number of rounds with different amounts, the number of rounds, and the round with the largest difference."""
    counted = _counted_rounds(one, two)
    odd = [a_round for a_round in counted if _apart(*a_round[1:])]
    return len(odd), len(counted), max(odd, key=lambda r: max(r[1:]) / max(1, min(r[1:])), default=(0, 0, 0))


def stop_reason(race: Race) -> Iterator[Check]:
    """stop-reason: answers ended before their token budget, more often in one backend than in another."""
    ended = [e for e in race.sampled if e.evidence.reasons]
    early = {e.name: e.evidence.ended_early or 0.0 for e in ended}
    if not any(early.values()):
        return
    unlike = {
        (one.name, two.name): (_same_amount(one, two), _odd_round(one, two))
        for one, two in itertools.combinations(ended, 2)
        if _reason(one) != _reason(two) or abs(early[one.name] - early[two.name]) > VOID_SHARE
    }
    sides = grouped(ended, lambda one, two: any(unlike.get((one.name, two.name), (True,))))
    void = len(sides) > 1
    level: Level = "void" if void else "warning"
    if unlike and all(same for same, _ in unlike.values()):
        level = "note"
    how = {
        "void": "for different reasons",
        "note": "for different reasons, after the same number of tokens",
        "warning": "before max_tokens",
    }[level]
    reasons = {e.name: "/".join(f"{reason} {k}x" for reason, k in e.evidence.reasons.most_common(3)) for e in ended}
    todo = "set full_length = true in [run], so that every answer has max_tokens tokens, or compare by tokens/s"
    if level == "note":
        todo = "none needed if the servers only name the same reason differently, as the work was equal"
    elif race.config.full_length:
        todo = "lower max_tokens until every backend reaches it, or compare by tokens/s"
    yield Check(
        code="stop-reason",
        level=level,
        backends=[name for name, share in early.items() if share] if level == "warning" else list(early),
        text=f"answers ended {how}: {each(reasons, sides)}",
        todo=todo,
        sides=sides if void else [],
        spoils=needing("length") if void else [],
    )


def _reason(entry: Entry) -> str:
    return entry.evidence.reasons.most_common(1)[0][0]


def _same_amount(one: Entry, two: Entry) -> bool:
    """Whether both reported equally many output tokens, in every answer or round by round."""
    both = (one.evidence, two.evidence)
    if any(len(e.outputs) < e.good for e in both):
        return False
    ends = [e.outputs[at] for e in both for at in (0, len(e.outputs) - 1)]
    if not _apart(*ends, share=SMALL_SHARE):
        return True
    counted = _counted_rounds(one, two)
    return bool(counted) and not any(_apart(*amounts, share=SMALL_SHARE) for _, *amounts in counted)


def _odd_round(one: Entry, two: Entry) -> bool:
    """Whether answers end alike and are equally long but for as few rounds as may be of different work."""
    counted = _counted_rounds(one, two)
    odd = sum(_apart(*amounts, share=SMALL_SHARE) for _, *amounts in counted)
    return _reason(one) == _reason(two) and 0 < odd <= max(ODD_ROUNDS, ODD_SHARE * len(counted))


def tokens_per_arrival(race: Race) -> Iterator[Check]:
    """tokens-per-arrival: one backend sends several tokens at a time, so its ITL is between larger pieces.

    A busy machine sometimes reads two arrivals as one. That is chance, and already part of the spread of the ITL.
    """
    per_arrival = {e.name: e.evidence.per_arrival for e in race.sampled}
    ratios = {name: median for name, ratio in per_arrival.items() if (median := ratio.median) is not None}
    shortest = min((e.evidence.outputs.median or 1.0 for e in race.sampled if e.name in ratios), default=1.0)
    sides: list[list[str]] = []
    for side in clusters(ratios, share=VOID_SHARE, step=_STRAY_TOKENS / max(1.0, shortest)):
        if sides and max(per_arrival[n].at(0.75) for n in sides[-1]) >= min(per_arrival[n].at(0.25) for n in side):
            sides[-1] += side
        else:
            sides.append(side)
    if len(sides) > 1:
        yield Check(
            code="tokens-per-arrival",
            level="void",
            backends=list(ratios),
            text="different numbers of tokens per arrival (median): "
            f"{each({name: f'{ratio:.3g}' for name, ratio in ratios.items()}, sides)}; ITL is the gap between arrivals",
            todo="compare by tokens/s or TPOT; compare ITL only between servers with equally many tokens per arrival",
            sides=sides,
            spoils=needing("arrivals"),
        )
