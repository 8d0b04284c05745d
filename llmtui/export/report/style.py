"""The style sheet of the report (style.css): light and dark as the reader's system asks, and narrow screens."""

from __future__ import annotations

import importlib.resources

from llmtui.text.colours import DARK, LIGHT, Colours


def _variables(colours: Colours) -> str:
    series = "".join(f"--s{n}:{colour};" for n, colour in enumerate(colours.series, 1))
    return (
        f"--bg:{colours.background};--fg:{colours.foreground};--dim:{colours.dim};--rule:{colours.rule};"
        f"--panel:{colours.panel};--warn:{colours.warning};--bad:{colours.error};--good:{colours.success};{series}"
    )


def style_sheet() -> str:
    """Return the style sheet."""
    series = "".join(f".s{n}{{color:var(--s{n})}}" for n in range(1, len(LIGHT.series) + 1))
    dark = f"@media(prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    # On paper it is light.
    paper = f"@media print{{:root{{{_variables(LIGHT)}}}}}"
    rules = importlib.resources.files("llmtui.export.report").joinpath("style.css").read_text("utf-8")
    return f":root{{color-scheme:light dark;{_variables(LIGHT)}}}{dark}{paper}\n{rules}{series}"
