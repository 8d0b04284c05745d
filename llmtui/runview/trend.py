"""One backend over the runs of the history in words: changes, level shifts, and which runs are not in the series."""

from __future__ import annotations

from llmtui.stats.checks.imported import unknown
from llmtui.stats.level_shifts import ALPHA, SHOWN_FROM, LevelShift
from llmtui.stats.metrics import ALL_METRICS, MetricKey
from llmtui.stats.run_series import LEAST_SAMPLES, RunPoint, RunSeries
from llmtui.store.series import FEW_SAMPLES, Found
from llmtui.text import sanitize
from llmtui.text.format import percent_text, plural

#: The most characters of a version or setting.
_CHANGE = 60
#: How many disturbed runs are named.
_NAMED = 10


def left_out_words(found: Found, few: int, older: str, others: str = "") -> str:
    """Say which runs of the backend are not in the series, and why; "" if all are. `older` names the cut-off ones.

    `few` have no value of the metric in enough samples. `others` says how to see the runs of other setups.
    """
    counts = dict(found.left_out)
    few += counts.pop(FEW_SAMPLES, 0)
    parts = [plural(count, key) for words, key in _KINDS.items() if (count := counts.pop(words, 0))]
    parts += [plural(count, "run") + words for key, words in _REASONS.items() if (count := counts.pop(key, 0))]
    if counts:
        settings = ", ".join(sorted(counts))
        parts.append(f"{plural(sum(counts.values()), 'run')} with another setting ({settings})")
    of_others = others if found.left_out.keys() - _OF_ANY_SETUP else ""
    if few:
        parts.append(f"{plural(few, 'run')} with fewer than {LEAST_SAMPLES} samples")
    if found.cut:
        parts.append(older)
    return f"not in this series: {'; '.join([*parts, *filter(None, [of_others])])}" if parts else ""


#: Runs that are not a race where the series is of races, and the other way round.
_KINDS = {"a race": "race", "a load": "load"}
_REASONS = {
    "tool": " that another tool measured",
    "hardware": " on other hardware",
    "load": " of another load",
    "prompts": " with other prompts",
    "level": " without this level",
    "no samples": " without a sample of it",
    "unreadable": " that cannot be read",
}
#: Reasons that the setup of another run would not change.
_OF_ANY_SETUP = {"level", "no samples", "unreadable", FEW_SAMPLES}


def changed_words(point: RunPoint) -> str:
    """What differs from the run before: "version 1.0 -> 1.1, settings (launch)"; "" if nothing does."""
    parts = []
    for change in point.changes:
        before, after = sanitize(change.before, _CHANGE), sanitize(change.after, _CHANGE)
        if change.what == "settings":
            parts.append(f"settings ({after})")
        else:
            parts.append(f"{change.what} {before or 'none'} -> {after or 'none'}")
    return ", ".join(parts)


def sentences(series: RunSeries) -> list[str]:
    """What the runs show: a sentence per shift, or why there is none, and which runs were disturbed."""
    points, texts = series.points, []
    for shift, others in zip(series.shifts, series.others_at, strict=True):
        point = points[shift.at]
        interval = f" ({_change(shift.low)} to {_change(shift.high)})" if shift.low and shift.high else ""
        size = size_words(shift, series.metric)
        text = (
            f"the level shifts at run {point.run} of {point.created_utc[:10]}: {size}{interval}, "
            f"p {percent_text(shift.p)}, {shift.before} runs before it and {shift.after} from it on"
        )
        changes = changed_words(point)
        text += f"; changed at this run: {changes}" if changes else "; no change was recorded at this run"
        if others:
            text += f"; the other backends of these runs: {', '.join(f'{n} {_change(r)}' for n, r in others.items())}"
            if all((ratio > 1) == ((shift.ratio or 1) > 1) and _alike(ratio, shift.ratio) for ratio in others.values()):
                text += ": all shift alike, which looks like the machine"
        texts.append(text)
    if not texts:
        texts.append(
            f"no level shift shown at {percent_text(ALPHA)} in {plural(len(points), 'run')}"
            if len(points) >= SHOWN_FROM
            else f"{plural(len(points), 'run')}: a level shift needs {SHOWN_FROM} at least to be shown"
        )
    disturbed = [point.run for point in points if point.disturbed]
    if disturbed:
        named = [*disturbed[:_NAMED], *(["..."] if len(disturbed) > _NAMED else [])]
        which = f": {', '.join(named)}" if len(disturbed) < len(points) else ""
        texts.append(f"other programs were busy in {plural(len(disturbed), 'run')}{which}")
    if series.origin is not None:
        measured = f"measured by {series.origin.title}, not by llmtui"
        texts.append(f"{measured}; {unknown(series.origin)}: these may have changed from run to run")
    if series.meters:
        meters = sanitize(series.meters, _CHANGE)
        texts.append(f"energy of {meters}: runs with other meters, or without energy, are left out")
    if series.shifts:
        texts.append("a shift is of the machine and the backend together: llmtui compare tells them apart")
    return texts


def _alike(ratio: float, shift: float | None) -> bool:
    """Whether another backend changed by at least half as much."""
    return shift is not None and abs(ratio - 1) >= abs(shift - 1) / 2


def size_words(shift: LevelShift, metric: MetricKey) -> str:
    """The change at a shift: "latency +5.2%, slower"."""
    of = ALL_METRICS[metric]
    if shift.ratio is None:
        return f"{of.title} at another level"
    better = (shift.ratio > 1) == of.higher_is_better
    return f"{of.title} {_change(shift.ratio)}, {of.change_word(better=better)}"


def _change(ratio: float) -> str:
    return f"{'+' if ratio >= 1 else '-'}{percent_text(abs(ratio - 1))}"
