"""The results table in GitHub's Markdown, for a README or an issue, with the figures and remarks of the final table.

Text from servers and configs is in code spans, where markup, links, mentions and HTML have no effect.
"""

from __future__ import annotations

import re

from llmtui.export.table import filled_columns, findings, remarks_on, rows_of, start_ups, typical_values
from llmtui.runview.launches import plan_words
from llmtui.runview.run import RunView
from llmtui.text import sanitize
from llmtui.text.cells import cells_wide
from llmtui.text.format import plural

#: The columns of the final table that are also here, and their headings around the table's.
_COLUMNS = {
    "backend": "{}",
    "server": "{}",
    "weights": "{}",
    "n": "{}",
    "err": "errors",
    "median": "latency {}",
    "mean": "{}",
    "min": "{}",
    "max": "{}",
    "stddev": "{}",
    "TTFT": "{}",
    "tok/s": "tokens/s",
    "vs best": "{}",
}


def code(text: str, limit: int = 300) -> str:
    """`text` on one line as a code span that it cannot end, also inside a table; "" if nothing is left of it."""
    text = sanitize(text, limit)
    if not text:
        return ""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if "`" in (text[0], text[-1]) else ""
    return f"{fence}{space}{text}{space}{fence}"


def run_markdown(run_view: RunView) -> str:
    """The run's results: the table (a shown fastest backend in bold), remarks, and where the figures come from."""
    rows = rows_of(run_view)
    filled = {column.key: column for column in filled_columns(rows)}
    columns = [filled[key] for key in _COLUMNS if key in filled]
    table = [[_COLUMNS[column.key].format(column.heading) for column in columns]]
    for index, row in enumerate(rows):
        cells = [code(column.cells[index]) if column.text else column.cells[index] for column in columns]
        if row.fastest:
            cells[0] = f"**{cells[0]}**"
        table.append([cell.replace("|", "\\|") for cell in cells])
    widths = [max(3, *(cells_wide(line[i]) for line in table)) for i in range(len(columns))]
    rule = ["-" * width if c.text else "-" * (width - 1) + ":" for width, c in zip(widths, columns, strict=True)]
    lines = []
    for line in (table[0], rule, *table[1:]):
        padded = []
        for cell, width, column in zip(line, widths, columns, strict=True):
            blank = " " * (width - cells_wide(cell))
            padded.append(cell + blank if column.text else blank + cell)
        lines.append(f"| {' | '.join(padded)} |")
    remarks = [f"- {code(remark, 600)}" for row in rows for remark in remarks_on(row.backend_view)]
    texts = [*typical_values(run_view), *start_ups(run_view), *findings(run_view)]
    remarks += [f"- {code(finding, 900)}" for finding in texts]
    return "\n".join([*lines, "", *remarks, *([""] if remarks else []), _origin(run_view)]) + "\n"


def _origin(run_view: RunView) -> str:
    plan, machine, config = run_view.plan, run_view.machine, run_view.plan.config
    place = [code(machine.cpu), plural(machine.cores, "core"), code(machine.os)]
    place += [f"{machine.memory_bytes / 2**30:.1f} GiB"] if machine.memory_bytes else []
    place += [f"Python {code(machine.python)}", f"llmtui {code(machine.llmtui)}"] if machine.llmtui else []
    asked = [
        plan_words(config, plural(config.iterations, "iteration"), plural(config.warmup, "warm-up")),
        f"at most {plural(config.max_tokens, 'token')}",
        config.order,
        f"temperature {config.temperature:g}",
        f"prompt {code(config.prompt, 200)}",
    ]
    return (
        f"Run {code(plan.run)} of {code(plan.created_utc)} on {', '.join(p for p in place if p)}: {', '.join(asked)}. "
        "TTFT is the median; tokens/s is the decode speed of one stream."
    )
