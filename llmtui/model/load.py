"""Loads: how many requests are under way at a time (closed loop), or how many are sent per second (open loop)."""

from __future__ import annotations

import functools
import itertools
import math
import os
from typing import Literal

import msgspec

from llmtui.model.base import Struct

#: How the requests of an open loop follow one another.
Arrival = Literal["poisson", "constant", "gamma"]
#: What a search looks for: the knee of the throughput, or the largest level that keeps the objectives. "" is none.
Search = Literal["", "knee", "slo"]
#: The upper end of a search, in streams, unless the config says it.
SEARCH_UNTIL = 256
#: A search tries every number of streams up to this one, then as many of each octave.
_FINE = 8
#: A search has this many probes besides those that double the streams.
_PROBES_BETWEEN = 5

#: The least requests of a turn that count, and those of each stream, unless the config says how many.
LEAST_REQUESTS = 40
REQUESTS_PER_STREAM = 4
#: The most characters of a trace's name in a title.
LONGEST_NAME = 32


class Level(Struct, frozen=True):
    """One load. `number` is its place in the plan, from 1 on.

    In a closed loop `streams` requests are under way at any time. In an open loop `rate` requests are sent per second,
    whatever the server does, but at most `cap` are under way (0: any number); `streams` is 0. With a `trace` (the path
    of a file) they are sent at its times, `time_scale` times as fast; `rate` is then that of the window.

    In a grid `max_tokens` is the limit of answers, and `prompt_tokens` the length of synthetic prompts; 0: the run's.

    `users` are streams that think after each answer, `think_s` on average: fewer requests than `streams` are under way
    then.
    """

    number: int
    streams: int = 0
    rate: float = 0.0
    cap: int = 0
    arrival: Arrival = "poisson"
    burstiness: float = 1.0
    trace: str = ""
    time_scale: float = 1.0
    max_tokens: int = 0
    prompt_tokens: int = 0
    users: bool = False
    think_s: float = 0.0

    @property
    def open(self) -> bool:
        """Whether requests are sent by the clock and not when an answer has ended."""
        return self.rate > 0 or self.trace != ""

    @property
    def title(self) -> str:
        """ "8 streams", "2 requests/s", or "trace day.jsonl x2"; in a grid "8 streams, 256 tokens" as well."""
        return ", ".join(filter(None, (self.load_title, self.cell_title)))

    @property
    def cell_title(self) -> str:
        """The lengths of a grid: "256 tokens", "prompts of 512", or "512/256 tokens"; "" without a grid."""
        if self.prompt_tokens and self.max_tokens:
            return f"{self.prompt_tokens}/{self.max_tokens} tokens"
        if self.prompt_tokens:
            return f"prompts of {self.prompt_tokens}"
        return f"{self.max_tokens} token{'' if self.max_tokens == 1 else 's'}" if self.max_tokens else ""

    @property
    def load_title(self) -> str:
        """The title without the lengths of a grid."""
        if self.trace:
            return f"trace {trace_name(self.trace)}" + (f" x{self.time_scale:g}" if self.time_scale != 1 else "")
        if self.open:
            return f"{self.rate:g} request{'' if self.rate == 1 else 's'}/s"
        return f"{self.streams} {'user' if self.users else 'stream'}{'' if self.streams == 1 else 's'}"

    @property
    def short_title(self) -> str:
        """The title in short: "8", "2/s" or "trace"; in a grid "8x512/256"."""
        return "x".join(filter(None, (self.short_load, self.short_cell)))

    @property
    def short_load(self) -> str:
        """The short title without the lengths of a grid."""
        if self.trace:
            return "trace"
        return f"{self.rate:g}/s" if self.open else str(self.streams)

    @property
    def short_cell(self) -> str:
        """The lengths of a grid as numbers: "512/256" of prompt and answer, or the one that varies."""
        return "/".join(str(length) for length in (self.prompt_tokens, self.max_tokens) if length)

    @property
    def slots(self) -> int:
        """How many requests a server should be able to compute at a time for this level; 1 if it is not known."""
        return max(1, self.streams or self.cap)


class TraceTurn(Struct, frozen=True):
    """What a turn takes of a trace: `settle` requests in `settle_s`, then a window of `requests` in `window_s`.

    The longest time without a request is `gap_s`, from `gap_from_s` on. All of these are as they are sent. The whole
    file has `all_requests` and lasts `length_s` as recorded; `checksum` is that of its times.
    """

    settle: int
    requests: int
    window_s: float
    settle_s: float = 0.0
    gap_s: float = 0.0
    gap_from_s: float = 0.0
    all_requests: int = 0
    length_s: float = 0.0
    checksum: int = 0


class Cells(Struct, frozen=True):
    """The lengths of a grid (`[[sweep]]`): each load is taken with each of them. Empty: not varied."""

    max_tokens: list[int] = []
    prompt_tokens: list[int] = []

    def of(self, levels: list[Level]) -> list[Level]:
        """Return these levels with each length, numbered from 1 on."""
        every = itertools.product(levels, self.prompt_tokens or [0], self.max_tokens or [0])
        return [
            msgspec.structs.replace(level, number=number, prompt_tokens=prompt_tokens, max_tokens=max_tokens)
            for number, (level, prompt_tokens, max_tokens) in enumerate(every, 1)
        ]


