"""The base of all structs, which are frozen and encoded as JSON, and the words and texts that several of them use."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all structs: immutable, keyword-only, without default values in JSON."""


#: Text that comes from a server, its log, a library or the system, or repeats such text: secrets are redacted in it.
Outside = Annotated[str, msgspec.Meta(extra={"outside": True})]
#: Text of llmtui, of the config or about this machine. It is never changed.
Own = Annotated[str, msgspec.Meta(extra={"outside": False})]
#: Numbers as bytes: no text.
Numbers = Annotated[bytes, msgspec.Meta(extra={"outside": False})]

#: How a server is talked to.
Protocol = Literal["openai", "ollama", "tgi", "custom"]
#: The role of the message that has the fresh line of a prompt: the system's, or before the prompt in the user's.
FreshRole = Literal["user", "system"]
#: The engines that llmtui launches itself; "" is none.
Embedded = Literal["", "llama.cpp", "mistral.rs", "transformers"]
#: The server programs of frameworks that llmtui starts on the model file of the race; "" is none.
OwnServerName = Literal["", "ollama", "llamafile", "llama-server", "mistralrs", "transformers", "vllm"]
#: How a backend came to be: its server runs already, llmtui starts its program, an embedded engine, or a command.
#: "imported": another tool measured it, and how it was started is unknown.
Start = Literal["running", "server", "embedded", "launch", "imported"]
