"""The report of a run: one HTML file with the verdict in words, the fairness checks, tables and charts.

It has no script, and asks for nothing: its Content-Security-Policy forbids all but its own style. Text of servers is
sanitized and escaped.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.export.load_table import HEADING, load_remarks
from llmtui.export.report.load_charts import load_charts
from llmtui.export.report.power_charts import power_charts
from llmtui.export.report.race_charts import race_charts
from llmtui.export.report.style import style_sheet
from llmtui.export.report.svg import escape
from llmtui.export.report.tables import backends, facts, settings, summary, workers
from llmtui.export.table import remarks_on, rows_of, start_ups, typical_values
from llmtui.model import RESTING
from llmtui.runview import levels as of_levels
from llmtui.runview.launches import plan_words
from llmtui.runview.loads import load_sentence
from llmtui.runview.objectives import objective_sentences
from llmtui.runview.run import RunView
from llmtui.runview.search import found_line, search_sentences, undecided_text
from llmtui.stats.checks import Check
from llmtui.text import sanitize
from llmtui.text.format import milliseconds, plural

#: Nothing but the style in the file itself.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
#: Each level of a check has a sign besides its colour.
_SIGNS = {"void": "✗", "warning": "!", "note": "·"}
_LONG = 2_000
#: More sentences than these are folded, but for those of the whole run.
_MANY = 12


def report_html(run_view: RunView) -> str:
    """Return the report."""
    names = ", ".join(sanitize(name, 60) for name in run_view.backends)
    title = f"{names}: {'under load' if run_view.plan.levels else 'latency'}, measured by {_measured_by(run_view)}"
    body = [
        f"<h1>{escape(names)}</h1>",
        f'<p class="dim">{escape(_origin(run_view), _LONG)}</p>',
        _verdict(run_view),
        *_section("Was it a fair comparison?", _checks(_findings(run_view), any_pair=_compared(run_view))),
        *_section("Results", _results(run_view)),
        *_section("Charts", _charts(run_view)),
        *_section("Machine", facts(_machine(run_view))),
        *_section("Settings of the run", _config(run_view)),
        *_section("Backends", backends(run_view)),
        f'<p class="note">{escape(_MEANING, _LONG)}</p>',
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{style_sheet()}</style>\n</head>\n<body>\n"
        + "\n".join(filter(None, body))
        + "\n</body>\n</html>\n"
    )


_MEANING = (
    "Report of llmtui. TTFT: time to first token. TPOT: time per output token. Medians are over iterations, or "
    "over the turns of a level. Warm-ups and failures are in no figure. *: shown to be the fastest of those that are "
    "comparable to it. What each figure means: llmtui explain measure, loads, verdict."
)


def _section(title: str, content: str) -> list[str]:
    return [f"<section><h2>{escape(title)}</h2>{content}</section>"] if content else []


def _items(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text, _LONG)}</li>' for text in texts)}</ul>" if texts else ""


def _origin(run_view: RunView) -> str:
    plan, config = run_view.plan, run_view.plan.config
    counts = plan_words(config, plural(config.iterations, "iteration"), plural(config.warmup, "warm-up"))
    version = f", llmtui {run_view.machine.llmtui}" if run_view.machine.llmtui else ""
    by = "" if (tool := _measured_by(run_view)) == "llmtui" else f", measured by {tool}"
    return f"Run {plan.run} of {plan.created_utc}{version}{by}: {load_sentence(plan) or counts}"


def _measured_by(run_view: RunView) -> str:
    """The tools that measured: others, if the run was read from files of theirs."""
    tools = {view.backend.measured_by or "llmtui" for view in run_view.backends.values()}
    return " and ".join(sorted(tools)) or "llmtui"


# --- The verdict ---


def _verdict(run_view: RunView) -> str:
    """The answer first, then a sentence for each thing that the data say."""
    verdict = run_view.verdict()
    if run_view.plan.levels:
        lead, first, rest = _of_load(run_view)
    else:
        lead, first, rest = verdict.line, [], verdict.sentences
    if not lead:
        measured = [name for name, view in run_view.backends.items() if view.finished]
        lead = "no results" if not measured else "a verdict needs two backends with results"
        if len(measured) == 1 and len(run_view.backends) == 1:
            lead = "one backend was measured, so there is nothing to compare"
    if not all(view.state.state in RESTING for view in run_view.backends.values()) and not run_view.ended:
        first = ["the run was not complete when this was written", *first]
    shown = " shown" if verdict.fastest else ""
    first = [text for text in first if text != lead]
    rest = [*first, *(text for text in rest if text != lead)]
    rest += [attempt.sentence for attempt in run_view.earlier_attempts()]
    said = f'<p class="verdict{shown}">{escape(lead, _LONG)}</p>'
    if len(rest) <= _MANY:
        return said + _items(rest)
    more = f"<details><summary>{len(rest) - len(first)} more sentences: each level, pair and percentile</summary>"
    return f"{said}{_items(first)}{more}{_items(rest[len(first) :])}</details>"


def _of_load(run_view: RunView) -> tuple[str, list[str], list[str]]:
    """The answer, the sentences that follow it, and those that are for a closer look."""
    sentences = of_levels.all_sentences(run_view)
    found = search_sentences(run_view)
    objectives = objective_sentences(run_view) if run_view.plan.load.search != "slo" else []
    undecided = [text for text in [undecided_text(run_view)] if text]
    if run_view.plan.load.search:
        lead = next(iter(found_line(run_view)), "")
        return lead or (sentences[0] if sentences else ""), [*undecided, *found], sentences
    lead = run_view.verdict().line or next(iter(sentences), "")
    return lead, [*found, *objectives], sentences


def _compared(run_view: RunView) -> bool:
    """Whether two backends have results at the same level."""
    levels = [level.number for level in run_view.levels_shown] or [0]
    return any(sum(bool(view.summary.n) for view in run_view.at(level).values()) > 1 for level in levels)


# --- Checks ---


def _findings(run_view: RunView) -> list[Check]:
    return of_levels.checks(run_view) if run_view.plan.levels else list(run_view.verdict().checks)


def _checks(findings: Sequence[Check], *, any_pair: bool) -> str:
    if not findings:
        return f'<p class="ok">{"No fairness problems found." if any_pair else "There was nothing to compare."}</p>'
    items = []
    for check in findings:
        fix = f'<span class="fix">fix: {escape(check.todo, _LONG)}</span>' if check.todo else ""
        head = f"<b>{_SIGNS[check.level]} {check.level} {escape(check.code)}</b>"
        items.append(f'<li class="{check.level}">{head}: {escape(check.text, _LONG)}{fix}</li>')
    return f'<ul class="checks">{"".join(items)}</ul>'


# --- Results ---


def _results(run_view: RunView) -> str:
    if run_view.plan.levels:
        note = HEADING[:1].upper() + HEADING[1:] + "."
        remarks = [*load_remarks(run_view), *start_ups(run_view)]
        return f'<p class="note">{escape(note)}</p>{summary(run_view)}{_items(remarks)}'
    remarks = [remark for row in rows_of(run_view) for remark in remarks_on(row.backend_view)]
    remarks += [*typical_values(run_view), *start_ups(run_view)]
    return summary(run_view) + _items(remarks)


def _charts(run_view: RunView) -> str:
    charts = load_charts(run_view) if run_view.plan.levels else race_charts(run_view)
    charts += power_charts(run_view)
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


# --- Where the figures come from ---


def _machine(run_view: RunView) -> list[tuple[str, str]]:
    machine, record = run_view.machine, run_view.own_error()
    memory = f"{machine.memory_bytes / 2**30:.1f} GiB" if machine.memory_bytes else ""
    own = record.own_error_p95_s() if record is not None else None
    error = f"TTFT p95 {milliseconds(own)} ms (llmtui accuracy)" if own is not None else "not measured: llmtui accuracy"
    return [
        ("processor", machine.cpu),
        ("cores", str(machine.cores or "")),
        ("CPU limit of the container", "" if machine.cpu_limit is None else f"{machine.cpu_limit:g} cores"),
        ("memory", memory),
        ("GPU", machine.gpu),
        ("system", machine.os),
        ("Python", machine.python),
        ("llmtui", machine.llmtui),
        ("frequency governor", machine.governor),
        ("processes that sent the requests", workers(run_view)),
        ("load before the run", "" if machine.load_1m is None else f"{machine.load_1m:.2f}"),
        ("other programs", "" if machine.foreign_cpu is None else f"{machine.foreign_cpu:.2f} cores at the start"),
        ("not measured on this system", "; ".join(machine.unseen)),
        ("llmtui's own error", error),
    ]


def _config(run_view: RunView) -> str:
    plan = run_view.plan.public()
    parts = [facts([("config", plan.source), *settings(plan.config, all_of_them=True)])]
    others = [("load", plan.load), ("slo", plan.slo), ("prompts", plan.prompts), ("workers", plan.workers)]
    for name, struct in others:
        if pairs := settings(struct):
            parts.append(f"<h3>{escape(name)}</h3>{facts(pairs)}")
    return "".join(parts)
