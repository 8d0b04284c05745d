"""What `tests.bench.soak` has seen, and what follows from it: slopes, verdicts, tables. No process is touched here."""

from __future__ import annotations

import bisect
import dataclasses
import math
import random
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import psutil

from llmtui.accuracy.probe import summarize_errors
from llmtui.model import DISTURBED_CORES
from llmtui.stats.summary import percentile
from tests.bench.common import Trend, trend
from tests.bench.soaked import Weight

GOAL_BYTES_PER_HOUR = 1e6
#: Memory is judged from here on; of a shorter soak the slopes are told and nothing is judged.
SETTLED_S = 600.0
#: SQLite keeps 2 MB of pages. So many records of 770 bytes fill it: 32 streams in two minutes, one in half an hour.
CACHE_RECORDS = 2800
CACHE_FULL = "cache full"
MIN_SAMPLES = 60
#: A change of the error of TTFT below this changes no figure that anyone reads: a thousandth of the true TTFT.
MATERIAL_S = 0.05e-3
#: The processes, by what is said of their memory.
ENGINE, CLIENT, TRUTH = "32-stream engine", "its client", "its truth server"
ONE_ENGINE, ONE_MONITOR, ONE_TRUTH = "one-stream engine", "its monitor", "its truth server (one stream)"


@dataclasses.dataclass
class Gauge:
    """One process, sampled."""

    pid: int
    at_s: list[float] = dataclasses.field(default_factory=list)
    rss: list[float] = dataclasses.field(default_factory=list)
    uss: list[float] = dataclasses.field(default_factory=list)
    descriptors: list[int] = dataclasses.field(default_factory=list)
    threads: list[int] = dataclasses.field(default_factory=list)
    cpu_s: list[float] = dataclasses.field(default_factory=list)

    def sample(self, at_s: float) -> None:
        """Raises psutil.NoSuchProcess where it has ended: then the soak has failed."""
        process = psutil.Process(self.pid)
        memory, times = process.memory_full_info(), process.cpu_times()
        self.at_s.append(at_s)
        self.rss.append(memory.rss)
        self.uss.append(memory.uss)
        self.descriptors.append(process.num_fds())
        self.threads.append(process.num_threads())
        self.cpu_s.append(times.user + times.system)

    def cores(self, since_s: float, until_s: float) -> float:
        """CPU between two instants, in cores."""
        a = bisect.bisect_left(self.at_s, since_s)
        b = min(bisect.bisect_left(self.at_s, until_s), len(self.at_s) - 1)
        return (self.cpu_s[b] - self.cpu_s[a]) / (self.at_s[b] - self.at_s[a]) if b > a else 0.0


@dataclasses.dataclass
class Minute:
    """One minute of the 32 streams: the signed errors of TTFT, a list for each round, and what else went on."""

    ttft_s: list[list[float]] = dataclasses.field(default_factory=list)
    itl_s: list[float] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)
    load: float = 0.0
    foreign: float | None = None
    rss: dict[str, float] = dataclasses.field(default_factory=dict)

    def all(self) -> list[float]:
        """The errors of all its rounds."""
        return [e for one in self.ttft_s for e in one]

    @property
    def quiet(self) -> bool:
        """Whether nobody else took CPU that matters."""
        return self.foreign is not None and self.foreign < DISTURBED_CORES


@dataclasses.dataclass
class Soak:
    """All that was seen."""

    package: str
    gauges: dict[str, Gauge] = dataclasses.field(default_factory=dict)
    began: float = 0.0
    minutes: list[Minute] = dataclasses.field(default_factory=list)
    rest_s: list[float] = dataclasses.field(default_factory=list)
    rest_bytes: list[float] = dataclasses.field(default_factory=list)
    stamps: set[str] = dataclasses.field(default_factory=set)
    told: int = 0
    saved: int = 0
    folded: int = 0
    one_s: list[float] = dataclasses.field(default_factory=list)
    weight: Weight | None = None


def minute_line(number: int, minute: Minute) -> str:
    """One row of the table by minute."""
    found, gaps = summarize_errors(minute.all()), summarize_errors(minute.itl_s)
    foreign = f"{minute.foreign:.2f}" if minute.foreign is not None else "?"
    return (
        f"{number + 1:4} {found.n:6} {len(minute.failed):4} "
        f"{found.median * 1e3:+8.3f} {found.p50 * 1e3:7.3f} {found.p95 * 1e3:7.3f} {found.p99 * 1e3:7.3f} "
        f"{gaps.p95 * 1e3:7.3f} {minute.load:5.2f} {foreign:>5} "
        + " ".join(f"{minute.rss[name] / 1e6:8.2f}" for name in (ENGINE, CLIENT, ONE_ENGINE, ONE_MONITOR))
    )


MINUTES_HEAD = (
    " min    req fail   TTFT error, ms: signed, p50, p95, p99  gapp95  load other  RSS, MB: engine, client, "
    "one-stream engine, monitor"
)


@dataclasses.dataclass
class Verdict:
    """One goal, whether it holds (None: these figures cannot tell), and why."""

    goal: str
    holds: bool | None
    why: str


