"""The protocols of the servers: build requests, parse answers. Pure: bytes in, deltas out; no clock, no I/O."""

from __future__ import annotations

from llmtui.model import Backend
from llmtui.wire.base import Delta, Dialect, Parser, Request, ServerInfo, WireError
from llmtui.wire.custom import CustomDialect
from llmtui.wire.ollama import OllamaDialect
from llmtui.wire.openai import OpenAIDialect, refuses_usage_option
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
    "refuses_usage_option",
]


def dialect_for(backend: Backend, include_usage: bool = True) -> Dialect:
    """Return the dialect of `backend`. `include_usage` applies to OpenAI only: see `refuses_usage_option`."""
    match backend.protocol:
        case "openai":
            return OpenAIDialect(include_usage)
        case "ollama":
            return OllamaDialect()
        case "tgi":
            return TGIDialect()
        case "custom":
            return CustomDialect(backend)
