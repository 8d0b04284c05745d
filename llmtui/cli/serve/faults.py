"""Reports errors inside `llmtui serve` on the terminal: one line each, without a traceback."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import PayloadAccessError, RequestPayloadError

from llmtui.text import redact, sanitize

#: The most lines that are printed, so that a client cannot flood the terminal.
MOST_LINES = 8
#: Errors of the client, which could otherwise print any number of lines.
_CLIENT_ERRORS = (HttpProcessingError, RequestPayloadError, PayloadAccessError, ConnectionError)


class Faults(logging.Handler):
    """Reports each distinct error that a library logs once, on one line, with `secrets` redacted."""

    def __init__(self, report: Callable[[str], None], secrets: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._report = report
        self._secrets = secrets
        self._reported: set[tuple[object, ...]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Report the record, unless the client caused it, or an error from the same place was reported before."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, _CLIENT_ERRORS) or len(self._reported) >= MOST_LINES:
            return
        # Not the text, which may contain data of the client.
        fault = (record.pathname, record.lineno, type(error), _place(error))
        if fault in self._reported:
            return
        self._reported.add(fault)
        # logging would print an error raised here with its traceback.
        with contextlib.suppress(Exception):
            text = f"{type(error).__name__}: {error}" if error else record.getMessage()
            last = "; further errors are not shown" if len(self._reported) == MOST_LINES else ""
            self._report(f"error in serve: {sanitize(redact(text, self._secrets), 200)}{last}")


def _place(error: BaseException | None) -> tuple[str, int] | None:
    """The file and line that raised the error."""
    trace = error.__traceback__ if error else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else None


@contextlib.contextmanager
def one_line_each(report: Callable[[str], None], secrets: list[str]) -> Iterator[None]:
    """Pass the errors that libraries (aiohttp, asyncio) log to `report`, a line each."""
    handler = Faults(report, secrets)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
