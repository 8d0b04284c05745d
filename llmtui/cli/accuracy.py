"""`llmtui accuracy`: measures llmtui's own error, prints it, and stores it for the monitor and the exports."""

from __future__ import annotations

from pathlib import Path

import msgspec

from llmtui import exit_codes
from llmtui.accuracy.probe import Job
from llmtui.accuracy.pty_monitor import measure
from llmtui.accuracy.table import table
from llmtui.cli.output import STDOUT, report, write_output
from llmtui.model.accuracy import MIN_STORED_REQUESTS
from llmtui.store.accuracy_record import record_file, store_record


def measure_accuracy(job: Job, *, as_json: bool, quiet: bool) -> int:
    """Carry out `job`, print its result and store it. Return the exit code. Raises AccuracyError."""

    def progress(text: str) -> None:
        if not quiet:
            report(text)

    try:
        record = measure(job, progress)
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    if as_json:
        write_output(STDOUT, msgspec.json.format(msgspec.json.encode(record), indent=2).decode() + "\n")
    else:
        print(table(record), end="")
    if not record.worth_storing:
        progress(f"not saved: a result needs 1 stream, {MIN_STORED_REQUESTS} or more requests, and the monitor")
        return exit_codes.OK
    file: Path | None = None
    try:
        file = record_file()
        progress(f"saved to {store_record(record, file)}")
    except OSError as error:
        report(f"cannot write {file or 'the result'}: {error.strerror or error}")
    return exit_codes.OK
