"""The figures of `tests.bench.soak` and their statistics: slopes, verdicts, tables. Starts no process."""

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

from llmtui.accuracy.deviation import summarize_errors
from llmtui.model import DISTURBED_CORES
from llmtui.stats.summary import percentile
from tests.bench.common import Trend, trend
from tests.bench.soaked import Weight

GOAL_BYTES_PER_HOUR = 1e6
#: Memory is judged from this time on; a shorter soak reports slopes and judges nothing.
SETTLED_S = 600.0
#: SQLite caches 2 MB of pages. This many records of 770 bytes fill it: 32 streams in two minutes, one in half an hour.
CACHE_RECORDS = 2800
CACHE_FULL = "cache full"
MIN_SAMPLES = 60
#: A smaller change of the error of TTFT does not matter: a thousandth of the true TTFT.
MATERIAL_S = 0.05e-3
#: The names of the processes in the report.
ENGINE, CLIENT, TRUTH = "32-stream engine", "its client", "its truth server"
ONE_ENGINE, ONE_MONITOR, ONE_TRUTH = "one-stream engine", "its monitor", "its truth server (one stream)"


@dataclasses.dataclass
class Gauge:
    """The samples of one process."""

    pid: int
    at_s: list[float] = dataclasses.field(default_factory=list)
    rss: list[float] = dataclasses.field(default_factory=list)
    uss: list[float] = dataclasses.field(default_factory=list)
    descriptors: list[int] = dataclasses.field(default_factory=list)
    threads: list[int] = dataclasses.field(default_factory=list)
    cpu_s: list[float] = dataclasses.field(default_factory=list)

    def sample(self, at_s: float) -> None:
        """Sample the process. Raises psutil.NoSuchProcess if it has ended, which fails the soak."""
        process = psutil.Process(self.pid)
        memory, times = process.memory_full_info(), process.cpu_times()
        self.at_s.append(at_s)
        self.rss.append(memory.rss)
        self.uss.append(memory.uss)
        self.descriptors.append(process.num_fds())
        self.threads.append(process.num_threads())
        self.cpu_s.append(times.user + times.system)

    def cores(self, since_s: float, until_s: float) -> float:
        """Return its CPU between two instants, in cores."""
        a = bisect.bisect_left(self.at_s, since_s)
        b = min(bisect.bisect_left(self.at_s, until_s), len(self.at_s) - 1)
        return (self.cpu_s[b] - self.cpu_s[a]) / (self.at_s[b] - self.at_s[a]) if b > a else 0.0


@dataclasses.dataclass
class Minute:
    """One minute of the 32 streams: the signed errors of TTFT, a list for each round, and the state of the machine."""

    ttft_s: list[list[float]] = dataclasses.field(default_factory=list)
    itl_s: list[float] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)
    load: float = 0.0
    foreign: float | None = None
    rss: dict[str, float] = dataclasses.field(default_factory=dict)

    def all(self) -> list[float]:
        """Return the errors of all its rounds."""
        return [e for one in self.ttft_s for e in one]

    @property
    def quiet(self) -> bool:
        """Whether other programs used too little CPU to matter."""
        return self.foreign is not None and self.foreign < DISTURBED_CORES


@dataclasses.dataclass
class Soak:
    """All figures of a soak."""

    package: str
    gauges: dict[str, Gauge] = dataclasses.field(default_factory=dict)
    began: float = 0.0
    minutes: list[Minute] = dataclasses.field(default_factory=list)
    rest_s: list[float] = dataclasses.field(default_factory=list)
    rest_bytes: list[float] = dataclasses.field(default_factory=list)
    stamps: set[str] = dataclasses.field(default_factory=set)
    reported: int = 0
    saved: int = 0
    received: int = 0
    one_s: list[float] = dataclasses.field(default_factory=list)
    weight: Weight | None = None


def minute_line(number: int, minute: Minute) -> str:
    """Return one row of the table by minute."""
    ttft, gaps = summarize_errors(minute.all()), summarize_errors(minute.itl_s)
    foreign = f"{minute.foreign:.2f}" if minute.foreign is not None else "?"
    return (
        f"{number + 1:4} {ttft.n:6} {len(minute.failed):4} "
        f"{ttft.median * 1e3:+8.3f} {ttft.p50 * 1e3:7.3f} {ttft.p95 * 1e3:7.3f} {ttft.p99 * 1e3:7.3f} "
        f"{gaps.p95 * 1e3:7.3f} {minute.load:5.2f} {foreign:>5} "
        + " ".join(f"{minute.rss[name] / 1e6:8.2f}" for name in (ENGINE, CLIENT, ONE_ENGINE, ONE_MONITOR))
    )


