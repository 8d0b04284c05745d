"""Which message of one backend's requests has the fresh line of a prompt: the system's, or the user's before it."""

from __future__ import annotations

from llmtui.measure.request import IterationError
from llmtui.model import FreshRole
from llmtui.wire.system_refusals import refuses_system, says_nothing

#: Short, because it is shown in the border of a narrow panel.
REMARK = "fresh line in the prompt"
_REFUSED = "a system message is refused: the fresh line is in the prompt instead, for every backend with this model"
_TRIED = "HTTP 500 without a reason: asked again with the fresh line in the prompt, not as a system message"


class FreshLine:
    """The role of the message with the fresh line, as far as the server takes it.

    `refused` is set if the usual role cannot be used, by this server or by another one with the same model.
    """

    def __init__(self, usual: FreshRole) -> None:
        """`usual` is the role to begin with."""
        self._usual: FreshRole = usual
        self.refused = False
        #: Whether the newest request had the line as a system message.
        self.sent = False
        #: Whether the user knows that samples before had another role.
        self.reported = False
        self._tried = False
        self._trial = False

    @property
    def role(self) -> FreshRole:
        """The role of the message that has the fresh line."""
        return "user" if self.refused or self._trial else self._usual

    @property
    def remark(self) -> str:
        """That it is not the usual one, "" if it is."""
        return REMARK if self._usual != self.role else ""

    def refusal(self, error: IterationError, *, answered: bool) -> str:
        """Return the note for the user if the request is to be sent again with the line in another place, else "".

        A server that has not `answered` yet and gives no reason is asked once in the other way.
        """
        trial, self._trial = self._trial, False
        if trial or not self.sent:
            return ""
        body = error.body if error.status is not None else error.failure.message.encode()
        if error.status is None and error.failure.kind != "server":
            return ""
        if refuses_system(error.status, body):
            self.refused = True
            return _REFUSED
        if not answered and not self._tried and says_nothing(error.status, body):
            self._tried = self._trial = True
            return _TRIED
        return ""

    def refuse(self) -> None:
        """Put the line into the prompt from now on."""
        self.refused = self._usual == "system"

    def succeeded(self) -> None:
        """A request was answered: what was tried is the way."""
        self.refused = self.refused or self._trial
        self._trial = False
