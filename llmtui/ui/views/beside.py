"""What a panel and the details show of the probe beside a load, and of conversations by question."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from llmtui.model import Level, TalkTurn, Turn
from llmtui.model.turn import Percentiles
from llmtui.runview.level_figures import LevelFigures
from llmtui.runview.probes import Calmest
from llmtui.text.format import DASH, figure, figures, plural
from llmtui.ui.text.spans import Line, clip, justify, wrap

#: The cells of the names of rows, and of a question.
_NAME_CELLS, _QUESTION_CELLS = 12, 7


# --- A panel ---


def panel_lines(of: LevelFigures, width: int) -> list[Line]:
    """A line on the probe and one on the questions of conversations, each only if it exists."""
    lines = [_probe_line(of.probe, width)] if of.probe is not None else []
    return [*lines, *([_talk_line(of.talk_turns, width)] if len(of.talk_turns) > 1 else [])]


def _probe_line(probe: Percentiles, width: int) -> Line:
    p50 = figure(probe.p50, "s")
    left = f"probe p50 {p50}"
    right = f"p95 {figure(probe.p95, 's')}, n {probe.n}" if probe.p95 is not None else f"n {probe.n}"
    if cell_len(left) + cell_len(right) + 1 <= width:
        return justify([(left, "")], [(right, "")], width)
    forms = [f"{left}, n {probe.n}", f"probe {p50}, n {probe.n}", f"probe {p50} n {probe.n}"]
    return ((_first(forms, width), ""),)


def _talk_line(turns: Sequence[TalkTurn], width: int) -> Line:
    """The TTFT of the first question and of the last one, and how much of the last came from the cache."""
    last = turns[-1]
    unit, (first_text, last_text) = figures([turns[0].ttft_s, last.ttft_s], "s")
    right = "" if last.cached_share is None else f"{last.cached_share:.0%} cached"
    forms = [
        f"TTFT question 1: {first_text}, {last.turn}: {last_text} {unit}",
        f"TTFT Q1 {first_text}, Q{last.turn} {last_text} {unit}",
        f"Q1 {first_text} Q{last.turn} {last_text} {unit}",
    ]
    for left in forms[:2]:
        if right and cell_len(left) + cell_len(right) + 1 <= width:
            return justify([(left, "")], [(right, "")], width)
    return ((_first(forms, width), ""),)


def _first(forms: Sequence[str], width: int) -> str:
    return next((text for text in forms if cell_len(text) <= width), clip(forms[-1], width))


# --- The details ---


def turn_texts(turn: Turn, talks: bool) -> list[str]:
    """What a turn says of its probe, and with `talks` of the questions of its conversations."""
    texts = []
    if (probe := turn.percentiles.get("probe")) is not None:
        texts.append(_probe_text("probe", probe))
    if turn.probes_failed:
        texts.append(f"{turn.probes_failed} of {plural(turn.probes, 'probe')} failed")
    if talks and turn.talk_turns:
        unit, ttft = figures([each.ttft_s for each in turn.talk_turns], "s")
        texts.append(f"TTFT by question {', '.join(ttft)} {unit}")
        if any(each.cached_share is not None for each in turn.talk_turns):
            texts.append(f"cached {', '.join(_share(each.cached_share) for each in turn.talk_turns)}")
    return texts


def level_lines(of: LevelFigures, level: Level, calmest: Calmest | None, width: int) -> list[Line]:
    """All whole turns at a level together: a table of the questions, and the probe beside that of the least load.

    Empty without conversations and probes.
    """
    where = f"{level.title}, {plural(of.turns, 'turn')}"
    lines: list[Line] = []
    if of.talk_turns:
        lines += _table(of.talk_turns, where, width)
    if of.probe is not None:
        text = _probe_text(f"probe at {where}:" if not lines else "probe:", of.probe)
        if calmest is not None and calmest.level.number != level.number:
            text += f"; {_probe_text(f'at {calmest.level.title}:', calmest.probe)}"
        lines += [((f" {part}", ""),) for part in wrap(text, width - 1, 2)]
    return lines


def _table(turns: Sequence[TalkTurn], where: str, width: int) -> list[Line]:
    """A row for each figure, a column for each question: the first ones and the last."""
    columns = max(1, (width - _NAME_CELLS - 1) // _QUESTION_CELLS)
    shown = turns if len(turns) <= columns else [*turns[: columns - 1], turns[-1]]
    unit, ttft = figures([each.ttft_s for each in shown], "s")
    rows = [
        ("question", [str(each.turn) for each in shown]),
        ("answers", [str(each.n) for each in shown]),
        (f"TTFT {unit}", ttft),
    ]
    if any(each.cached_share is not None for each in shown):
        rows.append(("from cache", [_share(each.cached_share) for each in shown]))
    lines: list[Line] = []
    for at, (name, cells) in enumerate(rows):
        text = f" {name:<{_NAME_CELLS}}" + "".join(f"{cell:>{_QUESTION_CELLS}}" for cell in cells)
        if not at and cell_len(text) + cell_len(where) + 3 <= width:
            text += f"   {where}"
        lines.append(((clip(text, width), "dim" if not at else ""),))
    return lines


def _share(share: float | None) -> str:
    return DASH if share is None else f"{share:.0%}"


def _probe_text(name: str, probe: Percentiles) -> str:
    p95 = f", p95 {figure(probe.p95, 's')}" if probe.p95 is not None else ""
    return f"{name} p50 {figure(probe.p50, 's')}{p95} (n = {probe.n})"
