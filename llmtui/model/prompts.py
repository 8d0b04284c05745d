"""What is asked: one prompt, the prompts of a file, or synthetic ones of set lengths."""

from __future__ import annotations

import os
from typing import Literal

from llmtui.model.base import Struct
from llmtui.text import sanitize


class PromptFile(Struct, frozen=True):
    """What was known of a file of prompts before the first request.

    `format` says what it is, "JSON Lines with messages", and `what` what one of them is called. `count` is their
    number, 0 if it was not counted, and `size` that of the file in bytes. `digest` tells the file from others.
    `lengths_only`: it has no texts, so that some of their lengths are made up. `timed`: it is the trace of the run, so
    that each prompt is asked at its own time.
    """

    format: str
    what: str = "prompt"
    count: int = 0
    size: int = 0
    digest: str = ""
    lengths_only: bool = False
    timed: bool = False


class Prompts(Struct, frozen=True, forbid_unknown_fields=True):
    """The prompts of a run (`[prompts]`): by default all requests have the prompt of `[run]`.

    `file` is the path of a file of prompts. `sample` says in which order they are asked. `mix` is the lengths of
    synthetic prompts and their answers (see llmtui.model.mixes); `file` is then empty. `facts` are what was known of
    the file before the run; a config cannot set them.
    With `turns` above 1 a prompt begins a conversation of at most this many questions.
    """

    file: str = ""
    sample: Literal["shuffled", "in order"] = "shuffled"
    mix: str = ""
    facts: PromptFile | None = None
    turns: int = 0

    @property
    def title(self) -> str:
        """Return "1,204 prompts of chat.jsonl (JSON Lines with messages)", or "the mix chat"; "" for those of [run]."""
        if self.mix:
            return f"the mix {sanitize(self.mix, 40)}"
        if not self.file:
            return ""
        name, facts = sanitize(os.path.basename(self.file.rstrip("/")), 60), self.facts
        if facts is None:
            return f"prompts of {name}"
        count = f"{facts.count:,} {facts.what}{'' if facts.count == 1 else 's'}" if facts.count else f"{facts.what}s"
        return f"{count} of {name} ({facts.format})"

    @property
    def work(self) -> tuple[str, ...]:
        """What the prompts are and in which order they are asked, wherever a file lies: equal work has equal ones."""
        file = self.facts.digest if self.facts is not None else self.file
        return (file, self.mix, self.sample if self.file else "")

    @property
    def given(self) -> bool:
        """Whether requests have prompts of their own."""
        return bool(self.file or self.mix)


#: All requests have the prompt of the run.
NO_PROMPTS = Prompts()


class Calibration(Struct, frozen=True):
    """How many tokens synthetic prompts have: `tokens_per_word`, and `overhead` for the chat template and fresh line.

    `scale` is the factor for all lengths of the mix, where they would not fit the smallest context. `source` says how
    the numbers were found: by the server's own tokenizer, by the usage of two requests, or not at all.
    """

    tokens_per_word: float = 1.0
    overhead: float = 0.0
    scale: float = 1.0
    source: Literal["", "tokenize", "usage"] = ""

    def words(self, tokens: float) -> int:
        """Return the words of a prompt of this many tokens, at least one."""
        return max(1, round((tokens - self.overhead) / self.tokens_per_word))

    def tokens(self, words: int) -> float:
        """Return the tokens of a prompt of this many words."""
        return self.overhead + self.tokens_per_word * words