def slope(at_s: Sequence[float], values: Sequence[float], settled_s: float) -> Trend:
    """Per hour, from `settled_s` on."""
    kept = [(at / 3600, value) for at, value in zip(at_s, values, strict=True) if at >= settled_s]
    return trend([x for x, _ in kept], [y for _, y in kept])


def less_records(seen: Soak, gauge: Gauge, values: Sequence[float], each: float) -> list[float]:
    """`values` without what the records of the one-stream run weigh that were there at each sample."""
    return [value - each * bisect.bisect(seen.one_s, at) for at, value in zip(gauge.at_s, values, strict=True)]


def slopes(seen: Soak, settled_s: float) -> Iterator[tuple[str, str, Trend]]:
    """Process, which figure, and its slope in bytes per hour."""
    assert seen.weight is not None
    yield ENGINE, "RSS between rounds", slope(seen.rest_s, seen.rest_bytes, settled_s)
    kept = {ONE_ENGINE: seen.weight.engine_bytes, ONE_MONITOR: seen.weight.client_bytes}
    for name, gauge in seen.gauges.items():
        for what, values in (("RSS", gauge.rss), ("USS", gauge.uss)):
            yield name, what, slope(gauge.at_s, values, settled_s)
            if each := kept.get(name):
                left = less_records(seen, gauge, values, each)
                yield name, f"{what} less records", slope(gauge.at_s, left, settled_s)
                filled_s = seen.one_s[CACHE_RECORDS] if len(seen.one_s) > CACHE_RECORDS else math.inf
                if sum(at >= filled_s for at in gauge.at_s) >= MIN_SAMPLES:
                    yield name, f"{what} less records, {CACHE_FULL}", slope(gauge.at_s, left, filled_s)


def memory_verdicts(seen: Soak, settled_s: float) -> Iterator[Verdict]:
    """Below the goal with 95 % confidence, above it likewise, or neither."""
    judged = {(ENGINE, "RSS"), (TRUTH, "RSS"), (CLIENT, "RSS"), (ONE_ENGINE, f"RSS less records, {CACHE_FULL}")}
    for name, what, found in slopes(seen, settled_s):
        if (name, what) in judged:
            low, high = found.slope - 1.96 * found.error, found.slope + 1.96 * found.error
            holds = True if high < GOAL_BYTES_PER_HOUR else False if low > GOAL_BYTES_PER_HOUR else None
            if settled_s < SETTLED_S:
                holds = None
            why = f"{found.slope / 1e6:+.3f} MB/h, 95 %: {low / 1e6:+.3f} to {high / 1e6:+.3f}"
            yield Verdict(f"memory flat: {name}, {what}", holds, why)


def descriptor_verdicts(seen: Soak, settled_s: float) -> Iterator[Verdict]:
    """The fewest of the last minute against the fewest of the first settled one: what opens and closes is no leak."""
    for name, gauge in seen.gauges.items():
        settled = [n for at, n in zip(gauge.at_s, gauge.descriptors, strict=True) if at >= settled_s]
        size = min(6, len(settled))
        first, last = min(settled[:size]), min(settled[-size:])
        threads = f"threads {gauge.threads[0]} to {gauge.threads[-1]}"
        why = f"{first} then, {last} in the last minute, at most {max(gauge.descriptors)}; {threads}"
        yield Verdict(f"no descriptor leaked: {name}", last <= first, why)


def change(first: Minute, last: Minute, share: float) -> tuple[float, float, float]:
    """How much a percentile of the absolute error grew, with a 95 % bootstrap interval over whole rounds; seconds."""

    def of(rounds: Sequence[Sequence[float]]) -> float:
        return percentile(sorted(abs(e) for one in rounds for e in one), share)

    chance = random.Random(0)

    def again(rounds: Sequence[Sequence[float]]) -> float:
        return of(chance.choices(rounds, k=len(rounds)))

    drawn = sorted(again(last.ttft_s) - again(first.ttft_s) for _ in range(1000))
    return of(last.ttft_s) - of(first.ttft_s), percentile(drawn, 0.025), percentile(drawn, 0.975)


def ttft_verdicts(seen: Soak) -> Iterator[Verdict]:
    """First against last minute; the first and the last in which the machine was ours; and the trend by minute."""
    numbered = list(enumerate(seen.minutes, 1))
    pairs = [("first and last minute", numbered[0], numbered[-1])]
    quiet = [(number, minute) for number, minute in numbered if minute.quiet]
    if len(quiet) > 1:
        pairs.append(("first and last quiet minute", quiet[0], quiet[-1]))
    for words, (n0, first), (n1, last) in pairs:
        for share in (0.5, 0.95):
            grown, low, high = change(first, last, share)
            same = low <= 0 <= high or abs(grown) < MATERIAL_S
            # With others on the machine a change is not ours to judge.
            holds = True if same else False if first.quiet and last.quiet else None
            yield Verdict(
                f"error of TTFT unchanged, {words} ({n0}, {n1}), p{share * 100:.0f}",
                holds,
                f"{grown * 1e3:+.4f} ms, 95 %: {low * 1e3:+.4f} to {high * 1e3:+.4f}",
            )
    for share in (0.5, 0.95):
        found = ttft_trend(seen, share)
        if found is not None:
            same = abs(found.slope) < max(1.96 * found.error, MATERIAL_S)
            why = f"{found.slope * 1e3:+.4f} ms/h, standard error {found.error * 1e3:.4f} (n = {found.n} minutes)"
            yield Verdict(
                f"error of TTFT unchanged, by minute less what others' CPU explains, p{share * 100:.0f}", same, why
            )


