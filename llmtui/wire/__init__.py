"""The protocols of the servers: build requests, parse answers. Pure: bytes in, deltas out; no clock, no I/O."""

from __future__ import annotations

from llmtui.model import Backend
from llmtui.wire.base import Delta, Dialect, Parser, Request, ServerInfo, WireError
from llmtui.wire.custom import CustomDialect
from llmtui.wire.ollama import OllamaDialect
from llmtui.wire.openai import OpenAIDialect
from llmtui.wire.tgi import TGIDialect

__all__ = [
    "CustomDialect",
    "Delta",
    "Dialect",
    "OllamaDialect",
    "OpenAIDialect",
    "Parser",
    "Request",
    "ServerInfo",
    "TGIDialect",
    "WireError",
    "dialect_for",
]


def dialect_for(backend: Backend) -> Dialect:
    """Return the dialect of `backend`."""
    match backend.protocol:
        case "openai":
            return OpenAIDialect()
        case "ollama":
            return OllamaDialect()
        case "tgi":
            return TGIDialect()
        case "custom":
            return CustomDialect(backend)
