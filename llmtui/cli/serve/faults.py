"""What goes wrong inside `llmtui serve`, told on the terminal: one plain line per fault, and no traceback."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import PayloadAccessError, RequestPayloadError

from llmtui.text import redact, sanitize

#: More lines than this are not printed, so that nothing can flood the terminal.
MOST_LINES = 8
#: Faults of the other side. It has its answer, or has gone; and it alone could make us print any number of lines.
_OF_THE_OTHER_SIDE = (HttpProcessingError, RequestPayloadError, PayloadAccessError, ConnectionError)


class Faults(logging.Handler):
    """Prints each distinct error of any library once, on one line, without `secret`."""

    def __init__(self, say: Callable[[str], None], secret: str) -> None:
        super().__init__(logging.ERROR)
        self._say = say
        self._secret = secret
        self._told: set[tuple[object, ...]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record, unless the other side caused it or a fault from the same place was printed before."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, _OF_THE_OTHER_SIDE) or len(self._told) >= MOST_LINES:
            return
        # Not the text: the other side may have a say in it.
        fault = (record.pathname, record.lineno, type(error), _place(error))
        if fault in self._told:
            return
        self._told.add(fault)
        # A fault in printing a fault would be printed with its traceback.
        with contextlib.suppress(Exception):
            text = f"{type(error).__name__}: {error}" if error else record.getMessage()
            last = "; further faults are not shown" if len(self._told) == MOST_LINES else ""
            self._say(f"a fault in serve: {sanitize(redact(text, [self._secret]), 200)}{last}")


def _place(error: BaseException | None) -> tuple[str, int] | None:
    """File and line that raised it."""
    trace = error.__traceback__ if error else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else None


@contextlib.contextmanager
def one_line_each(say: Callable[[str], None], secret: str) -> Iterator[None]:
    """Have `say` print what libraries log (aiohttp, asyncio), a line per fault, while this lasts."""
    handler = Faults(say, secret)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
