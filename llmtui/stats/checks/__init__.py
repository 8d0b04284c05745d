"""Was it a fair race? Every check with its code, level, evidence and remedy: pure functions on what was measured.

`checks` is cheap enough to be called after each iteration: it reads `Evidence`, which grows with the iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from llmtui.model import Machine, RunConfig
from llmtui.model.accuracy import Record
from llmtui.stats.checks import answers, conditions, length, model, prompt, samples
from llmtui.stats.checks.base import LEVELS, Check, Entry, Level, Race, Raced, severity
from llmtui.stats.checks.comparability import Leading, besides, leading_metric, spoiled
from llmtui.stats.checks.evidence import Evidence
from llmtui.stats.compare import Comparison

__all__ = [
    "CODES",
    "LEVELS",
    "Check",
    "Entry",
    "Evidence",
    "Leading",
    "Level",
    "Raced",
    "besides",
    "checks",
    "leading_metric",
    "severity",
    "spoiled",
]

#: Every code, with what it means wherever it appears.
CODES: dict[str, str] = {
    "output-tokens": "the backends did not write the same number of tokens",
    "stop-reason": "answers ended for another reason than their token budget",
    "model": "the backends do not serve the same model",
    "thinking": "some reason before they answer, some do not",
    "prefix-cache": "part of the prompt came from a cache and was not computed",
    "prompt-tokens": "the backends did not read the same number of tokens",
    "tokens-per-arrival": "the backends sent different numbers of tokens at a time, and ITL lies between arrivals",
    "weights": "the backends compute with different weights (quantisation)",
    "weights-unknown": "the weights of a backend are not known",
    "context-length": "the context differs, or is too small",
    "answers-differ": "the same prompt at temperature 0 was answered differently by two backends",
    "temperature-ignored": "the same prompt at temperature 0 was answered differently by one backend",
    "seed-ignored": "the same prompt with the same seed was answered differently by one backend",
    "device": "some compute on a GPU, some on the CPU",
    "host": "the backends run on different machines",
    "threads": "the backends were given different numbers of threads",
    "cores-used": "the backends kept different numbers of cores busy",
    "bridge": "a bridge of llmtui stands in front of a framework",
    "sequential-order": "the backends ran one after the other",
    "not-interleaved": "the attempts compared did not take turns",
    "reruns": "an earlier attempt was followed by this one",
    "resumed": "an attempt was made in several parts",
    "too-few": "too few samples for an interval, or to decide among so many pairs",
    "failed-iterations": "some iterations failed",
    "refused": "a server asked to come back later",
    "cold-start": "the first measured iteration was far slower than the rest",
    "outliers": "some samples lie far from the rest",
    "drift": "a backend became slower or faster along the run",
    "token-counts-guessed": "output tokens were counted by arrivals, or not at all",
    "own-error": "the difference is no larger than llmtui's own error, or so small that it may be",
    "busy-machine": "the machine was loaded when the run began",
    "governor": "the cores' frequency is not held still",
    "disturbed": "other processes took CPU during iterations",
    "steal": "the hypervisor took CPU away during iterations",
    "swap": "the machine swapped during iterations",
    "throttled": "heat slowed the processor down during iterations",
}
#: Those that speak of the machine, not of the backends.
OF_THE_MACHINE = frozenset({"busy-machine", "governor", "disturbed", "steal", "swap", "throttled"})

_ALL: tuple[Callable[[Race], Iterator[Check]], ...] = (
    length.output_tokens,
    length.stop_reason,
    model.model,
    prompt.thinking,
    prompt.prefix_cache,
    prompt.prompt_tokens,
    length.tokens_per_arrival,
    model.weights,
    model.context_length,
    answers.answers_differ,
    answers.settings_ignored,
    conditions.device,
    conditions.host,
    conditions.threads,
    conditions.bridge,
    conditions.order,
    conditions.reruns,
    conditions.resumed,
    samples.few,
    samples.failed,
    samples.refused,
    samples.cold,
    samples.outlying,
    samples.drift,
    samples.guesses,
    samples.own_error,
    conditions.machine,
    conditions.disturbances,
)


def checks(
    raced: Iterable[Raced],
    config: RunConfig,
    machine: Machine,
    *,
    comparisons: Sequence[Comparison] = (),
    record: Record | None = None,
) -> list[Check]:
    """What bears on the fairness of this race: void first, then warnings, then notes, each in the order of `CODES`.

    `comparisons` and `record` (this machine's accuracy) are what own-error is judged by; where there is no record,
    a difference that is shown and small is told.
    """
    race = Race(_entries(raced), config, machine, comparisons, record)
    return in_order(check for look in _ALL for check in look(race))


def own_error(raced: Iterable[Raced], comparisons: Sequence[Comparison], record: Record | None) -> list[Check]:
    """The one check that judges comparisons, which are made by what the others say."""
    return list(samples.own_error(Race(_entries(raced), RunConfig(), Machine(), comparisons, record)))


def in_order(found: Iterable[Check]) -> list[Check]:
    """Void first, then warnings, then notes, each in the order of `CODES`."""
    places = {code: place for place, code in enumerate(CODES)}
    return sorted(found, key=lambda check: (severity(check.level), places[check.code]))


def _entries(raced: Iterable[Raced]) -> list[Entry]:
    return [Entry(r.backend, r.state, r.evidence) for r in raced if r.evidence.measured]
