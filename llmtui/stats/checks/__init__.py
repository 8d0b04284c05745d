"""Was it a fair race? The fairness checks: pure functions of what was measured.

`checks` is cheap enough to call after each iteration: it reads `Evidence`, which is updated by each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from llmtui.model import NO_PROMPTS, Backend, BackendState, Imported, Machine, PairSpread, Prompts, RunConfig
from llmtui.model.accuracy import Record
from llmtui.stats.at_load import AtLoad
from llmtui.stats.checks import (
    answers,
    arrivals,
    conditions,
    cpu_limit,
    imported,
    launches,
    length,
    loads,
    model,
    options,
    other_runs,
    own_errors,
    prompt,
    samples,
    stability,
    unseen,
    worked,
)
from llmtui.stats.checks.base import LEVELS, Check, Entry, Level, Race, Raced, severity
from llmtui.stats.checks.comparability import Leading, instead_of, leading_metric, other_rates, spoiled
from llmtui.stats.checks.evidence import Evidence
from llmtui.stats.compare import Comparison
from llmtui.stats.metrics import METRICS, MetricKey, needing

__all__ = [
    "CODES",
    "LEVELS",
    "Check",
    "Entry",
    "Evidence",
    "Leading",
    "Level",
    "Raced",
    "checks",
    "different_work",
    "instead_of",
    "leading_metric",
    "one_launch",
    "other_rates",
    "severity",
    "spoiled",
]

#: Every code with its meaning, in the order of display.
CODES: dict[str, str] = {
    "imported": "another tool measured this run, and not all that a comparison needs is known",
    "open-loop": "an open loop sends a given number of requests per second, so throughput is not compared",
    "client-bound": "llmtui itself was too slow for this level of a load",
    "little": "requests under way, their rate and their latency do not fit together",
    "short-window": "turns of a load were too short to have rates",
    "delivered-load": "the load was not the one that was asked for",
    "survivors": "some requests of a load got no answer, and figures are those of the others",
    "drift-in-turns": "a server became slower within its turns, so no steady state was measured",
    "beyond-capacity": "an open loop asked for more requests per second than a server can answer",
    "queue-grows": "more and more requests were under way within turns of an open loop",
    "unsettled": "a server had no steady state in most turns of a load",
    "workers-differ": "in some rounds different numbers of workers sent the requests to the backends",
    "slots": "servers compute fewer requests at a time than the level has, so queues are compared",
    "output-tokens": "the backends wrote different numbers of tokens",
    "stop-reason": "answers ended before their token budget was used up",
    "model": "the backends serve different models",
    "thinking": "some backends reason before they answer, some do not",
    "prefix-cache": "part of the prompt came from a cache and was not computed",
    "cache-unknown": "a backend did not report cached prompt tokens, so prefill rates are not compared",
    "prompt-tokens": "the backends read different numbers of tokens",
    "fresh-line": "the line that makes each prompt a new one is in a system message for some backends only",
    "hidden-tokens": "a server counts tokens that it does not send, such as silent thinking",
    "not-streamed": "answers came in one piece, or in a few large ones",
    "tokens-per-arrival": "the backends sent different numbers of tokens per arrival; ITL is the gap between arrivals",
    "options": "the config asks for more of one backend than of another",
    "weights": "the backends compute with different weights (quantisation)",
    "weights-unknown": "a backend did not report its weights",
    "context-length": "the context lengths differ, or one is too short",
    "answers-differ": "two backends answered the same prompt differently at temperature 0",
    "temperature-ignored": "one backend answered the same prompt differently at temperature 0",
    "seed-ignored": "one backend answered the same prompt differently with the same seed",
    "device": "some backends compute on a GPU, some on the CPU",
    "host": "the backends run on different machines",
    "threads": "the backends have different numbers of threads",
    "threads-unknown": "the number of threads of a backend is unknown",
    "cores-used": "the backends kept different numbers of cores busy",
    "bridge": "a bridge of llmtui is in front of a framework",
    "sequential-order": "the backends ran one after the other",
    "not-interleaved": "the compared attempts did not take turns",
    "reruns": "there was an earlier attempt before this one",
    "resumed": "an attempt has several parts",
    "too-few": "too few samples for an interval, or too few complete rounds for a verdict",
    "failed-iterations": "some iterations or turns failed",
    "refused": "a server refused requests for a while",
    "spoiled-turns": "turns of a load ended early, and not by a failure of the server, so they count nowhere",
    "repeated": "llmtui itself was stopped during a request, and measured it again",
    "loaded-inside": "a server loaded its model during iterations, which are in no figure",
    "cold-start": "the first measured iteration, or turn at a level, was far slower than the rest",
    "outliers": "some samples are far from the rest",
    "drift": "a backend became slower or faster during the run",
    "token-counts-guessed": "output tokens were counted by arrivals, or not at all",
    "own-error": "a difference may be no larger than llmtui's own error",
    "one-launch": "each server was launched once, and launches have differed by as much here",
    "launches-unknown": "each server was launched once, and how much launches differ here is unknown",
    "busy-machine": "the machine was busy at the start, and other programs could not be measured",
    "governor": "the CPU frequency changes with the load",
    "disturbed": "other programs were busy, by enough to change the comparison",
    "steal": "the hypervisor took CPU away, by enough to change the comparison",
    "cpu-limit": "the CPU limit of a container (its cgroup) held processes back during iterations",
    "other-run": "another run of llmtui measured on the same machines",
    "swap": "the machine swapped during iterations",
    "throttled": "heat throttled the processor during iterations",
    "unseen": "this system does not show everything that llmtui watches",
}

#: Those on the work, which may also be of two attempts of one backend.
_OF_THE_WORK = (
    length.output_tokens,
    length.stop_reason,
    prompt.thinking,
    prompt.prefix_cache,
    prompt.prompt_tokens,
    arrivals.hidden_tokens,
)
#: Those that would claim something of the requests or the machine of a run that another tool measured.
_OF_OUR_OWN = frozenset(
    {
        length.stop_reason,
        length.tokens_per_arrival,
        prompt.thinking,
        prompt.prefix_cache,
        prompt.fresh_line,
        arrivals.streamed,
        arrivals.hidden_tokens,
        model.context_length,
        answers.answers_differ,
        answers.settings_ignored,
        conditions.host,
        conditions.threads,
        samples.guesses,
        own_errors.own_error,
        conditions.machine,
        conditions.disturbances,
    }
)
_PREFILL_RATES = needing("cached counts")

_ALL: tuple[Callable[[Race], Iterator[Check]], ...] = (
    imported.imported,
    loads.open_loop,
    loads.client_bound,
    loads.little,
    loads.short_windows,
    loads.delivered,
    loads.survivors,
    loads.drifting_turns,
    loads.backlog,
    loads.unsettled,
    worked.workers_differ,
    loads.slots,
    length.output_tokens,
    length.stop_reason,
    model.model,
    prompt.thinking,
    prompt.prefix_cache,
    prompt.prompt_tokens,
    prompt.fresh_line,
    arrivals.hidden_tokens,
    arrivals.streamed,
    length.tokens_per_arrival,
    options.options,
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
    worked.spoiled_turns,
    samples.repeated,
    samples.loaded_inside,
    stability.cold,
    stability.outlying,
    stability.drift,
    samples.guesses,
    own_errors.own_error,
    conditions.machine,
    conditions.disturbances,
    cpu_limit.cpu_limit,
    other_runs.shared_machines,
    unseen.unseen,
)


def checks(
    raced: Iterable[Raced],
    config: RunConfig,
    machine: Machine,
    *,
    comparisons: Sequence[Comparison] = (),
    record: Record | None = None,
    at: AtLoad | None = None,
    prompts: Prompts = NO_PROMPTS,
    origin: Imported | None = None,
) -> list[Check]:
    """The checks of this race, or of the turns `at` a load: void first, then warnings, then notes.

    Each group is in the order of `CODES`.

    own-error depends on `comparisons` and on `record`, this machine's accuracy; without a record, it reports shown
    differences that are small. `origin` is that of a run that another tool measured.
    """
    race = Race(_entries(raced), config, machine, comparisons, record, at=at, prompts=prompts, imported=origin)
    run_checks = [one for one in _ALL if origin is None or one not in _OF_OUR_OWN]
    found = [check for run_check in run_checks for check in run_check(race)]
    if origin is not None:
        # What helps in a run of llmtui does not help here.
        found = [c if c.code == "imported" else msgspec.structs.replace(c, todo="") for c in found]
    # Prefill rates are compared only if they count, or in place of what the prompt is part of.
    if config.metric in _PREFILL_RATES or any(spoiled(found, metric) for metric in needing("start")):
        found += prompt.cache_unknown(race)
    return in_order(found if at is not None else map(_of_race, found))


def _of_race(check: Check) -> Check:
    """`check` without the metrics that only loads have."""
    return msgspec.structs.replace(check, spoils=[metric for metric in check.spoils if not METRICS[metric].of_turn])


def different_work(backend: Backend, state: BackendState, attempts: Mapping[str, Evidence], metric: MetricKey) -> str:
    """Why `metric` of these attempts (name to evidence) of one backend is of different work; "" if it is not."""
    named = [msgspec.structs.replace(backend, name=name) for name in attempts]
    entries = [Entry(one, state, of) for one, of in zip(named, attempts.values(), strict=True) if of.measured]
    race = Race(entries, RunConfig(), Machine())
    found = [check for run_check in _OF_THE_WORK for check in run_check(race)]
    return check.text if (check := spoiled(found, metric)) is not None else ""


def own_error(
    raced: Iterable[Raced], comparisons: Sequence[Comparison], record: Record | None, at: AtLoad | None = None
) -> list[Check]:
    """A check on comparisons, which themselves depend on the other checks."""
    return list(own_errors.own_error(Race(_entries(raced), RunConfig(), Machine(), comparisons, record, at=at)))


def one_launch(raced: Iterable[Raced], comparisons: Sequence[Comparison], spreads: Sequence[PairSpread]) -> list[Check]:
    """The checks on comparisons of servers that were launched once; `spreads` are those of `Plan`."""
    race = Race(_entries(raced), RunConfig(), Machine(), comparisons, spreads=spreads)
    return list(launches.one_launch(race))


def in_order(unordered: Iterable[Check]) -> list[Check]:
    """Void first, then warnings, then notes, each in the order of `CODES`."""
    places = {code: place for place, code in enumerate(CODES)}
    return sorted(unordered, key=lambda check: (severity(check.level), places[check.code]))


def _entries(raced: Iterable[Raced]) -> list[Entry]:
    return [
        Entry(r.backend, r.state, r.evidence, r.latencies) for r in raced if r.evidence.measured or r.evidence.spoiled
    ]
