"""Access control of `llmtui serve`: the owner of a connection, the Host and Origin of a request, and the token."""

from __future__ import annotations

import enum
import hmac
import ipaddress
import os
import re
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from llmtui.servers.tcp_table import ESTABLISHED, PROC, Endpoint, TcpSocket, tcp_sockets
from llmtui.text import sanitize

#: The kernel's table is read again if it lacks a row: a row can be missed while other connections change.
READINGS = 3
#: The path that programs scrape.
METRICS = "/metrics"
#: A name or an address, and a port, without characters that parsers treat differently.
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::\d{1,5})?", re.ASCII)


class Refusal(NamedTuple):
    """Why a request is refused, and the HTTP status of the response."""

    status: int
    why: str


class Connected(NamedTuple):
    """The addresses of an accepted connection."""

    peer: Endpoint
    local: Endpoint


class Access:
    """The token of a `llmtui serve`, and the check of every request: token, Host and Origin.

    Listening on loopback is not enough: every user and every web page on this machine can reach the port.
    """

    def __init__(self, served: str, metrics_token: str = "") -> None:
        """`served` is the value of --host, which is accepted in the Host header. `metrics_token` opens /metrics alone,
        "" if there is none."""
        self.token = secrets.token_urlsafe(32)
        self._metrics_token = metrics_token
        self._served = served

    @property
    def for_weeks(self) -> bool:
        """Whether /metrics has a token of its own, with which other users of this machine may scrape it."""
        return bool(self._metrics_token)

    @property
    def secrets(self) -> list[str]:
        """What no message may contain."""
        return [token for token in (self.token, self._metrics_token) if token]

    def refusal(self, request: web.BaseRequest, *, own: bool = True) -> Refusal | None:
        """Return why `request` is refused, or None. `own`: its connection is not another user's of this machine."""
        hosts, origins = request.headers.getall("Host", []), request.headers.getall("Origin", [])
        if len(hosts) != 1 or len(origins) > 1:
            return Refusal(400, "the request must name one Host and at most one Origin")
        if not request.raw_path.startswith("/"):
            # An absolute URL would name a second host.
            return Refusal(400, "the request must ask for a path")
        if refused := foreign(hosts[0], origins[0] if origins else None, self._served):
            return refused
        if request.path == METRICS and self._for_metrics(request):
            return None
        if not own:
            return Refusal(403, "another user of this machine may only read /metrics, with the token for it")
        if not (self.in_query(request) or self._in_cookie(request)):
            return Refusal(403, "open the address that `llmtui serve` printed, which contains the token of this run")
        return None

    def _for_metrics(self, request: web.BaseRequest) -> bool:
        """Whether the request has the token of /metrics, in its header or in the query string."""
        if not self._metrics_token:
            return False
        words = [header.partition(" ") for header in request.headers.getall("Authorization", [])]
        given = [token.strip() for scheme, _, token in words if scheme.lower() == "bearer"]
        given += request.query.getall("token", [])
        return any(_same(token, self._metrics_token) for token in given)

    def in_query(self, request: web.BaseRequest) -> bool:
        """Whether the query string contains the token."""
        return any(map(self._is_token, request.query.getall("token", [])))

    def remember(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Store the token in a session cookie that no script and no other site can use."""
        response.set_cookie(_cookie_name(request), self.token, path="/", httponly=True, samesite="Strict")

    def _in_cookie(self, request: web.BaseRequest) -> bool:
        # Another port may have set a cookie of the same name. The browser then sends both, in any order.
        name = _cookie_name(request)
        pairs = [pair.partition("=") for line in request.headers.getall("Cookie", []) for pair in line.split(";")]
        return any(key.strip() == name and self._is_token(value.strip()) for key, _, value in pairs)

    def _is_token(self, given: str) -> bool:
        return _same(given, self.token)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _cookie_name(request: web.BaseRequest) -> str:
    """Cookies are shared between the ports of a host, so the name contains the port (that of the tunnel, if any)."""
    port = re.search(r":(\d+)$", request.host)
    return f"llmtui-{port[1] if port else 80}"


def foreign(host: str, origin: str | None, served: str) -> Refusal | None:
    """Return why a request with these headers is refused, or None. `served` is the value of --host.

    A page of another site can reach a local port through its own domain (DNS rebinding, visible in Host) or directly
    (visible in Origin). So only names and addresses of this machine are accepted.
    """
    if (parts := _HOST.fullmatch(host)) is None:
        return Refusal(400, f"{sanitize(host, 80)!r} is not a valid host; open the address that `llmtui serve` printed")
    if not _is_ours(parts[1].strip("[]").rstrip(".").lower(), served):
        return Refusal(403, f"{sanitize(host, 80)!r} is not this machine; open it by address, or by the name in --host")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return Refusal(403, "the request came from a page of another site")
    return None


def _is_ours(name: str, served: str) -> bool:
    if name in {"localhost", served.lower(), socket.gethostname().lower()}:
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Owner(enum.Enum):
    """The owner of a connection, as far as this machine can tell."""

    ALLOWED = "the user's own, or from another machine"
    ANOTHER_USER = "another user's of this machine"
    UNKNOWN = "from this machine, of an unknown user"


def owners(connections: Sequence[Connected], proc: Path = PROC) -> list[Owner]:
    """Return the owner of each of these connections to one port, from one reading of the kernel's table if possible.

    `proc` is the root of the proc file system.
    """
    by_connection: dict[Connected, Owner] = {}
    for _ in range(READINGS):
        missing = [each for each in connections if each not in by_connection]
        if not missing:
            break
        rows = tcp_sockets(missing[0].local.port, proc)
        if rows is None:
            # Other systems have no such table: there only the token protects. On Linux an unreadable table means that
            # no owner can be determined.
            return [Owner.UNKNOWN if sys.platform in ("linux", "android") else Owner.ALLOWED] * len(connections)
        by_ends = {Connected(peer=row.local, local=row.remote): row for row in rows}
        by_connection |= {each: _owner(by_ends[each]) for each in missing if each in by_ends}
    return [by_connection.get(each, Owner.UNKNOWN if _is_local(each) else Owner.ALLOWED) for each in connections]


def _owner(row: TcpSocket) -> Owner:
    # The uid of closed and of orphaned sockets is 0.
    if row.state != ESTABLISHED or row.inode == 0:
        return Owner.UNKNOWN
    return Owner.ALLOWED if row.uid == os.getuid() else Owner.ANOTHER_USER


def _is_local(connected: Connected) -> bool:
    """Whether the addresses show that a connection comes from this machine."""
    peer, local = connected.peer.address, connected.local.address
    return peer.is_loopback or local.is_loopback or peer == local
