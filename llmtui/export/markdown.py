"""The results table in GitHub's Markdown, for a README or an issue, with the figures and remarks of the final table.

Text from servers and configs is in code spans, where markup, links, mentions and HTML have no effect.
"""

from __future__ import annotations

import re

from llmtui.export.load_table import HEADING, FilledColumn, load_columns, load_remarks, load_rows
from llmtui.export.table import filled_columns, findings, remarks_on, rows_of, start_ups, typical_values
from llmtui.runview.launches import plan_words
from llmtui.runview.loads import load_sentence
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
    "J/token": "{}",
    "vs best": "{}",
}
#: Columns of the final table of a load that are not here.
_NOT_OF_LOADS = frozenset({"framework", "language", "model", "interval", "in flight"})


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
    filled, headings, fastest, own = _load(run_view) if run_view.plan.levels else _race(run_view)
    columns = [filled[key] for key in headings if key in filled]
    table = [[words.format(filled[key].heading) for key, words in headings.items() if key in filled]]
    for index, star in enumerate(fastest):
        cells = [code(column.cells[index]) if column.text else column.cells[index] for column in columns]
        if star:
            name = next(place for place, column in enumerate(columns) if column.key == "backend")
            cells[name] = f"**{cells[name]}**"
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
    remarks = [f"- {code(remark, 600)}" for remark in own]
    typical = typical_values(run_view) if not run_view.plan.levels else []
    texts = [*typical, *start_ups(run_view), *findings(run_view)]
    remarks += [f"- {code(finding, 900)}" for finding in texts]
    return "\n".join([*lines, "", *remarks, *([""] if remarks else []), _origin(run_view)]) + "\n"


#: Columns by key, what is around their headings, the rows with a star, and the remarks.
_Parts = tuple[dict[str, FilledColumn], dict[str, str], list[bool], list[str]]


def _race(run_view: RunView) -> _Parts:
    rows = rows_of(run_view)
    remarks = [remark for row in rows for remark in remarks_on(row.backend_view)]
    return {column.key: column for column in filled_columns(rows)}, _COLUMNS, [row.fastest for row in rows], remarks


def _load(run_view: RunView) -> _Parts:
    rows = load_rows(run_view)
    shown = [column for column in load_columns(rows) if column.key not in _NOT_OF_LOADS]
    # By number, as several have the heading "p95 ms".
    filled = {str(number): column for number, column in enumerate(shown)}
    return filled, dict.fromkeys(filled, "{}"), [row.fastest for row in rows], load_remarks(run_view)


def _origin(run_view: RunView) -> str:
    plan, machine, config = run_view.plan, run_view.machine, run_view.plan.config
    place = [code(machine.cpu), plural(machine.cores, "core"), code(machine.os)]
    place += [f"{machine.memory_bytes / 2**30:.1f} GiB"] if machine.memory_bytes else []
    place += [f"Python {code(machine.python)}", f"llmtui {code(machine.llmtui)}"] if machine.llmtui else []
    counts = plan_words(config, plural(config.iterations, "iteration"), plural(config.warmup, "warm-up"))
    asked = [
        load_sentence(plan) or counts,
        f"at most {plural(config.max_tokens, 'token')}",
        config.order,
        f"temperature {config.temperature:g}",
        f"prompts: {code(plan.prompts.title, 200)}" if plan.prompts.given else f"prompt {code(config.prompt, 200)}",
    ]
    if (origin := plan.imported) is not None:
        place, asked = ["an unknown machine"], [load_sentence(plan), f"measured by {code(origin.title)}", config.order]
    means = "TTFT is the median; tokens/s is the decode speed of one stream" if not plan.levels else HEADING
    where, what = (", ".join(part for part in parts if part) for parts in (place, asked))
    return f"Run {code(plan.run)} of {code(plan.created_utc)} on {where}: {what}. {means[:1].upper()}{means[1:]}."
