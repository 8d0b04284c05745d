"""What is on this machine: running servers, installed engines, and the frameworks that are absent."""

from __future__ import annotations

from llmtui.model.base import Embedded, OwnServerName, Protocol, Struct

#: How suitable a model is for a chat, the best first.
CHAT, VISION, ELSEWHERE, NO_CHAT = range(4)


class Model(Struct, frozen=True):
    """A model of a server; `fitness` is one of CHAT, VISION, ELSEWHERE (runs on another machine), NO_CHAT."""

    name: str
    fitness: int = CHAT


class DiscoveredServer(Struct, frozen=True):
    """An LLM server. `models` are sorted by fitness; `locked`: it requires a key.

    Names and versions are as the server sent them: sanitize them before showing them.
    """

    framework: str
    url: str
    protocol: Protocol = "openai"
    version: str = ""
    models: list[Model] = []
    locked: bool = False
    loading: bool = False

    @property
    def usable(self) -> bool:
        """Whether it can be benchmarked without further settings."""
        return not self.locked and not (self.models and self.models[0].fitness == NO_CHAT)


class Absent(Struct, frozen=True):
    """A framework that is wanted and not here. `reason` says what is missing, `remedy` is the command that gets it."""

    framework: str
    reason: str = ""
    remedy: str = ""


class Program(Struct, frozen=True):
    """A server program of a framework on this machine: `server` as in a config, and its absolute path."""

    server: OwnServerName
    path: str


class Found(Struct, frozen=True):
    """What was found on this machine.

    `engines` are the embedded engines whose packages are installed. `problems` say what else answers, by URL.
    `elsewhere` is the URL in OLLAMA_HOST if that is another machine, which is not contacted, else "". `programs` are
    server programs that llmtui can start.
    """

    servers: list[DiscoveredServer] = []
    engines: list[Embedded] = []
    problems: dict[str, str] = {}
    elsewhere: str = ""
    programs: list[Program] = []
