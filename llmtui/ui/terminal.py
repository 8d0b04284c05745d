"""The terminal that keys come from. Textual's own waits long for what may follow an escape."""

from __future__ import annotations

import os
import select
from codecs import getincrementaldecoder

from textual import constants

from llmtui.ui.textual_internals import ResumingDriver, XTermParser

#: An escape followed by nothing for so long is the key. Terminals write a sequence in one go, and SSH sends it so:
#: what lies between two parts of one is the time to read them, also on a slow line. ESCDELAY (in ms) goes before.
ESCAPE_S = 0.025
#: How often it looks whether to end.
_LOOK_S = 0.1
#: A timer may be early by less than this.
_EARLY_S = 0.001


class Terminal(ResumingDriver):
    """Textual's driver with another way of waiting: 100 ms for an escape are 100 ms before anything is drawn."""

    def run_input_thread(self) -> None:
        """Tell the app of what is typed, until the driver's exit event is set."""
        if "ESCDELAY" not in os.environ:
            constants.ESCAPE_DELAY = ESCAPE_S  # type: ignore[misc]
        parser = XTermParser()
        decode = getincrementaldecoder("utf-8")("replace").decode
        wait_s = _LOOK_S
        while not self.exit_event.is_set():
            if select.select([self.fileno], [], [], wait_s)[0]:
                data = os.read(self.fileno, 4096)
                if not data:
                    # A pipe that has ended is always readable.
                    self.exit_event.wait(_LOOK_S)
                    continue
                for message in parser.feed(text) if (text := decode(data)) else ():
                    self.process_message(message)
                # Something may be left that a rest decides.
                wait_s = constants.ESCAPE_DELAY + _EARLY_S
            else:
                wait_s = _LOOK_S
            for message in parser.tick():
                self.process_message(message)
