"""What the `[ui]` table of config.toml may say, under the name the monitor uses. Cheap to import: draws nothing."""

from __future__ import annotations

from typing import Literal

from llmtui.config import UiConfig

Marker = Literal["braille", "fhd", "dot", "ascii"]

#: `theme` is `dark`, `light`, `ansi` or the name of a Textual theme (empty: by the terminal's colours), `marker` what
#: small plots are drawn with (`ascii` keeps the whole screen to ASCII), `keys` the keys of commands by id.
UiOptions = UiConfig