def ttft_trend(seen: Soak, share: float) -> Trend | None:
    """Of a percentile by minute, in seconds per hour, with the CPU of others held constant (both regressed on it)."""
    known = [(n / 60, m.foreign, m) for n, m in enumerate(seen.minutes) if m.foreign is not None]
    if len(known) < 10:
        return None
    others = [foreign for _, foreign, _ in known]
    parts: list[list[float]] = []
    for values in (
        [at for at, _, _ in known],
        [percentile(sorted(map(abs, minute.all())), share) for _, _, minute in known],
    ):
        if statistics.pvariance(others):
            by, start = statistics.linear_regression(others, values)
            values = [v - start - by * x for v, x in zip(values, others, strict=True)]
        parts.append(values)
    return trend(parts[0], parts[1])


def verdicts(seen: Soak, settled_s: float) -> list[Verdict]:
    """Every goal."""
    failed = sum(len(minute.failed) for minute in seen.minutes)
    return [
        *memory_verdicts(seen, settled_s),
        *descriptor_verdicts(seen, settled_s),
        *ttft_verdicts(seen),
        Verdict("every request answered", failed == 0, f"{failed} of {seen.told + failed} failed"),
        Verdict(
            "every record saved, and told to the client",
            seen.told <= seen.saved == seen.folded,
            f"{seen.told} counted here, {seen.saved} saved, {seen.folded} folded by the client",
        ),
    ]


def report(seen: Soak, settled_s: float) -> list[Verdict]:
    """Print everything; returns the verdicts."""
    print(MINUTES_HEAD)
    for number, minute in enumerate(seen.minutes):
        print(minute_line(number, minute))
    assert seen.weight is not None
    whole = summarize_errors([e for minute in seen.minutes for e in minute.all()])
    print(
        f"all: {whole.n} requests, TTFT error p50 {whole.p50 * 1e3:.3f}, p95 {whole.p95 * 1e3:.3f}, "
        f"p99 {whole.p99 * 1e3:.3f} ms; stamps: {', '.join(sorted(seen.stamps))}"
    )
    print(
        f"a record weighs {seen.weight.engine_bytes:.0f} bytes in an engine that keeps it and "
        f"{seen.weight.client_bytes:.0f} in a client (n = {seen.weight.records}); the one-stream run kept "
        f"{len(seen.one_s)}"
    )
    print(f"\nmemory after the first {settled_s / 60:g} minutes, MB per hour")
    for name, what, found in slopes(seen, settled_s):
        print(
            f"{name:30} {what:26} {found.slope / 1e6:+8.3f} +- {found.error / 1e6:.3f}  scatter "
            f"{found.scatter / 1e6:.3f} MB, autocorrelation {found.autocorrelation:+.2f}, n = {found.n}"
        )
    print("\nCPU, cores: first fifth, last fifth")
    for name, gauge in seen.gauges.items():
        end, fifth = gauge.at_s[-1], gauge.at_s[-1] / 5
        print(f"{name:30} {gauge.cores(0, fifth):.3f}  {gauge.cores(end - fifth, end):.3f}")
    print()
    found_all = verdicts(seen, settled_s)
    for verdict in found_all:
        word = {True: "holds", False: "DOES NOT HOLD", None: "open"}[verdict.holds]
        print(f"{word:13}  {verdict.goal}: {verdict.why}")
    return found_all


def as_json(seen: Soak, settled_s: float, found: list[Verdict]) -> dict[str, Any]:
    """All figures, for later questions."""
    by_minute = [
        {
            "requests": len(minute.all()),
            "failed": minute.failed,
            "ttft_error_s": msgspec.to_builtins(summarize_errors(minute.all())),
            "rounds_p50_s": [statistics.median(map(abs, one)) for one in minute.ttft_s if one],
            "worst_gap_error_s": msgspec.to_builtins(summarize_errors(minute.itl_s)),
            "load": minute.load,
            "foreign_cpu": minute.foreign,
        }
        for minute in seen.minutes
    ]
    return {
        "package": seen.package,
        "minutes": by_minute,
        "rest": {"at_s": seen.rest_s, "rss_bytes": seen.rest_bytes},
        "processes": {name: dataclasses.asdict(gauge) for name, gauge in seen.gauges.items()},
        "one_stream_started_s": seen.one_s,
        "weight": msgspec.to_builtins(seen.weight),
        "slopes_per_hour": [[name, what, dataclasses.asdict(t)] for name, what, t in slopes(seen, settled_s)],
        "verdicts": [dataclasses.asdict(verdict) for verdict in found],
    }
