"""How the details page lists the iterations: the filter as it was typed, and the column that is sorted by."""

from __future__ import annotations

import dataclasses

from llmtui.ui.views.sorting import AS_PLANNED, Sort


@dataclasses.dataclass(frozen=True)
class Listing:
    """What the user chose for the list of iterations. The same holds for every backend until the page is closed."""

    typed: str = ""
    sort: Sort = AS_PLANNED

    @property
    def plain(self) -> bool:
        """Whether all iterations are listed, in order of completion."""
        return not self.typed.strip() and not self.sort.column
