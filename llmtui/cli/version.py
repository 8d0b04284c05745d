"""`llmtui --version`: its version, and on further lines what it measures with."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

import click

import llmtui

#: What a figure passes through, from the socket on.
_PACKAGES = ("httpx", "httptools", "msgspec")


def version_text() -> str:
    """The version on the first line, then the packages, Python, the system, and whose clock stamps arrivals."""
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    # That of other systems is taken right after a read: llmtui.measure.stamped_socket.
    stamps = "by the kernel" if sys.platform == "linux" else "by llmtui itself"
    return (
        f"llmtui {llmtui.__version__}\n"
        f"{versions}, Python {platform.python_version()}\n"
        f"{platform.system()} {platform.release()} {platform.machine()}, arrivals stamped {stamps}"
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def print_version(ctx: click.Context, _: click.Parameter, wanted: Any) -> None:
    """Print the versions and exit, if the option was given."""
    if wanted and not ctx.resilient_parsing:
        click.echo(version_text())
        ctx.exit()
