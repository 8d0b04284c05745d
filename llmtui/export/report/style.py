"""The style sheet of the report: light and dark as the reader's system asks, and narrow screens."""

from __future__ import annotations

from llmtui.text.colours import DARK, LIGHT, Colours


def _variables(colours: Colours) -> str:
    series = "".join(f"--s{n}:{colour};" for n, colour in enumerate(colours.series, 1))
    return (
        f"--bg:{colours.background};--fg:{colours.foreground};--dim:{colours.dim};--rule:{colours.rule};"
        f"--panel:{colours.panel};--warn:{colours.warning};--bad:{colours.error};--good:{colours.success};{series}"
    )


_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:74rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.1rem;margin:2.25rem 0 .5rem;padding-bottom:.25rem;border-bottom:1px solid var(--rule)}
p{margin:.35rem 0}
ul{margin:.35rem 0;padding-left:1.2rem}
li{margin:.2rem 0}
.dim,.note{color:var(--dim)}
.note{font-size:.85rem;margin:.25rem 0 0}
.verdict{font-size:1.15rem;border-left:4px solid var(--dim);padding:.5rem .9rem;margin:1rem 0;background:var(--panel)}
.verdict.shown{border-color:var(--good)}
.checks{list-style:none;padding:0}
.checks li{padding:.35rem .6rem;border-left:4px solid var(--rule);margin:.4rem 0}
.checks .void{border-color:var(--bad)}
.checks .warning{border-color:var(--warn)}
.checks b{font-weight:600}
.fix{display:block;color:var(--dim)}
.ok{color:var(--good)}
summary{cursor:pointer;color:var(--dim);margin-top:.5rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.25rem .6rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th{font-weight:600;color:var(--dim);vertical-align:bottom}
.text{text-align:left}
tbody th{color:var(--fg);padding-top:.8rem}
.star td{font-weight:600}
dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.1rem 1rem;margin:.35rem 0;font-size:.9rem}
dt{color:var(--dim)}
dd{margin:0;min-width:0}
h3{font-size:1rem;margin:1.2rem 0 .2rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));gap:1.5rem 2.5rem}
figure{margin:0;min-width:0}
figcaption{font-weight:600;margin-bottom:.4rem}
svg{display:block;width:100%;max-width:34rem;height:auto;overflow:visible}
svg text{font:12px system-ui,sans-serif;fill:var(--dim)}
svg .name,svg .value,svg .group{fill:var(--fg)}
svg .group{font-weight:600}
svg path,svg rect{stroke:currentColor;fill:none;vector-effect:non-scaling-stroke}
svg .mark,svg .dots,svg .bar{fill:currentColor;stroke:none}
svg .dots{opacity:.8}
svg .hollow{fill:var(--bg);stroke-width:1.4}
svg .thick{stroke-width:1.8}
svg .thin{stroke-width:1.1}
svg .whisker{stroke-width:1.3}
svg .strip{stroke-width:3;opacity:.6}
svg .grid{stroke:var(--rule);stroke-width:.5;opacity:.7}
svg .base{stroke:var(--dim);stroke-width:1}
svg .limit{stroke:var(--fg);stroke-width:1.2}
svg .limit-name{fill:var(--fg)}
svg .on-bar{stroke:var(--fg);stroke-width:1.4}
"""


def style_sheet() -> str:
    """Return the style sheet."""
    series = "".join(f".s{n}{{color:var(--s{n})}}" for n in range(1, len(LIGHT.series) + 1))
    dark = f"@media(prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    # On paper it is light.
    paper = f"@media print{{:root{{{_variables(LIGHT)}}}}}"
    return f":root{{color-scheme:light dark;{_variables(LIGHT)}}}{dark}{paper}{_RULES}{series}"
