"""What the page of a turn's requests shows."""

from __future__ import annotations

import dataclasses

from llmtui.runview.turn_requests import TurnRequests
from llmtui.ui.listing import Listing


@dataclasses.dataclass
class RequestPage:
    """The requests of the turn that is shown, and how they are listed."""

    requests: TurnRequests
    listing: Listing = dataclasses.field(default_factory=Listing)
