"""`llmtui compare --markdown`: the comparison in GitHub's Markdown, for the summary of a job or an issue.

Text of configs and servers is in code spans, where markup, links and mentions have no effect.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.cli.compare_json import Gated
from llmtui.cli.compare_table import table_of
from llmtui.export.markdown import code
from llmtui.stats.run_outcomes import Across
from llmtui.text import sanitize

_SENTENCE = 4_000
_SIGNS = {"void": "❌", "warning": "⚠️", "note": "ℹ️"}


def comparison_markdown(origins: Sequence[str], comparison: Across, remarks: Sequence[str]) -> str:
    """Return the runs, the table, a sentence per backend, and the other differences."""
    head, columns, left = table_of(comparison.outcomes)
    columns = [
        [column[0], *(code(cell) for cell in column[1:])] if n < left else column for n, column in enumerate(columns)
    ]
    lines = [*(f"- {code(text, _SENTENCE)}" for text in origins), "", f"{head[:1].upper()}{head[1:]}.", ""]
    rule = [":--" if n < left or column[0] in ("slowdown", "relative") else "--:" for n, column in enumerate(columns)]
    rows = [list(row) for row in zip(*columns, strict=True)]
    for row in (rows[0], rule, *rows[1:]):
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |")
    lines.append("")
    lines += [f"- {code(text, _SENTENCE)}" for text in remarks]
    if comparison.differences:
        lines.append("")
    for d, text in zip(comparison.differences, difference_lines(comparison), strict=True):
        lines.append(f"- {_SIGNS[d.level]} {code(text, _SENTENCE)}")
    return "\n".join(lines) + "\n"


def difference_lines(comparison: Across) -> list[str]:
    """Return a line for each difference of the runs that may explain their figures: plain text."""
    return [
        sanitize(f"{d.level} {d.code}: {d.text}" + (f"; fix: {d.todo}" if d.todo else ""), _SENTENCE)
        for d in comparison.differences
    ]


def gate_markdown(gated: Gated | None) -> str:
    """Return the outcome of the gate, "" without one."""
    if gated is None:
        return ""
    texts = [("❌ failed", text) for text in gated.broken] + [("❔ undecided", text) for text in gated.silent]
    lines = [f"- Gate of {gated.percent:g}% {word}: {code(text, _SENTENCE)}" for word, text in texts]
    if gated.holds:
        lines = [f"- Gate of {gated.percent:g}% ✅ passed"]
    return "\n" + "\n".join(lines) + "\n" if lines else ""