class Load(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The load of a run (`[load]`): a race by default, with one request under way at any time.

    A turn is what one backend gets at a time. It counts `requests` requests (0: enough for the level), or those that
    are sent within `duration_s`. `settle` requests before them do not count; "auto" finds their number.

    With `search` the levels are candidates: the search decides which of them get turns. The largest `concurrency` is
    the upper end then. `cells` are the lengths of a grid: with them one stream is a load, and not a race.

    `trace` is a file of send times, replayed `time_scale` times as fast, and `trace_turn` what a turn takes of it, once
    it has been read. `probe_rate` is how many requests of one token are sent per second beside the load.

    `users` hold conversations: they are the streams of a closed loop, and think after each answer, `think_s` on
    average.
    """

    concurrency: int | str | list[int] = 1
    request_rate: float | list[float] = []
    arrival: Arrival = "poisson"
    burstiness: float = 1.0
    max_concurrency: int = 0
    requests: int = 0
    duration_s: float = 0.0
    settle: Literal["auto"] | int = "auto"
    search: Search = ""
    trace: str = ""
    time_scale: float = 1.0
    trace_turn: TraceTurn | None = None
    probe_rate: float = 0.0
    cells: Cells | None = None
    users: int | str | list[int] = 0
    think_s: float = 0.0

    @functools.cached_property
    def levels(self) -> list[Level]:
        """All levels in the order of the config; empty for a race. Call it on a load that has been checked.

        Those of a search are its candidates, in ascending order. The list is made once, as a screen reads it a hundred
        times a frame: do not change it.
        """
        if self.cells is not None:
            return self.cells.of(msgspec.structs.replace(self, cells=None).levels or [Level(number=1, streams=1)])
        if self.search:
            return [Level(number=number, streams=count) for number, count in enumerate(ladder(self.search_until), 1)]
        if self.trace:
            of = self.trace_turn
            rate = of.requests / of.window_s if of is not None else 0.0
            scale, cap = self.time_scale, self.max_concurrency
            return [Level(number=1, rate=rate, cap=cap, arrival="constant", trace=self.trace, time_scale=scale)]
        rates = self.request_rate if isinstance(self.request_rate, list) else [self.request_rate]
        if rates:
            cap, arrival, burstiness = self.max_concurrency, self.arrival, self.burstiness
            return [
                Level(number=number, rate=rate, cap=cap, arrival=arrival, burstiness=burstiness)
                for number, rate in enumerate(rates, 1)
            ]
        if self.users:
            users = self.users if isinstance(self.users, list) else [int(self.users)]
            return [
                Level(number=number, streams=count, users=True, think_s=self.think_s)
                for number, count in enumerate(users, 1)
            ]
        streams = self.concurrency if isinstance(self.concurrency, list) else [int(self.concurrency)]
        if streams == [1] and self.requests in (0, 1) and not self.duration_s:
            return []
        return [Level(number=number, streams=count, think_s=self.think_s) for number, count in enumerate(streams, 1)]

    @property
    def search_until(self) -> int:
        """The upper end of a search, in streams."""
        counts = self.concurrency if isinstance(self.concurrency, list) else [int(self.concurrency)]
        return max(counts)

    @property
    def most_levels(self) -> int:
        """How many levels a backend measures; of a search at most."""
        levels = len(self.levels)
        return min(levels, math.ceil(math.log2(self.search_until)) + _PROBES_BETWEEN) if self.search else levels

    def named(self, text: str) -> Level | None:
        """Return the level that `text` names: by its title, its short title, or its streams or rate alone.

        None if it names none of this load, or several.
        """
        wanted = " ".join(text.split()).casefold()
        for names in (_titles, _numbers):
            found = [level for level in self.levels if wanted in names(level)]
            if len(found) == 1:
                return found[0]
        return None

    @functools.cached_property
    def head_level(self) -> Level | None:
        """The level that is shown first. None for a race.

        It is the largest, and counts, as it is fixed before the run. Of a search it is the first, which every backend
        measures, and no level counts.
        """
        if self.search:
            return self.levels[0]
        return max(self.levels, key=_size, default=None)

    def requests_of(self, level: Level) -> int:
        """Return how many requests of a turn count; 0 if `duration_s` decides that."""
        if self.trace_turn is not None:
            return self.trace_turn.requests
        if self.duration_s:
            return 0
        return self.requests or max(LEAST_REQUESTS, REQUESTS_PER_STREAM * level.streams)

    @property
    def turn_s(self) -> float:
        """How long a turn is at least, in s: its window, and of a trace what comes before it too; 0 if unknown."""
        if self.trace_turn is not None:
            return self.trace_turn.settle_s + self.trace_turn.window_s
        return self.duration_s


def _titles(level: Level) -> tuple[str, ...]:
    return level.title.casefold(), level.short_title.casefold()


def _numbers(level: Level) -> tuple[str, ...]:
    return level.load_title.casefold(), level.short_load, f"{level.rate or level.streams:g}"


def _size(level: Level) -> tuple[float, ...]:
    return level.streams, level.rate, level.prompt_tokens, level.max_tokens


def trace_name(path: str) -> str:
    """Return the name of a trace's file, not too long for a title."""
    name = os.path.basename(path)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def ladder(until: int) -> list[int]:
    """Return the candidates of a search: 1 to 8 streams, then eight numbers in each octave, and the upper end."""
    counts = list(range(1, min(until, _FINE) + 1))
    while counts[-1] < until:
        counts.append(min(until, counts[-1] + 2 ** (counts[-1].bit_length() - 1) // _FINE))
    return counts
