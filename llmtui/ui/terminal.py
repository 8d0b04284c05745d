"""A terminal driver that recognizes the escape key sooner than Textual's."""

from __future__ import annotations

import functools
import gc
import os
import select
from codecs import getincrementaldecoder

from textual import constants

from llmtui.ui.textual_internals import ResumingDriver, XTermParser

#: An escape followed by nothing for this long is the key. Terminals write an escape sequence in one piece, and SSH
#: sends it so, also over a slow line. ESCDELAY (in ms) overrides it.
ESCAPE_S = 0.015
#: How often the thread checks whether to stop.
_POLL_S = 0.1
#: A timer may fire early by less than this.
_TIMER_ERROR_S = 0.001


@functools.cache
def go_behind() -> None:
    """Lower the priority of this thread, once: the server under test goes before the screen."""
    os.nice(5)


def exempt_from_collections() -> None:
    """Leave all present objects out of further garbage collections.

    A full one looks at every object of a program, which takes some 0.1 s, and it often comes while a key
    waits for its change on the screen. These objects live as long as the program anyway.
    """
    gc.freeze()


class Terminal(ResumingDriver):
    """Textual's driver, which waits 15 ms for an escape sequence instead of 100 ms: nothing is drawn meanwhile."""

    def run_input_thread(self) -> None:
        """Pass input to the app until the driver's exit event is set."""
        if "ESCDELAY" not in os.environ:
            constants.ESCAPE_DELAY = ESCAPE_S  # type: ignore[misc]
        parser = XTermParser()
        decode = getincrementaldecoder("utf-8")("replace").decode
        wait_s = _POLL_S
        while not self.exit_event.is_set():
            if select.select([self.fileno], [], [], wait_s)[0]:
                data = os.read(self.fileno, 4096)
                if not data:
                    # A pipe at its end is always readable.
                    self.exit_event.wait(_POLL_S)
                    continue
                for message in parser.feed(text) if (text := decode(data)) else ():
                    self.process_message(message)
                # The rest may be an escape key or the start of a sequence: time decides.
                wait_s = constants.ESCAPE_DELAY + _TIMER_ERROR_S
            else:
                wait_s = _POLL_S
            for message in parser.tick():
                self.process_message(message)
