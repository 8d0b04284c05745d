"""The monitor's three themes. Other modules name colours by their meaning."""

from __future__ import annotations

import os
from collections.abc import Collection

from textual.theme import Theme

from llmtui.text import sanitize
from llmtui.text.colours import DARK as _DARK
from llmtui.text.colours import LIGHT as _LIGHT

_ANSI = (
    "ansi_bright_cyan",
    "ansi_yellow",
    "ansi_green",
    "ansi_magenta",
    "ansi_blue",
    "ansi_bright_yellow",
    "ansi_red",
    "ansi_cyan",
    "ansi_bright_black",
)


#: The share of a backend's colour in its tint; the rest is the background.
_TINT = 0.5


def _tint(colour: str, background: str) -> str:
    """Mix a colour with the background. The terminal's own colours are not known: their tint is grey."""
    if colour.startswith("ansi_"):
        return "ansi_bright_black"
    pairs = ((int(colour[n : n + 2], 16), int(background[n : n + 2], 16)) for n in (1, 3, 5))
    return "#" + "".join(f"{round(a * _TINT + b * (1 - _TINT)):02x}" for a, b in pairs)


def _series(colours: tuple[str, ...], background: str = "") -> dict[str, str]:
    tints = {f"tint-{i}": _tint(colour, background) for i, colour in enumerate(colours, 1)}
    return {f"series-{i}": colour for i, colour in enumerate(colours, 1)} | tints


#: Of the dark theme, and for Textual's own themes, which have no colours for series.
DEFAULT_VARIABLES = {**_series(_DARK.series, _DARK.background), "dim": _DARK.dim, "rule": _DARK.rule}

DARK = Theme(
    name="llmtui-dark",
    dark=True,
    primary="#4cc2ff",
    secondary="#3a6ea5",
    accent="#4cc2ff",
    warning=_DARK.warning,
    error=_DARK.error,
    success=_DARK.success,
    foreground=_DARK.foreground,
    background=_DARK.background,
    surface="#151b22",
    panel=_DARK.panel,
    variables=DEFAULT_VARIABLES,
)
LIGHT = Theme(
    name="llmtui-light",
    dark=False,
    primary="#0067b8",
    secondary="#3a6ea5",
    accent="#0067b8",
    warning=_LIGHT.warning,
    error=_LIGHT.error,
    success=_LIGHT.success,
    foreground=_LIGHT.foreground,
    background=_LIGHT.background,
    surface="#f0f0ec",
    panel=_LIGHT.panel,
    variables={**_series(_LIGHT.series, _LIGHT.background), "dim": _LIGHT.dim, "rule": _LIGHT.rule},
)
ANSI = Theme(
    name="llmtui-ansi",
    ansi=True,
    dark=True,
    primary="ansi_blue",
    secondary="ansi_cyan",
    accent="ansi_cyan",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        **_series(_ANSI),
        "dim": "ansi_default",
        "rule": "ansi_bright_black",
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "border": "ansi_blue",
        "border-blurred": "ansi_bright_black",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "block-cursor-text-style": "bold",
        "scrollbar": "ansi_bright_black",
        "scrollbar-hover": "ansi_white",
        "scrollbar-active": "ansi_white",
        "scrollbar-background": "ansi_default",
        "scrollbar-corner-color": "ansi_default",
        "scrollbar-background-hover": "ansi_default",
        "scrollbar-background-active": "ansi_default",
    },
)

#: The themes that the theme key cycles through.
RING = ("llmtui-dark", "llmtui-light", "llmtui-ansi")
SHORT = {"dark": "llmtui-dark", "light": "llmtui-light", "ansi": "llmtui-ansi"}


def by_terminal() -> str:
    """Return the dark theme, or the theme of the terminal's own colours if it has only 16."""
    term = os.environ.get("TERM", "")
    rich = os.environ.get("COLORTERM", "") in ("truecolor", "24bit") or "256" in term or "direct" in term
    return "llmtui-dark" if rich or not term else "llmtui-ansi"


def choose(wanted: str, available: Collection[str]) -> tuple[str, str]:
    """Return the theme for the name in the config, and an error message if there is no such theme, else ""."""
    name = SHORT.get(wanted, wanted) or by_terminal()
    if name in available:
        return name, ""
    return by_terminal(), f'no theme "{sanitize(wanted, 40)}"; use dark, light, ansi or a theme of Textual'


def following(theme: str) -> str:
    """Return the theme after this one."""
    return RING[(RING.index(theme) + 1) % len(RING)] if theme in RING else RING[0]
