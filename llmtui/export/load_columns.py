"""All columns of the CSV files: those of a race, then those that only a load fills, and the columns of turns.

Names and their order are a contract: see columns.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

from llmtui.export.column import Column, Value
from llmtui.export.columns import RACE_COLUMNS, RACE_ITERATION_COLUMNS, Result
from llmtui.export.grid_columns import GRID_COLUMNS
from llmtui.export.power_columns import POWER_COLUMNS, POWER_RESULT_COLUMNS
from llmtui.model import Iteration, Level, Objective, Percentiles, Power, Quantity, TalkTurn, Turn
from llmtui.stats.turn_figures import outcome


class Sample(NamedTuple):
    """One row of the iterations: an iteration of a race, or a request of a load at a `level`."""

    iteration: Iteration
    level: Level | None = None


class LevelTurn(NamedTuple):
    """One row of the turns."""

    turn: Turn
    level: Level


_PERCENTS = ("p50", "p90", "p95", "p99")
_ENOUGH = "Empty below 29 (p90), 59 (p95) and 299 (p99) of them."


def _title(level: Level | None) -> Value:
    return level.title if level is not None else None


def _streams(level: Level | None) -> Value:
    return level.streams or None if level is not None else None


def _rate(level: Level | None) -> Value:
    return level.rate or None if level is not None else None


_LEVEL_DOCS = {
    "level": "The level of a load: 8 streams, or 2 requests/s. Empty in a race, like all columns after it but "
    "those of a grid.",
    "streams": "Requests under way at any time. Empty in an open loop.",
    "rate": "Requests due per second. Empty in a closed loop.",
}
_LENGTH_DOCS = {
    "max_tokens": "Limit of the answers at this level of a grid. Empty without it.",
    "prompt_tokens": "Length of the synthetic prompts at this level of a grid. Empty without it.",
}


def _figure(name: str, doc: str) -> Column[Result]:
    """A figure of all turns of a backend at a level."""

    def of(result: Result) -> Value:
        value: Value = getattr(result.figures, name)
        return value if result.level is not None else None

    return Column(name, doc, of)


def _pooled(quantity: str, percent: str, title: str) -> Column[Result]:
    """A percentile over the requests of all turns of a backend at a level."""

    def of(result: Result) -> Value:
        return _percentile(getattr(result.figures, quantity), percent)

    return Column(
        f"pooled_{quantity}_{percent}_s", f"{percent} of the {title} of the requests of all turns. {_ENOUGH}", of
    )


def _kept(name: str, doc: str) -> Column[Result]:
    """What the whole turns say of the objectives, empty without any."""
    return Column(name, doc, lambda r: getattr(r.figures, name) if r.figures.objectives else None)


def _interval(result: Result) -> tuple[float | None, float | None]:
    return result.figures.attainment_interval or (None, None)


def _attained(objective: Objective) -> Column[Result]:
    """The share of the requests that kept one objective."""

    def of(result: Result) -> Value:
        return _share(result.figures.objectives.get(objective))

    return Column(f"{objective}_attainment", f"Share of the requests that kept the objective {objective} alone.", of)


def _share(counts: Sequence[int] | None) -> float | None:
    kept, missed = (counts or (0, 0))[:2]
    return kept / (kept + missed) if kept + missed else None


def _percentile(percentiles: Percentiles | None, percent: str) -> float | None:
    value: float | None = getattr(percentiles, percent) if percentiles is not None else None
    return value


#: The results, one row per backend, in a load per backend and level.
RESULT_COLUMNS: tuple[Column[Result], ...] = (
    *RACE_COLUMNS,
    Column("level", _LEVEL_DOCS["level"], lambda r: _title(r.level)),
    Column("streams", _LEVEL_DOCS["streams"], lambda r: _streams(r.level)),
    Column("rate", _LEVEL_DOCS["rate"], lambda r: _rate(r.level)),
    _figure("requests", "Requests in the windows of the turns that count. The next five columns add up to it."),
    _figure("finished", "Those that were answered."),
    _figure("failed", "Those that failed otherwise than as follows."),
    _figure("refused", "Those that the server refused with 429 or 503."),
    _figure("timed_out", "Those without an answer within timeout_s."),
    _figure("unfinished", "Those that were cut off at the end of a turn."),
    _figure("requests_per_s", "Answers per second of the window, median over the turns."),
    _figure("output_tokens_per_s", "Output tokens of all streams per second of the window, median over the turns."),
    _figure("delivered_rate", "Requests sent per second of the window, median over the turns."),
    _figure("in_flight", "Requests under way, averaged over the window, median over the turns."),
    _figure("late_s", "How late requests were sent through llmtui's own fault, median. Empty in a closed loop."),
    *(
        _pooled(quantity, percent, title)
        for quantity, title in (("latency", "latency"), ("ttft", "time to first token"), ("tpot", "time per token"))
        for percent in _PERCENTS
    ),
    Column(
        "slots",
        "How many requests the server computes at a time. Empty if unknown.",
        lambda r: r.state.slots if r.level is not None else None,
    ),
    _kept("kept", "Requests that kept all objectives. Empty without any, like the next columns."),
    _kept("missed", "Those that missed one, or failed."),
    _kept("undetermined", "Requests for which this cannot be told. The three are of whole turns."),
    _kept("attainment", "kept / (kept + missed)."),
    Column("attainment_low", "Low end of its 95% interval over the turns.", lambda r: _interval(r)[0]),
    Column("attainment_high", "High end of it.", lambda r: _interval(r)[1]),
    _figure("goodput_per_s", "Requests that kept all objectives per second of the window, median over the turns."),
    *(_attained(objective) for objective in get_args(Objective)),
    Column(
        "level_max_tokens",
        _LENGTH_DOCS["max_tokens"],
        lambda r: (r.level.max_tokens or None) if r.level is not None else None,
    ),
    Column(
        "level_prompt_tokens",
        _LENGTH_DOCS["prompt_tokens"],
        lambda r: (r.level.prompt_tokens or None) if r.level is not None else None,
    ),
    *POWER_RESULT_COLUMNS,
    *GRID_COLUMNS,
)


def _of_request(name: str, doc: str, of: Callable[[Iteration], Value] | None = None) -> Column[Sample]:
    """A value of a request, empty in a race."""

    def value(sample: Sample) -> Value:
        if sample.level is None:
            return None
        found: Value = of(sample.iteration) if of is not None else getattr(sample.iteration, name)
        return found

    return Column(name, doc, value)


def _of_power(column: Column[Power | None]) -> Column[Sample]:
    return Column(column.name, column.doc, lambda sample: column.of(sample.iteration.power))


def _of_turn_power(column: Column[Power | None]) -> Column[LevelTurn]:
    return Column(column.name, column.doc, lambda row: column.of(row.turn.power))


def _adapted(column: Column[Iteration]) -> Column[Sample]:
    return Column(column.name, column.doc, lambda sample: column.of(sample.iteration))


#: The iterations, one row each, and the requests of a load.
ITERATION_COLUMNS: tuple[Column[Sample], ...] = (
    *(_adapted(column) for column in RACE_ITERATION_COLUMNS),
    _of_request("round", "The round of a load. Empty in a race, like all columns up to age_s.", lambda i: i.iteration),
    Column("level", "The level of the load: 8 streams, or 2 requests/s.", lambda s: _title(s.level)),
    _of_request("turn", "The turn's place in the order of the run: seq in the turns CSV."),
    _of_request("request", "Number of the request in its turn. Equal numbers of a round are equal work."),
    _of_request("worker", "Number of the process that sent it, from 1 on; 0 if there is one."),
    _of_request("due_s", "When it was due, since the turn began. Empty in a closed loop."),
    _of_request("queue_s", "How much later than that it was sent.", lambda i: _less(i.written_s, i.due_s)),
    _of_request("in_flight", "Requests of its worker under way once it was sent."),
    _of_request("share", "settling (not counted), window (counted), tail (after it), or probe (beside the load)."),
    _of_request("written_s", "When it was sent, since the turn began."),
    _of_request("waited_s", "The part of queue_s that it waited because of max_concurrency."),
    _of_request("outcome", "finished, failed, refused, timed_out or unfinished.", outcome),
    _of_request(
        "age_s", "How long a request was under way that got no answer.", lambda i: None if i.ok else i.latency_s
    ),
    Column(
        "prompt",
        "Which prompt of a file it asked: its line, or the name of its file. Empty if all have the prompt of [run].",
        lambda s: s.iteration.prompt or None,
    ),
    _of_request("talk", "Number of its conversation. Empty without conversations.", lambda i: i.talk or None),
    _of_request("question", "Which question of the conversation it is, from 1 on.", lambda i: i.talk_turn or None),
    _of_request("thought_s", "How long the user thought before it."),
    *(_of_power(column) for column in POWER_COLUMNS),
)


def _less(later: float | None, earlier: float | None) -> float | None:
    return later - earlier if later is not None and earlier is not None else None


def _of_turn(name: str, doc: str) -> Column[LevelTurn]:
    def of(row: LevelTurn) -> Any:
        return getattr(row.turn, name)

    return Column(name, doc, of)


def _of_turn_percent(quantity: Quantity, percent: str) -> Column[LevelTurn]:
    doc = f"{percent} of {quantity} over the requests of the window. {_ENOUGH}"
    return Column(f"{quantity}_{percent}_s", doc, lambda row: _percentile(row.turn.percentiles.get(quantity), percent))


def _judged(name: str, doc: str) -> Column[LevelTurn]:
    """What a turn says of the objectives, empty without any."""
    return Column(name, doc, lambda row: getattr(row.turn, name) if row.turn.objectives else None)


def _attained_in_turn(objective: Objective) -> Column[LevelTurn]:
    doc = f"Share of the requests that kept the objective {objective} alone."
    return Column(f"{objective}_attainment", doc, lambda row: _share(row.turn.objectives.get(objective)))


def _ttft(questions: TalkTurn) -> float | None:
    return questions.ttft_s


def _cached(questions: TalkTurn) -> float | None:
    return questions.cached_share


def _of_talks(name: str, doc: str, of: Callable[[TalkTurn], float | None], *, first: bool = False) -> Column[LevelTurn]:
    """A figure of the first questions of conversations, or of all later ones."""

    def value(row: LevelTurn) -> Value:
        each = [turn for turn in row.turn.talk_turns if (turn.turn == 1) == first]
        known = [(number, turn.n) for turn in each if (number := of(turn)) is not None]
        n = sum(count for _, count in known)
        return sum(number * count for number, count in known) / n if n else None

    return Column(name, doc, value)


def _yes(name: str, doc: str) -> Column[LevelTurn]:
    return Column(name, doc, lambda row: "yes" if getattr(row.turn, name) else "no")


#: The turns of a load, one row each.
TURN_COLUMNS: tuple[Column[LevelTurn], ...] = (
    _of_turn("run", "The run's id."),
    _of_turn("backend", "The backend's name."),
    _of_turn("attempt", "1, and one more for each rerun."),
    _of_turn("phase", "warmup or measured."),
    _of_turn("round", "Number of the round within the attempt and phase."),
    Column("level", "The level: 8 streams, or 2 requests/s.", lambda row: row.level.title),
    Column("streams", _LEVEL_DOCS["streams"], lambda row: _streams(row.level)),
    Column("rate", _LEVEL_DOCS["rate"], lambda row: _rate(row.level)),
    _of_turn("seq", "Its place in the order of the run: turn in the iterations CSV."),
    _of_turn("started_utc", "When it began."),
    _of_turn("state", "whole, or partial: stopped before its end, and not compared."),
    _of_turn("launch", "Which launch of the server within the attempt."),
    _of_turn("settled", "Requests before the window."),
    _of_turn("settle_needed", "Requests that had to come before the time per token was steady."),
    _of_turn("window_s", "Length of the window."),
    _of_turn("elapsed_s", "Length of the whole turn."),
    _of_turn("requests", "Requests in the window. The next five columns add up to it."),
    _of_turn("finished", "Those that were answered."),
    _of_turn("failed", "Those that failed otherwise than as follows."),
    _of_turn("refused", "Those that the server refused with 429 or 503."),
    _of_turn("timed_out", "Those without an answer within timeout_s."),
    _of_turn("unfinished", "Those that were cut off at the end."),
    _of_turn("requests_per_s", "Answers per second of the window."),
    _of_turn("output_tokens_per_s", "Output tokens of all streams per second of the window."),
    _of_turn("stream_tokens_per_s", "The same for each stream of a closed loop."),
    _of_turn("delivered_rate", "Requests sent per second of the window."),
    _of_turn("in_flight", "Requests under way, averaged over the window."),
    _of_turn("in_flight_most", "Their largest number; of several workers at most that."),
    _of_turn("little_residual", "How far in_flight is from rate times latency, as a share."),
    _of_turn("tokens_per_s", "Median decode speed of one stream."),
    _of_turn("output_tokens", "Median number of output tokens."),
    *(_of_turn_percent(quantity, percent) for quantity in ("latency", "ttft", "tpot", "itl") for percent in _PERCENTS),
    _of_turn("waiting_s", "Median time that requests waited because of max_concurrency. Empty in a closed loop."),
    _of_turn("late_s", "Median time by which they were sent late otherwise. Empty in a closed loop."),
    _of_turn("late_p99_s", "p99 of it; the largest of fewer than 299."),
    _of_turn("scheduled_latency_s", "Median latency from when requests were due."),
    _of_turn("scheduled_ttft_s", "Median time to first token from when requests were due."),
    _of_turn("drift", "Change of the time per token within the window, as a share."),
    _yes("beyond_capacity", "yes if the requests that had not ended became ever more."),
    _of_turn("foreign_cpu", "Cores that neither the server nor llmtui kept busy."),
    _of_turn("server_cpu", "Cores that the server kept busy."),
    _of_turn("worker_cpu", "Cores that the process that measures kept busy; of several, the busiest one."),
    _of_turn("stamp", "Whose clock stamped the arrivals: kernel or user."),
    Column("error", "Why the turn, or its requests, failed.", lambda row: str(row.turn.error or "")),
    _judged("kept", "Requests that kept all objectives. Empty without any, like the columns after it up to probes."),
    _judged("missed", "Those that missed one, or failed."),
    _judged("undetermined", "Requests for which this cannot be told."),
    _judged("attainment", "kept / (kept + missed)."),
    _judged("goodput_per_s", "Requests that kept all objectives per second of the window."),
    *(_attained_in_turn(objective) for objective in get_args(Objective)),
    _of_turn("probes", "Short requests beside the load (probe_rate)."),
    _of_turn("probes_failed", "Those of them that failed."),
    *(_of_turn_percent("probe", percent) for percent in ("p50", "p95")),
    _of_turn("thinking", "Users of conversations who think, averaged over the window."),
    _of_turn("talks_failed", "Conversations that ended because a request failed."),
    _of_turn("talks_full", "Conversations of the whole turn that ended because the context was full."),
    _of_talks("ttft_question_1_s", "Median TTFT of the first questions of conversations.", _ttft, first=True),
    _of_talks("ttft_questions_later_s", "The same of all later questions, mean of the medians.", _ttft),
    _of_talks("cached_question_1", "Share of their prompt from the server's cache.", _cached, first=True),
    _of_talks("cached_questions_later", "The same of all later questions.", _cached),
    *(_of_turn_power(column) for column in POWER_COLUMNS),
    _of_turn("workers", "Processes that sent the requests."),
    Column("level_max_tokens", _LENGTH_DOCS["max_tokens"], lambda row: row.level.max_tokens or None),
    Column("level_prompt_tokens", _LENGTH_DOCS["prompt_tokens"], lambda row: row.level.prompt_tokens or None),
)
