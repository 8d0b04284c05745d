"""Who may use `llmtui serve`: the checks of a connection's owner, of a request's Host and Origin, and of its token."""

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

from llmtui.servers.tcp_table import ESTABLISHED, PROC, Endpoint, TcpSocket, endpoint, tcp_sockets
from llmtui.text import sanitize

#: One reading of the kernel's table may miss a row while other connections come and go.
READINGS = 3
#: A name or address and a port, without anything that programs understand differently.
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::\d{1,5})?", re.ASCII)


class Refusal(NamedTuple):
    """Why a request is not answered, and the HTTP status that says so."""

    status: int
    why: str


class Connected(NamedTuple):
    """The two ends of an accepted connection."""

    peer: Endpoint
    ours: Endpoint


class Access:
    """The token of one `llmtui serve`, and the check of every request against it and against Host and Origin.

    Loopback is not a password: every user and every web page on this machine can reach the port.
    """

    def __init__(self, served: str) -> None:
        """`served` is the --host: its name is accepted in the Host header."""
        self.token = secrets.token_urlsafe(32)
        self._served = served

    def refusal(self, request: web.BaseRequest) -> Refusal | None:
        """Why `request` is refused, None where it is answered."""
        hosts, origins = request.headers.getall("Host", []), request.headers.getall("Origin", [])
        if len(hosts) != 1 or len(origins) > 1:
            return Refusal(400, "the request must name one Host and at most one Origin")
        if not request.raw_path.startswith("/"):
            # A whole URL as the target would name a second host.
            return Refusal(400, "the request must ask for a path")
        if refused := foreign(hosts[0], origins[0] if origins else None, self._served):
            return refused
        if not (self.in_query(request) or self._in_cookie(request)):
            return Refusal(403, "open the address that `llmtui serve` printed; it carries the token of this run")
        return None

    def in_query(self, request: web.BaseRequest) -> bool:
        """Whether the address that was asked for carries the token."""
        return any(map(self._is_token, request.query.getall("token", [])))

    def remember(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Have the browser keep the token until it is closed, in a cookie that no script and no other site can use."""
        response.set_cookie(_cookie_name(request), self.token, path="/", httponly=True, samesite="Strict")

    def _in_cookie(self, request: web.BaseRequest) -> bool:
        # Another port may have set a cookie of the same name: the browser then sends both, in any order.
        name = _cookie_name(request)
        pairs = [pair.partition("=") for line in request.headers.getall("Cookie", []) for pair in line.split(";")]
        return any(key.strip() == name and self._is_token(value.strip()) for key, _, value in pairs)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


def _cookie_name(request: web.BaseRequest) -> str:
    """Cookies are shared between the ports of a host, so the name carries the port: ours, or that of a tunnel's end."""
    port = re.search(r":(\d+)$", request.host)
    return f"llmtui-{port[1] if port else 80}"


def foreign(host: str, origin: str | None, served: str) -> Refusal | None:
    """Why a request with these headers is refused, None where it is not. `served` is the --host.

    A page of another site can reach a local port through a name of its own that leads here (DNS rebinding; Host tells),
    or openly (Origin tells). So only this machine's names are accepted. An address cannot be made to lead elsewhere.
    """
    if (parts := _HOST.fullmatch(host)) is None:
        return Refusal(400, f"{sanitize(host, 80)!r} is not a host; open the address that `llmtui serve` printed")
    if not _is_ours(parts[1].strip("[]").rstrip(".").lower(), served):
        return Refusal(403, f"{sanitize(host, 80)!r} is not this machine; open it by address, or by the name in --host")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return Refusal(403, "a page of another site asked for this")
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
    """Whose connection it is, as far as this machine can tell."""

    ALLOWED = "the user's own, or from another machine"
    ANOTHER_USER = "another user's of this machine"
    UNKNOWN = "made on this machine, by an unknown user"


def foreign_user(peer: tuple[str, int], ours: tuple[str, int], proc: Path = PROC) -> bool:
    """Whether the connection from `peer` to `ours` must be refused, because another user of this machine made it or
    because its owner cannot be told. `proc` is the root of the proc file system. Raises ValueError for no addresses."""
    return owners([Connected(endpoint(*peer), endpoint(*ours))], proc) != [Owner.ALLOWED]


def owners(connections: Sequence[Connected], proc: Path = PROC) -> list[Owner]:
    """The owner of each of these connections to one port of ours. One reading of the table serves for all."""
    known: dict[Connected, Owner] = {}
    for _ in range(READINGS):
        missing = [each for each in connections if each not in known]
        if not missing:
            break
        rows = tcp_sockets(missing[0].ours.port, proc)
        if rows is None:
            # Other systems have no such table, and there the token alone protects. Linux has one. Where it cannot be
            # read, no owner is known.
            return [Owner.UNKNOWN if sys.platform == "linux" else Owner.ALLOWED] * len(connections)
        by_ends = {Connected(peer=row.local, ours=row.remote): row for row in rows}
        known |= {each: _owner(by_ends[each]) for each in missing if each in by_ends}
    return [known.get(each, Owner.UNKNOWN if _is_local(each) else Owner.ALLOWED) for each in connections]


def _owner(row: TcpSocket) -> Owner:
    # Closed sockets carry uid 0, and so do those that no process holds.
    if row.state != ESTABLISHED or row.inode == 0:
        return Owner.UNKNOWN
    return Owner.ALLOWED if row.uid == os.getuid() else Owner.ANOTHER_USER


def _is_local(connected: Connected) -> bool:
    """Whether a connection can only come from this machine, by its addresses."""
    peer, ours = connected.peer.address, connected.ours.address
    return peer.is_loopback or ours.is_loopback or peer == ours
