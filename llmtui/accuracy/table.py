"""The record of `llmtui accuracy` as plain text."""

from __future__ import annotations

from llmtui.model.accuracy import Errors, Level, Record
from llmtui.text.format import milliseconds, plural


def _percent(value: float) -> str:
    return f"{value * 100:.3f}"


def _remarks(level: Level) -> list[str]:
    """What else is known of a level: the load that was reached, and a server that was late itself."""
    remarks = []
    if level.delivered_share is not None:
        tokens = round(level.tokens / level.requests) if level.requests else 0
        remarks.append(f"  requests of {tokens} tokens, written at {level.delivered_share:.2%} of the asked rate")
    if level.server_is_late and level.server_late_s is not None:
        late = milliseconds(level.server_late_s.p99)
        remarks.append(f"  the truth server itself sent tokens up to {late} ms late (p99)")
    return remarks


def _late_server(record: Record) -> list[str]:
    """What it means that the truth server was late."""
    if not any(level.server_is_late for level in record.levels):
        return []
    return [
        "",
        "the truth server itself was late: this machine had too much to do. That is in",
        "none of the errors, but the load was less. Measure again on an idle machine.",
    ]


def table(record: Record) -> str:
    """Format the record as plain text of at most 80 columns."""
    machine = record.machine
    clock = {"kernel": "the kernel's arrival stamps", "user": "user space, after each read"}[record.stamp]
    written = all(level.written_stamp == "kernel" for level in record.levels)
    write_clock = "the kernel's transmit stamps" if written else "user space, before each write"
    server_clock = {"kernel": "the kernel's stamp", "user": "user space"}[record.truth_stamp]
    lines = [
        f"{machine.cpu[:40]}, {plural(machine.cores, 'core')}, {machine.os[:24]}"[:80],
        ", ".join(f"{name} {version}" for name, version in record.versions.items())[:80],
        f"arrivals: {clock}; requests: {write_clock}",
        f"requests on the server: {server_clock}",
        f"{record.tokens} tokens per request, the first after {record.ttft_ms:g} ms, then every {record.itl_ms:g} ms",
        "",
        f"{'absolute error':27}{'n':>7}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}{'median':>10}",
    ]
    for level in record.levels:
        screen = "monitor on" if level.monitor else "no monitor"
        details = f", {level.coalesced:.1%} of tokens coalesced" if level.coalesced else ""
        if level.failed:
            details += f", {level.failed} failed"
        lines.append(f"{level.title}, {screen}: {plural(level.requests, 'request')}{details}")
        rows: list[tuple[str, Errors]] = [
            ("TTFT, ms", level.ttft_s),
            ("ITL, ms", level.itl_s),
            ("latency, ms", level.latency_s),
            ("tokens/s, % of the rate", level.tokens_per_s_share),
        ]
        if level.late_s is not None:
            rows.append(("written after due, ms", level.late_s))
        for title, errors in rows:
            number = _percent if title.startswith("tokens") else milliseconds
            values = "".join(f"{number(v):>9}" for v in (errors.p50, errors.p95, errors.p99, errors.max))
            sign = "+" if errors.median >= 0 else "-"
            lines.append(f"  {title:25}{errors.n:>7}{values}{sign + number(abs(errors.median)):>10}")
        lines += _remarks(level)
    lines += _late_server(record)
    if (monitor := record.watching) is not None:
        lines += [
            "",
            f"monitor, {monitor.columns}x{monitor.rows}, over {monitor.seconds:.0f} s: "
            f"{monitor.bytes_per_s / 1e3:.1f} kB/s to its terminal, {monitor.cpu_cores:.2f} cores",
        ]
    lines += [
        "",
        "TTFT and latency: measured, minus (token handed to the kernel by the server,",
        "minus request received by it). ITL: measured gap minus the gap in the server's",
        "log. tokens/s: measured rate over that of the log, minus 1. The server logs a",
        "token right before it writes it: a delay in between counts as error.",
        "1 stream is measured twice: by the loop of a race, and by that of a load.",
    ]
    return "\n".join(lines) + "\n"
