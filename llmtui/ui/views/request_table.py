"""The requests of one turn as a table: its columns."""

from __future__ import annotations

from llmtui.model import Iteration, Slo
from llmtui.runview.turn_requests import TurnRequests
from llmtui.stats.objectives import judge, of_all
from llmtui.stats.turn_figures import outcome
from llmtui.text import sanitize
from llmtui.text.format import DASH
from llmtui.ui.views.columns import Column
from llmtui.ui.views.iteration_table import MISSED

_KEPT = {"kept": "yes", "missed": MISSED, "undetermined": "?"}
_OUTCOMES = {"finished": "answered", "timed_out": "timed out"}
#: What each column is sorted by (TurnRequests.keys); the others are not sorted by.
FIELDS = {
    "request": "request",
    "share": "share",
    "sent": "written_s",
    "due": "due_s",
    "queue": "queue",
    "flying": "in_flight",
    "kept": "kept",
    "outcome": "error",
    "ttft": "ttft_s",
    "tpot": "tpot_s",
    "latency": "latency_s",
    "tokens": "output_tokens",
    "rate": "tokens_per_s",
    "itl": "itl_s",
    "prompt": "prompt",
    "asked": "prompt_tokens",
    "finish": "finish_reason",
    "error": "error",
}
#: Columns whose figures a request without a result has too.
OF_FAILED = frozenset({"request", "share", "sent", "due", "queue", "flying", "kept", "outcome", "prompt", "error"})

_FIRST: tuple[Column[Iteration], ...] = (
    Column("request", "#", 6, 0, lambda i, _: str(i.request)),
    Column("share", "sent in", 8, 5, lambda i, _: i.share or DASH, right=False),
    Column("sent", "at", 7, 2, value=lambda i: i.written_s, kind="s"),
)
_OPEN: tuple[Column[Iteration], ...] = (
    Column("due", "due", 7, 3, value=lambda i: i.due_s, kind="s"),
    Column("queue", "queue", 6, 4, value=lambda i: queue_s(i), most_first=True, kind="ms"),
)
_FIGURES: tuple[Column[Iteration], ...] = (
    Column("ttft", "TTFT", 6, 0, value=lambda i: i.ttft_s, most_first=True, kind="s"),
    Column("tpot", "TPOT", 6, 0, value=lambda i: i.tpot_s, most_first=True, kind="ms"),
    Column("latency", "latency", 7, 0, value=lambda i: i.latency_s, most_first=True, kind="s"),
    Column("tokens", "tokens", 6, 6, lambda i, _: str(i.output_tokens or DASH)),
    Column("rate", "tok/s", 6, 9, value=lambda i: i.tokens_per_s, kind="tokens/s"),
    Column("itl", "ITL", 6, 10, value=lambda i: i.itl_s, most_first=True, kind="ms"),
    Column("asked", "prompt tokens", 13, 12, lambda i, _: str(i.prompt_tokens or DASH)),
    Column("finish", "finish", 8, 11, lambda i, _: sanitize(i.finish_reason or "", 40) or DASH, right=False),
)
_PROMPT: Column[Iteration] = Column(
    "prompt", "prompt", 16, 4, lambda i, room: sanitize(i.prompt, room) or DASH, right=False
)


def queue_s(request: Iteration) -> float | None:
    """How long after it was due a request was written (s), None in a closed loop."""
    return None if request.due_s is None or request.written_s is None else request.written_s - request.due_s


def request_columns(requests: TurnRequests) -> tuple[Column[Iteration], ...]:
    """The columns that requests like these have, without the error's."""
    kept = (_kept_column(requests.slo),) if requests.slo is not None else ()
    return (
        *_FIRST,
        *(_OPEN if requests.open else ()),
        Column("flying", "in flight", 9, 7, lambda i, _: str(i.in_flight or DASH), most_first=True),
        *kept,
        Column("outcome", "outcome", 10, 8, lambda i, _: outcome_word(i), most_first=True, right=False),
        *_FIGURES[:4],
        *((_PROMPT,) if requests.prompts_differ else ()),
        *_FIGURES[4:],
    )


def outcome_word(request: Iteration) -> str:
    """What became of a request: "answered", "failed", "refused", "timed out" or "unfinished"."""
    word = outcome(request)
    return _OUTCOMES.get(word, word)


def _kept_column(slo: Slo) -> Column[Iteration]:
    return Column("kept", "kept", 4, 1, lambda i, _: _KEPT[of_all(judge(i, slo))], most_first=True)
