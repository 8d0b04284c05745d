"""Ollama's own variable for its address."""

from __future__ import annotations

import ipaddress

from llmtui.config.frameworks import OLLAMA

_PORTS = {"http": 80, "https": 443}


def ollama_url(host: str) -> str:
    """Return the URL at which to connect for a value of `OLLAMA_HOST`, as Ollama's own client does.

    Any of these: host, host:port, :port, an IPv6 address with or without brackets, a URL, with a path, in quotes. An
    invalid port is ignored, and the address of all interfaces becomes that of loopback.
    """
    text = host.strip().strip("\"'").strip()
    scheme, found, rest = text.partition("://")
    default = _PORTS.get(scheme, OLLAMA.port) if found else OLLAMA.port
    if not found:
        scheme, rest = "http", text
        if text == "ollama.com":
            scheme, default = "https", 443
    place, _, path = rest.partition("/")
    name, port = _split(place)
    number = int(port) if port.isascii() and port.isdecimal() and len(port) < 10 else 0
    path = path.strip("/")
    return f"{scheme}://{_connectable(name)}:{number if 0 < number <= 65535 else default}" + (
        f"/{path}" if path else ""
    )


def _split(place: str) -> tuple[str, str]:
    """Return host and port, either may be empty."""
    if place.startswith("["):
        name, _, after = place[1:].partition("]")
        return name, after.removeprefix(":")
    if place.count(":") > 1:
        return place, ""
    name, _, port = place.partition(":")
    return name, port


def _connectable(name: str) -> str:
    """Return `name` as the host of a URL."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name or "127.0.0.1"
    if address.version == 4:
        return "127.0.0.1" if address.is_unspecified else str(address)
    text = "::1" if address.is_unspecified else str(address)
    return f"[{text.replace('%', '%25', 1)}]"
