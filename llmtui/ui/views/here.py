"""What is on this machine and could be raced: one line of the main screen, and a page."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from llmtui.config.lineup import Group, missing
from llmtui.model import Absent, Backend, Found, Plan
from llmtui.runview.presence import server_text, truly_absent
from llmtui.text import sanitize
from llmtui.ui.text.spans import Line, Role, Span, clip, pad, width_of, wrap

#: The widest column of models.
_MODEL_CELLS = 36
#: The most lines of the selected race.
_MEMBER_LINES = 4


def presence_line(plan: Plan, width: int, key: str) -> Line:
    """Return what is not here and what also runs, as much as fits; `key` opens the page. Empty if all is raced."""
    absent = ", ".join(sanitize(one.framework, 40) for one in truly_absent(plan.absent, plan.others))
    running = ", ".join(server_text(server) for server in plan.others)
    names = ", ".join(sanitize(server.framework, 40) for server in plan.others)
    gone = f"not here: {absent}" if absent else ""
    also, briefly = (f"also running: {text}" if text else "" for text in (running, names))
    tells, races = (f" ({key} {does})" for does in ("tells how to get them", "races them"))
    variants = [
        [(gone, tells), (also, races)],
        [(also, races), (gone, "" if also else f" ({key} tells how)")],
        [(briefly, races), (gone, "" if briefly else f" ({key})")],
        [(briefly, f" ({key})"), (gone, "" if briefly else f" ({key})")],
    ]
    for parts in variants:
        line = _joined(parts)
        if width_of(line) <= width:
            break
    return line


def _joined(parts: Sequence[tuple[str, str]]) -> Line:
    spans: list[Span] = []
    for text, how in parts:
        if text:
            head, sign, rest = text.partition(": ")
            spans += [(" " if not spans else "   ", ""), (head + sign, "dim"), (rest, ""), (how, "dim")]
    return tuple(spans)


def race_lines(races: Sequence[Group], selected: int, width: int) -> list[Line]:
    """Return a line for each race: its model, and the servers and programs that have it. The selected one is whole."""
    column = min(_MODEL_CELLS, width // 2, max((len(sanitize(one.model, 200)) for one in races), default=0))
    lines: list[Line] = []
    for index, race in enumerate(races):
        chosen = index == selected
        model = pad(clip(sanitize(race.model, 200), column), column)
        text, room = _members(race), max(0, width - column - 5)
        first, *more = (wrap(text, room, _MEMBER_LINES) if chosen else []) or [clip(text, room)]
        role: Role = "focus" if chosen else "strong"
        lines.append(((" ► " if chosen else "   ", "focus"), (model, role), ("  ", ""), (first, "")))
        lines += [((" " * (column + 5), ""), (rest, "")) for rest in more]
    return lines


def _members(race: Group) -> str:
    """What races: "Ollama, vLLM; llmtui starts llama.cpp, mistral.rs"."""
    running = ", ".join(_running(one, race.model) for one in race.backends if not one.on_shared_file)
    started = ", ".join(sanitize(one.name, 40) for one in race.backends if one.on_shared_file)
    return "; ".join(filter(None, (running, f"llmtui starts {started}" if started else "")))


def _running(backend: Backend, model: str) -> str:
    name = sanitize(backend.name, 40)
    return name if backend.model == model else f"{name} {sanitize(backend.model, 60)}"


def other_lines(found: Found, width: int) -> list[Line]:
    """Return what cannot be raced: what is missing and how to get it, and what else answers on the usual ports."""
    lines: list[Line] = []
    absent = missing(found)
    locked = [
        Absent(framework=s.framework, reason="it requires a key", remedy="set url and api_key in a config")
        for s in found.servers
        if s.locked
    ]
    if absent or locked:
        lines += [(), ((" not here", "title"),)]
    for one in [*locked, *absent]:
        head = f"   {pad(sanitize(one.framework, 20), 18)}{one.reason}; "
        first, *more = wrap(sanitize(one.remedy), max(20, width - len(head)), 3) or [""]
        lines.append(((head, "dim"), (first, "")))
        lines += [((" " * len(head), ""), (text, "")) for text in more]
    if found.problems:
        lines += [(), ((" no LLM server", "title"),)]
        lines += [((f"   {pad(_place(url), 18)}{sanitize(text)}", "dim"),) for url, text in found.problems.items()]
    return lines


def _place(url: str) -> str:
    return sanitize(urlsplit(url).netloc, 40)
