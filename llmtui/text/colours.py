"""The colours of the dark and the light theme, for the monitor and for documents."""

from __future__ import annotations

from typing import NamedTuple


class Colours(NamedTuple):
    """One theme as #rrggbb. `series` are those of the backends, in the order of the plan."""

    series: tuple[str, ...]
    background: str
    foreground: str
    dim: str
    rule: str
    panel: str
    warning: str
    error: str
    success: str


DARK = Colours(
    series=("#4cc2ff", "#ffb454", "#3ddc97", "#ff7ab8", "#c3a6ff", "#ffe066", "#ff6b5e", "#7ee0d0", "#b8c4d0"),
    background="#0f1419",
    foreground="#d7dde4",
    dim="#8b95a1",
    rule="#4a5462",
    panel="#1c242d",
    warning="#ffb454",
    error="#ff6b5e",
    success="#3ddc97",
)
LIGHT = Colours(
    series=("#0067b8", "#b35900", "#0a7d4f", "#b8246f", "#6b3fc4", "#8a6d00", "#c4281a", "#0f7a73", "#4f5b66"),
    background="#fafaf7",
    foreground="#1d2530",
    dim="#5f6973",
    rule="#b4bac0",
    panel="#e6e6e1",
    warning="#9a5b00",
    error="#c4281a",
    success="#0a7d4f",
)
