"""`--fail-if` on what a search has found: `knee`, and `most_streams` within the objectives. Pure.

Both are ranges: a knee has an interval, and a search for the most streams may leave levels undecided. A limit is broken
if all of the range is beyond it, and kept if none of it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from llmtui.model import Plan
from llmtui.model.errors import UsageError
from llmtui.text import sanitize
from llmtui.text.format import plural

if TYPE_CHECKING:
    from llmtui.runview.limits import Limit
    from llmtui.runview.run import RunView
    from llmtui.runview.search import Found

KNEE, MOST = "knee", "most_streams"
#: The names of what a search finds, in numbers of streams.
FOUND = (KNEE, MOST)
_NAME = 40
#: What the result of one backend says of a limit.
Answer = Literal["broken", "kept", "open"]


class _Range(NamedTuple):
    """A number of streams: at least `low` and at most `high`, which is None if it has no known end."""

    low: int
    high: int | None

    @property
    def words(self) -> str:
        if self.high is None:
            return f"{self.low} or more streams"
        return plural(self.low, "stream") if self.low == self.high else f"{self.low} to {self.high} streams"


def check_found(limit: Limit, unit: str, plan: Plan, where: str) -> None:
    """Raise UsageError for a limit that no result of this plan can be held against."""
    from llmtui.runview.search import plan_has_knee

    search = plan.load.search
    if limit.which or limit.numbers:
        raise UsageError(f"{where}: {limit.name} is one number of a backend; write {limit.name}{limit.sign}8")
    if unit:
        raise UsageError(f"{where}: {limit.name} is a number of streams, without a unit")
    if limit.name == MOST and search != "slo":
        raise UsageError(f"{where}: {MOST} is what --search slo finds; for one level, use attainment@8<0.95")
    if limit.name == KNEE and not plan_has_knee(plan):
        raise UsageError(
            f"{where}: this run has no knee; add --search knee, or four levels of a closed loop without a grid"
        )
    until = plan.load.search_until if search else max(level.streams for level in plan.levels)
    if limit.holds(0) == limit.holds(until):
        raise UsageError(f"{where}: the levels end at {plural(until, 'stream')}, so the answer is known before the run")


def judge_found(run_view: RunView, limit: Limit, name: str, words: str) -> tuple[str, bool]:
    """Return what to say of a backend of a finished run, and whether the limit is broken; "" if it is kept.

    `words` are those of the limit: "less than 8".
    """
    from llmtui.runview.search import found_of

    found = found_of(run_view, name)
    known = _known(found)
    where = sanitize(name, _NAME)
    if known is None:
        what = "fewer than two levels could be measured" if limit.name == KNEE else "no level could be measured"
        return f"{where}: {limit.name} is unknown, as {what}", False
    answer = _answer(limit, known)
    if answer == "kept":
        return "", False
    measured = f" (measured: {found.knee.streams})" if found.knee is not None and known.high != known.low else ""
    text = f"{where}: {limit.name} is {known.words}{measured if known.high is not None else ''}"
    if answer == "broken":
        return f"{text}, {words}", True
    return f"{text}, so it cannot be told whether that is {words}", False


def _known(found: Found) -> _Range | None:
    """What is known of the number of streams that a search looked for."""
    if (knee := found.knee) is not None:
        return _Range(knee.low, knee.high if knee.reached else None)
    if (most := found.most) is not None:
        return _Range(most.kept, most.missed - 1 if most.missed is not None else None)
    return None


def _answer(limit: Limit, known: _Range) -> Answer:
    """Whether all numbers of a range are beyond a limit, or none."""
    least = limit.holds(known.low)
    # Without an end there are numbers above every limit.
    most = limit.holds(known.high) if known.high is not None else limit.sign.startswith(">")
    return "open" if least != most else "broken" if least else "kept"
