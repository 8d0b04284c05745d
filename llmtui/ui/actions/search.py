"""Finds commands by the words that a user may have for them: for the palette and the help."""

from __future__ import annotations

import re

from llmtui.ui.actions.command import SECTIONS, Command

#: Other words for each command.
SYNONYMS: dict[str, str] = {
    "rerun": "again repeat retry restart measure attempt together leader",
    "stop": "cancel kill abort end skip",
    "rerun_all": "again repeat restart everything",
    "pause": "resume continue wait",
    "more": "iterations longer sure decide extend",
    "hide": "toggle visible remove filter",
    "metric": "speed throughput time first token tok/s unit",
    "chart": "graph plot box distribution histogram view",
    "scale": "axis logarithmic y",
    "first_half": "zoom range earlier left",
    "last_half": "zoom range later right newest",
    "all_iterations": "zoom out reset range",
    "level_before": "load streams concurrency rate smaller previous",
    "level_after": "load streams concurrency rate larger following",
    "table": "figures numbers statistics",
    "sort": "order rank column",
    "reverse": "order descending ascending",
    "hold": "freeze still stop",
    "verdict": "result winner fastest compare comparison significance statistics why confidence",
    "pairs": "compare comparison every others",
    "log": "errors events history",
    "server_log": "output stderr console",
    "detach": "background leave disconnect attach",
    "export": "save file download spreadsheet write",
    "export_as": "save file json markdown csv download write",
    "maximise": "open show samples tokens requests",
    "back": "escape close main",
    "here": "discover servers models installed available missing race find",
    "trend": "history runs over time versions regression shift drift slower",
    "theme": "colour color appearance",
    "help": "shortcuts manual",
    "quit": "exit leave close end",
    "filter": "search find grep",
    "slowest": "maximum worst jump longest",
    "next_failed": "errors jump find broken",
    "next_outlier": "jump find unusual spike far",
}


def texts_of(command: Command) -> tuple[str, ...]:
    """Return the texts in which a command is searched, the most telling first."""
    return (command.help, command.label, SYNONYMS.get(command.id, ""), SECTIONS[command.group])


def score(query: str, texts: tuple[str, ...]) -> float:
    """Return how well the texts match all words of `query`: 0 for no match, up to 1.

    A text that is the word counts most, then the start of a word before its middle, and an earlier text before a later
    one.
    """
    total = 0.0
    words = query.casefold().split()
    for word in words:
        starts = re.compile(rf"(?<![^\W_]){re.escape(word)}")
        best = 0.0
        for place, text in enumerate(text.casefold() for text in texts):
            if word == text:
                best = 1.0
            elif word in text:
                best = max(best, (0.9 if starts.search(text) else 0.4) / (1 + place))
        if not best:
            return 0.0
        total += best
    return total / len(words) if words else 0.0
