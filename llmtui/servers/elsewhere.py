"""Notices that a launched server listens at another address than it was asked to, long before its load timeout.

The kernel's table of sockets proves where its processes listen. That alone does not prove that it serves there: an
engine may have internal ports. So a health check must succeed there, or its log name it if the command cannot know the
port that llmtui chose.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Sequence

import httpx

from llmtui.config.frameworks import UNKNOWN, framework, framework_from_word
from llmtui.measure.transport import new_client
from llmtui.measure.untimed import fetch
from llmtui.model import Backend, Failure
from llmtui.servers.base import Launch
from llmtui.servers.ports import resolve
from llmtui.servers.tcp_table import Endpoint, endpoint

#: How long a server must have been elsewhere. A script may wait for its server, and then start a proxy for it.
SETTLED_S = 5.0
#: The same for a command that has no `{port}`: it cannot know the port that llmtui chose.
CERTAIN_S = 1.0
PROBE_S = 1.0
MAX_REPLY_BYTES = 64 * 1024

_SAYS = re.compile(
    r"(?:listening|running|serving|starting)\b.{0,60}?\b(?:on|at)\b\W{0,3}(?:https?://)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[\w.-]*):(?P<port>\d{1,5})\b",
    re.IGNORECASE,
)
_PORT = re.compile(r"(?:(?:\d(?:\.\d+){3}|\]|localhost|\*|\s):|\bport[: ]+)(?P<port>\d{1,5})\b", re.IGNORECASE)


def reported_ports(log: Sequence[str]) -> set[int]:
    """Return the ports on which the server listens, according to its log."""
    return {int(match["port"]) for line in log for match in _SAYS.finditer(line)}


def refused_port(text: str) -> int | None:
    """Return the port that an error about a port names, None if it names none."""
    ports = [int(match["port"]) for match in _PORT.finditer(text)]
    return ports[0] if ports else None


def port_hint(backend: Backend, port: int) -> str:
    """How to make the server of a configured `launch` listen where llmtui asks, or ask where it listens (`port`)."""
    if not backend.launch:
        return ""
    facts = framework(backend.framework)
    words = (os.path.basename(word).removesuffix(".exe") for word in backend.launch)
    if facts is UNKNOWN:
        facts = next((one for word in words if (one := framework_from_word(word)) is not None), UNKNOWN)
    return f'{facts.port_setting}, or url = "http://127.0.0.1:{port}" if it always listens there'


class OtherPort:
    """Watches the command of a config, which may open any ports: is one of them the server's, at the wrong address?"""

    def __init__(self, backend: Backend, launch: Launch, log: Callable[[], Sequence[str]]) -> None:
        """`log` returns the last lines of its output."""
        self._backend = backend
        self._launch = launch
        self._log = log
        self._since: dict[Endpoint, float] = {}
        self._knows_port = bool(backend.url) or any(
            "{port}" in word for word in (*backend.launch, *backend.env.values())
        )

    async def look(self, listening: Collection[Endpoint]) -> Failure | None:
        """Return the failure of a server that has been elsewhere for a while. Call it about every half second."""
        url = self._launch.ready.url
        _, asked, addresses = await resolve(url)
        if _is_there(listening, asked, addresses):
            self._since.clear()
            return None
        reported = reported_ports(self._log())
        now = time.monotonic()
        there = [one for one in sorted(listening, key=str) if await self._is_server(one, reported)]
        self._since = {one: self._since.get(one, now) for one in there}
        settled_s = SETTLED_S if self._knows_port else CERTAIN_S
        settled = (one for one, since in self._since.items() if now - since >= settled_s)
        return next((_failure(self._backend, one, url, asked) for one in settled), None)

    async def _is_server(self, one: Endpoint, reported: Collection[int]) -> bool:
        """Whether the server is at a socket that its processes have. Its log is enough if it cannot know the port."""
        return (one.port in reported and not self._knows_port) or await _answers(self._launch.probe_url, one)


def _failure(backend: Backend, one: Endpoint, url: str, asked: int) -> Failure:
    place = f"[{one.address}]:{one.port}" if one.address.version == 6 else f"{one.address}:{one.port}"
    message = f"the launched server listens on {place}, not at {url}"
    if one.port == asked:
        return Failure(kind="server", message=message, hint="make it listen on 127.0.0.1, as by --host 127.0.0.1")
    return Failure(kind="server", message=message, hint=port_hint(backend, one.port))


def _is_there(listening: Collection[Endpoint], port: int, addresses: Collection[str]) -> bool:
    wanted = {endpoint(text, port).address for text in addresses}
    return any(one.port == port and (one.address in wanted or one.address.is_unspecified) for one in listening)


async def _answers(probe_url: str, there: Endpoint) -> bool:
    """Whether a health check succeeds at another address of this machine."""
    host = "127.0.0.1" if there.address.is_unspecified else str(there.address)
    url = httpx.URL(probe_url).copy_with(scheme="http", host=host, port=there.port)
    client = new_client(str(url), connect_timeout_s=PROBE_S)
    try:
        reply = await fetch(client, "GET", str(url), limit_bytes=MAX_REPLY_BYTES, timeout_s=PROBE_S)
    except (httpx.HTTPError, TimeoutError, OSError):
        return False
    finally:
        await client.aclose()
    return reply.status == 200