MINUTES_HEAD = (
    " min    req fail   TTFT error, ms: signed, p50, p95, p99  gapp95  load other  RSS, MB: engine, client, "
    "one-stream engine, monitor"
)


@dataclasses.dataclass
class Verdict:
    """One goal, whether it holds (None: the figures cannot tell), and why."""

    goal: str
    holds: bool | None
    why: str


def slope(at_s: Sequence[float], values: Sequence[float], settled_s: float) -> Trend:
    """Fit a line to the values from `settled_s` on; its slope is per hour."""
    points = [(at / 3600, value) for at, value in zip(at_s, values, strict=True) if at >= settled_s]
    return trend([x for x, _ in points], [y for _, y in points])


def less_records(seen: Soak, gauge: Gauge, values: Sequence[float], each: float) -> list[float]:
    """Return `values` minus the size of the one-stream run's records that existed at each sample."""
    return [value - each * bisect.bisect(seen.one_s, at) for at, value in zip(gauge.at_s, values, strict=True)]


def slopes(seen: Soak, settled_s: float) -> Iterator[tuple[str, str, Trend]]:
    """Yield process, figure, and its slope in bytes per hour."""
    assert seen.weight is not None
    yield ENGINE, "RSS between rounds", slope(seen.rest_s, seen.rest_bytes, settled_s)
    record_bytes = {ONE_ENGINE: seen.weight.engine_bytes, ONE_MONITOR: seen.weight.client_bytes}
    for name, gauge in seen.gauges.items():
        for what, values in (("RSS", gauge.rss), ("USS", gauge.uss)):
            yield name, what, slope(gauge.at_s, values, settled_s)
            if each := record_bytes.get(name):
                left = less_records(seen, gauge, values, each)
                yield name, f"{what} less records", slope(gauge.at_s, left, settled_s)
                filled_s = seen.one_s[CACHE_RECORDS] if len(seen.one_s) > CACHE_RECORDS else math.inf
                if sum(at >= filled_s for at in gauge.at_s) >= MIN_SAMPLES:
                    yield name, f"{what} less records, {CACHE_FULL}", slope(gauge.at_s, left, filled_s)


def memory_verdicts(seen: Soak, settled_s: float) -> Iterator[Verdict]:
    """Judge each slope: below the goal with 95% confidence, above it with 95% confidence, or neither."""
    judged = {(ENGINE, "RSS"), (TRUTH, "RSS"), (CLIENT, "RSS"), (ONE_ENGINE, f"RSS less records, {CACHE_FULL}")}
    for name, what, line in slopes(seen, settled_s):
        if (name, what) in judged:
            low, high = line.slope - 1.96 * line.error, line.slope + 1.96 * line.error
            holds = True if high < GOAL_BYTES_PER_HOUR else False if low > GOAL_BYTES_PER_HOUR else None
            if settled_s < SETTLED_S:
                holds = None
            why = f"{line.slope / 1e6:+.3f} MB/h, 95%: {low / 1e6:+.3f} to {high / 1e6:+.3f}"
            yield Verdict(f"memory flat: {name}, {what}", holds, why)


def descriptor_verdicts(seen: Soak, settled_s: float) -> Iterator[Verdict]:
    """Compare the fewest descriptors of the last minute with the fewest of the first settled one."""
    for name, gauge in seen.gauges.items():
        settled = [n for at, n in zip(gauge.at_s, gauge.descriptors, strict=True) if at >= settled_s]
        size = min(6, len(settled))
        first, last = min(settled[:size]), min(settled[-size:])
        threads = f"threads {gauge.threads[0]} to {gauge.threads[-1]}"
        why = f"{first} in the first settled minute, {last} in the last, at most {max(gauge.descriptors)}; {threads}"
        yield Verdict(f"no descriptor leaked: {name}", last <= first, why)


def change(first: Minute, last: Minute, share: float) -> tuple[float, float, float]:
    """Return the growth of a percentile of the absolute error with its 95% interval (bootstrap over rounds), in s."""

    def of(rounds: Sequence[Sequence[float]]) -> float:
        return percentile(sorted(abs(e) for one in rounds for e in one), share)

    chance = random.Random(0)

    def again(rounds: Sequence[Sequence[float]]) -> float:
        return of(chance.choices(rounds, k=len(rounds)))

    drawn = sorted(again(last.ttft_s) - again(first.ttft_s) for _ in range(1000))
    return of(last.ttft_s) - of(first.ttft_s), percentile(drawn, 0.025), percentile(drawn, 0.975)


