"""Users who hold one conversation after another: what each asks next, with the history of the live answers."""

from __future__ import annotations

import dataclasses
import random

from llmtui.load.messages import Slice
from llmtui.load.prompts import Message, Prompt, PromptSource
from llmtui.measure.answer import Answer
from llmtui.measure.counts import prompt_count

#: What a user asks next where the prompts do not say it.
FOLLOW_UPS = (
    "Please explain the last point in more detail.",
    "Can you give an example of that?",
    "What speaks against it?",
    "Sum up in one sentence what we have so far.",
    "How would you explain this to a child?",
    "What should I look at next?",
)
#: Think times are between these shares of their mean.
_THINKS = (0.5, 1.5)
#: A token has about this many characters, where it is not known.
_CHARS = 3


@dataclasses.dataclass
class Asked:
    """The next question: of conversation `talk`, from 1 on, in its turn `turn`, from 1 on."""

    prompt: Prompt
    talk: int
    turn: int
    thought_s: float | None = None


class User:
    """One of the users of a slice. What they ask first, and how long they think, is the same for all backends.

    User number u of n (from 0 on) holds the conversations u + 1, u + 1 + n and so on. The first one begins in the
    middle, so that there are conversations in each of their turns at any time.
    """

    #: How many conversations ended since the next question would not have fitted into the context.
    full = 0

    def __init__(self, of: Slice, source: PromptSource | None, number: int) -> None:
        self._of = of
        self._source = source
        self._talk = number + 1
        self._left = of.turns - number % of.turns
        self._turn = 0
        self._messages: list[Message] = []
        self._questions: list[str] = []
        self._limit = 0
        self._name = ""
        self._draw = random.Random(f"{of.seed}/user {number}")

    def ask(self, thought_s: float | None) -> Asked:
        """Return the next question, before which the user thought this long. Raises what the source does."""
        if not self._turn:
            self._begin()
        elif self._questions:
            self._messages.append(Message("user", self._questions.pop(0)))
        else:
            draw = random.Random(f"{self._of.seed}/{self._talk}/{self._turn}")
            self._messages.append(Message("user", draw.choice(FOLLOW_UPS)))
        self._turn += 1
        return Asked(Prompt(list(self._messages), self._limit, self._name), self._talk, self._turn, thought_s)

    def answered(self, answer: Answer | None) -> None:
        """Note the answer; None: the request failed, which ends the conversation."""
        if answer is None or self._turn >= self._left:
            self._end()
            return
        self._messages.append(Message("assistant", answer.text))
        if self._over_full(answer):
            self.full += 1
            self._end()

    def think_s(self) -> float:
        """Return how long the user thinks now, in s."""
        return self._of.level.think_s * self._draw.uniform(*_THINKS)

    def _begin(self) -> None:
        prompt = self._source.prompt(self._talk) if self._source is not None else None
        messages = prompt.messages if prompt is not None else [Message("user", self._of.config.prompt)]
        asked = [place for place, message in enumerate(messages) if message.role == "user"]
        until = asked[0] + 1 if asked else len(messages)
        self._messages = messages[:until]
        # Answers that a file has are not sent: the server's own take their place.
        self._questions = [messages[place].content for place in asked[1:]] + (prompt.then if prompt is not None else [])
        self._limit = prompt.max_tokens if prompt is not None else 0
        self._name = prompt.name if prompt is not None else ""
        if self._questions:
            self._left = min(self._left, 1 + len(self._questions))

    def _end(self) -> None:
        self._talk += self._of.level.streams
        self._turn, self._left = 0, self._of.turns

    def _over_full(self, answer: Answer) -> bool:
        """Whether the next question and its answer would not fit into the context, as far as it is known."""
        read = prompt_count(answer)
        if not self._of.context or read is None:
            return False
        following = self._questions[0] if self._questions else FOLLOW_UPS[0]
        wrote = len(answer.text) // _CHARS
        limit = self._limit or self._of.config.max_tokens
        return read + wrote + len(following) // _CHARS + limit > self._of.context