def ttft_verdicts(seen: Soak) -> Iterator[Verdict]:
    """Judge the first against the last minute, the first against the last quiet minute, and the trend by minute."""
    numbered = list(enumerate(seen.minutes, 1))
    pairs = [("first and last minute", numbered[0], numbered[-1])]
    quiet = [(number, minute) for number, minute in numbered if minute.quiet]
    if len(quiet) > 1:
        pairs.append(("first and last quiet minute", quiet[0], quiet[-1]))
    for words, (n0, first), (n1, last) in pairs:
        for share in (0.5, 0.95):
            grown, low, high = change(first, last, share)
            same = low <= 0 <= high or abs(grown) < MATERIAL_S
            # With other programs on the machine, a change cannot be judged.
            holds = True if same else False if first.quiet and last.quiet else None
            yield Verdict(
                f"error of TTFT unchanged, {words} ({n0}, {n1}), p{share * 100:.0f}",
                holds,
                f"{grown * 1e3:+.4f} ms, 95%: {low * 1e3:+.4f} to {high * 1e3:+.4f}",
            )
    for share in (0.5, 0.95):
        line = ttft_trend(seen, share)
        if line is not None:
            same = abs(line.slope) < max(1.96 * line.error, MATERIAL_S)
            why = f"{line.slope * 1e3:+.4f} ms/h, standard error {line.error * 1e3:.4f} (n = {line.n} minutes)"
            yield Verdict(
                f"error of TTFT unchanged, by minute without the effect of other CPU, p{share * 100:.0f}", same, why
            )


def ttft_trend(seen: Soak, share: float) -> Trend | None:
    """Fit a percentile by minute, in seconds per hour, with other CPU partialled out. None below ten minutes."""
    minutes = [(n / 60, m.foreign, m) for n, m in enumerate(seen.minutes) if m.foreign is not None]
    if len(minutes) < 10:
        return None
    others = [foreign for _, foreign, _ in minutes]
    parts: list[list[float]] = []
    for values in (
        [at for at, _, _ in minutes],
        [percentile(sorted(map(abs, minute.all())), share) for _, _, minute in minutes],
    ):
        if statistics.pvariance(others):
            by, start = statistics.linear_regression(others, values)
            values = [v - start - by * x for v, x in zip(values, others, strict=True)]
        parts.append(values)
    return trend(parts[0], parts[1])


def verdicts(seen: Soak, settled_s: float) -> list[Verdict]:
    """Judge every goal."""
    failed = sum(len(minute.failed) for minute in seen.minutes)
    return [
        *memory_verdicts(seen, settled_s),
        *descriptor_verdicts(seen, settled_s),
        *ttft_verdicts(seen),
        Verdict("every request answered", failed == 0, f"{failed} of {seen.reported + failed} failed"),
        Verdict(
            "every record saved, and sent to the client",
            seen.reported <= seen.saved == seen.received,
            f"{seen.reported} reported, {seen.saved} saved, {seen.received} received by the client",
        ),
    ]


def report(seen: Soak, settled_s: float) -> list[Verdict]:
    """Print the report. Return the verdicts."""
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
        f"a record takes {seen.weight.engine_bytes:.0f} bytes in an engine that keeps it and "
        f"{seen.weight.client_bytes:.0f} in a client (n = {seen.weight.records}); the one-stream run has "
        f"{len(seen.one_s)}"
    )
    print(f"\nmemory after the first {settled_s / 60:g} minutes, MB per hour")
    for name, what, line in slopes(seen, settled_s):
        print(
            f"{name:30} {what:26} {line.slope / 1e6:+8.3f} +- {line.error / 1e6:.3f}  scatter "
            f"{line.scatter / 1e6:.3f} MB, autocorrelation {line.autocorrelation:+.2f}, n = {line.n}"
        )
    print("\nCPU, cores: first fifth, last fifth")
    for name, gauge in seen.gauges.items():
        end, fifth = gauge.at_s[-1], gauge.at_s[-1] / 5
        print(f"{name:30} {gauge.cores(0, fifth):.3f}  {gauge.cores(end - fifth, end):.3f}")
    print()
    judged = verdicts(seen, settled_s)
    for verdict in judged:
        word = {True: "holds", False: "DOES NOT HOLD", None: "open"}[verdict.holds]
        print(f"{word:13}  {verdict.goal}: {verdict.why}")
    return judged


def as_json(seen: Soak, settled_s: float, judged: list[Verdict]) -> dict[str, Any]:
    """Return all figures as plain data."""
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
        "verdicts": [dataclasses.asdict(verdict) for verdict in judged],
    }
